"""What the user says of a recording: options of a command, rows of a table, patterns of names."""

from dataclasses import dataclass, fields, replace
from typing import Literal

from wav2uti.corpus.crop import Crop
from wav2uti.corpus.recording import Task
from wav2uti.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the user says of a recording, in a table or on the command line; it goes before what its files say.

    None is "not said".

    Attributes:
        speaker, task, text, language, split: as in `Recording`.
        crop: (x, y, width, height) of the ultrasound in pixels of a video, or "auto" for the place that moves.
        hflip: mirror a video, for recordings with the tip of the tongue on the left.
        offset: seconds added to the times of the frames; positive where the sound began before the picture.
    """

    speaker: str | None = None
    task: Task | None = None
    text: str | None = None
    language: str | None = None
    split: str | None = None
    crop: Crop | Literal["auto"] | None = None
    hflip: bool | None = None
    offset: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.crop, tuple) and (
            len(self.crop) != 4 or min(self.crop) < 0 or min(self.crop[2:], default=0) == 0
        ):
            raise InputError(f"The crop {self.crop} is not x, y, width, height in pixels: give four numbers.")

    def over(self, other: "Given") -> "Given":
        """This, and what it does not say from `other`."""
        return replace(other, **{f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None})

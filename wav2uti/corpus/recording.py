"""`Recording`: one utterance of one speaker, the unit that every corpus is turned into."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from wav2uti.clock import FPS, samples_at
from wav2uti.errors import InputError
from wav2uti.names import recording_id

Task = Literal["vowel", "word", "sentence", "other"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A label with its start and end in seconds from the first frame of the recording."""

    label: str
    start: float
    end: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Recording:
    """Synchronized ultrasound, speech and text of one utterance.

    Attributes:
        id: name of the recording, unique in its corpus; no slash, since it names an HDF5 group, and no control
            character.
        frames: uint8, shape (T, H, W), at 60 frames a second; row 0 is the top (the palate side), the tip of the
            tongue is on the right.
        audio: float32, shape (N,), in [-1, 1] at 16 kHz, with N = T * 16000 / 60 within one sample.
        speaker: name of the speaker; splits are made by it.
        task: what was spoken.
        text: what was said, as prompted or transcribed; may be empty.
        language: BCP 47 tag such as "en" or "zh", or empty.
        source: where the recording comes from: a file name, or a phrase with the word "simulated".
        simulated: True where no person was recorded; carried to every file and picture made from it.
        mm_per_pixel: size of a pixel, stated only where the corpus states it reliably.
        contour: float32, shape (T, K, 2), points (x, y) of the tongue surface in pixels (column, row), or None.
        split: "train", "val" or "test" where the corpus says so, or empty.
        words: words with their times, in order; may be empty.
        phones: the same for phones.
        reference: uint8, shape (H, W), a frame of the same speaker from outside this utterance, or None.
    """

    id: str
    frames: NDArray[np.uint8]
    audio: NDArray[np.float32]
    speaker: str
    task: Task = "other"
    text: str = ""
    language: str = ""
    source: str = ""
    simulated: bool = False
    mm_per_pixel: float | None = None
    contour: NDArray[np.float32] | None = None
    split: str = ""
    words: tuple[Interval, ...] = ()
    phones: tuple[Interval, ...] = ()
    reference: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        for problem in self._problems():
            raise InputError(f"Recording {self.id!r} ({self.source or 'no source given'}): {problem}.")

    @property
    def duration(self) -> float:
        """Length of the picture in seconds."""
        return len(self.frames) / FPS

    def _problems(self) -> list[str]:
        """What is wrong with the fields, in plain English; empty for a good recording."""
        found = []
        if self.id != recording_id(self.id):
            found.append("the id must not be empty, hold a slash or a control character, or begin with a dot")
        if not self.speaker:
            found.append("the speaker has no name")
        for name in ("speaker", "text", "language", "source"):
            if "\0" in getattr(self, name) or not _is_text(getattr(self, name)):
                found.append(f"the {name} holds a NUL or half a character, which no shard can store")
        if self.task not in get_args(Task):
            found.append(f"the task is {self.task!r}, not one of {', '.join(get_args(Task))}")
        if self.frames.dtype != np.uint8 or self.frames.ndim != 3:
            found.append(f"frames must be uint8 (T, H, W), not {self.frames.dtype} {self.frames.shape}")
        elif min(self.frames.shape) == 0:
            found.append(f"there is no picture in it (frames of shape {self.frames.shape})")
        if self.audio.dtype != np.float32 or self.audio.ndim != 1:
            found.append(f"audio must be float32 (N,), not {self.audio.dtype} {self.audio.shape}")
        elif not np.isfinite(self.audio).all():
            found.append("the audio holds NaN or infinite samples")
        elif abs(len(self.audio) - samples_at(len(self.frames))) > 1:
            found.append(
                f"{len(self.audio)} samples do not match {len(self.frames)} frames, "
                f"which need {samples_at(len(self.frames))} at 16 kHz"
            )
        if self.contour is not None and (
            self.contour.dtype != np.float32
            or self.contour.ndim != 3
            or self.contour.shape[::2] != (len(self.frames), 2)
        ):
            found.append(f"the contour must be float32 (T, K, 2), not {self.contour.dtype} {self.contour.shape}")
        if self.reference is not None and (
            self.reference.dtype != np.uint8 or self.reference.shape != self.frames.shape[1:]
        ):
            found.append(f"the reference frame must be uint8 of the frames' size, not {self.reference.shape}")
        if self.mm_per_pixel is not None and not 0 < self.mm_per_pixel < 100:
            found.append(f"{self.mm_per_pixel} mm per pixel is not a size")
        return found


def _is_text(text: str) -> bool:
    """Whether UTF-8 can hold it: names of files in another encoding come with halves of characters."""
    return not any("\ud800" <= character <= "\udfff" for character in text)

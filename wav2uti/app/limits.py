"""What one user may ask of the page, so that the others are served too."""

from dataclasses import dataclass
from pathlib import Path

from wav2uti.errors import InputError
from wav2uti.options import check_counts, check_positive
from wav2uti.speech.audio import check_header, mono_blocks, opened_sound

MOST_STEPS = 256  # the paper's
MOST_SAMPLES = 8
LONGEST_TEXT = 2000  # letters


@dataclass(frozen=True)
class Limits:
    """Of one drawing, and of the line before it.

    Attributes:
        seconds: of sound.
        megabytes: of one uploaded file, 2^20 bytes each, as Gradio counts them.
        minutes: that a drawing may take once it has begun.
        waiting: drawings that may wait for others to end.
    """

    seconds: float = 60.0
    megabytes: float = 50.0
    minutes: float = 10.0
    waiting: int = 16

    def __post_init__(self) -> None:
        check_positive(max_seconds=self.seconds, max_megabytes=self.megabytes, max_minutes=self.minutes)
        check_counts(0, max_waiting=self.waiting)

    @property
    def bytes(self) -> int:
        """Of one uploaded file."""
        return round(2**20 * self.megabytes)


def check_length(path: Path, seconds: float) -> None:
    """Raise an InputError where a sound is longer than `seconds`; no more of it is read.

    Raises:
        InputError: that, and what `read_speech` says of files that it cannot read.
    """
    with opened_sound(path) as file:
        check_header(file, path)
        count = 0
        for block in mono_blocks(file, path):
            count += len(block)
            if count > seconds * file.samplerate:
                raise InputError(
                    f"The recording is longer than {seconds:g} s, the most that this page draws: cut it, or start the "
                    "page with a larger --max_seconds."
                )

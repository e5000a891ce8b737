"""What a reader gives: the picture and the sound of one utterance as their files hold them, opened and not yet read.

Both are read forward in blocks, so that the memory needed does not grow with the length of a recording.
`sync.py` brings them to 60 frames a second and 16 kHz.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wav2uti.corpus.recording import Interval, Task
from wav2uti.corpus.sound import Sound
from wav2uti.names import printable

Block = tuple[NDArray[np.float64], NDArray[np.uint8]]


class Picture(ABC):
    """Raw frames in the order of time.

    Attributes:
        kind: what a raw frame is, for the user: "63 x 412 scanlines", "320 x 240 video".
        period: time that the last raw frame lasts, in s; None stands for the median distance of the frames.
    """

    kind: str
    period: float | None = None

    @abstractmethod
    def blocks(self) -> Iterator[Block]:
        """Raw frames, a bounded number at a time: times (n,) in s, strictly increasing over all blocks, on the clock
        of the sound (0 is its first sample; may be negative), and frames uint8 (n, ...). It can be called again.

        Raises:
            InputError: one sentence that names the file, what is wrong with it and what to do.
        """

    @abstractmethod
    def draw(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Raw frames uint8 (n, ...), also ones interpolated in time, as pictures uint8 (n, size, size)."""

    def motion_beside(self) -> float | None:
        """Share of what moves that lies beside the largest moving region, once `blocks` has gone by; None where
        there is nothing but the fan.
        """
        return None


@dataclass(frozen=True, eq=False, kw_only=True)
class RawRecording:
    """One utterance as its files hold it. Times are seconds on the clock of its sound.

    Attributes:
        id, speaker, task, text, language, source, simulated, split, mm_per_pixel: as in `Recording`; control
            characters, which names of files and folders may have, become escapes.
        picture: the ultrasound.
        sound: the speech.
        words, phones: with times on the sound's clock.
        contour: gives the tongue contour float32 (T, K, 2) at times (T,), or None where it does not cover them.
    """

    id: str
    picture: Picture
    sound: Sound
    speaker: str
    task: Task = "other"
    text: str = ""
    language: str = ""
    source: str = ""
    simulated: bool = False
    split: str = ""
    mm_per_pixel: float | None = None
    words: tuple[Interval, ...] = ()
    phones: tuple[Interval, ...] = ()
    contour: Callable[[NDArray[np.float64]], NDArray[np.float32] | None] | None = None

    def __post_init__(self) -> None:
        for name in ("speaker", "text", "language", "source"):
            object.__setattr__(self, name, printable(getattr(self, name)))

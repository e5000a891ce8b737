"""What of a drawing is looked at: videos, and the frames of a contact sheet, taken while the frames come."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wav2uti.video.sheet import Glimpses
from wav2uti.video.spread import BRIGHTEST, as_colours, as_grey, explanation, scale, side_by_side, width_of
from wav2uti.video.write import Mp4, opened_mp4


class Pictures:
    """Videos that are being written, and rows of a contact sheet; see `opened_pictures`.

    Attributes:
        rows: label and frames.
    """

    def __init__(self, video: Mp4, beside: Mp4 | None, rows: list[tuple[str, Glimpses]]) -> None:
        self.video = video
        self.beside = beside
        self.rows = rows

    def add(
        self, samples: NDArray[np.uint8], spread: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
    ) -> None:
        """Take the next frames of all samples, (S, n, H, W), and their mean and spread, (n, H, W) each."""
        shown = [samples[0]]
        self.video.add(samples[0])
        if spread is not None and self.beside is not None:
            self.beside.add(side_by_side(*spread))
            shown += [as_grey(spread[0]), as_colours(spread[1])]
        for (_, row), frames in zip(self.rows, shown, strict=True):
            row.add(frames)


@contextmanager
def opened_pictures(
    video: Path,
    beside: Path | None,
    size: tuple[int, int],
    audio: NDArray[np.float32],
    samples: int,
    note: str,
    total: int,
    longest: int,
) -> Iterator[Pictures]:
    """Videos with their sound, whose frames are added while the block runs.

    Args:
        video: file of the first sample's video.
        beside: file of that of mean and spread, for several samples.
        size: height and width of the frames.
        audio: float32 (N,) at 16 kHz.
        samples: how many.
        note: what the frames are.
        total: frames that are drawn.
        longest: frames of the longest video on the contact sheet.

    Raises:
        InputError: a file cannot be written.
    """
    labels = ["generated"]
    if beside is not None:
        labels = [f"generated, 1 of {samples}", f"mean of {samples}"]
        labels.append(f"spread of {samples}: black 0, yellow {BRIGHTEST} grey levels")
    rows = [(label, Glimpses(total, longest)) for label in labels]
    with ExitStack() as opened:
        first = opened.enter_context(opened_mp4(video, size, audio, caption=note))
        second = None
        if beside is not None:
            wide = (size[0], width_of(size[1]))
            words = explanation(samples, note)
            second = opened.enter_context(opened_mp4(beside, wide, audio, caption=words, legend=scale))
        yield Pictures(first, second, rows)

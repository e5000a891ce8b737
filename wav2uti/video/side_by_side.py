"""Videos of the same frames beside each other in one mp4: what was recorded, and what a model made of it."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wav2uti.clock import FPS
from wav2uti.errors import InputError
from wav2uti.video.write import caption_strip, enlarged, opened_mp4

GAP = 8  # columns between two videos, in pixels of the mp4

Labelled = tuple[str, NDArray[np.uint8]]  # a word for under the picture, and frames (T, H, W)


def write_side_by_side(
    path: str | Path, videos: Sequence[Labelled], fps: int | Fraction = FPS, caption: str = "", title: str = ""
) -> None:
    """Write an mp4 of several videos, each with its label below it; see `write.opened_mp4`.

    Args:
        path: the .mp4 file; it appears when it is complete.
        videos: label and frames, uint8 (T, H, W), from the left; all have one shape.
        fps: frames a second.
        caption: words on a strip under all of them, and in the file's comment.
        title: title in the file's metadata; the file's name where empty.

    Raises:
        InputError: there is no frame, the shapes differ, or the file cannot be written.
    """
    shapes = {frames.shape for _, frames in videos}
    if len(shapes) != 1 or len(shape := shapes.pop()) != 3 or min(shape) == 0:
        raise InputError(f"No video {path}: videos beside each other need frames (T, H, W) of one shape.")
    pictures = beside(videos)
    first = next(pictures)
    # They are large already: nothing is enlarged a second time.
    with opened_mp4(path, first.shape, fps=fps, caption=caption, title=title) as video:
        video.add(first[None])
        for picture in pictures:
            video.add(picture[None])


def beside(videos: Sequence[Labelled]) -> Iterator[NDArray[np.uint8]]:
    """One picture a frame, uint8 (height, width): the videos enlarged, with their labels below and a gap between."""
    width = enlarged(videos[0][1][0]).shape[1]
    strips = [caption_strip(label or " ", width) for label, _ in videos]
    tallest = max(map(len, strips))
    strips = [np.pad(strip, ((0, tallest - len(strip)), (0, 0)), mode="edge") for strip in strips]
    for frames in zip(*(frames for _, frames in videos), strict=True):
        halves = [enlarged(frame, strip) for frame, strip in zip(frames, strips, strict=True)]
        gap = np.zeros((len(halves[0]), GAP), dtype=np.uint8)
        parts = [part for half in halves for part in (gap, half)][1:]
        yield np.concatenate(parts, axis=1)

"""Stored frames as one stage of a cascade sees them: in its size, at its frame rate; and their mean and deviation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wav2uti.corpus.shards import CHUNK_FRAMES, RecordingInfo, Shard
from wav2uti.diffusion.cascade import shrink
from wav2uti.errors import InputError
from wav2uti.grey import to_unit

STATISTICS_BLOCKS = 64  # blocks of 16 frames that mean and std of the frames are measured on


@dataclass(frozen=True)
class Pictures:
    """How frames leave the shards.

    Attributes:
        size: height and width in pixels, at most those stored; None leaves them as they are.
        step: every so many of the stored frames, which are 60 a second.
    """

    size: int | None = None
    step: int = 1

    def __post_init__(self) -> None:
        if self.step < 1 or (self.size is not None and self.size < 1):
            raise InputError(f"data.frame_step ({self.step}) and data.size ({self.size}) must be 1 or more.")

    def check(self, stored: int, where: str) -> None:
        """Raise an InputError where frames of `stored` pixels are too small."""
        if self.size is not None and self.size > stored:
            raise InputError(
                f"data.size is {self.size} and the frames of {where} are {stored}x{stored}: give a size up to "
                f"{stored}, or prepare the recordings with --size {self.size}."
            )

    def clip(self, frames: NDArray[np.uint8]) -> Tensor:
        """Frames (..., T, H, W) in their size: uint8 as they are stored, or float32 in [-1, 1] where it is another."""
        return self.resized(frames) if self.size is not None else torch.from_numpy(frames)

    def resized(self, frames: NDArray[np.uint8]) -> Tensor:
        """Frames (..., T, H, W) in [-1, 1] and in their size, all of them."""
        return self.shrunk(to_unit(frames))

    def shrunk(self, frames: Tensor) -> Tensor:
        """The same for frames on any scale."""
        return frames if self.size is None else shrink(frames, self.size)

    def scale(self, stored: int) -> float:
        """What a length in stored pixels is multiplied by."""
        return 1.0 if self.size is None else self.size / stored

    def points(self, contour: NDArray[np.float32], stored: int) -> NDArray[np.float32]:
        """Points (T, K, 2) in pixels of the resized frames; the middle of the first pixel stays at 0.

        >>> Pictures(size=32).points(np.array([[[0.5, 62.5]]], dtype=np.float32), 64).tolist()
        [[[0.0, 31.0]]]
        """
        scaled: NDArray[np.float32] = (contour + np.float32(0.5)) * np.float32(self.scale(stored)) - np.float32(0.5)
        return contour if self.size is None else scaled

    def mm_per_pixel(self, given: float | None, stored: int) -> float | None:
        """Scale of the resized picture from that of the stored one."""
        return None if given is None else given / self.scale(stored)


def frame_statistics(recordings: Sequence[RecordingInfo], pictures: Pictures) -> tuple[float, float]:
    """Mean and standard deviation of frames on [-1, 1], from blocks of 16 frames evenly over the recordings.

    With no more blocks than STATISTICS_BLOCKS these are all the frames.
    """
    blocks = [(info, start) for info in recordings for start in range(0, info.frames, CHUNK_FRAMES)]
    chosen = np.unique(np.linspace(0, len(blocks) - 1, min(len(blocks), STATISTICS_BLOCKS)).round().astype(int))
    shards = {info.shard: Shard(info.shard) for info in recordings}
    count, total, squares = 0, 0.0, 0.0
    for k in chosen:
        info, start = blocks[k]
        stored = shards[info.shard].frames(info.id, start, start + CHUNK_FRAMES)
        frames = pictures.shrunk(torch.from_numpy(stored).double() / 127.5 - 1)
        count += frames.numel()
        total += float(frames.sum())
        squares += float(frames.square().sum())
    mean = total / count
    return mean, float(np.sqrt(squares / count - mean**2))

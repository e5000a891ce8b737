"""The two scales of a picture: grey values 0 to 255 as they are stored and shown, and [-1, 1] as networks see them."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_unit(frames: NDArray[np.uint8]) -> Tensor:
    """Stored frames of any shape to float32: 0 becomes -1, 255 becomes 1."""
    return torch.from_numpy(np.ascontiguousarray(frames)).to(torch.float32).div_(127.5).sub_(1)


def to_grey(video: Tensor) -> Tensor:
    """Frames in [-1, 1], any shape, as the grey values they are written with: rounded to uint8, the rest cut off.

    >>> to_grey(torch.tensor([-1.0, 0.0, 1.2])).tolist()
    [0, 128, 255]
    """
    return ((video.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)

"""How a batch comes from a worker of a DataLoader: as one block of shared memory instead of one for each tensor.

Handing over a block costs a file handle and a message, and its fresh pages cost more than what is written on them.
Stored frames therefore travel as uint8, a quarter of what they become on arrival.
"""

import math
from typing import Any

import torch
from torch import Tensor

_ALIGNED = 64  # bytes, where a tensor may begin in the block

Place = tuple[int, torch.dtype, tuple[int, ...]]  # first byte, type, shape


class Sent(dict[str, Any]):
    """A batch in a worker. What is received is a plain dict of the same entries, made by `arrived`."""

    def __reduce__(self) -> tuple[Any, ...]:
        tensors = {name: value.contiguous() for name, value in self.items() if isinstance(value, Tensor)}
        places: dict[str, Place] = {}
        size = 0
        for name, tensor in tensors.items():
            places[name] = size, tensor.dtype, tuple(tensor.shape)
            size += math.ceil(tensor.nbytes / _ALIGNED) * _ALIGNED
        block = torch.empty(size, dtype=torch.uint8).share_memory_()
        for name, tensor in tensors.items():
            _within(block, places[name]).copy_(tensor)
        return _received, (block, places, {name: value for name, value in self.items() if name not in tensors})


def _received(block: Tensor, places: dict[str, Place], others: dict[str, Any]) -> dict[str, Any]:
    return arrived({name: _within(block, place) for name, place in places.items()} | others)


def arrived(batch: dict[str, Any]) -> dict[str, Any]:
    """A batch as a model gets it: frames in float32, see `Batch`."""
    frames = batch["frames"]
    return batch if frames.dtype != torch.uint8 else batch | {"frames": frames_to_unit(frames)}


def frames_to_unit(frames: Tensor) -> Tensor:
    """Stored frames of any shape as float32 in [-1, 1], clip by clip: a clip stays in the processor's cache."""
    unit = torch.empty(frames.shape)
    for stored, place in zip(frames, unit, strict=True):
        torch.div(stored, 127.5, out=place).sub_(1)
    return unit


def _within(block: Tensor, place: Place) -> Tensor:
    first, dtype, shape = place
    return block[first : first + math.prod(shape) * dtype.itemsize].view(dtype).view(shape)

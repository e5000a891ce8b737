"""What a recording's datasets must be, as its attribute `contents` tells: type, shape and digest of each.

Fletcher-32, which HDF5 checks at every read, takes a word of 16 zero bits for one of 16 ones, and says nothing of a
dataset that is gone. `wav2uti verify` compares the datasets with this list.
"""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

CONTENTS = "contents"  # attribute of a recording: JSON, {dataset: {"type", "shape", "digest"}}

_BLOCK = 2**22  # bytes read at a time, or one chunk where that is larger


def dataset_names(group: Any) -> list[str]:
    """Names of the datasets in a group and in the groups in it, such as `acoustic/logmel`."""
    names: list[str] = []
    group.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return names


def blocks_of(dataset: Any) -> Iterator[NDArray[Any]]:
    """A dataset from first to last row, in whole chunks: memory does not grow with it."""
    if dataset.size == 0:
        return
    rows = dataset.chunks[0] if dataset.chunks else 1
    row = max(dataset.nbytes // len(dataset), 1)
    step = max(_BLOCK // (rows * row), 1) * rows
    for start in range(0, len(dataset), step):
        yield dataset[start : start + step]


def describe_dataset(dataset: Any, digest: str | None = None) -> dict[str, Any]:
    """A dataset's entry in the list.

    Args:
        dataset: of an HDF5 file.
        digest: of its values, where it is known; otherwise all of it is read.

    Raises:
        OSError: a checksum is wrong.
    """
    if digest is None:
        hashed = blake2b(digest_size=16)
        for block in blocks_of(dataset):
            hashed.update(np.ascontiguousarray(block).data)
        digest = hashed.hexdigest()
    return {"type": dataset.dtype.str, "shape": list(dataset.shape), "digest": digest}

"""What a process holds open of all its shards together: so many files, so many datasets, the latest used ones.

A corpus may have more shards than a process may have files open, and each open dataset takes memory.
"""

import weakref
from collections import OrderedDict
from typing import Any, Protocol

import h5py
from h5py import h5d

# A file takes a handle (a process may have 1024 as a rule) and HDF5's cache of its structure.
OPEN_SHARDS = 64
# Opening a dataset costs as much as reading a clip from it; kept open it takes 18 KB.
OPEN_DATASETS = 2048

Key = tuple[int, str]


class Closable(Protocol):
    """A shard, as far as it concerns this file."""

    def close(self) -> None: ...


_shards: OrderedDict[int, "weakref.ref[Closable]"] = OrderedDict()
_datasets: OrderedDict[Key, Any] = OrderedDict()


def used(shard: Closable) -> None:
    """Call at each use of a shard that is open."""
    _shards.move_to_end(id(shard))


def opened(shard: Closable) -> None:
    """Call where a shard has opened its file: the least recently used ones are closed beyond OPEN_SHARDS."""
    number = id(shard)
    _shards[number] = weakref.ref(shard, lambda _: forget(number))
    _shards.move_to_end(number)
    while len(_shards) > OPEN_SHARDS:
        oldest = next(iter(_shards))
        found = _shards[oldest]()
        if found is None:
            forget(oldest)
        else:
            found.close()  # which calls `forget`


def forget(number: int) -> None:
    """Drop what is held of the shard with this id(): it has been closed, or is gone."""
    _shards.pop(number, None)
    for key in [key for key in _datasets if key[0] == number]:
        del _datasets[key]


def dataset(shard: Closable, file: Any, name: str) -> Any:
    """A dataset of a shard's open file, kept open."""
    key = (id(shard), name)
    found = _datasets.get(key)
    if found is None:
        # As file[name], which takes three times as long.
        found = _datasets[key] = h5py.Dataset(h5d.open(file.id, name.encode()), readonly=True)
        while len(_datasets) > OPEN_DATASETS:
            _datasets.popitem(last=False)
    else:
        _datasets.move_to_end(key)
    return found


def counts() -> tuple[int, int]:
    """How many files and datasets are open."""
    return len(_shards), len(_datasets)

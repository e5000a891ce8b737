"""Faults in shards, and what the reader and `wav2uti verify` make of them."""

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from faults.damage import BYTEWISE, empty
from faults.outcomes import DETECTED, SILENT, SURVIVED, TRACEBACK, Tally, in_child, outcome_of, told
from wav2uti.corpus.shards import CHUNK_FRAMES, Shard
from wav2uti.corpus.shards.contents import dataset_names
from wav2uti.errors import InputError
from wav2uti.prepare.verify import verify

VERIFY_ONLY = "other values, found by verify only"
NOT_NEEDED = "equal values, damage elsewhere found by verify"


def read_all(path: Path) -> dict[str, Any]:
    """Every field of every recording, whole and in clips, in plain types."""
    shard = Shard(path)
    found: dict[str, Any] = {"encoders": shard.encoders, "settings": shard.settings, "simulated": shard.simulated}
    for id in shard.ids:
        info = shard.info(id)
        found[f"{id} info"] = {name: value for name, value in asdict(info).items() if name != "shard"}
        fields = {"audio": shard.audio(id), "contour": shard.contour(id), "reference": shard.reference(id)}
        starts = range(0, info.frames, CHUNK_FRAMES)
        fields |= {f"frames from {start}": shard.frames(id, start, start + CHUNK_FRAMES) for start in starts}
        for name in shard.encoders["acoustic"]:
            fields |= {f"{name} from {k}": shard.acoustic(id, name, k, k + CHUNK_FRAMES) for k in starts}
        for name in shard.encoders["text"]:
            fields |= {name: shard.text(id, name), f"times of {name}": shard.text_times(id, name)}
        for name, array in fields.items():
            found[f"{id} {name}"] = None if array is None else (array.shape, array.dtype.str, array.tobytes())
        for name, value in (("words", shard.words(id)), ("phones", shard.phones(id))):
            found[f"{id} {name}"] = repr(value)
        found |= {f"{id} quality": shard.quality(id), f"{id} origin": shard.origin(id)}
    shard.close()
    return found


def verified(path: Path) -> tuple[str, str]:
    """The outcome of `wav2uti verify`."""
    try:
        verify([path], workers=1)
    except InputError as error:
        return DETECTED, str(error)
    except Exception as error:
        return TRACEBACK, f"verify: {type(error).__name__}: {error}"
    return SURVIVED, ""


def examine(path: Path, expected: Any) -> tuple[str, str]:
    """What the reader makes of a file, and whether `verify` agrees with it."""
    outcome, about = outcome_of(lambda: read_all(path), expected, path.name)
    said, why = verified(path)
    if said == TRACEBACK:
        return said, why
    if outcome == SILENT and said == DETECTED:
        return VERIFY_ONLY, about
    if outcome == DETECTED and said != DETECTED:
        return SILENT, f"verify says nothing of: {about}"
    if outcome == SURVIVED and said == DETECTED:
        return NOT_NEEDED, why  # an index of the file that the reader goes without
    return outcome, about


def inject_bytes(good: Path, work: Path, count: int, rng: random.Random, tally: Tally) -> None:
    """Faults in the bytes of a shard, so many of each kind."""
    content, path = good.read_bytes(), work / good.name
    expected = _expected(good, path)
    for damage in BYTEWISE:
        for _ in range(count):
            path.write_bytes(damage(content, rng))
            tally.add(damage.__name__, *in_child(lambda: examine(path, expected)))


def inject_metadata(good: Path, work: Path, count: int, rng: random.Random, tally: Tally) -> None:
    """One flipped byte, only where HDF5 keeps its own things, attributes among them."""
    content, path = bytearray(good.read_bytes()), work / good.name
    expected = _expected(good, path)
    places = _metadata(good)
    for place in rng.sample(places, min(count, len(places))):
        before = content[place]
        content[place] ^= rng.randint(1, 255)
        path.write_bytes(content)
        content[place] = before
        outcome, about = in_child(lambda: examine(path, expected))
        tally.add("flip_one, metadata", outcome, f"{about} (byte {place})")


def inject_losses(good: Path, work: Path, count: int, rng: random.Random, tally: Tally) -> None:
    """A file, a dataset or an attribute is missing, or has another type or value."""
    path = work / good.name
    expected = _expected(good, path)

    def try_it(kind: str, change: Callable[[Any], None], about: str) -> None:
        shutil.copy(good, path)
        with h5py.File(path, "r+") as file:
            change(file)
        outcome, said = in_child(lambda: examine(path, expected))
        tally.add(kind, outcome, f"{about}: {said}")

    path.unlink()
    tally.add("missing file", *in_child(lambda: _gone(path)))
    path.write_bytes(empty(b"", random.Random()))
    tally.add("empty file", *in_child(lambda: examine(path, expected)))
    for place, dataset in _some(_datasets(good), count, rng):
        try_it("missing dataset", lambda file, name=f"{place}/{dataset}": file.pop(name), dataset)
        try_it("dataset of other values", lambda file, name=f"{place}/{dataset}": _other(file, name), dataset)
    for place, name in _some(_attributes(good), count, rng):
        try_it("missing attribute", lambda file, at=(place, name): file[at[0]].attrs.pop(at[1]), name)
        for value in _some([7, -0.5, "text", "", b"\xff\xfe", [1, 2], "[1, 2]", "{}", "[[1]]"], 3, rng):
            try_it(
                "attribute of another type or value",
                lambda file, at=(place, name, value): file[at[0]].attrs.__setitem__(at[1], at[2]),
                f"{name} = {value!r}",
            )


def inject_blind_words(good: Path, work: Path, count: int, rng: random.Random, tally: Tally) -> None:
    """Words of 16 zero bits become ones: Fletcher-32 takes one for the other."""
    content, path = bytearray(good.read_bytes()), work / good.name
    expected = _expected(good, path)
    places = [place for place in _data(good) if content[place : place + 2] in (b"\0\0", b"\xff\xff")]
    for place in rng.sample(places, min(count, len(places))):
        word = content[place : place + 2]
        content[place : place + 2] = b"\xff\xff" if word == b"\0\0" else b"\0\0"
        path.write_bytes(content)
        content[place : place + 2] = word
        tally.add("16 zero bits for ones, in data", *in_child(lambda: examine(path, expected)))


def _expected(good: Path, path: Path) -> Any:
    """What is read of an undisturbed copy, which must be well by every measure."""
    shutil.copy(good, path)
    expected = read_all(path)
    outcome, about = examine(path, expected)
    if outcome != SURVIVED:
        raise RuntimeError(f"the undisturbed shard is not well: {about}")
    return expected


def _some(of: list[Any], count: int, rng: random.Random) -> list[Any]:
    return rng.sample(of, min(count, len(of)))


def _gone(path: Path) -> tuple[str, str]:
    try:
        read_all(path)
    except InputError as error:
        return told(error, path.name)
    return SILENT, "a file that is not there was read"


def _other(file: Any, name: str) -> None:
    """Another dataset in its place, as a foreign program may write it."""
    old = file[name]
    values, chunks = np.array(old), old.chunks
    values = values + 1 if values.size else np.zeros((1, *values.shape[1:]), values.dtype)
    del file[name]
    file.create_dataset(name, data=values, chunks=chunks or True, fletcher32=True)


def _datasets(path: Path) -> list[tuple[str, str]]:
    with h5py.File(path, "r") as file:
        groups = file["recordings"]
        return [(f"recordings/{id}", name) for id in groups for name in dataset_names(groups[id])]


def _attributes(path: Path) -> list[tuple[str, str]]:
    with h5py.File(path, "r") as file:
        places = ["/", *(f"recordings/{id}" for id in file["recordings"])]
        return [(place, name) for place in places for name in file[place].attrs]


def _spans(path: Path) -> Iterator[range]:
    """Places of the stored chunks of all datasets."""
    with h5py.File(path, "r") as file:
        for place, name in _datasets(path):
            stored = file[place][name].id
            for number in range(stored.get_num_chunks() if file[place][name].chunks else 0):
                chunk = stored.get_chunk_info(number)
                yield range(chunk.byte_offset, chunk.byte_offset + chunk.size)


def _metadata(path: Path) -> list[int]:
    data = {place for span in _spans(path) for place in span}
    return [place for place in range(path.stat().st_size) if place not in data]


def _data(path: Path) -> list[int]:
    """Places of the 16-bit words that a chunk's checksum, its last four bytes, is made of."""
    return [place for span in _spans(path) for place in span[:-5:2]]

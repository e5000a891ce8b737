"""Faults in checkpoints, and what reads them makes of them."""

import random
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from faults.damage import BYTEWISE, empty
from faults.outcomes import Tally, in_child, outcome_of
from wav2uti.tasks.base import Task
from wav2uti.tasks.checkpoint import check_checkpoint


def read_all(path: Path) -> dict[str, Any]:
    """All tensors and hyper-parameters, as the check, the loading and the task give them, in plain types."""
    check_checkpoint(path)
    whole = torch.load(path, map_location="cpu", weights_only=True)
    task = Task.from_checkpoint(path)
    return {
        "checkpoint": plain(whole),
        "class": type(task).__name__,
        "weights": plain(task.state_dict()),
        "hyper_parameters": plain(dict(task.hparams)),
        "facts": plain(task.facts),
    }


def plain(value: Any) -> Any:
    """Tensors as bytes, containers as those of Python; anything else as its text."""
    if isinstance(value, torch.Tensor):
        return (str(value.dtype), tuple(value.shape), value.contiguous().numpy().tobytes())
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(entry) for entry in value]
    return value if isinstance(value, str | bytes | int | float | bool | None) else type(value).__name__


def inject_bytes(good: Path, work: Path, count: int, rng: random.Random, tally: Tally) -> None:
    """Faults in the bytes of a checkpoint, so many of each kind."""
    content, path = good.read_bytes(), work / good.name
    expected = _expected(good, path)
    for damage in BYTEWISE:
        for _ in range(count):
            path.write_bytes(damage(content, rng))
            tally.add(damage.__name__, *in_child(lambda: outcome_of(lambda: read_all(path), expected, path.name)))
    path.write_bytes(empty(content, rng))
    tally.add("empty file", *in_child(lambda: outcome_of(lambda: read_all(path), expected, path.name)))
    path.unlink()
    tally.add("missing file", *in_child(lambda: outcome_of(lambda: read_all(path), expected, path.name)))


def inject_headers(good: Path, work: Path, count: int, rng: random.Random, tally: Tally) -> None:
    """One flipped byte in what no checksum of the zip covers: headers, directory and padding."""
    content, path = bytearray(good.read_bytes()), work / good.name
    expected = _expected(good, path)
    places = _uncovered(good)
    for place in rng.sample(places, min(count, len(places))):
        before = content[place]
        content[place] ^= rng.randint(1, 255)
        path.write_bytes(content)
        content[place] = before
        outcome, about = in_child(lambda: outcome_of(lambda: read_all(path), expected, path.name))
        tally.add("flip_one, headers", outcome, f"{about} (byte {place})")


def _expected(good: Path, path: Path) -> Any:
    shutil.copy(good, path)
    return read_all(path)


def _uncovered(path: Path) -> list[int]:
    """Places that are no content of an entry; the long padding between entries counts for its first bytes."""
    covered: set[int] = set()
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            start = entry.header_offset
            name, extra = (int.from_bytes(content[start + k : start + k + 2], "little") for k in (26, 28))
            covered.update(range(start + 30 + name + min(extra, 16), start + 30 + name + extra + entry.compress_size))
    return [place for place in range(len(content)) if place not in covered]

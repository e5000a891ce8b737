"""Everything that can be wrong with a shard, each as one sentence: what `wav2uti verify` looks at.

A recording is read whole, in blocks: memory does not grow with it.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, get_args

import numpy as np

from wav2uti.clock import samples_at
from wav2uti.corpus.recording import Task
from wav2uti.corpus.shards.attributes import read_attributes
from wav2uti.corpus.shards.contents import CONTENTS, blocks_of, dataset_names, describe_dataset
from wav2uti.corpus.shards.reader import Shard, open_shard
from wav2uti.corpus.shards.schema import REMEDY
from wav2uti.errors import InputError

# Type and shape of each dataset, or of those in a group; T frames, N samples, L tokens.
LAYOUT: dict[str, tuple[str, tuple[str, ...]]] = {
    "frames": ("uint8", ("T", "H", "W")),
    "audio": ("int16", ("N",)),
    "acoustic": ("float16", ("T", "D")),
    "text": ("float16", ("L", "D")),
    "times": ("float32", ("L", "2")),
    "contour": ("float32", ("T", "K", "2")),
    "reference": ("uint8", ("H", "W")),
}
IN_GROUPS = ("acoustic", "text", "times")
TEXTS = ("speaker", "task", "text", "language", "source")  # attributes that every recording has
LISTS = ("words", "phones")
FACTS = ("quality", "origin")


@dataclass
class Head:
    """What a shard says of itself.

    Attributes:
        path: of the shard.
        ids: of its recordings.
        encoders: that it announces.
        version: of its schema; 0 where it cannot be opened.
        simulated: whether it says that simulated recordings are in it.
        problems: sentences.
    """

    path: Path
    ids: list[str] = field(default_factory=list)
    encoders: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    version: int = 0
    simulated: bool = False
    problems: list[str] = field(default_factory=list)


@dataclass
class Checked:
    """What was found in one recording."""

    id: str
    frames: int = 0
    size: tuple[int, ...] = ()
    simulated: bool = False
    problems: list[str] = field(default_factory=list)


def check_head(path: Path) -> Head:
    """Open a shard and look at everything but its recordings."""
    head = Head(path)
    try:
        shard = Shard(path)
        head.ids = shard.ids
        head.version = shard.version
        head.simulated = shard.simulated
        if not head.ids:
            head.problems.append(f"{path}: there is no recording in it; {REMEDY}.")
        announced = shard.encoders
        for kind, encoders in announced.items():
            head.encoders[kind] = {name: about for name, about in encoders.items() if _has_width(about)}
            for name in sorted(encoders.keys() - head.encoders[kind].keys()):
                head.problems.append(f"{path}: the {kind} encoder {name!r} is announced without a width; {REMEDY}.")
        _ = shard.settings
        shard.close()
    except InputError as error:
        head.problems.append(str(error))
    return head


def check_recordings(head: Head, ids: list[str]) -> list[Checked]:
    """Read some recordings of a shard whole."""
    try:
        file = open_shard(head.path)
    except InputError as error:  # gone or replaced since its head was read
        return [Checked(id, problems=[str(error)]) for id in ids[:1]]
    with file:
        return [_Examination(head, id).run(file) for id in ids]


class _Examination:
    """One recording under examination."""

    def __init__(self, head: Head, id: str) -> None:
        self.head, self.found = head, Checked(id)
        self.shapes: dict[str, tuple[int, ...]] = {}

    def run(self, file: Any) -> Checked:
        """Look at all there is of it."""
        attributes: dict[str, Any] = {}
        listed: Any = None
        group: Any = None
        names: list[str] | None = None
        with self._collecting("the recording"):
            group = file["recordings"][self.found.id]
            names = dataset_names(group)
        if names is None:
            return self.found
        with self._collecting("its head"):
            attributes = dict(read_attributes(group, self.head.version > 1))
            listed = attributes.get(CONTENTS)
        if attributes:
            self._look_at_attributes(attributes)
        for name in names:
            with self._collecting(name):
                self._look_at_dataset(name, group[name], listed)
        self._look_for_missing(names, listed)
        self._compare_shapes()
        return self.found

    def _say(self, what: str) -> None:
        self.found.problems.append(f"{self.head.path}: recording {self.found.id!r}: {what}; {REMEDY}.")

    @contextmanager
    def _collecting(self, what: str) -> Iterator[None]:
        """Note a failed read and go on."""
        try:
            yield
        except KeyError as error:
            self._say(f"{what} is missing or not whole ({error.args[0] if error.args else error})")
        except (OSError, RuntimeError, ValueError, TypeError) as error:
            wrong = "filter returned failure" in str(error)
            self._say(f"{what} is damaged ({'its checksum is wrong' if wrong else ' '.join(str(error).split())})")

    def _look_at_attributes(self, attributes: Mapping[str, Any]) -> None:
        for name in TEXTS:
            if not isinstance(attributes.get(name), str):
                self._say(f"its attribute {name} is no text")
        if attributes.get("speaker") == "":
            self._say("its speaker has no name")
        if isinstance(task := attributes.get("task"), str) and task not in get_args(Task):
            self._say(f"its task is {task!r}, not one of {', '.join(get_args(Task))}")
        if not isinstance(attributes.get("simulated"), bool):
            self._say("it does not say whether it is simulated")
        self.found.simulated = bool(attributes.get("simulated"))
        scale = attributes.get("mm_per_pixel", 1.0)
        if not isinstance(scale, float) or not 0 < scale < 100:
            self._say(f"{scale} mm per pixel is not a size")
        for name in (*LISTS, *FACTS):
            if name in attributes:
                with self._collecting(f"its attribute {name}"):
                    _check_json(name, json.loads(attributes[name]))

    def _look_at_dataset(self, name: str, dataset: Any, listed: str | None) -> None:
        kind, _, encoder = name.partition("/")
        if kind not in LAYOUT or bool(encoder) != (kind in IN_GROUPS):
            self._say(f"{name} is no part of a recording")
            return
        dtype, axes = LAYOUT[kind]
        shape = tuple(dataset.shape)
        wanted = f"{dtype} ({', '.join(axes)})"
        fixed = [size for size, axis in zip(shape, axes, strict=False) if axis.isdigit() and size != int(axis)]
        if dataset.dtype != dtype or len(shape) != len(axes) or fixed:
            self._say(f"{name} is {dataset.dtype} {shape}, not {wanted}")
            return
        self.shapes[name] = shape
        if dataset.size and not dataset.fletcher32:
            self._say(f"{name} has no checksum")
        digest = blake2b(digest_size=16)
        strange = 0
        for block in blocks_of(dataset):
            digest.update(np.ascontiguousarray(block).data)
            if block.dtype.kind == "f":
                # Times and contours may be unknown in places: NaN, but never infinite.
                bad = ~np.isfinite(block) if kind in ("acoustic", "text") else np.isinf(block)
                strange += int(bad.sum())
        if strange:
            self._say(f"{name} holds {strange} numbers that are NaN or infinite")
        entries = json.loads(listed) if listed else {}
        if listed and entries.get(name) != describe_dataset(dataset, digest.hexdigest()):
            self._say(f"{name} is not what was written")

    def _look_for_missing(self, names: list[str], listed: str | None) -> None:
        expected = {"frames", "audio"}
        for kind in ("acoustic", "text"):
            expected |= {f"{kind}/{name}" for name in self.head.encoders.get(kind, {})}
        with self._collecting("its attribute contents"):
            expected |= set(json.loads(listed)) if listed else set()
        for name in sorted(expected.difference(names)):
            self._say(f"{name} is missing")
        for name in names:
            kind, _, encoder = name.partition("/")
            if kind in ("acoustic", "text") and encoder not in self.head.encoders.get(kind, {}):
                self._say(f"{name} is of an encoder that the shard does not announce")

    def _compare_shapes(self) -> None:
        """Lengths, sizes and widths of the datasets, as far as they could be read, against each other."""
        shapes = self.shapes
        frames = shapes.get("frames", ())
        if frames:
            self.found.frames, self.found.size = frames[0], frames[1:]
            if min(frames) == 0:
                self._say(f"there is no picture in it (frames of shape {frames})")
        for name, shape in shapes.items():
            kind, _, encoder = name.partition("/")
            if frames and kind in ("acoustic", "contour") and shape[0] != frames[0]:
                self._say(f"{name} has {shape[0]} rows for {frames[0]} frames")
            if frames and kind == "audio" and abs(shape[0] - samples_at(frames[0])) > 1:
                self._say(f"{shape[0]} samples do not match {frames[0]} frames, which need {samples_at(frames[0])}")
            if frames and kind == "reference" and shape != frames[1:]:
                self._say(f"the reference is {shape}, the frames are {frames[1:]}")
            about = self.head.encoders.get(kind, {}).get(encoder, {})
            if kind in ("acoustic", "text") and shape[1] != about.get("width", shape[1]):
                self._say(f"{name} is {shape[1]} wide, announced are {about['width']}")
            tokens = shapes.get(f"text/{encoder}")
            if kind == "times" and (tokens is None or tokens[0] != shape[0]):
                self._say(f"{name} has {shape[0]} rows for {tokens[0] if tokens else 'no'} tokens")


def _has_width(about: Any) -> bool:
    width = about.get("width") if isinstance(about, dict) else None
    return type(width) is int and width > 0


def _check_json(name: str, value: Any) -> None:
    """Raise ValueError or TypeError where a JSON attribute is not as it must be."""
    if name in FACTS:
        if not isinstance(value, dict):
            raise ValueError("it is no table")
        return
    for label, start, end in value:
        if not isinstance(label, str) or not 0 <= float(end) - float(start) < np.inf:
            raise ValueError(f"{label!r} from {start} to {end} is no interval")

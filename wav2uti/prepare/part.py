"""A part: one recording as a folder of plain arrays, from which a shard is put together later.

Parts are made by many processes at once, in any order, each whole or not at all; a stopped command finds them again.
"""

import json
import shutil
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import blake2b
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from wav2uti.corpus.shards import AUDIO_SCALE
from wav2uti.corpus.shards.writer import FileArray
from wav2uti.errors import OutOfSpace

T = TypeVar("T")

ABOUT = "about.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is known of a recording that was made, or in a dry run looked through.

    Attributes:
        id, speaker, task, text, language, split: as in `Recording`.
        frames: their number at 60 a second.
        kind: what its raw frames are; "simulated" where it was not read.
        sound_rate: samples a second of its files.
        quality: figures of the checks, without "warnings".
        warnings: sentences for the user.
        bytes: of its arrays.
    """

    id: str
    speaker: str
    task: str
    text: str
    language: str
    split: str
    frames: int
    kind: str
    sound_rate: int
    quality: dict[str, Any]
    warnings: list[str]
    bytes: int

    @property
    def sound_digest(self) -> str:
        """Of all samples; empty where it was not read."""
        return str(self.quality.get("sound_digest", ""))


def part_name(id: str) -> str:
    """Name of the folder of a part: ids may be long, or strange to a file system."""
    return blake2b(id.encode(), digest_size=12).hexdigest()


class Part:
    """Writes one part, as a context manager: into a folder of its own, renamed when `finish` was called."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Two machines may make the same part at once, where the first was believed dead.
        self.folder = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
        self.attributes: dict[str, Any] = {}
        self._files: dict[str, FileIO] = {}
        self._arrays: dict[str, tuple[int, tuple[int, ...], str]] = {}  # rows, shape of a row, type
        self._finished = False

    def __enter__(self) -> "Part":
        self._writing(lambda: self.folder.mkdir(parents=True))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for file in self._files.values():
            file.close()
        if self._finished and error is None:
            try:
                self.folder.rename(self.path)
            except OSError:
                if not (self.path / ABOUT).is_file():  # else another process has made it meanwhile
                    shutil.rmtree(self.folder, ignore_errors=True)
                    raise
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def bytes(self) -> int:
        """Of all arrays so far."""
        return sum(
            rows * int(np.prod(row, dtype=np.int64)) * np.dtype(dtype).itemsize
            for rows, row, dtype in self._arrays.values()
        )

    def append(self, name: str, rows: NDArray[Any]) -> None:
        """Add rows (n, ...) to an array."""
        count, row, dtype = self._arrays.get(name, (0, rows.shape[1:], rows.dtype.str))
        if name not in self._files:
            path = self.folder / _file_name(name)
            # Unbuffered: a buffer that finds the disk full would say so again when it is closed.
            self._writing(lambda: self._files.update({name: path.open("wb", buffering=0)}))
        content = np.ascontiguousarray(rows).reshape(-1).view(np.uint8)
        while len(content):
            content = content[self._writing(partial(self._files[name].write, content.data)) :]
        self._arrays[name] = (count + len(rows), row, dtype)

    def array(self, name: str) -> FileArray:
        """An array of which all rows are written."""
        return _array(self.folder, name, self._arrays[name])

    def finish(self, recipe: str, report: Report, origin: dict[str, Any]) -> None:
        """Say what the part is and by what recipe it was made; it becomes visible when the block ends."""
        self.attributes |= {
            "quality": json.dumps(report.quality | {"warnings": report.warnings}),
            "origin": json.dumps(origin),
        }
        about = {
            "recipe": recipe,
            "report": asdict(report),
            "attributes": self.attributes,
            "arrays": self._arrays,
        }
        self._writing(lambda: (self.folder / ABOUT).write_text(json.dumps(about)))
        self._finished = True

    def _writing(self, action: Callable[[], T]) -> T:
        """Do something with the disk, or say that it is refused."""
        try:
            return action()
        except OSError as error:
            raise OutOfSpace(
                f"{self.path.parent} cannot be written ({error.strerror}): free space or choose another folder."
            ) from error


@dataclass(frozen=True, slots=True)
class FinishedPart:
    """A part that is whole."""

    path: Path
    recipe: str
    report: Report
    attributes: dict[str, Any]
    arrays: dict[str, FileArray]

    @property
    def origin(self) -> dict[str, Any]:
        """As `Work.origin` gave it."""
        return dict(json.loads(self.attributes["origin"]))


def read_part(path: Path) -> FinishedPart | None:
    """A part, or None where the folder holds none that is whole."""
    try:
        about = json.loads((path / ABOUT).read_text())
        arrays = {name: _array(path, name, known) for name, known in about["arrays"].items()}
        if any(array.path.stat().st_size != array.nbytes for array in arrays.values()):
            return None
        return FinishedPart(path, about["recipe"], Report(**about["report"]), about["attributes"], arrays)
    except (OSError, ValueError, KeyError, TypeError):
        return None


class StoredSound:
    """The stored sound of a part, read in slices as float32 in [-1, 1]."""

    def __init__(self, samples: FileArray) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, part: slice) -> NDArray[np.float32]:
        return self._samples[part].astype(np.float32) / np.float32(AUDIO_SCALE)


def _file_name(array: str) -> str:
    return array.replace("/", "__")


def _array(folder: Path, name: str, known: Any) -> FileArray:
    rows, row, dtype = known
    return FileArray(folder / _file_name(name), (int(rows), *map(int, row)), np.dtype(dtype))

"""`Shard` reads a shard; `schema` says what is in one."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
from numpy.typing import NDArray

from wav2uti.corpus.recording import Interval, Recording, Task
from wav2uti.corpus.shards import handles, remote
from wav2uti.corpus.shards.attributes import Plain, read_attributes, text_in
from wav2uti.corpus.shards.contents import CONTENTS
from wav2uti.corpus.shards.remote import Location, Url, located
from wav2uti.corpus.shards.schema import AUDIO_SCALE, READABLE, REMEDY, SCHEMA
from wav2uti.errors import InputError

_FAILURES = (KeyError, OSError, RuntimeError, ValueError, TypeError)  # what h5py and JSON raise of a damaged file


@dataclass(frozen=True, slots=True)
class RecordingInfo:
    """What is known of a stored recording without reading its picture.

    Attributes:
        id: name of the recording.
        shard: file or address of the shard that holds it.
        frames: number of frames at 60 a second.
        size: (H, W) in pixels.
        has_reference: a reference frame of the speaker is stored with it.
        speaker, task, text, language, source, simulated, split, mm_per_pixel: as in `Recording`.
    """

    id: str
    shard: Location
    frames: int
    size: tuple[int, int]
    has_reference: bool
    speaker: str
    task: Task
    text: str
    language: str
    source: str
    simulated: bool
    mm_per_pixel: float | None
    split: str = ""


class Shard:
    """A shard, opened at the first use in each process; pickles as its path.

    Its file is closed with it, and earlier where the process uses other shards (`handles`). A shard that cannot be
    read (no HDF5 file, another version, a missing field, a failed checksum, a network that fails) raises an InputError
    that names the file, the recording and the remedy.

    Args:
        path: file, or the address of one (`remote`).
    """

    def __init__(self, path: str | Location) -> None:
        self.path = located(path)
        self._process = 0
        self._version = 0
        self._file: Any = None
        self._pinned: tuple[int, ...] | None = None

    @property
    def file(self) -> Path:
        """The file. Raises InputError for a shard at an address, which is only read."""
        if isinstance(self.path, Url):
            raise InputError(f"{self.path}: shards at an address are only read; copy it to a local folder.")
        return self.path

    @property
    def nbytes(self) -> int:
        """Size of the file."""
        return remote.size(self.path) if isinstance(self.path, Url) else self.path.stat().st_size

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "pinned": self._pinned, "version": remote.seen(self.path)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]
        self._pinned = state["pinned"]
        remote.remember(self.path, state["version"])

    def pinned(self) -> "Shard":
        """Itself, bound to the file that is there now: one that takes its place later is refused, by copies too."""
        with self._reading("the file"):
            self._pinned = _identity(self.path)
        return self

    def close(self) -> None:
        """Close the file in this process; the next read opens it again."""
        handles.forget(id(self))
        if self._file is not None:
            self._file.close()
        self._file = None

    @property
    def ids(self) -> list[str]:
        """Names of the recordings, sorted."""
        with self._reading("the list of recordings"):
            return list(self._open()["recordings"])

    @property
    def version(self) -> int:
        """Schema version, one of `READABLE`."""
        self._open()
        return self._version

    @property
    def simulated(self) -> bool:
        """Whether it says that simulated recordings are in it."""
        with self._reading("the list of attributes"):
            return bool(read_attributes(self._open(), self.version > 1)["simulated"])

    @property
    def made_by(self) -> str:
        """Name and version of the program that wrote it; empty where it does not say."""
        with self._reading("the list of attributes"):
            return str(read_attributes(self._open(), self.version > 1).get("created_by", ""))

    @property
    def encoders(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Encoders whose embeddings are stored, as `shards.writer.describe_encoders` gives them."""
        encoders = self._json("encoders")
        return {kind: dict(encoders.get(kind, {})) for kind in ("acoustic", "text")}

    @property
    def settings(self) -> dict[str, Any]:
        """Command and options that made the shard; empty where the writer gave none."""
        return dict(self._json("settings"))

    def info(self, id: str) -> RecordingInfo:
        """What is known of a recording without reading its picture."""
        attributes = self._about(id)
        with self._reading(f"recording {id!r}"):
            frames = self._group(id)["frames"]
            scale = attributes.get("mm_per_pixel")
            return RecordingInfo(
                id=id,
                shard=self.path,
                frames=int(frames.shape[0]),
                size=(int(frames.shape[1]), int(frames.shape[2])),
                has_reference=self._has(id, "reference"),
                speaker=text_in(attributes, "speaker"),
                task=cast(Task, text_in(attributes, "task")),
                text=text_in(attributes, "text"),
                language=text_in(attributes, "language"),
                source=text_in(attributes, "source"),
                simulated=bool(attributes["simulated"]),
                mm_per_pixel=None if scale is None else float(scale),
                split=text_in(attributes, "split") if "split" in attributes else "",
            )

    def frames(self, id: str, start: int = 0, stop: int | None = None) -> NDArray[np.uint8]:
        """Frames [start, stop) of a recording, uint8 (T, H, W)."""
        return np.asarray(self._read(id, "frames", start, stop), dtype=np.uint8)

    def acoustic(self, id: str, encoder: str, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Acoustic embeddings of frames [start, stop), float32 (T, D_a)."""
        return np.asarray(self._read(id, f"acoustic/{encoder}", start, stop), dtype=np.float32)

    def text(self, id: str, encoder: str) -> NDArray[np.float32]:
        """Text embeddings of the whole utterance, float32 (L, D_t)."""
        return np.asarray(self._read(id, f"text/{encoder}"), dtype=np.float32)

    def text_times(self, id: str, encoder: str) -> NDArray[np.float32] | None:
        """Start and end of each token in s from frame 0, float32 (L, 2), NaN where unknown; None without word times."""
        name = f"times/{encoder}"
        return np.asarray(self._read(id, name), np.float32) if self._has(id, name) else None

    def audio(self, id: str) -> NDArray[np.float32]:
        """Sound of a recording, float32 (N,) in [-1, 1] at 16 kHz."""
        return np.asarray(self._read(id, "audio"), dtype=np.float32) / np.float32(AUDIO_SCALE)

    def reference(self, id: str) -> NDArray[np.uint8] | None:
        """Stored reference frame of the speaker, uint8 (H, W), or None."""
        return np.asarray(self._read(id, "reference"), np.uint8) if self._has(id, "reference") else None

    def contour(self, id: str, start: int = 0, stop: int | None = None) -> NDArray[np.float32] | None:
        """Tongue contour of frames [start, stop), float32 (T, K, 2) in pixels (column, row), or None."""
        return np.asarray(self._read(id, "contour", start, stop), np.float32) if self._has(id, "contour") else None

    def words(self, id: str) -> tuple[Interval, ...]:
        """Words with their times in s from frame 0; empty where none are known."""
        return self._intervals(id, "words")

    def phones(self, id: str) -> tuple[Interval, ...]:
        """The same for phones."""
        return self._intervals(id, "phones")

    def quality(self, id: str) -> dict[str, Any]:
        """Figures of the quality checks, and "warnings", a list of sentences; empty where none were made."""
        return dict(self._attribute(id, "quality"))

    def origin(self, id: str) -> dict[str, Any]:
        """Layout, options and files (role -> name, bytes, digest) that the recording was read from; may be empty."""
        return dict(self._attribute(id, "origin"))

    def recording(self, id: str) -> Recording:
        """The whole recording, as it was given to the writer (the sound rounded to 16 bit)."""
        info = self.info(id)
        return Recording(
            id=id,
            frames=self.frames(id),
            audio=self.audio(id),
            speaker=info.speaker,
            task=info.task,
            text=info.text,
            language=info.language,
            source=info.source,
            simulated=info.simulated,
            mm_per_pixel=info.mm_per_pixel,
            contour=self.contour(id),
            split=info.split,
            words=self.words(id),
            phones=self.phones(id),
            reference=self.reference(id),
        )

    def _intervals(self, id: str, name: str) -> tuple[Interval, ...]:
        intervals = self._attribute(id, name)
        with self._reading(f"recording {id!r}, {name}"):
            return tuple(Interval(str(label), float(start), float(end)) for label, start, end in intervals)

    def _attribute(self, id: str, name: str) -> Any:
        """A JSON attribute of a recording; an empty list where it has none."""
        attributes = self._about(id)
        with self._reading(f"recording {id!r}, {name}"):
            return json.loads(text_in(attributes, name)) if name in attributes else []

    def _about(self, id: str) -> dict[str, Plain]:
        """All attributes of a recording, as they were written."""
        with self._reading(f"recording {id!r}"):
            return read_attributes(self._group(id), self.version > 1)

    def _read(self, id: str, field: str, start: int = 0, stop: int | None = None) -> Any:
        try:  # as `_reading`, without what it costs: clips are cut here
            file = self._open()
            return handles.dataset(self, file, f"recordings/{id}/{field}")[start:stop]
        except InputError:
            raise
        except _FAILURES as error:
            raise self._told(error, f"recording {id!r}, {field}") from error

    def _has(self, id: str, field: str) -> bool:
        with self._reading(f"recording {id!r}"):
            group = self._group(id)
            # One that is listed and not there is for the reading to complain of.
            return field in group or (self.version > 1 and field in json.loads(group.attrs[CONTENTS]))

    def _json(self, attribute: str) -> dict[str, Any]:
        with self._reading(f"attribute {attribute!r}"):
            value = json.loads(text_in(read_attributes(self._open(), self.version > 1), attribute))
            if not isinstance(value, dict):
                raise ValueError(f"it holds a {type(value).__name__}")
            return value

    def _group(self, id: str) -> Any:
        return self._open()["recordings"][id]

    def _open(self) -> Any:
        """The open file of this process. A forked worker must not share the handle of its parent."""
        if self._file is None or self._process != os.getpid():
            handles.forget(id(self))
            self._file = open_shard(self.path)
            if self._pinned not in (None, _identity(self.path)):
                self.close()
                raise InputError(f"{self.path} was replaced while it was in use: start the command again.")
            self._version = int(self._file.attrs["version"])
            self._process = os.getpid()
            handles.opened(self)
        else:
            handles.used(self)
        return self._file

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        """Say which file and recording a failed read belongs to, and what to do."""
        try:
            yield
        except InputError:
            raise
        except _FAILURES as error:
            raise self._told(error, what) from error

    def _told(self, error: Exception, what: str) -> InputError:
        """A failed read as the sentence that a user gets."""
        if isinstance(self.path, Url) and (changed := remote.changed(self.path)):
            return changed
        if isinstance(error, KeyError):
            return InputError(f"{self.path}: {what} is missing or not whole; {REMEDY}.")
        reason = "its checksum is wrong" if "filter returned failure" in str(error) else str(error)
        return InputError(f"{self.path}: {what} is damaged ({reason}); {REMEDY}.")


def _identity(path: Location) -> tuple[int, ...] | None:
    """What tells a file from another one of the same name; None at an address, which `remote` watches itself."""
    if isinstance(path, Url):
        return None
    about = path.stat()
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns


def open_shard(path: Location) -> Any:
    """Open a shard for reading, or say why it cannot be."""
    source = remote.opened(path) if isinstance(path, Url) else path
    if isinstance(path, Path) and not path.is_file():
        raise InputError(f"{path}: there is no such shard; make one with wav2uti simulate or wav2uti prepare.")
    try:
        # Without HDF5's cache of chunks: a random clip is not in it, and each open dataset would hold up to 1 MB.
        file = h5py.File(source, "r", rdcc_nbytes=0)
    except OSError as error:
        if "truncated" in str(error):
            raise InputError(
                f"{path}: the shard is cut off (an incomplete copy?); copy it again or {REMEDY}."
            ) from error
        if "signature not found" in str(error):
            raise InputError(f"{path}: this is not an HDF5 file, so not a shard; {REMEDY}.") from error
        raise InputError(f"{path}: the shard cannot be opened ({error}); {REMEDY}.") from error
    try:
        return _checked(file, path)
    except BaseException:
        file.close()
        raise


def _checked(file: Any, path: Location) -> Any:
    """The open file, or an InputError where it is no shard of a version that is read."""
    try:
        schema, version = file.attrs.get("schema"), file.attrs.get("version")
        if schema not in (SCHEMA, SCHEMA.encode()):
            raise InputError(f"{path}: this HDF5 file is not a wav2uti shard; {REMEDY}.")
        if version not in READABLE:
            raise InputError(
                f"{path}: the shard has schema version {version}, this wav2uti reads "
                f"{' and '.join(map(str, READABLE))}; {REMEDY}."
            )
        read_attributes(file, version > 1)
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: the head of the shard is damaged ({error}); {REMEDY}.") from error
    return file

"""Writing shards: one file whole or not at all. The layout is described in `shards`."""

import errno
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import DTypeLike, NDArray

from wav2uti import __version__
from wav2uti.corpus.recording import Interval
from wav2uti.corpus.shards.attributes import read_attributes, size_of, write_attributes
from wav2uti.corpus.shards.contents import CONTENTS, dataset_names, describe_dataset
from wav2uti.corpus.shards.schema import AUDIO_SCALE, CHUNK_FRAMES, REMEDY, SCHEMA, VERSION
from wav2uti.errors import InputError, OutOfSpace

if TYPE_CHECKING:  # the encoders bring torch, which writing does not need
    from wav2uti.speech.acoustic import AcousticEncoder
    from wav2uti.speech.textual import TextEncoder

MAX_BYTES = 2**30  # a shard is closed above it
_COPIED = 64 * CHUNK_FRAMES  # rows copied at a time: memory does not grow with a recording


@dataclass(frozen=True)
class FileArray:
    """A numeric array in a plain file in C order, read in slices along its first axis."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> NDArray[Any]:
        start, stop, _ = part.indices(len(self))
        row = int(np.prod(self.shape[1:], dtype=np.int64))
        count = max(stop - start, 0) * row
        values = np.fromfile(self.path, self.dtype, count, offset=start * row * self.dtype.itemsize)
        return values.reshape(-1, *self.shape[1:])


class ShardWriter:
    """Writes one shard, as a context manager.

    The HDF5 file is written as `.NAME.part` and renamed when the block ends. Where the block ends by an exception, the
    recordings that are whole are kept; without any, no file is written. The space for a recording is taken from the
    disk before HDF5 writes it: on a full disk the HDF5 library itself would leave a broken file and end the process.

    Args:
        path: file to write, replaced where it exists.
        encoders: whose embeddings each recording brings, as `describe_encoders` gives them.
        settings: command and options, plain JSON, by which a later run recognizes its own work.
    """

    def __init__(
        self, path: Path, encoders: Mapping[str, Any] | None = None, settings: Mapping[str, Any] | None = None
    ) -> None:
        self.path = path
        self.part = path.with_name(f".{path.name}.part")
        self.encoders = dict(encoders or describe_encoders([], []))
        self.settings = dict(settings or {})
        self.recordings = 0
        self.bytes = 0
        self._reserved = 0
        self._simulated = False
        self._file: Any = None

    def __enter__(self) -> "ShardWriter":
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.part.touch()  # a folder that cannot be written is told before any work is done
            self._reserve(2**20)
        except OSError as error:
            with suppress(OSError):
                self.part.unlink()
            raise self._cannot_write(error) from error
        # HDF5 1.10's layout: the first whose metadata carries checksums too. Recordings are added to an empty file of
        # it by "r+", since "w" gives reserved space back.
        with h5py.File(self.part, "w", libver=("v110", "v110")) as file:
            write_attributes(file, self._about())
            file.create_group("recordings")
        self._reserved = 0
        self._file = h5py.File(self.part, "r+", libver=("v110", "v110"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self.recordings:
                write_attributes(self._file, self._about() | {"simulated": self._simulated})
            self._file.flush()
            size = self._file.id.get_filesize()
            self._file.close()
            if self.recordings:
                os.truncate(self.part, size)  # HDF5 knows nothing of the space reserved beyond it
                self.part.replace(self.path)
        except OSError as failure:
            raise self._cannot_write(failure) from failure
        finally:
            self.part.unlink(missing_ok=True)

    def add_arrays(
        self, id: str, attributes: Mapping[str, Any], arrays: Mapping[str, NDArray[Any] | FileArray]
    ) -> None:
        """Store a recording that is given as the attributes and datasets of its group.

        Raises InputError where the id is taken, OutOfSpace where the disk is full.
        """
        if id in self._file["recordings"]:
            raise InputError(
                f"Recording {id!r} ({attributes['source']}) is in {self.path.name} already; give it another name."
            )
        size = sum(array.nbytes for array in arrays.values())
        try:
            # Checksums and indices of chunks take 28 bytes a chunk, names and attributes some kilobytes.
            self._reserve(size + size // 50 + size_of(attributes) + 2**17)
        except OSError as error:
            raise self._cannot_write(error) from error
        group = self._file["recordings"].create_group(id)
        try:
            contents = {name: _write(group, name, array) for name, array in arrays.items()}
            write_attributes(group, {**attributes, CONTENTS: json.dumps(contents)})
        except BaseException:  # Ctrl-C too
            del self._file["recordings"][id]
            raise
        self.recordings += 1
        self.bytes += size
        self._simulated |= bool(attributes["simulated"])

    def copy(
        self,
        shard: Path,
        id: str,
        attributes: Mapping[str, Any] | None = None,
        arrays: Mapping[str, NDArray[Any] | FileArray] | None = None,
    ) -> None:
        """Store a recording of another shard, its checksums with it.

        Args:
            shard: the other shard.
            id: name of the recording.
            attributes: written over those it has.
            arrays: datasets added to its own, or put in their place.

        Raises:
            InputError: the recording cannot be copied.
            OutOfSpace: the disk is full.
        """
        attributes, arrays = attributes or {}, arrays or {}
        recordings = self._file["recordings"]
        if id in recordings:
            raise InputError(f"Recording {id!r} of {shard} is in {self.path.name} already; leave one of them out.")
        try:
            with h5py.File(shard, "r") as other:
                source = other["recordings"][id]
                stored = read_attributes(source, other.attrs["version"] > 1)
                kept = [name for name in dataset_names(source) if name not in arrays]
                contents: dict[str, Any] = json.loads(str(stored.get(CONTENTS, "{}")))
                size = sum(source[name].nbytes for name in kept) + sum(array.nbytes for array in arrays.values())
                self._reserve(size + size // 50 + size_of(stored) + size_of(attributes) + 2**17)
                group = recordings.create_group(id)
                for name in kept:
                    source.copy(source[name], group, name=name)
                contents = {name: contents.get(name) or describe_dataset(source[name]) for name in kept}
            contents |= {name: _write(group, name, array) for name, array in arrays.items()}
            about = {**stored, **attributes, CONTENTS: json.dumps(contents)}
            write_attributes(group, about)
        except BaseException as error:  # Ctrl-C too
            if id in recordings:
                del recordings[id]
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise self._cannot_write(error) from error
            if isinstance(error, KeyError | RuntimeError | OSError | ValueError) and not isinstance(error, InputError):
                raise InputError(f"{shard}: recording {id!r} is damaged ({error}); {REMEDY}.") from error
            raise
        self.recordings += 1
        self.bytes += size
        self._simulated |= bool(about["simulated"])

    def _about(self) -> dict[str, Any]:
        """Attributes of the file."""
        return {
            "schema": SCHEMA,
            "version": VERSION,
            "created_by": f"wav2uti {__version__}",
            "encoders": json.dumps(self.encoders),
            "settings": json.dumps(self.settings),
        }

    def _reserve(self, size: int) -> None:
        """Take so much more space from the disk, or raise OSError."""
        first = self._reserved
        self._reserved += size
        with self.part.open("r+b") as file:
            try:
                os.posix_fallocate(file.fileno(), first, size)
            except AttributeError:  # macOS has no such call
                return
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                    raise

    def _cannot_write(self, error: OSError) -> OutOfSpace:
        return OutOfSpace(f"{self.path} cannot be written ({error.strerror}); free space or choose another folder.")


def shard_paths(out: Path) -> Iterator[Path]:
    """Names for new shards of a folder, after those that are there."""
    numbers = [int(p.stem.removeprefix("shard-")) for p in out.glob("shard-*.h5") if p.stem[6:].isdecimal()]
    return (out / f"shard-{number:05d}.h5" for number in count(max(numbers, default=-1) + 1))


def describe_encoders(
    acoustic: Sequence["AcousticEncoder"],
    text: Sequence["TextEncoder"],
    transcriber: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Encoders as a shard names them: {"acoustic" | "text": {name: {"spec": ..., "width": ...}}}.

    An acoustic encoder with several layers in a vector has "layers", their number, too. Text encoders have
    "transcriber", the spec of what wrote the texts that the corpus does not have, where there is one.
    """
    heard = {
        e.name: {"spec": e.spec(), "width": e.width} | ({"layers": e.layers} if e.layers > 1 else {}) for e in acoustic
    }
    wrote = {} if transcriber is None else {"transcriber": dict(transcriber)}
    return {"acoustic": heard, "text": {e.name: {"spec": e.spec(), "width": e.width} | wrote for e in text}}


def to_half(values: NDArray[np.float32], encoder: str, expected: tuple[int, ...], id: str) -> NDArray[np.float16]:
    """Embeddings as float16. Raises InputError where the shape is wrong or a number is beyond float16."""
    if values.shape != expected:
        raise InputError(
            f"Recording {id!r}: the encoder {encoder!r} gave shape {values.shape}, not {expected}; correct the encoder."
        )
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    if not np.isfinite(half).all():
        raise InputError(
            f"Recording {id!r}: the encoder {encoder!r} gave NaN or numbers beyond 65504, which a shard cannot hold; "
            "check the recording or use another encoder."
        )
    return half


def to_int16(audio: NDArray[np.float32]) -> NDArray[np.int16]:
    """Sound as it is stored; full scale never wraps."""
    scaled = np.round(audio.astype(np.float64) * AUDIO_SCALE)
    return np.clip(scaled, -AUDIO_SCALE, AUDIO_SCALE - 1).astype(np.int16)


def attributes_of(
    about: Any, words: Sequence[Interval] | None = None, phones: Sequence[Interval] | None = None
) -> dict[str, Any]:
    """Attributes of the group of a recording.

    Args:
        about: a `Recording`, or a `RawRecording` with
        words, phones: on the recording's own clock.
    """
    attributes = {
        "speaker": about.speaker,
        "task": about.task,
        "text": about.text,
        "language": about.language,
        "source": about.source,
        "simulated": about.simulated,
        "split": about.split,
        "words": json.dumps(plain_intervals(about.words if words is None else words)),
        "phones": json.dumps(plain_intervals(about.phones if phones is None else phones)),
    }
    return attributes if about.mm_per_pixel is None else attributes | {"mm_per_pixel": about.mm_per_pixel}


def plain_intervals(intervals: Sequence[Interval]) -> list[tuple[str, float, float]]:
    """Intervals as JSON holds them: (label, start, end)."""
    return [(interval.label, interval.start, interval.end) for interval in intervals]


def _write(group: Any, name: str, array: NDArray[Any] | FileArray) -> dict[str, Any]:
    """Store an array with its checksum, which HDF5 keeps for chunks only: an empty array has neither.

    Returns what `describe_dataset` would find in it.
    """
    if array.nbytes == 0:
        return describe_dataset(group.create_dataset(name, shape=array.shape, dtype=array.dtype))
    # What clips are cut from is chunked by clip; the rest is read whole.
    by_clip = name == "frames" or name.startswith("acoustic/")
    rows = min(len(array), CHUNK_FRAMES) if by_clip else min(len(array), _rows_of(2**24, array.shape, array.dtype))
    chunks = (rows, *array.shape[1:])
    dataset = group.create_dataset(name, shape=array.shape, dtype=array.dtype, chunks=chunks, fletcher32=True)
    step = max(_COPIED // rows, 1) * rows
    digest = blake2b(digest_size=16)
    for start in range(0, len(array), step):
        block = array[start : start + step]
        digest.update(np.ascontiguousarray(block).data)
        dataset[start : start + step] = block
    return describe_dataset(dataset, digest.hexdigest())


def _rows_of(size: int, shape: tuple[int, ...], dtype: DTypeLike) -> int:
    """Rows of an array that fill a chunk of `size` bytes."""
    return max(size // max(int(np.prod(shape[1:], dtype=np.int64)) * np.dtype(dtype).itemsize, 1), 1)

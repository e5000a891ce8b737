"""Writing shards: one file whole or not at all. The layout is described in `shards.py`."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from wav2uti import __version__
from wav2uti.corpus.recording import Recording
from wav2uti.corpus.shards import AUDIO_SCALE, CHUNK_FRAMES, SCHEMA, VERSION
from wav2uti.errors import InputError

if TYPE_CHECKING:  # the encoders bring torch, which writing does not need
    from wav2uti.speech.acoustic import AcousticEncoder
    from wav2uti.speech.embed import Embeddings
    from wav2uti.speech.textual import TextEncoder

MAX_BYTES = 256 * 2**20  # a shard is closed above it: small enough to be made in memory, and to lose


class ShardWriter:
    """Writes one shard, as a context manager.

    The HDF5 file is made in memory and written as `.NAME.part`, then renamed, when the block ends: on a full disk the
    HDF5 library itself leaves broken files and ends the process. Where the block ends by an exception, the recordings
    that are whole are kept; without any, no file is written.

    Args:
        path: file to write, replaced where it exists.
        acoustic: encoders whose embeddings each recording brings.
        text: the same for text.
        settings: command and options, plain JSON, by which a later run recognizes its own work.
    """

    def __init__(
        self,
        path: Path,
        acoustic: Sequence["AcousticEncoder"] = (),
        text: Sequence["TextEncoder"] = (),
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = path
        self.part = path.with_name(f".{path.name}.part")
        self.encoders = describe_encoders(acoustic, text)
        self.settings = dict(settings or {})
        self.recordings = 0
        self.bytes = 0
        self._simulated = False
        self._file: Any = None

    def __enter__(self) -> "ShardWriter":
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.part.touch()  # a folder that cannot be written is told before any work is done
        except OSError as error:
            raise self._cannot_write(error) from error
        # HDF5 1.10's layout: the first whose metadata carries checksums too.
        memory = {"driver": "core", "backing_store": False, "block_size": 16 * 2**20}
        self._file = h5py.File(self.part, "w", libver=("v110", "v110"), **memory)
        self._file.attrs.update(
            schema=SCHEMA,
            version=VERSION,
            created_by=f"wav2uti {__version__}",
            encoders=json.dumps(self.encoders),
            settings=json.dumps(self.settings),
        )
        self._file.create_group("recordings")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self.recordings:
                self._file.attrs["simulated"] = self._simulated
                self._file.flush()
                self.part.write_bytes(self._file.id.get_file_image())
                self.part.replace(self.path)
        except OSError as failure:
            raise self._cannot_write(failure) from failure
        finally:
            self._file.close()
            self.part.unlink(missing_ok=True)

    def add(self, recording: Recording, embeddings: "Embeddings") -> None:
        """Store a recording with its embeddings: whole, or not at all.

        Raises InputError where the id is taken or embeddings do not fit.
        """
        if recording.id in self._file["recordings"]:
            raise InputError(
                f"Recording {recording.id!r} ({recording.source}) is in {self.path.name} already; give it another name."
            )
        arrays = embedding_arrays(recording, embeddings, self.encoders)
        arrays["frames"] = recording.frames
        arrays["audio"] = _to_int16(recording.audio)
        if recording.contour is not None:
            arrays["contour"] = recording.contour
        if recording.reference is not None:
            arrays["reference"] = recording.reference
        group = self._file["recordings"].create_group(recording.id)
        try:
            _describe(group, recording)
            for name, array in arrays.items():
                _write(group, name, array)
        except BaseException:  # Ctrl-C too
            del self._file["recordings"][recording.id]
            raise
        self.recordings += 1
        self.bytes += sum(array.nbytes for array in arrays.values())
        self._simulated |= recording.simulated

    def _cannot_write(self, error: OSError) -> InputError:
        return InputError(f"{self.path} cannot be written ({error.strerror}); free space or choose another folder.")


def write_shards(
    out: Path,
    items: Iterable[tuple[Recording, "Embeddings"]],
    acoustic: Sequence["AcousticEncoder"] = (),
    text: Sequence["TextEncoder"] = (),
    settings: Mapping[str, Any] | None = None,
    max_bytes: int = MAX_BYTES,
) -> list[Path]:
    """Write recordings into shard-00000.h5, shard-00001.h5 ... of a folder, after those that are there.

    A new shard begins once `max_bytes` are reached. An exception while `items` are made, Ctrl-C included, leaves
    the recordings made before it as a whole shard. Returns the files written.
    """
    written: list[Path] = []
    remaining = iter(items)
    first = next(remaining, None)
    while first is not None:
        with ShardWriter(_next_path(out), acoustic, text, settings) as writer:
            item: tuple[Recording, Embeddings] | None = first
            while item is not None:
                writer.add(*item)
                item = next(remaining, None) if writer.bytes < max_bytes else None
        written.append(writer.path)
        first = next(remaining, None)
    return written


def describe_encoders(acoustic: Sequence["AcousticEncoder"], text: Sequence["TextEncoder"]) -> dict[str, Any]:
    """Encoders as a shard names them: {"acoustic" | "text": {name: {"spec": ..., "width": ...}}}."""
    return {
        "acoustic": {e.name: {"spec": e.spec(), "width": e.width} for e in acoustic},
        "text": {e.name: {"spec": e.spec(), "width": e.width} for e in text},
    }


def embedding_arrays(
    recording: Recording, embeddings: "Embeddings", encoders: Mapping[str, Any]
) -> dict[str, NDArray[Any]]:
    """Embeddings as they are stored (float16), by their place in the recording's group.

    Raises InputError where a shape is wrong or a number is beyond float16.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for kind, given in (("acoustic", embeddings.acoustic), ("text", embeddings.text)):
        for name, about in encoders[kind].items():
            array = given[name]
            expected = (len(recording.frames) if kind == "acoustic" else len(array), about["width"])
            if array.shape != expected:
                raise InputError(
                    f"Recording {recording.id!r} ({recording.source}): the {kind} encoder {name!r} gave shape "
                    f"{array.shape}, not {expected}; correct the encoder."
                )
            with np.errstate(over="ignore"):
                half = array.astype(np.float16)
            if not np.isfinite(half).all():
                raise InputError(
                    f"Recording {recording.id!r} ({recording.source}): the {kind} encoder {name!r} gave NaN or numbers "
                    "beyond 65504, which a shard cannot hold; check the recording or use another encoder."
                )
            arrays[f"{kind}/{name}"] = half
    return arrays


def _next_path(out: Path) -> Path:
    numbers = [int(p.stem.removeprefix("shard-")) for p in out.glob("shard-*.h5") if p.stem[6:].isdecimal()]
    return out / f"shard-{max(numbers, default=-1) + 1:05d}.h5"


def _to_int16(audio: NDArray[np.float32]) -> NDArray[np.int16]:
    scaled = np.round(audio.astype(np.float64) * AUDIO_SCALE)
    return np.clip(scaled, -AUDIO_SCALE, AUDIO_SCALE - 1).astype(np.int16)


def _describe(group: Any, recording: Recording) -> None:
    group.attrs.update(
        speaker=recording.speaker,
        task=recording.task,
        text=recording.text,
        language=recording.language,
        source=recording.source,
        simulated=recording.simulated,
        phones=json.dumps([(phone.label, phone.start, phone.end) for phone in recording.phones]),
    )
    if recording.mm_per_pixel is not None:
        group.attrs["mm_per_pixel"] = recording.mm_per_pixel


def _write(group: Any, name: str, array: NDArray[Any]) -> None:
    """Store an array with its checksum, which HDF5 keeps for chunks only: an empty array has neither."""
    if array.size == 0:
        group.create_dataset(name, data=array)
        return
    # What clips are cut from is chunked by clip; the rest is read whole.
    by_clip = name == "frames" or name.startswith("acoustic/")
    chunks = (min(len(array), CHUNK_FRAMES), *array.shape[1:]) if by_clip else array.shape
    group.create_dataset(name, data=array, chunks=chunks, fletcher32=True)

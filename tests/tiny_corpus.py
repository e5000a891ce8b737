"""Small recordings, encoders and shards for the tests of everything that reads a corpus."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wav2uti.clock import samples_at
from wav2uti.corpus.recording import Interval, Recording
from wav2uti.corpus.shards.writer import (
    MAX_BYTES,
    ShardWriter,
    attributes_of,
    describe_encoders,
    shard_paths,
    to_half,
    to_int16,
)
from wav2uti.speech.acoustic import AcousticEncoder
from wav2uti.speech.textual import TextEncoder


class FrameCounter(AcousticEncoder):
    """Embeds frame k as (k, 2k, 3k): what a clip's embeddings must be is known from its place."""

    name = "frame-counter"
    width = 3

    def encode(self, audio: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
        return np.arange(frames, dtype=np.float32)[:, None] * np.array([1, 2, 3], dtype=np.float32)

    def spec(self) -> dict[str, Any]:
        return {"class": "FrameCounter", "args": {}}


class Letters(TextEncoder):
    """Embeds a letter as (its code, 1)."""

    name = "letters"
    width = 2

    def encode(self, text: str) -> NDArray[np.float32]:
        return np.array([(ord(letter), 1) for letter in text], dtype=np.float32).reshape(-1, 2)

    def spans(self, text: str) -> NDArray[np.int64]:
        return np.stack([np.arange(len(text)), np.arange(len(text)) + 1], axis=1)

    def spec(self) -> dict[str, Any]:
        return {"class": "Letters", "args": {}}


def make_recording(name: str, speaker: str = "ann", frames: int = 40, size: int = 12, **fields: Any) -> Recording:
    """A recording of noise in picture and sound, the same for the same name."""
    rng = np.random.default_rng(list(name.encode()))
    given: dict[str, Any] = {
        "frames": rng.integers(0, 256, (frames, size, size), dtype=np.uint8),
        "audio": rng.integers(-(2**15), 2**15, samples_at(frames)).astype(np.float32) / 2**15,
        "task": "word",
        "text": f"say {name}",
        "language": "en",
        "source": f"{name}.wav",
    }
    return Recording(id=name, speaker=speaker, **(given | fields))


def make_full_recording(name: str = "full", frames: int = 40, size: int = 12) -> Recording:
    """A recording that has every optional field."""
    rng = np.random.default_rng(1)
    return make_recording(
        name,
        frames=frames,
        size=size,
        simulated=True,
        source="simulated by a test",
        mm_per_pixel=0.75,
        contour=rng.random((frames, 7, 2), dtype=np.float32),
        phones=(Interval("s", 0.0, 0.25), Interval("æ", 0.25, 0.5)),
        reference=rng.integers(0, 256, (size, size), dtype=np.uint8),
    )


def arrays_of(
    recording: Recording, acoustic: Sequence[AcousticEncoder] = (), text: Sequence[TextEncoder] = ()
) -> dict[str, NDArray[Any]]:
    """The datasets of a recording in a shard, with the embeddings of some encoders."""
    frames = len(recording.frames)
    arrays: dict[str, NDArray[Any]] = {"frames": recording.frames, "audio": to_int16(recording.audio)}
    given = {"contour": recording.contour, "reference": recording.reference}
    arrays |= {name: array for name, array in given.items() if array is not None}
    for heard in acoustic:
        vectors = heard.encode(recording.audio, frames)
        arrays[f"acoustic/{heard.name}"] = to_half(vectors, heard.name, (frames, heard.width), recording.id)
    for read in text:
        vectors = read.encode(recording.text)
        arrays[f"text/{read.name}"] = to_half(vectors, read.name, (len(vectors), read.width), recording.id)
    return arrays


def write_corpus(
    out: Path,
    recordings: Iterable[Recording],
    acoustic: Sequence[AcousticEncoder] = (FrameCounter(),),
    text: Sequence[TextEncoder] = (Letters(),),
    settings: Mapping[str, Any] | None = None,
    max_bytes: int = MAX_BYTES,
) -> list[Path]:
    """Write recordings with both small encoders, or others, into shards, after those that are there.

    A new shard begins once `max_bytes` are reached.
    """
    written: list[Path] = []
    paths, remaining = shard_paths(out), iter(recordings)
    recording = next(remaining, None)
    while recording is not None:
        with ShardWriter(next(paths), describe_encoders(acoustic, text), settings) as writer:
            while recording is not None and writer.bytes < max_bytes:
                writer.add_arrays(recording.id, attributes_of(recording), arrays_of(recording, acoustic, text))
                recording = next(remaining, None)
        written.append(writer.path)
    return written

"""A corpus of noise in the shape of a real one, for benchmarks of reading."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wav2uti.clock import samples_at
from wav2uti.corpus.recording import Recording
from wav2uti.corpus.shards.writer import ShardWriter, attributes_of, to_int16

ACOUSTIC, TEXT = "wide", "tokens"


@dataclass(frozen=True)
class Shape:
    """What the corpus is like; the widths are those of wav2vec2-large and of BERT."""

    recordings: int = 200
    frames: int = 300  # 5 s
    size: int = 112
    acoustic: int = 1024
    tokens: int = 30
    text: int = 768


def make_corpus(out: Path, shape: Shape, shards: int = 1) -> list[Path]:
    """Shards of recordings of noise of 8 speakers, evenly filled."""
    rng = np.random.default_rng(0)
    encoders = {
        "acoustic": {ACOUSTIC: {"spec": {}, "width": shape.acoustic}},
        "text": {TEXT: {"spec": {}, "width": shape.text}},
    }
    paths = []
    for s, part in enumerate(np.array_split(np.arange(shape.recordings), shards)):
        with ShardWriter(out / f"shard-{s:05d}.h5", encoders) as writer:
            for k in part:
                recording = Recording(
                    id=f"r{k:05d}",
                    frames=rng.integers(0, 256, (shape.frames, shape.size, shape.size), dtype=np.uint8),
                    audio=np.zeros(samples_at(shape.frames), dtype=np.float32),
                    speaker=f"s{k % 8}",
                    text="a sentence of ordinary length",
                    source="noise",
                )
                arrays: dict[str, NDArray[Any]] = {
                    "frames": recording.frames,
                    "audio": to_int16(recording.audio),
                    f"acoustic/{ACOUSTIC}": rng.random((shape.frames, shape.acoustic), np.float32).astype(np.float16),
                    f"text/{TEXT}": rng.random((shape.tokens, shape.text), np.float32).astype(np.float16),
                }
                writer.add_arrays(recording.id, attributes_of(recording), arrays)
        paths.append(writer.path)
    return paths

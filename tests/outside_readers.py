"""Every reader of bytes from outside but those of corpora's text formats, with files to break for each.

A reader here writes a broken file into a folder, has it read, and checks what came of it. The text formats are in
`corpus/test_properties_of_formats.py`; `test_fuzz.py` and `benchmarks/fuzz.py` run both.
"""

import io
import json
import os
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from broken_files import Readers, broken
from hypothesis import strategies as st
from outside_media import CONCAT, LIST, encoded, nearly_wav, pictured, read_picture, read_sound, read_video, video
from outside_runs import (
    CURVE,
    METRICS,
    nearly_metrics,
    nearly_samples,
    read_clips,
    read_curve,
    read_run,
    read_spoken,
    samples,
)

from wav2uti.config_files import check_configs
from wav2uti.corpus.formats.table import read_table
from wav2uti.corpus.readers.search import find_recordings
from wav2uti.metrics.weights import MissingWeights, read_state

# ---- weights and models


@cache
def weights(kind: str) -> bytes:
    import torch
    from safetensors.torch import save

    state = {"w": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(3)}
    if kind == "safetensors":
        return save(state)
    file = io.BytesIO()
    torch.save(state, file, _use_new_zipfile_serialization=kind == "zip")
    return file.getvalue()


def read_weights(folder: Path, named: tuple[str, bytes]) -> None:
    ending, content = named
    (folder / f"net.{ending}").write_bytes(content)
    _, state = read_state("fvd", folder / f"net.{ending}")
    assert all(type(name) is str for name in state)


@cache
def model_files() -> dict[str, bytes]:
    """A random BERT of one layer, twelve positions and the letters a to e."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    torch.manual_seed(0)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcde"]
    with tempfile.TemporaryDirectory() as made:
        BertTokenizer(vocab={word: index for index, word in enumerate(words)}).save_pretrained(made)
        BertModel(
            BertConfig(
                vocab_size=len(words), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
                max_position_embeddings=12,
            )
        ).save_pretrained(made)  # fmt: skip
        return {path.name: path.read_bytes() for path in sorted(Path(made).iterdir()) if path.is_file()}


@st.composite
def nearly_model(draw: st.DrawFn) -> tuple[str, bytes]:
    """The name of one of its files, and what it now holds."""
    name = draw(st.sampled_from(sorted(model_files())))
    return name, draw(broken(model_files()[name]))


def read_model(folder: Path, named: tuple[str, bytes]) -> None:
    from wav2uti.speech.textual import Bert

    for name, content in model_files().items():
        (folder / name).write_bytes(content)
    (folder / named[0]).write_bytes(named[1])
    encoder = Bert(str(folder))
    tokens = encoder.encode("a b c")
    assert tokens.shape[1] == encoder.width
    assert len(encoder.spans("a b c")) >= 0


def stored_features() -> bytes:
    import wav2uti.metrics.frechet  # noqa: F401 (its seconds are no example's)

    file = io.BytesIO()
    np.save(file, np.ones((3, 4), dtype=np.float32))
    return file.getvalue()


def read_features(folder: Path, content: bytes) -> None:
    import torch

    from wav2uti.metrics.frechet import cached_features

    (folder / "key.npy").write_bytes(content)
    assert isinstance(cached_features(folder, "key", lambda: torch.ones(3, 4)), torch.Tensor)


CONFIG = b"""# A head.
seed_everything: 0
model: &model
  class_path: wav2uti.tasks.diffusion.DiffusionTask
  init_args: {width: 8, rates: [1, 2], name: "x", note: null, scale: 5.0e-4}
data:
  <<: *model
  shards: ../data
  again: [*model, *model]
"""


def read_config(folder: Path, content: bytes) -> None:
    (folder / "a.yaml").write_bytes(content)
    check_configs([f"--config={folder / 'a.yaml'}"])


# ---- tables beside a corpus

ABOUT = "id;video;ult;speaker;task;offset;crop\n001;;;S1;stn;0,02;\n;;001.ult;S2;vowel;-1e-2;auto\n"
NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60
) | st.binary(min_size=1, max_size=60).map(lambda name: os.fsdecode(name.translate(None, b"/\0")) or "a")


def read_about(folder: Path, content: bytes) -> None:
    (folder / "001.ult").write_bytes(bytes(16))
    (folder / "a.csv").write_bytes(content)
    for candidate in find_recordings(folder / "001.ult", about=read_table(folder / "a.csv")):
        assert candidate.path.is_file()


def read_named(folder: Path, name: str) -> None:
    """Recordings of any name get ids that can be stored and shown."""
    inner = Path(tempfile.mkdtemp(dir=folder))
    try:
        (inner / f"{name}.ult").write_bytes(b"x")
        (inner / f"{name}.mp4").write_bytes(b"x")
    except (UnicodeEncodeError, OSError):  # no name on this system
        return
    for candidate in find_recordings(inner) if not name.startswith(".") else []:
        assert "/" not in candidate.id
        assert not candidate.id.startswith(".")
        assert all(ord(character) > 31 for character in candidate.id)
        candidate.id.encode()


OUTSIDE: Readers = {
    "wav": (read_sound, nearly_wav() | broken(encoded("WAV"), encoded("WAV", "FLOAT", 48_000, 2))),
    "wav of other kinds": (
        read_sound,
        broken(encoded("WAV", "PCM_24"), encoded("WAV", "PCM_U8", 22_050), encoded("WAV", "IMA_ADPCM"), encoded("W64")),
    ),
    "flac, ogg, mp3, aiff": (
        read_sound,
        broken(encoded("FLAC"), encoded("OGG", "VORBIS"), encoded("MP3", None, 44_100, 2), encoded("AIFF")),
    ),
    "video": (
        read_video,
        broken(video("mkv"), video("avi", "mpeg4"), video("mp4", "libx264"), LIST, CONCAT),
    ),
    "picture": (
        read_picture,
        broken(pictured("PNG"), pictured("PNG", "P"), pictured("JPEG"), pictured("BMP"), pictured("TIFF")),
    ),
    "metrics.json": (read_run, nearly_metrics() | broken(json.dumps(METRICS).encode())),
    "metrics.csv": (read_curve, broken(CURVE.encode())),
    "samples.npz": (
        read_clips,
        st.sampled_from([samples(fps=np.array(50)), samples(ids=np.array(["\ud800", "b"])), samples(real=np.zeros(3))])
        | nearly_samples()
        | broken(samples()),
    ),
    "predictions": (read_spoken, broken(video("mp4", "libx264"), LIST)),
    "weights": (
        read_weights,
        st.one_of(
            st.tuples(st.just("pt"), st.deferred(lambda: broken(weights("zip"), weights("legacy")))),
            st.tuples(st.just("safetensors"), st.deferred(lambda: broken(weights("safetensors")))),
        ),
    ),
    "cache of features": (read_features, st.deferred(lambda: broken(stored_features()))),
    "config": (read_config, broken(CONFIG)),
    "model folder": (read_model, nearly_model()),
    "about": (read_about, broken(ABOUT.encode())),
    "names of files": (read_named, NAMES),
}
REFUSALS = (MissingWeights,)
SLOW = {"model folder": 15, "metrics.csv": 8, "video": 2, "predictions": 2, "metrics.json": 2, "samples.npz": 2}

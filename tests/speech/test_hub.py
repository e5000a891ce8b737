"""Pretrained models from folders and from the hub's cache: commits, sentences, and files that must not run."""

import json
import os
import pickle
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wav2uti.errors import InputError
from wav2uti.speech.acoustic import Wav2Vec2, build_acoustic
from wav2uti.speech.hub import load_pretrained, resolved_commit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OLDER = "f" * 40


def save_tiny(folder: Path, seed: int = 0) -> Path:
    """A random wav2vec 2.0 of one layer."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    torch.manual_seed(seed)
    config = Wav2Vec2Config(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, conv_dim=(4,) * 7,
        num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, feat_extract_norm="layer",
    )  # fmt: skip
    Wav2Vec2Model(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of a model with two commits in a hub cache, of which main is the newer."""
    from huggingface_hub import constants

    cache = tmp_path / "cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    repository = cache / "models--somebody--tiny"
    for seed, commit in enumerate((COMMIT, OLDER)):
        save_tiny(repository / "snapshots" / commit, seed)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return "somebody/tiny"


def test_a_hub_model_is_named_by_its_commit_and_stays_it(cached: str) -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, 4000).astype(np.float32)
    assert resolved_commit(cached) == COMMIT
    encoder = Wav2Vec2(cached)
    assert encoder.spec()["args"] == {"model": cached, "layer": -1, "revision": COMMIT}
    main, old = encoder.encode(sound, 15), Wav2Vec2(cached, revision=OLDER).encode(sound, 15)
    assert np.abs(main - old).max() > 0.1
    # main moves on; a checkpoint, or an encoder in another process, does not.
    from huggingface_hub import constants

    (Path(constants.HF_HUB_CACHE) / "models--somebody--tiny" / "refs" / "main").write_text(OLDER)
    for again in (build_acoustic(encoder.spec()), pickle.loads(pickle.dumps(encoder))):
        np.testing.assert_array_equal(again.encode(sound, 15), main)
    np.testing.assert_array_equal(Wav2Vec2(cached).encode(sound, 15), old)


def test_a_local_folder_has_no_commit(tmp_path: Path) -> None:
    assert resolved_commit(str(tmp_path)) is None
    assert "revision" not in Wav2Vec2(str(tmp_path)).spec()["args"]
    assert resolved_commit("nobody/nothing") is None
    assert resolved_commit("nobody/nothing", COMMIT) == COMMIT


def test_offline_without_a_copy_is_one_sentence_at_once() -> None:
    from transformers import AutoConfig

    start = time.perf_counter()
    with pytest.raises(InputError, match=f"nobody/nothing at revision {COMMIT}.*hf download nobody/nothing --revision"):
        load_pretrained(AutoConfig.from_pretrained, "nobody/nothing", revision=COMMIT)
    assert time.perf_counter() - start < 5


class Creates:
    """Unpickling it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("by_torch", [True, False])
def test_a_pickle_that_runs_a_program_is_refused(tmp_path: Path, by_torch: bool) -> None:
    import torch

    folder, trace = save_tiny(tmp_path / "model"), tmp_path / "trace"
    (folder / "model.safetensors").unlink()
    weights = folder / "pytorch_model.bin"
    if by_torch:
        torch.save({"a": Creates(trace)}, weights)
    else:
        weights.write_bytes(pickle.dumps({"a": Creates(trace)}))
    with pytest.raises(InputError, match="more than tensors"):
        Wav2Vec2(str(folder)).encode(np.zeros(1000, dtype=np.float32), 3)
    assert not trace.exists()
    pickle.loads(pickle.dumps(Creates(trace)))
    assert trace.exists()  # it would have


def test_the_python_of_a_repository_is_not_run(tmp_path: Path) -> None:
    folder, trace = tmp_path / "model", tmp_path / "trace"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "own", "auto_map": {"AutoConfig": "own.Own"}}')
    (folder / "own.py").write_text(f"import os\nos.mkdir({str(trace)!r})\nclass Own: pass\n")
    with pytest.raises(InputError, match="no complete pretrained model"):
        _ = Wav2Vec2(str(folder)).width
    assert not trace.exists()


@pytest.mark.parametrize(
    "given",
    [
        {"attn_implementation": "somebody/kernel"},
        {"_attn_implementation": "somebody/kernel@main"},
        {"attn_implementation": {"": "sdpa", "part": "somebody/kernel"}},
        {"part": {"experts_implementation": "somebody/kernel:layer"}},
    ],
)
def test_compiled_code_of_a_repository_is_not_fetched(tmp_path: Path, given: dict[str, Any]) -> None:
    folder = save_tiny(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | given))
    with pytest.raises(InputError, match=r"config\.json.* names .*somebody/kernel.* downloaded and run"):
        Wav2Vec2(str(folder)).encode(np.zeros(1000, dtype=np.float32), 3)


def test_a_pickle_of_tensors_is_read_and_told(tmp_path: Path) -> None:
    """The same vectors from either file; safetensors goes first where both are there."""
    import torch
    from safetensors.torch import load_file

    sound = np.random.default_rng(0).normal(0, 0.1, 1000).astype(np.float32)
    folder = save_tiny(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    torch.save({name: 2 * value for name, value in weights.items()}, folder / "pytorch_model.bin")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        safe = Wav2Vec2(str(folder)).encode(sound, 3)
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.warns(UserWarning, match="are a pickle, of which tensors alone were read"):
        from_pickle = Wav2Vec2(str(folder)).encode(sound, 3)
    np.testing.assert_array_equal(safe, from_pickle)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_broken_weights_are_one_sentence(tmp_path: Path, name: str) -> None:
    folder = save_tiny(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(b"rubbish" * 20)
    with pytest.raises(InputError, match=r"no complete pretrained model|more than tensors"):
        Wav2Vec2(str(folder)).encode(np.zeros(1000, dtype=np.float32), 3)


def test_weights_that_are_not_in_the_files_are_missed(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = save_tiny(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    del weights["feature_projection.projection.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="lack 1 of its weights, feature_projection"):
        Wav2Vec2(str(folder)).encode(np.zeros(1000, dtype=np.float32), 3)

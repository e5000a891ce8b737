"""Exported models: the same pictures as the checkpoint's, and one sentence for every file that is not as it was."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import REPOSITORY, Run, fit_debug
from PIL import Image
from safetensors.torch import load_file, save_file

from wav2uti.cli import main
from wav2uti.diffusion.guidance import Guidance
from wav2uti.diffusion.sampler import DPMSolver, StochasticHeun
from wav2uti.errors import InputError
from wav2uti.tasks.base import Task
from wav2uti.tasks.exported import read_exported, write_exported
from wav2uti.video.predict import listed
from wav2uti.video.predictor import load


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def model(run: Run, tmp_path: Path) -> Path:
    """The exported model of `run`; tests may spoil it."""
    assert main(["export", str(run.checkpoint), str(tmp_path / "a,model"), "--license=mit"]) == 0
    return tmp_path / "a,model"


def config_of(model: Path) -> dict[str, Any]:
    return json.loads((model / "config.json").read_text())


def rewrite(model: Path, change: Callable[[dict[str, Any]], None]) -> None:
    config = config_of(model)
    change(config)
    (model / "config.json").write_text(json.dumps(config))


def restate(model: Path) -> None:
    """Let config.json say what its weights are now."""
    import hashlib

    content = (model / "model.safetensors").read_bytes()
    rewrite(model, lambda c: c["weights"].update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest()))


def test_only_the_averaged_weights_in_full_precision(run: Run, model: Path) -> None:
    checkpoint = torch.load(run.checkpoint, weights_only=True)
    weights = load_file(model / "model.safetensors")
    assert set(weights) == set(checkpoint["state_dict"])
    for name, value in weights.items():
        assert value.dtype in (torch.float32, torch.int64, torch.bool)
        torch.testing.assert_close(value, checkpoint["state_dict"][name], rtol=0, atol=0)
    trained = checkpoint["current_model_state"]
    assert any(
        not torch.equal(value, trained[name]) for name, value in weights.items() if name in trained
    )  # EMA's, not these
    own = sum(value.numel() * value.element_size() for value in weights.values())
    header = (model / "model.safetensors").stat().st_size - own
    assert 0 < header < 40_000
    assert {file.name for file in model.iterdir()} == {"model.safetensors", "config.json", "README.md"}
    assert len({file.stat().st_mode for file in model.iterdir()}) == 1  # nobody can read one of them alone


def test_the_same_pictures_bit_for_bit(run: Run, model: Path) -> None:
    speech = 0.1 * np.random.default_rng(0).normal(size=4000).astype(np.float32)
    one, two = (load(path, "cpu").generate(speech, "ba", steps=2) for path in (run.checkpoint, model))
    np.testing.assert_array_equal(one, two)
    other = load(model, "cpu").generate(speech, "ba", steps=2, seed=1)
    assert (one != other).any()


def test_it_draws_as_its_drawing_says(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "drawing.yaml"
    sampler = {"class_path": "StochasticHeun", "init_args": {"steps": 2, "sigma_max": 5.0, "s_churn": 0.0}}
    config.write_text(yaml.safe_dump({"model": {"init_args": {"sampler": sampler, "guidance": {"scale": 1.0}}}}))
    assert main(["export", str(run.checkpoint), "model", "--license=mit", f"--drawing={config}"]) == 0
    speech = 0.1 * np.random.default_rng(0).normal(size=4000).astype(np.float32)
    drawn = load("model", "cpu").generate(speech)
    same = StochasticHeun(steps=2, sigma_max=5.0, s_churn=0.0)
    told = load(run.checkpoint, "cpu").generate(speech, sampler=same, guidance=Guidance(scale=1.0))
    np.testing.assert_array_equal(drawn, told)
    other = load("model", "cpu").generate(speech, sampler=DPMSolver(steps=2), guidance=Guidance(scale=1.0))
    assert (drawn != other).any()


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ("model: {init_args: {net: UNet}}", "does not say how a model draws"),
        ("model: {init_args: {sampler: {class_path: Heron}}}", "correct the config"),
        ("model: {init_args: {sampler: {class_path: Euler, init_args: {steps: 0}}}}", "steps"),
        ("model: {init_args: {guidance: {scale: 2, weak: a.ckpt}}}", "guidance.weak does not go into"),
    ],
)
def test_a_config_that_does_not_say_how_to_draw(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], config: str, sentence: str
) -> None:
    (tmp_path / "drawing.yaml").write_text(config)
    assert main(["export", str(run.checkpoint), "model", "--drawing=drawing.yaml"]) == 2
    assert sentence in capsys.readouterr().err
    assert not Path("model").exists()


def test_the_reference_frame_goes_along(run: Run) -> None:
    picture = np.arange(0, 256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(picture).save("frame.png")
    assert main(["export", str(run.checkpoint), "model", "--license=mit", "--reference=frame.png"]) == 0
    np.testing.assert_array_equal(np.asarray(Image.open("model/reference.png")), picture)
    exported, bare = load("model", "cpu"), load(run.checkpoint, "cpu")
    speech = 0.1 * np.random.default_rng(0).normal(size=4000).astype(np.float32)
    own = exported.generate(speech, steps=2)
    np.testing.assert_array_equal(own, bare.generate(speech, reference=picture, steps=2))
    assert (own != bare.generate(speech, steps=2)).any()


def test_no_reference_frame_for_a_model_that_asks_for_none(
    simulated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without = fit_debug(simulated, tmp_path, "--data.reference=none", "--trainer.max_steps=1")
    Image.fromarray(np.zeros((16, 16), dtype=np.uint8)).save("frame.png")
    assert main(["export", str(without.checkpoint), "model", "--reference=frame.png"]) == 2
    assert "trained without reference frames" in capsys.readouterr().err


@pytest.mark.slow
def test_drawn_and_scored_like_the_checkpoint(run: Run, model: Path) -> None:
    data = [f"--data.shards={run.corpus}", "--data.reference=speaker"]
    quiet = ["--trainer.accelerator=cpu", "--trainer.logger=false", "--trainer.enable_progress_bar=false"]
    sampler = ["--model=DiffusionTask", "--model.sampler=Euler", "--model.sampler.steps=1"]
    scores, frames = [], []
    for path, folder in ((run.checkpoint, run.folder), (model, model)):
        assert main(["test", f"--ckpt_path={path}", *sampler, *data, *quiet]) == 0
        scores.append(json.loads((folder / "metrics.json").read_text())["scores"])
        assert main(["predict", f"--shards={run.corpus}", "--recording=s01_u000", f"--ckpt_path={path}", "--steps=2",
                     f"--output=drawn_by_{path.name}"]) == 0  # fmt: skip
        frames.append(np.load(f"drawn_by_{path.name}/s01_u000.npz")["frames"])
    np.testing.assert_array_equal(*frames)
    assert scores[0] == scores[1]
    assert scores[0]
    assert main(["validate", f"--ckpt_path={model}", *data, *quiet]) == 0


def test_training_begins_with_it_but_does_not_go_on(
    run: Run, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = fit_debug(run.corpus, tmp_path, f"--model.init_args.start_from={model}", "--trainer.max_steps=1")
    state = torch.load(begun.checkpoint, weights_only=True)["state_dict"]
    weights = load_file(model / "model.safetensors")
    largest = max((state[name].float() - value.float()).abs().max() for name, value in weights.items())
    assert largest < 2e-3  # one step of Adam at 1e-3
    config = f"--config={REPOSITORY / 'configs' / 'debug.yaml'}"
    capsys.readouterr()
    assert main(["fit", config, f"--data.shards={run.corpus}", f"--ckpt_path={model}"]) == 2
    assert "start_from" in capsys.readouterr().err


def test_a_folder_with_a_comma_is_one_model(model: Path) -> None:
    assert listed(model) == [model]


def test_an_older_checkpoint_is_exported(run: Run, tmp_path: Path) -> None:
    """Facts that came later are missing, and what is missing is not made up."""
    content = torch.load(run.checkpoint, weights_only=True)
    facts = content["hyper_parameters"]["facts"]
    for name in ("frame_step", "simulated", "text_times", "mm_per_pixel"):
        del facts[name]
    del facts["acoustic"]["layers"], content["averaging_state"]
    torch.save(content, tmp_path / "old.ckpt")
    assert main(["export", "old.ckpt", "old"]) == 0
    assert set(config_of(tmp_path / "old")["facts"]) == set(facts)
    card = (tmp_path / "old" / "README.md").read_text()
    assert "does not say whether" in card
    assert "averaged" not in card
    assert Task.from_checkpoint("old").facts == Task.from_checkpoint("old.ckpt").facts


def test_short_floats_keep_their_values(run: Run, tmp_path: Path) -> None:
    content = torch.load(run.checkpoint, weights_only=True)
    content["state_dict"] = {name: value.bfloat16() for name, value in content["state_dict"].items()}
    write_exported(tmp_path / "half", content, lambda _: "")
    weights = read_exported(tmp_path / "half")["state_dict"]
    for name, value in content["state_dict"].items():
        assert weights[name].dtype is torch.float32
        assert torch.equal(weights[name].bfloat16(), value)


def shorten(model: Path) -> None:
    content = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(content[:-8])


def flip(model: Path) -> None:
    content = bytearray((model / "model.safetensors").read_bytes())
    content[-5] ^= 1
    (model / "model.safetensors").write_bytes(content)


def no_safetensors(model: Path) -> None:
    torch.save({"a": torch.zeros(2)}, model / "model.safetensors")
    restate(model)


def without_one(model: Path) -> None:
    weights = load_file(model / "model.safetensors")
    del weights["fusion.null"]
    save_file(weights, model / "model.safetensors")
    restate(model)


def with_one_more(model: Path) -> None:
    weights = load_file(model / "model.safetensors") | {"more": torch.zeros(2)}
    save_file(weights, model / "model.safetensors")
    restate(model)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (shorten, "bytes and config.json says"),
        (flip, "another sha256"),
        (no_safetensors, "no file of safetensors"),
        (without_one, r"Missing key.*fusion\.null"),
        (with_one_more, r"Unexpected key.*more"),
        (lambda m: (m / "model.safetensors").unlink(), "has no model.safetensors"),
        (lambda m: (m / "config.json").unlink(), "is no exported model"),
        (lambda m: (m / "config.json").write_text("{"), "cannot be read"),
        (lambda m: (m / "config.json").write_text("[" * 100_000), "cannot be read"),
        (lambda m: (m / "config.json").write_bytes(b"\xff\xfe"), "cannot be read"),
        (lambda m: (m / "config.json").write_text("[]"), "is not of a model"),
        (lambda m: rewrite(m, lambda c: c.update(format_version=2)), "format version 2"),
        (lambda m: rewrite(m, lambda c: c.update(weights=[])), "lacks weights"),
        (lambda m: rewrite(m, lambda c: c.pop("facts")), "lacks facts"),
        (lambda m: rewrite(m, lambda c: c["weights"].update(sha256=None)), "another sha256"),
        (lambda m: rewrite(m, lambda c: c.update({"class": "os.system"})), "names 'os.system'"),
        (
            lambda m: rewrite(m, lambda c: c["hyper_parameters"].update(net={"class_path": "os.system"})),
            "names 'os.system'",
        ),
        (lambda m: rewrite(m, lambda c: c["hyper_parameters"].update(_instantiator="os.system")), "os.system"),
        (lambda m: rewrite(m, lambda c: c["hyper_parameters"].update(_class_path="os.system")), "os.system"),
        (lambda m: rewrite(m, lambda c: c["facts"].update(class_path="os.system")), "class_path"),
    ],
)
def test_what_is_not_as_it_was(
    model: Path, spoil: Callable[[Path], None], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(model)
    with pytest.raises(InputError, match=sentence) as raised:
        Task.from_checkpoint(model)
    assert str(model) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_nothing_half_written_stays(
    run: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.iterdir())
    capsys.readouterr()
    assert main(["export", str(run.checkpoint), str(model)]) == 2
    assert "exists already" in capsys.readouterr().err
    content = torch.load(run.checkpoint, weights_only=True)
    with pytest.raises(ZeroDivisionError):
        write_exported(tmp_path / "new", content, lambda _: str(1 // 0))
    content["hyper_parameters"]["drop_text"] = float("inf")
    with pytest.raises(InputError, match="cannot be written as JSON"):
        write_exported(tmp_path / "new", content, lambda _: "")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(InputError, match="No space left"):
        write_exported(tmp_path / "new", content, lambda _: "")
    assert sorted(tmp_path.iterdir()) == before
    (tmp_path / "file").write_text("")
    assert main(["export", str(run.checkpoint), str(tmp_path / "file" / "new")]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert main(["export", str(model), str(tmp_path / "again")]) == 2
    assert "is a folder" in capsys.readouterr().err

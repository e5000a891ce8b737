"""A checkpoint and data that do not fit together: one sentence that names both, through the real command line."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import REPOSITORY, Run, fit_debug

from wav2uti.cli import main
from wav2uti.errors import InputError
from wav2uti.prepare.commands import simulate
from wav2uti.speech.acoustic import LogMel
from wav2uti.speech.textual import CharacterCodes
from wav2uti.tasks.base import Task, check_encoders
from wav2uti.tasks.diffusion import DiffusionTask


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a logger `fit` saves its config in the working folder."""
    monkeypatch.chdir(tmp_path)


def fails(capsys: pytest.CaptureFixture[str], command: str, run: Run, shards: Path, *options: str) -> str:
    """Run a command on other shards than the checkpoint's; its last line on stderr."""
    capsys.readouterr()
    given = [
        command,
        f"--ckpt_path={run.checkpoint}",
        f"--data.shards={shards}",
        "--data.reference=speaker",
        "--trainer.accelerator=cpu",
        "--trainer.logger=false",
        "--trainer.enable_progress_bar=false",
        "--trainer.enable_model_summary=false",
    ]
    if command == "fit":
        given.insert(1, f"--config={REPOSITORY / 'configs' / 'debug.yaml'}")
    assert main([*given, *options]) == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def other_encoders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus of `run` with other encoders of sound and text."""
    out = tmp_path_factory.mktemp("other") / "shards"
    simulate(out, 3, 2, size=16, workers=1, acoustic=LogMel(bands=40), text=CharacterCodes(width=16))
    return out


@pytest.mark.parametrize("command", ["test", "validate", "fit"])
def test_other_encoders_are_named(
    run: Run, other_encoders: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = fails(capsys, command, run, other_encoders)
    assert "the acoustic encoder logmel (width 80)" in said
    assert "the acoustic encoder logmel40 (width 40)" in said
    assert "wav2uti embed" in said


def test_weights_to_start_from_must_be_of_the_same_encoders(run: Run) -> None:
    task = Task.from_checkpoint(run.checkpoint)
    assert isinstance(task, DiffusionTask)
    others = task.facts | {"acoustic": task.facts["acoustic"] | {"name": "logmel80b"}}
    other = DiffusionTask(others, task.hparams["fusion"], task.hparams["net"])
    with pytest.raises(InputError, match=r"last\.ckpt was trained with .* logmel .* logmel80b"):
        other.copy_weights(run.checkpoint)


def test_text_left_out(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    said = fails(capsys, "test", run, run.corpus, "--data.text=none")
    assert "and the data are set to no text encoder" in said
    assert "name characters64 as data.text" in said


def test_other_size_and_no_reference(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    simulate(tmp_path / "shards", 3, 1, size=24, workers=1)
    assert "draws frames of 16x16 and the data give 24x24" in fails(capsys, "test", run, tmp_path / "shards")
    said = fails(capsys, "test", run, run.corpus, "--data.reference=none")
    assert "set data.reference to speaker" in said


def facts(acoustic: dict[str, Any], text: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"acoustic": acoustic, "text": text}


def entry(name: str = "bert", width: int = 8, **args: Any) -> dict[str, Any]:
    return {"name": name, "width": width, "spec": {"class": "Bert", "args": args}}


def test_what_does_not_decide_the_embeddings_may_differ() -> None:
    check_encoders("It", facts(entry(model="/a/bert")), facts(entry(model="owner/bert")))
    check_encoders("It", facts(entry(layer=None)), facts({**entry(), "layers": 1}))
    check_encoders("It", facts(entry()), facts({**entry(), "transcriber": {"class": "Transcriber"}}))
    check_encoders("It", facts(entry()), facts(entry(revision="abc")))


def test_settings_are_told_where_names_agree() -> None:
    with pytest.raises(InputError, match=r'bert \(width 8\) with .*"layer": 3.* and the data .*"layer": 4'):
        check_encoders("It", facts(entry(layer=3)), facts(entry(layer=4)))
    with pytest.raises(InputError, match="abc"):
        check_encoders("It", facts(entry(revision="abc")), facts(entry(revision="def")))
    with pytest.raises(InputError, match=r"with no text encoder .* set data\.text to none"):
        check_encoders("It", facts(entry()), facts(entry(), entry()))


def test_a_checkpoint_loads_into_its_own_data(run: Run, tmp_path: Path) -> None:
    more = fit_debug(run.corpus, tmp_path, f"--ckpt_path={run.checkpoint}", "--trainer.max_steps=3")
    assert torch.load(more.checkpoint, weights_only=True)["global_step"] == 3

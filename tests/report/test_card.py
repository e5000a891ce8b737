"""The model card of an exported model: what it must say, from made-up facts and from a tested run."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Run

from wav2uti.cli import main
from wav2uti.report.card import model_card
from wav2uti.report.runs import Metrics

CONFIG: dict[str, Any] = {
    "format_version": 1,
    "wav2uti": "0.1.0",
    "class": "wav2uti.tasks.diffusion.DiffusionTask",
    "global_step": 1000,
    "averaged": True,
    "hyper_parameters": {"low": None},
    "facts": {
        "size": 64,
        "frame_step": 2,
        "simulated": False,
        "reference": False,
        "acoustic": {
            "name": "whisper-small",
            "spec": {"class": "WhisperEncoder", "args": {"model": "openai/whisper-small", "revision": "abc"}},
        },
        "text": {"name": "bert", "spec": {"class": "Bert", "args": {"model": "/home/me/bert"}}},
    },
    "weights": {"bytes": 1234567, "sha256": "f" * 64, "tensors": 12, "values": 300000},
}
METRICS = Metrics(
    {"rmse": 20.256, "fvd": 210.0}, {"rmse": (19.0, 21.5)}, {}, {"fid": "not there"}, (64, 64), 200, 88, 4, 16, 30.0, 2,
    False, frozenset(), {"sampler": "Euler", "steps": 8, "guidance": 1.0}, {},
    {"date": "2026-01-02", "wav2uti": "0.1.0"},
)  # fmt: skip


def parts(card: str) -> tuple[dict[str, Any], str]:
    """The metadata block and the text, as the hub takes them apart."""
    assert card.startswith("---\n")
    block, text = card[4:].split("\n---\n", 1)
    return yaml.safe_load(block), text


def test_what_a_card_says() -> None:
    about, text = parts(model_card(CONFIG, "tongue", "cc-by-4.0", METRICS))
    assert about["license"] == "cc-by-4.0"
    assert about["library_name"] == "wav2uti"
    for said in (
        "# tongue",
        "64x64 pixels at 30 frames a second, from sound and text.",
        "300,000 values in 12 tensors, averaged over training, after 1,000 steps",
        "Trained on recordings of speakers",
        "`openai/whisper-small` at revision `abc`",
        "the folder `/home/me/bert`",
        "200 clips of 16 frames from 88 recordings of 4 speakers, 64x64 pixels at 30 frames a second, recorded.",
        "| 20.26 | 19.00 to 21.50 |",
        "| 210.0 |  |",
        "Drawn with Euler in 8 steps",
        "Not scored, since their networks' weights were not there: fid.",
        "Not for diagnosis",
        "nobody's real tongue",
        'wav2uti predict --audio speech.wav --ckpt_path tongue --text "what is said"',
        "f" * 64,
    ):
        assert said in text
    assert "SIMULATED" not in text


def test_what_is_not_known_is_said() -> None:
    facts = {**CONFIG["facts"], "simulated": True, "text": None, "reference": True}
    about, text = parts(model_card({**CONFIG, "facts": facts}, "m", "unknown", "None: not tested."))
    assert about["license"] == "unknown"
    assert "Unknown: who exported" in text
    assert "SIMULATED" in text
    assert "no evidence" in text
    assert "None: not tested." in text
    assert "--reference frame.png" in text
    assert "--text" not in text
    about, _ = parts(model_card(CONFIG, "m", "Our own: ask us", METRICS))
    assert (about["license"], about["license_name"]) == ("other", "Our own: ask us")


def test_a_later_stage_is_used_after_its_first() -> None:
    later = {**CONFIG, "hyper_parameters": {"low": {"size": 32, "frame_step": 1}}}
    _, text = parts(model_card(later, "m", "mit", METRICS))
    assert "of a stage of 32x32 before it" in text
    assert "--ckpt_path STAGE_BEFORE,m" in text
    assert 'load(["STAGE_BEFORE", "m"])' in text


def test_names_do_not_break_the_text() -> None:
    facts = {**CONFIG["facts"], "acoustic": {"spec": {"class": "A`\n# B|<script>", "args": {}}}}
    text = model_card({**CONFIG, "facts": facts}, "m\n# n", "mit", METRICS)
    assert "<script>" not in text
    assert "\n# B" not in text
    assert "\n# n" not in text


def exported(run: Run, out: Path, *options: str) -> str:
    assert main(["export", str(run.checkpoint), str(out), *options]) == 0
    return (out / "README.md").read_text()


def test_scores_are_those_of_this_checkpoint(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From its run's metrics.json, but never another checkpoint's or an older one's."""
    metrics = run.folder / "metrics.json"
    kept = metrics.read_text() if metrics.exists() else None
    content: dict[str, Any] = {
        "scores": {"rmse": 33.33},
        "resolution": [16, 16],
        "checkpoint": f"elsewhere/{run.checkpoint.name}",
        "date": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(run.checkpoint.stat().st_mtime + 5)),
    }
    try:
        metrics.write_text(json.dumps(content))
        card = exported(run, tmp_path / "own")
        assert "| 33.33 |" in card
        assert "an unknown number of clips" in card
        sha = hashlib.sha256((tmp_path / "own" / "model.safetensors").read_bytes()).hexdigest()
        assert sha in card
        assert "SIMULATED" in card
        for change, why in (
            ({"checkpoint": "step-1.ckpt"}, "another of its checkpoints"),
            ({"date": "2020-01-01T00:00:00+00:00"}, "younger than the scores"),
            ({"date": ""}, "do not say when"),
        ):
            metrics.write_text(json.dumps(content | change))
            capsys.readouterr()
            card = exported(run, tmp_path / why.replace(" ", "_"))
            assert why in card
            assert "33.33" not in card
            assert "has no scores" in capsys.readouterr().err
        assert "| 33.33 |" in exported(run, tmp_path / "given", f"--metrics={metrics}")
        metrics.unlink()
        assert "not tested when it was exported" in exported(run, tmp_path / "none")
    finally:
        metrics.unlink(missing_ok=True)
        if kept is not None:
            metrics.write_text(kept)


def test_what_whoever_exports_is_told(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    content = torch.load(run.checkpoint, weights_only=True)
    content["hyper_parameters"]["facts"]["text"]["spec"] = {"class": "Bert", "args": {"model": "/home/me/bert"}}
    torch.save(content, tmp_path / "own.ckpt")
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert main(["export", "own.ckpt", "out"]) == 0
    said = capsys.readouterr()
    assert "the licence is unknown" in said.err
    assert "the folder /home/me/bert (text)" in said.err
    weights, before = (tmp_path / "out" / "model.safetensors").stat().st_size, (tmp_path / "own.ckpt").stat().st_size
    assert f"({weights:,} bytes of weights; the checkpoint has {before:,})" in said.out
    assert main(["export", "own.ckpt", "out2", "--license="]) == 2
    assert "--license" in capsys.readouterr().err

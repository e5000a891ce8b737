"""`wav2uti report` on files that are broken, cut short or odd."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_runs import Page, clips, fails, report, write_run, write_samples


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("\xff\x00", "not JSON"),
        ("[]", "no scores"),
        ('{"scores": {"rmse": "low"}}', "no scores"),
        ('{"scores": {"rmse": 1}}', "resolution"),
        ('{"scores": {"rmse": 1}, "resolution": [64, "x"]}', "resolution"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_broken_metrics_get_a_sentence(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "metrics.json").write_bytes(text.encode("latin-1"))
    sentence = fails(capsys, tmp_path)
    assert said in sentence
    assert str(tmp_path / "metrics.json") in sentence


def test_odd_facts_are_passed_over(tmp_path: Path) -> None:
    odd: dict[str, Any] = {"intervals": [1], "levels": {"x": "y"}, "missing": None, "clips": "many", "task": 3}
    odd |= {"speakers": -1, "frame_rate": None, "per_recording": [], "weights": {"i3d": None}, "simulated": "yes"}
    run = write_run(tmp_path / "run", samples=False, **odd)
    text = (report(tmp_path / "out", run) / "tables.md").read_text(encoding="utf-8")
    assert "not stated" in text
    assert "SIMULATED" not in text


def test_what_cannot_be_reported_gets_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    assert "has no metrics.json" in fails(capsys, tmp_path / "empty")
    assert "no folder" in fails(capsys, tmp_path / "nowhere")
    assert "given twice" in fails(capsys, run, run / "metrics.json")
    assert "2 names for 1 runs" in fails(capsys, run, "--names", "a,b")
    assert "empty name" in fails(capsys, run, "--names", "a,")
    (tmp_path / "file").touch()
    assert "cannot be written" in fails(capsys, run, "--output", tmp_path / "file")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"real": clips(32)}, "does not hold clips"),
        ({"real": clips(64).astype(float)}, "does not hold clips"),
        ({"ids": np.array(["a"])}, "does not hold clips"),
        ({"ids": np.array([{}, 1, 2], dtype=object)}, "cannot be read"),
        ({"fps": np.array(30)}, "30 frames a second"),
    ],
)
def test_broken_samples_get_a_sentence(
    changes: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run")
    write_samples(run, **({"real": clips(64), "generated": clips(64)} | changes))
    assert said in fails(capsys, run, "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_cut_short_get_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run")
    whole = (run / "samples.npz").read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"x" * 100):
        (run / "samples.npz").write_bytes(content)
        assert "samples.npz cannot be read" in fails(capsys, run)
    (run / "samples.npz").write_bytes(whole)
    (run / "metrics.csv").write_bytes(b"step,train/loss\nten,1.0\n")
    assert "metrics.csv is not a table of losses" in fails(capsys, run)
    (run / "metrics.csv").unlink()
    (run / "predictions").mkdir()
    (run / "predictions" / "said.mp4").write_bytes(b"no video")
    assert not Page(report(tmp_path / "out", run) / "report.html").all("article")[3:]
    assert "is not a video that plays" in capsys.readouterr().err


def test_runs_are_only_read(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    report(tmp_path / "out", run)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before

"""A report of runs whose names, scores and files come from outside."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from made_up_runs import Page, clips, fails, report, write_run, write_samples

NASTY = [
    "=cmd|'/C calc'!A1",
    "<script>alert(1)</script>",
    "+1",
    "@SUM(A1)",
    "a\nb\x1b[2J",
    "$\\frac{",
    "\ud800",
    "-2+3",
]


def test_names_from_outside_are_only_shown(tmp_path: Path) -> None:
    """No formula in the CSV, no tag or attribute in the page, no line or command of theirs in any file."""
    scores = {"rmse": 20.0, **{name: float(number) for number, name in enumerate(NASTY)}}
    missing = {f"{name} ": name for name in NASTY}
    folder = write_run(tmp_path / "<img src=x onerror=alert(1)>", scores=scores, missing=missing, task={"net": NASTY})
    write_samples(folder, real=clips(64), generated=clips(64), ids=np.array(NASTY[:3]))
    (folder / "metrics.csv").write_text("step,train/$\\frac{loss\n1,0.5\n2,0.25\n")
    out = report(tmp_path / "out", folder, "--names", "=1+1")
    with (out / "tables.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for name, cell in row.items():
                assert name in ("value", "low", "high") or not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    page = Page(out / "report.html")
    assert len(page.all("script")) == 1
    assert not [tag for tag, attributes in page.tags if any(name.startswith("on") for name in attributes)]
    assert "<script>alert(1)</script>" in page.text
    for file in out.glob("*.[mtch]*"):
        assert "\x1b" not in file.read_text(encoding="utf-8")
    assert {path.name for path in tmp_path.iterdir()} == {folder.name, "out"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this system")
def test_pipes_in_a_run_are_not_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, name in enumerate(("metrics.json", "samples.npz", "metrics.csv")):
        folder = write_run(tmp_path / str(number), samples=False)
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)
        assert f"{name} cannot be read (it is a pipe or a device)" in fails(capsys, folder)
    folder = write_run(tmp_path / "a", samples=False)
    (folder / "predictions").mkdir()
    os.mkfifo(folder / "predictions" / "a.mp4")
    report(tmp_path / "out", folder)
    assert "it is a pipe" in capsys.readouterr().err


def test_a_deep_or_large_json_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_run(tmp_path / "a", samples=False)
    (folder / "metrics.json").write_text('{"scores": ' + "[" * 100_000)
    assert "is not JSON" in fails(capsys, folder)
    (folder / "metrics.json").write_text(
        json.dumps({"scores": {"rmse": 1.0}, "resolution": [64, 64], "task": {"a": 1}})
    )
    monkeypatch.setattr("wav2uti.report.runs.MOST_BYTES", 50)
    assert "is larger than" in fails(capsys, folder)

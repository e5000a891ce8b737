"""`wav2uti report` as a user calls it, on made-up runs."""

import base64
import csv
import io
import re
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from made_up_runs import Page, clips, fails, report, write_run, write_samples
from PIL import Image

from wav2uti.report import videos
from wav2uti.report.runs import read_runs
from wav2uti.report.tables import DASH, tables
from wav2uti.video.write import write_mp4


def content(address: str | None) -> bytes:
    return base64.b64decode((address or "").partition(";base64,")[2], validate=True)


def frames_of(mp4: bytes) -> list[np.ndarray[Any, Any]]:
    with av.open(io.BytesIO(mp4), "r") as container:
        assert container.streams.video[0].codec_context.name == "h264"
        return [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]


def lines_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A report of the paper's three models, given in another order, with everything that a run may hold."""
    folder = tmp_path_factory.mktemp("report")
    runs = [write_run(folder / name, model) for name, model in (("t", "A+T"), ("d", "DNN"), ("a", "A"))]
    for run in runs:
        (run / "metrics.csv").write_text(
            "epoch,step,train/loss,val/loss,test/rmse\n0,9,2.0,,\n0,9,,1.5,\n0,19,nan,,\n1,29,0.5,,\n1,29,,0.75,\n1,30,,,7\n"
        )
        write_mp4(run / "predictions" / "said.mp4", clips(64)[2], np.zeros(2000, np.float32))
    write_mp4(runs[0] / "predictions" / "only one.mp4", clips(64)[2])
    write_mp4(runs[1] / "predictions" / "said.truth.mp4", clips(64)[2], np.zeros(2000, np.float32))
    return folder, report(folder / "out", *runs)


def test_table_1_in_the_papers_order_with_intervals_and_reasons(three: tuple[Path, Path]) -> None:
    text = (three[1] / "tables.md").read_text(encoding="utf-8")
    table = text.split("### ")[1]
    assert table.startswith("Table 1: models at 64×64 – SIMULATED data")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]
    heads, rows = rows[0], rows[2:]
    assert [row[0] for row in rows] == ["DNN", "A", "A+T"]
    for row in rows:
        said = dict(zip(heads, row, strict=True))
        assert said["RMSE ↓"] == "20.81 [19.50, 22.25]"
        assert said["n: clips / recordings"] == "12 / 6"
        assert (said["resolution"], said["frames a clip"], said["frame step"]) == ("64×64", "8", "1")
        note = re.fullmatch(rf"{DASH}<sup>(\d)</sup>", said["FID ↓"])
        assert note
        assert f"\n{note[1]}. FID needs the weights of Inception-v3" in table
        alone = re.fullmatch(r"301\.2<sup>(\d)</sup>", said["FVD ↓"])  # no interval was given
        assert alone
        assert f"\n{alone[1]}. No interval" in table
    assert "wrapped" not in table  # only where the paper's figures stand beside


def test_csv_holds_every_score_unrounded(three: tuple[Path, Path]) -> None:
    lines = lines_of(three[1] / "tables.csv")
    found = next(line for line in lines if line["model"] == "A+T" and line["score"] == "rmse")
    assert (found["value"], found["low"], found["high"]) == ("20.812", "19.5", "22.25")
    assert (found["clips"], found["height"], found["data"], found["source"]) == ("12", "64", "SIMULATED", "measured")
    missing = next(line for line in lines if line["model"] == "A" and line["score"] == "fid")
    assert missing["value"] == ""
    assert "Inception" in missing["reason"]
    assert [line["source"] for line in lines if line["score"] == "fvd_real_halves"] == ["level"] * 3


def test_latex_is_balanced_and_escaped(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    text = (report(tmp_path / "out", run, "--names", r"50% of_A & \b{}") / "tables.tex").read_text(encoding="utf-8")
    assert r"50\% of\_A \& \textbackslash{}b\{\}" in text
    bare = re.sub(r"\\.", "", text)
    assert bare.count("{") == bare.count("}")
    assert text.count(r"\begin{table*}") == text.count(r"\end{table*}") == 3
    for tabular in re.findall(r"\\begin\{tabular\}\{(l?r*)\}(.*?)\\end\{tabular\}", text, re.DOTALL):
        rows = [line for line in tabular[1].splitlines() if line.endswith(r"\\")]
        assert len(rows) > 1
        assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(tabular[0]) - 1}


def test_table_2_sets_resolutions_by_a_and_a_t(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / f"{m}{s}", m, s, samples=False) for m in ("A", "A+T") for s in (64, 32)]
    runs.append(write_run(tmp_path / "d", "DNN", 64, samples=False))
    made = tables(read_runs(runs[:-2] + runs[-1:]))  # without A+T at 32
    assert [table.title.split(" –")[0] for table in made] == [
        "Table 1: models at 32×32",
        "Table 1: models at 64×64",
        "Table 2: resolutions",
        "Table 3: all scores",
    ]
    low, high = ([cell.text for cell in row] for row in made[2].rows)
    assert (low[0], high[0]) == ("32×32", "64×64")
    half = (len(low) - 1) // 2
    assert low[1] == high[1] == high[1 + half] == "20.81"
    assert set(low[1 + half :]) == {DASH}
    assert high[half] == "12 / 6"


def test_runs_of_other_test_sets_are_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [
        write_run(tmp_path / "d", "DNN", samples=False),
        write_run(tmp_path / "a", "A", samples=False, clips=11),
        write_run(tmp_path / "t", "A+T", samples=False, per_recording={"else": {}}, weights={"i3d": "f" * 64}),
    ]
    text = (report(tmp_path / "out", *runs) / "tables.md").read_text(encoding="utf-8")
    first = text.split("### ")[1]
    assert re.search(r"^\| A<sup>\d</sup> \|", first, re.MULTILINE)
    assert re.search(r"^\| A\+T<sup>\d, \d</sup> \|", first, re.MULTILINE)
    assert re.search(r"^\| DNN \|", first, re.MULTILINE)
    assert "A was tested on 11 clips of 6 recordings (SIMULATED data, 8 frames a clip at 60 a second, step 1)" in first
    assert "A+T was tested on other recordings than DNN: their scores cannot be compared." in first
    assert "A+T was scored with other weights of i3d than DNN." in first
    assert "wav2uti: warning: A+T was tested on other recordings" in capsys.readouterr().err
    assert "tested on other recordings" in Page(tmp_path / "out" / "report.html").text


def test_other_real_frames_under_the_same_names_are_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [write_run(tmp_path / "d", "DNN"), write_run(tmp_path / "a", "A")]
    report(tmp_path / "same", *runs)
    assert "other real frames" not in capsys.readouterr().err
    write_samples(runs[1], real=clips(64) + 1, generated=clips(64))
    report(tmp_path / "out", *runs)
    assert "A was tested on other real frames than DNN" in capsys.readouterr().err


def test_the_papers_figures_stand_under_what_they_are(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / m, m, 112, samples=False, simulated=False) for m in ("DNN", "A", "A+T")]
    plain = report(tmp_path / "plain", *runs)
    assert "32.8234" not in (plain / "tables.md").read_text(encoding="utf-8")
    out = report(tmp_path / "out", *runs, "--paper")
    text = (out / "tables.md").read_text(encoding="utf-8").split("### ")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text[1].splitlines() if line[:1] == "|"]
    assert [re.sub("<sup>.*", "", row[0]) for row in rows[2:]] == [
        *("DNN", "DNN, in the paper", "A", "A, in the paper", "A+T", "A+T, in the paper")
    ]
    printed = dict(zip(rows[0], rows[3], strict=True))
    assert printed["RMSE, wrapped ↓"] == "5.8489"
    assert printed["PSNR, wrapped ↑"] == "32.8234"
    assert printed["FVD ↓"] == "256.80"
    assert printed["RMSE ↓"] == printed["FID ↓"] == DASH
    assert "wrap modulo 256" in text[1]
    assert "112×112, in the paper" in text[2]
    paper = [line for line in lines_of(out / "tables.csv") if line["source"] == "paper"]
    assert {line["height"] for line in paper} == {"112"}
    assert len(paper) == 12


def test_the_papers_figures_are_refused_beside_simulated_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "simulated data" in fails(capsys, write_run(tmp_path / "run"), "--paper")


def test_fig_2_shows_the_clip_that_moves_most_in_rows(three: tuple[Path, Path]) -> None:
    figure = np.asarray(Image.open(three[1] / "fig2.png").convert("L")).astype(int)
    # Tiles of 128 pixels, from the sheet's right and lower edge: the bar of clip r2 falls two lines a frame, that is
    # four pixels a tile; the generated clips lie in opposite order, so theirs stands still.
    tiles = [
        [figure[-20 - 132 * (4 - row) :][:128, -20 - 132 * (8 - c) + 2 :][:, :128] for c in range(8)]
        for row in range(4)
    ]
    bars = [[int(tile[:, 40:80].mean(axis=1).argmax()) for tile in row] for row in tiles]
    assert np.abs(np.diff(bars[0]) - 4).max() <= 1
    for row in bars[1:]:
        assert np.abs(np.diff(row)).max() <= 1
    assert "r2, SIMULATED data" in Image.open(three[1] / "fig2.png").text["Title"]


def test_page_is_whole_and_needs_no_network(three: tuple[Path, Path]) -> None:
    page = Page(three[1] / "report.html")
    source = re.sub(r"base64,[A-Za-z0-9+/=]+", "", (three[1] / "report.html").read_text(encoding="utf-8"))
    assert not re.search(r"https?:|//\w|url\(|@import|<link|<iframe|\bfetch\(", source)
    for _, attributes in page.tags:
        for name in ("src", "href", "poster"):
            assert (attributes.get(name) or "data:").startswith("data:")
    assert all(image["alt"] for image in page.all("img"))
    assert len(page.all("img")) == 2  # Fig. 2 and curves
    for image in page.all("img"):
        Image.open(io.BytesIO(content(image["src"]))).verify()
    assert {"lang": "en"} in page.all("html")
    assert "SIMULATED" in page.text
    alt = page.all("img")[1]["alt"]
    assert alt
    assert "DNN: train/loss from 2 to 0.5 at step 29, val/loss from 1.5 to 0.75 at step 29" in alt


def test_videos_of_the_page_play(three: tuple[Path, Path]) -> None:
    shown = Page(three[1] / "report.html").all("video")
    silent, spoken = shown[:12], shown[12:]  # three clips, and one prediction of all runs with the truth before it
    assert len(spoken) == 4
    assert "simulated" in (spoken[0]["aria-label"] or "")
    for number, video in enumerate(silent):
        assert {"muted", "loop", "controls", "playsinline"} <= set(video)
        assert ("simulated", "DNN", "A", "A+T")[number % 4] in (video["aria-label"] or "")
        frames = frames_of(content(video["src"]))
        assert len(frames) == 8
        assert Image.open(io.BytesIO(content(video["poster"]))).size == (64, 64)
        # Clip n falls n lines a frame, the generated ones in opposite order; 7 pixels of the video to a line.
        speed = number // 4 if number % 4 == 0 else 2 - number // 4
        fall = int(frames[-1].mean(axis=1).argmax()) - int(frames[0].mean(axis=1).argmax())
        assert fall == pytest.approx(7 * 7 * speed, abs=7)
    for video in spoken:
        assert "muted" not in video
        assert "said" in (video["aria-label"] or "")
        with av.open(io.BytesIO(content(video["src"])), "r") as container:
            assert container.streams.audio


def test_words_from_outside_are_escaped(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\" onload='x"
    run = write_run(tmp_path / "run", missing={"fid": evil}, checkpoint=evil, task={"task": evil, evil: 1})
    write_samples(run, real=clips(64), generated=clips(64), ids=np.array([evil, "r|1", "r2"]))
    page = Page(report(tmp_path / "out", run, "--names", evil) / "report.html")
    assert len(page.all("script")) == 1
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert evil in page.text
    assert "<script>" not in (tmp_path / "out" / "tables.md").read_text(encoding="utf-8")


def test_page_has_a_limit_of_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run")
    whole = Page(report(tmp_path / "whole", run) / "report.html").all("video")
    sizes = [len(content(video["src"])) + len(content(video["poster"])) for video in whole]
    monkeypatch.setattr(videos, "MOST_BYTES", sum(sizes[:4]))  # two of three clips, real and one run each
    assert len(Page(report(tmp_path / "out", run) / "report.html").all("video")) == 4
    assert "1 of 3 are left out" in capsys.readouterr().err


def test_a_run_with_scores_alone_makes_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", samples=False, scores={"rmse": 1.0, "psnr": None})
    out = report(tmp_path / "out", run / "metrics.json")
    assert not (out / "fig2.png").exists()
    assert not (out / "curves.png").exists()
    assert "no samples.npz" in capsys.readouterr().err
    assert "not a finite number" in (out / "tables.md").read_text(encoding="utf-8")
    assert not Page(out / "report.html").all("video")


def test_figures_of_an_earlier_report_do_not_stay(tmp_path: Path) -> None:
    out = report(tmp_path / "out", write_run(tmp_path / "one"))
    assert (out / "fig2.png").exists()
    report(out, write_run(tmp_path / "two", samples=False))
    assert not (out / "fig2.png").exists()


def test_names_are_given_or_made_different(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, "A", samples=False) for name in ("seed0", "seed1")]
    assert [run.name for run in read_runs(runs)] == ["A (seed0)", "A (seed1)"]
    named = read_runs([*runs, write_run(tmp_path / "x", "?", samples=False)], ["ours", "A+T", "floor"])
    assert [(run.name, run.model) for run in named] == [("ours", "A"), ("A+T", "A+T"), ("floor", None)]
    twins = [write_run(tmp_path / str(n) / "run", "A", samples=False) for n in range(2)]
    assert [run.name for run in read_runs(twins)] == ["A (run) 1", "A (run) 2"]


def test_losses_are_found_beside_the_checkpoint(tmp_path: Path) -> None:
    """Scores may be written elsewhere than the run that was tested."""
    trained = tmp_path / "trained"
    (trained / "checkpoints").mkdir(parents=True)
    (trained / "metrics.csv").write_text("epoch,step,train/loss\n0,9,2.0\n0,19,1.0\n")
    run = write_run(tmp_path / "scores", "A", checkpoint=str(trained / "checkpoints" / "last.ckpt"))
    out = report(tmp_path / "out", run)
    assert (out / "curves.png").exists()
    (trained / "metrics.csv").unlink()
    assert not (report(tmp_path / "out", run) / "curves.png").exists()


def test_clips_are_matched_by_recording_and_place(tmp_path: Path) -> None:
    """The second run kept two of the three clips, in another order and at another resolution."""
    runs = [write_run(tmp_path / "d", "DNN"), write_run(tmp_path / "a", "A", 32)]
    order = [2, 0]
    write_samples(
        runs[1],
        real=clips(32)[order],
        generated=clips(32)[order],
        ids=np.array(["r2", "r0"]),
        progress=np.array([0.3, 0.1]),
    )
    page = Page(report(tmp_path / "out", *runs) / "report.html")
    labels = [video["aria-label"] or "" for video in page.all("video")]
    assert [label.split(", ", 1)[1] for label in labels] == [
        f"{name}: r{clip}, at {clip}0 % of it".replace("r0, at 00", "r0, at 10").replace("r2, at 20", "r2, at 30")
        for clip in (0, 2)
        for name in ("simulated", "DNN 64×64", "A 32×32")
    ]
    still = frames_of(content(page.all("video")[2]["src"]))  # A's clip r0: the bar does not move
    assert np.abs(still[0].astype(int) - still[-1]).max() < 20

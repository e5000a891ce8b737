"""Several samples of the same speech: their mean and spread in closed form, and that each is a drawing of its own."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import pytest
import soundfile
from conftest import Run, fit_debug
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from wav2uti import __version__
from wav2uti.clock import samples_at
from wav2uti.corpus.formats.splines import read_splines
from wav2uti.corpus.formats.textgrid import write_textgrid
from wav2uti.corpus.recording import Interval
from wav2uti.corpus.simulate.corpus import simulate_recording
from wav2uti.diffusion.guidance import Guidance
from wav2uti.errors import InputError
from wav2uti.grey import to_unit
from wav2uti.metrics.contour import find_fan, track
from wav2uti.metrics.mean_contour import mean_contours
from wav2uti.report.export import export
from wav2uti.tasks.diffusion import DiffusionTask
from wav2uti.video.draw import Drawing, draw, note_of
from wav2uti.video.given import from_sound
from wav2uti.video.predictor import Predictor, load
from wav2uti.video.reference_frame import default_reference
from wav2uti.video.results import Speech
from wav2uti.video.spread import BRIGHTEST, as_colours

FRAMES = 30
SPEECH = Speech("said", np.random.default_rng(0).normal(0, 0.1, samples_at(FRAMES)).astype(np.float32), "ba1")


@pytest.fixture(scope="module")
def model(run: Run) -> Predictor:
    return load(run.checkpoint)


@cache
def known(seed: int) -> NDArray[np.uint8]:
    """The tongue of a simulated recording of this number, (T, 16, 16): what the stand-in below draws with the seed."""
    frames = simulate_recording(0, 0, 16, 3, speckle=seed).frames
    return np.roll(frames[:FRAMES], seed % 2, axis=1)


@pytest.fixture
def drawing_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def stream(self: DiffusionTask, acoustic: Tensor, *_: Any, seed: int = 0, **__: Any) -> Iterator[Tensor]:
        assert len(acoustic) == FRAMES
        yield from to_unit(known(seed)).split(13)

    monkeypatch.setattr(DiffusionTask, "stream", stream)


@pytest.mark.usefixtures("drawing_what_is_known")
@pytest.mark.parametrize("format", ["npz", "h5"])
def test_mean_and_spread_are_those_of_numpy(model: Predictor, tmp_path: Path, format: Any) -> None:
    drawn = np.stack([known(seed) for seed in (5, 6, 7)])
    written = draw(model, SPEECH, Drawing(seed=5, samples=3, format=format), tmp_path)
    assert written["frames"] == tmp_path / f"said.{format}"
    found: dict[str, Any] = {}
    if format == "npz":
        with np.load(written["frames"], allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    else:
        with h5py.File(written["frames"]) as file:
            found = {name: array[()] for name, array in file.items()} | dict(file.attrs.items())
    np.testing.assert_array_equal(found["samples"], drawn)
    np.testing.assert_array_equal(found["frames"], drawn[0])
    np.testing.assert_allclose(found["mean"], np.mean(drawn, axis=0), atol=1e-4)
    np.testing.assert_allclose(found["spread"], np.std(drawn, axis=0, ddof=1), atol=1e-4)
    assert found["mean"].dtype == found["spread"].dtype == np.float32
    fan = find_fan(np.concatenate(drawn))
    contours = np.stack([track(one, fan) for one in drawn])
    np.testing.assert_array_equal(found["contours"], contours)
    mean, spread = mean_contours(contours, fan)
    np.testing.assert_array_equal(found["contour"], mean)
    np.testing.assert_array_equal(found["contour_spread"], spread)
    np.testing.assert_array_equal(found["times"], np.arange(FRAMES) / 60)
    assert np.array_equal(found["seeds"], [5, 6, 7])
    assert "SIMULATED" in str(found["note"])
    assert str(found["version"]) == __version__
    assert str(found["model"]) == model.name != ""
    assert json.loads(str(found["settings"])) == model.settings()
    assert "seed" not in model.settings()
    assert found["mm_per_pixel"] == pytest.approx(90 / 16)
    np.testing.assert_array_equal(found["origin"], [fan.x, fan.y])

    rows = [line.split(",") for line in written["contour"].read_text().splitlines()]
    assert rows[0] == ["frame", "time", "x", "y", "spread", "source"]
    values = np.array([row[:-1] for row in rows[1:]], dtype=float)
    kept = np.isfinite(mean).all(-1)
    np.testing.assert_allclose(values[:, 2:4], mean[kept], atol=6e-4)
    np.testing.assert_allclose(values[:, 4], spread[kept], atol=6e-4)


@pytest.mark.usefixtures("drawing_what_is_known")
def test_the_spread_is_seen(model: Predictor, tmp_path: Path) -> None:
    """Mean on the left, spread on the right with its scale below, the sound with it; three rows on the sheet."""
    drawn = np.stack([known(seed) for seed in (0, 1)])
    written = draw(model, SPEECH, Drawing(samples=2), tmp_path)
    with av.open(str(written["spread"])) as video:
        assert {stream.type for stream in video.streams} == {"video", "audio"}
        assert video.streams.video[0].frames == FRAMES
        assert "SIMULATED" in video.metadata["comment"]
        assert "standard deviation" in video.metadata["comment"]
        picture = next(video.decode(video=0)).to_ndarray(format="rgb24").astype(float)
    mean, spread = drawn[:, 0].mean(0), drawn[:, 0].std(0, ddof=1)
    scale = 28  # 448 pixels of 16
    assert picture.shape[1] == scale * (16 + 2 + 16)
    middle = slice(scale // 2, None, scale)
    left, right = picture[:448, : 16 * scale][middle, middle], picture[:448, 18 * scale :][middle, middle]
    assert np.corrcoef(left.mean(-1).ravel(), mean.ravel())[0, 1] > 0.98
    colours = as_colours(spread.astype(np.float32)).astype(float)
    assert np.abs(right - colours).mean() < 12  # interpolated and coded
    assert picture[448:].shape[0] > 60  # the scale and the words
    bar = picture[448 + 14, 20 * scale : 32 * scale, 0]
    assert bar.max() > 200  # from black to pale yellow
    assert bar[:10].max() < 60
    alone = draw(model, SPEECH, Drawing(), tmp_path / "one")
    assert "spread" not in alone
    with Image.open(written["sheet"]) as sheet, Image.open(alone["sheet"]) as one:
        assert sheet.height == one.height + 2 * 132
        lowest = np.asarray(sheet)[-100, 200:].astype(int)
        assert np.ptp(lowest, axis=1).max() > 60  # in colours


def test_colours_rise_from_black_and_end_at_the_brightest() -> None:
    colours = as_colours(np.array([0, BRIGHTEST / 2, BRIGHTEST, 4 * BRIGHTEST], np.float32)).astype(int)
    assert colours[0].max() < 10
    assert (np.diff(colours.sum(1)) >= 0).all()
    np.testing.assert_array_equal(colours[2], colours[3])


def test_each_sample_is_a_single_drawing_with_its_seed(model: Predictor, tmp_path: Path) -> None:
    how = Drawing(steps=1, guidance=Guidance(1.0), seed=3, samples=2)
    together = np.load(draw(model, SPEECH, how, tmp_path)["frames"])["samples"]
    for k in range(2):
        alone = draw(model, SPEECH, replace(how, seed=3 + k, samples=1), tmp_path / str(k))
        np.testing.assert_array_equal(np.load(alone["frames"])["frames"], together[k])
    assert (together[0] != together[1]).mean() > 0.1


def test_a_drawing_leaves_the_models_own_settings(model: Predictor) -> None:
    """Two that are drawn by turns have each its own, and the next one those of the model."""
    before = model.settings()
    assert before["steps"] != 1
    audio, none = SPEECH.audio, Guidance(1.0)
    alone = [np.concatenate(list(model.stream(audio, "ba1", steps=n, guidance=none))) for n in (1, 2)]
    by_turns = [model.stream(audio, "ba1", steps=n, guidance=none) for n in (1, 2)]
    parts = list(zip(*by_turns, strict=True))
    for one, other in zip(alone, zip(*parts, strict=True), strict=True):
        np.testing.assert_array_equal(one, np.concatenate(other))
    assert model.settings() == before
    assert model.settings(steps=1, guidance=none)["steps"] == 1


def test_progress_counts_all_samples(model: Predictor, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    draw(model, SPEECH, Drawing(steps=1, samples=2, guidance=Guidance(1.0)), tmp_path, lambda *at: seen.append(at))
    done = [one for one, _ in seen]
    assert done == sorted(done)
    assert seen[-1][0] == seen[-1][1]
    assert len({total for _, total in seen}) == 1


@pytest.mark.usefixtures("drawing_what_is_known")
def test_millimetres_come_from_the_model_or_the_user(model: Predictor, tmp_path: Path) -> None:
    own = draw(model, SPEECH, Drawing(), tmp_path / "own")
    given = draw(model, SPEECH, Drawing(mm_per_pixel=90 / 8), tmp_path / "given")
    one, other = (read_splines(written["splines"]) for written in (own, given))
    np.testing.assert_allclose(other.radius, 2 * one.radius, atol=2e-4)
    text = own["splines"].read_text().splitlines()[1]
    assert "SIMULATED" in text.split("\t")[0]
    assert text.split("\t")[3] == "ba1"


@pytest.mark.usefixtures("drawing_what_is_known")
def test_without_a_scale_there_are_no_splines(
    model: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(model.facts, "mm_per_pixel", None)
    with pytest.warns(UserWarning, match="--mm_per_pixel"):
        assert "splines" not in draw(model, SPEECH, Drawing(), tmp_path)
    assert not list(tmp_path.glob("*_splines.csv"))
    with np.load(tmp_path / "said.npz") as file:
        assert "mm_per_pixel" not in file
    monkeypatch.delitem(model.facts, "mm_per_pixel")  # as checkpoints of earlier versions
    # A recording's own scale is that of the drawing, which follows its reference frame.
    scaled = replace(SPEECH, mm_per_pixel=5.0, reference=np.zeros((16, 16), np.uint8))
    assert "splines" in draw(model, scaled, Drawing(), tmp_path)


def test_where_nothing_is_seen_there_are_no_splines(
    model: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def black(self: DiffusionTask, acoustic: Tensor, *_: Any, **__: Any) -> Iterator[Tensor]:
        yield acoustic.new_full((len(acoustic), 16, 16), -1.0)

    monkeypatch.setattr(DiffusionTask, "stream", black)
    with pytest.warns(UserWarning, match="no fan stands out"):
        written = draw(model, SPEECH, Drawing(samples=2), tmp_path)
    assert "splines" not in written
    assert written["contour"].read_text().splitlines() == ["frame,time,x,y,spread,source"]


@pytest.mark.parametrize("timed", [True, False])
def test_times_of_words_reach_a_model_that_was_trained_with_them(
    model: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, timed: bool
) -> None:
    """The middles of the tokens stand where the TextGrid has their words; without times they are spread evenly."""
    soundfile.write(tmp_path / "x.wav", SPEECH.audio, 16000)
    words = [Interval("ba1", 0.30, 0.40), Interval("ma1", 0.40, 0.50)]
    write_textgrid(tmp_path / "x.TextGrid", FRAMES / 60, {"words": words})
    seen: list[Tensor] = []

    def stream(self: DiffusionTask, acoustic: Tensor, *_: Any, text_places: Tensor, **__: Any) -> Iterator[Tensor]:
        seen.append(text_places)
        yield to_unit(known(0))

    monkeypatch.setattr(DiffusionTask, "stream", stream)
    monkeypatch.setitem(model.facts, "text_times", timed)
    written = draw(model, from_sound(tmp_path / "x.wav"), Drawing(), tmp_path / "out")
    assert written["textgrid"].read_bytes() == (tmp_path / "x.TextGrid").read_bytes()
    places = seen[0].numpy() * FRAMES / 60
    assert len(places) == len("ba1 ma1")
    even = (np.arange(7) + 0.5) / 7 * FRAMES / 60
    timely = np.array([0.30, 0.30, 0.30, 0.35, 0.40, 0.40, 0.40]) + np.array([1, 3, 5, 3, 1, 3, 5]) / 60
    np.testing.assert_allclose(places, timely if timed else even, atol=1e-5)


def test_options_that_cannot_be(model: Predictor) -> None:
    with pytest.raises(InputError, match="samples must be 1 or more"):
        Drawing(samples=0)
    with pytest.raises(InputError, match="mm_per_pixel must be a finite number above 0"):
        Drawing(mm_per_pixel=0.0)


def test_a_regression_has_one_sample(simulated: Path, tmp_path: Path) -> None:
    run = fit_debug(
        simulated, tmp_path, "--model=RegressionTask", "--model.init_args.optimizer=torch.optim.Adam",
        "--data.reference=none", "--data.text=none",
    )  # fmt: skip
    with pytest.raises(InputError, match="draws nothing at random"):
        draw(load(run.checkpoint), SPEECH, Drawing(samples=2), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_reference_frame_that_a_model_brings(run: Run, model: Predictor, tmp_path: Path) -> None:
    assert default_reference(model) is None
    folder = tmp_path / "exported"
    frame = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    Image.fromarray(frame).save(tmp_path / "frame.png")
    export(run.checkpoint, folder, "cc0-1.0", reference=tmp_path / "frame.png")
    exported = load(folder)
    found = default_reference(exported)
    assert found is not None
    np.testing.assert_array_equal(found, frame)
    how = Drawing(steps=1, guidance=Guidance(1.0))
    own = np.load(draw(exported, SPEECH, how, tmp_path / "own")["frames"])
    same = np.load(draw(model, replace(SPEECH, reference=frame), how, tmp_path / "same")["frames"])
    np.testing.assert_array_equal(own["frames"], same["frames"])
    assert str(own["note"]).startswith(note_of(model))
    assert "not of the speaker" in str(own["note"])
    assert str(same["note"]) == note_of(model)

"""What is drawn while a model is trained: the files, the scores, and that the training does not notice."""

import csv
import json
from pathlib import Path
from typing import Any

import av
import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from conftest import REPOSITORY
from lightning.pytorch.callbacks import Callback
from media_files import clip_of, decoded, halves, shrunk
from numpy.typing import NDArray
from PIL import Image

from wav2uti.cli import main
from wav2uti.data.module import ClipData
from wav2uti.diffusion.guidance import Guidance
from wav2uti.diffusion.sampler import StochasticHeun
from wav2uti.errors import InputError
from wav2uti.grey import to_grey
from wav2uti.metrics import pixel
from wav2uti.tasks.base import Task
from wav2uti.tasks.diffusion import DiffusionTask
from wav2uti.training.gallery import Gallery
from wav2uti.training.watch import Watch
from wav2uti.video.write import enlarged


class Modes(Callback):
    """Fails where a batch finds the network otherwise than in training."""

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        assert all(module.training for module in pl_module.modules())
        assert torch.is_grad_enabled()


def fit(corpus: Path, runs: Path, *options: str, gallery: dict[str, Any] | None = None, steps: int = 4) -> int:
    """A few steps of the smallest model, dropout and averaged weights in it; with the gallery or without."""
    callbacks = [
        {"class_path": "Watch"},
        *([{"class_path": "Gallery", "init_args": {"clips": 2, **gallery}}] if gallery is not None else []),
        {"class_path": f"{__name__}.Modes"},
        {"class_path": "Average", "init_args": {"decay": 0.8}},
        {
            "class_path": "Checkpointing",
            "init_args": {"filename": "step-{step}", "auto_insert_metric_name": False, "save_last": True},
        },
    ]
    return main(
        [
            "fit",
            f"--config={REPOSITORY / 'configs' / 'debug.yaml'}",
            f"--data.shards={corpus}",
            f"--trainer.logger.init_args.save_dir={runs}",
            "--trainer.logger.init_args.version=v",
            f"--trainer.max_steps={steps}",
            "--trainer.log_every_n_steps=1",
            "--trainer.limit_val_batches=0",
            "--trainer.enable_progress_bar=false",
            "--trainer.enable_model_summary=false",
            "--model.init_args.fusion.init_args.dropout=0.2",
            "--model.init_args.sampler.init_args.steps=2",
            "--data.clip_frames=8",
            f"--trainer.callbacks={json.dumps(callbacks)}",
            *options,
        ]
    )


def rows(runs: Path) -> list[dict[str, str]]:
    with (runs / "debug" / "v" / "metrics.csv").open(newline="") as file:
        return [{name: value for name, value in row.items() if value} for row in csv.DictReader(file)]


def media(runs: Path) -> Path:
    return runs / "debug" / "v" / "media"


@pytest.fixture(scope="module")
def drawn(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five steps, drawn at every second and at the end."""
    runs = tmp_path_factory.mktemp("drawn")
    assert fit(simulated, runs, gallery={"every_n_steps": 2}, steps=5) == 0
    return runs


@pytest.fixture(scope="module")
def undisturbed(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("undisturbed")
    assert fit(simulated, runs, steps=5) == 0
    return runs


def test_every_so_many_steps_and_at_the_end(drawn: Path) -> None:
    assert sorted(folder.name for folder in media(drawn).iterdir()) == ["step-000002", "step-000004", "step-000005"]
    names = [sorted(path.name for path in folder.iterdir()) for folder in media(drawn).iterdir()]
    assert names[0] == names[1] == names[2]  # the same clips each time
    assert [Path(name).suffix for name in names[0]] == [".mp4", ".png"] * 2
    assert [row["step"] for row in rows(drawn) if "gallery/rmse" in row] == ["1", "3", "4"]


def test_the_training_does_not_notice(drawn: Path, undisturbed: Path) -> None:
    with_it, without = (
        torch.load(runs / "debug" / "v" / "checkpoints" / "last.ckpt", weights_only=True)
        for runs in (drawn, undisturbed)
    )
    for part in ("state_dict", "current_model_state", "optimizer_states", "averaging_state"):
        torch.testing.assert_close(with_it[part], without[part], rtol=0, atol=0)
    clocks = ("train/data_wait", "train/clips_per_second")
    curves = [
        [{k: v for k, v in row.items() if k not in clocks and not k.startswith("gallery/")} for row in rows(runs)]
        for runs in (drawn, undisturbed)
    ]
    assert curves[0] == curves[1]


def test_the_left_half_is_the_corpus_and_the_right_one_is_not(drawn: Path, simulated: Path) -> None:
    for path in media(drawn).rglob("*.mp4"):
        real = clip_of(path, simulated, 8)
        left, right = (shrunk(half, 16) for half in halves(path))
        assert left.shape == right.shape == real.shape == (8, 16, 16)
        assert np.sqrt(np.mean((left - real) ** 2)) < 6
        assert np.sqrt(np.mean((right - real) ** 2)) > 20  # five steps teach nothing
        with av.open(str(path)) as container:
            assert container.metadata["comment"].startswith("SIMULATED")
            assert "averaged weights" in container.metadata["comment"]
            assert container.streams.video[0].average_rate == 15


def test_the_sheet_shows_both_with_contours_and_says_what_it_is(drawn: Path) -> None:
    for path in media(drawn).rglob("*.png"):
        sheet = Image.open(path)
        assert sheet.text["Title"].startswith("SIMULATED")
        colours = np.asarray(sheet.convert("RGB")).astype(int)
        for colour in ((230, 159, 0), (86, 180, 233)):
            assert (np.abs(colours - colour).max(-1) < 8).sum() > 50, colour


@pytest.fixture(scope="module")
def expected(drawn: Path, simulated: Path) -> dict[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Generated and real frames of the last files: what the last checkpoint draws, which has the same average."""
    task: Any = Task.from_checkpoint(drawn / "debug" / "v" / "checkpoints" / "last.ckpt")
    task.sampler, task.guidance = StochasticHeun(steps=2), Guidance(scale=1.5)
    chosen = ClipData(str(simulated), clip_frames=8, reference="speaker").validation_clips(2)
    assert chosen is not None
    with torch.no_grad():
        generated = to_grey(task.test_step(chosen[0], 0)["generated"])[:, 0].numpy()
    real = to_grey(chosen[0]["frames"])[:, 0].numpy()
    names = [f"{id}_{first:05d}" for id, first in zip(chosen[0]["ids"], chosen[1], strict=True)]
    return {name: (generated[k], real[k]) for k, name in enumerate(names)}


def test_the_average_of_this_very_step_draws(drawn: Path, expected: dict[str, Any]) -> None:
    assert {path.stem for path in (media(drawn) / "step-000005").iterdir()} == set(expected)
    for name, (generated, _) in expected.items():
        _, right = halves(media(drawn) / "step-000005" / f"{name}.mp4")
        for picture, frame in zip(right, generated, strict=True):
            assert np.abs(picture.astype(float) - enlarged(frame)).mean() < 8


def test_the_scores_are_those_of_these_clips(drawn: Path, expected: dict[str, Any]) -> None:
    last = rows(drawn)[-1]
    pairs = [tuple(map(torch.from_numpy, pair)) for pair in expected.values()]
    for name in ("rmse", "psnr", "ssim"):
        mean = np.mean([float(getattr(pixel, name)(*pair)) for pair in pairs])
        assert float(last[f"gallery/{name}"]) == pytest.approx(mean, rel=1e-4), name
    assert {"gallery/contour_mm", "gallery/contour_mm_exact"} <= set(last)
    assert 0 < float(last["gallery/seconds"]) < 600


def test_nothing_is_drawn_without_clips_or_without_a_logger(simulated: Path, tmp_path: Path) -> None:
    assert fit(simulated, tmp_path, "--data.val_speakers=0", gallery={"every_n_steps": 2}) == 0
    assert not media(tmp_path).exists()
    assert not any(name.startswith("gallery") for row in rows(tmp_path) for name in row)
    bare = [f"--trainer.default_root_dir={tmp_path / 'bare'}"]
    options = [*bare, "--trainer.logger=false"]
    assert fit(simulated, tmp_path, *options, gallery={"every_n_steps": 2}) == 0
    assert not list((tmp_path / "bare").rglob("*.mp4"))


def test_the_end_is_drawn_unless_it_comes_too_soon(
    simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fit(simulated, tmp_path / "soon", gallery={}, steps=2) == 0
    assert not list((tmp_path / "soon").rglob("media"))
    monkeypatch.setattr("wav2uti.training.gallery.LEAST", 2)
    assert fit(simulated, tmp_path / "late", gallery={}, steps=2) == 0
    assert list((tmp_path / "late").rglob("media/step-000002/*.mp4"))


@pytest.mark.slow
def test_a_training_that_went_on_drew_the_same(drawn: Path, simulated: Path, tmp_path: Path) -> None:
    for steps in (3, 5):
        assert fit(simulated, tmp_path, "--ckpt_path=last", gallery={"every_n_steps": 2}, steps=steps) == 0
    folders = {folder.name: folder for folder in media(tmp_path).iterdir()}
    assert sorted(folders) == [f"step-{step:06d}" for step in (2, 3, 4, 5)]  # 3 was an end, too
    for folder in media(drawn).iterdir():
        for path in folder.glob("*.png"):
            assert (folders[folder.name] / path.name).read_bytes() == path.read_bytes()
        for path in folder.glob("*.mp4"):
            np.testing.assert_array_equal(decoded(folders[folder.name] / path.name), decoded(path))
    scores = [
        {row["step"]: row["gallery/rmse"] for row in rows(runs) if "gallery/rmse" in row} for runs in (drawn, tmp_path)
    ]
    assert scores[0].items() <= scores[1].items()


def test_what_fails_is_a_warning_and_no_end(
    simulated: Path,
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("wav2uti.training.gallery.contact_sheet", full)
    assert fit(simulated, tmp_path, gallery={"every_n_steps": 2}, steps=5) == 0
    said = capsys.readouterr().err
    assert "the clips of step 2 were not drawn or logged ([Errno 28] No space left on device); training goes on" in said
    one, other = (
        torch.load(runs / "debug" / "v" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for runs in (tmp_path, undisturbed)
    )
    torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_its_time_is_no_waiting_for_data() -> None:
    watch = Watch()
    watch.since = watch.ended = 100.0
    watch.pass_over(5.0)
    assert (watch.since, watch.ended) == (105.0, 105.0)


def test_no_more_steps_than_asked_for(simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    test_step = DiffusionTask.test_step

    def noted(self: Any, batch: Any, batch_idx: int) -> Any:
        taken.append(self.sampler.steps)
        return test_step(self, batch, batch_idx)

    monkeypatch.setattr(DiffusionTask, "test_step", noted)
    assert fit(simulated, tmp_path, gallery={"steps": 1, "every_n_steps": 1}, steps=1) == 0
    assert taken == [1]


def test_options_out_of_range_are_refused() -> None:
    for options in ({"every_n_steps": 0}, {"clips": 0}, {"steps": 0}, {"slower": 0}):
        with pytest.raises(InputError, match="1 or more"):
            Gallery(**options)

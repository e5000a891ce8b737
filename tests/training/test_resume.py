"""A training that is stopped goes on as if it had not been."""

import csv
import json
import os
import signal
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from conftest import REPOSITORY
from lightning.pytorch.callbacks import Callback

from wav2uti.cli import main
from wav2uti.errors import InputError
from wav2uti.training.checkpointing import newest_whole

CLOCKS = ("train/data_wait", "train/clips_per_second")
SAVING = {"filename": "step-{step}", "auto_insert_metric_name": False, "every_n_train_steps": 3, "save_last": True,
          "enable_version_counter": False}  # fmt: skip


class Terminate(Callback):
    """Sends this process a SIGTERM in a step, as a scheduler does before it kills."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


class Crash(Callback):
    """Ends the training at the beginning of a batch, with nothing saved."""

    def __init__(self, batch: int) -> None:
        self.batch = batch

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        if trainer.fit_loop.total_batch_idx == self.batch:
            raise RuntimeError("crashed")


def fit(corpus: Path, runs: Path, *options: str, saving: dict[str, Any] | None = None, callbacks: Any = ()) -> int:
    """Twelve steps of the smallest model, with gradients added over two batches, dropout and averaged weights."""
    all_callbacks = [
        {"class_path": "Watch"},
        {"class_path": "Average", "init_args": {"decay": 0.8}},
        {"class_path": "Checkpointing", "init_args": SAVING | (saving or {})},
        *callbacks,
    ]
    return main(
        [
            "fit",
            f"--config={REPOSITORY / 'configs' / 'debug.yaml'}",
            f"--data.shards={corpus}",
            f"--trainer.logger.init_args.save_dir={runs}",
            "--trainer.logger.init_args.version=v",
            "--trainer.max_steps=12",
            "--trainer.accumulate_grad_batches=2",
            "--trainer.log_every_n_steps=1",
            "--trainer.enable_progress_bar=false",
            "--trainer.enable_model_summary=false",
            "--trainer.limit_val_batches=1",
            "--trainer.val_check_interval=4",
            "--trainer.check_val_every_n_epoch=null",
            "--model.init_args.fusion.init_args.dropout=0.2",
            "--ckpt_path=last",
            f"--trainer.callbacks={json.dumps(all_callbacks)}",
            *options,
        ]
    )


def folder(runs: Path) -> Path:
    return runs / "debug" / "v" / "checkpoints"


def state(runs: Path) -> dict[str, Any]:
    parts = ("state_dict", "current_model_state", "optimizer_states", "global_step", "seed")
    checkpoint = torch.load(folder(runs) / "last.ckpt", weights_only=True)
    return {part: checkpoint[part] for part in parts}


def curve(runs: Path) -> list[dict[str, str]]:
    with (runs / "debug" / "v" / "metrics.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if v and k not in CLOCKS} for row in csv.DictReader(file)]


def assert_the_same(one: Any, other: Any) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


@pytest.fixture(scope="module")
def undisturbed(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("undisturbed")
    assert fit(simulated, runs) == 0
    return runs


@pytest.mark.parametrize("stop", [1, 5, 9])
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_weights_and_curve_are_those_of_an_undisturbed_training(
    stop: int, workers: int, simulated: Path, undisturbed: Path, tmp_path: Path
) -> None:
    reading = f"--data.num_workers={workers}"
    assert fit(simulated, tmp_path, f"--trainer.max_steps={stop}", reading) == 0
    assert fit(simulated, tmp_path, reading) == 0
    assert_the_same(state(tmp_path), state(undisturbed))
    assert curve(tmp_path) == curve(undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("stops", [range(1, 12), (2, 6, 10), (4, 8), (3, 6, 9), (2, 7)])
def test_it_goes_on_again_and_again(stops: Sequence[int], simulated: Path, undisturbed: Path, tmp_path: Path) -> None:
    """From every place in an epoch of two steps, its end too, over epochs and within them."""
    for step in (*stops, 12):
        assert fit(simulated, tmp_path, f"--trainer.max_steps={step}") == 0
    assert_the_same(state(tmp_path), state(undisturbed))
    rows = [row for row in curve(tmp_path) if "train/loss" in row]
    assert rows == [row for row in curve(undisturbed) if "train/loss" in row]


def test_a_crash_within_the_first_step_spares_the_checkpoint_it_went_on_from(
    simulated: Path, undisturbed: Path, tmp_path: Path
) -> None:
    assert fit(simulated, tmp_path, "--trainer.max_steps=3") == 0
    with pytest.raises(RuntimeError, match="crashed"):
        fit(simulated, tmp_path, callbacks=[{"class_path": f"{__name__}.Crash", "init_args": {"batch": 7}}])
    assert fit(simulated, tmp_path) == 0
    assert_the_same(state(tmp_path), state(undisturbed))
    assert curve(tmp_path) == curve(undisturbed)


def test_another_seed_given_when_it_goes_on_changes_nothing(simulated: Path, undisturbed: Path, tmp_path: Path) -> None:
    assert fit(simulated, tmp_path, "--trainer.max_steps=5") == 0
    assert fit(simulated, tmp_path, "--seed_everything=3") == 0
    assert_the_same(state(tmp_path), state(undisturbed))


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def change_a_bit(path: Path) -> None:
    """Of a weight; headers and the space between tensors matter to nobody."""
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
        place = path.read_bytes().index(archive.read(largest))
    data = bytearray(path.read_bytes())
    data[place + largest.file_size // 2] ^= 16
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [cut_off, change_a_bit])
def test_a_broken_checkpoint_is_passed_over(
    damage: Callable[[Path], None],
    simulated: Path,
    undisturbed: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert fit(simulated, tmp_path, "--trainer.max_steps=8") == 0
    damage(folder(tmp_path) / "step-8.ckpt")  # last.ckpt is another name of it
    assert fit(simulated, tmp_path) == 0
    said = capsys.readouterr().err
    assert "passed over" in said
    assert "is no checkpoint, or a damaged one" in said
    assert {path.name for path in folder(tmp_path).glob("*.broken")} == {"step-8.ckpt.broken", "last.ckpt.broken"}
    assert_the_same(state(tmp_path), state(undisturbed))
    assert curve(tmp_path) == curve(undisturbed)


def test_where_all_are_broken_nothing_is_begun_anew(
    simulated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(simulated, tmp_path, "--trainer.max_steps=2") == 0
    for path in folder(tmp_path).iterdir():
        path.write_bytes(b"")
    before = curve(tmp_path)
    assert fit(simulated, tmp_path) == 2
    assert "None of the checkpoints in" in capsys.readouterr().err
    assert curve(tmp_path) == before


def test_a_sigterm_is_an_end_that_is_saved(simulated: Path, undisturbed: Path, tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    try:
        terminated = [{"class_path": f"{__name__}.Terminate", "init_args": {"step": 7}}]
        assert fit(simulated, tmp_path, callbacks=terminated, saving={"every_n_train_steps": 100}) == 143
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert state(tmp_path)["global_step"] in (7, 8)
    assert fit(simulated, tmp_path) == 0
    assert_the_same(state(tmp_path), state(undisturbed))


def test_the_newest_two_are_kept_and_those_kept_for_good(simulated: Path, tmp_path: Path) -> None:
    assert fit(simulated, tmp_path, saving={"every_n_train_steps": 2, "keep_every": 5}) == 0
    assert sorted(p.name for p in folder(tmp_path).iterdir()) == [
        "last.ckpt", "step-10.ckpt", "step-12.ckpt", "step-5.ckpt",
    ]  # fmt: skip
    assert (folder(tmp_path) / "last.ckpt").samefile(folder(tmp_path) / "step-12.ckpt")


def test_the_best_is_kept_beside_them(simulated: Path, tmp_path: Path) -> None:
    best = {
        "class_path": "ModelCheckpoint",
        "init_args": {"monitor": "val/loss", "filename": "best", "enable_version_counter": False},
    }
    assert fit(simulated, tmp_path, callbacks=[best]) == 0
    losses = [float(row["val/loss"]) for row in curve(tmp_path) if "val/loss" in row]
    assert len(losses) > 2
    saved = torch.load(folder(tmp_path) / "best.ckpt", weights_only=True)
    (kept,) = (v for k, v in saved["callbacks"].items() if "val/loss" in k)
    assert kept["best_model_score"].item() == pytest.approx(min(losses))


def test_a_full_disk_ends_it_with_a_sentence_and_leaves_the_checkpoint_before(
    simulated: Path,
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert fit(simulated, tmp_path, "--trainer.max_steps=4") == 0
    before = {p.name: p.read_bytes() for p in folder(tmp_path).iterdir()}

    def full(checkpoint: Any, file: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", full)
        assert fit(simulated, tmp_path) == 2
    said = capsys.readouterr().err
    assert "No space left on device" in said
    assert "Traceback" not in said
    assert {p.name: p.read_bytes() for p in folder(tmp_path).iterdir()} == before
    assert fit(simulated, tmp_path) == 0
    assert_the_same(state(tmp_path), state(undisturbed))


def test_what_a_kill_left_half_written_is_cleared_away(simulated: Path, tmp_path: Path) -> None:
    folder(tmp_path).mkdir(parents=True)
    left = folder(tmp_path) / ".step-3.ckpt.part"
    left.write_bytes(b"half")
    assert newest_whole(folder(tmp_path)) is None
    assert fit(simulated, tmp_path, "--trainer.max_steps=1") == 0
    assert not left.exists()


def test_without_a_version_it_goes_on_in_the_folder_that_was_saved_last(simulated: Path, tmp_path: Path) -> None:
    for steps in (2, 4):
        options = ["--trainer.logger.init_args.version=null", f"--trainer.max_steps={steps}"]
        assert fit(simulated, tmp_path, *options) == 0
    assert [path.name for path in (tmp_path / "debug").iterdir()] == ["version_0"]
    assert (
        torch.load(tmp_path / "debug" / "version_0" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
        == 4
    )


def test_options_out_of_range_are_refused() -> None:
    from wav2uti.training.checkpointing import Checkpointing

    with pytest.raises(InputError, match="1 or more"):
        Checkpointing(keep=0)

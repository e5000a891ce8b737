"""A training whose numbers are none any more is stopped or skips the step, and says whose clips did it."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from conftest import Run, fit_debug
from lightning.pytorch.callbacks import Callback

from wav2uti.cli import main


class Poison(Callback):
    """Makes one clip of a step's batch NaN, or the gradient of a weight infinite."""

    def __init__(self, steps: list[int], gradient: bool = False) -> None:
        self.steps = steps
        self.gradient = gradient
        self.weights: list[torch.Tensor] = []

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.weights.append(pl_module.denoiser.net.last.weight.detach().clone())
        if trainer.global_step in self.steps and not self.gradient:
            batch["frames"][1] = math.nan

    def on_after_backward(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if trainer.global_step in self.steps and self.gradient:
            pl_module.denoiser.net.last.weight.grad[0] = math.inf

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        moved = [not torch.equal(a, b) for a, b in zip(self.weights, self.weights[1:], strict=False)]
        for step, has in enumerate(moved):
            assert has is (step not in self.steps), step
        Path(str(trainer.log_dir), "checked").touch()


def options(steps: list[int], gradient: bool = False, **watch: Any) -> list[str]:
    callbacks = [
        {"class_path": f"{__name__}.Poison", "init_args": {"steps": steps, "gradient": gradient}},
        {"class_path": "Watch", "init_args": watch},
        {"class_path": "Average", "init_args": {"decay": 0.5}},
        {"class_path": "Checkpointing", "init_args": {"save_last": True, "every_n_train_steps": 1}},
    ]
    return [f"--trainer.callbacks={json.dumps(callbacks)}", "--trainer.max_steps=6"]


def command(run: Run, runs: Path, *more: str) -> list[str]:
    from conftest import REPOSITORY

    return ["fit", f"--config={REPOSITORY / 'configs' / 'debug.yaml'}", f"--data.shards={run.corpus}",
            f"--trainer.logger.init_args.save_dir={runs}", "--trainer.logger.init_args.version=v",
            "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", *more]  # fmt: skip


def test_nan_stops_the_training_names_the_recording_and_spares_the_weights(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(run, tmp_path, *options([3]))) == 2
    said = capsys.readouterr().err
    assert "At step 3 the loss or its gradient is not a finite number" in said
    assert said.count("_u0") == 1  # the other clip of the batch is not accused
    assert "Traceback" not in said
    saved = torch.load(tmp_path / "debug" / "v" / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 3
    assert all(value.isfinite().all() for value in saved["state_dict"].values())


def test_an_infinite_gradient_stops_it_too(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(run, tmp_path, *options([2], gradient=True))) == 2
    assert "At step 2 " in capsys.readouterr().err


def test_a_step_is_skipped_where_asked(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(run, tmp_path, *options([1, 3], not_finite="skip"))) == 0
    assert capsys.readouterr().out.count("this step is skipped") == 2
    assert (tmp_path / "debug" / "v" / "checked").is_file()
    saved = torch.load(tmp_path / "debug" / "v" / "checkpoints" / "last.ckpt", weights_only=True)
    for part in ("state_dict", "current_model_state"):
        assert all(value.isfinite().all() for value in saved[part].values())


def test_steps_are_not_skipped_for_ever(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(run, tmp_path, *options([1, 2, 3, 4, 5], not_finite="skip", most_skipped=2))) == 2
    assert "At step 3 " in capsys.readouterr().err


def test_what_is_logged(simulated: Path, tmp_path: Path) -> None:
    run = fit_debug(simulated, tmp_path, "--trainer.max_steps=4", "--trainer.log_every_n_steps=2")
    with (run.folder / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss"]]
    assert [row["step"] for row in rows] == ["1", "3"]
    for row in rows:
        assert float(row["train/grad_norm"]) > 0
        assert 0 <= float(row["train/data_wait"]) <= 1
        assert float(row["train/clips_per_second"]) > 0
        by_level = [float(value) for name, value in row.items() if "loss_sigma" in name and value]
        assert min(by_level) <= max(by_level)
        assert by_level
    assert float(rows[-1]["train/average_distance"]) > 0

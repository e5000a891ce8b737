"""Two processes (DDP over gloo, as the command line starts them) train what one does."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import REPOSITORY

pytestmark = pytest.mark.slow

TWO = ("--trainer.devices=2", "--trainer.strategy=ddp", "--data.batch_size=2")


def fit(corpus: Path, runs: Path, name: str, *options: str) -> Path:
    """Eight steps in processes of their own; the folder of the run."""
    command = [
        sys.executable,
        "-m",
        "wav2uti",
        "fit",
        f"--config={REPOSITORY / 'configs' / 'debug.yaml'}",
        f"--data.shards={corpus}",
        f"--trainer.logger.init_args.save_dir={runs}",
        f"--trainer.logger.init_args.version={name}",
        "--trainer.max_steps=8",
        "--trainer.log_every_n_steps=1",
        "--trainer.limit_val_batches=0",
        "--trainer.enable_progress_bar=false",
        "--ckpt_path=last",
        *options,
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return runs / "debug" / name


def column(run: Path, name: str) -> list[float]:
    with (run / "metrics.csv").open(newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file) if row[name]]


@pytest.fixture(scope="module")
def one(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fit(simulated, tmp_path_factory.mktemp("one"), "one", "--data.batch_size=4")


@pytest.fixture(scope="module")
def two(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fit(simulated, tmp_path_factory.mktemp("two"), "two", *TWO)


def test_the_same_batch_has_the_same_losses_and_gradients(one: Path, two: Path) -> None:
    for name in ("train/loss", "train/grad_norm", "train/average_distance"):
        alone, shared = column(one, name), column(two, name)
        assert len(alone) == 8
        assert shared == pytest.approx(alone, rel=1e-5), name


@pytest.mark.parametrize("strategies", [("sharded", "sharded"), ("ddp", "sharded"), ("sharded", "ddp")])
def test_a_network_spread_over_two_processes_is_the_same(
    strategies: tuple[str, str], two: Path, simulated: Path, tmp_path: Path
) -> None:
    """Begun, stopped and gone on with, by the other strategy too."""
    first, then = ((*TWO, f"--trainer.strategy={strategy}") for strategy in strategies)
    fit(simulated, tmp_path, "spread", *first, "--trainer.max_steps=3")
    run = fit(simulated, tmp_path, "spread", *then)
    for name in ("train/loss", "train/grad_norm", "train/average_distance"):
        assert column(run, name) == pytest.approx(column(two, name), rel=1e-5), name
    shared, spread = (torch.load(each / "checkpoints" / "last.ckpt", weights_only=True) for each in (two, run))
    for part in ("state_dict", "current_model_state"):
        torch.testing.assert_close(spread[part], shared[part], rtol=1e-5, atol=1e-6)
    assert spread["optimizer_states"][0]["state"].keys() == shared["optimizer_states"][0]["state"].keys()


def test_gradients_added_over_two_batches_are_those_of_one(one: Path, simulated: Path, tmp_path: Path) -> None:
    added = fit(simulated, tmp_path, "added", "--data.batch_size=2", "--trainer.accumulate_grad_batches=2")
    assert column(added, "train/grad_norm") == pytest.approx(column(one, "train/grad_norm"), rel=1e-5)


def test_two_processes_go_on_exactly(two: Path, simulated: Path, tmp_path: Path) -> None:
    fit(simulated, tmp_path, "two", *TWO, "--trainer.max_steps=3")
    stopped = fit(simulated, tmp_path, "two", *TWO)
    whole, resumed = (torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (two, stopped))
    for part in ("state_dict", "current_model_state", "optimizer_states"):
        torch.testing.assert_close(whole[part], resumed[part], rtol=0, atol=0)
    assert column(stopped, "train/loss") == column(two, "train/loss")


@pytest.mark.parametrize("strategy", ["ddp", "sharded"])
def test_two_processes_draw_what_one_does(strategy: str, one: Path, simulated: Path, tmp_path: Path) -> None:
    """The first one alone, or both together where each has a share of the weights; the training goes on as before."""
    callbacks = tmp_path / "callbacks.yaml"
    callbacks.write_text(
        "trainer: {callbacks: [{class_path: Watch}, {class_path: Gallery, init_args: {every_n_steps: 3, clips: 2}}, "
        "{class_path: Average, init_args: {decay: 0.9}}]}"
    )
    given = [f"--config={callbacks}", "--trainer.enable_checkpointing=false"]
    alone = fit(simulated, tmp_path, "alone", *given, "--data.batch_size=4")
    shared = fit(simulated, tmp_path, "shared", *given, *TWO, f"--trainer.strategy={strategy}")
    assert column(shared, "train/loss") == pytest.approx(column(one, "train/loss"), rel=1e-5)
    assert len(column(shared, "gallery/rmse")) == 3
    for name in ("gallery/rmse", "gallery/ssim"):
        assert column(shared, name) == pytest.approx(column(alone, name), rel=1e-3), name
    files = [sorted(path.relative_to(run) for path in run.glob("media/*/*")) for run in (alone, shared)]
    assert files[0] == files[1]
    assert len(files[0]) == 3 * 4

"""What is chosen when clips are drawn: guidance, a weaker model, samplers; and losses that tell where a model errs."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Run, fit_debug

from wav2uti.cli import main
from wav2uti.diffusion.guidance import Guidance
from wav2uti.diffusion.sampler import DPMSolver, Euler, StochasticHeun
from wav2uti.errors import InputError
from wav2uti.tasks.base import Task
from wav2uti.tasks.diffusion import DiffusionTask

FRAMES = 37  # longer than a clip


@pytest.fixture(scope="module")
def other(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same network trained otherwise."""
    return fit_debug(run.corpus, tmp_path_factory.mktemp("other"), "--model.init_args.optimizer.init_args.lr=0.05")


@pytest.fixture
def task(run: Run) -> DiffusionTask:
    task = Task.from_checkpoint(run.checkpoint)
    assert isinstance(task, DiffusionTask)
    task.sampler = DPMSolver(steps=3, sigma_max=10.0)
    return task


def draw(task: DiffusionTask, guidance: Guidance, seed: int = 0) -> torch.Tensor:
    task.guidance = guidance
    generator = torch.Generator().manual_seed(1)
    return task.generate(
        torch.randn(FRAMES, task.facts["acoustic"]["width"], generator=generator),
        torch.randn(6, task.facts["text"]["width"], generator=generator),
        torch.rand(16, 16, generator=generator) * 2 - 1,
        seed,
    )


def test_a_weaker_model_guides(task: DiffusionTask, other: Run) -> None:
    plain = draw(task, Guidance(1.0))
    weak = str(other.checkpoint)
    assert torch.equal(draw(task, Guidance(1.0, weak=weak)), plain)
    guided = draw(task, Guidance(2.0, weak=weak))
    assert not torch.equal(guided, plain)
    # With the weight 0 only the weaker model draws.
    alone = Task.from_checkpoint(weak)
    assert isinstance(alone, DiffusionTask)
    alone.sampler = task.sampler
    torch.testing.assert_close(draw(task, Guidance(0.0, weak=weak)), draw(alone, Guidance(1.0)), atol=1e-5, rtol=1e-5)
    assert task.describe()["autoguidance"] == weak
    assert not any("weak" in name for name in task.state_dict())


def test_a_model_guided_by_itself_is_itself(task: DiffusionTask, run: Run) -> None:
    drawn = draw(task, Guidance(3.0, weak=str(run.checkpoint)))
    torch.testing.assert_close(drawn, draw(task, Guidance(1.0)), atol=1e-4, rtol=1e-4)


def test_a_weaker_model_of_other_encoders_is_refused(task: DiffusionTask, other: Run, tmp_path: Path) -> None:
    checkpoint = torch.load(other.checkpoint, weights_only=True)
    checkpoint["hyper_parameters"]["facts"]["text"] = None
    broken = tmp_path / "other.ckpt"
    torch.save(checkpoint, broken)
    with pytest.raises(InputError):
        draw(task, Guidance(2.0, weak=str(broken)))
    with pytest.raises(InputError, match="no checkpoint"):
        draw(task, Guidance(2.0, weak=str(tmp_path / "none.ckpt")))


def test_an_interval_of_no_level_is_no_guidance(task: DiffusionTask) -> None:
    """Also in a wave of windows, whose calls mix noise levels."""
    plain = draw(task, Guidance(1.0))
    torch.testing.assert_close(draw(task, Guidance(4.0, interval=(20.0, 30.0))), plain)
    everywhere = draw(task, Guidance(4.0))
    torch.testing.assert_close(draw(task, Guidance(4.0, interval=(0.0, 100.0))), everywhere)
    some = draw(task, Guidance(4.0, interval=(0.05, 1.0)))
    assert not torch.allclose(some, plain)
    assert not torch.allclose(some, everywhere)


@pytest.mark.slow
def test_samplers_and_guidance_are_chosen_on_the_command_line(run: Run, other: Run, tmp_path: Path) -> None:
    corpus = [f"--shards={run.corpus}", "--recording=s01_u000", f"--ckpt_path={run.checkpoint}"]
    drawn = {}
    for name, options in {
        "heun": ["--sampler=StochasticHeun", "--sampler.steps=2"],
        "dpm": ["--sampler=DPMSolver", "--sampler.steps=3", "--sampler.schedule=exponential"],
        "sde": ["--sampler=DPMSolver", "--sampler.steps=3", "--sampler.eta=1"],
        "euler": ["--sampler=Euler", "--sampler.steps=3", "--guidance.interval=[0.1,10]"],
        "weak": ["--sampler=Euler", "--sampler.steps=3", f"--guidance.weak={other.checkpoint}"],
    }.items():
        assert main(["predict", *corpus, *options, f"--output={tmp_path / name}"]) == 0
        drawn[name] = np.load(tmp_path / name / "s01_u000.npz")["frames"]
    for name, frames in drawn.items():
        assert [other for other, others in drawn.items() if np.array_equal(frames, others)] == [name]


def test_a_mistake_in_guidance_is_one_sentence(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    options = [f"--shards={run.corpus}", "--recording=s01_u000", f"--ckpt_path={run.checkpoint}"]
    assert main(["predict", *options, "--guidance.threshold=2"]) == 2
    said = capsys.readouterr().err
    assert "guidance.threshold" in said
    assert "Traceback" not in said


def test_validation_tells_the_loss_by_noise_level(run: Run, tmp_path: Path) -> None:
    longer = fit_debug(run.corpus, tmp_path, "--trainer.val_check_interval=2", "--trainer.check_val_every_n_epoch=null")
    with (longer.folder / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["val/loss"]]
    by_level = {name: float(value) for name, value in rows[-1].items() if "sigma" in name and value}
    assert len(by_level) > 1
    assert all(name.startswith("val/loss_sigma_") and math.isfinite(loss) for name, loss in by_level.items())
    assert min(by_level.values()) <= float(rows[-1]["val/loss"]) <= max(by_level.values())


def test_the_network_is_compiled_where_asked(run: Run) -> None:
    """That a compiled network computes the same is for the test of the U-Net; and checkpoints know nothing of it."""
    for compile in (False, True):
        task = DiffusionTask.load_from_checkpoint(run.checkpoint, compile=compile, weights_only=True)
        assert (task.denoiser.net._compiled_call_impl is not None) is compile
        assert set(task.state_dict()) == set(torch.load(run.checkpoint, weights_only=True)["state_dict"])


def test_euler_is_not_heun(task: DiffusionTask) -> None:
    task.sampler = Euler(steps=3, sigma_max=10.0)
    one = draw(task, Guidance(1.0))
    task.sampler = StochasticHeun(steps=3, sigma_max=10.0, s_churn=0.0)
    assert not torch.allclose(one, draw(task, Guidance(1.0)))

"""The task: its checkpoint rebuilds it, its choices stay out of it, and it draws recordings of any length."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Run, fit_debug

from wav2uti.diffusion.sampler import StochasticHeun
from wav2uti.errors import InputError
from wav2uti.tasks.base import Task
from wav2uti.tasks.diffusion import DiffusionTask


@pytest.fixture
def task(run: Run) -> DiffusionTask:
    task = Task.from_checkpoint(run.checkpoint)
    assert isinstance(task, DiffusionTask)
    task.sampler = StochasticHeun(steps=2)
    return task


def speech(task: DiffusionTask, frames: int, seed: int = 0) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "acoustic": torch.randn(frames, task.facts["acoustic"]["width"], generator=generator),
        "text": torch.randn(6, task.facts["text"]["width"], generator=generator),
        "reference": torch.rand(16, 16, generator=generator) * 2 - 1,
    }


def test_checkpoint_rebuilds_the_same_model(run: Run, task: DiffusionTask) -> None:
    again = Task.from_checkpoint(run.checkpoint)
    assert again.facts == task.facts
    for (name, a), (_, b) in zip(task.state_dict().items(), again.state_dict().items(), strict=True):
        assert torch.equal(a, b), name
    assert task.facts["simulated"] is True
    assert float(task.denoiser.mean) == pytest.approx(task.facts["frame_mean"])
    assert float(task.denoiser.sigma_data) == pytest.approx(task.facts["frame_std"])


def test_what_a_user_changes_when_drawing_is_not_in_the_checkpoint(run: Run) -> None:
    saved = torch.load(run.checkpoint, weights_only=True)["hyper_parameters"]
    assert not {"sampler", "guidance", "overlap"} & set(saved)
    assert {"facts", "fusion", "net", "optimizer"} <= set(saved)


@pytest.mark.parametrize("frames", [1, 16, 37])
def test_any_length(task: DiffusionTask, frames: int) -> None:
    seen = []
    video = task.generate(**speech(task, frames), progress=lambda done, total: seen.append((done, total)))
    assert video.shape == (frames, 16, 16)
    assert video.abs().max() <= 1
    assert seen == [(1, 2), (2, 2)]


def test_seed_decides(task: DiffusionTask) -> None:
    inputs = speech(task, 20)
    assert torch.equal(task.generate(**inputs, seed=3), task.generate(**inputs, seed=3))
    assert not torch.equal(task.generate(**inputs, seed=3), task.generate(**inputs, seed=4))


def test_text_and_reference_may_be_missing(task: DiffusionTask) -> None:
    inputs = speech(task, 8)
    whole = task.generate(**inputs)
    for name in ("text", "reference"):
        assert not torch.equal(whole, task.generate(**(inputs | {name: None}))), name


def test_a_reference_of_another_size_is_refused(task: DiffusionTask) -> None:
    with pytest.raises(InputError, match="16x16"):
        task.generate(**(speech(task, 8) | {"reference": torch.zeros(8, 8)}))


def test_dropped_conditions_reach_the_null_vector(task: DiffusionTask, run: Run, tmp_path: Path) -> None:
    """With every condition dropped, the sound cannot matter to the training loss."""
    from wav2uti.data.module import ClipData

    data = ClipData(str(run.corpus), reference="speaker", batch_size=2)
    data.setup("fit")
    batch = next(iter(data.val_dataloader()))
    task.log = lambda *args, **kwargs: None  # type: ignore[method-assign]
    for share, same in ((1.0, True), (0.0, False)):
        task.drop_condition = task.drop_reference = share
        losses = []
        for scale in (1, -1):
            torch.manual_seed(0)
            losses.append(task.training_step(batch | {"acoustic": batch["acoustic"] * scale}, 0))
        assert torch.equal(*losses) is same


def test_training_can_start_from_another_checkpoint(run: Run, tmp_path: Path) -> None:
    options = (f"--model.init_args.start_from={run.checkpoint}", "--data.clip_frames=8", "--trainer.max_steps=1",
               "--model.init_args.optimizer.init_args.lr=0.0")  # fmt: skip
    started = fit_debug(run.corpus, tmp_path, *options)
    before, after = (torch.load(path, weights_only=True)["state_dict"] for path in (run.checkpoint, started.checkpoint))
    for name in before:
        assert torch.equal(before[name], after[name]), name
    assert "start_from" not in torch.load(started.checkpoint, weights_only=True)["hyper_parameters"]


def test_weights_of_another_network_are_refused(run: Run, task: DiffusionTask) -> None:
    other = DiffusionTask(task.facts, net=lambda width, reference: torch.nn.Linear(width, 1))
    with pytest.raises(InputError, match="another network"):
        other.copy_weights(run.checkpoint)

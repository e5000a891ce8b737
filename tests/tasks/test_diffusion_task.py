"""The task: its checkpoint rebuilds it, its choices stay out of it, and it draws recordings of any length."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Run, fit_debug

from wav2uti.data.module import ClipData
from wav2uti.diffusion.guidance import Guidance
from wav2uti.diffusion.sampler import StochasticHeun
from wav2uti.diffusion.unet import UNet
from wav2uti.errors import InputError
from wav2uti.tasks.base import Task
from wav2uti.tasks.batch import Batch
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
    assert not {"sampler", "guidance", "overlap", "compile"} & set(saved)
    assert {"facts", "fusion", "net", "optimizer"} <= set(saved)


@pytest.mark.parametrize("frames", [1, 16, 37])
def test_any_length(task: DiffusionTask, frames: int) -> None:
    seen = []
    video = task.generate(**speech(task, frames), progress=lambda done, total: seen.append((done, total)))
    assert video.shape == (frames, 16, 16)
    assert video.abs().max() <= 1
    assert seen[-1][0] == seen[-1][1] > 0


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
    data = ClipData(str(run.corpus), reference="speaker", batch_size=2)
    data.setup("fit")
    batch = next(iter(data.val_dataloader()))
    task.log = lambda *args, **kwargs: None  # type: ignore[method-assign]
    for share, same in ((1.0, True), (0.0, False)):
        task.drop_condition = task.drop_reference = share
        losses = []
        for scale in (1, -1):
            task.drawn = 0  # the same numbers again
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
    other = DiffusionTask(task.facts, net=lambda width, reference, draft: torch.nn.Linear(width, 1))
    with pytest.raises(InputError, match="another network"):
        other.copy_weights(run.checkpoint)


def some_batch(run: Run) -> Batch:
    data = ClipData(str(run.corpus), reference="speaker", batch_size=4, test_speakers=0, val_speakers=1)
    data.setup("fit")
    batch: Batch = next(iter(data.train_dataloader()))
    return batch


def silent(task: DiffusionTask) -> DiffusionTask:
    task.log = lambda *args, **kwargs: None  # type: ignore[method-assign]
    return task


def loss(task: DiffusionTask, batch: Batch) -> torch.Tensor:
    task.drawn = 0  # the same random numbers each time
    return task.training_step(batch, 0)


def test_text_is_dropped_alone(task: DiffusionTask, run: Run) -> None:
    batch = some_batch(run)
    silent(task).drop_condition = task.drop_reference = 0.0
    other_text: Batch = {**batch, "text": batch["text"] + 1}
    assert not torch.equal(loss(task, batch), loss(task, other_text))
    task.drop_text = 1.0
    assert torch.equal(loss(task, batch), loss(task, other_text))
    assert not torch.equal(loss(task, batch), loss(task, {**batch, "acoustic": -batch["acoustic"]}))


def test_sound_is_dropped_alone(task: DiffusionTask, run: Run) -> None:
    batch = some_batch(run)
    deaf = silent(DiffusionTask(task.facts, task.hparams["fusion"], task.hparams["net"], drop_audio=1.0))
    deaf.load_state_dict(task.state_dict(), strict=False)
    deaf.drop_condition = 0.0
    assert torch.equal(loss(deaf, batch), loss(deaf, {**batch, "acoustic": -batch["acoustic"]}))
    assert not torch.equal(loss(deaf, batch), loss(deaf, {**batch, "text": batch["text"] + 1}))
    loss(deaf, batch).backward()
    assert deaf.null_acoustic is not None
    assert deaf.null_acoustic.vector.grad is not None
    assert deaf.null_acoustic.vector.grad.abs().max() > 0


def test_text_and_sound_are_never_dropped_both(task: DiffusionTask) -> None:
    half = DiffusionTask(task.facts, task.hparams["fusion"], task.hparams["net"], drop_text=0.5, drop_audio=0.5)
    batch: Any = {"ids": ["x"] * 200, "acoustic": torch.full((200, 1, task.facts["acoustic"]["width"]), 9.0),
                  "text_mask": torch.ones(200, 1, dtype=torch.bool)}  # fmt: skip
    left = half.drop_one(batch, torch.rand(200))
    deaf = (left["acoustic"] != 9).any(dim=(1, 2))
    assert torch.equal(deaf, left["text_mask"][:, 0])
    assert 60 < deaf.sum() < 140
    with pytest.raises(InputError, match="no more than 1 together"):
        DiffusionTask(task.facts, drop_text=0.6, drop_audio=0.5)


def test_text_has_a_scale_of_its_own(task: DiffusionTask, run: Run) -> None:
    inputs = speech(task, 20)
    task.guidance = Guidance(2.0)
    one = task.generate(**inputs)
    task.guidance = Guidance(2.0, 2.0)
    assert torch.equal(one, task.generate(**inputs))
    task.guidance = Guidance(2.0, 5.0)
    assert not torch.equal(one, task.generate(**inputs))
    assert task.describe()["text_guidance"] == 5.0
    # Without the text's part, the text cannot matter.
    task.guidance = Guidance(2.0, 0.0)
    assert torch.equal(task.generate(**inputs), task.generate(**(inputs | {"text": inputs["text"] + 1})))
    batch = some_batch(run)
    generated = [task.test_step(b, 0)["generated"] for b in (batch, {**batch, "text": batch["text"] + 1})]
    assert torch.equal(*generated)


def test_a_model_that_never_went_without_its_condition_is_not_guided_by_that(run: Run) -> None:
    saved = torch.load(run.checkpoint, weights_only=True)
    options = {"facts": saved["hyper_parameters"]["facts"], "net": partial(UNet, channels=16, multipliers=(1, 2))}
    assert DiffusionTask(**options).guidance.scale == 3.0
    never = DiffusionTask(**options, drop_condition=0.0)
    assert never.guidance.scale == 1.0
    batch = some_batch(run)
    never.guidance = Guidance(2.0)
    with pytest.raises(InputError, match=r"without drop_condition.* scale of 2: set guidance.scale to 1"):
        never.test_step(batch, 0)
    # By a weaker model it may be.
    never.guidance = Guidance(2.0, weak=str(run.checkpoint))
    never.sampler = StochasticHeun(steps=1)
    assert torch.isfinite(never.test_step(batch, 0)["generated"]).all()


def test_places_of_the_tokens_matter_and_default_to_an_even_spread(task: DiffusionTask) -> None:
    inputs = speech(task, 8)
    even = (torch.arange(6) + 0.5) / 6
    whole = task.generate(**inputs)
    assert torch.equal(whole, task.generate(**inputs, text_places=even))
    assert not torch.equal(whole, task.generate(**inputs, text_places=even**2))


@pytest.mark.parametrize("empty", ["one", "all"])
def test_recordings_without_a_token(task: DiffusionTask, run: Run, empty: str) -> None:
    batch = some_batch(run)
    if empty == "all":
        batch = {**batch, **{name: batch[name][:, :0] for name in ("text", "text_mask", "text_places")}}  # type: ignore
    else:
        batch["text_mask"][0] = False
    silent(task).drop_text = 0.5
    value = task.training_step(batch, 0)
    value.backward()
    assert torch.isfinite(value)
    assert all(torch.isfinite(p.grad).all() for p in task.parameters() if p.grad is not None)
    for task.guidance in (Guidance(1.5), Guidance(1.5, 2.0)):
        assert torch.isfinite(task.test_step(batch, 0)["generated"]).all()


def test_an_empty_text_is_no_text(task: DiffusionTask) -> None:
    inputs = speech(task, 8)
    drawn = [task.generate(**(inputs | {"text": text})) for text in (None, inputs["text"][:0])]
    assert torch.equal(*drawn)


def test_checkpoints_that_do_not_state_layers_load(run: Run, task: DiffusionTask, tmp_path: Path) -> None:
    checkpoint = torch.load(run.checkpoint, weights_only=True)
    facts = checkpoint["hyper_parameters"]["facts"]
    del facts["acoustic"]["layers"], facts["text_times"], checkpoint["hyper_parameters"]["drop_text"]
    del checkpoint["hyper_parameters"]["drop_audio"]
    torch.save(checkpoint, tmp_path / "old.ckpt")
    old = Task.from_checkpoint(tmp_path / "old.ckpt")
    for (name, a), (_, b) in zip(task.state_dict().items(), old.state_dict().items(), strict=True):
        assert torch.equal(a, b), name
    task.copy_weights(tmp_path / "old.ckpt")


def test_layers_of_the_embeddings_are_weighted(task: DiffusionTask, tmp_path: Path) -> None:
    facts = task.facts | {"acoustic": task.facts["acoustic"] | {"layers": 4}}
    layered = DiffusionTask(facts, task.hparams["fusion"], task.hparams["net"], sampler=StochasticHeun(steps=1))
    assert layered.fusion.mix is not None
    assert layered.fusion.mix.scores.shape == (4,)
    assert layered.generate(**speech(task, 8)).shape == (8, 16, 16)

"""A cascade of stages: what stages by hand would give, of any length, lazily; and that a later stage uses its input."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Run, fit_debug
from torch import Tensor

from wav2uti.cli import main
from wav2uti.condition.condition import Condition
from wav2uti.condition.fusion import Fusion
from wav2uti.diffusion.cascade import LowResolution, log_snr, shrink
from wav2uti.diffusion.guidance import Guidance
from wav2uti.diffusion.sampler import StochasticHeun
from wav2uti.diffusion.schedule import LogNormalSigma
from wav2uti.diffusion.seeds import derived_seed
from wav2uti.diffusion.unet import UNet
from wav2uti.errors import InputError
from wav2uti.tasks.base import Task
from wav2uti.tasks.diffusion import DiffusionTask
from wav2uti.tasks.regression import RegressionTask
from wav2uti.video.cascade import Cascade, diffusions, from_checkpoints

WIDTH = 4  # of the acoustic embeddings


def facts_of(size: int, step: int = 1, clip: int = 8, **others: Any) -> dict[str, Any]:
    """What data of tongues made up here say of themselves."""
    heard = {"name": "made up", "spec": {}, "width": WIDTH, "layers": 1}
    return {
        "size": size,
        "frame_step": step,
        "acoustic": heard,
        "text": None,
        "reference": False,
        "frame_mean": -0.69,
        "frame_std": 0.42,
        "simulated": True,
        "mm_per_pixel": None,
        "clip_frames": clip,
        "acoustic_context": 0,
        **others,
    }


def stage(size: int, step: int = 1, low: tuple[int, int] | None = None, **options: Any) -> DiffusionTask:
    """An untrained stage with every weight at random, so that it listens to all it is told."""
    torch.manual_seed(10 * size + step)
    options = {"facts": facts_of(size, step), "sampler": StochasticHeun(steps=1), "guidance": Guidance(1.5)} | options
    made = DiffusionTask(
        fusion=partial(Fusion, width=16, heads=2, context=0),
        net=partial(UNet, channels=16, multipliers=(1, 2), blocks=1, patch=2, attention=False),
        sigma_data="auto",
        low=None if low is None else LowResolution(*low),
        **options,
    )
    for parameter in made.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    made.log = lambda *args, **kwargs: None  # type: ignore[method-assign]
    return made.eval()


def three() -> list[DiffusionTask]:
    """8x8 at 15 frames a second, 8x8 at 30, 16x16 at 60."""
    return [stage(8, 4), stage(8, 2, (8, 4)), stage(16, 1, (8, 2))]


def sound(frames: int, seed: int = 0) -> Tensor:
    return torch.randn(frames, WIDTH, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("frames", [1, 2, 7, 8, 9, 45])
def test_cascade_is_its_stages_one_after_the_other(frames: int) -> None:
    first, second, third = three()
    acoustic, nothing = sound(frames), (None, None)
    one = first.generate(acoustic[::4], *nothing, seed=3)
    two = torch.cat(list(second.stream(acoustic[::2], *nothing, seed=derived_seed(3, "stage 1"), low=iter([one]))))
    parts = iter(two.split(1))  # in other parts than the stage makes
    whole = torch.cat(list(third.stream(acoustic, *nothing, seed=derived_seed(3, "stage 2"), low=parts)))
    video = Cascade([first, second, third]).generate(acoustic, *nothing, seed=3)
    assert torch.equal(video, whole)
    assert video.shape == (frames, 16, 16)
    assert video.abs().max() <= 1


def test_seed_and_stages_decide() -> None:
    cascade = Cascade(three())
    video = cascade.generate(sound(20), None, None, seed=1)
    assert torch.equal(video, cascade.generate(sound(20), None, None, seed=1))
    assert not torch.equal(video, cascade.generate(sound(20), None, None, seed=2))
    torch.nn.init.normal_(diffusions(cascade)[0].denoiser.net.last.weight)
    assert not torch.equal(video, cascade.generate(sound(20), None, None, seed=1))


def test_progress_is_of_all_stages_together() -> None:
    seen: list[tuple[int, int]] = []
    Cascade(three()).generate(sound(45), None, None, progress=lambda *at: seen.append(at))
    assert len({total for _, total in seen}) == 1
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[0][0] < seen[-1][0] == seen[-1][1]


def test_stages_draw_no_further_ahead_than_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first frames are there long before the first stage has ended: nothing grows with the recording."""
    drawn = {"stage": 0}

    def counted(stream: Callable[..., Iterator[Tensor]]) -> Callable[..., Iterator[Tensor]]:
        def counting(*args: Any, **given: Any) -> Iterator[Tensor]:
            for part in stream(*args, **given):
                drawn["stage"] += len(part)
                yield part

        return counting

    first = stage(8, 2)
    monkeypatch.setattr(first, "stream", counted(first.stream))
    frames = 0
    for part in Cascade([first, stage(16, 1, (8, 2))]).stream(sound(1200), None, None):
        frames += len(part)
        # The second stage is at work on at most the windows of one call, 16 of 8 frames, and those before them.
        assert frames / 2 <= drawn["stage"] <= frames / 2 + 100
    assert frames == 1200
    assert drawn["stage"] == 600


def test_the_first_stage_may_be_a_regression() -> None:
    first = RegressionTask(facts_of(8, 2)).eval()
    cascade = Cascade([first, stage(16, 1, (8, 2))])
    assert cascade.generate(sound(21), None, None).shape == (21, 16, 16)
    assert [s["task"] for s in cascade.describe()["stages"]] == ["RegressionTask", "DiffusionTask"]
    assert diffusions(cascade) == cascade.stages[1:]


def test_each_stage_gets_what_it_was_trained_with() -> None:
    """Text and reference frame, this in its own size, go to the stages that know them."""
    text = {"name": "letters", "spec": {}, "width": 3}
    first = stage(8, facts=facts_of(8, reference=True, text=text))
    second = stage(16, low=(8, 1), facts=facts_of(16, simulated=False))
    cascade = Cascade([first, second])
    assert cascade.facts == second.facts | {"text": text, "reference": True, "simulated": True, "text_times": False}
    generator = torch.Generator().manual_seed(0)
    tokens, frame = torch.randn(5, 3, generator=generator), torch.rand(16, 16, generator=generator) * 2 - 1
    video = cascade.generate(sound(8), tokens, frame)
    low = first.generate(sound(8), tokens, shrink(frame[None], 8)[0])
    again = second.stream(sound(8), None, None, seed=derived_seed(0, "stage 1"), low=iter([low]))
    assert torch.equal(video, torch.cat(list(again)))
    with pytest.raises(InputError, match=r"reference frame is \(8, 8\), the model draws 16x16"):
        cascade.generate(sound(8), tokens, frame[:8, :8])


def other_encoder(size: int, **options: Any) -> DiffusionTask:
    facts = facts_of(size)
    return stage(size, facts=facts | {"acoustic": facts["acoustic"] | {"name": "other"}}, **options)


@pytest.mark.parametrize(
    ("stages", "sentence"),
    [
        (lambda: [stage(16, low=(8, 1))], r"stage 1 is to be the first, but draws on frames of 8x8 at 60 frames"),
        (lambda: [stage(8), stage(16)], "stage 2 is to follow stage 1, .* but draws on no earlier stage"),
        (lambda: [stage(4), stage(16, low=(8, 1))], r"stage 1, which draws 4x4 at 60 .* but draws on frames of 8x8"),
        (lambda: [stage(8, 4), stage(16, 1, (8, 2))], r"8x8 at 15 frames a second, but draws on frames of 8x8 at 30"),
        (lambda: [stage(16, low=(8, 1)), stage(8)], "stage 1 is to be the first"),
        (lambda: [stage(8, 2)], "stage 1 draws 8x8 at 30 frames a second: a later stage that makes 60"),
        (lambda: [stage(8), other_encoder(16, low=(8, 1))], "stage 1 and stage 2 were trained with different encoders"),
    ],
)
def test_stages_that_do_not_fit_are_refused(stages: Callable[[], list[Task]], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Cascade(stages())


def test_a_later_stage_alone_says_what_it_lacks() -> None:
    with pytest.raises(InputError, match="later stage of a cascade and draws on the frames of one of 8x8"):
        stage(16, low=(8, 1)).generate(sound(8), None, None)
    with pytest.raises(InputError, match="level of noise from 0 to 1"):
        stage(16, low=(8, 1), augmentation=2.0)
    with pytest.raises(InputError, match="cannot follow"):
        stage(8, low=(16, 1))


def batch_of(frames: Tensor) -> Any:
    """Clips (B, 1, T, H, W) with sound that says nothing."""
    clips, _, length, _, _ = frames.shape
    ids = [str(k) for k in range(clips)]
    return {"ids": ids, "frames": frames, "acoustic": torch.zeros(clips, length, WIDTH),
            "progress": torch.linspace(0, 1, clips * length).view(clips, length)}  # fmt: skip


def spied(task: DiffusionTask, monkeypatch: pytest.MonkeyPatch) -> list[Condition]:
    """What the network of a task is told, call by call."""
    told: list[Condition] = []
    forward = task.denoiser.net.forward

    def listening(x: Tensor, c_noise: Tensor, cond: Condition) -> Tensor:
        told.append(cond)
        result: Tensor = forward(x, c_noise, cond)
        return result

    monkeypatch.setattr(task.denoiser.net, "forward", listening)
    return told


def test_noise_is_told_alike_in_training_and_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As log-SNR, the same number for the same level, on every way to the network."""
    task = stage(16, low=(8, 1), augmentation=0.37)
    told = spied(task, monkeypatch)
    batch = batch_of(torch.randn(3, 1, 8, 16, 16))
    expected = log_snr(torch.tensor([0.37])).item()
    rand = torch.rand
    monkeypatch.setattr(torch, "rand", lambda *size, **given: rand(*size, **given) * 0 + 0.37)
    task.training_step(batch, 0)
    task.validation_step(batch, 0)
    task.test_step(batch, 0)
    list(task.stream(sound(20), None, None, low=iter([torch.zeros(20, 8, 8)])))
    assert len(told) >= 4
    for cond in told:
        assert cond.low_log_snr is not None
        assert cond.low_log_snr.tolist() == pytest.approx([expected] * len(cond.frames), abs=0)


def test_training_takes_all_levels_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    task = stage(16, low=(8, 1))
    told = spied(task, monkeypatch)
    torch.manual_seed(0)
    task.training_step(batch_of(torch.zeros(600, 1, 1, 16, 16)), 0)
    assert told[0].low_log_snr is not None
    level = (-told[0].low_log_snr / 2).exp().atan() / (torch.pi / 2)
    counts = torch.histc(level, bins=5, min=0, max=1)
    assert counts.sum() == 600
    assert counts.min() > 80  # of 120


def test_the_earlier_clip_is_in_every_estimate_that_guidance_combines(monkeypatch: pytest.MonkeyPatch) -> None:
    task = stage(16, low=(8, 1), guidance=Guidance(2.0))
    told = spied(task, monkeypatch)
    batch = batch_of(torch.randn(2, 1, 8, 16, 16))
    drawn = task.test_step(batch, 0)["generated"]
    (cond, *_) = told
    assert cond.low is not None
    assert torch.equal(cond.low[:2], cond.low[2:])  # with and without the sound
    assert not torch.equal(cond.frames[:2], cond.frames[2:])
    # The clip's own noise: neither the batch nor how often it is drawn changes it.
    first = {name: value[1:] for name, value in batch.items()}
    torch.testing.assert_close(task.test_step(first, 0)["generated"], drawn[1:], atol=1e-4, rtol=1e-4)
    assert task.describe()["low"] == {"size": 8, "frame_step": 1, "of": "real frames", "noise": 0.2}


def test_checkpoints_of_a_cascade(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Stages train independently, through the command line; a list of their checkpoints is the cascade."""
    low = "--model.init_args.low.size=8"
    base = fit_debug(run.corpus, tmp_path / "base", "--data.size=8", "--data.frame_step=2", "--data.clip_frames=8")
    later = fit_debug(run.corpus, tmp_path / "later", low, "--model.init_args.low.frame_step=2")
    saved = torch.load(later.checkpoint, weights_only=True)["hyper_parameters"]
    assert saved["low"]["size"] == 8
    assert "augmentation" not in saved
    cascade = from_checkpoints([base.checkpoint, later.checkpoint])
    assert isinstance(cascade, Cascade)
    for task in diffusions(cascade):
        task.sampler = StochasticHeun(steps=1)
    facts = cascade.facts
    tokens = torch.randn(4, facts["text"]["width"])
    video = cascade.generate(torch.randn(20, facts["acoustic"]["width"]), tokens, torch.zeros(16, 16))
    assert video.shape == (20, 16, 16)
    assert torch.equal(cascade.stages[1].denoiser.net.low_noise[0].weight,
                       Task.from_checkpoint(later.checkpoint).denoiser.net.low_noise[0].weight)  # fmt: skip
    drawing = ["--sampler=StochasticHeun", "--sampler.steps=1", "--guidance.scale=1", "--device=cpu"]
    speech = [f"--shards={run.corpus}", "--recording=s00_u000", f"--output={tmp_path / 'drawn'}"]
    listed = [f"--ckpt_path={base.checkpoint},{later.checkpoint}", *speech, *drawing]
    assert main(["predict", *listed]) == 0
    drawn = np.load(tmp_path / "drawn" / "s00_u000.npz")["frames"]
    assert drawn.shape[1:] == (16, 16)
    assert main(["predict", *listed, "--augmentation=1"]) == 0
    assert not np.array_equal(np.load(tmp_path / "drawn" / "s00_u000.npz")["frames"], drawn)
    assert main(["predict", *listed, "--augmentation=2"]) != 0
    assert "a level of noise from 0 to 1, not 2" in capsys.readouterr().err
    assert isinstance(from_checkpoints([run.checkpoint]), DiffusionTask)
    with pytest.raises(InputError, match=r"last\.ckpt is to be the first, but draws on frames of 8x8 at 30"):
        from_checkpoints([later.checkpoint, base.checkpoint])
    with pytest.raises(InputError, match="No checkpoint was given"):
        from_checkpoints([])


def tongues(clips: int, frames: int, generator: torch.Generator) -> Tensor:
    """SIMULATED clips (B, 1, T, 16, 16): a bright line that bends and drifts, with speckle."""
    place, slope, bend = torch.rand(3, clips, 1, 1, 1, generator=generator) * 2 - 1
    drift = (torch.rand(clips, 1, 1, 1, generator=generator) - 0.5) * 0.6
    across = (torch.arange(16) + 0.5) / 8 - 1
    time = torch.linspace(-1, 1, frames)[:, None, None]
    line = 0.4 * place + drift * time + 0.3 * slope * across + 0.3 * bend * (across.square() - 0.4)
    ridge = (-((across[:, None] - line) / 0.12).square() / 2).exp()
    speckle = (1 + 0.3 * torch.randn(clips, frames, 16, 16, generator=generator)).clamp(min=0)
    return (-0.9 + 1.4 * ridge * speckle).clamp(-1, 1)[:, None]


def train(task: DiffusionTask, steps: int, size: int) -> None:
    """Some steps on clips of which the sound says nothing."""
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(task.parameters(), 3.0e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3.0e-3, steps, pct_start=0.1)
    torch.manual_seed(0)
    for step in range(steps):
        loss = task.training_step(batch_of(shrink(tongues(16, 4, generator), size)), step)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(task.parameters(), 1.0)
        optimizer.step()
        schedule.step()


def likeness(one: Tensor, other: Tensor) -> Tensor:
    """Correlation (B,) of clips with each other, without the mean picture of all."""
    one, other = ((clip - clip.mean(dim=0)).flatten(1) for clip in (one, other))
    return torch.cosine_similarity(one - one.mean(1, keepdim=True), other - other.mean(1, keepdim=True))


@pytest.mark.slow
def test_a_trained_second_stage_uses_its_input() -> None:
    """Another clip's low resolution in place of its own, and the drawn clip's low frequencies become that clip's."""
    drawing: dict[str, Any] = {
        "sampler": StochasticHeun(steps=8, sigma_max=20.0, s_churn=0.0),
        "guidance": Guidance(1.0),
        "noise": LogNormalSigma(-0.8, 1.4),
    }
    first = stage(8, facts=facts_of(8, clip=4), **drawing)
    second = stage(16, low=(8, 1), facts=facts_of(16, clip=4), **drawing)
    train(first, 200, 8)
    train(second, 200, 16)

    # Of real clips never seen.
    real = tongues(16, 4, torch.Generator().manual_seed(1))
    batch = batch_of(real)
    swapped: Any = {**batch, "frames": real.roll(1, 0)}  # the earlier clip is made of these; sound and noise stay
    own, others = shrink(real, 8), shrink(real.roll(1, 0), 8)
    drawn, drawn_of_others = (shrink(second.test_step(b, 0)["generated"], 8) for b in (batch, swapped))
    change, asked = drawn_of_others - drawn, others - own
    slope = (change * asked).sum() / asked.square().sum()
    assert likeness(drawn, own).mean() > 0.75
    assert likeness(drawn_of_others, others).mean() > 0.75
    assert likeness(drawn, others).mean() < 0.3
    assert likeness(drawn_of_others, own).mean() < 0.3
    assert 0.75 < slope < 1.1
    # Told that the earlier clip is noise alone, it draws without it.
    second.augmentation = 1.0
    assert likeness(shrink(second.test_step(batch, 0)["generated"], 8), own).mean().abs() < 0.2
    second.augmentation = 0.2

    # Of what the first stage draws: the whole cascade.
    acoustic = torch.zeros(4, WIDTH)
    low = torch.stack([first.generate(acoustic, None, None, seed=k) for k in range(16)])
    high = [torch.cat(list(second.stream(acoustic, None, None, low=iter([clip])))) for clip in low]
    seen = shrink(torch.stack(high), 8)
    assert likeness(seen, low).mean() > 0.6  # less: it mends what the first stage has not learned in so few steps
    assert likeness(seen, low.roll(1, 0)).mean() < 0.3

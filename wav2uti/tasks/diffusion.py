"""`DiffusionTask`: fusion, U-Net and EDM under Lightning. Glue only."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from operator import attrgetter
from typing import Any, Literal

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.distributed.fsdp import register_fsdp_forward_method

from wav2uti.condition import reference as speaker_reference
from wav2uti.condition.condition import Condition
from wav2uti.condition.fusion import Fusion, NullAcoustic
from wav2uti.diffusion.blocks import Block
from wav2uti.diffusion.cascade import EarlierStage, LowResolution, checked_level, whole_steps
from wav2uti.diffusion.denoiser import Denoiser
from wav2uti.diffusion.guidance import Guidance, Told, guided, together
from wav2uti.diffusion.loss import EDMLoss, LossBySigma
from wav2uti.diffusion.noise import Generators, noise_like
from wav2uti.diffusion.sampler import Denoise, DPMSolver, Sampler
from wav2uti.diffusion.schedule import LogNormalSigma
from wav2uti.diffusion.unet import UNet
from wav2uti.diffusion.windows import split, stream
from wav2uti.errors import InputError
from wav2uti.options import check_counts, check_positive, check_shares
from wav2uti.tasks.base import Progress, Task, trained_task
from wav2uti.tasks.batch import Batch, clip_generators, without_text
from wav2uti.tasks.regression import Regression, RegressionTask, whole_recording
from wav2uti.tasks.told_windows import told_windows

# Frames in one call of the network when a long recording is drawn: bounds the memory.
FRAMES_AT_ONCE = 128
# Training clips on which sigma_data is measured, where a draft stands for their mean.
SIGMA_DATA_CLIPS = 64

# What may be chosen anew each time a checkpoint is used.
NOT_STORED = ["sampler", "guidance", "overlap", "draft_from", "draw_seed", "start_from", "compile", "augmentation"]

FusionFactory = Callable[[int, int | None, int], Fusion]
NetFactory = Callable[[int, bool, bool], nn.Module]


class DiffusionTask(Task):
    """The audio-textual diffusion model.

    Args:
        facts: linked from the data; see `Task`.
        fusion: builds the fusion from the widths of the acoustic and the textual embeddings and the number of layers
            in an acoustic one.
        net: builds F from the width of the condition and whether there are a reference frame and a draft.
        draft: a trained regression whose blurred clip the diffusion begins from (the paper's v0); it is not trained
            further and travels in the checkpoint.
        low: makes this a later stage of a cascade: what the stage before it draws (see `diffusion.cascade`). Training
            makes it of the real frames, so that the stages need not wait for each other.
        augmentation: level of the noise, 0 to 1, that the earlier stage's clip is given when clips are drawn, where
            training takes all levels alike; not stored in the checkpoint.
        sigma_data: standard deviation of the frames on [-1, 1]; `auto` measures it on the training frames.
        noise: distribution of the noise level in training.
        drop_condition: share of the training clips without sound and text, for guidance.
        drop_text: share of the training clips whose text alone is dropped, for guidance with a `text_scale`.
        drop_audio: share of the training clips whose sound alone is dropped: a learnt vector stands for it.
        drop_reference: share of the training clips without their reference frame.
        sampler: how clips are drawn, by default DPMSolver with eta 1 in 32 steps, the cheapest within 5 % of the
            paper's 256 steps of stochastic Heun (benchmarks/sampling.py); not stored in the checkpoint.
        guidance: how drawing is guided, by default with a scale of 3, or not at all where no training clip goes without
            sound and text; not stored in the checkpoint.
        overlap: frames that neighbouring windows share where a recording is longer than a training clip; at most
            half a clip.
        draft_from: checkpoint of the `RegressionTask` whose weights the draft has; not stored in the checkpoint.
        draw_seed: of the noise that a test draws clips from, together with the clip's recording and place; not stored
            in the checkpoint.
        start_from: checkpoint of the same network whose weights training begins with, such as one trained on single
            frames or on another corpus; not stored in the checkpoint.
        compile: let `torch.compile` make the network faster, for a minute of compilation; not stored in the checkpoint.
        optimizer: called with the parameters.
        lr_scheduler: called with the optimizer; stepped after every batch.
    """

    def __init__(
        self,
        facts: dict[str, Any],
        fusion: FusionFactory = Fusion,
        net: NetFactory = UNet,
        sigma_data: float | Literal["auto"] = 0.25,
        noise: LogNormalSigma | None = None,
        drop_condition: float = 0.1,
        drop_text: float = 0.0,
        drop_audio: float = 0.0,
        drop_reference: float = 0.1,
        sampler: Sampler | None = None,
        guidance: Guidance | None = None,
        overlap: int = 8,
        draft: Callable[[dict[str, Any]], Regression] | None = None,
        draft_from: str | None = None,
        low: LowResolution | None = None,
        augmentation: float = 0.2,
        draw_seed: int = 0,
        start_from: str | None = None,
        compile: bool = False,
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(facts, optimizer, lr_scheduler)
        self.save_hyperparameters(ignore=NOT_STORED)
        check_shares(drop_condition=drop_condition, drop_reference=drop_reference)
        check_counts(0, overlap=overlap, draw_seed=draw_seed)
        if sigma_data != "auto":
            check_positive(sigma_data=sigma_data)
        if not (drop_text >= 0 and drop_audio >= 0 and drop_text + drop_audio <= 1):
            raise InputError(
                f"drop_text ({drop_text}) and drop_audio ({drop_audio}) are shares of the training clips: "
                "0 or more each, and no more than 1 together."
            )
        self.earlier = None
        if low is not None:
            # Checkpoints of earlier versions do not state the frame step: they have all frames.
            shape = facts["size"], facts.get("frame_step", 1)
            low.check(*shape)
            self.earlier = EarlierStage(low, *shape, facts["frame_mean"], facts["frame_std"])
        self.augmentation = checked_level(augmentation)
        text = facts["text"]
        # Checkpoints of earlier versions do not state the layers: they have one.
        layers = facts["acoustic"].get("layers", 1)
        self.fusion = fusion(facts["acoustic"]["width"], text["width"] if text else None, layers)
        # Only a model that learns it has it: a parameter without gradients stops training on several GPUs.
        self.null_acoustic = NullAcoustic(facts["acoustic"]["width"]) if drop_audio > 0 else None
        self.denoiser = Denoiser(
            # Only a later stage's network must know of `low`.
            net(self.fusion.width, facts["reference"], draft is not None, **({"low": True} if low else {})),
            sigma_data=facts["frame_std"] if sigma_data == "auto" else sigma_data,
            mean=facts["frame_mean"],
            draft=None if draft is None else attrgetter("draft"),  # of a Condition
        )
        self.draft = None if draft is None else draft(facts).requires_grad_(False)
        # What a draft lacks is measured when training begins; weights taken over bring the value they had.
        self.measure_sigma_data = self.draft is not None and sigma_data == "auto" and start_from is None
        self.loss = EDMLoss(noise or LogNormalSigma())
        self.drop_condition = drop_condition
        self.drop_text = drop_text
        self.drop_audio = drop_audio
        self.drop_reference = drop_reference
        self.sampler = sampler or DPMSolver(eta=1.0)
        self.guidance = guidance or Guidance(3.0 if drop_condition > 0 else 1.0)
        self.weak_models: dict[str, DiffusionTask] = {}  # in a dict: no part of this module or its checkpoints
        self.overlap = overlap
        self.draw_seed = draw_seed
        self.val_loss_by_sigma = LossBySigma()
        if compile:
            self.denoiser.net.compile()
        if start_from is not None:
            self.copy_weights(start_from)
        if draft_from is not None:
            self.copy_draft(draft_from)

    def copy_draft(self, path: str) -> None:
        """Take over the regression of a checkpoint of `RegressionTask` as the draft.

        Raises:
            InputError: where it is no such checkpoint, or one of another network or of other encoders.
        """
        if self.draft is None:
            raise InputError(f"draft_from names {path}, but the model has no draft: set model.init_args.draft as well.")
        trained = trained_task(path, RegressionTask, self.facts, "a draft comes from a")
        try:
            self.draft.load_state_dict(trained.regression.state_dict())
        except RuntimeError as error:
            raise InputError(
                f"{path} holds another regression than model.init_args.draft describes "
                f"({' '.join(str(error).split())[:200]}); give the options that it was trained with."
            ) from error

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """See `Task.on_load_checkpoint`. A training that goes on keeps the sigma_data that it began with."""
        super().on_load_checkpoint(checkpoint)
        self.measure_sigma_data = False

    def on_fit_start(self) -> None:
        """Measure sigma_data where a draft is the mean: the standard deviation of what it lacks of the clips."""
        if not self.measure_sigma_data:
            return
        squares: list[Tensor] = []
        for batch in self.training_batches():
            draft = self.drafted(batch)
            assert draft is not None
            squares.extend((batch["frames"] - draft).square().flatten(1).mean(1))
            if len(squares) >= SIGMA_DATA_CLIPS:
                break
        self.denoiser.sigma_data.copy_(torch.stack(squares[:SIGMA_DATA_CLIPS]).mean().sqrt())

    def sharded_modules(self) -> Iterator[nn.Module]:
        """The blocks of the U-Net, then what is left of it, and the fusion."""
        yield from (module for module in self.denoiser.net.modules() if isinstance(module, Block))
        yield self.denoiser.net
        yield self.fusion
        if self.null_acoustic is not None:
            yield self.null_acoustic

    def configure_model(self) -> None:
        """See `Task.configure_model`."""
        super().configure_model()
        if self.device_mesh is not None:  # it uses a weight outside of `forward`
            for name in ("drop", "null_like"):
                register_fsdp_forward_method(self.fusion, name)

    def describe(self) -> dict[str, Any]:
        """Sampler, steps and guidance."""
        return {
            "task": type(self).__name__,
            "sampler": type(self.sampler).__name__,
            "steps": self.sampler.steps,
            "calls": self.sampler.calls,
            "guidance": self.guidance.scale,
            "text_guidance": self.guidance.text_scale,
            "guidance_interval": self.guidance.interval,
            "autoguidance": self.guidance.weak,
            "threshold": self.guidance.threshold,
            "seed": self.draw_seed,
            "text": self.facts["text"] is not None,
            "reference": self.facts["reference"],
            "draft": self.draft is not None,
            # Alone, a later stage is tested on the real clip made small, which is better than any stage before draws.
            "low": self.earlier and {**asdict(self.earlier.low), "of": "real frames", "noise": self.augmentation},
        }

    def condition(self, batch: Batch, level: Tensor | None = None, generator: Generators = None) -> Condition:
        """The condition of a batch: fused with its context, which is then cut off.

        A later stage's earlier clip is made of the real one, with noise of `level` (B,) from `generator`; without a
        level both are as they are in a test.
        """
        fused = self.fusion(
            batch["acoustic"],
            batch.get("text"),
            batch.get("text_mask"),
            batch["progress"],
            batch.get("text_places"),
        )
        clip = batch["frames"].shape[2]
        context = (fused.shape[1] - clip) // 2
        frames = fused[:, context : context + clip]
        cond = Condition(frames, batch.get("reference") if self.facts["reference"] else None, self.drafted(batch))
        if self.earlier is None:
            return cond
        y = batch["frames"]
        if level is None:
            level, generator = torch.full((len(y),), self.augmentation), clip_generators(batch, self.draw_seed, "low")
        return cond._replace(**self.earlier.of_real(y, level.to(y.device), noise_like(y, generator))._asdict())

    def drafted(self, batch: Batch) -> Tensor | None:
        """The draft of a batch (B, 1, T, H, W), where the model begins from one; no gradient flows into it."""
        if self.draft is None:
            return None
        with torch.no_grad():
            return self.draft.eval()(batch).float().clamp(-1, 1)

    def null(self, cond: Condition) -> Condition:
        """The same clips without sound and text; the reference stays, so guidance pushes along what the sound says.

        The draft is made of sound and text: it goes with them.
        """
        return cond._replace(
            frames=self.fusion.null_like(cond.frames),
            draft=None if cond.draft is None else torch.full_like(cond.draft, speaker_reference.ABSENT),
        )

    def guide(self, told: Told) -> Denoise:
        """The denoiser of the conditions that its guidance needs; see `guided`."""
        weak = self.weak
        bound = None if weak is None or told.weak is None else partial(weak.denoiser, cond=told.weak)
        null = self.null(told.whole) if self.drop_condition > 0 else None
        return guided(self.denoiser, told.whole, null, self.guidance, told.audio, bound)

    @property
    def guides_text(self) -> bool:
        """Whether drawing needs the condition of the sound alone beside the whole one."""
        return self.facts["text"] is not None and self.guidance.text_scale not in (None, self.guidance.scale)

    @property
    def weak(self) -> "DiffusionTask | None":
        """The weaker model of autoguidance.

        Raises:
            InputError: where its checkpoint cannot be read, or is of other encoders or frames.
        """
        path = self.guidance.weak
        if path is None:
            return None
        if path not in self.weak_models:
            weak = trained_task(path, DiffusionTask, self.facts, "autoguidance needs a")
            if weak.earlier is not None and (self.earlier is None or weak.earlier.low != self.earlier.low):
                raise InputError(f"{path} is of another stage of a cascade than the model that it would guide.")
            self.weak_models[path] = weak.to(self.device)
        return self.weak_models[path]

    def tell(self, batch: Batch) -> Told:
        """All conditions of a batch that drawing it needs."""
        weak = self.weak
        told = Told(
            self.condition(batch),
            self.condition(without_text(batch)) if self.guides_text else None,
            None if weak is None else weak.condition(batch),
        )
        return told.seeing(told.whole)

    def drop_one(self, batch: Batch, chance: Tensor) -> Batch:
        """The batch with the text alone or the sound alone taken away in some clips, by a chance (B,) each."""
        left: Batch = {**without_text(batch, chance < self.drop_text)}
        if self.null_acoustic is not None:
            left["acoustic"] = self.null_acoustic(batch["acoustic"], chance >= 1 - self.drop_audio)
        return left

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """EDM loss of a batch; conditions dropped at random."""
        draws = self.draws(batch)
        level, one, all_told, reference = draws.chances(4)
        cond = self.condition(self.drop_one(batch, one), level, draws.generators("low"))
        dropped = all_told < self.drop_condition
        cond = cond._replace(frames=self.fusion.drop(cond.frames, dropped))
        if cond.reference is not None:
            cond = cond._replace(reference=speaker_reference.drop(cond.reference, reference < self.drop_reference))
        if cond.draft is not None:
            cond = cond._replace(draft=speaker_reference.drop(cond.draft, dropped))
        sigma = draws.levels(self.loss.distribution)
        loss, sigma = self.loss(self.denoiser, batch["frames"], cond, draws.generators("noise"), sigma)
        self.clip_loss, self.clip_sigma = loss.detach(), sigma
        self.log("train/loss", loss.mean(), prog_bar=True, batch_size=len(batch["ids"]), sync_dist=True)
        return loss.mean()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """EDM loss with the same noise levels and noise at every validation, in all and by noise level."""
        draws = self.validation_draws(batch, batch_idx)
        cond = self.condition(batch, draws.chances(1)[0], draws.generators("low"))
        sigma = draws.levels(self.loss.distribution)
        loss, sigma = self.loss(self.denoiser, batch["frames"], cond, draws.generators("noise"), sigma)
        self.log("val/loss", loss.mean(), prog_bar=True, batch_size=len(batch["ids"]), sync_dist=True)
        self.val_loss_by_sigma.update(loss, sigma)

    def on_validation_epoch_end(self) -> None:
        """Log the mean loss of each decade of sigma that was drawn, as `val/loss_sigma_0.1_1`."""
        self.log_dict({f"val/loss_{name}": loss for name, loss in self.val_loss_by_sigma.compute().items()})
        self.val_loss_by_sigma.reset()

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Draw the clips of a batch; the scoring callback compares them with the real ones."""
        told = self.tell(batch)
        center = self.denoiser.center(told.whole)
        shape = batch["frames"].shape
        generators = clip_generators(batch, self.draw_seed)
        return {"generated": self.sampler.draw(self.guide(told), shape, generators, self.device, center)}

    @torch.no_grad()
    def stream(
        self,
        acoustic: Tensor,
        text: Tensor | None,
        reference: Tensor | None,
        seed: int = 0,
        progress: Progress | None = None,
        text_places: Tensor | None = None,
        low: Iterator[Tensor] | None = None,
    ) -> Iterator[Tensor]:
        """See `Task.stream`. Longer recordings are denoised in overlapping windows, blended at every step.

        low: for a later stage the frames (n, h, w) of the stage before in [-1, 1], in parts, at its own rate; they are
        asked for as the windows need them.
        """
        size, clip = self.facts["size"], self.facts["clip_frames"]
        overlap = min(self.overlap, clip // 2)
        if self.earlier is not None and len(acoustic) > clip:
            overlap = whole_steps(clip, overlap, self.earlier.step)
        windows = split(len(acoustic), clip, overlap)
        batch = whole_recording(self.facts, acoustic, text, reference, text_places, self.device)
        told = told_windows(self, batch, windows, low, seed)

        def bind(several: list[Told]) -> Denoise:
            return self.guide(together(several))

        def center(one: Told) -> Tensor:
            return self.denoiser.center(one.whole)

        at_once = max(1, FRAMES_AT_ONCE // windows.length)
        drawn = stream(self.sampler, bind, told, windows, (size, size), seed, at_once, self.device, progress, center)
        for part in drawn:
            yield part.clamp(-1, 1)

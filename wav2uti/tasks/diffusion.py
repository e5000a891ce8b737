"""`DiffusionTask`: fusion, U-Net and EDM under Lightning. Glue only."""

import hashlib
from collections.abc import Callable
from itertools import islice
from typing import Any, Literal

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from wav2uti.condition import reference as speaker_reference
from wav2uti.condition.condition import Condition
from wav2uti.condition.fusion import Fusion, NullAcoustic
from wav2uti.diffusion.denoiser import Denoiser
from wav2uti.diffusion.guidance import guided
from wav2uti.diffusion.loss import EDMLoss
from wav2uti.diffusion.sampler import Denoise, Sampler, StochasticHeun
from wav2uti.diffusion.schedule import LogNormalSigma
from wav2uti.diffusion.unet import UNet
from wav2uti.diffusion.windows import split, windowed
from wav2uti.errors import InputError
from wav2uti.tasks.base import Progress, Task, check_encoders, check_frames
from wav2uti.tasks.batch import Batch
from wav2uti.tasks.regression import Regression, RegressionTask, whole_recording

# Frames in one call of the network when a long recording is drawn: bounds the memory.
FRAMES_AT_ONCE = 128
# Batches of training clips on which sigma_data is measured, where a draft stands for their mean.
SIGMA_DATA_BATCHES = 16

# What may be chosen anew each time a checkpoint is used.
NOT_STORED = ["sampler", "guidance", "text_guidance", "overlap", "draft_from", "draw_seed", "start_from"]

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
        sigma_data: standard deviation of the frames on [-1, 1]; `auto` measures it on the training frames.
        noise: distribution of the noise level in training.
        drop_condition: share of the training clips without sound and text, for guidance.
        drop_text: share of the training clips whose text alone is dropped, for `text_guidance`.
        drop_audio: share of the training clips whose sound alone is dropped: a learnt vector stands for it.
        drop_reference: share of the training clips without their reference frame.
        sampler: how clips are drawn; not stored in the checkpoint.
        guidance: scale of classifier-free guidance in drawing; 1 is none; not stored in the checkpoint.
        text_guidance: a scale of its own for the text, `guidance` being then that of the sound, for a model trained
            with `drop_text`; null has one scale for both; not stored in the checkpoint.
        overlap: frames that neighbouring windows share where a recording is longer than a training clip; at most
            half a clip.
        draft_from: checkpoint of the `RegressionTask` whose weights the draft has; not stored in the checkpoint.
        draw_seed: of the noise that a test draws clips from, together with the clip's recording and place; not stored
            in the checkpoint.
        start_from: checkpoint of the same network whose weights training begins with, such as one trained on single
            frames or on another corpus; not stored in the checkpoint.
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
        guidance: float = 3.0,
        text_guidance: float | None = None,
        overlap: int = 8,
        draft: Callable[[dict[str, Any]], Regression] | None = None,
        draft_from: str | None = None,
        draw_seed: int = 0,
        start_from: str | None = None,
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(facts, optimizer, lr_scheduler)
        self.save_hyperparameters(ignore=NOT_STORED)
        if drop_text < 0 or drop_audio < 0 or drop_text + drop_audio > 1:
            raise InputError(
                f"drop_text ({drop_text}) and drop_audio ({drop_audio}) are shares of the training clips: "
                "0 or more each, and no more than 1 together."
            )
        text = facts["text"]
        # Checkpoints of earlier versions do not state the layers: they have one.
        layers = facts["acoustic"].get("layers", 1)
        self.fusion = fusion(facts["acoustic"]["width"], text["width"] if text else None, layers)
        # Only a model that learns it has it: a parameter without gradients stops training on several GPUs.
        self.null_acoustic = NullAcoustic(facts["acoustic"]["width"]) if drop_audio > 0 else None
        self.denoiser = Denoiser(
            net(self.fusion.width, facts["reference"], draft is not None),
            sigma_data=facts["frame_std"] if sigma_data == "auto" else sigma_data,
            mean=facts["frame_mean"],
            draft=None if draft is None else drafted_clip,
        )
        self.draft = None if draft is None else draft(facts).requires_grad_(False)
        # What a draft lacks is measured when training begins; weights taken over bring the value they had.
        self.measure_sigma_data = self.draft is not None and sigma_data == "auto" and start_from is None
        self.loss = EDMLoss(noise or LogNormalSigma())
        self.drop_condition = drop_condition
        self.drop_text = drop_text
        self.drop_audio = drop_audio
        self.drop_reference = drop_reference
        self.sampler = sampler or StochasticHeun()
        self.guidance = guidance
        self.text_guidance = text_guidance
        self.overlap = overlap
        self.draw_seed = draw_seed
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
        trained = Task.from_checkpoint(path)
        if not isinstance(trained, RegressionTask):
            raise InputError(f"{path} holds a {type(trained).__name__}; a draft comes from a RegressionTask.")
        check_encoders(path, trained.facts, self.facts)
        check_frames(trained.facts, self.facts)
        try:
            self.draft.load_state_dict(trained.regression.state_dict())
        except RuntimeError as error:
            raise InputError(
                f"{path} holds another regression than model.init_args.draft describes "
                f"({' '.join(str(error).split())[:200]}); give the options that it was trained with."
            ) from error

    def on_fit_start(self) -> None:
        """Measure sigma_data where a draft is the mean: the standard deviation of what it lacks of the clips."""
        if not self.measure_sigma_data or self.trainer.global_step > 0:
            return
        squares = []
        for batch in islice(self.training_batches(), SIGMA_DATA_BATCHES):
            draft = self.drafted(batch)
            assert draft is not None
            squares.append((batch["frames"] - draft).square().mean())
        self.denoiser.sigma_data.copy_(torch.stack(squares).mean().sqrt())

    def describe(self) -> dict[str, Any]:
        """Sampler, steps and guidance."""
        return {
            "task": type(self).__name__,
            "sampler": type(self.sampler).__name__,
            "steps": self.sampler.steps,
            "guidance": self.guidance,
            "text_guidance": self.text_guidance,
            "seed": self.draw_seed,
            "text": self.facts["text"] is not None,
            "reference": self.facts["reference"],
            "draft": self.draft is not None,
        }

    def condition(self, batch: Batch) -> Condition:
        """The condition of a batch: fused with its context, which is then cut off."""
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
        return Condition(frames, batch.get("reference") if self.facts["reference"] else None, self.drafted(batch))

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

    def guide(self, cond: Condition, audio: Condition | None) -> Denoise:
        """The denoiser of a condition, guided; `audio` is from the sound alone, where the text has its own scale."""
        return guided(self.denoiser, cond, self.null(cond), self.guidance, audio, self.text_guidance)

    @property
    def guides_text(self) -> bool:
        """Whether drawing needs the condition of the sound alone beside the whole one."""
        return self.facts["text"] is not None and self.text_guidance not in (None, self.guidance)

    def drop_one(self, batch: Batch) -> Batch:
        """The batch with the text alone or the sound alone taken away in some clips, at random."""
        if not self.drop_text and not self.drop_audio:
            return batch  # and no random number drawn
        chance = torch.rand(len(batch["ids"]), device=self.device)
        left: Batch = {**batch}
        if "text_mask" in batch:
            left["text_mask"] = batch["text_mask"] & (chance >= self.drop_text)[:, None]
        if self.null_acoustic is not None:
            left["acoustic"] = self.null_acoustic(batch["acoustic"], chance >= 1 - self.drop_audio)
        return left

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """EDM loss of a batch; conditions dropped at random."""
        cond = self.condition(self.drop_one(batch))
        chance = torch.rand(2, len(cond.frames), device=self.device)
        dropped = chance[0] < self.drop_condition
        cond = Condition(
            self.fusion.drop(cond.frames, dropped),
            None if cond.reference is None else speaker_reference.drop(cond.reference, chance[1] < self.drop_reference),
            None if cond.draft is None else speaker_reference.drop(cond.draft, dropped),
        )
        loss = self.loss(self.denoiser, batch["frames"], cond).loss.mean()
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch["ids"]))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """EDM loss with the same noise levels and noise at every validation."""
        generator = torch.Generator().manual_seed(batch_idx)
        loss = self.loss(self.denoiser, batch["frames"], self.condition(batch), generator).loss.mean()
        self.log("val/loss", loss, prog_bar=True, batch_size=len(batch["ids"]), sync_dist=True)

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Draw the clips of a batch; the scoring callback compares them with the real ones."""
        denoise = self.guide(self.condition(batch), self.condition(without_text(batch)) if self.guides_text else None)
        # Of the clip itself: its picture depends neither on its batch nor on the number of processes.
        places = batch["progress"][:, 0].tolist()
        generator = [clip_generator(self.draw_seed, *clip) for clip in zip(batch["ids"], places, strict=True)]
        return {"generated": self.sampler.draw(denoise, batch["frames"].shape, generator, self.device)}

    @torch.no_grad()
    def generate(
        self,
        acoustic: Tensor,
        text: Tensor | None,
        reference: Tensor | None,
        seed: int = 0,
        progress: Progress | None = None,
        text_places: Tensor | None = None,
    ) -> Tensor:
        """See `Task.generate`. Longer recordings are denoised in overlapping windows, blended at every step."""
        size, clip, context = self.facts["size"], self.facts["clip_frames"], self.facts["acoustic_context"]
        frames = len(acoustic)
        windows = split(frames, clip, min(self.overlap, clip // 2))
        batch = whole_recording(self.facts, acoustic, text, reference, text_places, self.device)
        sound, places = batch["acoustic"], batch["progress"]
        # The whole recording is fused at once, so that no window lacks its neighbours' sound.
        fused = [self.fusion(sound, batch.get("text"), batch.get("text_mask"), places, batch.get("text_places"))]
        if self.guides_text:
            fused.append(self.fusion(sound, None, None, places))
        # Both side by side in the channels: a window then cuts the same frames out of both.
        cond = Condition(torch.cat(fused, dim=-1)[:, context : context + frames], batch.get("reference"))
        if self.draft is not None:
            drawn = self.draft.eval().draw_long(batch, context, clip, self.overlap)
            cond = cond._replace(draft=drawn.float().clamp(-1, 1))

        def bind(part: Condition) -> Denoise:
            whole, *alone = (part._replace(frames=f) for f in part.frames.split(self.fusion.width, dim=-1))
            return self.guide(whole, alone[0] if alone else None)

        denoise = windowed(bind, cond, windows, at_once=max(1, FRAMES_AT_ONCE // clip))
        generator = torch.Generator().manual_seed(seed)
        steps = self.sampler.sample(denoise, (1, 1, frames, size, size), generator, self.device)
        for step in steps:
            if progress is not None:
                progress(step.done, step.steps)
        return step.x[0, 0].clamp(-1, 1)


def drafted_clip(cond: Condition) -> Tensor | None:
    """What the denoiser takes for the mean of a clip."""
    return cond.draft


def without_text(batch: Batch) -> Batch:
    """The same clips with no token to attend to."""
    return {**batch, "text_mask": torch.zeros_like(batch["text_mask"])}


def clip_generator(seed: int, recording: str, progress: float) -> torch.Generator:
    """Random numbers of one clip of a test, the same wherever and beside whichever clips it is drawn."""
    digest = hashlib.sha256(f"{seed} {recording} {progress:.6f}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)

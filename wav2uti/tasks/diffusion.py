"""`DiffusionTask`: fusion, U-Net and EDM under Lightning. Glue only."""

from collections.abc import Callable
from typing import Any

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
from wav2uti.tasks.base import Progress, Task
from wav2uti.tasks.batch import Batch

# Frames in one call of the network when a long recording is drawn: bounds the memory.
FRAMES_AT_ONCE = 128

FusionFactory = Callable[[int, int | None, int], Fusion]
NetFactory = Callable[[int, bool], nn.Module]


class DiffusionTask(Task):
    """The audio-textual diffusion model.

    Args:
        facts: linked from the data; see `Task`.
        fusion: builds the fusion from the widths of the acoustic and the textual embeddings and the number of layers
            in an acoustic one.
        net: builds F from the width of the condition and whether there is a reference frame.
        sigma_data: standard deviation of the frames on [-1, 1]; null measures it on the training frames.
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
        sigma_data: float | None = 0.25,
        noise: LogNormalSigma | None = None,
        drop_condition: float = 0.1,
        drop_text: float = 0.0,
        drop_audio: float = 0.0,
        drop_reference: float = 0.1,
        sampler: Sampler | None = None,
        guidance: float = 3.0,
        text_guidance: float | None = None,
        overlap: int = 8,
        start_from: str | None = None,
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(facts, optimizer, lr_scheduler)
        self.save_hyperparameters(ignore=["sampler", "guidance", "text_guidance", "overlap", "start_from"])
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
            net(self.fusion.width, facts["reference"]),
            sigma_data=facts["frame_std"] if sigma_data is None else sigma_data,
            mean=facts["frame_mean"],
        )
        self.loss = EDMLoss(noise or LogNormalSigma())
        self.drop_condition = drop_condition
        self.drop_text = drop_text
        self.drop_audio = drop_audio
        self.drop_reference = drop_reference
        self.sampler = sampler or StochasticHeun()
        self.guidance = guidance
        self.text_guidance = text_guidance
        self.overlap = overlap
        if start_from is not None:
            self.copy_weights(start_from)

    def describe(self) -> dict[str, Any]:
        """Sampler, steps and guidance."""
        return {
            "task": type(self).__name__,
            "sampler": type(self.sampler).__name__,
            "steps": self.sampler.steps,
            "guidance": self.guidance,
            "text_guidance": self.text_guidance,
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
        return Condition(frames, batch.get("reference") if self.facts["reference"] else None)

    def null(self, cond: Condition) -> Condition:
        """The same clips without sound and text; the reference stays, so guidance pushes along what the sound says."""
        return cond._replace(frames=self.fusion.null_like(cond.frames))

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
        cond = Condition(
            self.fusion.drop(cond.frames, chance[0] < self.drop_condition),
            None if cond.reference is None else speaker_reference.drop(cond.reference, chance[1] < self.drop_reference),
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
        generator = torch.Generator().manual_seed(batch_idx)
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
        size, clip = self.facts["size"], self.facts["clip_frames"]
        frames = len(acoustic)
        windows = split(frames, clip, min(self.overlap, clip // 2))
        # The sound goes on beyond both ends as at the ends, as it does in training.
        context = self.facts["acoustic_context"]
        heard = torch.arange(-context, frames + context)
        places = (heard.to(self.device) + 0.5) / frames
        if reference is not None and tuple(reference.shape) != (size, size):
            raise InputError(f"The reference frame is {tuple(reference.shape)}, the model draws {size}x{size}.")
        sound = acoustic[heard.clamp(0, frames - 1)][None].to(self.device)
        tokens = None if text is None else text[None].to(self.device)
        mask = None if tokens is None else torch.ones(tokens.shape[:2], dtype=torch.bool, device=self.device)
        tokens_at = None if text_places is None else text_places[None].to(self.device)
        # The whole recording is fused at once, so that no window lacks its neighbours' sound.
        fused = [self.fusion(sound, tokens, mask, places[None], tokens_at)]
        if self.guides_text:
            fused.append(self.fusion(sound, None, None, places[None]))
        # Both side by side in the channels: a window then cuts the same frames out of both.
        cond = Condition(torch.cat(fused, dim=-1)[:, context : context + frames])
        if self.facts["reference"]:
            given = speaker_reference.absent(1, (size, size)) if reference is None else reference[None, None]
            cond = cond._replace(reference=given.to(self.device))

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


def without_text(batch: Batch) -> Batch:
    """The same clips with no token to attend to."""
    return {**batch, "text_mask": torch.zeros_like(batch["text_mask"])}

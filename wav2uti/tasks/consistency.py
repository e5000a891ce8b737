"""`ConsistencyTask`: a trained diffusion model tuned to draw a clip in one to four calls. Glue only."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from wav2uti.diffusion.consistency import ConsistencyLoss, Pairs, energy_score
from wav2uti.diffusion.guidance import Guidance
from wav2uti.diffusion.sampler import Consistency, Sampler
from wav2uti.diffusion.schedule import LogNormalSigma
from wav2uti.errors import InputError
from wav2uti.tasks.batch import Batch
from wav2uti.tasks.diffusion import DiffusionTask


class ConsistencyTask(DiffusionTask):
    """A few-step student of a `DiffusionTask`: the same network, begun from its weights, with another loss.

    Args:
        facts: linked from the data; see `Task`.
        start_from: checkpoint of the `DiffusionTask` that is tuned, with the same fusion, net, draft and drop_audio.
            Its mean, sigma_data and draft are taken over too. Not stored in the checkpoint.
        noise: distribution of the upper noise level of a pair; by default p_mean -1.1 and p_std 2.
        pairs: how near the levels of a pair are, and in which steps they come together.
        c: of the Pseudo-Huber metric; null takes the squared difference.
        sampler: how clips are drawn, a `Consistency`; not stored in the checkpoint.
        guidance: its scale must be 1; not stored in the checkpoint.
        drop_condition: share of the training clips without sound and text; there is no guidance that would need it.
    """

    def __init__(
        self,
        facts: dict[str, Any],
        start_from: str | None = None,
        noise: LogNormalSigma | None = None,
        pairs: Pairs = Pairs(),  # noqa: B008 (it is frozen)
        c: float | None = 0.00054,
        sampler: Sampler | None = None,
        guidance: Guidance | None = None,
        drop_condition: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(
            facts,
            start_from=start_from,
            noise=noise,
            sampler=sampler or Consistency(steps=2),
            guidance=guidance or Guidance(scale=1.0),
            drop_condition=drop_condition,
            **options,
        )
        self.loss: ConsistencyLoss = ConsistencyLoss(noise, pairs, c)  # type: ignore[assignment]
        self.has_weights = start_from is not None
        self.check_drawing()

    def check_drawing(self) -> None:
        """Raise an InputError where the student cannot be drawn from so."""
        guidance = self.guidance
        if guidance.scale != 1 or guidance.text_scale not in (None, 1) or guidance.weak is not None:
            raise InputError(
                "A student of ConsistencyTask draws without guidance, since none was in what it was tuned on: "
                "set guidance.scale to 1 and leave text_scale and weak out."
            )
        if not isinstance(self.sampler, Consistency):
            raise InputError(
                f"A student of ConsistencyTask draws with the sampler Consistency, not with "
                f"{type(self.sampler).__name__}: it goes to the finished clip in each call."
            )

    def on_fit_start(self) -> None:
        """Refuse to tune weights that nobody trained.

        Raises:
            InputError: where a fit begins without `start_from`.
        """
        if not self.has_weights:
            raise InputError(
                "ConsistencyTask tunes a trained model: give the checkpoint of its DiffusionTask as "
                "model.init_args.start_from."
            )
        super().on_fit_start()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """See `Task.on_load_checkpoint`. Validation of a checkpoint is at the stage that it had reached."""
        super().on_load_checkpoint(checkpoint)
        self.loss.stage = self.loss.pairs.stage(checkpoint["global_step"])
        self.has_weights = True

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Consistency loss of a batch at the stage of this step."""
        self.loss.stage = self.loss.pairs.stage(self.global_step)
        self.log("train/stage", float(self.loss.stage), batch_size=len(batch["ids"]))
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Consistency loss, comparable within a stage only, and the energy score of drawn clips, in all training."""
        super().validation_step(batch, batch_idx)
        cond = self.condition(batch)
        denoise, center = partial(self.denoiser, cond=cond), self.denoiser.center(cond)
        generator = torch.Generator().manual_seed(batch_idx)
        frames = batch["frames"]
        one, other = (self.sampler.draw(denoise, frames.shape, generator, self.device, center) for _ in range(2))
        score = energy_score(one, other, frames).mean() / self.denoiser.sigma_data
        self.log("val/energy", score, prog_bar=True, batch_size=len(batch["ids"]), sync_dist=True)

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """See `DiffusionTask.test_step`; guidance and sampler may have been set since `__init__`."""
        self.check_drawing()
        return super().test_step(batch, batch_idx)

    def stream(self, *args: Any, **kwargs: Any) -> Iterator[Tensor]:
        """See `Task.stream`."""
        self.check_drawing()
        return super().stream(*args, **kwargs)

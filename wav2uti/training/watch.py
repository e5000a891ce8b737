"""`Watch`: stops a training whose numbers are none any more, and logs how it fares."""

import time
from typing import Any, Literal, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from wav2uti.diffusion.loss import LossBySigma
from wav2uti.errors import InputError
from wav2uti.tasks.base import Task
from wav2uti.training.average import Average


class Watch(Callback):
    """Looks at every step of a training.

    Logged every `log_every_n_steps` of the trainer: `train/grad_norm` (of the last step, before it is clipped),
    `train/loss_sigma_...` (mean loss of the steps since, by decade of the noise level), `train/average_distance`
    (|average - weights| / |weights|), `train/data_wait` (share of the time since in which a batch was waited for),
    `train/clips_per_second` (of all processes).

    Args:
        not_finite: what to do where a loss or a gradient is NaN or infinite: `stop` ends the training before the
            weights change and names the recordings; `skip` leaves out this step on all processes, with a warning that
            names them.
        most_skipped: so many steps skipped one after another end the training all the same.
    """

    def __init__(self, not_finite: Literal["stop", "skip"] = "stop", most_skipped: int = 10) -> None:
        if most_skipped < 1:
            raise InputError(f"most_skipped must be 1 or more, not {most_skipped}.")
        self.not_finite = not_finite
        self.most_skipped = most_skipped
        self.skipped = 0  # steps, one after another
        self.by_sigma = LossBySigma()
        self.clips: list[tuple[list[str], Tensor]] = []  # recordings and losses of the batches of this step
        self.ids: list[str] = []  # recordings of the batch that is trained on
        self.norm: Tensor | None = None
        self.taken, self.waited, self.since, self.ended = 0, 0.0, 0.0, 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begins to measure."""
        self.by_sigma = LossBySigma().to(pl_module.device)
        self._begin()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """A batch has come."""
        self.waited += time.perf_counter() - self.ended
        self.ids = batch["ids"]

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Looks at the gradient, which is the same on all processes, before it changes anything."""
        if getattr(trainer.precision_plugin, "scaler", None) is not None:
            return  # float16: its gradients are infinite now and then, and the scaler leaves these steps out
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        self.norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        if bool(self.norm.isfinite()):
            self.skipped = 0
            return
        names = self._culprits(pl_module)
        what = f"At step {trainer.global_step} the loss or its gradient is not a finite number"
        whose = f" (recordings {', '.join(names)})" if names else ""
        self.skipped += 1
        if self.not_finite == "stop" or self.skipped > self.most_skipped:
            raise InputError(
                f"{what}{whose}: look at these recordings, lower the learning rate, or set not_finite of Watch to "
                "skip; the last checkpoint is from before it."
            )
        trainer.print(f"wav2uti: warning: {what}{whose}; this step is skipped.")
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = None  # the optimizer passes over it, its moments too

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Counts, and logs when it is time."""
        task = cast(Task, pl_module)
        self.taken += len(self.ids) * trainer.world_size
        assert task.clip_loss is not None
        self.clips.append((self.ids, task.clip_loss))
        if task.clip_sigma is not None and not self.skipped:
            self.by_sigma.update(task.clip_loss, task.clip_sigma)
        if not trainer.fit_loop._should_accumulate():
            self.clips = []
            if trainer.global_step % cast(Any, trainer).log_every_n_steps == 0:
                # Not by `log_dict`: what it was given once it repeats at later steps, here a decade that was not drawn.
                values = {name: float(value) for name, value in self._measured(trainer, pl_module).items()}
                for logger in trainer.loggers:
                    logger.log_metrics(values, step=trainer.fit_loop.epoch_loop._batches_that_stepped)
                self._begin()
        self.ended = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Validation is no waiting for data."""
        self._begin()

    def pass_over(self, seconds: float) -> None:
        """What has just taken so long was no training, and no waiting for data either."""
        self.since += seconds
        self.ended += seconds

    def _measured(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Tensor | float]:
        """What is logged."""
        seconds = max(time.perf_counter() - self.since, 1e-9)
        values: dict[str, Tensor | float] = {
            "train/data_wait": self.waited / seconds,
            "train/clips_per_second": self.taken / seconds,
        }
        if self.norm is not None:
            values["train/grad_norm"] = self.norm
        for average in cast(Any, trainer).callbacks:
            if isinstance(average, Average):
                values["train/average_distance"] = average.distance(pl_module)
        values |= {f"train/loss_{name}": loss for name, loss in self.by_sigma.compute().items()}
        return values

    def _begin(self) -> None:
        self.taken, self.waited = 0, 0.0
        self.by_sigma.reset()
        self.since = self.ended = time.perf_counter()

    def _culprits(self, pl_module: pl.LightningModule) -> list[str]:
        """Recordings of this step whose loss is not finite, of all processes; none where only the gradient is not."""
        clips = list(self.clips)
        current = cast(Task, pl_module).clip_loss
        if current is not None:
            clips.append((self.ids, current))
        names = [id for ids, loss in clips for id, fine in zip(ids, loss.isfinite().tolist(), strict=True) if not fine]
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            gathered: list[list[str]] = [[] for _ in range(torch.distributed.get_world_size())]
            torch.distributed.all_gather_object(gathered, names)
            names = [name for part in gathered for name in part]
        return list(dict.fromkeys(names))

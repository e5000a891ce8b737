"""`Checkpointing`: Lightning's `ModelCheckpoint`, which also saves where a training ends."""

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint


class Checkpointing(ModelCheckpoint):
    """Saves by steps or by time as `ModelCheckpoint` does, and once more after the last step.

    Lightning's own saves at the end only where nothing was saved before: of 1,800 steps with a checkpoint every 1,000
    it loses 800.
    """

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves when it is time, and after the last of `max_steps`: before the averaged weights replace the others."""
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if trainer.global_step == trainer.max_steps:
            self._save_unless_saved(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Saves the end of a training that epochs, time or a stopping rule ended."""
        self._save_unless_saved(trainer)
        super().on_train_end(trainer, pl_module)

    def _save_unless_saved(self, trainer: pl.Trainer) -> None:
        if self._last_global_step_saved == trainer.global_step:
            return
        candidates = self._monitor_candidates(trainer)
        self._save_topk_checkpoint(trainer, candidates)
        self._save_last_checkpoint(trainer, candidates)

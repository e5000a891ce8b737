"""`Checkpointing`: when a training is saved, what is kept, and which checkpoint it goes on from."""

import os
import signal
import threading
import warnings
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, cast

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from wav2uti.errors import InputError
from wav2uti.files import linked
from wav2uti.tasks.checkpoint import check_checkpoint


class Checkpointing(ModelCheckpoint):
    """Saves by steps or by time as `ModelCheckpoint` does, and at the end, however the training ends.

    Lightning's own saves at the end only where nothing was saved before: of 1,800 steps with a checkpoint every 1,000
    it loses 800. A SIGTERM, which schedulers send before they kill, is an end too: the step that runs is finished and
    saved. Without `monitor` the newest checkpoints are kept, two of them, so that one that a crash of the machine left
    broken has a whole one before it; `last.ckpt` is another name of the newest. With `monitor` the best are kept.

    Args:
        keep: newest checkpoints that are kept, where nothing is monitored.
        keep_every: a checkpoint of every so many steps is kept for good; null keeps none.
        **options: of `ModelCheckpoint`.
    """

    def __init__(self, keep: int = 2, keep_every: int | None = None, **options: Any) -> None:
        if keep < 1 or (keep_every is not None and keep_every < 1):
            raise InputError(f"keep ({keep}) and keep_every ({keep_every}) must be 1 or more.")
        super().__init__(**options)
        self.keep = keep
        self.keep_every = keep_every
        self._terminated = False

    def folder(self, trainer: pl.Trainer) -> Path:
        """Where the checkpoints of this training are written."""
        return Path(self._ModelCheckpoint__resolve_ckpt_dir(trainer))  # type: ignore[attr-defined]

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Clears away what a process that was killed in the middle of writing left."""
        super().setup(trainer, pl_module, stage)
        if stage == "fit" and trainer.is_global_zero:
            for part in self.folder(trainer).glob(f".*{self.FILE_EXTENSION}.part"):
                part.unlink(missing_ok=True)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes care of SIGTERM itself, until the Trainer puts back what was there before it.

        Lightning goes on from the last batch of an epoch as if that one had not ended: it would never count the next
        one as begun, and be out of step when the training goes on once more.
        """
        super().on_train_start(trainer, pl_module)
        epochs = cast(Any, trainer.fit_loop.epoch_progress.current)
        if trainer.fit_loop.restarted_mid_epoch and epochs.processed == epochs.started:
            trainer.fit_loop.reset_restart_stage()
        if self.monitor is None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, partial(self._note_sigterm, trainer))

    def _note_sigterm(self, trainer: pl.Trainer, signum: int, frame: FrameType | None) -> None:
        """Lightning's own handler ends the training between any two batches, with gradients that wait for more."""
        if not self._terminated and trainer.strategy.launcher is not None:
            trainer.strategy.launcher.kill(signum)  # the processes that this one started
        self._terminated = True

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves when it is time, and after the last of `max_steps`: before the averaged weights replace the others.

        Never within a step: gradients that wait for more are in no checkpoint. Lightning would write one there when a
        training goes on, in the place of the one that it goes on from.
        """
        if trainer.fit_loop._should_accumulate():
            return
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        ends = self.monitor is None and self._is_terminated(trainer)
        due = self.keep_every is not None and trainer.global_step % self.keep_every == 0
        if ends or due or trainer.global_step == trainer.max_steps:
            self._save_unless_saved(trainer)
        if ends:  # Lightning ends the training after this batch
            trainer._signal_connector.received_sigterm = True

    def _is_terminated(self, trainer: pl.Trainer) -> bool:
        """Whether any process has had a SIGTERM: all must end after the same step."""
        return bool(trainer.strategy.reduce_boolean_decision(self._terminated, all=False))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Saves the end of a training that epochs, time or a stopping rule ended."""
        self._save_unless_saved(trainer)
        super().on_train_end(trainer, pl_module)

    def _save_unless_saved(self, trainer: pl.Trainer) -> None:
        if self._should_skip_saving_checkpoint(trainer) or trainer.global_step == 0:
            return
        candidates = self._monitor_candidates(trainer)
        self._save_topk_checkpoint(trainer, candidates)
        self._save_last_checkpoint(trainer, candidates)

    def _save_none_monitor_checkpoint(self, trainer: pl.Trainer, monitor_candidates: dict[str, Tensor]) -> None:
        # What the log says of the steps until here, this one too, must not be lost: it is never logged again. Lightning
        # itself would log this step after the checkpoint.
        if trainer._logger_connector._first_loop_iter is not None:  # after a batch
            trainer._logger_connector.update_train_step_metrics()
        for logger in trainer.loggers:
            logger.save()
        path = self.format_checkpoint_name(monitor_candidates)
        # They become part of the state that is saved.
        self.best_model_path = path
        self.last_model_path = str(Path(path).with_name(f"last{self.FILE_EXTENSION}")) if self.save_last else ""
        self._save_checkpoint(trainer, path)
        if self.save_top_k == 1:
            self._remove_old(trainer)

    def _save_last_checkpoint(self, trainer: pl.Trainer, monitor_candidates: dict[str, Tensor]) -> None:
        if self.monitor is not None or self.save_top_k == 0:
            super()._save_last_checkpoint(trainer, monitor_candidates)
        elif self.save_last and trainer.is_global_zero:
            linked(Path(self._last_checkpoint_saved), Path(self.last_model_path))

    @rank_zero_only
    def _remove_old(self, trainer: pl.Trainer) -> None:
        """All but the newest and those kept for good; a file of another training that lies there is left alone."""
        steps = _steps_of(self.folder(trainer))
        for step in sorted(steps)[: -self.keep]:
            if step < trainer.global_step and not (self.keep_every and step % self.keep_every == 0):
                self._remove_checkpoint(trainer, str(steps[step]))


def _steps_of(folder: Path) -> dict[int, Path]:
    """Checkpoints `step-N.ckpt` of a folder by their step."""
    numbers = {path: path.stem.removeprefix("step-") for path in folder.glob("step-*.ckpt")}
    return {int(number): path for path, number in numbers.items() if number.isdecimal()}


def newest_whole(folder: Path) -> Path | None:
    """The checkpoint of a folder that was written last and is whole; None where there is none at all.

    One that is broken is passed over with a warning that names it, and renamed: it must not count among those kept.

    Raises:
        InputError: where all are broken: to begin anew is the user's decision.
    """
    found = {path: about for path in folder.glob("*.ckpt") if (about := _about(path)) is not None}
    newest_first = sorted(found, key=lambda path: found[path].st_mtime, reverse=True)
    broken: dict[int, InputError] = {}
    whole = None
    for path in newest_first:
        if found[path].st_ino in broken:  # `last.ckpt` and its other name
            continue
        try:
            check_checkpoint(path)
        except InputError as error:
            broken[found[path].st_ino] = error
        else:
            whole = path
            break
    for told in broken.values():
        warnings.warn(f"passed over: {told}", stacklevel=2)
    if broken and whole is None:
        raise InputError(
            f"None of the checkpoints in {folder} is whole, so that the training cannot go on: copy one there, or give "
            "the run another name to begin anew."
        )
    if getattr(rank_zero_only, "rank", 0) == 0:
        for path in newest_first:
            if found[path].st_ino in broken:
                path.replace(path.with_name(f"{path.name}.broken"))
    return whole


def _about(path: Path) -> os.stat_result | None:
    """What the file system says of a file; None where the first process has just renamed it."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None

"""`Gallery`: while a model is trained, the clips that it draws, beside what was recorded."""

import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, cast

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.seed import isolate_rng
from numpy.typing import NDArray

from wav2uti.clock import FPS
from wav2uti.data.module import ClipData
from wav2uti.grey import to_grey
from wav2uti.metrics.evaluation import ClipPlace, Evaluation
from wav2uti.metrics.scorers import Scorers
from wav2uti.names import file_name, printable
from wav2uti.options import check_counts
from wav2uti.report.clips import truth_label
from wav2uti.tasks.base import Task
from wav2uti.tasks.batch import Batch
from wav2uti.training.average import Average, is_sharded
from wav2uti.training.media import Clip, Shown, log_media
from wav2uti.training.watch import Watch
from wav2uti.video.cascade import diffusions, frame_step
from wav2uti.video.sheet import BLUE, ORANGE, Row, Trace, contact_sheet
from wav2uti.video.side_by_side import write_side_by_side

FOLDER = "media"  # in the folder of the run
LEAST = 100  # steps before which a training that ends has learnt nothing that is worth a look
SCORES = ("rmse", "psnr", "ssim", "contour_mm", "contour_px", "contour_mm_exact", "contour_px_exact")


class Gallery(Callback):
    """Draws the same few clips of the validation speakers every so many steps, and at the end if that is not too soon.

    Each is drawn as a test would, with the averaged weights and the same noise every time, but in no more than `steps`
    steps. Written into the folder of the run are `media/step-001000/ID_FRAME.mp4`, real and generated beside each
    other, and `.png`, frames of both with their tracked contours; dashboards are sent the same files (see
    `training.media`). Logged are the mean scores of these clips, `gallery/rmse`, `psnr`, `ssim`, `contour_mm`, and
    against exact contours `contour_mm_exact`, and what it took, `gallery/seconds`.

    Training does not notice: its random numbers, weights and modes are as they were. Nothing is drawn where the
    trainer has no logger or there is no clip for validation. The first process draws, and the others wait at their
    next step; where the network is spread over them all draw the same. What fails in it is told as a warning.

    Args:
        every_n_steps: of the optimizer; the paper looks every 1000.
        clips: how many are drawn: the cost grows with them.
        steps: of the sampler at most, for a quick look: the paper's 256 would cost more than a third of the training.
        slower: the mp4 plays so many times slower: a clip of 16 frames lasts a quarter of a second.
    """

    def __init__(self, every_n_steps: int = 1000, clips: int = 4, steps: int = 32, slower: int = 4) -> None:
        check_counts(1, every_n_steps=every_n_steps, clips=clips, steps=steps, slower=slower)
        self.every_n_steps = every_n_steps
        self.clips = clips
        self.steps = steps
        self.slower = slower
        self.folder: Path | None = None
        self.chosen: tuple[Batch, list[int]] | None = None
        self.seen = 0  # step of the optimizer that was drawn last, or that training began with

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Looks where to write; all processes are asked."""
        log_dir = trainer.log_dir
        wanted = bool(trainer.loggers) and log_dir is not None and not cast(Any, trainer).fast_dev_run
        self.folder = Path(cast(str, log_dir)) / FOLDER if wanted else None
        self.chosen = None
        self.seen = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Draws when it is time, and after the last of `max_steps`."""
        step = trainer.global_step
        if step % self.every_n_steps == 0 or (step == trainer.max_steps and self._is_worth_it(step)):
            self._show(trainer, cast(Task, pl_module))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draws the end of a training that epochs or time ended."""
        if self._is_worth_it(trainer.global_step):
            self._show(trainer, cast(Task, pl_module))

    def _is_worth_it(self, step: int) -> bool:
        """Whether the end of a training is drawn that ends at this step."""
        return step >= min(LEAST, self.every_n_steps)

    def _show(self, trainer: pl.Trainer, task: Task) -> None:
        if self.folder is None or trainer.global_step == self.seen:
            return
        self.seen = trainer.global_step
        if not trainer.is_global_zero and not is_sharded(task):
            return
        begun = time.perf_counter()
        try:
            self._draw_and_log(trainer, task, self.folder / f"step-{trainer.global_step:06d}", begun)
        except Exception as error:  # a full disk, too little memory, a dashboard that refuses: no reason to end
            reason = " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
            told = f"the clips of step {trainer.global_step} were not drawn or logged ({reason}); training goes on."
            warnings.warn(told, stacklevel=2)
        for callback in cast(Any, trainer).callbacks:
            if isinstance(callback, Watch):
                callback.pass_over(time.perf_counter() - begun)

    def _draw_and_log(self, trainer: pl.Trainer, task: Task, folder: Path, begun: float) -> None:
        data = cast(Any, trainer).datamodule
        if self.chosen is None:
            self.chosen = data.validation_clips(self.clips) if isinstance(data, ClipData) else None
        if self.chosen is None:
            return
        batch, starts = self.chosen
        with _drawing(trainer, task, self.steps):
            drawn: Any = task.test_step(trainer.strategy.batch_to_device(batch, task.device), 0)
            generated = to_grey(drawn["generated"])[:, 0].cpu().numpy()
        if not trainer.is_global_zero:
            return
        clips = scored(batch, generated)
        shown = [self._write(folder, trainer, task, clip, start) for clip, start in zip(clips.of, starts, strict=True)]
        values = {f"gallery/{name}": clips.scores[name] for name in SCORES if name in clips.scores}
        values["gallery/seconds"] = time.perf_counter() - begun
        # The row of the step that was made last, as the losses have it.
        row = trainer.global_step - 1
        for logger in trainer.loggers:
            logger.log_metrics(values, step=row)
            log_media(logger, shown, row)

    def _write(self, folder: Path, trainer: pl.Trainer, task: Task, clip: Clip, start: int) -> Shown:
        """Video and sheet of a clip."""
        step, simulated = frame_step(task), bool(task.facts["simulated"])
        rate = Fraction(FPS, step * self.slower)
        averaged = any(isinstance(callback, Average) for callback in cast(Any, trainer).callbacks)
        note = (
            f"{'SIMULATED data. ' if simulated else ''}{printable(clip.id)} from {start / FPS:.2f} s. "
            f"Step {trainer.global_step}, {'averaged' if averaged else 'last'} weights"
        )
        caption = f"{note}{f', {self.slower} times slower' if self.slower > 1 else ''}."
        stem = folder / f"{file_name(clip.id)}_{start:05d}"
        shown = Shown(stem.with_name(f"{stem.name}.mp4"), stem.with_name(f"{stem.name}.png"), clip, rate, caption)
        videos = [(truth_label(simulated), clip.real), ("generated", clip.generated)]
        write_side_by_side(shown.video, videos, rate, caption, f"{clip.id}, step {trainer.global_step}")
        contact_sheet(shown.sheet, _rows(clip, simulated, step), title=f"{note}.")
        return shown


class Scored(NamedTuple):
    """Clips and their mean scores by name."""

    of: list[Clip]
    scores: dict[str, float]


def scored(batch: Batch, generated: NDArray[np.uint8]) -> Scored:
    """Score clips as `wav2uti test` does, without networks; `generated` uint8 (B, T, H, W), the batch on the CPU."""
    evaluation = Evaluation(Scorers(contour=True), keep=0)
    real = to_grey(batch["frames"])[:, 0].numpy()
    scales = batch["mm_per_pixel"]
    clips = []
    for k, id in enumerate(batch["ids"]):
        place = ClipPlace(id, float(batch["progress"][k, 0]))
        exact = batch["contour"][k].float().numpy() if "contour" in batch else None
        scale = None if scales[k].isnan() else float(scales[k])
        evaluation.add(place, batch["speakers"][k], generated[k], real[k], exact, scale)
        found = evaluation.clips[place].contours
        contours = (None, None) if found is None else (found.real, found.generated)
        clips.append(Clip(id, real[k], generated[k], *contours))
    return Scored(clips, evaluation.result()["scores"])


@contextmanager
def _drawing(trainer: pl.Trainer, task: Task, steps: int) -> Iterator[None]:
    """What drawing needs while the block runs; after it everything is as it was."""
    modes = {module: module.training for module in task.modules()}
    samplers = [(stage, stage.sampler) for stage in diffusions(task)]
    averages = [callback for callback in cast(Any, trainer).callbacks if isinstance(callback, Average)]
    try:
        with ExitStack() as stack:
            stack.enter_context(isolate_rng())
            for average in averages:
                stack.enter_context(average.in_place(trainer, task))
            stack.enter_context(torch.no_grad())
            stack.enter_context(trainer.precision_plugin.val_step_context())
            task.eval()
            for stage, sampler in samplers:
                stage.sampler = sampler.with_steps(min(steps, sampler.steps))
            yield
    finally:
        for module, training in modes.items():
            module.training = training
        for stage, sampler in samplers:
            stage.sampler = sampler


def _rows(clip: Clip, simulated: bool, step: int) -> list[Row]:
    """Rows of the contact sheet, which has 60 frames a second: `step` times as many as were drawn."""

    def timed(frames: NDArray[Any]) -> NDArray[Any]:
        return np.repeat(frames, step, axis=0)

    truth = truth_label(simulated)
    real, generated = timed(clip.real), timed(clip.generated)
    if clip.real_contour is None or clip.generated_contour is None:
        return [Row(truth, real), Row("generated", generated)]
    blue, orange = Trace(timed(clip.real_contour), BLUE), Trace(timed(clip.generated_contour), ORANGE)
    return [
        Row(truth, real),
        Row(f"{truth}, its contour blue", real, (blue,)),
        Row("generated", generated),
        Row(f"generated, orange, and {truth}, blue", generated, (blue, orange)),
    ]

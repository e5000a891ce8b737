"""`WandB` and `TensorBoard`: callbacks that show a run on a dashboard too, beside its `metrics.csv`.

They are callbacks, and no `trainer.logger`, so that a second config can add them to any other: a list of loggers there
would take the place of the config's own, and with it the name of the run's folder, which a dashboard needs to know.
"""

import os
import re
import secrets
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import numpy as np
import yaml
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from wav2uti.diffusion.loss import LossBySigma
from wav2uti.errors import InputError
from wav2uti.files import replaced

ID_FILE = "wandb-id.txt"  # in the folder of a run: W&B's name of it

_BY_SIGMA = re.compile(r"(?P<loss>.*loss)_sigma_(?P<from>[^_]+)_[^_]+")


class Dashboard(Callback):
    """Adds a logger to those of the trainer, when it is known from which checkpoint the training goes on."""

    logger: Logger | None = None

    @abstractmethod
    def opened(self, folder: Path, trainer: pl.Trainer) -> Logger:
        """The logger of a run in a folder."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A training begins or goes on."""
        self._add(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The command `validate`, or the validation of a training, which has its logger."""
        self._add(trainer)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The command `test`."""
        self._add(trainer)

    def _add(self, trainer: pl.Trainer) -> None:
        if cast(Any, trainer).fast_dev_run or (self.logger is not None and self.logger in trainer.loggers):
            return
        log_dir = trainer.log_dir  # of all processes, who must be asked together
        self.logger = self.opened(_run_folder(trainer) or Path(log_dir or trainer.default_root_dir), trainer)
        trainer.loggers = [*trainer.loggers, self.logger]
        _ = cast(Any, self.logger).experiment  # the user's mistakes are told before anything is trained


class Attempts:
    """For a logger: what a dashboard refuses is told once, and is no reason to end a training."""

    failed = False

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """Go on after the block, whatever happens in it."""
        try:
            yield
        except Exception as error:
            if not self.failed:
                told = (
                    f"{name} does not take what is logged ({_sentence(error)}); training goes on, metrics.csv has it."
                )
                warnings.warn(told, stacklevel=2)
            self.failed = True


class WandB(Dashboard):
    """Shows a run on Weights & Biases; see docs/logging.md for what stands there.

    A training that goes on in its folder goes on in its run there, and a test of its checkpoint adds its scores to it:
    the id is kept in the folder, as `wandb-id.txt`. Nobody need be logged in for `WANDB_MODE=offline`. W&B's own
    environment variables are heeded.

    Args:
        project: that it belongs to; without it WANDB_PROJECT, or else wav2uti.
        entity: user or team that the project belongs to; without it WANDB_ENTITY, or the user's own.
        name: of the run; without it the last two parts of its folder.
        group: of runs that are shown together.
        tags: of the run.
        notes: on the run.
    """

    def __init__(
        self,
        project: str | None = None,
        entity: str | None = None,
        name: str | None = None,
        group: str | None = None,
        tags: list[str] | None = None,
        notes: str | None = None,
    ) -> None:
        _check_installed("wandb", "Weights & Biases", "wandb")
        self.project = project
        self.options = {"entity": entity, "name": name, "group": group, "tags": tags, "notes": notes}

    def opened(self, folder: Path, trainer: pl.Trainer) -> Logger:
        """The run of a folder, or a new one where a training begins."""
        trains = trainer.state.fn == "fit"
        given = {key: value for key, value in self.options.items() if value is not None}
        return WandBRun(
            folder,
            _run_id(folder, anew=trains and not trainer.ckpt_path) if trainer.is_global_zero else None,
            history=trains,
            **{"project": self.project, "name": "/".join(folder.resolve().parts[-2:])} | given,
        )


class WandBRun(Attempts, WandbLogger):
    """Lightning's logger, whose rows have the step of the training as W&B's own.

    A training that goes on logs the steps since its last checkpoint again, to the bit the same; W&B leaves them out,
    where it would else show them twice. The loss by noise level becomes a histogram, too: `train/loss_by_sigma`, its
    height the mean loss of a decade, over log10 of sigma. What is no training, such as the scores of a test, becomes
    part of the run's summary.

    Args:
        folder: of the run; `wandb/` in it is W&B's.
        id: of the run there.
        history: whether metrics are rows, or the summary.
        **options: of `wandb.init`.
    """

    def __init__(self, folder: Path, id: str | None, history: bool, **options: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)  # wandb would write into the folder for temporary files
        project = options.pop("project", None) or os.environ.get("WANDB_PROJECT") or "wav2uti"
        super().__init__(save_dir=str(folder), version=id, project=project, **options)
        self.history = history
        self.last = 0  # step of the newest row

    @property
    def experiment(self) -> Any:
        """The run. Without a connection it is written to the disk, to be sent later.

        Raises:
            InputError: nobody is logged in.
        """
        import wandb

        try:
            return super().experiment
        except wandb.errors.UsageError as error:
            raise InputError(
                f"Weights & Biases refuses ({_sentence(error)}): log in with `wandb login`, or set WANDB_MODE=offline "
                "and send the run later with `wandb sync`."
            ) from error
        except wandb.errors.CommError as error:
            warnings.warn(
                f"Weights & Biases cannot be reached ({_sentence(error)}): the run is written to "
                f"{self.save_dir}/wandb; send it later with `wandb sync`.",
                stacklevel=2,
            )
            self._wandb_init["mode"] = "offline"
            return super().experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """A row of the history, or a part of the summary."""
        if not self.history:
            self.experiment.summary.update({name: value for name, value in metrics.items() if name != "epoch"})
            return
        # W&B leaves a row out that comes after a later one.
        self.last = max(self.last, step or 0)
        row = {**metrics, **histograms(metrics), "trainer/global_step": self.last if step is None else step}
        with self.attempt("Weights & Biases"):
            self.experiment.log(row, step=self.last)

    @rank_zero_only
    def log_run(self, config: dict[str, Any], about: dict[str, Any]) -> None:
        """The config of the run, key by key, and what else there is to know of it."""
        self.experiment.config.update({**config, "about": about}, allow_val_change=True)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Ends the run: the next training of this process is another one."""
        super().finalize(status)
        if self._experiment is not None:
            self._experiment.finish(0 if status == "success" else 1)
            self._experiment = None


class TensorBoard(Dashboard):
    """Shows a run on TensorBoard: event files in `tensorboard/` in its folder; see docs/logging.md.

    Args:
        flush_secs: seconds after which what was logged is written.
    """

    def __init__(self, flush_secs: int = 30) -> None:
        _check_installed("tensorboard", "TensorBoard", "tensorboard")
        self.flush_secs = flush_secs

    def opened(self, folder: Path, trainer: pl.Trainer) -> Logger:
        """The events of a folder."""
        return TensorBoardRun(str(folder), name="", version="tensorboard", flush_secs=self.flush_secs)


class TensorBoardRun(Attempts, TensorBoardLogger):
    """Lightning's logger, with the config as text, and without what it is told twice: a checkpoint logs its step."""

    def __init__(self, save_dir: str, **options: Any) -> None:
        super().__init__(save_dir, **options)
        self.told: tuple[int | None, dict[str, Any]] = (None, {})  # the newest step, and what was logged of it

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Values of a step."""
        known = self.told[1] if self.told[0] == step else {}
        with self.attempt("TensorBoard"):
            super().log_metrics({name: value for name, value in metrics.items() if name not in known}, step)
        self.told = (step, known | dict(metrics))

    @rank_zero_only
    def log_run(self, config: dict[str, Any], about: dict[str, Any]) -> None:
        """The config of the run and what else there is to know of it, and which curves belong together."""
        for name, content in (("config", config), ("about", about)):
            text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
            self.experiment.add_text(name, "\n".join(f"    {line}" for line in text.splitlines()))
        by_sigma = {part: ["Multiline", [rf"{part}/loss_sigma_.*"]] for part in ("train", "val")}
        self.experiment.add_custom_scalars({"loss by noise level": by_sigma})

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """They are part of the config; as `hp_metric` they would be a curve of -1."""


def histograms(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Of `train/loss_sigma_0.1_1` and the like a W&B histogram `train/loss_by_sigma`, over log10 of sigma."""
    import wandb

    decades = np.arange(LossBySigma.LOWEST, LossBySigma.HIGHEST + 2)
    heights: dict[str, list[float]] = {}
    for name, value in metrics.items():
        if found := _BY_SIGMA.fullmatch(name):
            decade = round(np.log10(float(found["from"]))) - LossBySigma.LOWEST
            heights.setdefault(f"{found['loss']}_by_sigma", [0.0] * (len(decades) - 1))[decade] = float(value)
    return {name: wandb.Histogram(np_histogram=(np.array(values), decades)) for name, values in heights.items()}


def _run_folder(trainer: pl.Trainer) -> Path | None:
    """The folder of the run whose checkpoint is tested or validated."""
    if trainer.state.fn == "fit" or not trainer.ckpt_path:
        return None
    folder = Path(trainer.ckpt_path).parent
    return folder.parent if folder.name == "checkpoints" else None


def _run_id(folder: Path, anew: bool) -> str:
    """W&B's name of the run of a folder, kept in it."""
    path = folder / ID_FILE
    if not anew and path.is_file() and re.fullmatch(r"[\w-]+", known := path.read_text(encoding="utf-8").strip()):
        return known
    id = secrets.token_hex(4)
    with replaced(path) as part:
        part.write_text(f"{id}\n", encoding="utf-8")
    return id


def _check_installed(package: str, name: str, extra: str) -> None:
    if find_spec(package) is None:
        raise InputError(f"{name} is not installed: pip install 'wav2uti[{extra}]'.")


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__

"""`SavedConfig`: the config of a training in its folder and on its dashboards, with what else is known of it."""

import platform
import subprocess
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import torch
import yaml
from lightning.pytorch.cli import SaveConfigCallback

import wav2uti
from wav2uti.data.module import ClipData
from wav2uti.tasks.base import Task
from wav2uti.training.dashboards import TensorBoardRun, WandBRun


class SavedConfig(SaveConfigCallback):
    """Writes `config.yaml`, as Lightning's own does, and gives the same to the dashboards."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """To the dashboards, which are there now: LightningCLI lists this callback after the config's."""
        shown = [logger for logger in trainer.loggers if isinstance(logger, WandBRun | TensorBoardRun)]
        if not (shown and trainer.is_global_zero):
            return
        config = yaml.safe_load(self.parser.dump(self.config, skip_none=False))
        about = about_run(cast(Task, pl_module), cast(Any, trainer).datamodule)
        for logger in shown:
            logger.log_run(config, about)


def about_run(task: Task, data: object) -> dict[str, Any]:
    """Facts of the data, speakers and clips of each part, size of the model, and what it runs on: plain types."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in task.parameters()]
    return {
        "wav2uti": wav2uti.__version__,
        "commit": commit(Path(wav2uti.__file__).parent),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "model": {
            **task.describe(),
            "parameters": sum(size for size, _ in sizes),
            "trained_parameters": sum(size for size, trained in sizes if trained),
        },
        "facts": task.facts,
        "data": data.summary() if isinstance(data, ClipData) else None,
    }


def commit(folder: Path) -> str | None:
    """The git commit of a source folder, `-changed` where its files are others; None where it is under no git."""

    def git(*command: str) -> str:
        run = ["git", "-C", str(folder), *command]
        return subprocess.run(run, capture_output=True, text=True, timeout=10, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # an installed package may lie within another project
        return git("describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=-changed")
    except (OSError, subprocess.SubprocessError):
        return None

"""What every LightningModule of the project has in common."""

from abc import abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor
from torch.optim import Optimizer

from wav2uti.errors import InputError

# Called after each network call or step with (done, total); serves progress bars.
Progress = Callable[[int, int], None]


class Task(pl.LightningModule):
    """A model with its optimizer, built from YAML and rebuilt from its checkpoint.

    Args:
        facts: what the training corpus says of itself (`ClipData.facts`): size of the frames, embeddings and their
            widths, mean and standard deviation of the frames. It travels in the checkpoint, so that prediction needs
            no config.
        optimizer: called with the parameters.
        lr_scheduler: called with the optimizer; stepped after every batch.
    """

    facts: dict[str, Any]

    def __init__(
        self, facts: dict[str, Any], optimizer: OptimizerCallable, lr_scheduler: LRSchedulerCallable | None
    ) -> None:
        super().__init__()
        self.facts = facts
        self.make_optimizer = optimizer
        self.make_lr_scheduler = lr_scheduler

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """How this task generates, for `metrics.json`: plain JSON types."""

    @abstractmethod
    def generate(
        self,
        acoustic: Tensor,
        text: Tensor | None,
        reference: Tensor | None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Tensor:
        """One recording of any length, from `acoustic` (T, D_a), `text` (L, D_t) and `reference` (H, W): (T, H, W)."""

    def configure_optimizers(self) -> Any:
        """The optimizer and, stepped after every batch, its learning rate schedule."""
        optimizer: Optimizer = self.make_optimizer(self.trained_parameters())
        if self.make_lr_scheduler is None:
            return optimizer
        scheduler = self.make_lr_scheduler(optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def trained_parameters(self) -> Iterable[torch.nn.Parameter]:
        """The parameters that the optimizer sees."""
        return (p for p in self.parameters() if p.requires_grad)

    def copy_weights(self, path: str | Path) -> None:
        """Take over the weights of a checkpoint of the same network; optimizer and steps begin anew.

        The buffers too: mean and standard deviation of the frames stay those that the weights were trained with.

        Raises:
            InputError: where the file is no checkpoint, or one of another network.
        """
        path = Path(path)
        check_checkpoint(path)
        try:
            self.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["state_dict"])
        except RuntimeError as error:
            raise InputError(
                f"{path} holds the weights of another network ({' '.join(str(error).split())[:200]}); "
                "give the same options of fusion and net as it was trained with."
            ) from error

    @staticmethod
    def from_checkpoint(path: str | Path) -> "Task":
        """The task of a checkpoint, of whichever subclass wrote it, on the CPU and ready to generate.

        Raises:
            InputError: where the file is missing, broken or no checkpoint of this project.
        """
        path = Path(path)
        check_checkpoint(path)
        try:
            # Of LightningModule: it builds the subclass that the checkpoint names; of a subclass it would drop options.
            task = pl.LightningModule.load_from_checkpoint(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch, zipfile, pickle and Lightning each raise their own for a foreign file
            cause = " ".join(str(error).split())[:200]
            raise InputError(
                f"{path} is no checkpoint that this version of wav2uti can read ({type(error).__name__}: {cause}); "
                "give the .ckpt file of a `wav2uti fit` run."
            ) from error
        if not isinstance(task, Task):
            raise InputError(f"{path} holds a {type(task).__name__}, which is no model of wav2uti.")
        return task.eval()


def check_checkpoint(path: Path) -> None:
    """Raise an InputError where a path is missing or holds no Lightning checkpoint; no code in it is run."""
    if not path.is_file():
        raise InputError(f"There is no checkpoint {path}; train one with `wav2uti fit`, or give another path.")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        missing = {"state_dict", "hyper_parameters", "pytorch-lightning_version"} - set(checkpoint)
    except Exception as error:  # torch, zipfile and pickle each raise their own for a foreign or broken file
        raise InputError(
            f"{path} is no checkpoint, or a damaged one ({type(error).__name__}); "
            "give the .ckpt file of a `wav2uti fit` run."
        ) from error
    if missing:
        raise InputError(f"{path} is no checkpoint of wav2uti (it lacks {', '.join(sorted(missing))}).")

"""What every LightningModule of the project has in common."""

from abc import abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

import lightning.pytorch as pl
import numpy as np
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

    @classmethod
    def from_checkpoint(cls, path: str | Path) -> Self:
        """The task of a checkpoint, of whichever class wrote it, on the CPU and ready to generate.

        Raises:
            InputError: where the file is missing, broken or no checkpoint of this project.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"There is no checkpoint {path}; train one with `wav2uti fit`, or give another path.")
        try:
            task = cls.load_from_checkpoint(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch, zipfile, pickle and Lightning each raise their own for a foreign file
            cause = " ".join(str(error).split())[:200]
            raise InputError(
                f"{path} is no checkpoint that this version of wav2uti can read ({type(error).__name__}: {cause}); "
                "give the .ckpt file of a `wav2uti fit` run."
            ) from error
        return task.eval()


def to_tensor(frames: np.ndarray) -> Tensor:
    """uint8 frames of any shape to float32 in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).float() / 127.5 - 1


def to_frames(video: Tensor) -> np.ndarray:
    """Video in [-1, 1] of any shape to uint8 frames, rounded, what lies outside cut off."""
    pixels: np.ndarray = ((video.detach().float().cpu() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
    return pixels

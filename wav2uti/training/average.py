"""`Average`: the exponential moving average of the weights, which is what draws (the paper's EMA 0.9999)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, distribute_tensor

from wav2uti.errors import InputError


class Average(Callback):
    """average <- average + (1 - decay) (weights - average), after each step of the optimizer.

    After the first step the average is the weights.

    Validation and what a checkpoint gives to draw with, its `state_dict`, have the average in place of the weights;
    the weights themselves are beside it as `current_model_state`, for a training that goes on.

    Lightning's `EMAWeightAveraging` copies the whole module, its links to the running Trainer too, which fails where
    processes train together; it keeps a frozen draft and the buffers three times, and rounds them a little each time.
    Here only what is trained is averaged.

    Args:
        decay: share of the old average that stays, 0 to below 1.
        device: where the average is kept, such as `cpu` to save a GPU's memory; by default where the model is.
    """

    def __init__(self, decay: float = 0.9999, device: str | None = None) -> None:
        if not 0 <= decay < 1:
            raise InputError(f"the decay of the average must be 0 or more and below 1, not {decay}.")
        self.decay = decay
        self.device = device
        self.average: dict[str, Tensor] = {}  # by the parameter's name; the weights, while they have changed places
        self.changed_places = False
        self.updates = 0
        self.step = 0  # of the optimizer, at the last update

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begins with the weights, or with the average of the checkpoint."""
        self.changed_places = False
        for name, weight in shares(pl_module).items():
            old = self.average.get(name, weight)
            self.average[name] = old.detach().to(self.device or weight.device, copy=True)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Once for each step of the optimizer."""
        self._follow(trainer, pl_module)

    @contextmanager
    def in_place(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> Iterator[None]:
        """While the block runs the module has the average, the last step in it, instead of the weights."""
        self._follow(trainer, pl_module)
        if self.changed_places:
            yield
            return
        self._change_places(pl_module)
        try:
            yield
        finally:
            self._change_places(pl_module)

    def _follow(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the last step into the average, unless it is in it."""
        if trainer.global_step > self.step:
            self.step = trainer.global_step
            self.update(pl_module)

    @torch.no_grad()
    def update(self, pl_module: pl.LightningModule) -> None:
        """Take the weights of one more step into the average."""
        weights = [
            weight.to(self.average[name].device, non_blocking=True) for name, weight in shares(pl_module).items()
        ]
        share = 1 - self.decay if self.updates else 1.0
        torch._foreach_lerp_(list(self.average.values()), weights, share)
        self.updates += 1

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The average is validated."""
        if trainer.state.fn == "fit":
            self._change_places(pl_module)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Training has its weights back."""
        if trainer.state.fn == "fit":
            self._change_places(pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Who uses the module after `Trainer.fit` draws with the average."""
        self._change_places(pl_module)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """See the class."""
        if not self.average:
            return
        held, kept = checkpoint["state_dict"], dict(self.average)
        if is_sharded(pl_module):  # all processes collect what the first one writes
            self._change_places(pl_module)
            kept = trainer.strategy.lightning_module_state_dict()
            self._change_places(pl_module)
            if not trainer.is_global_zero:
                return
        held_too = {name: held[name] for name in self.average}
        kept = {name: kept[name] for name in self.average}
        average, weights = (held_too, kept) if self.changed_places else (kept, held_too)
        checkpoint["state_dict"] = {**held, **average}
        checkpoint["current_model_state"] = weights
        checkpoint["averaging_state"] = {"n_averaged": torch.tensor(self.updates)}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """The average out of `state_dict`; weights out of the other one, or where there is none both are the same."""
        if trainer.state.fn != "fit":
            return
        self.step = checkpoint["global_step"]
        self.updates = int(checkpoint.get("averaging_state", {}).get("n_averaged", 1))
        weights = checkpoint.get("current_model_state", {})
        if is_sharded(pl_module):  # their strategy has loaded the state_dict
            self.average = {name: share.clone() for name, share in shares(pl_module).items()}
            for name, parameter in trained(pl_module).items():
                if name in weights:
                    share_out(weights[name], parameter)
        else:
            self.average = {name: checkpoint["state_dict"][name] for name in trained(pl_module)}
            pl_module.load_state_dict(weights, strict=False)

    def distance(self, pl_module: pl.LightningModule) -> Tensor:
        """How far the average is from the weights that are trained: |average - weights| / |weights|."""
        squares = torch.stack(
            [
                torch.stack([(self.average[name].to(weight.device) - weight).square().sum(), weight.square().sum()])
                for name, weight in shares(pl_module).items()
            ]
        ).sum(dim=0)
        if is_sharded(pl_module):
            torch.distributed.all_reduce(squares)
        return (squares[0] / squares[1].clamp(min=torch.finfo(squares.dtype).tiny)).sqrt()

    @torch.no_grad()
    def _change_places(self, pl_module: pl.LightningModule) -> None:
        """The average into the module, the weights in its place, or back."""
        for name, weight in shares(pl_module).items():
            kept = weight.clone()
            weight.copy_(self.average[name])
            self.average[name].copy_(kept)
        self.changed_places = not self.changed_places


def trained(module: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The parameters that training changes, by name."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def shares(module: torch.nn.Module) -> dict[str, Tensor]:
    """The same as this process has them: all of each, or its share where they are spread over several."""
    for part in module.modules():
        if isinstance(part, FSDPModule):
            part.reshard()  # validation leaves it whole
    found = {name: parameter.detach() for name, parameter in trained(module).items()}
    return {name: value.to_local() if isinstance(value, DTensor) else value for name, value in found.items()}


def is_sharded(module: torch.nn.Module) -> bool:
    """Whether weights are spread over the processes."""
    return any(isinstance(part, FSDPModule) for part in module.modules())


@torch.no_grad()
def share_out(whole: Tensor, parameter: Tensor) -> None:
    """Give a parameter its values, of which this process may have a share."""
    if isinstance(parameter, DTensor):
        whole = distribute_tensor(whole.to(parameter.device), parameter.device_mesh, parameter.placements)
    parameter.copy_(whole)

"""`Average`: the exponential moving average of the weights, which is what draws (the paper's EMA 0.9999)."""

from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

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
        for name, weight in trained(pl_module).items():
            old = self.average.get(name, weight)
            self.average[name] = old.detach().to(self.device or weight.device, copy=True)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Once for each step of the optimizer."""
        if trainer.global_step > self.step:
            self.step = trainer.global_step
            self.update(pl_module)

    @torch.no_grad()
    def update(self, pl_module: pl.LightningModule) -> None:
        """Take the weights of one more step into the average."""
        weights = [
            weight.detach().to(self.average[name].device, non_blocking=True)
            for name, weight in trained(pl_module).items()
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
        state = checkpoint["state_dict"]
        held = {name: state[name] for name in self.average}
        average, weights = (held, self.average) if self.changed_places else (self.average, held)
        checkpoint["state_dict"] = {**state, **average}
        checkpoint["current_model_state"] = dict(weights)
        checkpoint["averaging_state"] = {"n_averaged": torch.tensor(self.updates)}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """The average out of `state_dict`; weights out of the other one, or where there is none both are the same."""
        if trainer.state.fn != "fit":
            return
        self.step = checkpoint["global_step"]
        self.average = {name: checkpoint["state_dict"][name] for name in trained(pl_module)}
        self.updates = int(checkpoint.get("averaging_state", {}).get("n_averaged", 1))
        pl_module.load_state_dict(checkpoint.get("current_model_state", {}), strict=False)

    def distance(self, pl_module: pl.LightningModule) -> Tensor:
        """How far the average is from the weights that are trained: |average - weights| / |weights|."""
        weights = {name: weight.detach() for name, weight in trained(pl_module).items()}
        apart = [self.average[name].to(weight.device) - weight for name, weight in weights.items()]
        size = torch.nn.utils.get_total_norm(list(weights.values()))
        return torch.nn.utils.get_total_norm(apart) / size.clamp(min=torch.finfo(size.dtype).tiny)

    @torch.no_grad()
    def _change_places(self, pl_module: pl.LightningModule) -> None:
        """The average into the module, the weights in its place, or back."""
        for name, weight in trained(pl_module).items():
            kept = weight.detach().clone()
            weight.copy_(self.average[name])
            self.average[name].copy_(kept)
        self.changed_places = not self.changed_places


def trained(module: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The parameters that training changes, by name."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}

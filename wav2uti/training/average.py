"""`Average`: the exponential moving average of the weights, which is what draws (the paper's EMA 0.9999)."""

import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn

from wav2uti.errors import InputError


class Average(WeightAveraging):
    """average <- decay average + (1 - decay) weights, after each step of the optimizer.

    Lightning's `EMAWeightAveraging` computes that very sum, so that what never changes (a frozen draft, the frames'
    mean) is rounded a little at each step; written as average + (1 - decay) (weights - average) it stays as it is.
    Buffers are statistics, no weights: they are taken over.

    Args:
        decay: share of the old average that stays, 0 to below 1.
        device: where the average is kept, such as `cpu` to save a GPU's memory; by default where the model is.
    """

    def __init__(self, decay: float = 0.9999, device: str | None = None) -> None:
        if not 0 <= decay < 1:
            raise InputError(f"the decay of the average must be 0 or more and below 1, not {decay}.")
        super().__init__(device, use_buffers=False, multi_avg_fn=get_ema_multi_avg_fn(decay))
        self.decay = decay

    def distance(self, weights: torch.nn.Module) -> torch.Tensor | None:
        """How far the average is from the weights that are trained: |average - weights| / |weights|; None outside."""
        if self._average_model is None:
            return None
        trained = [(name, p.detach()) for name, p in weights.named_parameters() if p.requires_grad]
        average = dict(self._average_model.module.named_parameters())
        apart = [average[name].detach().to(p.device) - p for name, p in trained]
        size = torch.nn.utils.get_total_norm([p for _, p in trained])
        return torch.nn.utils.get_total_norm(apart) / size.clamp(min=torch.finfo(size.dtype).tiny)

"""`Condition`: all that the network is told about a clip besides its noisy frames."""

from typing import NamedTuple

import torch
from torch import Tensor


class Condition(NamedTuple):
    """What guides the denoiser.

    Attributes:
        frames: (B, T, W), one vector for each frame, fused from sound and text (the paper's f_c).
        reference: (B, 1, H, W) in [-1, 1], a frame of the speaker, or None where the model uses none.
        draft: (B, 1, T, H, W) in [-1, 1], a blurred clip to begin from (the paper's v0), or None where the model uses
            none.
        low: (B, 1, T, H, W), the clip of the cascade's earlier stage in the size of this one, with noise added and
            normalised (see `diffusion.cascade`), or None for a first stage.
        low_log_snr: (B,), how much noise that is: the logarithm of its signal-to-noise ratio; beside `low`.
    """

    frames: Tensor
    reference: Tensor | None = None
    draft: Tensor | None = None
    low: Tensor | None = None
    low_log_snr: Tensor | None = None

    def rows(self, index: Tensor) -> "Condition":
        """Those of some clips of the batch; `index` (K,) of int, or (B,) of bool."""
        return Condition(*(None if value is None else value[index] for value in self))  # type: ignore[arg-type]


def concatenate(*conditions: Condition) -> Condition:
    """Join conditions along the batch, so that one call of the network serves them all."""
    joined: list[Tensor | None] = []
    for name, *values in zip(Condition._fields, *conditions, strict=True):
        given = [value for value in values if value is not None]
        if given and len(given) != len(values):
            raise ValueError(f"conditions with and without {name.replace('_', ' ')} cannot share a batch")
        joined.append(torch.cat(given) if given else None)
    return Condition(*joined)  # type: ignore[arg-type]

"""Classifier-free guidance (Ho and Salimans 2022): push the estimate away from the unconditional one.

    D_guided = D(x; sigma, null) + scale (D(x; sigma, cond) - D(x; sigma, null))

D is linear in F, so this is the same as guiding the network's own output.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from wav2uti.condition.condition import Condition, concatenate
from wav2uti.diffusion.sampler import Denoise


def guided(
    denoiser: Callable[[Tensor, Tensor, Any], Tensor], cond: Condition, null_cond: Condition, scale: float
) -> Denoise:
    """Binds a denoiser to its condition with this guidance scale: the `denoise(x, sigma)` that samplers call.

    cond, null_cond: for the same clips, with and without what the network is told. Scale 1 is the plain conditional
    model and 0 the unconditional one: both cost one evaluation a call. Any other scale evaluates both conditions as
    one batch of 2 B.
    """
    if scale == 1:
        return lambda x, sigma: denoiser(x, sigma, cond)
    if scale == 0:
        return lambda x, sigma: denoiser(x, sigma, null_cond)
    both = concatenate(cond, null_cond)

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        conditional, unconditional = denoiser(torch.cat([x, x]), torch.cat([sigma, sigma]), both).chunk(2)
        return unconditional + scale * (conditional - unconditional)

    return denoise

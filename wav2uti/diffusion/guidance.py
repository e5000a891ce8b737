"""Classifier-free guidance (Ho and Salimans 2022): push the estimate away from the unconditional one.

    D_guided = D(x; sigma, null) + scale (D(x; sigma, cond) - D(x; sigma, null))

With a scale of its own for the text (as InstructPix2Pix has one for the picture, Brooks et al. 2023, Eq. 3):

    D_guided = D(null) + scale (D(audio) - D(null)) + text_scale (D(audio, text) - D(audio))

D is linear in F, so this is the same as guiding the network's own output.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from wav2uti.condition.condition import Condition, concatenate
from wav2uti.diffusion.sampler import Denoise


def guided(
    denoiser: Callable[[Tensor, Tensor, Any], Tensor],
    cond: Condition,
    null_cond: Condition,
    scale: float,
    audio_cond: Condition | None = None,
    text_scale: float | None = None,
) -> Denoise:
    """Binds a denoiser to its condition with these guidance scales: the `denoise(x, sigma)` that samplers call.

    cond, null_cond, audio_cond: for the same clips, with all, nothing, and sound without text of what the network is
    told. Without `audio_cond` or `text_scale` one scale serves sound and text.

    Conditions whose weight is zero are not evaluated: one scale costs two evaluations a call, and one where it is 1
    (the plain conditional model) or 0 (the unconditional one); two scales that differ cost three, and two where
    `scale` is 1 or `text_scale` is 0. They are evaluated as one batch.
    """
    if audio_cond is None or text_scale is None:
        text_scale = scale
    # The estimates are weighted 1 - scale, scale - text_scale and text_scale: together 1.
    terms = [(1 - scale, null_cond), (text_scale, cond)]
    if audio_cond is not None:
        terms.insert(1, (scale - text_scale, audio_cond))
    used = [(weight, condition) for weight, condition in terms if weight != 0]
    if len(used) == 1:
        only = used[0][1]
        return lambda x, sigma: denoiser(x, sigma, only)
    together = concatenate(*(condition for _, condition in used))

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        count = len(used)
        base, *others = denoiser(torch.cat([x] * count), torch.cat([sigma] * count), together).chunk(count)
        estimate = base
        for (weight, _), other in zip(used[1:], others, strict=True):
            estimate = estimate + weight * (other - base)
        return estimate

    return denoise

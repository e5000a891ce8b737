"""Guidance: push the estimate of the clean clip away from a worse one.

Classifier-free (Ho and Salimans 2022), the worse estimate being that without sound and text:

    D_guided = D(x; sigma, null) + scale (D(x; sigma, cond) - D(x; sigma, null))

with a scale of its own for the text (as InstructPix2Pix has one for the picture, Brooks et al. 2023, Eq. 3):

    D_guided = D(null) + scale (D(audio) - D(null)) + text_scale (D(audio, text) - D(audio))

or that of a smaller or less trained model (autoguidance, Karras et al. 2024), which is told the same:

    D_guided = D_weak(cond) + scale (D(cond) - D_weak(cond))

and only where it helps, within an interval of sigma (Kynkaanniemi et al. 2024). D is linear in F, so this is the same
as guiding the network's own output.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from wav2uti.condition.condition import Condition, concatenate
from wav2uti.diffusion.sampler import Denoise
from wav2uti.errors import InputError
from wav2uti.options import check_numbers

Denoiser = Callable[[Tensor, Tensor, Any], Tensor]


@dataclass(frozen=True)
class Guidance:
    """What is chosen each time clips are drawn.

    Args:
        scale: of the guidance; 1 is none and halves the time.
        text_scale: a scale of its own for what the text adds, `scale` being then that of the sound, for a model trained
            with `drop_text`; null has one scale for both.
        interval: smallest and largest sigma at which there is guidance; null guides at all of them.
        weak: checkpoint of a smaller or less trained model for autoguidance, which then takes the place of the
            estimate without sound and text.
        threshold: dynamic thresholding (Saharia et al. 2022, Sec. 2.3): the quantile of the estimate's absolute grey
            values, such as 0.995, that is drawn back to 1 where it is larger; null does not.
    """

    scale: float = 3.0
    text_scale: float | None = None
    interval: tuple[float, float] | None = None
    weak: str | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        check_numbers(0, **{"guidance.scale": self.scale, "guidance.text_scale": self.text_scale})
        if self.interval is not None and not 0 <= self.interval[0] < self.interval[1]:
            raise InputError(f"guidance.interval is two noise levels, the smaller first, not {list(self.interval)}.")
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise InputError(f"guidance.threshold is a share of the pixels, above 0 and up to 1, not {self.threshold}.")
        if self.weak is not None and self.text_scale is not None:
            raise InputError("guidance.text_scale has no meaning beside guidance.weak: leave one of them out.")


class Told(NamedTuple):
    """What the estimates that guidance combines are told of the same clips; see `guided`."""

    whole: Condition
    audio: Condition | None = None
    weak: Condition | None = None

    def seeing(self, cond: Condition) -> "Told":
        """All of them with the earlier stage's clip of one condition, the same to the last grain of its noise."""
        return Told._make(c if c is None else c._replace(low=cond.low, low_log_snr=cond.low_log_snr) for c in self)


def together(several: Sequence[Told]) -> Told:
    """What is told of several clips as that of one batch."""

    def join(conditions: Sequence[Condition | None]) -> Condition | None:
        given = [condition for condition in conditions if condition is not None]
        return concatenate(*given) if given else None

    whole, audio, weak = zip(*several, strict=True)
    return Told(concatenate(*whole), join(audio), join(weak))


def guided(
    denoiser: Denoiser,
    cond: Condition,
    null_cond: Condition | None,
    guidance: Guidance,
    audio_cond: Condition | None = None,
    weak: Denoise | None = None,
) -> Denoise:
    """Binds a denoiser to its condition with guidance: the `denoise(x, sigma)` that samplers call.

    cond, null_cond, audio_cond: for the same clips, with all, nothing, and sound without text of what the network is
    told; `null_cond` is None for a network that was always told something. weak: the weaker model with its own
    condition bound, for autoguidance.

    Estimates whose weight is zero, and clips outside of the interval, are not evaluated: one scale costs two
    evaluations a call, and one where it is 1 (the plain conditional model) or 0; two scales that differ cost three,
    and two where `scale` is 1 or `text_scale` is 0. Those of one model are evaluated as one batch.
    """
    scale, text_scale = guidance.scale, guidance.text_scale
    if audio_cond is None or text_scale is None:
        text_scale = scale
    # The weights of the estimates add up to 1.
    if weak is None:
        terms = [(text_scale, cond)]
        if scale != 1:
            if null_cond is None:
                raise InputError(
                    f"The model was trained without drop_condition, so it cannot be guided by a scale of {scale:g}: "
                    "set guidance.scale to 1, or guide by a weaker model (guidance.weak)."
                )
            terms.append((1 - scale, null_cond))
        if audio_cond is not None:
            terms.append((scale - text_scale, audio_cond))
    else:
        terms = [(scale, cond)]
    used = [(weight, condition) for weight, condition in terms if weight != 0]

    def estimate(x: Tensor, sigma: Tensor, inside: Tensor) -> Tensor:
        """Of the clips `inside` (B,) alone, with all weights."""
        conditions = [condition if inside.all() else condition.rows(inside) for _, condition in used]
        clips, levels = x[inside], sigma[inside]
        total = torch.zeros_like(clips)
        if used:
            count = len(used)
            together = conditions[0] if count == 1 else concatenate(*conditions)
            estimates = denoiser(torch.cat([clips] * count), torch.cat([levels] * count), together).chunk(count)
            for (weight, _), one in zip(used, estimates, strict=True):
                total = one if weight == 1 and count == 1 else total + weight * one
        if weak is not None and scale != 1:
            # Bound to all clips of the batch; the others' answers are left.
            total = total + (1 - scale) * weak(x, sigma)[inside]
        return total

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        if guidance.interval is None:
            clean = estimate(x, sigma, torch.ones_like(sigma, dtype=torch.bool))
        else:
            inside = (sigma >= guidance.interval[0]) & (sigma <= guidance.interval[1])
            if inside.all():
                clean = estimate(x, sigma, inside)
            elif not inside.any():
                clean = denoiser(x, sigma, cond)
            else:
                clean = torch.empty_like(x)
                clean[inside] = estimate(x, sigma, inside)
                clean[~inside] = denoiser(x[~inside], sigma[~inside], cond.rows(~inside))
        return clean if guidance.threshold is None else thresholded(clean, guidance.threshold)

    return denoise


def thresholded(clean: Tensor, quantile: float) -> Tensor:
    """Dynamic thresholding: estimates (B, ...) cut off at their quantile of |D|, which then becomes 1 if it was more.

    >>> thresholded(torch.tensor([[0.5, -4.0, 2.0]]), 0.5).tolist()
    [[0.25, -1.0, 1.0]]
    """
    largest = torch.quantile(clean.flatten(1).abs().float(), quantile, dim=1).clamp(min=1)
    largest = largest.view(-1, *[1] * (clean.ndim - 1))
    return clean.clamp(-largest, largest) / largest

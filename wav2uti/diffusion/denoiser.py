"""The denoiser D(x; sigma, cond): a network and the EDM preconditioning around it.

    D(x; sigma, cond) = c_skip(sigma) x + c_out(sigma) F(c_in(sigma) x; c_noise(sigma), cond)        Eq. 3 and 9
    c_skip  = sigma_data^2 / (sigma^2 + sigma_data^2)                                                Eq. 4
    c_out   = sigma sigma_data / sqrt(sigma^2 + sigma_data^2)                                        Eq. 5
    c_in    = 1 / sqrt(sigma^2 + sigma_data^2)                                                       Eq. 6
    c_noise = ln(sigma) / 4                                                                          Eq. 7

The paper's subscripts slip in Eq. 3 and 9 (F of stage s inside D of stage 0); each stage has its own F and D.

The equations hold for data of mean 0 and standard deviation sigma_data. UTI frames are mostly black, with a mean near
-0.9 on [-1, 1], so they are applied to z = x - mean, and the mean is added back to D. Outside of this file everything
stays in data space.

Where the condition brings a draft of the clip (the paper's v0), the mean is that draft and sigma_data the standard
deviation of what it lacks: diffusion then adds to the draft instead of beginning from nothing (as Mardani et al. 2025,
"Residual corrective diffusion modeling", do for weather maps).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Coefficients(NamedTuple):
    """Eq. 4-7 at given noise levels; each of the shape of sigma."""

    c_skip: Tensor
    c_out: Tensor
    c_in: Tensor
    c_noise: Tensor


def coefficients(sigma: Tensor, sigma_data: Tensor | float) -> Coefficients:
    """The four coefficients of the preconditioning (Eq. 4-7, EDM Table 1); any shape, sigma > 0."""
    total = sigma.square() + sigma_data**2
    return Coefficients(
        c_skip=sigma_data**2 / total,
        c_out=sigma * sigma_data / total.sqrt(),
        c_in=1 / total.sqrt(),
        c_noise=sigma.log() / 4,
    )


class Denoiser(nn.Module):
    """Wraps `net(x, c_noise, cond) -> F` as D(x; sigma, cond) in data space.

    net: called with x (B, C, T, H, W) float32 of about unit variance and mean 0, c_noise (B,) float32, and the
    condition untouched; returns F of the shape of x, in any floating dtype.
    sigma_data, mean: standard deviation and mean of the training frames on [-1, 1]. Both are buffers, so that values
    measured on a corpus travel with the checkpoint.
    draft: takes the draft (B, C, T, H, W) out of a condition, where there is one; it stands in for the mean.

    Precision: only the inside of F follows an active autocast. Noisy input, coefficients, skip connection and D are
    float32: at sigma 0.002 the loss weight is 250,016, and with all of it in bf16 rounding alone would cost a loss
    of 0.08.
    """

    sigma_data: Tensor
    mean: Tensor

    def __init__(
        self,
        net: nn.Module,
        sigma_data: float = 0.25,
        mean: float = 0.0,
        draft: Callable[[Any], Tensor | None] | None = None,
    ) -> None:
        super().__init__()
        self.net = net
        self.draft = draft
        self.register_buffer("sigma_data", torch.tensor(float(sigma_data)))
        self.register_buffer("mean", torch.tensor(float(mean)))

    def coefficients(self, sigma: Tensor) -> Coefficients:
        """Eq. 4-7 for sigma (B,), each float32 (B, 1, 1, 1, 1), ready to multiply a clip."""
        return coefficients(sigma.float().view(-1, 1, 1, 1, 1), self.sigma_data)

    def forward(self, x: Tensor, sigma: Tensor, cond: Any) -> Tensor:
        """Estimate of the clean clip (Eq. 3, 9). x (B, C, T, H, W), sigma (B,) > 0; returns float32 like x."""
        c = self.coefficients(sigma)
        mean = self.center(cond)
        return mean + c.c_skip * (x.float() - mean) + c.c_out * self.raw(x, sigma, cond)

    def center(self, cond: Any) -> Tensor:
        """What is taken off x before the network sees it, ready to be subtracted from a clip."""
        draft = None if self.draft is None else self.draft(cond)
        return self.mean if draft is None else draft

    def raw(self, x: Tensor, sigma: Tensor, cond: Any) -> Tensor:
        """The network's own output F(c_in z; c_noise, cond), float32 like x: what the loss compares with `target`."""
        c = self.coefficients(sigma)
        inputs = c.c_in * (x.float() - self.center(cond))
        assert inputs.dtype == c.c_noise.dtype == torch.float32, "the border: float32 goes in"
        f: Tensor = self.net(inputs, c.c_noise.view(-1), cond)  # the only call that autocast may change
        return f.float()

    def target(self, y: Tensor, x: Tensor, sigma: Tensor, cond: Any) -> Tensor:
        """The F for which D(x; sigma, cond) = y: (y - mean - c_skip (x - mean)) / c_out, float32 of unit variance.

        y clean and x = y + n noisy, both (B, C, T, H, W); sigma (B,). EDM Eq. 8.
        """
        c = self.coefficients(sigma)
        mean = self.center(cond)
        return (y.float() - mean - c.c_skip * (x.float() - mean)) / c.c_out

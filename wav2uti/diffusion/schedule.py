"""Noise levels: the ones a sampler steps through, and the ones training draws.

With the paper's sigma(t) = t (text below Eq. 7) a time *is* a noise level, so both are simply called sigma.
The steps of the sampler are

    sigma_i = (sigma_max^(1/rho) + i/(N-1) (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho,  i = 0..N-1,   sigma_N = 0

(EDM Eq. 5; the paper leaves it out), and training draws ln sigma ~ N(P_mean, P_std^2) (EDM Table 1).
"""

import math

import torch
from torch import Tensor

from wav2uti.errors import InputError
from wav2uti.options import check_numbers, check_positive


def karras_sigmas(steps: int, sigma_min: float = 0.002, sigma_max: float = 160.0, rho: float = 7.0) -> Tensor:
    """Noise levels of a sampler with this many steps, largest first and 0 last.

    Returns float64 (steps + 1,) on the CPU. One step goes from sigma_max to 0 at once.
    Raises InputError unless steps >= 1, 0 < sigma_min < sigma_max and rho > 0. EDM Eq. 5.

    >>> [round(sigma, 3) for sigma in karras_sigmas(4).tolist()]
    [160.0, 18.209, 0.766, 0.002, 0.0]
    """
    _check(steps, sigma_min, sigma_max, rho)
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    largest, smallest = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    return _and_zero((largest + ramp * (smallest - largest)) ** rho)


def exponential_sigmas(steps: int, sigma_min: float = 0.002, sigma_max: float = 160.0) -> Tensor:
    """The same, evenly spread in ln sigma: what karras_sigmas becomes for large rho.

    >>> [round(sigma, 3) for sigma in exponential_sigmas(4, 0.01, 10.0).tolist()]
    [10.0, 1.0, 0.1, 0.01, 0.0]
    """
    _check(steps, sigma_min, sigma_max)
    return _and_zero(torch.linspace(math.log(sigma_max), math.log(sigma_min), steps, dtype=torch.float64).exp())


def linear_sigmas(steps: int, sigma_min: float = 0.002, sigma_max: float = 160.0) -> Tensor:
    """The same, evenly spread in sigma: karras_sigmas with rho 1; for analysis, since it hardly sees low noise.

    >>> [round(sigma, 3) for sigma in linear_sigmas(3, 1.0, 3.0).tolist()]
    [3.0, 2.0, 1.0, 0.0]
    """
    _check(steps, sigma_min, sigma_max)
    return _and_zero(torch.linspace(sigma_max, sigma_min, steps, dtype=torch.float64))


def consistency_sigmas(steps: int, sigma_max: float = 160.0, rho: float = 7.0) -> Tensor:
    """Levels that a few-step student draws at: sigma_max (1 - i/steps)^rho, 0 last; float64 (steps + 1,).

    Two steps go through 1.25 from 160: near 0.8, which Geng et al. 2024 (ECT) found best by hand from 80.

    >>> [round(sigma, 3) for sigma in consistency_sigmas(4).tolist()]
    [160.0, 21.357, 1.25, 0.01, 0.0]
    """
    _check(steps, sigma_max / 2, sigma_max, rho)  # there is no smallest level
    return sigma_max * torch.linspace(1, 0, steps + 1, dtype=torch.float64) ** rho


def _check(steps: int, sigma_min: float, sigma_max: float, rho: float = 1.0) -> None:
    """Raise an InputError where no sampler can step so."""
    if steps < 1:
        raise InputError(f"a sampler needs at least one step, not {steps}: give a larger steps")
    if not (0 < sigma_min < sigma_max < math.inf and 0 < rho < math.inf):
        raise InputError(
            f"noise levels need 0 < sigma_min < sigma_max and rho > 0, not sigma_min {sigma_min}, "
            f"sigma_max {sigma_max}, rho {rho}: correct them in the sampler's settings"
        )


def _and_zero(sigmas: Tensor) -> Tensor:
    return torch.cat([sigmas, sigmas.new_zeros(1)])


class LogNormalSigma:
    """Noise levels for training: ln sigma ~ N(p_mean, p_std^2), EDM Table 1.

    With `stratified` a batch of B takes one level from each of the B equally likely parts of the distribution, in
    random order: sigma_j is the quantile (i_j + u_j)/B with i a permutation and u uniform. Each level alone has the
    same distribution as before, so the expected loss is unchanged; its variance over batches falls, which matters
    at the paper's batch of 4.
    """

    def __init__(self, p_mean: float = -1.2, p_std: float = 1.2, stratified: bool = True) -> None:
        check_numbers(p_mean=p_mean)
        check_positive(p_std=p_std)
        self.p_mean = p_mean
        self.p_std = p_std
        self.stratified = stratified

    def __call__(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        """Draws float32 (batch,) on the CPU, from the generator (a CPU one) or else torch's global one."""
        uniform = torch.rand(batch, generator=generator, dtype=torch.float64)
        if self.stratified:
            uniform = (torch.randperm(batch, generator=generator) + uniform) / batch
        return self.quantile(uniform)

    def quantile(self, uniform: Tensor) -> Tensor:
        """The level below which a share `uniform` (float64, 0 to 1) of the levels is; float32 in its shape."""
        # 0, and 1 by rounding, have infinite quantiles: float64's own spacing keeps them within 8.3
        normal: Tensor = torch.special.ndtri(uniform.clamp(2.0**-54, 1 - 2.0**-53))
        return (self.p_mean + self.p_std * normal).exp().float()

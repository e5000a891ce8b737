"""Samplers: from noise to a clip, as generators over their steps.

With sigma(t) = t the probability flow ODE of Eq. 2 is

    dx/dsigma = (x - D(x; sigma)) / sigma

`heun` solves it by EDM Algorithm 2 (the paper's Eq. 8 and the lines around it): raise the noise level a little by
adding noise, take an Euler step, and correct it by Heun's rule.

    gamma_i   = min(S_churn / N, sqrt(2) - 1)  if S_tmin <= sigma_i <= S_tmax, else 0                          Eq. 8
    sigma_hat = (1 + gamma_i) sigma_i
    x_hat     = x_i + sqrt(sigma_hat^2 - sigma_i^2) eps,   eps ~ N(0, S_noise^2 I)
    d         = (x_hat - D(x_hat; sigma_hat)) / sigma_hat
    x_{i+1}   = x_hat + (sigma_{i+1} - sigma_hat) d
    d'        = (x_{i+1} - D(x_{i+1}; sigma_{i+1})) / sigma_{i+1}                          not where sigma_{i+1} = 0
    x_{i+1}   = x_hat + (sigma_{i+1} - sigma_hat) (d + d') / 2

Where the paper's text differs from this it errs: its Eq. 8 lacks "else 0" (it would churn at every level), its eps has
the variance S_noise instead of S_noise^2, and its Euler step goes to a level t^_{i+1}, which no step defines, instead
of t_{i+1}.

`denoise(x, sigma)` is the denoiser with its condition already bound (see `guidance.guided`): x (B, C, T, H, W),
sigma (B,), both float32.
"""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, Self

import torch
from torch import Tensor

from wav2uti.diffusion.schedule import karras_sigmas

Denoise = Callable[[Tensor, Tensor], Tensor]
# One generator for a batch, or one for each of its clips, whose noise then does not depend on its neighbours.
Generators = torch.Generator | Sequence[torch.Generator] | None


class Step(NamedTuple):
    """State after one step of a sampler."""

    done: int  # steps taken, 1 after the first
    steps: int  # of so many
    sigma: float  # noise level that x now has; 0 at the end
    x: Tensor  # (B, C, T, H, W) float32; the finished clips at the end
    denoised: Tensor  # like x: the last estimate of the clean clips, for a preview


def noise(shape: Sequence[int], generator: Generators) -> Tensor:
    """Standard normal noise (B, ...) on the CPU, from one generator or from one for each of the B clips."""
    if generator is None or isinstance(generator, torch.Generator):
        return torch.randn(tuple(shape), generator=generator)
    if len(generator) != shape[0]:
        raise ValueError(f"{len(generator)} generators do not fit {shape[0]} clips")
    return torch.stack([torch.randn(tuple(shape[1:]), generator=one) for one in generator])


def to_d(x: Tensor, sigma: float, denoised: Tensor) -> Tensor:
    """Slope dx/dsigma of the probability flow ODE at x (Eq. 2; EDM Alg. 2, line 7)."""
    return (x - denoised) / sigma


def churn(sigma: float, steps: int, s_churn: float, s_tmin: float, s_tmax: float) -> float:
    """The factor gamma by which a step first raises its noise level (Eq. 8; EDM Alg. 2).

    >>> churn(1.0, steps=256, s_churn=80.0, s_tmin=0.05, s_tmax=50.0), churn(0.01, 256, 80.0, 0.05, 50.0)
    (0.3125, 0.0)
    """
    return min(s_churn / steps, math.sqrt(2) - 1) if s_tmin <= sigma <= s_tmax else 0.0


@torch.no_grad()
def heun(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor | Sequence[float],
    *,
    s_churn: float = 80.0,
    s_tmin: float = 0.05,
    s_tmax: float = 50.0,
    s_noise: float = 1.003,
    generator: Generators = None,
) -> Iterator[Step]:
    """EDM's stochastic sampler, Algorithm 2; with s_churn 0 the deterministic one, Algorithm 1.

    x (B, C, T, H, W): noise of standard deviation sigmas[0]. sigmas (N + 1,): falling, 0 last (`karras_sigmas`).
    generator: see `noise`; being of the CPU, a seed gives the same noise on every device. D is called 2 N - 1 times.

    The state is float32 and the coefficients are Python floats: against a float64 state the clips differ by less
    than 1e-6, and float64 is missing on some accelerators. A float64 x is kept in float64, for analysis.
    """
    levels = [float(sigma) for sigma in sigmas]
    steps = len(levels) - 1
    x = x.to(torch.promote_types(x.dtype, torch.float32))

    def clean(x: Tensor, sigma: float) -> Tensor:
        return denoise(x.float(), x.new_full((len(x),), sigma, dtype=torch.float32)).to(x.dtype)

    for i, (sigma, following) in enumerate(pairwise(levels)):
        gamma = churn(sigma, steps, s_churn, s_tmin, s_tmax)
        sigma_hat = (1 + gamma) * sigma
        if gamma > 0:
            eps = s_noise * noise(x.shape, generator).to(x)
            x = x + math.sqrt(sigma_hat**2 - sigma**2) * eps
        denoised = clean(x, sigma_hat)
        d = to_d(x, sigma_hat, denoised)
        euler = x + (following - sigma_hat) * d
        if following > 0:
            denoised = clean(euler, following)
            x = x + (following - sigma_hat) * (d + to_d(euler, following, denoised)) / 2
        else:  # the slope is not defined at 0
            x = euler
        yield Step(i + 1, steps, following, x, denoised)


class Sampler(ABC):
    """A way to draw clips with a denoiser; chosen in YAML by class path and never stored in a checkpoint."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """Number of steps, for progress bars and for what is written beside a score."""

    @abstractmethod
    def with_steps(self, steps: int) -> Self:
        """The same sampler with another number of steps."""

    @abstractmethod
    def sample(
        self,
        denoise: Denoise,
        shape: Sequence[int],
        generator: Generators = None,
        device: torch.device | str = "cpu",
    ) -> Iterator[Step]:
        """Yields the state after each step; the last one holds the clips.

        shape: (B, C, T, H, W). generator: see `noise`; being of the CPU, a seed gives the same noise on every device.
        """

    def draw(
        self,
        denoise: Denoise,
        shape: Sequence[int],
        generator: Generators = None,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """The clips themselves, float32 of the given shape: `sample` run to its end."""
        *_, last = self.sample(denoise, shape, generator, device)
        return last.x


class StochasticHeun(Sampler):
    """EDM Algorithm 2 on the Karras noise levels; `s_churn: 0` makes it deterministic (Algorithm 1).

    The defaults are the paper's and its authors' README, with 32 steps (63 calls of the denoiser) where the paper's
    scripts take 256. The steps have an error of their own: with the perfect denoiser of Gaussian data the samples
    come out with a standard deviation 7.4 % too large at 32 steps (2.4 % with s_churn 0), 3.3 % at 64 (0.5 %) and
    0.4 % at 256, which is what s_noise 1.003 asks for.
    """

    def __init__(
        self,
        steps: int = 32,
        sigma_min: float = 0.002,
        sigma_max: float = 160.0,
        rho: float = 7.0,
        s_churn: float = 80.0,
        s_tmin: float = 0.05,
        s_tmax: float = 50.0,
        s_noise: float = 1.003,
    ) -> None:
        self.range = (sigma_min, sigma_max, rho)
        self.sigmas = karras_sigmas(steps, *self.range)  # raises InputError now, not after training
        self.s_churn = s_churn
        self.s_tmin = s_tmin
        self.s_tmax = s_tmax
        self.s_noise = s_noise

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.sigmas) - 1

    def with_steps(self, steps: int) -> Self:
        """The same levels from first to last, divided into another number of steps."""
        other = copy.copy(self)
        other.sigmas = karras_sigmas(steps, *self.range)
        return other

    def sample(
        self,
        denoise: Denoise,
        shape: Sequence[int],
        generator: Generators = None,
        device: torch.device | str = "cpu",
    ) -> Iterator[Step]:
        """Starts from x ~ N(0, sigma_max^2 I) and yields the state after each step of `heun`."""
        x = float(self.sigmas[0]) * noise(shape, generator).to(device)
        return heun(
            denoise,
            x,
            self.sigmas,
            s_churn=self.s_churn,
            s_tmin=self.s_tmin,
            s_tmax=self.s_tmax,
            s_noise=self.s_noise,
            generator=generator,
        )

"""The ways from noise to a clip, one step after the other, each as a plan that asks and is answered.

With sigma(t) = t the probability flow ODE of Eq. 2 is

    dx/dsigma = (x - D(x; sigma)) / sigma

A plan is a generator: it yields an `Ask`, is sent D(x; sigma), and returns the finished clip. So it
knows nothing of networks, conditions and guidance, and whoever answers may ask for many clips, or for windows of one
long recording, in a single call of the network (`sampler.run`, `windows.stream`).

The state is float32 and the coefficients are Python floats: against a float64 state the clips differ by less than 1e-6,
and float64 is missing on some accelerators. A float64 x is kept in float64, for analysis.
"""

import math
from collections.abc import Callable, Generator, Sequence
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor


class Ask(NamedTuple):
    """What a plan wants to know: the clean clip that D sees in `x` at noise level `sigma`."""

    x: Tensor
    sigma: float
    done: int  # steps finished so far
    state: Tensor  # the clip after those steps, before this one raises its noise


Plan = Generator[Ask, Tensor, Tensor]
# Standard normal noise in the shape of the state, a new one at each call.
Draw = Callable[[], Tensor]


def to_d(x: Tensor, sigma: float, denoised: Tensor) -> Tensor:
    """Slope dx/dsigma of the probability flow ODE at x (Eq. 2; EDM Alg. 2, line 7)."""
    return (x - denoised) / sigma


def churn(sigma: float, steps: int, s_churn: float, s_tmin: float, s_tmax: float) -> float:
    """The factor gamma by which a step first raises its noise level (Eq. 8; EDM Alg. 2).

    >>> churn(1.0, steps=256, s_churn=80.0, s_tmin=0.05, s_tmax=50.0), churn(0.01, 256, 80.0, 0.05, 50.0)
    (0.3125, 0.0)
    """
    return min(s_churn / steps, math.sqrt(2) - 1) if s_tmin <= sigma <= s_tmax else 0.0


def heun(
    x: Tensor,
    sigmas: Sequence[float],
    draw: Draw,
    *,
    s_churn: float = 80.0,
    s_tmin: float = 0.05,
    s_tmax: float = 50.0,
    s_noise: float = 1.003,
    correct: bool = True,
) -> Plan:
    """EDM's stochastic sampler, Algorithm 2 (the paper's Eq. 8 and the lines around it).

        gamma_i   = min(S_churn / N, sqrt(2) - 1)  if S_tmin <= sigma_i <= S_tmax, else 0                          Eq. 8
        sigma_hat = (1 + gamma_i) sigma_i
        x_hat     = x_i + sqrt(sigma_hat^2 - sigma_i^2) eps,   eps ~ N(0, S_noise^2 I)
        d         = (x_hat - D(x_hat; sigma_hat)) / sigma_hat
        x_{i+1}   = x_hat + (sigma_{i+1} - sigma_hat) d
        d'        = (x_{i+1} - D(x_{i+1}; sigma_{i+1})) / sigma_{i+1}                          not where sigma_{i+1} = 0
        x_{i+1}   = x_hat + (sigma_{i+1} - sigma_hat) (d + d') / 2

    Where the paper's text differs from this it errs: its Eq. 8 lacks "else 0" (it would churn at every level), its eps
    has the variance S_noise instead of S_noise^2, and its Euler step goes to a level t^_{i+1}, which no step defines,
    instead of t_{i+1}.

    x: noise of standard deviation sigmas[0], any shape. sigmas (N + 1,): falling. `s_churn` 0 is the deterministic
    Algorithm 1; without `correct` it is Euler's rule. Asks 2 N - 1 times where the last level is 0, without `correct`
    N times.
    """
    steps = len(sigmas) - 1
    for i, (sigma, following) in enumerate(pairwise(sigmas)):
        gamma = churn(sigma, steps, s_churn, s_tmin, s_tmax)
        sigma_hat = (1 + gamma) * sigma
        x_hat = x + math.sqrt(sigma_hat**2 - sigma**2) * s_noise * draw() if gamma > 0 else x
        d = to_d(x_hat, sigma_hat, (yield Ask(x_hat, sigma_hat, i, x)))
        euler = x_hat + (following - sigma_hat) * d
        if correct and following > 0:  # the slope is not defined at 0
            d_next = to_d(euler, following, (yield Ask(euler, following, i, x)))
            x = x_hat + (following - sigma_hat) * (d + d_next) / 2
        else:
            x = euler
    return x


def dpm_solver(x: Tensor, sigmas: Sequence[float], draw: Draw, *, eta: float = 0.0, s_noise: float = 1.0) -> Plan:
    """DPM-Solver++ 2M (Lu et al. 2022, Alg. 2), and for `eta` > 0 its SDE form (there Eq. 20, second order).

    In lambda = -ln sigma the linear part of the ODE is solved exactly and D is taken for linear, from its last two
    values; h = ln(sigma_i / sigma_{i+1}), r = h_{i-1} / h:

        D'      = D_i + (D_i - D_{i-1}) / (2 r)                                D_i in the first step and in that to 0
        x_{i+1} = sigma_{i+1}/sigma_i e^(-eta h) x_i + (1 - e^(-(1 + eta) h)) D'
                  + sigma_{i+1} sqrt(1 - e^(-2 eta h)) eps,   eps ~ N(0, S_noise^2 I)

    `eta` 1 is the SDE whose noise is as large as the reverse diffusion's own. Asks once a step.
    """
    before: Tensor | None = None
    h_before = 0.0
    for i, (sigma, following) in enumerate(pairwise(sigmas)):
        denoised = yield Ask(x, sigma, i, x)
        if following == 0:
            return denoised
        h = math.log(sigma / following)
        bent = denoised if before is None else denoised + (denoised - before) * (h / (2 * h_before))
        x = following / sigma * math.exp(-eta * h) * x - math.expm1(-(1 + eta) * h) * bent
        if eta > 0:
            x = x + following * math.sqrt(-math.expm1(-2 * eta * h)) * s_noise * draw()
        before, h_before = denoised, h
    return x


def consistency(x: Tensor, sigmas: Sequence[float], draw: Draw) -> Plan:
    """Multistep consistency sampling (Song et al. 2023, Alg. 1): to the clip at once, then noise again, less each time.

    For a student whose D gives a finished clip from any noise level. sigmas (N + 1,): falling, 0 last. Asks N times.
    """
    for i, (sigma, following) in enumerate(pairwise(sigmas)):
        denoised = yield Ask(x, sigma, i, x)
        x = denoised + following * draw() if following > 0 else denoised
    return x

"""Consistency tuning: a trained denoiser D becomes a function f that goes from any noise level to the clip at once.

f(x; sigma) is the end at level 0 of the probability flow ODE through x, so it is one clip along the whole trajectory:

    f(x; 0) = x,     d/dsigma f(x_sigma; sigma) = 0  along  dx/dsigma = (x - D(x; sigma)) / sigma

D's network and preconditioning serve as they are, since c_skip(0) = 1 and c_out(0) = 0. f is tuned from D's weights
until it agrees with itself at two levels sigma > rho of the same clip y and the same noise n ~ N(0, I),

    L = E [ h(f(y + sigma n; sigma) - stopgrad f(y + rho n; rho)) / (t - r) ],     h(e) = sqrt(mean(e^2) + c^2) - c

    r = t max(0, 1 - n(t) / q^a),     n(t) = 1 + k / (1 + e^(b t)),     a = a_0 + floor(step / interval)

(ECT: Geng et al. 2024, "Consistency Models Made Easy"; h is the Pseudo-Huber metric of Song and Dhariwal 2023). At
a = 0 the partner is y itself and L the training of a denoiser; as a grows r/t nears 1, and the differences become the
derivative along the trajectory: y + sigma n moves with the slope n, whose mean given x is that of the ODE.

t = sigma / (2 sigma_data), r and e are in ECT's units, where the data have the standard deviation 0.5. Its k, b and c
are constants of that scale: ultrasound has a sigma_data near 0.2, a model that begins from a draft less still, and at
their bare sigma the pairs would be of other signal-to-noise ratios. The mean (or draft) is D's own affair.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from wav2uti.diffusion.denoiser import Denoiser
from wav2uti.diffusion.loss import SampleLoss, drawn_levels
from wav2uti.diffusion.noise import Generators, noise_like
from wav2uti.diffusion.schedule import LogNormalSigma
from wav2uti.errors import InputError

SIGMA_DATA = 0.5  # of the data in ECT's units


@dataclass(frozen=True)
class Pairs:
    """How near the two levels of a pair are, and how they come together in the course of training.

    Args:
        q: how much nearer each stage brings them: t - r is divided by it.
        k: at low noise they are 1 + k/2 times as far apart as at high noise.
        b: where that changes: near t = 1/b, with sigma_data 0.5.
        first: the stage a that training begins with. At 0 a denoiser is trained, which D is already.
        interval: optimizer steps in a stage.
        last: the stage that is not passed. Of Gaussian data a perfect student draws 62 % of the standard deviation
            after stage 2, 94 % after 4, 98.5 % after 6 and 99.6 % after 8.
    """

    q: float = 2.0
    k: float = 8.0
    b: float = 1.0
    first: int = 1
    interval: int = 10_000
    last: int = 8

    def __post_init__(self) -> None:
        if not (1 < self.q < math.inf and 0 <= self.k < math.inf and 0 <= self.b < math.inf):
            raise InputError(f"pairs need q > 1, k >= 0 and b >= 0, not q {self.q}, k {self.k}, b {self.b}.")
        if not 0 <= self.first <= self.last or self.interval < 1:
            raise InputError(
                f"the stages of pairs need 0 <= first <= last and interval >= 1, not first {self.first}, "
                f"last {self.last}, interval {self.interval}."
            )

    def stage(self, step: int) -> int:
        """The stage a at a step of the optimizer.

        >>> [Pairs(interval=100, last=3).stage(step) for step in (0, 99, 100, 1000)]
        [1, 1, 2, 3]
        """
        return min(self.first + step // self.interval, self.last)

    def partner(self, t: Tensor, stage: int) -> Tensor:
        """The lower level r of each t, of its shape; 0 where the pair would reach beyond it.

        >>> [round(r, 3) for r in Pairs().partner(torch.tensor([0.1, 1.0, 10.0]), 3).tolist()]
        [0.04, 0.606, 8.75]
        """
        apart = (1 + self.k * torch.sigmoid(-self.b * t)) / self.q**stage
        return t * (1 - apart).clamp(min=0)


class ConsistencyLoss:
    """The loss of each clip, called as `EDMLoss` is; `stage` is set from outside as training goes on.

    Args:
        distribution: of the upper level sigma.
        pairs: how the lower one follows from it.
        c: below which difference (root mean square over the pixels, sigma_data 0.5) the metric h is quadratic;
            0.00054 is that of Song and Dhariwal 2023. None takes mean(e^2) for h.
    """

    def __init__(
        self, distribution: LogNormalSigma | None = None, pairs: Pairs | None = None, c: float | None = 0.00054
    ) -> None:
        if c is not None and not 0 < c < math.inf:
            raise InputError(f"c must be above 0, or null for the squared difference, not {c}.")
        self.distribution = distribution or LogNormalSigma(-1.1, 2.0)
        self.pairs = pairs or Pairs()
        self.c = c
        self.stage = self.pairs.first

    def __call__(
        self, denoiser: Denoiser, y: Tensor, cond: Any, generator: Generators = None, sigma: Tensor | None = None
    ) -> SampleLoss:
        """Draws noise for each clip of y (B, C, T, H, W) and compares f at sigma (B,) and at its partner.

        generator, sigma: see `EDMLoss`.
        """
        sigma = drawn_levels(self.distribution, len(y), generator, sigma).to(y.device)
        noise = noise_like(y, generator)
        scale = SIGMA_DATA / denoiser.sigma_data
        t = sigma * scale
        r = self.pairs.partner(t, self.stage)
        target = self.target(denoiser, y.float(), r / scale, noise, cond)
        difference = denoiser(y.float() + column(sigma) * noise, sigma, cond) - target
        squared = (scale * difference).square().flatten(1).mean(1)
        # Not more weight on high noise, such as 1 / c_out(t): tried, it learns from targets that are not right yet.
        return SampleLoss(self.metric(squared) / (t - r), sigma)

    def metric(self, squared: Tensor) -> Tensor:
        """h from the mean square of e; its difference of roots, which would cancel below c, written as a quotient."""
        return squared if self.c is None else squared / ((squared + self.c**2).sqrt() + self.c)

    @torch.no_grad()
    def target(self, denoiser: Denoiser, y: Tensor, rho: Tensor, noise: Tensor, cond: Any) -> Tensor:
        """f(y + rho n; rho) without gradient; y itself where rho is 0, which ln(rho) could not tell the network."""
        if not rho.any():
            return y
        # What the network drops at random it drops again at sigma: the generator's state is put back.
        with torch.random.fork_rng([y.device] if y.device.type == "cuda" else []):
            lower = denoiser(y + column(rho) * noise, rho.clamp(min=torch.finfo(rho.dtype).tiny), cond)
        # Earlier versions of torch would give the call at sigma the weights that autocast made without gradient here.
        torch.clear_autocast_cache()
        return torch.where(column(rho) > 0, lower, y)


def column(sigma: Tensor) -> Tensor:
    """(B,) as (B, 1, 1, 1, 1), ready to multiply a clip."""
    return sigma.view(-1, 1, 1, 1, 1)


def energy_score(one: Tensor, other: Tensor, y: Tensor) -> Tensor:
    """How well clips are drawn, from two draws X, X' of each (B, ...) and the true one y; (B,), smaller is better.

        E ||X - y|| - E ||X - X'|| / 2,     || || the root mean square over the pixels

    A proper score (Gneiting and Raftery 2007, Eq. 21): least where X is drawn from the very distribution of y. The
    squared error alone is least for the mean, which is what a student must not become.
    """

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return (a.float() - b.float()).square().flatten(1).mean(1).sqrt()

    return (distance(one, y) + distance(other, y) - distance(one, other)) / 2

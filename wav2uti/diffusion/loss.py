"""The EDM training loss.

    L = E_{sigma, y, n} [ lambda(sigma) ||D(y + n; sigma, cond) - y||^2 ],     n ~ N(0, sigma^2 I),
    ln sigma ~ N(P_mean, P_std^2),     lambda(sigma) = (sigma^2 + sigma_data^2) / (sigma sigma_data)^2

(EDM Eq. 2 and Table 1, || ||^2 as the mean over pixels). Eq. 1 of the paper prints n ~ N(0, sigma_max^2 I) and no
weight: taken at its word it would train D at the single level sigma_max, where a clip can only be guessed at its mean,
and D would be unknown at every level that the sampler visits after its first step. EDM's loss is implemented instead.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from wav2uti.diffusion.denoiser import Denoiser
from wav2uti.diffusion.noise import Generators, noise_like
from wav2uti.diffusion.schedule import LogNormalSigma


class SampleLoss(NamedTuple):
    """Loss of each clip of a batch and the noise level it was taken at, both float32 (B,)."""

    loss: Tensor
    sigma: Tensor


class EDMLoss:
    """EDM loss per clip; `.loss.mean()` is what training minimizes.

    The difference is taken between F and its own target, (D - y) = c_out (F - target), and lambda c_out^2 = 1: the
    same number as lambda(sigma) ||D - y||^2, without multiplying a rounding error by a weight of up to 250,016.
    A network that outputs zeros scores about 1 at each sigma where mean and sigma_data fit the data.
    """

    def __init__(self, distribution: LogNormalSigma | None = None) -> None:
        self.distribution = distribution or LogNormalSigma()

    def __call__(
        self, denoiser: Denoiser, y: Tensor, cond: Any, generator: Generators = None, sigma: Tensor | None = None
    ) -> SampleLoss:
        """Draws noise for each clip of y (B, C, T, H, W), adds it at the levels `sigma` (B,), and compares.

        generator: of the noise; without it that comes from the global generator of y's device. Levels that are not
        given are drawn as well, from the same generator, which then must be a single one.
        """
        sigma = drawn_levels(self.distribution, len(y), generator, sigma).to(y.device)
        x = y.float() + sigma.view(-1, 1, 1, 1, 1) * noise_like(y, generator)
        error = denoiser.raw(x, sigma, cond) - denoiser.target(y, x, sigma, cond)
        return SampleLoss(error.square().flatten(1).mean(1), sigma)


def drawn_levels(
    distribution: LogNormalSigma, clips: int, generator: Generators, given: Tensor | None = None
) -> Tensor:
    """Noise levels (B,) of a batch: those given, or drawn from its one generator."""
    if given is not None:
        return given
    if generator is not None and not isinstance(generator, torch.Generator):
        raise ValueError("levels of a batch are drawn from one generator: give sigma where each clip has its own")
    return distribution(clips, generator)


class LossBySigma(Metric):
    """Mean loss of each decade of the noise level: where a model still errs, a single number does not tell.

    >>> by_sigma = LossBySigma()
    >>> by_sigma.update(torch.tensor([1.0, 3.0, 0.5]), torch.tensor([0.2, 0.9, 5.0]))
    >>> {name: loss.item() for name, loss in by_sigma.compute().items()}
    {'sigma_0.1_1': 2.0, 'sigma_1_10': 0.5}
    """

    LOWEST, HIGHEST = -3, 2  # decades: from 0.001 to 1000; what lies outside counts with the first or the last

    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        decades = self.HIGHEST - self.LOWEST + 1
        self.add_state("total", torch.zeros(decades), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(decades), dist_reduce_fx="sum")

    def update(self, loss: Tensor, sigma: Tensor) -> None:
        """Take the losses (B,) of clips at noise levels `sigma` (B,)."""
        decade = sigma.log10().floor().long().clamp(self.LOWEST, self.HIGHEST) - self.LOWEST
        self.total.index_add_(0, decade, loss.float())
        self.count.index_add_(0, decade, torch.ones_like(loss, dtype=torch.float32))

    def compute(self) -> dict[str, Tensor]:
        """The mean loss of every decade that was seen, by its name."""
        return {
            f"sigma_{10.0 ** (self.LOWEST + i):g}_{10.0 ** (self.LOWEST + i + 1):g}": self.total[i] / self.count[i]
            for i in range(len(self.count))
            if self.count[i] > 0
        }

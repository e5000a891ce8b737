import pytest
import torch
from torch import nn

from wav2uti.diffusion.denoiser import Denoiser
from wav2uti.diffusion.loss import EDMLoss
from wav2uti.diffusion.schedule import LogNormalSigma


class Tilted(nn.Module):
    """A network that is neither zero nor right, in fp32 or bf16."""

    def __init__(self, dtype=torch.float32):
        super().__init__()
        self.dtype = dtype

    def forward(self, x, c_noise, cond):
        return (0.3 * x + c_noise.view(-1, 1, 1, 1, 1).sin()).to(self.dtype)


class Zero(nn.Module):
    def forward(self, x, c_noise, cond):
        return torch.zeros_like(x)


class At:
    """Always the same noise levels."""

    def __init__(self, *sigma):
        self.sigma = torch.tensor(sigma)

    def __call__(self, batch, generator=None):
        return self.sigma


def clips(batch, mean=-0.9, std=0.2, seed=0):
    return mean + std * torch.randn(batch, 1, 4, 16, 16, generator=torch.Generator().manual_seed(seed))


def test_it_is_the_weighted_error_of_d():
    """lambda(sigma) ||D(y + n) - y||^2 written out in float64, as EDM Eq. 2 has it."""
    y, sigma_data, mean = clips(5), 0.2, -0.9
    sigma = torch.tensor([0.01, 0.1, 0.5, 3.0, 100.0])
    denoiser = Denoiser(Tilted(), sigma_data, mean)
    loss = EDMLoss(At(*sigma.tolist()))(denoiser, y, None, torch.Generator().manual_seed(5)).loss

    s = sigma.double().view(-1, 1, 1, 1, 1)
    n = s * torch.randn(y.shape, generator=torch.Generator().manual_seed(5))
    x = y.double() + n
    weight = (s**2 + sigma_data**2) / (s * sigma_data) ** 2
    c_in = 1 / (s**2 + sigma_data**2).sqrt()
    f = 0.3 * c_in * (x - mean) + (s.log() / 4).sin()
    d = mean + sigma_data**2 / (s**2 + sigma_data**2) * (x - mean) + s * sigma_data * c_in * f
    expected = (weight * (d - y) ** 2).flatten(1).mean(1)
    torch.testing.assert_close(loss.double(), expected, rtol=1e-4, atol=0)


def test_a_silent_network_scores_one_at_every_level():
    # on Gaussian data F = 0 is the best there is, and the EDM weight makes its loss 1 for each sigma
    result = EDMLoss()(Denoiser(Zero(), 0.2, -0.9), clips(64), None, torch.Generator().manual_seed(0))
    assert result.loss.shape == result.sigma.shape == (64,)
    assert result.loss.mean().item() == pytest.approx(1, abs=0.02)
    torch.testing.assert_close(result.loss, torch.ones(64), rtol=0, atol=0.25)


def test_bf16_network_costs_little_at_the_smallest_level():
    y, exact = clips(4), []
    for dtype in (torch.float32, torch.bfloat16):
        loss = EDMLoss(At(0.002, 0.002, 0.002, 0.002))
        exact.append(loss(Denoiser(Tilted(dtype), 0.2, -0.9), y, None, torch.Generator().manual_seed(0)).loss)
    torch.testing.assert_close(exact[0], exact[1], rtol=1e-3, atol=0)


def test_the_generator_decides_sigma_and_noise():
    denoiser, y = Denoiser(Tilted()), clips(3)
    draws = [EDMLoss()(denoiser, y, None, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0].loss, draws[1].loss)
    assert torch.equal(draws[0].sigma, draws[1].sigma)
    assert not torch.equal(draws[0].loss, draws[2].loss)


def test_training_follows_the_global_seed_and_the_given_distribution():
    denoiser, y, loss = Denoiser(Tilted()), clips(256), EDMLoss(LogNormalSigma(p_mean=1.0, p_std=0.1))
    torch.manual_seed(0)
    first = loss(denoiser, y, None)
    torch.manual_seed(0)
    assert torch.equal(first.loss, loss(denoiser, y, None).loss)
    assert first.sigma.log().mean().item() == pytest.approx(1.0, abs=0.01)


def test_gradients_reach_the_network():
    net = nn.Conv3d(1, 1, 1)

    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x, c_noise, cond):
            return self.net(x)

    EDMLoss()(Denoiser(Wrapped()), clips(2), None).loss.mean().backward()
    assert net.weight.grad is not None
    assert net.weight.grad.abs().sum() > 0

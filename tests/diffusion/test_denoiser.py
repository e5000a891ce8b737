import pytest
import torch
from diffusers import EDMDPMSolverMultistepScheduler, EDMEulerScheduler
from torch import nn

from wav2uti.diffusion.denoiser import Denoiser, coefficients

SIGMAS = torch.tensor([0.002, 0.05, 0.3, 1.0, 30.0, 160.0])


class Zero(nn.Module):
    """F = 0; keeps what it was called with."""

    def forward(self, x, c_noise, cond):
        self.x, self.c_noise, self.cond = x, c_noise, cond
        return torch.zeros_like(x)


class Conv(nn.Module):
    """A network that follows autocast."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(1, 1, 3, padding=1)

    def forward(self, x, c_noise, cond):
        self.out = self.conv(x)
        return self.out


@pytest.mark.parametrize("scheduler_class", [EDMEulerScheduler, EDMDPMSolverMultistepScheduler])
def test_coefficients_are_those_of_diffusers(scheduler_class):
    scheduler = scheduler_class(sigma_data=0.25)
    one, zero = torch.ones_like(SIGMAS), torch.zeros_like(SIGMAS)
    c = coefficients(SIGMAS, 0.25)
    torch.testing.assert_close(c.c_skip, scheduler.precondition_outputs(one, zero, SIGMAS))
    torch.testing.assert_close(c.c_out, scheduler.precondition_outputs(zero, one, SIGMAS))
    torch.testing.assert_close(c.c_in, scheduler.precondition_inputs(one, SIGMAS))
    torch.testing.assert_close(c.c_noise, scheduler.precondition_noise(SIGMAS))


def test_without_network_it_is_the_optimal_denoiser_of_a_gaussian():
    # y ~ N(m, s^2): E[y | x] = m + s^2 / (s^2 + sigma^2) (x - m)
    mean, s = -0.9, 0.2
    x = torch.randn(len(SIGMAS), 1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    expected = mean + (s**2 / (s**2 + SIGMAS**2)).view(-1, 1, 1, 1, 1) * (x - mean)
    torch.testing.assert_close(Denoiser(Zero(), sigma_data=s, mean=mean)(x, SIGMAS, None), expected)


def test_the_network_sees_unit_variance_and_c_noise():
    net = Zero()
    generator = torch.Generator().manual_seed(0)
    y = -0.9 + 0.2 * torch.randn(len(SIGMAS), 1, 16, 16, 16, generator=generator)
    x = y + SIGMAS.view(-1, 1, 1, 1, 1) * torch.randn(y.shape, generator=generator)
    Denoiser(net, sigma_data=0.2, mean=-0.9)(x, SIGMAS, "the condition")
    torch.testing.assert_close(net.x.std((1, 2, 3, 4)), torch.ones(6), rtol=0.05, atol=0)
    torch.testing.assert_close(net.x.mean((1, 2, 3, 4)), torch.zeros(6), rtol=0, atol=0.06)
    torch.testing.assert_close(net.c_noise, SIGMAS.log() / 4)
    assert net.cond == "the condition"


def test_the_target_is_the_output_that_gives_y():
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(len(SIGMAS), 1, 2, 4, 4, generator=generator) * 0.2 - 0.9
    x = y + SIGMAS.view(-1, 1, 1, 1, 1) * torch.randn(y.shape, generator=generator)

    class Answer(nn.Module):
        def forward(self, x, c_noise, cond):
            return cond

    denoiser = Denoiser(Answer(), sigma_data=0.2, mean=-0.9)
    target = denoiser.target(y, x, SIGMAS, None)
    torch.testing.assert_close(denoiser(x, SIGMAS, target), y, rtol=0, atol=1e-5)
    assert 0.7 < target.std() < 1.3


def test_under_autocast_only_the_network_is_bf16():
    torch.manual_seed(0)
    net = Conv()
    denoiser = Denoiser(net)
    y = 0.25 * torch.randn(2, 1, 4, 8, 8)
    sigma = torch.full((2,), 0.002)
    x = y + 0.002 * torch.randn_like(y)
    full = denoiser(x, sigma, None)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = denoiser(x, sigma, None)
        target, raw = denoiser.target(y, x, sigma, None), denoiser.raw(x, sigma, None)
    assert raw.dtype == torch.float32
    assert net.out.dtype == torch.bfloat16
    assert mixed.dtype == target.dtype == torch.float32
    # what bf16 rounds in F (about 2^-8 of 1) reaches D only times c_out = 0.002, and not at all through the skip
    assert (mixed - full).abs().max() < 0.002 * 2**-6
    weight = (0.002**2 + 0.25**2) / (0.002 * 0.25) ** 2
    assert weight * (mixed - full).square().mean() < 1e-4
    everything = full.bfloat16().float()
    assert weight * (everything - full).square().mean() > 1e-2


def test_half_precision_inputs_are_raised_to_fp32():
    net = Zero()
    x = torch.randn(1, 1, 2, 4, 4).bfloat16()
    assert Denoiser(net)(x, torch.tensor([0.1], dtype=torch.float64), None).dtype == torch.float32
    assert net.x.dtype == net.c_noise.dtype == torch.float32


def test_measured_constants_travel_in_the_state():
    copy = Denoiser(Zero())
    copy.load_state_dict(Denoiser(Zero(), sigma_data=0.19, mean=-0.88).state_dict())
    assert copy.sigma_data.item() == pytest.approx(0.19)
    assert copy.mean.item() == pytest.approx(-0.88)

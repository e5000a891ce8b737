import math

import pytest
import torch
from diffusers import EDMEulerScheduler
from diffusers.schedulers.deprecated import KarrasVeScheduler

from wav2uti.diffusion.sampler import StochasticHeun, run
from wav2uti.diffusion.schedule import karras_sigmas
from wav2uti.diffusion.solvers import churn
from wav2uti.diffusion.solvers import heun as heun_plan
from wav2uti.errors import InputError

MEAN, STD = -0.6, 0.25
SHAPE = (4, 1, 4, 8, 8)


def gaussian(x, sigma):
    """Optimal denoiser of data ~ N(MEAN, STD^2)."""
    sigma = sigma.view(-1, 1, 1, 1, 1)
    return MEAN + STD**2 / (STD**2 + sigma**2) * (x - MEAN)


def curved(x, sigma):
    """A denoiser whose ODE has no closed form: the optimal one of two points at -0.5 and 0.5."""
    return 0.5 * torch.tanh(0.5 * x / sigma.view(-1, 1, 1, 1, 1) ** 2)


def noise(scale, seed=0, shape=SHAPE):
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def heun(denoise, x, sigmas, generator=None, **options):
    """The steps of the plan `heun`, answered by a denoiser."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    levels = [float(sigma) for sigma in sigmas]
    return run(
        heun_plan(x, levels, lambda: torch.randn(x.shape, generator=generator).to(x), **options), denoise, levels
    )


def final(steps):
    *_, last = steps
    return last.x


def test_deterministic_trajectory_of_a_gaussian_is_the_closed_form():
    # dx/dsigma = (x - D)/sigma gives (x - m) / sqrt(s^2 + sigma^2) = const
    x = noise(160.0)
    sigmas = karras_sigmas(256)
    last = final(heun(gaussian, x, sigmas, s_churn=0))
    expected = MEAN + (x - MEAN) * STD / math.sqrt(STD**2 + 160.0**2)
    assert (last - expected).abs().max() < 5e-4
    for step in heun(gaussian, x, sigmas, s_churn=0):
        expected = MEAN + (x - MEAN) * math.sqrt((STD**2 + step.sigma**2) / (STD**2 + 160.0**2))
        torch.testing.assert_close(step.x, expected, rtol=1e-3, atol=5e-4)


def test_stochastic_samples_have_the_mean_and_spread_of_the_data():
    x = StochasticHeun(steps=256, s_noise=1.0).draw(gaussian, (4, 1, 4, 32, 32), torch.Generator().manual_seed(0))
    assert x.mean().item() == pytest.approx(MEAN, abs=0.01)
    assert x.std().item() == pytest.approx(STD, rel=0.02)
    assert x.dtype == torch.float32


@pytest.mark.parametrize("s_churn", [0.0, 80.0])
def test_few_steps_have_the_spread_that_the_recursion_of_the_variance_predicts(s_churn):
    """D is linear, so a step multiplies (x - m) by a number: Algorithm 2 for the variance alone, in plain floats."""
    steps, s_noise = 12, 1.003
    sigmas = karras_sigmas(steps).tolist()
    variance = sigmas[0] ** 2
    for i in range(steps):
        sigma, following = sigmas[i], sigmas[i + 1]
        gamma = min(s_churn / steps, math.sqrt(2) - 1) if 0.05 <= sigma <= 50 else 0
        hat = sigma * (1 + gamma)
        variance += s_noise**2 * (hat**2 - sigma**2)
        slope = hat / (STD**2 + hat**2)
        factor = 1 + (following - hat) * slope
        if following > 0:
            factor = 1 + (following - hat) * (slope + following / (STD**2 + following**2) * factor) / 2
        variance *= factor**2
    sampler = StochasticHeun(steps=steps, s_churn=s_churn)
    x = sampler.draw(gaussian, (8, 1, 8, 64, 64), torch.Generator().manual_seed(1))
    assert x.std().item() == pytest.approx(math.sqrt(variance), rel=4 / math.sqrt(2 * x.numel()))


def test_whole_stochastic_trajectory_is_that_of_diffusers():
    """KarrasVeScheduler is an independent Algorithm 2; it sets its own levels, so it is given ours."""
    sigmas = karras_sigmas(18).tolist()
    theirs = KarrasVeScheduler(s_noise=1.003, s_churn=80.0, s_min=0.05, s_max=50.0)
    theirs.num_inference_steps = 18

    def model(x, sigma):
        return (curved(x.float(), torch.full((len(x),), sigma)).to(x.dtype) - x) / sigma

    x = noise(160.0).float()
    generators = [torch.Generator().manual_seed(7) for _ in range(2)]
    steps = heun(curved, x, sigmas, s_churn=80.0, s_tmin=0.05, s_tmax=50.0, s_noise=1.003, generator=generators[0])
    churned = 0
    for step, sigma, following in zip(steps, sigmas, sigmas[1:], strict=False):
        # theirs draws noise even where gamma is 0; ours does not: there the level stays and no noise is asked for
        hat, sigma_hat = x, sigma
        if 0.05 <= sigma <= 50:
            hat, sigma_hat = theirs.add_noise_to_input(x, sigma, generator=generators[1])
            churned += sigma_hat > sigma
        previous, slope = theirs.step(model(hat, sigma_hat), sigma_hat, following, hat, return_dict=False)
        if following > 0:
            previous, _ = theirs.step_correct(
                model(previous, following), sigma_hat, following, hat, previous, slope, return_dict=False
            )
        x = previous
        torch.testing.assert_close(step.x, x, rtol=1e-5, atol=1e-5)
    assert churned > 5
    assert step.done == step.steps == 18
    assert step.sigma == 0


def test_churned_euler_step_is_that_of_diffusers():
    """One step from sigma_0 to 0 has no correction, so it is the whole of EDMEulerScheduler's churned step."""
    theirs = EDMEulerScheduler(sigma_min=0.002, sigma_max=10.0)
    theirs.set_timesteps(1)
    x = noise(10.0).float()
    sigma_hat = 10.0 * math.sqrt(2)  # S_churn / N = 80 is cut to sqrt(2) - 1

    eps = torch.randn(SHAPE, generator=torch.Generator().manual_seed(3))
    x_hat = x + 1.003 * eps * 10.0
    denoised = gaussian(x_hat, torch.full((4,), sigma_hat))
    theirs.scale_model_input(x, theirs.timesteps[0])
    expected = theirs.step(
        x,
        theirs.timesteps[0],
        x,
        s_churn=80.0,
        s_noise=1.003,
        generator=torch.Generator().manual_seed(3),
        pred_original_sample=denoised,
    ).prev_sample
    ours = final(heun(gaussian, x, [10.0, 0.0], generator=torch.Generator().manual_seed(3)))
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


def test_heun_is_of_second_order():
    x = noise(2.0, shape=(1, 1, 1, 4, 4))
    truth = MEAN + (x - MEAN) * math.sqrt((STD**2 + 0.5**2) / (STD**2 + 2.0**2))

    def exact(x, sigma):  # float64 inside: the error of fp32 would hide the order
        return gaussian(x.double(), sigma.double())

    def error(steps):
        levels = torch.linspace(2.0, 0.5, steps + 1, dtype=torch.float64)
        return (final(heun(exact, x, levels, s_churn=0)) - truth).abs().max().item()

    assert math.log2(error(8) / error(16)) == pytest.approx(2, abs=0.2)


def test_churn_only_between_its_bounds():
    assert churn(1.0, 32, 80.0, 0.05, 50.0) == pytest.approx(math.sqrt(2) - 1)
    assert churn(1.0, 1000, 80.0, 0.05, 50.0) == pytest.approx(0.08)
    assert churn(0.049, 32, 80.0, 0.05, 50.0) == churn(50.1, 32, 80.0, 0.05, 50.0) == 0


def test_the_denoiser_is_called_in_fp32_twice_a_step_but_once_at_the_end():
    calls = []

    def recording(x, sigma):
        calls.append(sigma)
        assert x.dtype == sigma.dtype == torch.float32
        assert sigma.shape == (4,)
        return gaussian(x, sigma)

    steps = list(heun(recording, noise(160.0), karras_sigmas(6), s_churn=0))
    assert len(calls) == 11
    assert [step.done for step in steps] == [1, 2, 3, 4, 5, 6]
    torch.testing.assert_close(steps[-1].x, steps[-1].denoised)


def test_fp32_state_agrees_with_float64():
    x = noise(160.0).float()
    single, double = (
        final(heun(curved, start, karras_sigmas(32), generator=torch.Generator().manual_seed(0)))
        for start in (x, x.double())
    )
    assert single.dtype == torch.float32
    assert double.dtype == torch.float64
    assert (single - double).abs().max() < 1e-4


def test_the_seed_decides_the_clip_and_no_gradient_is_kept():
    sampler = StochasticHeun(steps=4)
    weight = torch.ones((), requires_grad=True)
    draws = [
        sampler.draw(lambda x, s: weight * curved(x, s), SHAPE, torch.Generator().manual_seed(i)) for i in (0, 0, 1)
    ]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert not draws[0].requires_grad
    assert sampler.steps == 4


def test_impossible_settings_are_refused_when_made():
    with pytest.raises(InputError, match="steps"):
        StochasticHeun(steps=0)


def test_with_steps_changes_only_the_steps() -> None:
    sampler = StochasticHeun(steps=8, sigma_max=80.0, s_churn=0.0)
    other = sampler.with_steps(12)
    assert (sampler.steps, other.steps) == (8, 12)
    assert other.s_churn == 0
    assert other.sigmas[0] == sampler.sigmas[0] == 80


def test_noise_around_the_mean_of_the_data_leaves_no_offset_at_any_level():
    """Of Gaussian data x has the mean of the data at every level, as in training; begun around 0 it keeps an offset."""

    def offset(center):
        sampler = StochasticHeun(steps=8, sigma_max=3.0, s_churn=0.0)
        steps = sampler.sample(gaussian, (4, 1, 4, 64, 64), torch.Generator().manual_seed(0), center=center)
        return max(abs(step.x.mean().item() - MEAN) / math.hypot(step.sigma, STD) for step in steps)

    assert offset(MEAN) < 0.02
    assert offset(0.0) == pytest.approx(-MEAN / math.hypot(3.0, STD), rel=0.15)

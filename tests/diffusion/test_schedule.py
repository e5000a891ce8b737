import math

import pytest
import torch
from diffusers import EDMEulerScheduler

from wav2uti.diffusion.schedule import LogNormalSigma, karras_sigmas
from wav2uti.errors import InputError


@pytest.mark.parametrize("steps", [2, 32, 256])
def test_sigmas_are_those_of_diffusers(steps):
    scheduler = EDMEulerScheduler(sigma_min=0.002, sigma_max=160.0, rho=7.0)
    scheduler.set_timesteps(steps)
    torch.testing.assert_close(karras_sigmas(steps).float(), scheduler.sigmas, rtol=1e-6, atol=0)


def test_sigmas_run_from_sigma_max_through_sigma_min_to_zero():
    sigmas = karras_sigmas(8, sigma_min=0.01, sigma_max=80.0, rho=3.0)
    assert sigmas.dtype == torch.float64
    assert len(sigmas) == 9
    assert sigmas[0].item() == pytest.approx(80.0, rel=1e-12)
    assert sigmas[-2].item() == pytest.approx(0.01, rel=1e-12)
    assert sigmas[-1].item() == 0
    assert (sigmas.diff() < 0).all()
    roots = sigmas[:-1] ** (1 / 3)  # equally spaced in sigma^(1/rho)
    torch.testing.assert_close(roots.diff(), roots.diff()[:1].expand(7))


def test_one_step_goes_straight_to_zero():
    assert karras_sigmas(1).tolist() == pytest.approx([160.0, 0.0])


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"sigma_min": 0.0}, {"sigma_max": 0.001}, {"rho": 0.0}])
def test_impossible_levels_are_refused(wrong):
    with pytest.raises(InputError, match="sampler"):
        karras_sigmas(**{"steps": 4, **wrong})


@pytest.mark.parametrize("stratified", [True, False])
def test_levels_are_log_normal(stratified):
    draw = LogNormalSigma(p_mean=-0.5, p_std=0.8, stratified=stratified)
    generator = torch.Generator().manual_seed(0)
    log_sigma = torch.cat([draw(8, generator) for _ in range(4000)]).double().log()
    assert log_sigma.mean().item() == pytest.approx(-0.5, abs=4 * 0.8 / math.sqrt(32000))
    assert log_sigma.std().item() == pytest.approx(0.8, abs=0.02)
    below = (log_sigma < -0.5 + 0.8).double().mean().item()
    assert below == pytest.approx(0.8413, abs=0.01)


def test_each_place_of_a_stratified_batch_sees_the_whole_distribution():
    draw, generator = LogNormalSigma(), torch.Generator().manual_seed(0)
    first = torch.stack([draw(4, generator)[0] for _ in range(4000)]).log()
    assert first.mean().item() == pytest.approx(-1.2, abs=4 * 1.2 / math.sqrt(4000))
    assert first.std().item() == pytest.approx(1.2, abs=0.06)


def test_a_stratified_batch_has_one_level_in_each_part():
    log_sigma = LogNormalSigma()(64, torch.Generator().manual_seed(1)).double().log()
    quantiles = torch.special.ndtr((log_sigma + 1.2) / 1.2)
    assert (quantiles.sort().values * 64).floor().tolist() == list(range(64))


def test_the_generator_decides_the_draw():
    draw = LogNormalSigma()
    same = [draw(5, torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(*same)
    assert not torch.equal(same[0], draw(5, torch.Generator().manual_seed(4)))

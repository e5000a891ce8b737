"""The solvers against closed forms, against diffusers, and their orders on a mixture whose score is known."""

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest
import torch
from diffusers import EDMDPMSolverMultistepScheduler, EDMEulerScheduler
from torch import Tensor

from wav2uti.diffusion.denoiser import coefficients
from wav2uti.diffusion.sampler import Consistency, DPMSolver, Euler, Sampler, StochasticHeun
from wav2uti.diffusion.schedule import consistency_sigmas, exponential_sigmas, karras_sigmas, linear_sigmas
from wav2uti.diffusion.solvers import Plan, consistency, dpm_solver, heun

SHAPE = (2, 1, 3, 8, 8)
SIGMA_DATA = 0.5


def solve(plan: Plan, denoise: Callable[[Tensor, float], Tensor]) -> Tensor:
    """A plan answered in its own precision."""
    ask = next(plan)
    while True:
        try:
            ask = plan.send(denoise(ask.x, ask.sigma))
        except StopIteration as finished:
            result: Tensor = finished.value
            return result


def mixture(x: Tensor, sigma: float) -> Tensor:
    """The optimal D for data of two Gaussians at -0.5 and 0.7, of deviations 0.1 and 0.2 and shares 0.3 and 0.7."""
    means, stds = torch.tensor([-0.5, 0.7], dtype=x.dtype), torch.tensor([0.1, 0.2], dtype=x.dtype)
    variances = stds**2 + sigma**2
    logits = torch.log(torch.tensor([0.3, 0.7], dtype=x.dtype)) - 0.5 * (
        (x[..., None] - means) ** 2 / variances + variances.log()
    )
    clean = means + stds**2 / variances * (x[..., None] - means)
    return (logits.softmax(dim=-1) * clean).sum(dim=-1)


def no_noise() -> Tensor:
    raise AssertionError("a deterministic solver asks for no noise")


deterministic = {
    "heun": partial(heun, s_churn=0.0),
    "euler": partial(heun, s_churn=0.0, correct=False),
    "dpm": dpm_solver,
}


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2), ("dpm", 2)])
@pytest.mark.parametrize("levels", [exponential_sigmas, karras_sigmas])
def test_order_on_a_mixture(solver: str, order: int, levels: Callable[..., Tensor]) -> None:
    """Halving the steps' length halves Euler's error and quarters the others'."""
    x = 3.0 * torch.linspace(-2, 2, 41, dtype=torch.float64)

    def end(steps: int, name: str) -> Tensor:
        sigmas = levels(steps + 1, 0.05, 3.0)[:-1].tolist()  # to 0.05, where the slope is still smooth
        return solve(deterministic[name](x, sigmas, no_noise), mixture)

    truth = end(4096, "heun")
    errors = [(end(steps, solver) - truth).abs().mean().item() for steps in (64, 128, 256)]
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert orders == pytest.approx([order] * 2, abs=0.25)


@pytest.mark.parametrize("solver", ["heun", "euler", "dpm"])
def test_the_samples_are_the_mixtures(solver: str) -> None:
    """Down to 0 the solver carries quantiles to quantiles: the shares, means and deviations of the data come out."""
    uniform = (torch.arange(20000, dtype=torch.float64) + 0.5) / 20000
    x = 80.0 * torch.special.ndtri(uniform)
    drawn = solve(deterministic[solver](x, karras_sigmas(256, 0.002, 80.0).tolist(), no_noise), mixture)
    left, right = drawn[drawn < 0.1], drawn[drawn >= 0.1]
    assert len(left) / len(drawn) == pytest.approx(0.3, abs=0.01)
    assert left.mean().item() == pytest.approx(-0.5, abs=0.01)
    assert right.mean().item() == pytest.approx(0.7, abs=0.01)
    assert left.std().item() == pytest.approx(0.1, abs=0.01)
    assert right.std().item() == pytest.approx(0.2, abs=0.01)


def as_their_network(x: Tensor, sigma: float) -> Tensor:
    """The mixture's D as the F that diffusers' schedulers expect and turn into D."""
    c = coefficients(torch.tensor(sigma), SIGMA_DATA)
    return (mixture(x, sigma) - c.c_skip * x) / c.c_out


def start(sigma: float) -> Tensor:
    return sigma * torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("steps", [4, 10, 30])
@pytest.mark.parametrize("schedule", ["karras", "exponential"])
def test_euler_is_that_of_diffusers(steps: int, schedule: str) -> None:
    theirs = EDMEulerScheduler(sigma_min=0.002, sigma_max=80.0, sigma_data=SIGMA_DATA, sigma_schedule=schedule)
    theirs.set_timesteps(steps)
    ours = Euler(steps=steps, sigma_max=80.0, schedule=schedule)  # type: ignore[arg-type]
    torch.testing.assert_close(torch.tensor(ours.sigmas), theirs.sigmas, rtol=1e-5, atol=1e-7)
    x = start(80.0)
    expected = x.clone()
    for moment, sigma in zip(theirs.timesteps, ours.sigmas, strict=False):
        theirs.scale_model_input(expected, moment)
        expected = theirs.step(as_their_network(expected, sigma), moment, expected).prev_sample
    drawn = solve(ours.plan(x, no_noise), mixture)
    torch.testing.assert_close(drawn, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("steps", [4, 10, 30])
@pytest.mark.parametrize("schedule", ["karras", "exponential"])
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_dpm_solver_is_that_of_diffusers(steps: int, schedule: str, eta: float) -> None:
    """Both forms; for the SDE both are given the same noise."""
    theirs = EDMDPMSolverMultistepScheduler(
        sigma_min=0.002,
        sigma_max=80.0,
        sigma_data=SIGMA_DATA,
        sigma_schedule=schedule,
        algorithm_type="sde-dpmsolver++" if eta else "dpmsolver++",
    )
    theirs.set_timesteps(steps)
    ours = DPMSolver(steps=steps, sigma_max=80.0, schedule=schedule, eta=eta)  # type: ignore[arg-type]
    x = start(80.0)
    expected = x.clone()
    generator = torch.Generator().manual_seed(5)
    for moment, sigma in zip(theirs.timesteps, ours.sigmas, strict=False):
        theirs.scale_model_input(expected, moment)
        network = as_their_network(expected, sigma)
        expected = theirs.step(network, moment, expected, generator=generator).prev_sample
    again = torch.Generator().manual_seed(5)
    drawn = solve(ours.plan(x, lambda: torch.randn(SHAPE, generator=again)), mixture)
    torch.testing.assert_close(drawn, expected, rtol=1e-5, atol=1e-5)


def test_the_sde_gives_the_spread_of_the_data() -> None:
    x = 80.0 * torch.randn(40000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    plan = dpm_solver(
        x, karras_sigmas(128, 0.002, 80.0).tolist(), lambda: torch.randn(x.shape, generator=generator).double(), eta=1.0
    )
    drawn = solve(plan, lambda x, sigma: -0.6 + 0.04 / (0.04 + sigma**2) * (x + 0.6))
    assert drawn.mean().item() == pytest.approx(-0.6, abs=0.01)
    assert drawn.std().item() == pytest.approx(0.2, rel=0.02)


def test_an_exact_consistency_function_gives_the_data_in_any_number_of_steps() -> None:
    """Of Gaussian data it is known: f(x, sigma) = m + s (x - m) / sqrt(s^2 + sigma^2)."""
    x = 80.0 * torch.randn(40000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for steps in (1, 2, 4):
        generator = torch.Generator().manual_seed(1)
        levels = consistency_sigmas(steps, 80.0).tolist()
        plan = consistency(x, levels, lambda generator=generator: torch.randn(x.shape, generator=generator).double())
        drawn = solve(plan, lambda x, sigma: -0.6 + 0.2 * (x + 0.6) / math.hypot(0.2, sigma))
        assert drawn.mean().item() == pytest.approx(-0.6, abs=0.01)
        assert drawn.std().item() == pytest.approx(0.2, rel=0.02)


ALL: list[Sampler] = [
    StochasticHeun(steps=5),
    StochasticHeun(steps=5, s_churn=0.0, schedule="exponential"),
    Euler(steps=5),
    DPMSolver(steps=5),
    DPMSolver(steps=5, eta=1.0),
    Consistency(steps=4),
]


@pytest.mark.parametrize("sampler", ALL, ids=lambda sampler: f"{type(sampler).__name__}")
def test_every_sampler_counts_its_calls_and_its_steps(sampler: Sampler) -> None:
    for one in (sampler, sampler.with_steps(3), sampler.with_steps(1)):
        calls = []

        def denoise(x: Tensor, sigma: Tensor) -> Tensor:
            calls.append(sigma)  # noqa: B023
            assert x.dtype == sigma.dtype == torch.float32
            return mixture(x, sigma[0].item()).float()

        steps = list(one.sample(denoise, SHAPE, torch.Generator().manual_seed(0)))
        assert len(calls) == one.calls
        assert [step.done for step in steps] == list(range(1, one.steps + 1))
        assert [step.sigma for step in steps] == one.sigmas[1:]
        assert steps[-1].sigma == 0
        torch.testing.assert_close(steps[-1].x, steps[-1].denoised, rtol=1e-3, atol=1e-3)


def test_schedules_share_their_ends_and_fall() -> None:
    for levels in (karras_sigmas, exponential_sigmas, linear_sigmas):
        sigmas = levels(10, 0.01, 50.0)
        assert sigmas[[0, -2, -1]].tolist() == pytest.approx([50.0, 0.01, 0.0])
        assert (sigmas.diff() < 0).all()
    torch.testing.assert_close(linear_sigmas(10, 0.01, 50.0), karras_sigmas(10, 0.01, 50.0, rho=1.0))
    torch.testing.assert_close(
        exponential_sigmas(10, 0.01, 50.0), karras_sigmas(10, 0.01, 50.0, rho=1e5), rtol=1e-3, atol=0
    )

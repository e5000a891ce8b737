"""Samplers: a way of solving (see `solvers`) with its noise levels, chosen in YAML.

`denoise(x, sigma)` is the denoiser with its condition already bound (see `guidance.guided`): x (B, C, T, H, W),
sigma (B,), both float32.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Literal, NamedTuple, Self

import torch
from torch import Tensor

from wav2uti.diffusion.noise import Generators, noise
from wav2uti.diffusion.schedule import consistency_sigmas, exponential_sigmas, karras_sigmas, linear_sigmas
from wav2uti.diffusion.solvers import Draw, Plan, consistency, dpm_solver, heun
from wav2uti.errors import InputError
from wav2uti.options import check_numbers, check_positive

Denoise = Callable[[Tensor, Tensor], Tensor]
Schedule = Literal["karras", "exponential", "linear"]


class Step(NamedTuple):
    """State after one step of a sampler."""

    done: int  # steps taken, 1 after the first
    steps: int  # of so many
    sigma: float  # noise level that x now has; 0 at the end
    x: Tensor  # (B, C, T, H, W) float32; the finished clips at the end
    denoised: Tensor  # like x: the last estimate of the clean clips, for a preview


@torch.no_grad()
def run(plan: Plan, denoise: Denoise, sigmas: Sequence[float]) -> Iterator[Step]:
    """Answer a plan with the denoiser until it is done, and yield the state after each of its steps."""
    steps = len(sigmas) - 1
    ask = next(plan)
    while True:
        sigma = ask.x.new_full((len(ask.x),), ask.sigma, dtype=torch.float32)
        denoised = denoise(ask.x.float(), sigma).to(ask.x.dtype)
        try:
            following = plan.send(denoised)
        except StopIteration as finished:
            yield Step(steps, steps, sigmas[-1], finished.value, denoised)
            return
        if following.done > ask.done:
            yield Step(following.done, steps, sigmas[following.done], following.state, denoised)
        ask = following


class Sampler(ABC):
    """A way to draw clips with a denoiser; chosen in YAML by class path and never stored in a checkpoint.

    Attributes:
        sigmas: (steps + 1,) noise levels, falling, 0 last.
    """

    sigmas: list[float]

    @abstractmethod
    def levels(self, steps: int) -> list[float]:
        """The noise levels for a number of steps."""

    @abstractmethod
    def plan(self, x: Tensor, draw: Draw) -> Plan:
        """The steps from `x`, noise of standard deviation sigmas[0]; further noise is asked of `draw`."""

    @property
    def calls(self) -> int:
        """How often the denoiser is called."""
        return self.steps

    @property
    def steps(self) -> int:
        """Number of steps, for progress bars and for what is written beside a score."""
        return len(self.sigmas) - 1

    def with_steps(self, steps: int) -> Self:
        """The same sampler with another number of steps."""
        other = copy.copy(self)
        other.sigmas = other.levels(steps)
        return other

    def sample(
        self,
        denoise: Denoise,
        shape: Sequence[int],
        generator: Generators = None,
        device: torch.device | str = "cpu",
        center: Tensor | float = 0.0,
    ) -> Iterator[Step]:
        """Starts from x ~ N(center, sigma_max^2 I) and yields the state after each step; the last one holds the clips.

        shape: (B, C, T, H, W). generator: see `noise`; being of the CPU, a seed gives the same noise on every device.
        center: mean of the data, where the denoiser was trained on data whose mean is not 0 (`Denoiser.center`). In
        training noisy clips lie around it at every level. Noise around 0 would be an offset that all pixels share and
        that stays as large beside the noise down to the last step: for frames at -0.9 and sigma_max 3 it is 0.3
        standard deviations of the noise, where the mean over a clip's pixels hardly deviates in training.
        """

        def draw() -> Tensor:
            return noise(shape, generator).to(device)

        return run(self.plan(center + self.sigmas[0] * draw(), draw), denoise, self.sigmas)

    def draw(
        self,
        denoise: Denoise,
        shape: Sequence[int],
        generator: Generators = None,
        device: torch.device | str = "cpu",
        center: Tensor | float = 0.0,
    ) -> Tensor:
        """The clips themselves, float32 of the given shape: `sample` run to its end."""
        *_, last = self.sample(denoise, shape, generator, device, center)
        return last.x


class Scheduled(Sampler):
    """A sampler whose levels follow one of the schedules.

    Args:
        steps: number of steps.
        sigma_min: the last level before 0.
        sigma_max: the first level.
        schedule: `karras` (EDM Eq. 5), `exponential` (even in ln sigma) or `linear` (even in sigma).
        rho: of `karras`: how much shorter the steps become at low noise.
    """

    def __init__(
        self,
        steps: int = 32,
        sigma_min: float = 0.002,
        sigma_max: float = 160.0,
        schedule: Schedule = "karras",
        rho: float = 7.0,
    ) -> None:
        schedules: dict[Schedule, Callable[[int, float, float], Tensor]] = {
            "karras": partial(karras_sigmas, rho=rho),
            "exponential": exponential_sigmas,
            "linear": linear_sigmas,
        }
        self.schedule = schedules[schedule]
        self.range = (sigma_min, sigma_max)
        self.sigmas = self.levels(steps)  # raises InputError now, not after training

    def levels(self, steps: int) -> list[float]:
        """See `Sampler.levels`."""
        levels: list[float] = self.schedule(steps, *self.range).tolist()
        return levels


class StochasticHeun(Scheduled):
    """EDM Algorithm 2; `s_churn: 0` makes it deterministic (Algorithm 1).

    The defaults are the paper's and its authors' README, with 32 steps (63 calls of the denoiser) where the paper's
    scripts take 256. The steps have an error of their own: with the perfect denoiser of Gaussian data the samples
    come out with a standard deviation 7.4 % too large at 32 steps (2.4 % with s_churn 0), 3.3 % at 64 (0.5 %) and
    0.4 % at 256, which is what s_noise 1.003 asks for.

    Args:
        steps, sigma_min, sigma_max, schedule, rho: see `Scheduled`.
        s_churn, s_tmin, s_tmax, s_noise: of Eq. 8; see `solvers.heun`.
    """

    def __init__(
        self,
        steps: int = 32,
        sigma_min: float = 0.002,
        sigma_max: float = 160.0,
        schedule: Schedule = "karras",
        rho: float = 7.0,
        s_churn: float = 80.0,
        s_tmin: float = 0.05,
        s_tmax: float = 50.0,
        s_noise: float = 1.003,
    ) -> None:
        super().__init__(steps, sigma_min, sigma_max, schedule, rho)
        check_numbers(0, s_churn=s_churn, s_tmin=s_tmin)
        if not s_tmax >= 0:  # infinity is EDM's own default
            raise InputError(f"s_tmax must be 0 or more, not {s_tmax}.")
        check_positive(s_noise=s_noise)
        self.s_churn = s_churn
        self.s_tmin = s_tmin
        self.s_tmax = s_tmax
        self.s_noise = s_noise

    correct = True  # by Heun's rule

    @property
    def calls(self) -> int:
        """Two a step and one in the last, where a step is corrected."""
        return 2 * self.steps - 1 if self.correct else self.steps

    def plan(self, x: Tensor, draw: Draw) -> Plan:
        """See `Sampler.plan`."""
        return heun(
            x,
            self.sigmas,
            draw,
            s_churn=self.s_churn,
            s_tmin=self.s_tmin,
            s_tmax=self.s_tmax,
            s_noise=self.s_noise,
            correct=self.correct,
        )


class Euler(StochasticHeun):
    """Algorithm 2 without Heun's correction: one call a step, an error that falls only linearly with the steps.

    Args:
        steps, sigma_min, sigma_max, schedule, rho, s_churn, s_tmin, s_tmax, s_noise: as of `StochasticHeun`.
    """

    def __init__(
        self,
        steps: int = 32,
        sigma_min: float = 0.002,
        sigma_max: float = 160.0,
        schedule: Schedule = "karras",
        rho: float = 7.0,
        s_churn: float = 0.0,
        s_tmin: float = 0.05,
        s_tmax: float = 50.0,
        s_noise: float = 1.003,
    ) -> None:
        super().__init__(steps, sigma_min, sigma_max, schedule, rho, s_churn, s_tmin, s_tmax, s_noise)

    correct = False


class DPMSolver(Scheduled):
    """DPM-Solver++ 2M; `eta: 1` is its SDE form. One call a step, and the second order of Heun's two.

    Args:
        steps, sigma_min, sigma_max, schedule, rho: see `Scheduled`.
        eta: how much noise is added again; 0 solves the ODE, 1 the reverse SDE.
        s_noise: standard deviation of that noise.
    """

    def __init__(
        self,
        steps: int = 32,
        sigma_min: float = 0.002,
        sigma_max: float = 160.0,
        schedule: Schedule = "karras",
        rho: float = 7.0,
        eta: float = 0.0,
        s_noise: float = 1.0,
    ) -> None:
        super().__init__(steps, sigma_min, sigma_max, schedule, rho)
        check_numbers(0, eta=eta)
        check_positive(s_noise=s_noise)
        self.eta = eta
        self.s_noise = s_noise

    def plan(self, x: Tensor, draw: Draw) -> Plan:
        """See `Sampler.plan`."""
        return dpm_solver(x, self.sigmas, draw, eta=self.eta, s_noise=self.s_noise)


class Consistency(Sampler):
    """For a student of `ConsistencyTask`: a clip in one call, better ones in two or four.

    Args:
        steps: calls of the network.
        sigma_max: the first level: the largest that the student was trained at.
        rho: how the levels between fall; see `schedule.consistency_sigmas`.
    """

    def __init__(self, steps: int = 2, sigma_max: float = 160.0, rho: float = 7.0) -> None:
        self.range = (sigma_max, rho)
        self.sigmas = self.levels(steps)

    def levels(self, steps: int) -> list[float]:
        """See `Sampler.levels`."""
        levels: list[float] = consistency_sigmas(steps, *self.range).tolist()
        return levels

    def plan(self, x: Tensor, draw: Draw) -> Plan:
        """See `Sampler.plan`."""
        return consistency(x, self.sigmas, draw)

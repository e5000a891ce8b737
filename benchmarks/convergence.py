"""How fast the solvers' errors fall with their steps, on a mixture of Gaussians whose score is known.

    python benchmarks/convergence.py

solves the probability flow ODE from sigma 3 to 0.05 and compares with 4096 steps of Heun, all in float64. The orders
are the slopes between 64 and 256 steps: 1 for Euler, 2 for Heun and DPM-Solver++ 2M. The plot is over calls of the
denoiser, of which Heun needs two a step.
"""

import argparse
import math
from functools import partial
from pathlib import Path

import matplotlib as mpl
import torch
from outcome import publish
from torch import Tensor

from wav2uti.diffusion.schedule import exponential_sigmas
from wav2uti.diffusion.solvers import dpm_solver, heun
from wav2uti.files import replaced

mpl.use("Agg")  # no screen is needed
from matplotlib import pyplot

SOLVERS = {
    "Euler": (partial(heun, s_churn=0.0, correct=False), 1),
    "Heun": (partial(heun, s_churn=0.0), 2),
    "DPM-Solver++ 2M": (dpm_solver, 1),
}
STEPS = (4, 8, 16, 32, 64, 128, 256, 512)
HIGHEST, LOWEST = 3.0, 0.05
MEANS, STDS, SHARES = (torch.tensor(v, dtype=torch.float64) for v in ([-0.5, 0.7], [0.1, 0.2], [0.3, 0.7]))


def denoise(x: Tensor, sigma: float) -> Tensor:
    """The optimal D for the mixture: the posterior mean of the clean value."""
    variances = STDS**2 + sigma**2
    logits = SHARES.log() - 0.5 * ((x[..., None] - MEANS) ** 2 / variances + variances.log())
    clean = MEANS + STDS**2 / variances * (x[..., None] - MEANS)
    return (logits.softmax(dim=-1) * clean).sum(dim=-1)


def solve(name: str, steps: int) -> Tensor:
    """Where the solver carries values spread over the noise to."""
    x = HIGHEST * torch.linspace(-2, 2, 401, dtype=torch.float64)
    sigmas = exponential_sigmas(steps + 1, LOWEST, HIGHEST)[:-1].tolist()
    plan = SOLVERS[name][0](x, sigmas, lambda: torch.zeros_like(x))
    ask = next(plan)
    while True:
        try:
            ask = plan.send(denoise(ask.x, ask.sigma))
        except StopIteration as finished:
            end: Tensor = finished.value
            return end


def main() -> None:
    """Solve, print, and write errors, orders and plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/convergence.json"))
    args = parser.parse_args()
    truth = solve("Heun", 4096)
    errors = {name: {steps: (solve(name, steps) - truth).abs().mean().item() for steps in STEPS} for name in SOLVERS}
    orders = {name: round(math.log(row[64] / row[256]) / math.log(4), 3) for name, row in errors.items()}
    figure, axis = pyplot.subplots(figsize=(6, 4.5), layout="constrained")
    for name, row in errors.items():
        calls = [steps * SOLVERS[name][1] for steps in row]
        axis.loglog(calls, list(row.values()), "o-", label=f"{name}: order {orders[name]:.2f}")
    axis.set(xlabel="calls of the denoiser", ylabel="mean error", title="A mixture of Gaussians, sigma 3 to 0.05")
    axis.grid(alpha=0.3, which="both")
    axis.legend()
    with replaced(args.output.with_suffix(".png")) as part:
        figure.savefig(part, dpi=110, format="png")
    publish({"what": "mean error by steps, and its order", "orders": orders, "errors": errors}, args.output)


if __name__ == "__main__":
    main()

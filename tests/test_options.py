"""Numbers that make no sense are refused where they are given, in a sentence that names them."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Run, fit_debug

from wav2uti.baseline.dnn import Dnn
from wav2uti.condition.fusion import Fusion
from wav2uti.data.module import ClipData
from wav2uti.diffusion.consistency import ConsistencyLoss, Pairs
from wav2uti.diffusion.guidance import Guidance
from wav2uti.diffusion.sampler import Consistency, DPMSolver, Euler, StochasticHeun
from wav2uti.diffusion.schedule import LogNormalSigma
from wav2uti.diffusion.unet import UNet
from wav2uti.errors import InputError
from wav2uti.options import check_counts, check_numbers, check_positive, check_shares
from wav2uti.tasks.base import Task
from wav2uti.tasks.diffusion import DiffusionTask
from wav2uti.tasks.regression import RegressionTask

NAN, INF = math.nan, math.inf
FACTS = {
    "acoustic": {"name": "a", "width": 8, "spec": {}},
    "text": None,
    "size": 16,
    "reference": False,
    "frame_mean": 0.0,
    "frame_std": 0.5,
}


def unet(**options: Any) -> UNet:
    return UNet(8, **({"preset": "tiny"} | options))


def diffusion(**options: Any) -> DiffusionTask:
    return DiffusionTask(FACTS, net=lambda *given: unet(channels=16), **options)


def regression(**options: Any) -> RegressionTask:
    return RegressionTask(FACTS, **options)


def data(**options: Any) -> ClipData:
    return ClipData("shards", **options)


def fusion(**options: Any) -> Fusion:
    return Fusion(8, 4, **options)


def dnn(**options: Any) -> Dnn:
    return Dnn(8, 16, **options)


REFUSED: list[tuple[Callable[..., object], str, list[Any]]] = [
    (diffusion, "sigma_data", [-1.0, 0.0, NAN, INF]),
    (diffusion, "drop_condition", [-0.1, 1.5, NAN]),
    (diffusion, "drop_reference", [-0.1, 1.5, NAN]),
    (diffusion, "drop_text", [-0.1, 1.5, NAN]),
    (diffusion, "drop_audio", [-0.1, 1.5, NAN]),
    (diffusion, "overlap", [-1]),
    (diffusion, "draw_seed", [-1]),
    (diffusion, "augmentation", [-0.1, 1.5, NAN]),
    (regression, "drop_reference", [-0.1, 1.5, NAN]),
    (regression, "drop_text", [-0.1, 1.5, NAN]),
    (regression, "overlap", [-1]),
    (StochasticHeun, "steps", [0, -1]),
    (StochasticHeun, "sigma_max", [-1.0, 0.001, NAN, INF]),
    (StochasticHeun, "sigma_min", [-1.0, 0.0, NAN]),
    (StochasticHeun, "rho", [-1.0, 0.0, NAN, INF]),
    (StochasticHeun, "s_churn", [-1.0, NAN, INF]),
    (StochasticHeun, "s_tmax", [-1.0, NAN]),
    (Euler, "s_noise", [-1.0, 0.0, NAN, INF]),
    (DPMSolver, "eta", [-1.0, NAN, INF]),
    (DPMSolver, "s_noise", [0.0, NAN]),
    (Consistency, "sigma_max", [-1.0, NAN, INF]),
    (Consistency, "rho", [-1.0, NAN]),
    (Guidance, "scale", [-1.0, NAN, INF]),
    (Guidance, "text_scale", [-1.0, NAN]),
    (Guidance, "threshold", [0.0, 1.5, NAN]),
    (Guidance, "interval", [(1.0, 0.5), (NAN, 1.0), (-1.0, 1.0)]),
    (LogNormalSigma, "p_mean", [NAN, INF]),
    (LogNormalSigma, "p_std", [-1.0, 0.0, NAN]),
    (Pairs, "q", [1.0, NAN, INF]),
    (Pairs, "k", [-1.0, NAN]),
    (ConsistencyLoss, "c", [0.0, -1.0, NAN]),
    (fusion, "width", [0, -8, 9]),
    (fusion, "heads", [0, -1, 7]),
    (fusion, "context", [-1]),
    (fusion, "kernel", [0, 4, -1]),
    (fusion, "dropout", [-0.1, 1.5, NAN]),
    (unet, "channels", [0, -2, 17]),
    (unet, "blocks", [0, -1]),
    (unet, "patch", [0, -1]),
    (unet, "multipliers", [(), (1, 0), (-1,)]),
    (dnn, "neighbours", [-1]),
    (dnn, "components", [0]),
    (dnn, "hidden", [(0,), (8, -1)]),
    (dnn, "dropout", [1.5, NAN]),
    (data, "batch_size", [0, -1]),
    (data, "clip_frames", [0]),
    (data, "num_workers", [-1]),
    (data, "seed", [-1]),
    (data, "test_speakers", [-1]),
    (data, "val_speakers", [-1]),
    (data, "frame_step", [0]),
]


@pytest.mark.parametrize(("make", "name", "values"), REFUSED, ids=[f"{m.__name__}-{name}" for m, name, _ in REFUSED])
def test_it_is_refused_by_name(make: Callable[..., object], name: str, values: list[Any]) -> None:
    make()  # without it all is well
    for value in values:
        with pytest.raises(InputError, match=name):
            make(**{name: value})


@pytest.mark.parametrize("options", [{"lr": -1.0}, {"lr": NAN}, {"lr": INF}, {"betas": (0.9, 1.5)}, {"betas": (0.9,)}])
def test_an_optimizer_that_makes_no_sense(options: dict[str, Any]) -> None:
    assert isinstance(regression().configure_optimizers(), torch.optim.Adam)
    task = regression(optimizer=lambda parameters: torch.optim.Adam(parameters, **options))
    with pytest.raises(InputError):
        task.configure_optimizers()


def test_what_is_at_the_border_is_taken() -> None:
    check_shares(a=0, b=1.0)
    check_counts(0, a=0, b=None)
    check_numbers(0, a=0.0, b=None)
    check_numbers(a=-1e9)
    check_positive(a=1e-30)


def test_checkpoints_still_load(run: Run) -> None:
    assert Task.from_checkpoint(run.checkpoint).facts["size"] == 16


@pytest.mark.parametrize(
    ("precision", "able", "told"),
    [("bf16-mixed", False, True), ("bf16-mixed", True, False), ("32-true", False, False)],
)
def test_bfloat16_on_a_processor_without_it_is_told(
    precision: str,
    able: bool,
    told: bool,
    simulated: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    processor = {"architecture": "x86_64", "avx512_bf16": able, "amx_bf16": False}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: processor, raising=False)
    fit_debug(simulated, tmp_path, f"--trainer.precision={precision}", "--trainer.max_steps=1")
    assert ("imitates them" in capsys.readouterr().err) == told

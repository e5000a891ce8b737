"""What all tests share."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

# Before torch is imported anywhere: no test may ask a hub, and threads that spin while they wait slow a busy machine.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real recordings, speech and weights beside the checkout; the test skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared/data beside this checkout")
    return SHARED


@dataclass(frozen=True)
class Run:
    """A corpus and what `fit` left of a model trained on it for two steps."""

    corpus: Path
    folder: Path
    checkpoint: Path


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of six simulated recordings of three speakers, 16x16."""
    from wav2uti.prepare.commands import simulate

    out = tmp_path_factory.mktemp("corpus") / "simulated"
    simulate(out, speakers=3, utterances=2, size=16, workers=1)
    return out


def fit_debug(corpus: Path, runs: Path, *options: str) -> Run:
    """Two steps of configs/debug.yaml through the command line, in this process."""
    from wav2uti.cli import main

    status = main(
        [
            "fit",
            f"--config={REPOSITORY / 'configs' / 'debug.yaml'}",
            f"--data.shards={corpus}",
            f"--trainer.logger.init_args.save_dir={runs}",
            "--trainer.logger.init_args.version=v",
            "--trainer.max_steps=2",
            "--trainer.log_every_n_steps=1",
            "--trainer.enable_progress_bar=false",
            "--trainer.enable_model_summary=false",
            *options,
        ]
    )
    assert status == 0
    folder = runs / "debug" / "v"
    return Run(corpus, folder, folder / "checkpoints" / "last.ckpt")


@pytest.fixture(scope="session")
def run(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A model that has been trained for two steps."""
    return fit_debug(simulated, tmp_path_factory.mktemp("runs"))

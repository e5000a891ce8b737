"""Which models the page offers, and what it knows of each."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY, Run

from wav2uti.app.models import Model, Models, wants
from wav2uti.errors import InputError
from wav2uti.pretrained import FOLDER, MODEL
from wav2uti.tasks.exported import CONFIG, WEIGHTS


@pytest.fixture
def runs(run: Run, tmp_path: Path) -> Path:
    """Two checkpoints under runs/, one of which has two names, and an exported folder beside it."""
    runs = tmp_path / "runs"
    for name, age in (("old", 100), ("new", 0)):
        place = runs / name / "version_0" / "checkpoints"
        place.mkdir(parents=True)
        shutil.copy(run.checkpoint, place / "step-2.ckpt")
        changed = run.checkpoint.stat().st_mtime - age
        os.utime(place / "step-2.ckpt", (changed, changed))
    (runs / "new" / "version_0" / "checkpoints" / "last.ckpt").hardlink_to(
        runs / "new" / "version_0" / "checkpoints" / "step-2.ckpt"
    )
    shutil.copytree(FOLDER, tmp_path / "exported")
    os.utime(tmp_path / "exported" / WEIGHTS, (1, 1))
    return runs


def test_all_are_found_the_shipped_one_first_then_the_newest(runs: Path) -> None:
    assert [model.label for model in Models(runs=runs).found()] == [
        f"{MODEL}, in the box",
        "new / version_0 / last",
        "old / version_0 / step-2",
        str(runs.parent / "exported"),
    ]


def test_those_that_are_named_come_first(runs: Path) -> None:
    old = str(runs / "old" / "version_0" / "checkpoints" / "step-2.ckpt")
    found = Models([old, "base.ckpt,later.ckpt"], runs).found()
    assert found[:2] == [Model(old, (old,)), Model("base.ckpt,later.ckpt", ("base.ckpt", "later.ckpt"))]
    assert [model.paths for model in found].count((old,)) == 1


def test_one_that_went_is_told(runs: Path) -> None:
    models = Models(runs=runs)
    assert models.named("new / version_0 / last").paths[0].endswith("last.ckpt")
    shutil.rmtree(runs / "new")
    with pytest.raises(InputError, match="no longer there"):
        models.named("new / version_0 / last")


def test_what_the_debug_model_wants(run: Run) -> None:
    told = wants(Model("debug", (str(run.checkpoint),)))
    assert (told.simulated, told.text, told.transcriber, told.reference, told.own_reference) == (
        True,
        True,
        False,
        True,
        False,
    )
    assert (told.steps, told.guidance, told.size) == (32, 3.0, 16)


def test_what_the_shipped_model_wants() -> None:
    told = wants(Model(MODEL, (str(FOLDER),)))
    config = json.loads((FOLDER / CONFIG).read_text())
    assert (told.simulated, told.text, told.reference, told.own_reference) == (True, False, True, True)
    assert told.steps == config["hyper_parameters"]["sampler"]["init_args"]["steps"]
    assert told.guidance == config["hyper_parameters"]["guidance"]["scale"]


def test_a_damaged_one_is_told(tmp_path: Path) -> None:
    for content in ("{", "[]", "{}", "[" * 100_000):
        (tmp_path / CONFIG).write_text(content)
        with pytest.raises(InputError, match=r"config\.json is not of a model"):
            wants(Model("damaged", (str(tmp_path),)))
    with pytest.raises(InputError):
        wants(Model("gone", (str(tmp_path / "gone.ckpt"),)))


def test_the_server_does_without_torch_for_the_shipped_model() -> None:
    program = (
        "import sys; from wav2uti.app import desk, serve; from wav2uti.app.models import Models, wants; "
        "wants(Models().found()[0]); print('torch' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert told.stdout.strip() == "False"

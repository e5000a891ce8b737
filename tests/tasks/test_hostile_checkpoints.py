"""Files that would run a program when a model is loaded: each is refused in one sentence, and nothing is run."""

import copy
import json
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import REPOSITORY, Run

from wav2uti import trusted
from wav2uti.cli import main
from wav2uti.errors import InputError
from wav2uti.metrics.frechet import cached_features
from wav2uti.report import runs
from wav2uti.tasks import allowed, checkpoint
from wav2uti.tasks.base import Task
from wav2uti.tasks.checkpoint import CheckpointFile

Change = Callable[[dict[str, Any], Path], None]


class Creates:
    """Unpickling it creates a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """What the files of these tests create when they are believed."""
    return tmp_path / "trace"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def a_pickle(run: Run, trace: Path) -> Path:
    """A whole checkpoint with one object more."""
    path = trace.with_name("evil.ckpt")
    content = torch.load(run.checkpoint, weights_only=True)
    torch.save(content | {"extra": Creates(trace)}, path)
    return path


def a_system_call(run: Run, trace: Path) -> Path:
    """A checkpoint of plain values whose options name a program."""
    path = trace.with_name("evil.ckpt")
    content = torch.load(run.checkpoint, weights_only=True)
    call(content["hyper_parameters"], trace)
    torch.save(content, path)
    return path


def call(options: dict[str, Any], trace: Path) -> None:
    options["net"] = {"class_path": "os.system", "init_args": {"command": f"mkdir {trace}"}}


def test_both_files_would_run(run: Run, trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the checks they do what they say: else none of the tests below could fail."""
    torch.load(a_pickle(run, trace), weights_only=False)
    assert trace.is_dir()
    trace.rmdir()
    monkeypatch.setattr(checkpoint, "check_named", lambda *_: None)
    with pytest.raises(InputError):
        Task.from_checkpoint(a_system_call(run, trace))
    assert trace.is_dir()


def commands(run: Run, evil: Path) -> dict[str, list[str]]:
    data = [f"--data.shards={run.corpus}", "--data.reference=speaker"]
    quiet = ["--trainer.accelerator=cpu", "--trainer.logger=false", "--trainer.enable_progress_bar=false"]
    config = f"--config={REPOSITORY / 'configs' / 'debug.yaml'}"
    predict = ["predict", f"--shards={run.corpus}", "--recording=s00_u000", "--steps=1"]
    fit = ["fit", config, *data, *quiet, "--trainer.max_steps=1"]
    return {
        "predict": [*predict, f"--ckpt_path={evil}"],
        "cascade": [*predict, f"--ckpt_path={run.checkpoint},{evil}"],
        "weak": [*predict, f"--ckpt_path={run.checkpoint}", "--guidance.scale=2", f"--guidance.weak={evil}"],
        "test": ["test", f"--ckpt_path={evil}", *data, *quiet],
        "validate": ["validate", f"--ckpt_path={evil}", *data, *quiet],
        "fit": [*fit, f"--ckpt_path={evil}"],
        "start_from": [*fit, f"--model.init_args.start_from={evil}"],
        "draft_from": [*fit, "--model.init_args.draft=Regression", f"--model.init_args.draft_from={evil}"],
        "export": ["export", str(evil), "out"],
    }


@pytest.mark.parametrize("make", [a_pickle, a_system_call])
@pytest.mark.parametrize("command", list(commands(Run(Path(), Path(), Path()), Path())))
def test_no_command_runs_a_file(
    run: Run, trace: Path, command: str, make: Callable[[Run, Path], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    evil = make(run, trace)
    capsys.readouterr()
    assert main(commands(run, evil)[command]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("wav2uti ")]
    assert len(said) == 1
    assert str(evil) in said[0]
    assert "any program" in said[0]
    assert not trace.exists()
    assert not (trace.parent / "out").exists()


def test_going_on_with_the_last_checkpoint_is_no_way_around(
    run: Run, trace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = trace.parent / "runs" / "debug" / "v" / "checkpoints"
    folder.mkdir(parents=True)
    a_pickle(run, trace).rename(folder / "last.ckpt")
    fit = commands(run, Path())["fit"]
    fit[-1] = "--ckpt_path=last"
    fit = [option for option in fit if "logger" not in option]
    assert main([*fit, f"--trainer.logger.init_args.save_dir={trace.parent / 'runs'}",
                 "--trainer.logger.init_args.version=v"]) == 2  # fmt: skip
    said = capsys.readouterr().err
    assert "last.ckpt is no checkpoint" in said
    assert "None of the checkpoints" in said
    assert not trace.exists()


def test_nobody_can_ask_for_pickles(run: Run, trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="any program"):
        CheckpointFile().load_checkpoint(a_pickle(run, trace), weights_only=False)
    assert main([*commands(run, run.checkpoint)["test"], "--weights_only=false"]) == 2
    assert "weights_only" in capsys.readouterr().err
    assert not trace.exists()


def as_text(options: dict[str, Any], trace: Path) -> None:
    """`exec` called with what the network would be given: the width of the sound."""
    options["fusion"] = "builtins.exec"
    options["facts"]["acoustic"] |= {"width": f"import os; os.mkdir({str(trace)!r})", "layers": None}
    options["facts"]["text"] = None


def a_module(options: dict[str, Any], trace: Path) -> None:
    """Importing a module beside the file is enough."""
    (trace.parent / "beside.py").write_text(f"import os\nos.mkdir({str(trace)!r})\nclass Net: pass\n")
    options["net"] = {"class_path": "beside.Net"}


def a_file_of_options(options: dict[str, Any], trace: Path) -> None:
    (trace.parent / "net.yaml").write_text(f"class_path: os.system\ninit_args:\n  command: mkdir {trace}\n")
    options["net"] = str(trace.parent / "net.yaml")


def a_dotted_name(options: dict[str, Any], trace: Path) -> None:
    options["net"]["init_args"]["a.class_path"] = "os.system"


def in_the_facts(options: dict[str, Any], trace: Path) -> None:
    options["facts"]["more"] = [{"class_path": "subprocess.Popen", "init_args": {"args": ["mkdir", str(trace)]}}]


def a_schedule(options: dict[str, Any], trace: Path) -> None:
    options["lr_scheduler"] = {
        "class_path": "torch.optim.lr_scheduler.LambdaLR",
        "init_args": {"lr_lambda": "os.mkdir"},
    }


def the_instantiator(options: dict[str, Any], trace: Path) -> None:
    options["_instantiator"] = "os.system"


def the_model(options: dict[str, Any], trace: Path) -> None:
    options["_class_path"] = "subprocess.Popen"


def what_a_module_imported(options: dict[str, Any], trace: Path) -> None:
    options["net"] = {"class_path": "wav2uti.corpus.shards.reader.Path", "init_args": {}}


def our_command_line(options: dict[str, Any], trace: Path) -> None:
    options["net"] = {"class_path": "wav2uti.cli.main"}


def our_main_module(options: dict[str, Any], trace: Path) -> None:
    """Its import would run a command."""
    options["net"] = {"class_path": "wav2uti.__main__.Net"}


HOSTILE: list[Change] = [
    call, as_text, a_module, a_file_of_options, a_dotted_name, in_the_facts, a_schedule, the_instantiator, the_model,
    what_a_module_imported, our_command_line, our_main_module,
]  # fmt: skip


@pytest.mark.parametrize("change", HOSTILE, ids=lambda change: change.__name__)
def test_options_that_name_more_than_models(
    run: Run, trace: Path, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(trace.parent))
    content = torch.load(run.checkpoint, weights_only=True)
    change(content["hyper_parameters"], trace)
    torch.save(content, trace.with_name("evil.ckpt"))
    before = set(sys.modules)
    with pytest.raises(InputError, match="was not loaded"):
        Task.from_checkpoint(trace.with_name("evil.ckpt"))
    assert not trace.exists()
    assert not {"beside", "wav2uti.__main__"} & (set(sys.modules) - before)


def test_options_under_their_old_names(run: Run, trace: Path) -> None:
    """Lightning takes options from there where the present place has none."""
    content = torch.load(run.checkpoint, weights_only=True)
    content["hparams"] = copy.deepcopy(content["hyper_parameters"])
    torch.save(content, trace.with_name("evil.ckpt"))
    with pytest.raises(InputError, match="it holds hparams"):
        Task.from_checkpoint(trace.with_name("evil.ckpt"))


def test_what_its_user_trusts_is_loaded(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mine.py").write_text(
        "from wav2uti.diffusion.unet import UNet\n"
        "class Net(UNet):\n"
        "    def __init__(self, cond: int, reference: bool = False, draft: bool = False, title: str = '', **kwargs):\n"
        "        super().__init__(cond, reference, draft, channels=16, multipliers=(1, 2), blocks=1, patch=4)\n"
    )
    content = torch.load(run.checkpoint, weights_only=True)
    content["hyper_parameters"]["net"] = {"class_path": "mine.Net", "init_args": {"title": "own"}}
    torch.save(content, tmp_path / "own.ckpt")
    with pytest.raises(InputError, match="WAV2UTI_TRUST"):
        Task.from_checkpoint(tmp_path / "own.ckpt")
    assert "mine" not in sys.modules
    monkeypatch.setenv(trusted.VARIABLE, "others, mine")
    assert type(Task.from_checkpoint(tmp_path / "own.ckpt").denoiser.net).__name__ == "Net"
    monkeypatch.delenv(trusted.VARIABLE)
    monkeypatch.setattr(trusted, "_trusted", set())
    allowed.trust(*allowed.classes_named({"model": [{"class_path": "mine.Net"}]}))
    Task.from_checkpoint(tmp_path / "own.ckpt")


def test_an_encoder_that_a_checkpoint_names(run: Run, trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its class is ours or trusted, and a model's folder is read like any other: no pickle, no Python file in it."""
    folder = trace.parent / "model"
    folder.mkdir()
    (folder / "own.py").write_text(f"import os\nos.mkdir({str(trace)!r})\nclass Own: pass\n")
    automatic = {"AutoConfig": "own.Own", "AutoModel": "own.Own", "AutoFeatureExtractor": "own.Own"}
    for content, spec, said in (
        ({"model_type": "own", "auto_map": automatic}, {"class": "Wav2Vec2", "args": {"model": str(folder)}}, "model"),
        ({}, {"class": "os.system", "args": {"command": f"mkdir {trace}"}}, "any program"),
        ({}, {"class": ["LogMel"]}, "describes no acoustic encoder"),
        ({}, None, "is no checkpoint"),
    ):
        (folder / "config.json").write_text(json.dumps(content))
        checkpoint = torch.load(run.checkpoint, weights_only=True)
        checkpoint["hyper_parameters"]["facts"]["acoustic"]["spec"] = spec
        torch.save(checkpoint, trace.with_name("evil.ckpt"))
        capsys.readouterr()
        assert main(commands(run, trace.with_name("evil.ckpt"))["predict"]) == 2
        assert said in capsys.readouterr().err.splitlines()[-1]
        assert not trace.exists()


def test_pickled_arrays_are_not_opened(trace: Path) -> None:
    """Neither the clips of a tested run nor a cache of features."""
    folder = trace.parent
    array = np.array([Creates(trace)], dtype=object)
    np.savez(folder / "samples.npz", generated=array, real=array, ids=array, progress=array, fps=60)
    with pytest.raises(InputError, match="cannot be read"):
        runs.read_samples(runs.Run(folder / "metrics.json", "run", None, None))  # type: ignore[arg-type]
    np.save(folder / "key.npy", array, allow_pickle=True)
    assert cached_features(folder, "key", lambda: torch.ones(2)).tolist() == [1, 1]
    assert not trace.exists()
    pickle.loads(pickle.dumps(Creates(trace)))
    assert trace.exists()  # it would have

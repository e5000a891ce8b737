"""Trained models by name: files, folders, the shipped one, and repositories of a hub that runs on this machine."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Run
from fake_hub import Hub, running, use

from wav2uti.cli import main
from wav2uti.errors import InputError
from wav2uti.pretrained import FOLDER, MODEL
from wav2uti.tasks.base import Task
from wav2uti.tasks.located import located
from wav2uti.video.predictor import load


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with running() as hub:
        use(hub.address, tmp_path / "cache", monkeypatch)
        yield hub


@pytest.fixture(scope="module")
def model(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported model."""
    folder = tmp_path_factory.mktemp("exported") / "model"
    assert main(["export", str(run.checkpoint), str(folder), "--license=mit"]) == 0
    return folder


def test_what_is_there_goes_before_a_name(tmp_path: Path, hub: Hub) -> None:
    (tmp_path / "owner").mkdir()
    (tmp_path / "owner" / "model").touch()
    assert located("owner/model") == Path("owner/model")
    assert located(tmp_path) == tmp_path
    assert located(MODEL) == FOLDER
    (tmp_path / MODEL).mkdir()
    assert located(MODEL) == Path(MODEL)
    assert not hub.asked


@pytest.mark.parametrize(
    "name",
    ["gone.ckpt", "runs/last.ckpt", "./a/b", "a/b/c", "~/gone", "gone", "/a/b", "a/b.git", "~nobody/a", "a" * 5000],
)
def test_a_path_is_not_asked_for_on_the_hub(name: str, hub: Hub) -> None:
    with pytest.raises(InputError, match=f"There is no checkpoint {name}; train one"):
        located(name)
    assert not hub.asked


def test_a_model_of_the_hub_is_the_folder(hub: Hub, model: Path) -> None:
    """Only its files come along, and the second time none of them."""
    hub.add_folder("somebody/tongue", model).files("main").update({"pytorch_model.bin": b"1", "code.py": b"2"})
    folder = located("somebody/tongue")
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {
        file.name: file.read_bytes() for file in model.iterdir()
    }
    speech = 0.1 * np.random.default_rng(0).normal(size=2000).astype(np.float32)
    frames = [load(name, "cpu").generate(speech, "ba", steps=1) for name in ("somebody/tongue", model)]
    np.testing.assert_array_equal(*frames)
    assert sum("GET" in asked and asked.endswith("model.safetensors") for asked in hub.asked) == 1


def test_a_revision_stays_and_main_moves_on(hub: Hub, model: Path, tmp_path: Path) -> None:
    repository = hub.add_folder("somebody/tongue", model)
    first = repository.refs["main"]
    repository.refs["v1"] = first
    assert located("somebody/tongue").name == first
    later = dict(repository.files("main"), **{"README.md": b"another card"})
    second = repository.commit("main", later)
    assert located("somebody/tongue").name == second
    assert located("somebody/tongue@v1").name == located(f"somebody/tongue@{first}").name == first
    asked = len(hub.asked)
    assert located(f"somebody/tongue@{first}").name == first
    assert len(hub.asked) == asked  # a commit is the same for ever


def test_without_the_hub_what_is_kept_is_used(
    hub: Hub, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    commit = hub.add_folder("somebody/tongue", model).refs["main"]
    located("somebody/tongue")
    asked = len(hub.asked)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert located("somebody/tongue").name == commit
    assert located(f"somebody/tongue@{commit}").name == commit
    with pytest.raises(InputError, match=r"is not asked \(HF_HUB_OFFLINE is set\), and somebody/other is not kept"):
        located("somebody/other")
    with pytest.raises(InputError, match=r"somebody/tongue at revision v2 is not kept.*--revision v2`"):
        located("somebody/tongue@v2")
    assert len(hub.asked) == asked
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    hub.broken = True
    assert located("somebody/tongue").name == commit
    with running() as gone:
        address = gone.address
    use(address, tmp_path / "cache", monkeypatch)
    assert located("somebody/tongue").name == commit
    with pytest.raises(InputError, match="could not be reached, and somebody/other is not kept"):
        located("somebody/other")


def test_what_the_hub_refuses_is_one_sentence(
    hub: Hub, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_folder("somebody/private", model, private=True)
    hub.add_folder("somebody/gated", model, gated=True)
    hub.add("somebody/other", {"config.json": b'{"model_type": "whisper"}', "model.safetensors": b"0"})
    hub.add("somebody/empty", {"README.md": b""})
    hub.add("somebody/half", {"config.json": (model / "config.json").read_bytes()})
    located("somebody/private")
    for name, sentence in (
        ("somebody/nothing", "shows you no somebody/nothing: check the name"),
        ("somebody/gated", "accept them on its page"),
        ("somebody/private@v9", "has no revision v9"),
        ("somebody/other", r"cannot be used: .* is not of a model that `wav2uti export` wrote"),
        ("somebody/empty", "holds no model of wav2uti"),
        ("somebody/half", "holds no model of wav2uti"),
    ):
        with pytest.raises(InputError, match=sentence) as raised:
            located(name)
        assert "\n" not in str(raised.value)
    assert "GET /somebody/other/resolve/main/model.safetensors" not in hub.asked
    use(hub.address, tmp_path / "other", monkeypatch, token=None)
    with pytest.raises(InputError, match=r"shows you no somebody/private: .*log in"):
        located("somebody/private")


def test_what_was_downloaded_is_checked_like_any_folder(hub: Hub, model: Path) -> None:
    files = {file.name: file.read_bytes() for file in model.iterdir()}
    weights = bytearray(files["model.safetensors"])
    weights[-5] ^= 1
    hub.add("somebody/damaged", files | {"model.safetensors": bytes(weights)})
    with pytest.raises(InputError, match="another sha256"):
        Task.from_checkpoint("somebody/damaged")
    config = json.loads(files["config.json"])
    config["hyper_parameters"]["net"] = {"class_path": "os.system"}
    hub.add("somebody/hostile", files | {"config.json": json.dumps(config).encode()})
    with pytest.raises(InputError, match=r"names 'os\.system'"):
        Task.from_checkpoint("somebody/hostile")


@pytest.mark.slow
def test_every_command_takes_the_name(
    hub: Hub, model: Path, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also as a stage in a list, and what is scored leaves no file in the hub's cache."""
    commit = hub.add_folder("somebody/tongue", model).refs["main"]
    given = ["--ckpt_path=somebody/tongue"]
    assert main(["predict", f"--shards={run.corpus}", "--recording=s01_u000", *given, "--steps=1"]) == 0
    assert (tmp_path / "predictions" / "s01_u000.mp4").is_file()
    data = [f"--data.shards={run.corpus}", "--data.reference=speaker", "--trainer.limit_test_batches=1"]
    quiet = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.logger=false"]
    sampler = ["--model=DiffusionTask", "--model.sampler=Euler", "--model.sampler.steps=1"]
    assert main(["test", *given, *sampler, *data, *quiet]) == 0
    scores = json.loads((tmp_path / "metrics.json").read_text())
    assert commit in scores["checkpoint"]
    assert not list((tmp_path / "cache").rglob("metrics.json"))
    capsys.readouterr()
    assert main(["predict", f"--shards={run.corpus}", "--recording=s01_u000",
                 "--ckpt_path=somebody/tongue, somebody/nothing"]) == 2  # fmt: skip
    assert "shows you no somebody/nothing" in capsys.readouterr().err
    assert main(["test", "--ckpt_path=somebody/nothing", *data, *quiet]) == 2
    assert "shows you no somebody/nothing" in capsys.readouterr().err


@pytest.mark.slow
def test_training_begins_with_it(hub: Hub, model: Path, run: Run, tmp_path: Path) -> None:
    from conftest import fit_debug

    hub.add_folder("somebody/tongue", model)
    start = "--model.init_args.start_from=somebody/tongue"
    begun = fit_debug(run.corpus, tmp_path, start, "--trainer.max_steps=1")
    state = torch.load(begun.checkpoint, weights_only=True)["state_dict"]
    assert max((state[n].float() - v).abs().max() for n, v in Task.from_checkpoint(model).state_dict().items()) < 2e-3


def test_a_file_among_the_downloaded_that_is_gone(hub: Hub, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that was tidied by hand is filled again, and without the hub one sentence says what is missing."""
    from huggingface_hub import constants

    hub.add_folder("somebody/tongue", model)
    folder = located("somebody/tongue")
    (folder / "model.safetensors").unlink()
    assert (located("somebody/tongue") / "model.safetensors").is_file()
    (folder / "model.safetensors").unlink()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"somebody/tongue is not kept|holds no model"):
        located("somebody/tongue")
    shutil.rmtree(folder)

"""`wav2uti push`: into a folder without any network, and to a hub that runs on this machine."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import REPOSITORY, Run
from fake_hub import TOKEN, Hub, running, use
from safetensors.torch import load_file

from wav2uti.cli import main
from wav2uti.tasks.base import Task
from wav2uti.tasks.located import located

FILES = {"model.safetensors", "config.json", "README.md"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with running() as hub:
        use(hub.address, tmp_path / "cache", monkeypatch)
        yield hub


@pytest.fixture
def model(run: Run, tmp_path: Path) -> Path:
    """An exported model; tests may spoil it."""
    assert main(["export", str(run.checkpoint), str(tmp_path / "model"), "--license=mit"]) == 0
    return tmp_path / "model"


def push(*args: str | Path) -> None:
    assert main(["push", *map(str, args)]) == 0


def refused(capsys: pytest.CaptureFixture[str], *args: str | Path) -> str:
    """The sentence of a push that must fail."""
    capsys.readouterr()
    assert main(["push", *map(str, args)]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert error[-1].startswith("wav2uti push: ")
    return error[-1]


def recorded(run: Run, path: Path, **spec: Any) -> Path:
    """The checkpoint as if it had been trained on recordings of speakers."""
    content = torch.load(run.checkpoint, weights_only=True)
    facts = content["hyper_parameters"]["facts"]
    facts["simulated"] = False
    if spec:
        facts["text"]["spec"] = spec
    torch.save(content, path)
    return path


def test_a_checkpoint_into_a_folder(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    push(run.checkpoint, "./owner/tongue", "--license=cc-by-4.0")
    folder = tmp_path / "owner" / "tongue"
    assert {file.name for file in folder.iterdir()} == FILES
    assert capsys.readouterr().out == "model: owner/tongue\n"
    state = torch.load(run.checkpoint, weights_only=True)["state_dict"]
    for name, value in Task.from_checkpoint(folder).state_dict().items():
        assert torch.equal(value, state[name].float() if value.is_floating_point() else state[name])
    card = (folder / "README.md").read_text()
    for said in ("license: cc-by-4.0", "# tongue\n", "--ckpt_path tongue --text", 'load("tongue")', "SIMULATED"):
        assert said in card
    assert "Not for diagnosis" in card


def test_a_folder_is_written_over_only_when_asked(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (model / "reference.png").write_bytes(b"a picture")
    push(model, target)
    (target / "notes.txt").write_text("mine")
    (model / "reference.png").unlink()
    (model / "README.md").write_text((model / "README.md").read_text() + "More.\n")
    assert "--force" in refused(capsys, model, target)
    assert (target / "reference.png").is_file()
    push(model, target, "--force")
    assert (target / "README.md").read_text().endswith("More.\n")
    assert {file.name for file in target.iterdir()} == FILES | {"notes.txt"}
    assert "is the model itself" in refused(capsys, model, model, "--force")
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("mine")
    assert "something else than a model" in refused(capsys, model, other, "--force")
    assert "is a folder, which has no history" in refused(capsys, model, "./new", "--tag=v1")
    assert "begin the path of a new folder with ./" in refused(capsys, model, "new")
    (tmp_path / "file").touch()
    assert "cannot be written" in refused(capsys, model, "./file/new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "model", "other", "target"]


def test_what_others_could_not_use_is_refused(run: Run, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same for both kinds of target; nothing is written."""
    assert "--license cc-by-4.0" in refused(capsys, run.checkpoint, "owner/tongue")
    speakers = recorded(run, Path("speakers.ckpt"))
    assert "say it with --data" in refused(capsys, speakers, "./new", "--license=mit")
    own = recorded(run, Path("own.ckpt"), **{"class": "Bert", "args": {"model": "/home/me/bert"}})
    said = refused(capsys, own, "./new", "--license=mit", "--data=TaL1")
    assert "/home/me/bert" in said
    assert "export it again" in refused(capsys, model, "./new", "--license=mit").replace("the checkpoint", "it")
    card = model / "README.md"
    whole = card.read_text()
    for change, sentence in (
        (("license: mit", "license: unknown"), "names no licence"),
        (("license: mit", "license: other"), "names no licence"),
        (("license: mit\n", ""), "names no licence"),
        (("---\nlicense", "license"), "does not begin with the lines that the hub reads"),
        (("license: mit", "license: ["), "does not begin with the lines that the hub reads"),
        (("SIMULATED", "good"), "does not say that the model was trained on SIMULATED data"),
    ):
        assert change[0] in whole
        card.write_text(whole.replace(*change))
        assert sentence in refused(capsys, model, "./new")
    card.write_bytes(b"\xff\xfe")
    assert "does not begin" in refused(capsys, model, "./new")
    card.unlink()
    assert "no model card" in refused(capsys, model, "./new")
    card.write_text(whole)
    weights = bytearray((model / "model.safetensors").read_bytes())
    weights[-5] ^= 1
    (model / "model.safetensors").write_bytes(weights)
    assert "another sha256" in refused(capsys, model, "./new")
    config = json.loads((model / "config.json").read_text())
    del config["facts"]
    (model / "config.json").write_text(json.dumps(config))
    assert "lacks facts" in refused(capsys, model, "./new")
    assert "There is no checkpoint" in refused(capsys, "gone.ckpt", "./new", "--license=mit")
    assert not Path("new").exists()


def test_what_it_was_trained_on_is_in_the_card(run: Run) -> None:
    speakers = recorded(run, Path("speakers.ckpt"))
    push(speakers, "./new", "--license=cc-by-nc-4.0", "--data=TaL1 and TaL80, CC BY-NC 4.0")
    card = Path("new/README.md").read_text()
    assert "recordings of speakers. TaL1 and TaL80, CC BY-NC 4.0, as stated by who exported" in card
    assert "What its speakers agreed to" in card
    assert "SIMULATED" not in card


def test_to_the_hub_and_back(run: Run, hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    """One commit with all files; who loads it by its name gets the very weights."""
    push(run.checkpoint, "somebody/tongue", "--license=mit", "--tag=v1")
    repository = hub.repositories["somebody/tongue"]
    commit = repository.refs["main"]
    assert repository.refs["v1"] == commit
    assert set(repository.files("main")) == FILES
    assert not repository.private
    assert capsys.readouterr().out == f"model: {hub.address}/somebody/tongue (use it as somebody/tongue@v1)\n"
    card = repository.files("main")["README.md"].decode()
    for said in ("# tongue\n", "--ckpt_path somebody/tongue --text", 'load("somebody/tongue")'):
        assert said in card
    state = torch.load(run.checkpoint, weights_only=True)["state_dict"]
    loaded = Task.from_checkpoint("somebody/tongue@v1").state_dict()
    assert all(torch.equal(loaded[n].float(), state[n].float()) for n in loaded)
    assert len(hub.uploads) == 1  # the weights, by themselves


def test_a_later_version(model: Path, hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    (model / "reference.png").write_bytes(b"a picture")
    push(model, "somebody/tongue", "--private", "--tag=v1", "--message=The first")
    repository = hub.repositories["somebody/tongue"]
    first = repository.refs["main"]
    assert repository.private
    assert set(repository.files("main")) == {*FILES, "reference.png"}
    assert "has a version v1 already" in refused(capsys, model, "somebody/tongue", "--tag=v1")
    (model / "reference.png").unlink()
    push(model, "somebody/tongue", "--private")
    assert set(repository.files("main")) == FILES
    assert set(repository.files("v1")) == {*FILES, "reference.png"}
    push(model, "somebody/tongue", "--revision=tests", "--message=Try this")
    assert repository.refs["main"] != first
    assert repository.messages[1] == "The first"
    assert repository.refs["tests"] in repository.commits
    assert located("somebody/tongue@tests").name == repository.refs["tests"]


def test_who_is_somebody_and_what_is_there(
    model: Path, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from huggingface_hub import constants

    hub.add("somebody/whisper", {"config.json": b'{"model_type": "whisper"}', "model.safetensors": b"0"})
    hub.add("somebody/weights", {"model.safetensors": b"0"})
    hub.add("somebody/public", {})
    for name in ("somebody/whisper", "somebody/weights"):
        assert "holds another kind of model" in refused(capsys, model, name)
    assert "is public already" in refused(capsys, model, "somebody/public", "--private")
    assert "does not let you write to others/tongue (403): log in" in refused(capsys, model, "others/tongue")
    assert "and no folder" in refused(capsys, model, "somebody/tongue@v1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set: unset it" in refused(capsys, model, "somebody/tongue")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    use(hub.address, tmp_path / "cache", monkeypatch, token=None)
    assert "does not let you write to somebody/tongue (401): log in" in refused(capsys, model, "somebody/tongue")
    assert "somebody/tongue" not in hub.repositories
    with running() as gone:
        address = gone.address
    use(address, tmp_path / "cache", monkeypatch)
    said = refused(capsys, model, "somebody/tongue")
    assert "hub could not be asked to write somebody/tongue" in said
    assert TOKEN not in said
    assert all(len(repository.commits) == 1 for repository in hub.repositories.values())


def test_the_hub_reads_the_card(run: Run, tmp_path: Path) -> None:
    """By its own reader: the licence, the tags and the scores."""
    from huggingface_hub import ModelCard

    scores = {"scores": {"rmse": 20.256, "fvd": 210.04}, "resolution": [16, 16], "simulated": True}
    (tmp_path / "metrics.json").write_text(json.dumps(scores))
    push(run.checkpoint, "./new", "--license=cc-by-4.0", "--metrics=metrics.json")
    card = ModelCard.load("new/README.md")
    assert card.data.license == "cc-by-4.0"
    assert card.data.library_name == "wav2uti"
    results = {result.metric_type: result for result in card.data.eval_results or []}
    assert {name: result.metric_value for name, result in results.items()} == {"rmse": 20.26, "fvd": 210.0}
    assert "SIMULATED" in results["fvd"].dataset_name
    block = (tmp_path / "new" / "README.md").read_text().split("\n---\n")[0]
    assert yaml.safe_load(block[4:])["model-index"][0]["name"] == "new"


def test_half_the_room(run: Run, model: Path) -> None:
    """Matrices and kernels are rounded as float16 rounds, the rest keeps every bit, and all is used as float32."""
    push(run.checkpoint, "./half", "--license=mit", "--half")
    stored, whole = load_file("half/model.safetensors"), load_file(model / "model.safetensors")
    used = Task.from_checkpoint("half").state_dict()
    for name, value in whole.items():
        short = value.is_floating_point() and value.ndim > 1
        assert stored[name].dtype is (torch.float16 if short else value.dtype)
        assert used[name].dtype is value.dtype
        assert torch.equal(used[name], value.half().float() if short else value)
    sizes = [Path(folder, "model.safetensors").stat().st_size for folder in ("half", model)]
    assert sizes[0] < 0.6 * sizes[1]
    assert "stored as float16" in Path("half/README.md").read_text()
    assert "stored as float16" not in (model / "README.md").read_text()
    shutil.rmtree("half")


def test_what_float16_has_no_room_for_is_kept(run: Run) -> None:
    content = torch.load(run.checkpoint, weights_only=True)
    name = next(name for name, value in content["state_dict"].items() if value.ndim > 1)
    content["state_dict"][name].view(-1)[0] = 1e6
    torch.save(content, "large.ckpt")
    assert main(["export", "large.ckpt", "large", "--half"]) == 0
    stored = load_file("large/model.safetensors")
    assert stored[name].dtype is torch.float32
    assert torch.equal(stored[name], content["state_dict"][name])
    assert sum(value.dtype is torch.float16 for value in stored.values()) > 3


@pytest.mark.slow
def test_from_a_shell_as_its_user_does_it(run: Run, tmp_path: Path) -> None:
    """Nothing is set from within: HF_ENDPOINT, HF_HOME and HF_TOKEN are, and then HF_HUB_OFFLINE."""
    with running() as hub:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))} | {
            "HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1", "PYTHONPATH": str(REPOSITORY),
        }  # fmt: skip

        def shell(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "wav2uti", *arguments]
            return subprocess.run(command, capture_output=True, text=True, env=environment | more)

        done = shell("push", str(run.checkpoint), "somebody/tongue", "--license=mit", "--private", "--tag=v1", "--half")
        assert done.returncode == 0, done.stderr
        assert "use it as somebody/tongue@v1" in done.stdout
        spoken = (f"--shards={run.corpus}", "--recording=s01_u000", "--steps=1")
        done = shell("predict", *spoken, "--ckpt_path=somebody/tongue@v1", "--output=first")
        assert done.returncode == 0, done.stderr
        asked = len(hub.asked)
        done = shell("predict", *spoken, "--ckpt_path=somebody/tongue@v1", "--output=second", HF_HUB_OFFLINE="1")
        assert done.returncode == 0, done.stderr
        assert len(hub.asked) == asked
        assert Path("first/s01_u000.npz").read_bytes() == Path("second/s01_u000.npz").read_bytes()
        done = shell("predict", *spoken, "--ckpt_path=somebody/tongue", HF_HOME=str(tmp_path / "other"), HF_TOKEN="")
        assert done.returncode == 2
        assert done.stderr.strip().count("\n") == 0
        assert "shows you no somebody/tongue" in done.stderr

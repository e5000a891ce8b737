import hashlib
import re
import urllib.error

import pytest
import torch
from safetensors.torch import save_file

from wav2uti.metrics import weights
from wav2uti.metrics.inception import load_inception
from wav2uti.metrics.perceptual import load_lpips
from wav2uti.metrics.weights import MissingWeights, locate, read_state, sha256_of


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    """An empty torch hub cache, no folder of weights, and no network: a download would fail the test."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.delenv(weights.FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    return tmp_path / "hub" / "checkpoints"


def refuse(*_):
    raise AssertionError("a download was tried")


def published(monkeypatch, state, folder, name="lpips_squeeze"):
    """Pretend that a file with this state is the published one."""
    file = folder / weights.PUBLISHED[name].files[0]
    torch.save(state, file)
    entry = weights.PUBLISHED[name]._replace(sha256=sha256_of(file)[:8])
    monkeypatch.setitem(weights.PUBLISHED, name, entry)
    return file


@pytest.mark.parametrize("name", list(weights.PUBLISHED))
def test_missing_weights_are_told_in_one_sentence(name, hub):
    with pytest.raises(MissingWeights) as caught:
        locate(name)
    sentence = str(caught.value)
    entry = weights.PUBLISHED[name]
    for part in (entry.score, entry.files[0], entry.url, str(hub)):
        assert part in sentence
    assert "\n" not in sentence
    assert sentence.endswith(".")


@pytest.mark.parametrize("load", [load_inception, lambda: load_lpips("alex")])
def test_no_network_stands_in_for_missing_weights(load):
    with pytest.raises(MissingWeights):
        load()


def test_a_file_under_the_right_name_with_other_weights_is_refused(hub):
    torch.save({"features.0.weight": torch.rand(3)}, hub / "squeezenet1_1-b8a52dc0.pth")
    with pytest.raises(MissingWeights, match="is not the published squeezenet1_1"):
        load_lpips("squeeze")


def test_places_in_order(hub, tmp_path, monkeypatch):
    in_hub = published(monkeypatch, {"w": torch.ones(2)}, hub)
    assert locate("lpips_squeeze") == in_hub
    folder = tmp_path / "mine"
    folder.mkdir()
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(folder))
    assert locate("lpips_squeeze") == in_hub  # still found while the folder is empty
    mine = folder / in_hub.name
    mine.write_bytes(in_hub.read_bytes())
    assert locate("lpips_squeeze") == mine
    assert locate("lpips_squeeze", folder) == mine
    assert locate("lpips_squeeze", in_hub) == in_hub


def test_a_given_path_that_is_absent_is_not_replaced_by_the_cache(hub, tmp_path, monkeypatch):
    published(monkeypatch, {"w": torch.ones(2)}, hub)
    with pytest.raises(MissingWeights, match=re.escape(str(tmp_path / "nowhere"))):
        locate("lpips_squeeze", tmp_path / "nowhere")


def test_a_folder_with_one_file_of_weights(tmp_path):
    save_file({"w": torch.ones(2)}, tmp_path / "model.safetensors")
    assert locate("fvd", tmp_path).name == "model.safetensors"
    save_file({"w": torch.ones(2)}, tmp_path / "other.safetensors")
    with pytest.raises(MissingWeights):  # which of the two is not ours to guess
        locate("fvd", tmp_path)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_halves_are_read_as_float32(tmp_path, suffix):
    state = {"w": torch.tensor([0.5, 2.0]).half(), "n": torch.tensor(3)}
    file = tmp_path / f"net{suffix}"
    save_file(state, file) if suffix == ".safetensors" else torch.save(state, file)
    found, read = read_state("fvd", file)
    assert found == file
    assert read["w"].dtype == torch.float32
    assert read["w"].tolist() == [0.5, 2.0]
    assert read["n"].item() == 3


class Evil:
    """What runs code when unpickled."""

    def __reduce__(self):
        return print, ("code ran",)


@pytest.mark.parametrize("name", ["net.pt", "net.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04" + bytes(100), b"\xff" * 64])
def test_broken_files(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MissingWeights, match="cannot be read"):
        read_state("fvd", tmp_path / name)


def test_nothing_in_a_file_is_executed(tmp_path, capsys):
    torch.save({"w": Evil()}, tmp_path / "net.pt")
    with pytest.raises(MissingWeights, match="cannot be read"):
        read_state("fvd", tmp_path / "net.pt")
    assert capsys.readouterr().out == ""


def test_something_else_than_a_state_dict(tmp_path):
    torch.save([1, 2], tmp_path / "net.pt")
    with pytest.raises(MissingWeights, match="holds no plain state dict"):
        read_state("fvd", tmp_path / "net.pt")


def test_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_download_into_the_cache(hub, monkeypatch):
    """Where the machine is not said to be offline."""
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    asked = []

    def fetch(url, target, prefix):
        asked.append((url, prefix))
        torch.save({"w": torch.ones(2)}, target)

    entry = weights.PUBLISHED["lpips_alex"]
    torch.save({"w": torch.ones(2)}, hub / entry.files[0])
    monkeypatch.setitem(weights.PUBLISHED, "lpips_alex", entry._replace(sha256=sha256_of(hub / entry.files[0])[:8]))
    (hub / entry.files[0]).unlink()
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    assert locate("lpips_alex") == hub / entry.files[0]
    assert asked == [(entry.url, weights.PUBLISHED["lpips_alex"].sha256)]


@pytest.mark.parametrize(
    "error", [urllib.error.URLError("no route"), TimeoutError(), RuntimeError("invalid hash value")]
)
def test_a_download_that_fails_is_missing_weights(monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(MissingWeights, match="download https://"):
        locate("fid")


def test_weights_of_unknown_sha256_are_never_downloaded(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with pytest.raises(MissingWeights):
        locate("fvd")

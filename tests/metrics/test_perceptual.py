import pytest
import torch
from torchmetrics.functional.image.lpips import _LPIPS

from wav2uti.metrics import perceptual, weights
from wav2uti.metrics.perceptual import LPIPS, lpips, make_lpips
from wav2uti.metrics.weights import sha256_of

NETWORKS = ["squeeze", "alex", pytest.param("vgg", marks=pytest.mark.slow)]


def clips(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def torchvision_state(name):
    """Random weights under torchvision's names, and the network of torchmetrics that holds them."""
    torch.manual_seed(0)
    oracle = _LPIPS(net=name, pnet_rand=True)
    state = {
        (f"features.{key.split('.', 2)[2]}" if key.startswith("slices.") else f"features.{key.split('.', 1)[1]}"): value
        for key, value in oracle.net.state_dict().items()
    }
    return state, oracle


@pytest.mark.parametrize("name", NETWORKS)
def test_loaded_network_is_that_of_torchmetrics(name, tmp_path, monkeypatch):
    """The same (random) backbone in both; the calibration comes from either package's own files."""
    state, oracle = torchvision_state(name)
    entry = weights.PUBLISHED[f"lpips_{name}"]
    file = tmp_path / entry.files[0]
    torch.save({**state, "classifier.weight": torch.zeros(1)}, file)
    monkeypatch.setitem(weights.PUBLISHED, f"lpips_{name}", entry._replace(sha256=sha256_of(file)[:8]))
    network, sha256 = perceptual.load_lpips(name, tmp_path)
    assert sha256 == sha256_of(file)
    generated, real = clips(2, 1, 3, 64, 80), clips(2, 1, 3, 64, 80, seed=1)

    def rgb(frames):
        return frames.flatten(0, 2)[:, None].expand(-1, 3, -1, -1) / 127.5 - 1

    with torch.no_grad():
        expected = oracle(rgb(generated), rgb(real)).view(2, 3).mean(1)
    found = lpips(generated, real, network)
    assert found.min() > 1e-4
    torch.testing.assert_close(found, expected.double(), rtol=1e-4, atol=1e-6)


def test_shapes_small_frames_and_zero():
    torch.manual_seed(0)
    network = make_lpips("alex")
    real, generated = clips(2, 3, 16, 20), clips(2, 3, 16, 20, seed=1)  # AlexNet itself needs 31 pixels
    both = lpips(generated, real, network)
    assert both.shape == (2,)
    assert lpips(generated[1], real[1], network).item() == pytest.approx(both[1].item(), rel=1e-5)
    assert lpips(generated[:, None], real[:, None], network).tolist() == both.tolist()
    assert lpips(real, real, network).tolist() == [0, 0]
    metric = LPIPS(network)
    metric.update(generated[:1], real[:1])
    metric.update(generated[1:], real[1:])
    assert metric.compute().item() == pytest.approx(both.mean().item(), rel=1e-5)


def test_many_frames_go_through_in_parts(monkeypatch):
    torch.manual_seed(0)
    network = make_lpips("squeeze")
    real, generated = clips(5, 32, 32), clips(5, 32, 32, seed=1)
    whole = lpips(generated, real, network).item()
    monkeypatch.setattr(perceptual, "AT_ONCE", 2)
    assert lpips(generated, real, network).item() == pytest.approx(whole, rel=1e-5)


def test_wrong_frames():
    network = make_lpips("squeeze")
    with pytest.raises(ValueError, match="differ in shape"):
        lpips(clips(2, 32, 32), clips(3, 32, 32), network)
    with pytest.raises(ValueError, match="uint8"):
        lpips(clips(2, 32, 32).float(), clips(2, 32, 32).float(), network)

import hashlib

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from wav2uti.metrics import i3d as module
from wav2uti.metrics.frechet import video_features
from wav2uti.metrics.i3d import I3D, MaxPool, Unit, load_i3d, same_padding
from wav2uti.metrics.weights import MissingWeights


@pytest.fixture(scope="session")
def kinetics(shared):
    path = shared / "weights" / "i3d-kinetics-400" / "model.safetensors"
    if not path.is_file():
        pytest.skip("no weights of I3D")
    return path


def pad_same(x, kernel, stride, value):
    """TensorFlow's rule, axis by axis: ceil(n / s) outputs, the odd place behind."""
    for axis, (k, s) in enumerate(zip(kernel, stride, strict=True), start=2):
        n = x.shape[axis]
        out = (n + s - 1) // s
        total = max((out - 1) * s + k - n, 0)
        pads = [0, 0] * (4 - axis) + [total // 2, total - total // 2]
        x = F.pad(x, pads, value=value)
    return x


def by_hand(state, x):
    """Logits from the state dict with plain functions, after the paper's Figure 3; nothing is folded."""

    def unit(name, x, k=1, s=1):
        x = F.conv3d(pad_same(x, (k,) * 3, (s,) * 3, 0.0), state[f"{name}.conv3d.weight"], stride=s)
        bn = [state[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *bn, eps=1e-3).relu()

    def pool(x, kernel, stride):
        return F.max_pool3d(pad_same(x, kernel, stride, -torch.inf), kernel, stride)

    def mixed(name, x):
        return torch.cat(
            [
                unit(f"{name}.b0", x),
                unit(f"{name}.b1b", unit(f"{name}.b1a", x), 3),
                unit(f"{name}.b2b", unit(f"{name}.b2a", x), 3),
                unit(f"{name}.b3b", pool(x, (3, 3, 3), (1, 1, 1))),
            ],
            1,
        )

    x = pool(unit("Conv3d_1a_7x7", x, 7, 2), (1, 3, 3), (1, 2, 2))
    x = pool(unit("Conv3d_2c_3x3", unit("Conv3d_2b_1x1", x), 3), (1, 3, 3), (1, 2, 2))
    x = pool(mixed("Mixed_3c", mixed("Mixed_3b", x)), (3, 3, 3), (2, 2, 2))
    for letter in "bcdef":
        x = mixed(f"Mixed_4{letter}", x)
    x = pool(x, (2, 2, 2), (2, 2, 2))
    x = F.avg_pool3d(mixed("Mixed_5c", mixed("Mixed_5b", x)), (2, 7, 7), 1)
    return F.conv3d(x, state["logits.conv3d.weight"], state["logits.conv3d.bias"])[..., 0, 0].mean(2)


@pytest.mark.slow
@pytest.mark.parametrize("frames", [9, 17])
def test_features_are_those_of_the_network_written_out(kinetics, frames):
    """Real weights; also that grey input, folding and memory layout change nothing."""
    clips = torch.randint(0, 256, (2, frames, 40, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    clips = torch.nn.functional.avg_pool2d(clips.float(), 9, 1, 4).mul(2).clamp(0, 255).byte()
    x = F.interpolate(clips.float(), (224, 224), mode="bilinear", align_corners=False) / 255 * 2 - 1
    state = {name: value.float() for name, value in load_file(kinetics).items()}
    with torch.no_grad():
        expected = by_hand(state, torch.stack([x, x, x], 1))
    network, _ = load_i3d(kinetics)
    found = video_features(network, clips)
    assert found.dtype == torch.float32
    assert expected.std() > 0.5  # logits that tell the classes apart
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(video_features(network, clips), found)
    assert torch.equal(video_features(network, clips[1:]), found[1:])  # no clip depends on its neighbours


def test_loading(kinetics):
    network, sha256 = load_i3d(kinetics.parent)
    assert sha256 == hashlib.sha256(kinetics.read_bytes()).hexdigest()
    assert network.channels == 1
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_state_dict_of_pytorch_without_counters(tmp_path):
    torch.manual_seed(0)
    state = {k: v for k, v in I3D().state_dict().items() if not k.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "rgb_imagenet.pt")
    network, _ = load_i3d(tmp_path / "rgb_imagenet.pt")
    torch.testing.assert_close(network.logits.conv3d.weight, state["logits.conv3d.weight"])


@pytest.mark.parametrize("change", ["shape", "missing", "unknown"])
def test_other_networks_are_refused(tmp_path, change):
    state = I3D().state_dict()
    if change == "shape":
        state["logits.conv3d.weight"] = torch.zeros(600, 1024, 1, 1, 1)
    elif change == "missing":
        del state["Mixed_4c.b0.bn.running_var"]
    else:
        state["head.weight"] = torch.zeros(2)
    save_file(state, tmp_path / "net.safetensors")
    with pytest.raises(MissingWeights, match="does not hold an Inception-I3D"):
        load_i3d(tmp_path / "net.safetensors")


def test_same_padding_puts_the_odd_zero_behind():
    assert same_padding((16, 224, 224), (7, 7, 7), (2, 2, 2)) == [2, 3, 2, 3, 2, 3]
    assert same_padding((9, 113, 112), (1, 3, 3), (1, 2, 2)) == [0, 1, 1, 1, 0, 0]
    assert same_padding((4, 7, 7), (2, 2, 2), (2, 2, 2)) == [0, 1, 0, 1, 0, 0]


@pytest.mark.parametrize("kernel", [(1, 3, 3), (3, 3, 3), (2, 2, 2)])
@pytest.mark.parametrize("stride", [(1, 1, 1), (1, 2, 2), (2, 2, 2)])
def test_max_pool_is_torchs(kernel, stride):
    x = torch.rand(2, 3, 5, 8, 7)
    expected = F.max_pool3d(pad_same(x, kernel, stride, -torch.inf), kernel, stride)
    assert torch.equal(MaxPool(kernel, stride)(x), expected)


def test_a_folded_unit_is_the_same_function():
    torch.manual_seed(0)
    unit = Unit(2, 3, 3, 2).eval()
    unit.bn.running_mean.uniform_(-1, 1)
    unit.bn.running_var.uniform_(0.1, 2)
    unit.bn.bias.data.uniform_(-1, 1)
    x = torch.rand(1, 2, 5, 6, 7)
    before = unit(x)
    unit.fold()
    unit.fold()  # again: nothing more to fold
    torch.testing.assert_close(unit(x), before, rtol=1e-5, atol=1e-6)
    assert module.BN_EPS == 1e-3

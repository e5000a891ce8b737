"""The U-Net: its shapes, its size, and that each of its inputs is used."""

import pytest
import torch

from wav2uti.condition.condition import Condition
from wav2uti.diffusion.blocks import PLACE_CHANNELS, TemporalConv, fourier_features, place_features
from wav2uti.diffusion.unet import UNet


def tiny(**options: object) -> UNet:
    torch.manual_seed(0)
    net = UNet(8, **{"channels": 16, "multipliers": (1, 2), "blocks": 1, **options})  # type: ignore[arg-type]
    for parameter in net.parameters():  # the zero-initialised layers too
        torch.nn.init.normal_(parameter, std=0.1)
    return net.eval()


def call(net: UNet, x: torch.Tensor, **changes: torch.Tensor) -> torch.Tensor:
    torch.manual_seed(1)
    clips, frames, size = x.shape[0], x.shape[2], x.shape[3]
    cond = torch.randn(clips, frames, 8)
    reference = torch.randn(clips, 1, size, size)
    out: torch.Tensor = net(
        x,
        changes.get("c_noise", torch.zeros(clips)),
        Condition(changes.get("cond", cond), changes.get("reference", reference) if net.reference else None),
    )
    return out


@pytest.mark.parametrize(("frames", "size", "patch"), [(1, 16, 1), (5, 16, 2), (16, 24, 2)])
def test_output_is_shaped_like_the_input(frames: int, size: int, patch: int) -> None:
    x = torch.randn(2, 1, frames, size, size)
    assert call(tiny(patch=patch), x).shape == x.shape


def test_begins_as_zero() -> None:
    net = UNet(8, channels=16, multipliers=(1, 2), blocks=1)
    out = net(torch.randn(1, 1, 4, 16, 16), torch.zeros(1), Condition(torch.randn(1, 4, 8)))
    assert torch.equal(out, torch.zeros_like(out))


def test_the_papers_size() -> None:
    """About 68 M parameters, as the authors' scripts have."""
    count = sum(p.numel() for p in UNet(256).parameters())
    assert 64e6 < count < 72e6


def test_every_input_matters() -> None:
    net = tiny(reference=True)
    x = torch.randn(1, 1, 4, 16, 16)
    before = call(net, x)
    for name, value in {
        "c_noise": torch.ones(1),
        "cond": torch.zeros(1, 4, 8),
        "reference": torch.zeros(1, 1, 16, 16),
    }.items():
        assert not torch.allclose(before, call(net, x, **{name: value}), atol=1e-3), name


def test_condition_acts_at_its_own_frame() -> None:
    """Without attention and through one temporal layer each, a change of the condition stays near its frame."""
    net = tiny(attention=False)
    x = torch.randn(1, 1, 32, 16, 16)
    torch.manual_seed(1)
    cond = torch.randn(1, 32, 8)
    changed = cond.clone()
    changed[0, 16] += 1
    change = (call(net, x, cond=cond) - call(net, x, cond=changed)).abs().amax(dim=(0, 1, 3, 4))
    assert change[16] > 10 * change[[0, 31]].max()


def test_clips_of_a_batch_do_not_mix() -> None:
    net = tiny(reference=True)
    x = torch.randn(2, 1, 4, 16, 16)
    before = call(net, x)
    x[1] += 1
    after = call(net, x)
    assert torch.allclose(before[0], after[0], atol=1e-5)
    assert not torch.allclose(before[1], after[1], atol=1e-3)


def test_temporal_convolution_is_conv3d() -> None:
    torch.manual_seed(0)
    layer = TemporalConv(8)
    torch.nn.init.normal_(layer.weight)
    x = torch.randn(2 * 6, 8, 3, 3)
    hidden = torch.nn.functional.silu(layer.norm(x)).unflatten(0, (2, 6)).transpose(1, 2)
    kernel = layer.weight.permute(2, 1, 0)[..., None, None]
    expected = torch.nn.functional.conv3d(hidden, kernel, padding=(1, 0, 0)).transpose(1, 2).flatten(0, 1)
    assert torch.allclose(layer(x, 6), x + expected, atol=1e-5)


def test_noise_levels_are_told_apart_in_fp32() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        features = fourier_features(torch.tensor([0.0, 0.01]), 32)
    assert features.dtype == torch.float32
    assert (features[0] - features[1]).norm() > 0.01


def test_odd_sizes_are_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match="do not divide by 4"):
        call(tiny(patch=2), torch.randn(1, 1, 2, 18, 18))


def test_every_pixel_has_its_own_place() -> None:
    places = place_features(8, 12, torch.device("cpu"))
    assert places.shape == (1, PLACE_CHANNELS, 8, 12)
    rows = places[0].flatten(1).T
    distances = torch.cdist(rows, rows) + 10 * torch.eye(len(rows))
    assert distances.min() > 0.1

"""The layers of the U-Net against PyTorch's plain ones."""

import pytest
import torch
from torch.nn import functional

from wav2uti.diffusion import blocks
from wav2uti.diffusion.blocks import (
    PLACE_CHANNELS,
    GroupNorm,
    TemporalConv,
    Upsample,
    fourier_features,
    join,
    place_features,
    to_clip,
    to_pictures,
)


def pictures(*shape: int) -> torch.Tensor:
    x = torch.randn(*shape, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    return x.requires_grad_()


def test_channels_last_clip_is_the_stack_of_pictures() -> None:
    clip = torch.randn(2, 5, 3, 4, 6).contiguous(memory_format=torch.channels_last_3d)
    stack = to_pictures(clip)
    assert stack.data_ptr() == clip.data_ptr()
    assert stack.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(stack[4], clip[1, :, 1])
    back = to_clip(stack, 3)
    assert back.data_ptr() == clip.data_ptr()
    assert back.is_contiguous(memory_format=torch.channels_last_3d)
    assert torch.equal(back, clip)
    grey = torch.randn(2, 1, 3, 4, 6)
    assert to_pictures(grey).data_ptr() == grey.data_ptr()


@pytest.mark.parametrize("modulated", [False, True])
def test_norm_scale_shift_and_silu_are_the_plain_layers(modulated: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "PIECE", 2 * 16 * 3 * 5)  # two of the five pictures at once
    torch.manual_seed(0)
    norm = GroupNorm(16).double()
    for parameter in norm.parameters():
        torch.nn.init.normal_(parameter)
    x = pictures(5, 16, 3, 5)
    given = tuple(torch.randn(5, 16, dtype=torch.float64, requires_grad=True) for _ in range(2)) if modulated else ()
    inputs = (x, *given, *norm.parameters())
    hidden = norm(x)
    if given:
        hidden = hidden * given[0][:, :, None, None] + given[1][:, :, None, None]
    expected, out = functional.silu(hidden), norm.silu(x, *given)
    assert torch.allclose(out, expected)
    grad = torch.randn_like(expected)
    for mine, plain in zip(
        torch.autograd.grad(out, inputs, grad), torch.autograd.grad(expected, inputs, grad), strict=True
    ):
        assert torch.allclose(mine, plain)


def test_norm_in_bf16_rounds_once() -> None:
    torch.manual_seed(0)
    norm = GroupNorm(16)
    x = torch.randn(3, 16, 4, 4).bfloat16().contiguous(memory_format=torch.channels_last).requires_grad_()
    exact = functional.silu(norm(x.float()))
    out = norm.silu(x)
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, exact.bfloat16())
    grad = torch.randn_like(exact).bfloat16()
    (mine,) = torch.autograd.grad(out, x, grad)
    (plain,) = torch.autograd.grad(exact, x, grad.float())
    assert torch.allclose(mine.float(), plain.float(), rtol=1e-2, atol=1e-2)


def test_join_is_a_concatenation_with_a_scaled_skip() -> None:
    torch.manual_seed(0)
    hidden, skip = pictures(3, 4, 2, 5), pictures(3, 6, 2, 5)
    scale = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    inputs = (hidden, skip, scale)
    expected, out = torch.cat([hidden, scale * skip], dim=1), join(hidden, skip, scale)
    assert torch.equal(out, expected)
    assert out.is_contiguous(memory_format=torch.channels_last)
    grad = torch.randn_like(expected)
    for mine, plain in zip(
        torch.autograd.grad(out, inputs, grad), torch.autograd.grad(expected, inputs, grad), strict=True
    ):
        assert torch.allclose(mine, plain)


def test_upsampling_is_doubling_then_a_convolution() -> None:
    torch.manual_seed(0)
    layer = Upsample(6).double()
    x = pictures(2, 6, 3, 5)
    inputs = (x, *layer.parameters())
    expected, out = layer.conv(functional.interpolate(x, scale_factor=2, mode="nearest")), layer(x)
    assert torch.allclose(out, expected)
    grad = torch.randn_like(expected)
    for mine, plain in zip(
        torch.autograd.grad(out, inputs, grad), torch.autograd.grad(expected, inputs, grad), strict=True
    ):
        assert torch.allclose(mine, plain)


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


def test_every_pixel_has_its_own_place() -> None:
    places = place_features(8, 12, torch.device("cpu"))
    assert places.shape == (1, PLACE_CHANNELS, 8, 12)
    rows = places[0].flatten(1).T
    distances = torch.cdist(rows, rows) + 10 * torch.eye(len(rows))
    assert distances.min() > 0.1

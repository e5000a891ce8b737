"""The earlier stage's clip: made small and large again, given noise, cut into windows; closed forms and laziness."""

import math
from collections.abc import Iterator
from itertools import product

import pytest
import torch
from torch import Tensor

from wav2uti.condition.condition import Condition
from wav2uti.diffusion.cascade import (
    EarlierStage,
    LowResolution,
    augment,
    enlarge,
    log_snr,
    noise_frames,
    shrink,
    whole_steps,
)
from wav2uti.diffusion.seeds import derived_seed
from wav2uti.diffusion.unet import UNet
from wav2uti.diffusion.windows import Reel, split
from wav2uti.errors import InputError


def ramp(frames: int, size: int) -> Tensor:
    """(1, 1, T, H, W), linear in time and in both directions."""
    t, y, x = (torch.arange(n, dtype=torch.float64) for n in (frames, size, size))
    return (0.3 * t[:, None, None] - 0.2 * y[:, None] + 0.1 * x)[None, None]


@pytest.mark.parametrize(("size", "step"), [(8, 1), (4, 1), (2, 1), (8, 3), (4, 2), (6, 1)])
def test_a_ramp_made_small_and_large_again_is_the_ramp(size: int, step: int) -> None:
    """But at the edges of the picture, and after the last low frame, which is held."""
    clip = ramp(10, 12 if size == 6 else 8)
    full = clip.shape[-1]
    low = shrink(clip, size, step)
    assert low.shape == (1, 1, math.ceil(10 / step), size, size)
    again = enlarge(low, 10, full, step)
    assert again.shape == clip.shape
    edge, last = full // size // 2, (9 // step) * step
    inside = (slice(None), slice(None), slice(last + 1), slice(edge, full - edge), slice(edge, full - edge))
    torch.testing.assert_close(again[inside], clip[inside])
    for held in range(last + 1, 10):
        assert torch.equal(again[:, :, held], again[:, :, last])


def test_a_size_that_does_not_divide_keeps_the_ramp() -> None:
    low = shrink(ramp(2, 9), 6)
    middles = (torch.arange(6, dtype=torch.float64) + 0.5) * 1.5 - 0.5
    # The triangle is sampled at the pixels, so that it is a ramp to a hundredth of a pixel's step.
    torch.testing.assert_close(low[0, 0, 0, 2, 1:-1], -0.2 * middles[2] + 0.1 * middles[1:-1], atol=0.02, rtol=0)


def test_shrinking_twice_is_shrinking_once() -> None:
    """The frames that an earlier stage is trained on are those that a later stage makes of its own."""
    clip = torch.randn(2, 1, 13, 12, 12, dtype=torch.float64)
    torch.testing.assert_close(shrink(shrink(clip, 6, 2), 3, 2), shrink(clip, 3, 4))


def test_log_snr_is_that_of_the_noise() -> None:
    level = torch.linspace(0.01, 0.99, 25)
    alpha, sigma = (level * math.pi / 2).cos(), (level * math.pi / 2).sin()
    torch.testing.assert_close(log_snr(level), (alpha.square() / sigma.square()).log(), rtol=1e-4, atol=1e-4)
    ends = log_snr(torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(ends, torch.tensor([10.0, -10.0]))
    assert (log_snr(torch.linspace(0, 1, 101)).diff() <= 0).all()


@pytest.mark.parametrize("level", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_the_augmented_clip_has_unit_variance(level: float) -> None:
    generator = torch.Generator().manual_seed(0)
    z, n = torch.randn(2, 4, 1, 8, 32, 32, generator=generator)
    out = augment(z, log_snr(torch.full((4,), level)), n)
    assert out.var().item() == pytest.approx(1, abs=0.03)
    alpha = math.cos(level * math.pi / 2)
    assert (out * z).mean().item() == pytest.approx(alpha, abs=0.03)
    if level == 0:  # clean but for a fifth of a grey value, of frames whose deviation is 0.2 on [-1, 1]
        assert (out - z).square().mean().sqrt() * 0.2 < 0.2 / 127.5


def test_each_clip_has_its_own_level() -> None:
    z, n = torch.ones(3, 1, 2, 4, 4), torch.zeros(3, 1, 2, 4, 4)
    out = augment(z, log_snr(torch.tensor([0.0, 0.5, 1.0])), n)[:, 0, 0, 0, 0]
    torch.testing.assert_close(out, torch.tensor([1, 0.5**0.5, math.exp(-5)]), rtol=1e-3, atol=1e-3)


def test_the_clip_is_normalised_before_noise_is_added() -> None:
    """Noise of unit variance on frames about -0.9 with deviation 0.2 would leave nothing of them."""
    stage = EarlierStage(LowResolution(4), 8, 1, mean=-0.9, std=0.2)
    frames = -0.9 + 0.2 * torch.randn(64, 1, 4, 4, 4).repeat_interleave(2, 3).repeat_interleave(2, 4)
    seen = stage.of_real(frames, torch.zeros(64), torch.zeros_like(frames)).low
    assert abs(float(seen.mean())) < 0.05
    # Bilinear enlarging smooths white noise.
    assert 0.5 < float(seen.std()) < 1


def parts_of(frames: Tensor, sizes: tuple[int, ...] = (3, 1, 5)) -> Iterator[Tensor]:
    while len(frames):
        for n in sizes:
            if len(frames):
                yield frames[:n]
                frames = frames[n:]


@pytest.mark.parametrize(("step", "frames", "clip"), list(product([1, 2, 3], [5, 12, 13, 40], [8, 12])))
def test_windows_of_a_recording_are_seen_as_training_clips_are(step: int, frames: int, clip: int) -> None:
    stage = EarlierStage(LowResolution(4, step), 8, 1, -0.5, 0.3)
    real = torch.randn(frames, 8, 8)
    overlap = whole_steps(clip, clip // 2, step)
    windows = split(frames, clip, overlap)
    low = shrink(real, 4, step)
    noise = Reel(noise_frames(7, 8))
    for window, seen in enumerate(stage.of_windows(parts_of(low), windows, 0.2, seed=7)):
        begin = window * windows.hop
        assert begin % step == 0
        grain = noise.frames(begin + torch.arange(windows.length))[None, None]
        inside = min(windows.length, frames - begin)
        trained = stage.of_real(real[begin : begin + inside][None, None], torch.tensor([0.2]), grain[:, :, :inside])
        torch.testing.assert_close(seen.low[:, :, :inside], trained.low)
        assert torch.equal(seen.low_log_snr, trained.low_log_snr)
        assert seen.low.shape == (1, 1, windows.length, 8, 8)
    assert window == windows.count - 1


def test_parts_are_asked_for_as_the_windows_need_them() -> None:
    asked = 0

    def parts() -> Iterator[Tensor]:
        nonlocal asked
        for _ in range(10_000):
            asked += 2
            yield torch.zeros(2, 4, 4)

    stage = EarlierStage(LowResolution(4, 2), 8, 1, 0.0, 1.0)
    windows = split(40_000, 16, 8)
    seen = stage.of_windows(parts(), windows, 0.2, seed=0)
    assert asked == 0
    for window in range(20):
        next(seen)
        assert asked == 4 * window + 8


@pytest.mark.parametrize("step", range(1, 8))
def test_windows_begin_where_the_earlier_stage_has_a_frame(step: int) -> None:
    for clip in range(step, 24):
        for overlap in range(clip // 2 + 1):
            found = whole_steps(clip, overlap, step)
            assert 0 <= found <= clip // 2 or clip < 2 * step
            assert split(100, clip, min(found, clip // 2)).hop % step == 0
            if step == 1:
                assert found == overlap
    with pytest.raises(InputError, match="clips of 1 frame"):
        whole_steps(1, 0, 2)


@pytest.mark.parametrize(
    ("low", "size", "step"), [(LowResolution(16), 8, 1), (LowResolution(8), 16, 2), (LowResolution(8, 3), 16, 2)]
)
def test_stages_that_cannot_follow(low: LowResolution, size: int, step: int) -> None:
    with pytest.raises(InputError, match=f"draws {size}x{size} at .* cannot follow one of {low.size}x{low.size}"):
        low.check(size, step)


def test_sizes_and_steps_are_counts() -> None:
    LowResolution(8, 4).check(16, 2)
    LowResolution(8, 4).check(8, 1)
    for size, step in ((0, 1), (8, 0)):
        with pytest.raises(InputError, match="must be 1 or more"):
            LowResolution(size, step)


def test_noise_and_seeds_are_their_own() -> None:
    assert derived_seed(0, "a") != derived_seed(0, "b") != derived_seed(1, "b")
    one, other = next(noise_frames(0, 16)), next(noise_frames(1, 16))
    assert one.shape[1:] == (16, 16)
    assert one.std().item() == pytest.approx(1, abs=0.05)
    assert abs((one * other).mean().item()) < 0.05


def small_unet(**options: bool) -> UNet:
    torch.manual_seed(0)
    net = UNet(8, channels=16, multipliers=(1, 2), blocks=1, **options)
    for parameter in net.parameters():
        if not parameter.any():  # a network begins as F = 0, and its blocks as the identity
            torch.nn.init.normal_(parameter, std=0.1)
    return net


def test_only_the_network_of_a_later_stage_knows_of_low() -> None:
    first, later = small_unet().state_dict(), small_unet(low=True).state_dict()
    assert not [name for name in first if "low" in name]
    assert set(later) - set(first) == {f"low_noise.{k}.{name}" for k in (0, 2) for name in ("weight", "bias")}
    assert later["first.weight"].shape[1] == first["first.weight"].shape[1] + 1


def test_the_network_sees_the_earlier_clip_and_its_noise() -> None:
    net = small_unet(low=True)
    x, c_noise = torch.randn(2, 1, 3, 8, 8), torch.zeros(2)
    cond = Condition(torch.randn(2, 3, 8), low=torch.randn(2, 1, 3, 8, 8), low_log_snr=torch.zeros(2))
    with torch.no_grad():
        out = net(x, c_noise, cond)
        assert out.shape == x.shape
        assert cond.low is not None
        assert not torch.allclose(out, net(x, c_noise, cond._replace(low=-cond.low)))
        assert not torch.allclose(out, net(x, c_noise, cond._replace(low_log_snr=torch.full((2,), 2.0))))
        with pytest.raises(ValueError, match="got no clip of an earlier stage"):
            net(x, c_noise, Condition(cond.frames))

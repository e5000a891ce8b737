import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from wav2uti.metrics import pixel


def pair(*shape, seed=0):
    """Smooth frames with black borders, and a noisy version of them, both uint8."""
    generator = torch.Generator().manual_seed(seed)
    real = torch.nn.functional.avg_pool2d(torch.rand((1, 30, 52, 60), generator=generator), 5, 1, 2)[0] * 400 - 80
    real = real.clamp(0, 255).round()
    generated = (real + 20 * torch.randn(real.shape, generator=generator)).clamp(0, 255).round()
    frames = int(np.prod(shape[:-2]))
    return tuple(v[:frames, : shape[-2], : shape[-1]].reshape(shape).to(torch.uint8) for v in (generated, real))


def each_frame(function, generated, real):
    pairs = zip(generated.reshape(-1, *generated.shape[-2:]), real.reshape(-1, *real.shape[-2:]), strict=True)
    return np.array([function(a.numpy(), b.numpy()) for a, b in pairs])


def skimage_psnr(a, b):
    return peak_signal_noise_ratio(b, a, data_range=255)


def skimage_ssim(a, b):
    return structural_similarity(a, b, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)


def numpy_rmse(a, b):
    return np.sqrt(np.mean((a.astype(float) - b.astype(float)) ** 2))


@pytest.mark.parametrize(
    ("ours", "theirs"), [(pixel.rmse, numpy_rmse), (pixel.psnr, skimage_psnr), (pixel.ssim, skimage_ssim)]
)
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
def test_scores_are_the_means_over_frames_of_skimage_and_numpy(ours, theirs, kind):
    generated, real = pair(2, 1, 3, 48, 60)
    expected = each_frame(theirs, generated, real).reshape(2, 3).mean(1)
    torch.testing.assert_close(
        ours(generated.to(kind), real.to(kind)), torch.from_numpy(expected), rtol=1e-7, atol=1e-7
    )
    assert ours(generated[0, 0], real[0, 0]).item() == pytest.approx(expected[0], rel=1e-6)


def test_frames_are_averaged_not_pixels():
    real = torch.zeros(2, 4, 4)
    generated = torch.stack([torch.zeros(4, 4), torch.full((4, 4), 40.0)])
    assert pixel.rmse(generated, real).item() == 20  # over all pixels at once it would be 28.3
    assert pixel.psnr(generated, real).item() == pytest.approx((100 + 10 * np.log10(255**2 / 1600)) / 2)


def test_identical_frames():
    _, real = pair(3, 48, 60)
    assert pixel.rmse(real, real).item() == 0
    assert pixel.psnr(real, real).item() == pixel.MAX_PSNR
    assert pixel.ssim(real, real).item() == pytest.approx(1)


def test_the_cap_of_psnr_is_above_the_smallest_error_there_can_be():
    real = torch.zeros(1, 112, 112)
    generated = real.clone()
    generated[0, 5, 5] = 1
    assert pixel.psnr(generated, real).item() == pytest.approx(89.115, abs=0.01)


def test_wrapped_scores_are_what_uint8_arrays_give():
    generated, real = pair(4, 48, 60)
    squares = (generated.numpy() - real.numpy()) ** 2
    assert squares.dtype == np.uint8
    root = np.sqrt(squares.mean((1, 2)))
    assert pixel.rmse_uint8_wrapped(generated, real).item() == pytest.approx(root.mean())
    assert pixel.psnr_uint8_wrapped(generated, real).item() == pytest.approx((20 * np.log10(255 / root)).mean())


def test_wrapped_scores_hide_how_bad_black_is():
    _, real = pair(4, 48, 60)
    black = torch.zeros_like(real)
    assert pixel.rmse(black, real) > 60
    assert pixel.rmse_uint8_wrapped(black, real) < 11


@pytest.mark.parametrize("score", [pixel.rmse, pixel.psnr, pixel.ssim])
def test_shapes_must_agree(score):
    with pytest.raises(ValueError, match="differ in shape"):
        score(torch.zeros(2, 16, 16), torch.zeros(1, 16, 16))


def test_ssim_needs_its_window():
    with pytest.raises(ValueError, match="11x11"):
        pixel.ssim(torch.zeros(1, 8, 8), torch.zeros(1, 8, 8))


@pytest.mark.parametrize(
    ("metric", "score"), [(pixel.RMSE, pixel.rmse), (pixel.PSNR, pixel.psnr), (pixel.SSIM, pixel.ssim)]
)
def test_metric_classes_average_clips_of_uneven_batches(metric, score):
    generated, real = pair(5, 1, 2, 24, 24)
    instance = metric()
    instance.update(generated[:4], real[:4])
    instance.update(generated[4:], real[4:])
    assert instance.compute().item() == pytest.approx(score(generated, real).mean().item(), rel=1e-12)
    instance.reset()
    instance.update(generated[0, 0], real[0, 0])
    assert instance.compute().item() == pytest.approx(score(generated[0, 0], real[0, 0]).item())

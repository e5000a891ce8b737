"""RMSE, PSNR and SSIM of frames on the 0-255 scale, computed in float.

    RMSE = sqrt(MSE)          PSNR = 10 log10(255^2 / MSE)          MSE = mean over the pixels of one frame

Each is taken frame by frame and then averaged over the frames of a clip, never over all pixels of a clip at once.

The scores of the paper's tables come from uint8 arrays, whose squared differences wrap modulo 256: an all-black video
then scores like a generated one (RMSE 5.74 where the true value is 29.3). `rmse_uint8_wrapped` and
`psnr_uint8_wrapped` reproduce those columns and say nothing about a picture.
"""

import torch
from torch import Tensor
from torchmetrics import Metric

PEAK = 255.0
SSIM_SIGMA = 1.5
SSIM_WINDOW = 11  # pixels; Wang et al. 2004
SSIM_C1, SSIM_C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
# Of identical frames PSNR is infinite. One grey level in one pixel of 112x112 gives 89 dB: the cap is above all others.
MAX_PSNR = 100.0


def rmse(generated: Tensor, real: Tensor) -> Tensor:
    """Root mean squared error in grey values, the mean over the frames.

    generated, real: uint8 or float on 0-255, (B, 1, T, H, W) gives (B,), (T, H, W) gives a scalar; float64.
    Raises ValueError where the shapes differ.

    >>> real = torch.zeros(2, 4, 4)
    >>> generated = torch.stack([torch.full((4, 4), 10.0), torch.full((4, 4), 20.0)])
    >>> rmse(generated, real).item()
    15.0
    """
    return _mse(generated, real).sqrt().mean(-1)


def psnr(generated: Tensor, real: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB with the peak 255, the mean over the frames; a frame scores 100 dB at most.

    Shapes and errors as for `rmse`.

    >>> round(psnr(torch.full((1, 4, 4), 20.0), torch.zeros(1, 4, 4)).item(), 4)
    22.1102
    """
    return _psnr(_mse(generated, real))


def ssim(generated: Tensor, real: Tensor) -> Tensor:
    """Structural similarity, the mean over the frames: Gaussian window with sigma 1.5, 1 for identical frames.

    Wang et al. 2004 over the places where the window of 11x11 pixels fits whole, as scikit-image computes it with
    gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255. (torchmetrics 1.9 also averages the
    border, over reflected pixels: 0.646 where this gives 0.596, on noisy 48x60 frames.)
    Shapes and errors as for `rmse`; ValueError also for frames smaller than the window.

    >>> frames = torch.arange(256.0).view(1, 16, 16)
    >>> round(ssim(frames, frames).item(), 4), round(ssim(255 - frames, frames).item(), 4)
    (1.0, -0.8262)
    """
    generated, real = _checked(generated, real)
    height, width = real.shape[-2:]
    if min(height, width) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs frames of at least {SSIM_WINDOW}x{SSIM_WINDOW} pixels, not {height}x{width}")
    down, across = _gaussian_window(height, real), _gaussian_window(width, real).T

    def local_mean(image: Tensor) -> Tensor:
        return down @ image @ across

    mean_g, mean_r = local_mean(generated), local_mean(real)
    variance_g = local_mean(generated.square()) - mean_g.square()
    variance_r = local_mean(real.square()) - mean_r.square()
    covariance = local_mean(generated * real) - mean_g * mean_r
    luminance = (2 * mean_g * mean_r + SSIM_C1) / (mean_g.square() + mean_r.square() + SSIM_C1)
    structure = (2 * covariance + SSIM_C2) / (variance_g + variance_r + SSIM_C2)
    return (luminance * structure).mean((-2, -1)).mean(-1)


def rmse_uint8_wrapped(generated: Tensor, real: Tensor) -> Tensor:
    """The published script's RMSE: squared differences of uint8 wrap modulo 256. Wrong; only to compare with Table 1.

    generated, real: uint8; shapes as for `rmse`.

    >>> black, grey = torch.zeros(1, 4, 4, dtype=torch.uint8), torch.full((1, 4, 4), 16, dtype=torch.uint8)
    >>> rmse(black, grey).item(), rmse_uint8_wrapped(black, grey).item()
    (16.0, 0.0)
    """
    return _wrapped_mse(generated, real).sqrt().mean(-1)


def psnr_uint8_wrapped(generated: Tensor, real: Tensor) -> Tensor:
    """The published script's PSNR, from the same wrapped squares as `rmse_uint8_wrapped`."""
    return _psnr(_wrapped_mse(generated, real))


def _checked(generated: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Both in float64, (B, T, H, W) or (T, H, W)."""
    if generated.shape != real.shape:
        raise ValueError(f"generated frames {tuple(generated.shape)} and real ones {tuple(real.shape)} differ in shape")
    if real.ndim == 5:
        generated, real = generated.squeeze(1), real.squeeze(1)
    return generated.double(), real.double()


def _mse(generated: Tensor, real: Tensor) -> Tensor:
    """Mean squared error of each frame, float64 (B, T) or (T,)."""
    generated, real = _checked(generated, real)
    return (generated - real).square().mean((-2, -1))


def _wrapped_mse(generated: Tensor, real: Tensor) -> Tensor:
    """Like `_mse`, with the squares modulo 256 as uint8 arithmetic leaves them."""
    generated, real = _checked(generated, real)
    return (generated - real).square().remainder(256).mean((-2, -1))


def _psnr(mse: Tensor) -> Tensor:
    """Mean over the frames of the PSNR for their mean squared errors (..., T)."""
    return (10 * (PEAK**2 / mse).log10()).clamp_max(MAX_PSNR).mean(-1)


def _gaussian_window(size: int, like: Tensor) -> Tensor:
    """The Gaussian window along one side as a matrix (size - 10, size): a matrix product is the fast filter here."""
    places = torch.arange(size - SSIM_WINDOW + 1, device=like.device)
    offset = torch.arange(size, device=like.device) - places[:, None]  # 0 at the first pixel of the window
    weight = (-((offset - SSIM_WINDOW // 2) ** 2) / (2 * SSIM_SIGMA**2)).to(like.dtype).exp()
    weight = weight * ((offset >= 0) & (offset < SSIM_WINDOW))
    return weight / weight.sum(1, keepdim=True)


class _ClipMean(Metric):
    """Mean over clips of a score of a clip; its sums add up exactly over processes."""

    is_differentiable = False
    full_state_update = False
    total: Tensor
    clips: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("clips", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, generated: Tensor, real: Tensor) -> None:
        """Adds clips, shaped as for `rmse`."""
        values = self.score(generated, real)
        self.total += values.sum()
        self.clips += values.numel()

    def compute(self) -> Tensor:
        """The mean over all clips so far."""
        return self.total / self.clips

    @staticmethod
    def score(generated: Tensor, real: Tensor) -> Tensor:
        """One value a clip."""
        raise NotImplementedError


class RMSE(_ClipMean):
    """`rmse`, the mean over the frames of a clip and then over clips.

    >>> metric = RMSE()
    >>> metric.update(torch.full((1, 4, 4), 10.0), torch.zeros(1, 4, 4))
    >>> metric.update(torch.full((1, 4, 4), 30.0), torch.zeros(1, 4, 4))
    >>> metric.compute().item()
    20.0
    """

    higher_is_better = False
    score = staticmethod(rmse)


class PSNR(_ClipMean):
    """`psnr`, the mean over the frames of a clip and then over clips.

    >>> metric = PSNR()
    >>> metric.update(torch.full((1, 4, 4), 20.0), torch.zeros(1, 4, 4))
    >>> round(metric.compute().item(), 4)
    22.1102
    """

    higher_is_better = True
    score = staticmethod(psnr)


class SSIM(_ClipMean):
    """`ssim`, the mean over the frames of a clip and then over clips.

    >>> metric = SSIM()
    >>> metric.update(torch.zeros(1, 16, 16), torch.zeros(1, 16, 16))
    >>> round(metric.compute().item(), 4)
    1.0
    """

    higher_is_better = True
    score = staticmethod(ssim)

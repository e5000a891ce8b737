"""The cascade: a later stage draws on the clip of the stage before it, which is smaller or has fewer frames a second.

    stage k    p(v_k | v_{k-1}, cond)         each stage an EDM model of its own; v_{-1} is nothing

In training the earlier clip is made of the real one: `shrink`. The network sees it in the size of its own clip,
`enlarge`, and with noise: in drawing the earlier clip is a model's, whose mistakes a later stage would else take for
the truth (noise conditioning augmentation, Ho et al. 2022, "Cascaded diffusion models for high fidelity image
generation"). The noise is added to the clip normalised by the mean and the standard deviation of the training frames,

    z' = alpha z + sigma n,    alpha^2 + sigma^2 = 1,    n ~ N(0, 1):

our pictures lie about -0.9 with a deviation of about 0.2, and noise of unit variance on that scale would drown them at
nearly every level. How much noise there is, the network is told as log-SNR = ln(alpha^2 / sigma^2); `log_snr` makes it
of a level from 0 to 1, in training and drawing alike.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from wav2uti.clock import FPS
from wav2uti.diffusion.seeds import derived_generator
from wav2uti.diffusion.windows import Reel, Windows
from wav2uti.errors import InputError

# log-SNR at levels 0 and 1 is this and its negative: at level 0 a fifth of a grey value of noise is left.
LARGEST_LOG_SNR = 10.0
# Frames of noise drawn at once where a recording is long.
NOISE_FRAMES = 16


@dataclass(frozen=True)
class LowResolution:
    """What the stage before draws.

    Args:
        size: height and width of its frames in pixels.
        frame_step: it has every so many of the 60 frames a second.
    """

    size: int
    frame_step: int = 1

    def __post_init__(self) -> None:
        if self.size < 1 or self.frame_step < 1:
            raise InputError(f"low.size ({self.size}) and low.frame_step ({self.frame_step}) must be 1 or more.")

    def check(self, size: int, frame_step: int) -> None:
        """Raise an InputError where a stage of this size and frame step cannot follow."""
        if self.size > size or self.frame_step % frame_step:
            raise InputError(
                f"A stage that draws {size}x{size} at {FPS / frame_step:g} frames a second cannot follow one of "
                f"{self.size}x{self.size} at {FPS / self.frame_step:g}: the earlier frames are no larger, and the "
                "later rate is a whole multiple of the earlier one."
            )


class Seen(NamedTuple):
    """What the network is told of the earlier stage's clip; the fields of a `Condition`."""

    low: Tensor  # (B, 1, T, H, W), of about unit variance
    low_log_snr: Tensor  # (B,)


@dataclass(frozen=True)
class EarlierStage:
    """The clip of the stage before as a later stage's network sees it.

    Attributes:
        low: what that stage draws.
        size, frame_step: those of the later stage.
        mean, std: of the later stage's training frames on [-1, 1].
    """

    low: LowResolution
    size: int
    frame_step: int
    mean: float
    std: float

    @property
    def step(self) -> int:
        """Frames of the later stage for one of the earlier."""
        return self.low.frame_step // self.frame_step

    def see(self, low: Tensor, level: Tensor, noise: Tensor) -> Seen:
        """The one way of an earlier clip to the network, in training and in drawing.

        low: (B, 1, t, h, w) in [-1, 1]. level: (B,), of the noise. noise: (B, 1, T, H, W), standard normal.
        """
        clip = enlarge(low.float(), noise.shape[2], self.size, self.step)
        ratio = log_snr(level)
        return Seen(augment((clip - self.mean) / self.std, ratio, noise), ratio)

    def of_real(self, frames: Tensor, level: Tensor, noise: Tensor) -> Seen:
        """The clip that the stage before would make of real ones, `frames` (B, 1, T, H, W)."""
        return self.see(shrink(frames, self.low.size, self.step), level, noise)

    def of_windows(self, parts: Iterator[Tensor], windows: Windows, level: float, seed: int) -> Iterator[Seen]:
        """The clip of each window of a recording, in order, out of the earlier stage's frames.

        parts: (n, h, w), all of them in order; read as the windows need them, and those behind them forgotten. A
        window begins where the earlier stage has a frame, as a training clip does (see `whole_steps`), and holds
        their last frame in the frames after it, as there.
        """
        frames, grain = Reel(parts), Reel(noise_frames(seed, self.size))
        last = len(range(0, windows.frames, self.step)) - 1
        for window in range(windows.count):
            begin = window * windows.hop
            places = begin // self.step + torch.arange(len(range(0, windows.length, self.step)))
            low = frames.frames(places.clamp(max=last))
            # A frame's noise is its own, whichever window sees it.
            noise = grain.frames(begin + torch.arange(windows.length)).to(low.device)
            yield self.see(low[None, None], torch.tensor([level], device=low.device), noise[None, None])


def shrink(frames: Tensor, size: int, step: int = 1) -> Tensor:
    """A clip (..., T, H, W) as (..., ceil(T / step), size, size): areas averaged in space, every step-th frame in time.

    Where H is no multiple of `size` the averaging filter is a triangle.
    """
    frames = frames[..., ::step, :, :]
    height, width = frames.shape[-2:]
    if (height, width) == (size, size):
        return frames
    pictures = frames.reshape(-1, 1, height, width)
    if height % size == 0 and width % size == 0:
        small = functional.avg_pool2d(pictures, (height // size, width // size))
    else:
        small = functional.interpolate(pictures, (size, size), mode="bilinear", antialias=True)
    return small.reshape(*frames.shape[:-2], size, size)


def enlarge(low: Tensor, frames: int, size: int, step: int = 1) -> Tensor:
    """A low clip (..., t, h, w) in the size of a later stage's clip: (..., frames, size, size).

    Bilinear in space between the middles of the pixels. In time low frame k stands at frame k * step; those between
    are interpolated, and those after the last hold it.
    """
    *batch, _, height, width = low.shape
    places = torch.arange(frames, device=low.device)
    before = places // step
    after = (before + 1).clamp(max=low.shape[-3] - 1)
    part = (places % step / step).to(low.dtype).view(-1, 1, 1)
    clip = low if step == 1 else torch.lerp(low[..., before, :, :], low[..., after, :, :], part)
    clip = clip[..., :frames, :, :]
    if (height, width) == (size, size):
        return clip
    pictures = clip.reshape(-1, 1, height, width)
    large = functional.interpolate(pictures, (size, size), mode="bilinear", align_corners=False)
    return large.reshape(*batch, frames, size, size)


def checked_level(level: float) -> float:
    """The level of the augmentation, for `log_snr`.

    Raises:
        InputError: it is none.
    """
    if not 0 <= level <= 1:
        raise InputError(f"augmentation is a level of noise from 0 to 1, not {level:g}.")
    return level


def log_snr(level: Tensor) -> Tensor:
    """ln(alpha^2 / sigma^2) of the augmentation at levels 0 (clean) to 1 (noise alone), any shape, float32.

    alpha = cos(level pi / 2) and sigma = sin(level pi / 2), the cosine schedule (Nichol and Dhariwal 2021), within
    +-10, where the tangent would not be finite.

    >>> [round(ratio, 2) for ratio in log_snr(torch.tensor([0.0, 0.2, 1.0])).tolist()]
    [10.0, 2.25, -10.0]
    """
    least = math.atan(math.exp(-LARGEST_LOG_SNR / 2))
    angle = (level.double() * (math.pi / 2)).clamp(least, math.pi / 2 - least)
    return (-2 * angle.tan().log()).float()


def augment(z: Tensor, log_snr: Tensor, noise: Tensor) -> Tensor:
    """alpha z + sigma n at log-SNR (B,), which says alpha and sigma; `z` normalised, noise like z (B, ...)."""
    ratio = log_snr.view(-1, *[1] * (z.ndim - 1))
    return ratio.sigmoid().sqrt() * z + (-ratio).sigmoid().sqrt() * noise


def whole_steps(clip: int, overlap: int, step: int) -> int:
    """The overlap next to `overlap` with which windows of `clip` frames begin at multiples of `step`.

    In a training clip the first frame is always one that the earlier stage has; so it is in a window.

    >>> whole_steps(16, 8, 2), whole_steps(15, 7, 4), whole_steps(16, 0, 3)
    (8, 7, 1)
    """
    if clip < step:
        raise InputError(
            f"The model was trained on clips of {clip} frame(s), and the stage before has one in {step}: train it on "
            f"clips of {step} frames or more (data.clip_frames) before it draws recordings."
        )
    hop = -(-(clip - overlap) // step) * step
    return clip - (hop if hop <= clip else clip // step * step)


def noise_frames(seed: int, size: int) -> Iterator[Tensor]:
    """Standard normal frames (n, size, size) without end: the augmentation's noise for a recording of any length."""
    generator = derived_generator(seed, "augmentation")
    while True:
        yield torch.randn(NOISE_FRAMES, size, size, generator=generator)

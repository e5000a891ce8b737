"""Recordings longer than a training clip: overlapping windows, denoised side by side and blended at every step.

The sampler works on the whole recording; only the denoiser sees windows. Where two overlap their estimates are averaged
with weights that rise from each window's edge, at every step (Bar-Tal et al. 2023, MultiDiffusion), so that neighbours
agree long before the picture is clear and no seam is left.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from wav2uti.condition.condition import Condition
from wav2uti.diffusion.sampler import Denoise


class Windows(NamedTuple):
    """Windows of one `length` over a recording of `frames`, by their first frames."""

    frames: int
    length: int
    starts: tuple[int, ...]


def split(frames: int, clip: int, overlap: int) -> Windows:
    """Cover a recording with windows of `clip` frames that share at least `overlap`, evenly spread.

    >>> split(40, 16, 8).starts, split(10, 16, 8)
    ((0, 8, 16, 24), Windows(frames=10, length=10, starts=(0,)))
    """
    if not 0 <= overlap < clip:
        raise ValueError(f"an overlap of {overlap} frames does not fit windows of {clip}")
    if frames <= clip:
        return Windows(frames, frames, (0,))
    count = -(-(frames - overlap) // (clip - overlap))
    return Windows(frames, clip, tuple(round(i * (frames - clip) / (count - 1)) for i in range(count)))


def blend_weights(length: int) -> Tensor:
    """Weight of each frame of a window: a triangle, never zero. (length,)."""
    ramp = torch.arange(1, length + 1, dtype=torch.float32)
    return torch.minimum(ramp, ramp.flip(0))


def windowed(bind: Callable[[Condition], Denoise], cond: Condition, windows: Windows, at_once: int) -> Denoise:
    """A `denoise(x, sigma)` for one whole recording, x (1, C, T, H, W).

    Args:
        bind: makes the `denoise` of a batch of windows from their condition.
        cond: the condition of the recording, frames (1, T, W).
        windows: from `split`.
        at_once: windows in one call of the network; bounds memory whatever the recording's length.
    """
    length = windows.length
    weights = blend_weights(length).to(cond.frames.device)
    total = torch.zeros(windows.frames, device=cond.frames.device)
    for start in windows.starts:
        total[start : start + length] += weights
    groups = []
    for first in range(0, len(windows.starts), at_once):
        starts = windows.starts[first : first + at_once]
        part = Condition(
            torch.cat([cond.frames[:, s : s + length] for s in starts]),
            None if cond.reference is None else cond.reference.expand(len(starts), -1, -1, -1),
            None if cond.draft is None else torch.cat([cond.draft[:, :, s : s + length] for s in starts]),
        )
        groups.append((starts, bind(part)))

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        blended = torch.zeros_like(x)
        for starts, denoise_windows in groups:
            clips = torch.cat([x[:, :, s : s + length] for s in starts])
            for start, clip in zip(starts, denoise_windows(clips, sigma.expand(len(starts))), strict=True):
                blended[0, :, start : start + length] += clip * weights[:, None, None]
        return blended / total[:, None, None]

    return denoise

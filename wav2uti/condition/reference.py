"""The speaker's reference frame as the network sees it.

Sound does not tell where a probe was held or how large a mouth is: the tongue of a speaker never seen in training
cannot be placed from sound alone. One frame of the speaker, taken outside the clip, tells. `none` is the paper's
setting.
"""

import torch
from torch import Tensor

# What stands for "no reference frame": a black picture, which no recording looks like.
ABSENT = -1.0


def absent(clips: int, size: tuple[int, int], device: torch.device | str = "cpu") -> Tensor:
    """The reference (B, 1, H, W) of clips without one."""
    return torch.full((clips, 1, *size), ABSENT, device=device)


def drop(reference: Tensor, dropped: Tensor) -> Tensor:
    """Take a reference (B, 1, H, W), or a draft, away where `dropped` (B,) is true: the model learns to do without."""
    return torch.where(dropped.view(-1, *[1] * (reference.ndim - 1)), ABSENT, reference)

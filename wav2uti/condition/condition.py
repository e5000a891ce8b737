"""`Condition`: all that the network is told about a clip besides its noisy frames."""

from typing import NamedTuple

import torch
from torch import Tensor


class Condition(NamedTuple):
    """What guides the denoiser.

    Attributes:
        frames: (B, T, W), one vector for each frame, fused from sound and text (the paper's f_c).
        reference: (B, 1, H, W) in [-1, 1], a frame of the speaker, or None where the model uses none.
    """

    frames: Tensor
    reference: Tensor | None = None


def concatenate(*conditions: Condition) -> Condition:
    """Join conditions along the batch, so that one call of the network serves them all."""
    references = [c.reference for c in conditions if c.reference is not None]
    if references and len(references) != len(conditions):
        raise ValueError("conditions with and without a reference frame cannot share a batch")
    return Condition(
        frames=torch.cat([c.frames for c in conditions]),
        reference=torch.cat(references) if references else None,
    )

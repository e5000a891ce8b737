"""`Condition`: all that the network is told about a clip besides its noisy frames."""

from typing import NamedTuple

import torch
from torch import Tensor


class Condition(NamedTuple):
    """What guides the denoiser.

    Attributes:
        frames: (B, T, W), one vector for each frame, fused from sound and text (the paper's f_c).
        reference: (B, 1, H, W) in [-1, 1], a frame of the speaker, or None where the model uses none.
        draft: (B, 1, T, H, W) in [-1, 1], a blurred clip to begin from (the paper's v0), or None where the model uses
            none.
    """

    frames: Tensor
    reference: Tensor | None = None
    draft: Tensor | None = None


def concatenate(*conditions: Condition) -> Condition:
    """Join conditions along the batch, so that one call of the network serves them all."""
    references = [c.reference for c in conditions if c.reference is not None]
    drafts = [c.draft for c in conditions if c.draft is not None]
    for name, pictures in (("reference frame", references), ("draft", drafts)):
        if pictures and len(pictures) != len(conditions):
            raise ValueError(f"conditions with and without a {name} cannot share a batch")
    return Condition(
        frames=torch.cat([c.frames for c in conditions]),
        reference=torch.cat(references) if references else None,
        draft=torch.cat(drafts) if drafts else None,
    )

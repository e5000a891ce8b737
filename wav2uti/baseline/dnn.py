"""The DNN baseline: a feed-forward network from the sound of a moment to its picture.

A reconstruction. The paper compares with Porras, Sepulveda and Csapo (IJCNN 2019), whose abstract tells of networks
with 2 hidden layers to raw 64x64 pixels (preferred by its listeners) and of others to PCA coefficients ("EigenTongues",
Hueber et al. 2007); widths and features are stated nowhere. Here: ReLU layers of 1000, the frame-aligned acoustic
embeddings that the diffusion model hears, mean squared error.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from wav2uti.baseline.regressor import Regressor
from wav2uti.condition.condition import Condition
from wav2uti.errors import InputError
from wav2uti.options import check_counts, check_shares


class Dnn(Regressor):
    """Frame by frame from acoustic embeddings, and the speaker's reference frame where there is one, to the pixels.

    Args:
        width: width of what is heard in a frame.
        size: pixels along each side of a frame.
        reference: whether the speaker's reference frame is given; its pixels are further inputs.
        hidden: widths of the hidden layers.
        neighbours: frames of sound before and after a frame that are heard with it; no more than the data's
            `acoustic_context`. 0 is one frame of embeddings, as the paper has it, which for an encoder with context of
            its own (wav2vec 2.0) is enough.
        outputs: `pixels`, or `pca` for the coefficients of principal components fitted to the training frames.
        components: how many of them.
        dropout: share of the hidden units zeroed in training.
    """

    basis: Tensor
    center: Tensor
    scale: Tensor

    def __init__(
        self,
        width: int,
        size: int,
        reference: bool = False,
        hidden: Sequence[int] = (1000, 1000),
        neighbours: int = 0,
        outputs: Literal["pixels", "pca"] = "pixels",
        components: int = 128,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_counts(0, **{"net.neighbours": neighbours})
        check_counts(1, **{"net.components": components}, **{f"net.hidden[{k}]": size for k, size in enumerate(hidden)})
        check_shares(**{"net.dropout": dropout})
        self.size = size
        self.reference = reference
        self.neighbours = neighbours
        pixels = size * size
        inputs = (2 * neighbours + 1) * width + (pixels if reference else 0)
        out = pixels if outputs == "pixels" else components
        widths = [inputs, *hidden]
        layers: list[nn.Module] = []
        for into, to in pairwise(widths):
            layers += [nn.Linear(into, to), nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], out))
        self.pca = outputs == "pca"
        if self.pca:
            # Fitted before the first step of training; they travel in the checkpoint.
            self.register_buffer("basis", torch.zeros(components, pixels))
            self.register_buffer("center", torch.zeros(pixels))
            self.register_buffer("scale", torch.ones(()))

    @property
    def frames_to_fit(self) -> int:
        """Training frames that `fit_to` wants before the first step: sixteen for each component."""
        return 16 * len(self.basis) if self.pca and not self.basis.any() else 0

    def fit_to(self, frames: Tensor) -> None:
        """Fit the principal components to training frames (N, H, W) in [-1, 1]."""
        rows = frames.flatten(1).to(self.center)
        self.center.copy_(rows.mean(dim=0))
        _, values, vectors = torch.linalg.svd(rows - self.center, full_matrices=False)
        kept = vectors[: len(self.basis)]
        self.basis[: len(kept)].copy_(kept)
        # The network's outputs have about unit variance, together: the coefficients keep their relative weight, so
        # that a squared error of coefficients is one of pixels.
        self.scale.copy_((values[: len(kept)].square().mean() / len(rows)).sqrt())

    def forward(self, cond: Condition, context: int) -> Tensor:
        """See `Regressor.forward`."""
        if context < self.neighbours:
            raise InputError(
                f"net.neighbours ({self.neighbours}) is more than data.acoustic_context ({context}): raise that one."
            )
        heard = cond.frames[:, context - self.neighbours : cond.frames.shape[1] - context + self.neighbours]
        # (B, T, D, 2 n + 1): each frame with its neighbours
        rows = heard.unfold(1, 2 * self.neighbours + 1, 1).flatten(2)
        if self.reference:
            if cond.reference is None:
                raise ValueError("this network was made with reference=True and got no reference frame")
            rows = torch.cat([rows, cond.reference.flatten(1)[:, None].expand(-1, rows.shape[1], -1)], dim=-1)
        out = self.layers(rows)
        if self.pca:
            out = functional.linear(out * self.scale, self.basis.T, self.center)
        return out.unflatten(-1, (self.size, self.size))[:, None]

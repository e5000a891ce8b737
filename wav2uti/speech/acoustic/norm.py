"""Group normalisation of a first convolution over a whole recording, whatever window of it is read."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class RecordingNorm(nn.Module):
    """A GroupNorm of one channel a group whose mean and variance are given, and not those of its input.

    wav2vec 2.0 base, HuBERT base and WavLM base normalise each channel of their first convolution over time. Over a
    window instead of the recording that moved embeddings by 2 to 30 percent of their length (random models of 2 layers,
    a minute of sound), with a jump at the seam.

    Attributes:
        moments: mean and variance of each recording of the next batch; float32 (batch, 2, channels).
    """

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps
        self.moments = torch.zeros(1, 2, norm.num_channels)

    def forward(self, values: Tensor) -> Tensor:
        mean, variance = self.moments.to(values).unbind(dim=1)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (values - mean[..., None]) * scale[..., None] + self.bias[:, None]


def channel_moments(convolution: nn.Module, pieces: Iterator[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Mean and variance over time of each channel of a convolution; float32 (2, channels).

    The pieces, float32 (N,) each, overlap so that every output of the convolution comes from exactly one of them.
    """
    device = next(convolution.parameters()).device
    total = squares = 0.0
    count = 0
    with torch.inference_mode():
        for piece in pieces:
            values = convolution(torch.from_numpy(piece).to(device)[None, None])[0].double()
            total, squares, count = total + values.sum(1), squares + values.square().sum(1), count + values.shape[1]
        mean = torch.as_tensor(total) / count
        variance = (torch.as_tensor(squares) / count - mean.square()).clamp(min=0)
        moments: NDArray[np.float32] = torch.stack([mean, variance]).float().cpu().numpy()
    return moments

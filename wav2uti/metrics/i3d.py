"""Inception-I3D on RGB clips, the network whose Kinetics-400 logits FVD compares.

Carreira and Zisserman, "Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset", CVPR 2017. Names of
modules and parameters follow the PyTorch port that most people use (`Conv3d_1a_7x7.conv3d.weight`,
`Mixed_3b.b1a.bn.running_mean`, `logits.conv3d.bias`), so that its files load as they are.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wav2uti.metrics.weights import MissingWeights, read_state, sha256_of

CLASSES = 400
SHORTEST = 9  # frames: three halvings leave two steps, the length of the last average
BN_EPS = 1e-3
# Channels of the branches b0, b1a, b1b, b2a, b2b and b3b
MIXED: dict[str, tuple[int, tuple[int, int, int, int, int, int]]] = {
    "Mixed_3b": (192, (64, 96, 128, 16, 32, 32)),
    "Mixed_3c": (256, (128, 128, 192, 32, 96, 64)),
    "Mixed_4b": (480, (192, 96, 208, 16, 48, 64)),
    "Mixed_4c": (512, (160, 112, 224, 24, 64, 64)),
    "Mixed_4d": (512, (128, 128, 256, 24, 64, 64)),
    "Mixed_4e": (512, (112, 144, 288, 32, 64, 64)),
    "Mixed_4f": (528, (256, 160, 320, 32, 128, 128)),
    "Mixed_5b": (832, (256, 160, 320, 32, 128, 128)),
    "Mixed_5c": (832, (384, 192, 384, 48, 128, 128)),
}


def same_padding(shape: tuple[int, ...], kernel: tuple[int, ...], stride: tuple[int, ...]) -> list[int]:
    """Zeros before and after each axis, last axis first, as TensorFlow's "SAME" puts them: the odd one goes behind."""
    padding: list[int] = []
    for size, width, step in zip(reversed(shape), reversed(kernel), reversed(stride), strict=True):
        total = max((-(-size // step) - 1) * step + width - size, 0)
        padding += [total // 2, total - total // 2]
    return padding


class Unit(nn.Module):
    """Convolution, batch norm, ReLU; `fold` makes one convolution of the first two."""

    def __init__(self, channels: int, out: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = (kernel,) * 3, (stride,) * 3
        self.conv3d = nn.Conv3d(channels, out, kernel, stride, bias=False)
        self.bn: nn.Module = nn.BatchNorm3d(out, eps=BN_EPS)

    def forward(self, x: Tensor) -> Tensor:
        padding = same_padding(x.shape[2:], self.kernel, self.stride)
        if padding[::2] == padding[1::2]:  # the same on both sides: the convolution pads by itself, without a copy
            convolution = self.conv3d
            y = F.conv3d(x, convolution.weight, convolution.bias, self.stride, tuple(padding[::-2]))
        else:
            y = self.conv3d(F.pad(x, padding))
        return self.bn(y).relu_()

    @torch.no_grad()
    def fold(self) -> None:
        """Put the batch norm's fixed scale and shift into the convolution."""
        bn = self.bn
        if not isinstance(bn, nn.BatchNorm3d):
            return
        assert bn.running_mean is not None
        assert bn.running_var is not None
        scale = bn.weight / (bn.running_var + bn.eps).sqrt()
        self.conv3d.weight.mul_(scale[:, None, None, None, None])
        self.conv3d.bias = nn.Parameter(bn.bias - bn.running_mean * scale)
        self.bn = nn.Identity()


class MaxPool(nn.Module):
    """Maximum over a window, padded with zeros as "SAME": what comes in is never negative.

    One axis after another: the same numbers, and on the CPU several times as fast as `max_pool3d`.
    """

    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, same_padding(x.shape[2:], self.kernel, self.stride))
        for axis, (width, step) in enumerate(zip(self.kernel, self.stride, strict=True), start=2):
            places = (x.shape[axis] - width) // step + 1
            shifted = [_every(x, axis, start, step, places) for start in range(width)]
            for other in shifted[1:]:
                shifted[0] = torch.maximum(shifted[0], other)
            x = shifted[0]
        return x


def _every(x: Tensor, axis: int, start: int, step: int, count: int) -> Tensor:
    """A view of `count` places along an axis, `step` apart."""
    places = [slice(None)] * x.ndim
    places[axis] = slice(start, start + step * (count - 1) + 1, step)
    return x[tuple(places)]


class Mixed(nn.Module):
    """An Inception block: four branches side by side."""

    def __init__(self, channels: int, out: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        self.b0 = Unit(channels, out[0])
        self.b1a = Unit(channels, out[1])
        self.b1b = Unit(out[1], out[2], 3)
        self.b2a = Unit(channels, out[3])
        self.b2b = Unit(out[3], out[4], 3)
        self.b3a = MaxPool((3, 3, 3), (1, 1, 1))
        self.b3b = Unit(channels, out[5])

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))], 1)


class Logits(nn.Module):
    """The last layer, a linear map at each place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(1024, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3d(x)


class I3D(nn.Module):
    """(B, 3, T, 224, 224) in [-1, 1] gives (B, 400) logits, the mean over time; T is 9 frames or more.

    A network that `for_grey` has been called on takes (B, 1, T, 224, 224) instead.
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = Unit(3, 64, 7, 2)
        self.MaxPool3d_2a_3x3 = MaxPool((1, 3, 3), (1, 2, 2))
        self.Conv3d_2b_1x1 = Unit(64, 64)
        self.Conv3d_2c_3x3 = Unit(64, 192, 3)
        self.MaxPool3d_3a_3x3 = MaxPool((1, 3, 3), (1, 2, 2))
        self.Mixed_3b = Mixed(*MIXED["Mixed_3b"])
        self.Mixed_3c = Mixed(*MIXED["Mixed_3c"])
        self.MaxPool3d_4a_3x3 = MaxPool((3, 3, 3), (2, 2, 2))
        self.Mixed_4b = Mixed(*MIXED["Mixed_4b"])
        self.Mixed_4c = Mixed(*MIXED["Mixed_4c"])
        self.Mixed_4d = Mixed(*MIXED["Mixed_4d"])
        self.Mixed_4e = Mixed(*MIXED["Mixed_4e"])
        self.Mixed_4f = Mixed(*MIXED["Mixed_4f"])
        self.MaxPool3d_5a_2x2 = MaxPool((2, 2, 2), (2, 2, 2))
        self.Mixed_5b = Mixed(*MIXED["Mixed_5b"])
        self.Mixed_5c = Mixed(*MIXED["Mixed_5c"])
        self.logits = Logits()

    def forward(self, x: Tensor) -> Tensor:
        for name, module in self.named_children():
            if name != "logits":
                x = module(x)
        x = F.avg_pool3d(x, (2, 7, 7), 1)
        return self.logits(x)[..., 0, 0].mean(2)

    @torch.no_grad()
    def for_grey(self) -> "I3D":
        """The same function of a clip with three equal channels, quicker: in place, for inference only.

        One input channel with the sum of the three channels' weights, and batch norm inside the convolutions.
        """
        first = self.Conv3d_1a_7x7.conv3d
        first.weight = nn.Parameter(first.weight.sum(1, keepdim=True))
        first.in_channels = 1
        for module in self.modules():
            if isinstance(module, Unit):
                module.fold()
        return self.eval().requires_grad_(False)

    @property
    def channels(self) -> int:
        """Channels of the clips that it takes: 3, or 1 after `for_grey`."""
        return self.Conv3d_1a_7x7.conv3d.in_channels


def load_i3d(path: Path | str | None = None) -> tuple[I3D, str]:
    """The network for evaluation (see `I3D.for_grey`), and the sha256 of its file.

    path: a file of PyTorch or safetensors with the usual names, or a folder with one such file; None looks for
    rgb_imagenet.pt or i3d-kinetics-400.safetensors in the known places (`wav2uti.metrics.weights`).

    Raises:
        MissingWeights: there is no such file, or it holds something else.
    """
    file, state = read_state("fvd", Path(path) if path else None)
    network = I3D()
    _load(network, state, file)
    return network.for_grey().to(memory_format=torch.channels_last_3d), sha256_of(file)


def _load(network: I3D, state: Mapping[str, Tensor], file: Path) -> None:
    """Copy the state; counters of training steps may be missing."""
    try:
        missing, unknown = network.load_state_dict(state, strict=False)
    except RuntimeError:  # a shape differs
        missing, unknown = ["shapes"], []
    if unknown or any(not name.endswith("num_batches_tracked") for name in missing):
        raise MissingWeights(
            f"{file} does not hold an Inception-I3D of {CLASSES} classes, which FVD needs: give those of Kinetics-400."
        )

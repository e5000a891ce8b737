"""LPIPS: the distance of two frames in the layers of a network trained on ImageNet (Zhang et al., CVPR 2018).

The network and its calibration (v0.1) are those of the package `lpips`, the authors' own.
"""

import warnings
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wav2uti.metrics.pixel import _ClipMean
from wav2uti.metrics.weights import MissingWeights, read_state, sha256_of

Backbone = Literal["squeeze", "alex", "vgg"]
SMALLEST = 64  # pixels, the patches on which LPIPS was calibrated; AlexNet needs 31
AT_ONCE = 16  # frames in the network together, which bounds the memory


def lpips(generated: Tensor, real: Tensor, network: nn.Module) -> Tensor:
    """LPIPS, the mean over the frames; 0 for identical frames.

    generated, real: uint8, (B, 1, T, H, W) or (B, T, H, W) gives (B,), (T, H, W) gives a scalar; float64.
    network: from `load_lpips`. Grey values go to [-1, 1] in three equal channels. Frames with a side below 64 pixels
    are enlarged (bilinear) until the shorter one has 64: below, the deep layers see a few places only.
    Raises ValueError where the shapes differ or the frames are not uint8.
    """
    if generated.shape != real.shape:
        raise ValueError(f"generated frames {tuple(generated.shape)} and real ones {tuple(real.shape)} differ in shape")
    if generated.dtype != torch.uint8 or real.dtype != torch.uint8:
        raise ValueError(f"LPIPS takes uint8 frames, not {generated.dtype} and {real.dtype}")
    if real.ndim == 5:
        generated, real = generated.squeeze(1), real.squeeze(1)
    place = next(network.parameters()).device
    pairs = zip(generated.flatten(0, -3).split(AT_ONCE), real.flatten(0, -3).split(AT_ONCE), strict=True)
    with torch.no_grad(), torch.autocast(place.type, enabled=False):
        values = [network(_as_input(a.to(place)), _as_input(b.to(place))).flatten() for a, b in pairs]
    return torch.cat(values).double().cpu().view(real.shape[:-2]).mean(-1)


def load_lpips(name: Backbone, path: Path | str | None = None) -> tuple[nn.Module, str]:
    """The network for evaluation, and the sha256 of its backbone's file.

    path: torchvision's published file or a folder with it; None looks in the known places (`wav2uti.metrics.weights`).

    Raises:
        MissingWeights: there is no such file, or it is another one; or lpips is not installed.
    """
    file, state = read_state(f"lpips_{name}", Path(path) if path else None)
    try:
        network = make_lpips(name)
    except ImportError as error:
        raise MissingWeights("LPIPS needs the packages lpips and torchvision: pip install lpips.") from error
    trunk = network.get_submodule("net")
    # lpips cuts torchvision's `features` into slices and keeps the numbers of the layers: slice2.4 is features.4
    names = {key: f"features.{key.split('.', 1)[1]}" for key in trunk.state_dict()}
    try:
        trunk.load_state_dict({key: state[of] for key, of in names.items()})
    except (KeyError, RuntimeError) as error:
        raise MissingWeights(f"{file} does not hold torchvision's network for lpips_{name}.") from error
    return network, sha256_of(file)


def make_lpips(name: Backbone) -> nn.Module:
    """The network with the published calibration and a RANDOM backbone, to load weights into or to time."""
    from lpips import LPIPS as Network

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lpips calls torchvision and torch.load the old way
        network: nn.Module = Network(net=name, pnet_rand=True, verbose=False)
    network = network.to(memory_format=torch.channels_last)  # quicker on the CPU
    return network.eval().requires_grad_(False)


def _as_input(frames: Tensor) -> Tensor:
    """uint8 (N, H, W) as float32 (N, 3, H', W') in [-1, 1]."""
    x = frames[:, None].float() / 127.5 - 1
    shorter = min(x.shape[-2:])
    if shorter < SMALLEST:
        size = [round(side * SMALLEST / shorter) for side in x.shape[-2:]]
        x = F.interpolate(x, size, mode="bilinear", align_corners=False)
    return x.expand(-1, 3, -1, -1)


class LPIPS(_ClipMean):
    """`lpips`, the mean over the frames of a clip and then over clips.

    network: from `load_lpips`.

    >>> from torch import nn
    >>> class Difference(nn.Conv2d):  # in the place of the real network
    ...     def forward(self, a, b):
    ...         return (a - b).abs().mean((1, 2, 3))
    >>> metric = LPIPS(Difference(1, 1, 1))
    >>> black, white = torch.zeros(1, 64, 64, dtype=torch.uint8), torch.full((1, 64, 64), 255, dtype=torch.uint8)
    >>> metric.update(black, white)
    >>> metric.compute().item()
    2.0
    """

    higher_is_better = False

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def update(self, generated: Tensor, real: Tensor) -> None:
        """Adds clips, shaped as for `lpips`."""
        values = lpips(generated, real, self.network)
        self.total += values.sum()
        self.clips += values.numel()

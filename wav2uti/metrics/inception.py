"""Inception-v3 with the weights of TensorFlow's 2015 release, the network whose features FID and KID compare."""

from pathlib import Path

import torch
from torch import Tensor, nn

from wav2uti.metrics.weights import MissingWeights, read_state, sha256_of

FEATURES = 2048


class Inception(nn.Module):
    """torch-fidelity's Inception-v3, the TensorFlow network: uint8 (N, 3, H, W) to (N, 2048) float32.

    Frames are resized to 299x299 as TensorFlow 1 does it.
    """

    def __init__(self, file: Path) -> None:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        super().__init__()
        self.network = FeatureExtractorInceptionV3("inception-v3", [str(FEATURES)], str(file))
        self.network.to(memory_format=torch.channels_last)  # quicker on the CPU

    def forward(self, frames: Tensor) -> Tensor:
        return self.network(frames)[0]


def load_inception(path: Path | str | None = None) -> tuple[Inception, str]:
    """The network for evaluation, and the sha256 of its file.

    path: the published file or a folder with it; None looks in the known places (`wav2uti.metrics.weights`).

    Raises:
        MissingWeights: there is no such file, or it is another one; or torch-fidelity is not installed.
    """
    file, _ = read_state("fid", Path(path) if path else None)  # refuses what torch-fidelity would execute
    try:
        return Inception(file).eval().requires_grad_(False), sha256_of(file)
    except ImportError as error:
        raise MissingWeights("FID and KID need the package torch-fidelity: pip install torch-fidelity.") from error

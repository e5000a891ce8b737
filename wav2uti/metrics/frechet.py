"""FVD, FID and KID: how far two sets of clips or frames lie apart in the features of a trained network.

    FVD, FID: |mean_a - mean_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))       of two Gaussians with these moments
    KID:      squared maximum mean discrepancy, kernel (x y / D + 1)^3, unbiased: near 0 for like sets, also below it

Heusel et al. 2017 (FID), Bińkowski et al. 2018 (KID), Unterthiner et al. 2018 (FVD). FID and FVD are biased upward in
small sets, so that only sets of like size compare; KID is not.
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric

from wav2uti.metrics.i3d import I3D, SHORTEST

I3D_SIZE = 224  # pixels
FRAMES_AT_ONCE = 16  # in Inception-v3
CACHE_BYTES = 16 * 2**20  # FVD's features of some thousand clips
FEATURES_VERSION = "1"  # to raise whenever the same clips and weights would give other features


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """The Fréchet distance of Gaussians with the means and covariances of two sets of features, at least 0.

    a: (N, D), b: (M, D), any float; computed in float64. The trace of the square root of C_a C_b is the sum of the
    singular values of A B^T, where C_a = A^T A: exact also where N < D and the covariances are singular, where a matrix
    square root is not. Time grows with min(N, D) min(M, D) min(N, M, D).
    Raises ValueError for other shapes, for fewer than two rows and for values that are not finite.

    >>> a = torch.tensor([[0.0], [2.0]])
    >>> frechet_distance(a, a + 3)
    9.0
    >>> round(frechet_distance(a, 2 * a), 4)  # means 1 and 2, standard deviations 2^(1/2) and 8^(1/2)
    3.0
    """
    a, b = _checked(a, b)
    mean_a, mean_b = a.mean(0), b.mean(0)
    root_a, root_b = _root(a - mean_a), _root(b - mean_b)
    cross = torch.linalg.svdvals(root_a @ root_b.T).sum()
    distance = (mean_a - mean_b).square().sum() + root_a.square().sum() + root_b.square().sum() - 2 * cross
    return max(distance.item(), 0.0)


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """The unbiased squared maximum mean discrepancy of two sets of features with KID's cubic kernel.

    a: (N, D), b: (M, D), any float; computed in float64, over all pairs and not over drawn subsets.
    Raises ValueError as `frechet_distance` does.

    >>> a = torch.tensor([[0.0], [2.0]])
    >>> kernel_distance(a, a)  # below 0: of a with itself the pairs of equal rows count in the cross term only
    -62.0
    """
    a, b = _checked(a, b)
    within_a, within_b = _kernel(a, a), _kernel(b, b)
    n, m = len(a), len(b)
    same = (within_a.sum() - within_a.trace()) / (n * (n - 1)) + (within_b.sum() - within_b.trace()) / (m * (m - 1))
    return (same - 2 * _kernel(a, b).mean()).item()


def _checked(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both sets in float64."""
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(
            f"two sets of features (N, D) and (M, D) are needed, not {tuple(a.shape)} and {tuple(b.shape)}"
        )
    if min(len(a), len(b)) < 2:
        raise ValueError(f"two rows of features at least are needed on each side, not {len(a)} and {len(b)}")
    if not (a.isfinite().all() and b.isfinite().all()):
        raise ValueError("the features hold values that are not finite")
    return a.double(), b.double()


def _root(centred: Tensor) -> Tensor:
    """A with A^T A = covariance, (min(N, D), D)."""
    n, d = centred.shape
    centred = centred / (n - 1) ** 0.5
    return torch.linalg.qr(centred, mode="r").R if n > d else centred


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T / a.shape[1] + 1) ** 3


def video_features(i3d: I3D, clips: Tensor) -> Tensor:
    """The Kinetics-400 logits of clips, as FVD takes them: (B, T, H, W) uint8 to (B, 400) float32 on the CPU.

    Frames are resized to 224x224 (bilinear, no antialiasing, as FVD's users do) and scaled to [-1, 1]; grey clips stand
    in three equal channels. On the CPU clips go through the network one by one: quicker than in batches, in little
    memory, and the features of a clip do not depend on its neighbours.
    Raises ValueError for clips of fewer than 9 frames, which the network's last average does not span.
    """
    if clips.ndim != 4 or clips.dtype != torch.uint8:
        raise ValueError(f"clips of uint8 (B, T, H, W) are needed, not {clips.dtype} {tuple(clips.shape)}")
    if clips.shape[1] < SHORTEST:
        raise ValueError(
            f"FVD needs clips of at least {SHORTEST} frames, which I3D halves three times, not {clips.shape[1]}"
        )
    place = _place(i3d)
    features = []
    with _exact(place):
        for batch in clips.split(1 if place.type == "cpu" else 8):
            x = F.interpolate(batch.to(place).float(), (I3D_SIZE, I3D_SIZE), mode="bilinear", align_corners=False)
            x = (x / 127.5 - 1)[:, None].expand(-1, i3d.channels, -1, -1, -1)
            features.append(i3d(x.contiguous(memory_format=torch.channels_last_3d)).cpu())
    return torch.cat(features) if features else torch.zeros(0, 400)


def frame_features(inception: nn.Module, frames: Tensor) -> Tensor:
    """The features of frames that FID and KID compare: (N, H, W) uint8 to (N, 2048) float32 on the CPU.

    inception: takes uint8 (N, 3, H, W), gives (N, D); `load_inception` has the one that the scores are named after.
    """
    if frames.ndim != 3 or frames.dtype != torch.uint8:
        raise ValueError(f"frames of uint8 (N, H, W) are needed, not {frames.dtype} {tuple(frames.shape)}")
    place = _place(inception)
    with _exact(place):
        batches = frames.split(FRAMES_AT_ONCE)
        return torch.cat([inception(batch.to(place)[:, None].expand(-1, 3, -1, -1)).float().cpu() for batch in batches])


def _place(network: nn.Module) -> torch.device:
    """Where a network computes."""
    return next((parameter.device for parameter in network.parameters()), torch.device("cpu"))


@contextlib.contextmanager
def _exact(place: torch.device) -> Iterator[None]:
    """Inference in full float32, without autocast and TensorFloat-32, and by deterministic kernels."""
    with (
        torch.no_grad(),
        torch.autocast(place.type, enabled=False),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
    ):
        yield


def features_key(clips: Tensor, weights: str) -> str:
    """The name of the features of clips in a cache: a sha256 over their bytes, their shape and the weights' sha256."""
    digest = hashlib.sha256(f"{FEATURES_VERSION} {weights} {clips.dtype} {tuple(clips.shape)} ".encode())
    digest.update(clips.contiguous().cpu().numpy().data)
    return digest.hexdigest()


def cached_features(folder: Path, key: str, compute: Callable[[], Tensor], limit: int = CACHE_BYTES) -> Tensor:
    """The features stored under `key` in a folder, or computed and stored there.

    key: from `features_key`. limit: bytes of the folder's features; beyond it the oldest files go.
    A file appears whole or not at all; one that cannot be read is computed anew. A folder that cannot be written, or a
    full disk, costs only the time of computing again.
    """
    file = folder / f"{key}.npy"
    with contextlib.suppress(Exception):  # numpy's reader of headers raises errors of many kinds
        # By a map: a damaged header may state any size.
        return torch.from_numpy(np.array(np.load(file, mmap_mode="r", allow_pickle=False)))
    features = compute().cpu()
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        _store(file, features)
        _bound(folder, limit)
    return features


def _store(file: Path, features: Tensor) -> None:
    """Write under a name of this process's own, then rename: two runs may store the same features at once."""
    handle, name = tempfile.mkstemp(prefix=".", suffix=".npy", dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as part:
            np.save(part, features.numpy())
        Path(name).replace(file)
    finally:
        Path(name).unlink(missing_ok=True)


def _bound(folder: Path, limit: int) -> None:
    """Remove the oldest files, those that a killed run left half-written among them, until `limit` bytes remain."""
    files = sorted(((path.stat().st_mtime, path.stat().st_size, path) for path in folder.glob("*.npy")), reverse=True)
    kept = 0
    for _, size, path in files:
        kept += size
        if kept > limit:
            path.unlink(missing_ok=True)


class _TwoSets(Metric):
    """Features of generated and of real material; processes exchange them whole."""

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    generated: list[Tensor]
    real: list[Tensor]

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.add_state("generated", [], dist_reduce_fx="cat")
        self.add_state("real", [], dist_reduce_fx="cat")

    def update(self, frames: Tensor, real: bool) -> None:
        """Adds uint8 frames (B, 1, T, H, W) or (B, T, H, W) of the real side, or of the generated one."""
        clips = frames.squeeze(1) if frames.ndim == 5 else frames
        (self.real if real else self.generated).append(self.features(clips).to(self.device))

    def features(self, clips: Tensor) -> Tensor:
        """Features (N, D) of clips (B, T, H, W)."""
        raise NotImplementedError

    def _sets(self) -> tuple[Tensor, Tensor]:
        """Both sets, also after an exchange, which leaves tensors instead of lists."""
        sets = [torch.cat(x) if isinstance(x, list) else x for x in (self.generated, self.real)]
        return sets[0], sets[1]


class FVD(_TwoSets):
    """Fréchet distance of clips in I3D's logits, `frechet_distance` of `video_features`.

    network: from `wav2uti.metrics.i3d.load_i3d`.

    >>> class Mean(nn.Module):  # in the place of I3D
    ...     channels = 1
    ...     def forward(self, clips):
    ...         return clips.mean((2, 3, 4))
    >>> metric = FVD(Mean())
    >>> black, white = torch.zeros(2, 9, 4, 4, dtype=torch.uint8), torch.full((2, 9, 4, 4), 255, dtype=torch.uint8)
    >>> metric.update(white, real=True)
    >>> metric.update(black, real=False)
    >>> metric.compute().item()  # -1 and 1
    4.0
    """

    network: I3D

    def features(self, clips: Tensor) -> Tensor:
        """(B, 400)"""
        return video_features(self.network, clips)

    def compute(self) -> Tensor:
        """The distance of all clips so far, float64."""
        return torch.tensor(frechet_distance(*self._sets()), dtype=torch.float64)


class FID(_TwoSets):
    """Fréchet distance of frames in Inception-v3's features, `frechet_distance` of `frame_features`.

    network: from `wav2uti.metrics.inception.load_inception`.

    >>> class Mean(nn.Module):  # in the place of Inception-v3
    ...     def forward(self, frames):
    ...         return frames.float().mean((1, 2, 3))[:, None]
    >>> metric = FID(Mean())
    >>> black, grey = torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.full((2, 3, 4, 4), 5, dtype=torch.uint8)
    >>> metric.update(grey, real=True)
    >>> metric.update(black, real=False)
    >>> metric.compute().item()
    25.0
    """

    def features(self, clips: Tensor) -> Tensor:
        """(B T, 2048)"""
        return frame_features(self.network, clips.flatten(0, 1))

    def compute(self) -> Tensor:
        """The distance of all frames so far, float64."""
        return torch.tensor(frechet_distance(*self._sets()), dtype=torch.float64)


class KID(FID):
    """Kernel distance of frames in Inception-v3's features, `kernel_distance` of `frame_features`: for small sets.

    network: from `wav2uti.metrics.inception.load_inception`.

    >>> class Mean(nn.Module):  # in the place of Inception-v3
    ...     def forward(self, frames):
    ...         return frames.float().mean((1, 2, 3))[:, None]
    >>> metric = KID(Mean())
    >>> black, grey = torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.full((2, 3, 4, 4), 5, dtype=torch.uint8)
    >>> metric.update(grey, real=True)
    >>> metric.update(black, real=False)
    >>> metric.compute().item()  # 26^3 + 1^3 - 2 x 1^3
    17575.0
    """

    def compute(self) -> Tensor:
        """The distance of all frames so far, float64."""
        return torch.tensor(kernel_distance(*self._sets()), dtype=torch.float64)

"""`Scorers`: the functions that look at a clip, as far as their weights are here, and why the others are missing."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from wav2uti.errors import InputError
from wav2uti.metrics import pixel
from wav2uti.metrics.frechet import cached_features, features_key, frame_features, video_features
from wav2uti.metrics.i3d import load_i3d
from wav2uti.metrics.inception import load_inception
from wav2uti.metrics.perceptual import load_lpips, lpips
from wav2uti.metrics.weights import MissingWeights, locate

Lpips = Literal["squeeze", "alex", "vgg"]
ClipScore = Callable[[Tensor, Tensor], Tensor]  # uint8 (T, H, W) generated and real -> a number
Features = Callable[[Tensor, bool], Tensor]  # uint8 (T, H, W), and whether they are real frames -> (N, D)

CACHE = "wav2uti-features"  # folder in that of torch hub; it stays small (`frechet.CACHE_BYTES`)

PIXEL_SCORES: dict[str, ClipScore] = {"rmse": pixel.rmse, "psnr": pixel.psnr, "ssim": pixel.ssim}
WRAPPED_SCORES: dict[str, ClipScore] = {
    "rmse_uint8_wrapped": pixel.rmse_uint8_wrapped,
    "psnr_uint8_wrapped": pixel.psnr_uint8_wrapped,
}


@dataclass
class Scorers:
    """What looks at each clip.

    Attributes:
        clip: scores of a clip by name.
        features: "video" and "image" features of a clip, for the scores of sets.
        sets: names of `set_scores.SET_SCORES` to compute; their features are in `features`.
        contour: whether the tongue is tracked.
        missing: scores that were asked for and cannot be had, each with its reason.
        weights: sha256 of the networks' files.
    """

    clip: Mapping[str, ClipScore] = field(default_factory=lambda: PIXEL_SCORES)
    features: Mapping[str, Features] = field(default_factory=dict)
    sets: tuple[str, ...] = ()
    contour: bool = False
    missing: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)


def find_scorers(
    uint8_wrapped: bool = False,
    lpips: Iterable[Lpips] = ("squeeze",),
    fid: bool = True,
    kid: bool = True,
    fvd: bool = True,
    contour: bool = True,
    i3d: str | Path | None = None,
    device: torch.device | str = "cpu",
) -> Scorers:
    """Load the networks whose weights are here; arguments as of `scoring.Scoring`. Networks run on `device`.

    Raises:
        InputError: `i3d` was given and does not hold the weights.
    """
    clip: dict[str, ClipScore] = PIXEL_SCORES | (WRAPPED_SCORES if uint8_wrapped else {})
    features: dict[str, Features] = {}
    sets: list[str] = []
    missing: dict[str, str] = {}
    weights: dict[str, str] = {}
    for network in lpips:
        name = f"lpips_{network}"
        try:
            weights[name], clip[name] = _lpips(network, device)
        except MissingWeights as error:
            missing[name] = str(error)
    images = [name for name, wanted in (("fid", fid), ("kid", kid)) if wanted]
    if images:
        try:
            weights["inception"], features["image"] = _image_features(device)
            sets += images
        except MissingWeights as error:
            missing |= dict.fromkeys(images, str(error))
    if fvd:
        try:
            weights["i3d"], features["video"] = _video_features(i3d, device)
            sets.append("fvd")
        except MissingWeights as error:
            if i3d is not None:  # a mistake in the path is told now, not after hours of drawing
                raise InputError(str(error)) from error
            missing["fvd"] = str(error)
    return Scorers(clip, features, tuple(sets), contour, missing, weights)


def _lpips(name: Lpips, device: torch.device | str) -> tuple[str, ClipScore]:
    """sha256 of the weights, and the score of a clip."""
    network, digest = load_lpips(name)
    network.to(device)
    return digest, lambda generated, real: lpips(generated, real, network)


def _image_features(device: torch.device | str) -> tuple[str, Features]:
    """sha256 of the weights, and features of frames."""
    inception, digest = load_inception()
    inception.to(device)
    return digest, lambda frames, real: frame_features(inception, frames)


def _video_features(path: str | Path | None, device: torch.device | str) -> tuple[str, Features]:
    """sha256 of the weights, and features of one clip; those of real clips are remembered from run to run."""
    i3d, digest = load_i3d(path or locate("fvd"))
    i3d.to(device)
    folder = Path(torch.hub.get_dir()) / CACHE

    def features(frames: Tensor, real: bool) -> Tensor:
        clips = frames[None]
        if not real:
            return video_features(i3d, clips)
        return cached_features(folder, features_key(clips, digest), lambda: video_features(i3d, clips))

    return digest, features

"""Scores of a whole set of clips from their features, by recording: FID, KID and FVD, their intervals and levels."""

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wav2uti.metrics.bootstrap import half_sample_interval, halvings
from wav2uti.metrics.frechet import frechet_distance, kernel_distance

REAL_HALVINGS = 20
FEWEST_RECORDINGS = 4  # for an interval


class SetScore(NamedTuple):
    """A score of a whole set of clips."""

    features: str  # "image" (one vector a frame) or "video" (one a clip)
    distance: Callable[[Tensor, Tensor], float]
    halves: int  # drawn for its interval: as many as its cost allows
    least: float  # no value is lower, so no interval reaches lower


SET_SCORES = {
    "fid": SetScore("image", frechet_distance, 20, 0.0),
    "kid": SetScore("image", kernel_distance, 50, -np.inf),
    "fvd": SetScore("video", frechet_distance, 200, 0.0),
}


class SetResult(NamedTuple):
    """What a set scores; the interval needs four recordings."""

    value: float
    interval: tuple[float, float] | None


def score_set(name: str, generated: Sequence[NDArray[Any]], real: Sequence[NDArray[Any]]) -> SetResult:
    """A score of `SET_SCORES` with its 95 % interval.

    generated, real: features (N, D) of each recording, in the same order.

    Raises:
        ValueError: there are fewer than two vectors, which are no set.
    """
    _, distance, count, least = SET_SCORES[name]
    if sum(map(len, real)) < 2:
        raise ValueError(f"{name.upper()} compares sets, so it needs at least two clips; there is one.")

    def of(chosen: Sequence[int] | NDArray[np.int64]) -> float:
        return distance(_joined(generated, chosen), _joined(real, chosen))

    value = of(range(len(real)))
    if len(real) < FEWEST_RECORDINGS:
        return SetResult(value, None)
    low, high = half_sample_interval(value, of, len(real), count)
    return SetResult(value, (max(low, least), high))


def real_halves(real: Sequence[NDArray[Any]]) -> dict[str, float]:
    """FVD between halves of the real clips, split by recordings: what real video scores against real video.

    The mean over 20 seeded splits, and how many clips a half has on average. A Frechet distance of few clips reads
    high, so a generated set, which has twice as many, may well score lower. Empty where a half would be a single clip.
    """
    values = []
    for first, second in halvings(len(real), REAL_HALVINGS) if len(real) > 1 else ():
        one, other = _joined(real, first), _joined(real, second)
        if min(len(one), len(other)) > 1:
            values.append(frechet_distance(one, other))
    return {"fvd_real_halves": fmean(values), "fvd_real_halves_clips": sum(map(len, real)) / 2} if values else {}


def _joined(features: Sequence[NDArray[Any]], chosen: Sequence[int] | NDArray[np.int64]) -> Tensor:
    return torch.from_numpy(np.concatenate([features[k] for k in chosen]))

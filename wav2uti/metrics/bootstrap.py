"""95 % intervals of scores, over recordings.

Clips of one recording share a voice, a sentence and a probe, so it is recordings that are drawn, never clips. The
intervals speak of other recordings of the same speakers; how other speakers would score they cannot know.

*Means* (`mean_interval`). The ordinary percentile bootstrap: recordings drawn with replacement (Efron 1979).

*Scores of a set* (`half_sample_interval`): FVD, FID, KID. Drawing with replacement is wrong for them. A Frechet
distance of n samples reads high by about c / n, and a draw with replacement holds only 63 % of the recordings, many of
them twice: all its replicates read higher still, and the interval may not even hold the score. Half of the recordings
are therefore drawn *without* replacement. A mean over b of n such values varies by (1/b - 1/n) sigma^2, which for
b = n/2 is sigma^2 / n, just what the mean over all n varies by (half-samples: McCarthy 1969; Efron 1982, chapter 8);
by the delta method the same holds for smooth functions of means and covariances. The halves read high too, but all
alike: only their standard deviation is used, about the score of the whole set. The interval thus says how much the
score of so many clips varies; the c / n it still holds, like every published FVD of a small set. Where two sets hardly
differ the distance is no longer smooth, and the interval is too wide rather than too narrow.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
Z = 1.959964  # of the normal distribution, for 95 %


def mean_interval(values: Sequence[float], resamples: int = RESAMPLES, seed: int = 0) -> tuple[float, float]:
    """Percentile bootstrap of the mean of one value a recording: the 2.5 % and the 97.5 % point.

    Raises ValueError for fewer than two recordings, which say nothing of their spread.

    >>> low, high = mean_interval([1.0, 2.0, 3.0, 4.0])
    >>> 1 <= low < 2.5 < high <= 4
    True
    """
    if len(values) < 2:
        raise ValueError(f"an interval needs two recordings, not {len(values)}")
    array = np.asarray(values, dtype=np.float64)
    drawn = np.random.default_rng(seed).integers(0, len(array), (resamples, len(array)))
    low, high = np.quantile(array[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def half_sample_interval(
    value: float, score: Callable[[NDArray[np.int64]], float], recordings: int, count: int, seed: int = 0
) -> tuple[float, float]:
    """Interval of a score of a whole set, from the scores of halves of it.

    Args:
        value: the score of all recordings.
        score: the score of the recordings with these indices.
        recordings: how many there are, n.
        count: halves to draw; the standard deviation is known to about 1 / sqrt(2 count) of itself.
        seed: of the halves.

    Raises:
        ValueError: for fewer than four recordings, whose halves are single ones.
    """
    if recordings < 4:
        raise ValueError(f"an interval of a set needs four recordings, not {recordings}")
    half = recordings // 2
    scores = [score(first) for first, _ in halvings(recordings, count, seed)]
    # Exactly 1 where the number is even.
    spread = float(np.std(scores, ddof=1)) * (half / (recordings - half)) ** 0.5
    return value - Z * spread, value + Z * spread


def halvings(recordings: int, count: int, seed: int = 0) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Splits of the indices 0 to n - 1 into two halves, each sorted; of an odd number the second is one larger.

    >>> [(len(a), len(b)) for a, b in halvings(5, count=2)]
    [(2, 3), (2, 3)]
    """
    rng = np.random.default_rng(seed)
    for _ in range(count):
        order = rng.permutation(recordings)
        yield np.sort(order[: recordings // 2]), np.sort(order[recordings // 2 :])

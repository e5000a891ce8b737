import numpy as np
import pytest
import torch

from wav2uti.metrics.bootstrap import half_sample_interval, halvings, mean_interval
from wav2uti.metrics.frechet import frechet_distance


def test_the_interval_of_a_mean_is_that_of_the_normal_law():
    """For many recordings the percentile interval is mean +- 1.96 sd / sqrt(n)."""
    values = np.random.default_rng(0).normal(5, 2, 400)
    low, high = mean_interval(values.tolist(), resamples=4000)
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.03)
    assert high == pytest.approx(values.mean() + half, abs=0.03)
    assert (low, high) == mean_interval(values.tolist(), resamples=4000)
    assert mean_interval([3.0, 3.0, 3.0]) == (3.0, 3.0)


def test_one_recording_has_no_interval():
    with pytest.raises(ValueError, match="two"):
        mean_interval([1.0])
    with pytest.raises(ValueError, match="four"):
        half_sample_interval(1.0, lambda chosen: 1.0, 3, 10)


def test_halves_are_disjoint_and_complete():
    for first, second in halvings(7, 20):
        assert sorted([*first, *second]) == list(range(7))
        assert len(first) == 3
    drawn = [tuple(first) for first, _ in halvings(7, 20)]
    assert len(set(drawn)) > 10
    assert drawn == [tuple(first) for first, _ in halvings(7, 20)]
    assert drawn != [tuple(first) for first, _ in halvings(7, 20, seed=1)]


@pytest.mark.parametrize("n", [30, 31])
def test_the_half_samples_of_a_mean_give_its_standard_error(n):
    values = np.random.default_rng(1).normal(0, 3, n)
    low, high = half_sample_interval(values.mean(), lambda chosen: values[chosen].mean(), n, 3000)
    assert (low + high) / 2 == pytest.approx(values.mean())
    assert (high - low) / 2 == pytest.approx(1.96 * values.std(ddof=1) / n**0.5, rel=0.04)


def sets(rng, recordings, dimensions=6, clips=4):
    """Features of clips that are alike within a recording, generated and real: (recordings, clips, D)."""
    shape = (recordings, 1, dimensions), (recordings, clips, dimensions)
    real = rng.normal(0, 1, shape[0]) + rng.normal(0, 0.5, shape[1])
    generated = 0.6 + 0.7 * rng.normal(0, 1, shape[0]) + rng.normal(0, 0.5, shape[1])
    return generated, real


def distance(pair, chosen):
    generated, real = (torch.from_numpy(side[chosen].reshape(-1, side.shape[-1])) for side in pair)
    return frechet_distance(generated, real)


def test_the_half_sample_interval_of_a_frechet_distance_is_as_wide_as_its_scatter():
    """Against the scatter of the score over many fresh corpora; the plain bootstrap's replicates are biased upward."""
    rng, n = np.random.default_rng(2), 24
    fresh = [distance(sets(rng, n), range(n)) for _ in range(200)]
    widths, above = [], []
    for _ in range(12):
        pair = sets(rng, n)
        value = distance(pair, range(n))
        low, high = half_sample_interval(value, lambda chosen, pair=pair: distance(pair, chosen), n, 60)
        widths.append((high - low) / (2 * 1.96))
        resampled = [distance(pair, rng.integers(0, n, n)) for _ in range(60)]
        above.append(np.mean(np.array(resampled) > value))
    assert np.mean(widths) == pytest.approx(np.std(fresh), rel=0.35)
    assert np.mean(above) > 0.8

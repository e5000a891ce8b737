"""Mean contours over samples and their spread, in closed form, and how clearly a contour stands out."""

import numpy as np
import pytest
from numpy.typing import NDArray

from wav2uti.metrics.contour import POINTS, Fan
from wav2uti.metrics.mean_contour import darker_beyond, mean_contours

FAN = Fan(31.5, 63.0, -0.8, 0.8, 6.0, 60.0)


def arc(radius: float, first: float = -0.7, last: float = 0.7) -> NDArray[np.float32]:
    """A contour (K, 2) at one distance from the fan's origin, finely drawn."""
    angle = np.linspace(first, last, 400)
    points = np.stack([FAN.x + radius * np.sin(angle), FAN.y - radius * np.cos(angle)], axis=-1)
    return points.astype(np.float32)


def polar(contour: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Radius and angle of points (..., 2) about the fan's origin."""
    x, y = contour[..., 0] - FAN.x, FAN.y - contour[..., 1]
    return np.hypot(x, y), np.arctan2(x, y)


def test_the_mean_of_arcs_is_the_arc_between_and_the_spread_that_of_numpy() -> None:
    radii = np.array([[30.0, 32.0, 37.0], [40.0, 40.0, 40.0]])  # two frames of three samples
    contours = np.stack([[arc(radius) for radius in frame] for frame in radii.T])
    mean, spread = mean_contours(contours, FAN)
    assert mean.shape == (2, POINTS, 2)
    assert spread.shape == (2, POINTS)
    for t in range(2):
        radius, angle = polar(mean[t])
        np.testing.assert_allclose(radius, radii[t].mean(), atol=0.02)  # chords between beams lie below the arc
        np.testing.assert_allclose(spread[t], np.std(radii[t], ddof=1), atol=1e-4)
        assert (np.diff(angle) > 0).all()  # from the rear to the tip
        assert angle[0] == pytest.approx(-0.7, abs=0.03)
        steps = np.linalg.norm(np.diff(mean[t], axis=0), axis=1)
        np.testing.assert_allclose(steps, steps.mean(), rtol=1e-3)


def test_only_where_half_of_the_samples_have_a_contour() -> None:
    """Three of four reach 0.5, two 0.7, one alone 0.75; a sample without any contour counts as one."""
    ends = (0.5, 0.7, 0.75)
    none = np.full((400, 2), np.nan, np.float32)
    contours = np.stack([*(arc(30 + k, -0.7, end) for k, end in enumerate(ends)), none])[:, None]
    mean, spread = mean_contours(contours, FAN)
    _, angle = polar(mean[0])
    assert angle[-1] == pytest.approx(0.7, abs=0.03)
    assert spread[0, 0] == pytest.approx(np.std([30, 31, 32], ddof=1), abs=1e-3)
    assert spread[0, -1] == pytest.approx(np.std([31, 32], ddof=1), abs=1e-3)
    alone = np.stack([arc(30), none])[:, None]  # of two samples both are needed: one has no spread
    assert np.isnan(mean_contours(alone, FAN)[0]).all()
    assert np.isnan(mean_contours(np.stack([none, none])[:, None], FAN)[1]).all()


def test_the_longer_of_two_stretches() -> None:
    """Two samples that agree on the left and on a longer stretch to the right, with a hole between them."""
    holed = np.concatenate([arc(30, -0.7, -0.4), np.full((1, 2), np.nan, np.float32)])
    left = np.stack([holed[:400], arc(30, -0.7, -0.4)])
    right = np.stack([arc(30, 0.0, 0.6), arc(32, 0.0, 0.6)])
    contours = np.concatenate([left, right])[:, None]  # four samples, two of them on either side
    _, angle = polar(mean_contours(contours, FAN)[0][0])
    assert angle[0] == pytest.approx(0.0, abs=0.03)
    assert angle[-1] == pytest.approx(0.6, abs=0.03)


def test_a_line_before_black_is_clear_and_noise_is_chance() -> None:
    y, x = np.indices((64, 64))
    radius = np.hypot(x - FAN.x, FAN.y - y)
    angles = np.linspace(-0.5, 0.5, 15)
    at = np.full((1, 15), 30.0)
    line = np.where(np.abs(radius - 30) < 2, 200, np.where(radius < 30, 90, 10)).astype(np.uint8)
    assert darker_beyond(line[None], at, angles, FAN, 1.4).min() == 1
    assert darker_beyond(255 - line[None], at, angles, FAN, 1.4).max() == 0
    assert darker_beyond(np.full((1, 64, 64), 80, np.uint8), at, angles, FAN, 1.4).max() == 0
    noise = np.random.default_rng(0).integers(0, 256, (300, 64, 64), dtype=np.uint8)
    chance = darker_beyond(noise, np.repeat(at, 300, axis=0), angles, FAN, 1.4)
    assert chance.mean() == pytest.approx(0.5, abs=0.03)
    unknown = np.where(np.arange(15) == 3, np.nan, at)
    np.testing.assert_array_equal(darker_beyond(line[None], unknown, angles, FAN, 1.4)[0] > 0, np.arange(15) != 3)

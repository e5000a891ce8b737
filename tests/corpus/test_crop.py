"""Fitting a picture into the square, and finding what moves in it."""

import numpy as np
import pytest
from made_up_video import noise

from wav2uti.corpus.crop import Fit, Motion, moving_boxes, white_background


def area_mean(picture, top, bottom, left, right):
    """Mean of a picture over a rectangle with real corners, by a grid so fine that its error is below half a level."""
    rows = np.floor(top + (np.arange(200) + 0.5) * (bottom - top) / 200).astype(int)
    columns = np.floor(left + (np.arange(200) + 0.5) * (right - left) / 200).astype(int)
    return picture[np.ix_(rows, columns)].mean()


@pytest.mark.parametrize(("width", "height", "size"), [(320, 240, 112), (92, 70, 56), (48, 96, 24), (30, 30, 29)])
def test_shrinking_averages_over_areas(width, height, size):
    picture = noise(1, (height, width))[0]
    square = Fit(width, height, size).draw(picture)
    scale = max(width, height) / size
    inner = round(width / scale), round(height / scale)
    left, top = (size - inner[0]) // 2, (size - inner[1]) // 2
    x_scale, y_scale = width / inner[0], height / inner[1]
    for row, column in np.random.default_rng(1).integers(0, (inner[1], inner[0]), (40, 2)):
        mean = area_mean(picture, row * y_scale, (row + 1) * y_scale, column * x_scale, (column + 1) * x_scale)
        assert abs(int(square[top + row, left + column]) - mean) < 2.5  # of 0.5 by rounding, the rest by the grid
    beside = square.copy()
    beside[top : top + inner[1], left : left + inner[0]] = 0
    assert not beside.any()


def test_whole_factors_and_equal_sizes_are_exact():
    picture = noise(1, (48, 96))[0]
    blocks = np.rint(picture.reshape(12, 4, 24, 4).mean(axis=(1, 3)))
    np.testing.assert_array_equal(Fit(96, 48, 24).draw(picture)[6:18], blocks)
    np.testing.assert_array_equal(Fit(48, 48, 48).draw(picture[:, :48]), picture[:, :48])


def test_enlarging_is_bilinear():
    ramp = np.tile(np.arange(0, 100, 10, dtype=np.uint8), (10, 1))
    wanted = np.clip((np.arange(40) + 0.5) / 4 - 0.5, 0, 9) * 10
    np.testing.assert_allclose(Fit(10, 10, 40).draw(ramp), np.tile(wanted, (40, 1)), atol=0.51)


def test_pixels_that_are_no_squares():
    picture = np.full((20, 20), 9, dtype=np.uint8)
    square = Fit(20, 20, 40, pixel_aspect=0.5).draw(picture)
    assert square.any(axis=0).sum() == 20
    assert square.any(axis=1).sum() == 40


@pytest.mark.parametrize(
    ("width", "height", "aspect"), [(320, 240, 1.0), (200, 300, 1.0), (300, 240, 1.1), (40, 30, 1.0)]
)
def test_points_go_where_their_pixels_go(width, height, aspect):
    fit = Fit(width, height, 112, aspect)
    for x, y in ((0.5 * width, 0.5 * height), (0.3 * width, 0.7 * height), (0.7 * width + 0.4, 0.3 * height)):
        columns, rows = np.meshgrid(np.arange(width), np.arange(height))
        spot = 250 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * (width / 30) ** 2))
        square = fit.draw(np.rint(spot).astype(np.uint8)).astype(float)
        seen = [(square.sum(axis=axis) * np.arange(112)).sum() / square.sum() for axis in (0, 1)]
        np.testing.assert_allclose(fit.to_pixels(x, y), seen, atol=0.1)


def disc(shape, x, y, radius):
    columns, rows = np.meshgrid(np.arange(shape[1]), np.arange(shape[0]))
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def test_moving_regions_largest_first():
    std = np.zeros((240, 320))
    std[disc(std.shape, 80, 100, 40)] = 20
    std[disc(std.shape, 250, 60, 20)] = 20
    std[:, 300:302] = 60  # the cursor of a waveform
    std[200, :] = 60
    std += np.random.default_rng(0).uniform(0, 2, std.shape)  # compression
    boxes = moving_boxes(std)
    np.testing.assert_allclose(boxes, [(40, 60, 81, 81), (230, 40, 41, 41)], atol=2)


def test_regions_whose_boxes_overlap_are_one():
    """The shadow of a bone may part a fan."""
    std = np.zeros((120, 160))
    std[10:100, 10:40] = std[10:40, 10:100] = 10
    std[60:100, 60:110] = 10
    assert moving_boxes(std) == [(10, 10, 100, 90)]


def test_moving_regions_reach_the_border_and_may_be_none():
    std = np.zeros((120, 160))
    assert moving_boxes(std) == []
    std[:, :80] = 10
    assert moving_boxes(std) == [(0, 0, 80, 120)]


def test_white_around_a_fan_is_background():
    fan = disc((100, 120), 60, 50, 40)
    picture = np.where(fan, 30, 255).astype(np.uint8)
    picture[50, 60:70] = 255  # something bright within
    white = white_background(picture)
    assert white[~fan].all()
    assert (white & fan)[50, 20:24].tolist() == [True, True, True, False]  # by the corner of the row next but one
    assert not white[disc(white.shape, 60, 50, 36)].any()


def test_little_white_is_no_background():
    picture = np.full((100, 120), 30, dtype=np.uint8)
    assert white_background(picture) is None
    picture[:20, :20] = 255  # a button at the border: 400 of 12,000 pixels
    picture[40:80, 40:80] = 255  # a bright part of the tongue
    assert white_background(picture) is None


def test_motion_beside_the_ultrasound_is_seen():
    rng = np.random.default_rng(0)
    motion = Motion(120, 200)
    alone = Motion(120, 200)
    for _ in range(40):
        picture = np.zeros((120, 200), dtype=np.uint8)
        picture[20:100, 10:110] = rng.integers(0, 200, (80, 100))
        alone.see(picture)
        picture[20:80, 140:190] = rng.integers(0, 200, (60, 50))
        motion.see(picture)
    assert alone.share_beside() == 0.0
    assert motion.share_beside() == pytest.approx(3000 / 11000, abs=0.02)
    assert Motion(8, 8).share_beside() == 0.0

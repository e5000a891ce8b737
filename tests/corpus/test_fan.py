"""Scan conversion against its own formula."""

import math

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from wav2uti.corpus.fan import FanGeometry, draw_fan

PATKIT = FanGeometry(vectors=63, pixels=256, zero_offset=32, angle=0.038, pixels_per_mm=3.2)
TAL = FanGeometry(vectors=64, pixels=842, zero_offset=210, angle=0.025, pixels_per_mm=10.525)


def bright(geometry, vector, pixel, spread=1):
    """A black frame with one bright spot."""
    raw = np.zeros((1, geometry.vectors, geometry.pixels), dtype=np.uint8)
    raw[0, max(vector - spread, 0) : vector + spread + 1, max(pixel - spread, 0) : pixel + spread + 1] = 255
    return raw


def centroid(image):
    rows, columns = np.indices(image.shape)
    return (columns * image).sum() / image.sum(), (rows * image).sum() / image.sum()


@pytest.mark.parametrize(("vector", "pixel"), [(31, 100), (10, 200), (55, 60), (3, 128)])
def test_a_bright_spot_lands_where_the_formula_says(vector, pixel):
    size = 224
    image = draw_fan(bright(PATKIT, vector, pixel), PATKIT, size)[0].astype(float)
    # By hand: polar to millimetres, the fan's box of 2 R sin(h) by R - r0 cos(h) centred in the square.
    r, phi = (pixel + 32) / 3.2, (vector - 31) * 0.038
    outer, half = 288 / 3.2, 0.038 * 31
    scale = 2 * outer * math.sin(half) / size
    x = r * math.sin(phi) / scale + (size - 1) / 2
    y = (size - 1) / 2 - (r * math.cos(phi) - (outer + 10 * math.cos(half)) / 2) / scale
    assert centroid(image) == pytest.approx((x, y), abs=0.3)
    np.testing.assert_allclose(PATKIT.to_pixels(r, phi, size), (x, y), atol=1e-9)


def test_last_vector_is_on_the_right_and_deep_pixels_are_above():
    left, _ = centroid(draw_fan(bright(PATKIT, 5, 100), PATKIT, 112)[0].astype(float))
    right, _ = centroid(draw_fan(bright(PATKIT, 57, 100), PATKIT, 112)[0].astype(float))
    _, near = centroid(draw_fan(bright(PATKIT, 31, 20), PATKIT, 112)[0].astype(float))
    _, deep = centroid(draw_fan(bright(PATKIT, 31, 220), PATKIT, 112)[0].astype(float))
    assert left < 56 < right
    assert deep < near


@pytest.mark.parametrize("geometry", [PATKIT, TAL])
def test_a_ring_stays_at_its_radius(geometry):
    size, depth = 160, geometry.pixels // 2
    raw = np.zeros((1, geometry.vectors, geometry.pixels), dtype=np.uint8)
    raw[0, :, depth - 3 : depth + 4] = 255
    image = draw_fan(raw, geometry, size)[0]
    y, x = np.nonzero(image > image.max() / 2)
    r, phi = geometry.to_polar(x, y, size)
    assert len(r) > size / 2
    expected = (depth + geometry.zero_offset) / geometry.pixels_per_mm
    assert np.abs(r - expected).max() < geometry.mm_per_pixel(size) + 3 / geometry.pixels_per_mm
    assert phi.min() == pytest.approx(-geometry.half_field, abs=0.05)
    assert phi.max() == pytest.approx(geometry.half_field, abs=0.05)


@pytest.mark.parametrize("geometry", [PATKIT, TAL])
def test_to_polar_undoes_to_pixels(geometry):
    r, phi = np.meshgrid(np.linspace(12, 80, 7), np.linspace(-0.7, 0.7, 9))
    back = geometry.to_polar(*geometry.to_pixels(r, phi, 112), 112)
    np.testing.assert_allclose(back, (r, phi), atol=1e-9)


@pytest.mark.parametrize("geometry", [PATKIT, TAL])
@pytest.mark.parametrize("size", [56, 112])
def test_the_fan_touches_the_sides_and_is_centred(geometry, size):
    image = draw_fan(np.full((1, geometry.vectors, geometry.pixels), 200, dtype=np.uint8), geometry, size)[0]
    rows, columns = np.nonzero(image)
    assert columns.min() == 0
    assert columns.max() == size - 1
    assert abs(rows.min() - (size - 1 - rows.max())) <= 1
    np.testing.assert_allclose(image.astype(int), image[:, ::-1].astype(int), atol=1)
    assert image.max() == 200  # a mean of equal samples is that sample
    assert image[0, 0] == image[-1, 0] == 0


def test_a_deep_narrow_fan_fits_its_height():
    narrow = FanGeometry(vectors=20, pixels=300, zero_offset=0, angle=0.01, pixels_per_mm=3.0)
    assert narrow.mm_per_pixel(100) == pytest.approx(1.0)
    rows, _ = np.nonzero(draw_fan(np.full((1, 20, 300), 255, dtype=np.uint8), narrow, 100)[0])
    assert rows.min() == 0
    assert rows.max() >= 95  # the apex itself is thinner than a pixel


def test_more_than_half_a_circle_has_its_lowest_point_outside():
    wide = FanGeometry(vectors=101, pixels=90, zero_offset=10, angle=0.04, pixels_per_mm=1.0)
    half_width, lowest, highest = wide.extent()
    assert half_width == pytest.approx(100)
    assert lowest == pytest.approx(100 * math.cos(2.0))
    assert highest == pytest.approx(100)


def test_fine_depth_is_averaged_not_sampled():
    """Alternating black and white samples, far finer than a pixel, must come out grey."""
    raw = np.zeros((1, TAL.vectors, TAL.pixels), dtype=np.uint8)
    raw[:, :, ::2] = 255
    image = draw_fan(raw, TAL, 112)[0].astype(float)
    r, phi = TAL.to_polar(*np.meshgrid(np.arange(112), np.arange(112)), 112)
    inside = (r > 25) & (r < 95) & (np.abs(phi) < 0.72)
    assert np.abs(image[inside] - 127.5).max() < 12


def test_frames_are_drawn_alike_in_every_block():
    raw = np.random.default_rng(0).integers(0, 256, (130, 63, 256), dtype=np.uint8)
    images = draw_fan(raw, PATKIT, 56)
    assert images.dtype == np.uint8
    assert images.shape == (130, 56, 56)
    np.testing.assert_array_equal(images[[0, 64, 129]], draw_fan(raw[[0, 64, 129]], PATKIT, 56))


@pytest.mark.parametrize(("geometry", "lines"), [(PATKIT, (1, 12, 31, 40, 61)), (TAL, (1, 9, 31, 50, 62))])
def test_a_bright_scanline_is_a_line(geometry, lines):
    """Written out here from the definition: the line of a scanline, in the square that the fan's box is centred in."""
    size = 224
    near = geometry.zero_offset / geometry.pixels_per_mm
    far = (geometry.zero_offset + geometry.pixels) / geometry.pixels_per_mm
    half = geometry.angle * (geometry.vectors - 1) / 2
    pixel = 2 * far * math.sin(half) / size  # mm
    columns, rows = np.meshgrid(np.arange(size), np.arange(size))
    right = (columns + 0.5) * pixel - far * math.sin(half)
    up = (far + near * math.cos(half)) / 2 + (size / 2 - rows - 0.5) * pixel
    r = np.sqrt(right**2 + up**2)
    for line in lines:
        raw = np.zeros((1, geometry.vectors, geometry.pixels), dtype=np.uint8)
        raw[0, line] = 255
        image = draw_fan(raw, geometry, size)[0].astype(float)
        phi = (line - (geometry.vectors - 1) / 2) * geometry.angle
        beside = right * math.cos(phi) - up * math.sin(phi)  # mm from the line, positive to its right
        depths = np.arange(near + 3 * pixel, far - 3 * pixel, 2 * pixel)
        for depth in depths:
            ring = (np.abs(r - depth) < 1.5 * pixel) & (image > 0)
            assert abs((beside * image)[ring].sum() / image[ring].sum()) < 0.5 * pixel
            # Light falls off to nothing at the two neighbouring lines.
            assert np.abs(beside[ring]).max() < (depth + 1.5 * pixel) * math.sin(geometry.angle) + pixel


def fan_outline(mask):
    """Width over height of a fan's bounding box, and the angle between its straight sides in degrees."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    mask = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    left, right = mask.argmax(axis=1), mask[:, ::-1].argmax(axis=1)
    corner, height = left.argmin(), len(mask)
    straight = np.arange(corner + height // 10, height - height // 10)
    sides = [math.atan(np.polyfit(straight, side[straight], 1)[0]) for side in (left, right)]
    return mask.shape[1] / height, math.degrees(sum(sides))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_outline_and_content_are_those_of_pyults_drawing(shared, number):
    """pyult draws a pixel for three samples of depth, to the same scale along both axes, on white."""
    folder = shared / "param_fixtures/pyult"
    theirs = np.asarray(Image.open(folder / f"sample_fan_{number:03d}.png"))
    white, _ = ndimage.label(theirs == 255)
    outside = np.isin(white, np.setdiff1d(np.concatenate((white[0], white[-1])), 0))
    size = theirs.shape[1]
    full = draw_fan(np.full((1, TAL.vectors, TAL.pixels), 255, dtype=np.uint8), TAL, size)[0] > 127
    aspect, angle = fan_outline(~outside)
    assert fan_outline(full) == pytest.approx((aspect, angle), rel=0.01)
    assert angle == pytest.approx(math.degrees(2 * TAL.half_field), rel=0.01)

    # The same raw frame, which pyult shows with its first sample at the bottom.
    raw = np.asarray(Image.open(folder / f"sample_raw_{number:03d}.png"))[::-1].T
    ours = draw_fan(np.ascontiguousarray(raw)[None], TAL, size)[0]
    top = np.flatnonzero(full.any(axis=1))[0]
    ours, inside = ours[top : top + len(theirs)], ndimage.binary_erosion(~outside, iterations=6)
    assert np.corrcoef(ours[inside], theirs[inside])[0, 1] > 0.8
    assert np.corrcoef(ours[:, ::-1][inside], theirs[inside])[0, 1] < 0.4

"""The simulated pictures against the contours they were made from."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from wav2uti.corpus.simulate.speakers import draw_speaker
from wav2uti.corpus.simulate.ultrasound import Fan, Renderer, surface


def arch(height: float = 52.0) -> np.ndarray:
    """A contour like a tongue at rest, mm from the probe, root to tip, (1, K, 2)."""
    x = np.linspace(-34, 30, 120)
    return np.stack([x, height - 0.018 * (x + 2) ** 2], axis=-1)[None]


@pytest.mark.parametrize("size", [32, 64, 112])
def test_mean_grey_along_a_beam_peaks_at_the_contour(size: int) -> None:
    scanner = draw_speaker(0, 0).scanner
    contour = np.repeat(arch(), 12, axis=0)
    renderer = Renderer(scanner, size, np.random.default_rng(0))
    mean = np.mean(
        [
            Renderer(scanner, size, np.random.default_rng(k)).render(contour, np.zeros(12)).mean(axis=0)
            for k in range(4)
        ],
        axis=0,
    )
    angles = np.linspace(-22, 22, 23).astype(np.float32)
    truth, _ = surface(arch(), angles)
    radii = np.arange(25.0, 75.0, 0.1)
    ray = np.stack([np.sin(np.radians(angles)), np.cos(np.radians(angles))], axis=-1)
    column, row = np.moveaxis(renderer.fan.pixels(radii[None, :, None] * ray[:, None]), -1, 0)
    peak = radii[map_coordinates(mean, [row, column], order=1).argmax(axis=1)]
    error = (peak - truth[0]) / renderer.fan.mm_per_pixel
    assert np.abs(error).max() < 1.2
    assert np.abs(error.mean()) < 0.6


def test_the_air_side_is_darker_than_the_line_and_the_corners_are_black() -> None:
    scanner = draw_speaker(1, 0).scanner
    frames = Renderer(scanner, 64, np.random.default_rng(0)).render(np.repeat(arch(), 8, axis=0), np.zeros(8))
    mean = frames.mean(axis=0)
    fan = Fan(64)
    on, air, tissue = (fan.pixels(np.array([0.0, 52.0 + d])).round().astype(int) for d in (0.0, 15.0, -15.0))
    assert mean[on[1], on[0]] > mean[tissue[1], tissue[0]] + 40 > mean[air[1], air[0]] + 40
    assert frames[:, -1, 0].max() == 0
    assert frames[:, 0, 0].max() == 0


def test_speckle_changes_but_the_surface_stays() -> None:
    scanner = draw_speaker(0, 0).scanner
    first, second = (
        Renderer(scanner, 64, np.random.default_rng(k)).render(arch(), np.zeros(1))[0].astype(float) for k in range(2)
    )
    assert 4 < np.abs(first - second)[first + second > 0].mean() < 40
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.8


def test_tissue_texture_moves_with_the_tongue() -> None:
    """A patch under a lowered surface looks like the patch before, displaced, more than like the same place."""
    scanner = draw_speaker(0, 0).scanner
    contour = np.concatenate([arch(54.0), arch(48.0)])
    pictures = [Renderer(scanner, 112, np.random.default_rng(k)).render(contour, np.zeros(2)) for k in range(6)]
    column, row = Fan(112).pixels(np.array([0.0, 42.0])).round().astype(int)
    columns = slice(column - 14, column + 15)

    def patch(frame: np.ndarray, shift: int) -> np.ndarray:
        part = frame[row - 5 + shift : row + 6 + shift, columns]
        return (part - part.mean(axis=1, keepdims=True)).ravel()  # without the loss with depth

    likeness = [
        np.mean([np.corrcoef(patch(before, 0), patch(after, shift))[0, 1] for before, after in pictures])
        for shift in range(-3, 10)
    ]
    # The surface comes 6 mm nearer; at 42 of 54 mm from the probe's face at 9 mm that is 4.4 mm, 5.5 pixels.
    assert abs(range(-3, 10)[int(np.argmax(likeness))] - 5.5) <= 1
    assert max(likeness) > likeness[3] + 0.05


def test_pixels_of_a_known_point() -> None:
    fan = Fan(90)
    np.testing.assert_allclose(fan.pixels(np.array([0.0, 44.0])), [44.5, 44.5])
    assert fan.mm_per_pixel == 1.0


def test_scan_conversion_keeps_a_constant_picture_constant() -> None:
    fan = Fan(48)
    picture = (fan.conversion @ np.full(fan.conversion.shape[1], 100.0)).reshape(48, 48)
    assert picture[20:30, 20:28] == pytest.approx(100.0)
    assert picture[-1, 0] == 0

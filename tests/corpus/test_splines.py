"""Splines written as AAA does: read back by the reader as the contour they were, and like AAA's own file."""

import re
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from wav2uti.corpus.fan import FanGeometry, draw_fan
from wav2uti.corpus.formats.splines import (
    LINES,
    Splines,
    contour_of,
    fan_lines,
    read_splines,
    splines_on,
    write_splines,
)
from wav2uti.errors import InputError
from wav2uti.metrics.contour import find_fan
from wav2uti.metrics.contour_scores import distances_to_curve, radii_at

GEOMETRY = FanGeometry(vectors=63, pixels=412, zero_offset=50.0, angle=0.038, pixels_per_mm=5.0)
SIZE = 96
WHEN = datetime(2026, 1, 5, 14, 3, 9)


def moving(frames: int = 40) -> np.ndarray:
    """A tongue (T, 50, 2) in pixels of the fan, root to tip, that rises and falls."""
    angle = np.linspace(-0.7, 0.6, 50)
    height = 40 + 12 * np.cos(2 * angle) + 4 * np.sin(np.arange(frames) / 6)[:, None] * np.cos(angle)
    return np.stack(GEOMETRY.to_pixels(height, angle, SIZE), axis=-1)


def test_the_contour_comes_back(tmp_path: Path) -> None:
    contour, times = moving(), np.arange(40) / 60
    x, y = GEOMETRY.to_pixels(0.0, 0.0, SIZE)
    angles = fan_lines(-GEOMETRY.half_field, GEOMETRY.half_field)
    scale = GEOMETRY.mm_per_pixel(SIZE)
    radius = radii_at(contour, (float(x), float(y)), angles) * scale
    made = splines_on(angles, radius, np.full_like(radius, 87.6), times)
    path = tmp_path / "new" / "x_splines.csv"
    halves = [Splines(*(part[:k] for part in vars(made).values())) for k in (25,)]
    halves.append(Splines(*(part[25:] for part in vars(made).values())))
    assert write_splines(path, halves, "a\tb", "say  ah", WHEN) == 40
    read = read_splines(path)
    np.testing.assert_allclose(read.times, times, atol=1e-4)
    np.testing.assert_allclose(read.radius, made.radius, atol=1e-4)
    known = np.isfinite(radius)
    assert 20 < known[0].sum() < LINES
    np.testing.assert_array_equal(read.confidence, np.where(known, 88, 0))
    back = contour_of(read, times, 1 / 60, GEOMETRY, SIZE)
    assert back is not None
    assert back.shape == (40, known[0].sum(), 2)
    assert (np.diff(back[..., 0]) > 0).all()  # from the left to the right
    for points, line in zip(back, contour, strict=True):
        assert distances_to_curve(points.astype(np.float64), line).max() < 0.02  # of a pixel
        ends = np.abs(points[[0, -1]] - line[[0, -1]]).max()
        assert ends < 3.5  # as far as the next line of the fan


def test_the_origin_that_the_tracker_finds_is_near_that_of_the_fan() -> None:
    """What splines of drawn frames rest on: the found origin shifts radii by its own error, and nothing else."""
    rng = np.random.default_rng(0)
    raw = rng.integers(60, 200, (8, GEOMETRY.vectors, GEOMETRY.pixels), dtype=np.uint8)
    fan = find_fan(draw_fan(raw, GEOMETRY, SIZE))
    x, y = GEOMETRY.to_pixels(0.0, 0.0, SIZE)
    assert abs(fan.x - x) < 0.5
    assert abs(fan.y - y) < 1.5


def test_lines_without_a_tongue_hold_the_nearest_radius_and_no_confidence() -> None:
    nan = np.nan
    radius = np.array([[nan, 50.0, nan, 54.0, nan], [nan] * 5, [41.0, 42.0, 43.0, 44.0, 45.0]])
    made = splines_on(np.linspace(0.4, -0.4, 5), radius, np.full((3, 5), 90.0), np.array([0.0, 0.1, 0.2]))
    np.testing.assert_array_equal(made.times, [0.0, 0.2])  # a frame without any tongue has no spline
    np.testing.assert_array_equal(made.radius, [[50, 50, 52, 54, 54], [41, 42, 43, 44, 45]])
    np.testing.assert_array_equal(made.confidence, [[0, 90, 0, 90, 0], [90] * 5])
    nothing = splines_on(np.zeros(5), np.full((2, 5), nan), np.zeros((2, 5)), np.arange(2.0))
    assert nothing.radius.shape == (0, 5)


def test_a_file_like_aaas_own(shared: Path, tmp_path: Path) -> None:
    real = next(shared.rglob("File156_splines.csv"))
    write_splines(tmp_path / "x.csv", [read_splines(real)], ", Pilot1", "001 gap", datetime(2015, 1, 16, 14, 39, 9))
    theirs, ours = (path.read_bytes().decode("ascii").split("\n") for path in (real, tmp_path / "x.csv"))
    assert ours[0] == theirs[0]  # the headings
    assert (ours.pop(), theirs.pop()) == ("", "")
    assert len(ours) == len(theirs)
    for one, other in zip(ours[1:], theirs[1:], strict=True):
        cells, wanted = one.split("\t"), other.split("\t")
        assert len(cells) == len(wanted)
        assert cells[:3] == wanted[:3]
        for cell, want in zip(cells[4:], wanted[4:], strict=True):
            assert float(cell) == pytest.approx(float(want), abs=1e-9)
            assert re.sub(r"\d", "0", cell[-5:]) == re.sub(r"\d", "0", want[-5:])  # as many decimals


@pytest.mark.parametrize(("hour", "said"), [(0, "12:03:09 AM"), (11, "11:03:09 AM"), (12, "12:03:09 PM")])
def test_hours(tmp_path: Path, hour: int, said: str) -> None:
    one = Splines(np.zeros(1), np.ones((1, 3)), np.ones((1, 3)), np.ones((1, 3)))
    write_splines(tmp_path / "x.csv", [one], "", "", WHEN.replace(hour=hour))
    assert (tmp_path / "x.csv").read_text().splitlines()[1].split("\t")[1] == f"1/5/2026 {said}"


def test_nothing_half_written(tmp_path: Path) -> None:
    def broken():  # type: ignore[no-untyped-def]
        yield Splines(np.zeros(1), np.ones((1, 3)), np.ones((1, 3)), np.ones((1, 3)))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_splines(tmp_path / "x.csv", broken(), "", "", WHEN)
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        write_splines(tmp_path / "file" / "x.csv", [], "", "", WHEN)

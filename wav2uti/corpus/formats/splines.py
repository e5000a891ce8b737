"""Tongue splines as AAA exports them: a row a spline, tab-separated, after one row of headings.

    client  date  time  prompt  n  r_1 ... r_n  phi_1 ... phi_n  confidence_1 ... confidence_n

Radii are millimetres from the probe's origin, confidences 0 to 100. Angles are radians from straight up and positive
to the RIGHT (the tip), AAA's first point being the rightmost: found on a real recording, where the mean brightness
under the confident points is 40 read so and 20 read mirrored. They are `phi` of `FanGeometry.to_pixels` as they stand.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wav2uti.corpus.fan import FanGeometry
from wav2uti.corpus.formats.prompt import decode
from wav2uti.corpus.sync import interpolate_values
from wav2uti.errors import InputError
from wav2uti.files import content_of

CONFIDENT = 50.0  # mean over a recording; the real file has ends below 45, the tongue line mostly above 70
_FIRST_VALUE = 5  # columns before the radii
_LARGEST = 1 << 26  # bytes; ten minutes at 80 splines a second
_LIMIT = 1.0e6  # s, mm, radians and per cent alike; nothing real comes near it


@dataclass(frozen=True, eq=False)
class Splines:
    """Splines of one recording: S splines of n points.

    Attributes:
        times: float64 (S,), s on the sound's clock, increasing.
        radius: float64 (S, n), mm from the probe's origin.
        angle: float64 (S, n), radians from straight up, positive to the right.
        confidence: float64 (S, n), 0 to 100.
    """

    times: NDArray[np.float64]
    radius: NDArray[np.float64]
    angle: NDArray[np.float64]
    confidence: NDArray[np.float64]


def read_splines(path: Path) -> Splines:
    """Read `name_splines.csv`; decimal commas are understood.

    Raises:
        InputError: a row that is no such spline, no rows, rows of different numbers of points, or of fewer than three.
    """
    lines = [line for line in decode(content_of(path, _LARGEST)).splitlines() if line.strip()][1:]
    if not lines:
        raise InputError(f"The spline file {path} holds no splines: export it again from AAA, or remove it.")
    try:
        count = int(lines[0].split("\t")[_FIRST_VALUE - 1])
        # Each value takes two bytes at least: no room is made for more than can be there.
        if count < 3 or 2 * 3 * count * len(lines) > sum(map(len, lines)):
            raise ValueError
        values = np.empty((len(lines), 1 + 3 * count))
        for row, line in enumerate(lines):  # one by one: the cells of all rows take ten times what the file does
            cells = line.split("\t")
            if int(cells[_FIRST_VALUE - 1]) != count:
                raise ValueError
            wanted = (cells[2], *cells[_FIRST_VALUE:][: 3 * count])
            values[row] = [float(cell.replace(",", ".")) for cell in wanted]
        if not (np.abs(values) < _LIMIT).all():
            raise ValueError
    except (ValueError, IndexError) as error:
        raise InputError(
            f"The spline file {path} is not the export it should be (tab-separated: client, date, time, prompt, number "
            "of points, then radii, angles and confidences): export it again from AAA, or remove it."
        ) from error
    times, first = np.unique(values[:, 0], return_index=True)  # in order, the first row for a moment
    radius, angle, confidence = np.split(values[first, 1:], 3, axis=1)
    return Splines(times, radius, angle, confidence)


def contour_of(
    splines: Splines, at: NDArray[np.float64], period: float, geometry: FanGeometry, size: int
) -> NDArray[np.float32] | None:
    """Contour of every output frame, interpolated in time between splines.

    Only points with a mean confidence of `CONFIDENT` are tongue; the others lie in the shadows of jaw and hyoid.

    Args:
        splines: of the recording.
        at: (T,) times of the output frames.
        period: time between two raw frames in s.
        geometry: of the probe, with a true scale.
        size: side of the image in pixels.

    Returns:
        float32 (T, K, 2), (x, y) in pixels, from the left (posterior) to the right; None where a frame has no spline
        within one period of it, or where fewer than three points are confident.
    """
    # The nearest spline is one of two neighbours; the distances to all would grow with the square of the length.
    after = np.searchsorted(splines.times, at)
    near = splines.times[np.clip((after - 1, after), 0, len(splines.times) - 1)]
    distance = np.abs(near - at).min(axis=0)
    points = np.argsort(splines.angle.mean(axis=0))
    confident = points[splines.confidence.mean(axis=0)[points] >= CONFIDENT]
    if distance.max() > period or len(confident) < 3:
        return None
    radius = interpolate_values(splines.radius[:, confident], splines.times, at)
    angle = interpolate_values(splines.angle[:, confident], splines.times, at)
    return np.stack(geometry.to_pixels(radius, angle, size), axis=-1).astype(np.float32)

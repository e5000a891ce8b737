"""Tongue splines as AAA exports them, read and written: a row a spline, tab-separated, after one row of headings.

    client  date  time  prompt  n  r_1 ... r_n  phi_1 ... phi_n  confidence_1 ... confidence_n

Radii are millimetres from the probe's origin, confidences 0 to 100. Angles are radians from straight up and positive
to the RIGHT (the tip), AAA's first point being the rightmost: found on a real recording, where the mean brightness
under the confident points is 40 read so and 20 read mirrored. They are `phi` of `FanGeometry.to_pixels` as they stand.
In a file of AAA they are the same in every row: those of its fan lines, 42 in the real one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wav2uti.corpus.fan import FanGeometry
from wav2uti.corpus.formats.prompt import decode
from wav2uti.corpus.sync import interpolate_values
from wav2uti.errors import InputError
from wav2uti.files import content_of, replaced

CONFIDENT = 50.0  # mean over a recording; the real file has ends below 45, the tongue line mostly above 70
LINES = 42  # fan lines of a spline that is written
_FIRST_VALUE = 5  # columns before the radii
_LARGEST = 1 << 26  # bytes; ten minutes at 80 splines a second
_LIMIT = 1.0e6  # s, mm, radians and per cent alike; nothing real comes near it
_HEADINGS = (
    "Client Surname, given names",
    "Date and time of recording",
    "Time of sample in recording",
    "Prompt",
    'Number of points of spline "Tongue"',
    'R mm values of spline "Tongue"',
    'Angle values of spline "Tongue"',
    'Confidence values of spline "Tongue"',
)


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


def fan_lines(left: float, right: float) -> NDArray[np.float64]:
    """Angles (`LINES`,) of the fan lines from the right edge of a fan to its left one, as AAA numbers them."""
    return np.linspace(right, left, LINES)


def splines_on(
    angles: NDArray[np.float64],
    radius: NDArray[np.float64],
    confidence: NDArray[np.float64],
    times: NDArray[np.float64],
) -> Splines:
    """Splines of what is known of a tongue on fan lines.

    As in a file of AAA every line has a point in every spline: where it meets no tongue the radius of the nearest line
    that does, or what lies between two of them, with confidence 0. A time without any tongue has no spline.

    Args:
        angles: (n,), of the lines.
        radius: (T, n), mm; NaN where a line meets no tongue.
        confidence: (T, n), 0 to 100.
        times: (T,), s on the sound's clock, increasing.
    """
    known = np.isfinite(radius)
    seen = np.flatnonzero(known.any(axis=1))
    lines = np.arange(len(angles))
    held = [np.interp(lines, lines[known[t]], radius[t, known[t]]) for t in seen]
    return Splines(
        times[seen],
        np.array(held).reshape(-1, len(angles)),
        np.broadcast_to(angles, (len(seen), len(angles))),
        np.where(known, confidence, 0.0)[seen],
    )


def write_splines(path: Path, parts: Iterable[Splines], client: str, prompt: str, recorded: datetime) -> int:
    """Write `name_splines.csv` as AAA does, for whatever reads its exports; whole or not at all.

    Args:
        path: of the file.
        parts: splines, in parts that follow each other in time, all of one number of points.
        client: AAA's name of the speaker, "surname, given names".
        prompt: what was said.
        recorded: when.

    Returns:
        How many splines were written.

    Raises:
        InputError: the file cannot be written.
    """
    count = 0
    half = "AM" if recorded.hour < 12 else "PM"  # %p would be a word of the computer's language
    date = f"{recorded.month}/{recorded.day}/{recorded.year} {recorded.hour % 12 or 12}:{recorded:%M:%S} {half}"
    client, prompt = (" ".join(text.split()) for text in (client, prompt))
    with replaced(path) as fresh, fresh.open("w", newline="", encoding="utf-8") as file:
        file.write("\t".join(_HEADINGS) + "\n")
        for part in parts:
            for time, *values in zip(part.times, part.radius, part.angle, part.confidence, strict=True):
                radius, angle, confidence = values
                cells = [client, date, f"{time:.4f}", prompt, str(len(radius))]
                cells += [f"{value:.4f}" for value in (*radius, *angle)] + [f"{value:.0f}" for value in confidence]
                file.write("\t".join(cells) + "\n")
                count += 1
    return count

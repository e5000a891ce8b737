"""Errors of tongue contours against true ones, and contours as CSV.

A contour is an array (T, K, 2) of points (x, y) in pixels, y downward, from the rear to the tip; points that are not
finite are left out, and a frame without two points counts nowhere. Both sides may have different numbers of points.

The mean sum of distances is that of Jaumard-Hakoun et al. 2016 (Tongue contour extraction from ultrasound images based
on deep neural network), after Li, Kambhamettu and Stone 2005:

    (sum_i d(a_i, b) + sum_j d(b_j, a)) / (K_a + K_b)

There d is the distance to the nearest point; here it is the distance to the nearest place on the line through the
points, so that the spacing of the points adds nothing.

Centring takes off what the sound cannot tell, where the probe sits and how the speaker is built: contours are read as
radii at fixed angles about one origin of the speaker, and the mean difference of the two sides at each angle, over all
the speaker's frames, is taken off the generated one. Only angles that both sides reach in a frame count; their radii
make the centred curves, whose mean sum of distances is the centred error. A radial shift is removed whole, a shift in x
or y up to second order. Where the tongue stands still the centred error is 0 by construction.
"""

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wav2uti.files import replaced

Array = NDArray[np.float64]

ANGLES = np.radians(np.arange(-80.0, 81.0, 2.0))  # from straight up, the front positive
_BELOW = 0.35  # of the contours' width: how far the origin lies below their lowest point
_SELDOM = 0.25  # angles with less than this share of the frames of the most frequent one have no reliable mean


def mean_sum_of_distances(a: ArrayLike, b: ArrayLike) -> Array:
    """Symmetric mean of the nearest distances of two contours, frame by frame.

    a, b: (T, K, 2) and (T, L, 2). Gives (T,) in the unit of the points, NaN where one side has no contour.

    >>> line = np.stack([np.arange(20.0), np.zeros(20)], axis=-1)[None]
    >>> mean_sum_of_distances(line, line + [0, 3]).item()
    3.0
    """
    first, second = _checked(a, b)
    distances = []
    for p, q in zip(first, second, strict=True):
        p, q = p[np.isfinite(p).all(-1)], q[np.isfinite(q).all(-1)]
        there_and_back = [distances_to_curve(p, q), distances_to_curve(q, p)] if min(len(p), len(q)) > 1 else []
        distances.append(np.concatenate(there_and_back).mean() if there_and_back else math.nan)
    return np.array(distances, dtype=np.float64)


def height_errors(generated: ArrayLike, real: ArrayLike) -> Array:
    """Distance in height of the highest points, (T,); NaN where one side has no contour."""
    a, b = (_complete(points) for points in _checked(generated, real))
    return np.abs(_highest(a) - _highest(b))


def tip_errors(generated: ArrayLike, real: ArrayLike) -> Array:
    """Distance of the front ends, (T,); NaN where one side has no contour."""
    a, b = (_complete(points) for points in _checked(generated, real))
    errors: Array = np.linalg.norm(_last(a) - _last(b), axis=-1)
    return errors


def velocity_correlation(generated: ArrayLike, real: ArrayLike, origin: tuple[float, float] | None = None) -> float:
    """Pearson's correlation of the radial velocities (central differences) over all angles and frames of a clip.

    NaN for fewer than three frames, and where one side does not move.

    Args:
        generated, real: (T, K, 2).
        origin: of the angles; that of the real contour where it is None.
    """
    a, b = _checked(generated, real)
    origin = origin or origin_of([b])
    radii = np.stack([radii_at(a, origin), radii_at(b, origin)])
    velocity = radii[:, 2:] - radii[:, :-2]
    x, y = velocity[:, np.isfinite(velocity).all(0)]
    # Beneath a millionth of a pixel there is rounding, no movement.
    if len(x) < 2 or min(x.std(), y.std()) < 1e-6:
        return math.nan
    return float(np.corrcoef(x, y)[0, 1])


def origin_of(contours: Sequence[Array]) -> tuple[float, float]:
    """A point (x, y) below all of these contours from which the tongue is seen as the probe sees it."""
    points = np.concatenate([contour.reshape(-1, 2) for contour in contours])
    points = points[np.isfinite(points).all(-1)]
    if not len(points):
        return (0.0, 0.0)
    # Single frames may be tracked wrongly: the extent without the outermost points.
    (left, _), (right, low) = np.percentile(points, [1, 99], axis=0)
    return (float(left + right) / 2, float(low + _BELOW * (right - left)))


def radii_at(contour: Array, origin: tuple[float, float], angles: Array = ANGLES) -> Array:
    """Distances (T, A) of contours (T, K, 2) from the origin at angles (A,); NaN beyond the ends of a contour.

    Where a contour folds back, what the nearer part hides from the origin is left out.
    """
    right, up = contour[..., 0] - origin[0], origin[1] - contour[..., 1]
    angle, radius = np.arctan2(right, up), np.hypot(right, up)
    radii = np.full((len(contour), len(angles)), math.nan)
    for a, r, row in zip(angle, radius, radii, strict=True):
        known = np.isfinite(r)
        if known.sum() > 1:
            rising = np.maximum.accumulate(a[known])
            keep = np.concatenate([[True], np.diff(rising) > 0])
            row[:] = np.interp(angles, rising[keep], r[known][keep], left=math.nan, right=math.nan)
    return radii


def contour_scores(generated: ArrayLike, real: ArrayLike, *, mm_per_pixel: float | None = None) -> dict[str, float]:
    """Scores of one clip (T, K, 2) that is all there is of its speaker; see `scores_of`."""
    return scores_of([generated], [real], [""], [mm_per_pixel])[0]


def scores_of(
    generated: Sequence[ArrayLike],
    real: Sequence[ArrayLike],
    speakers: Sequence[str | None],
    mm_per_pixel: Sequence[float | None],
) -> list[dict[str, float]]:
    """Scores of clips, centred over all the clips of a speaker.

    Args:
        generated, real: contours (T, K, 2) of each clip; the real ones tracked or exact.
        speakers: of each clip; None is a speaker, too.
        mm_per_pixel: of each clip, None where it is unknown.

    Returns:
        For each clip `contour_mm`, `contour_mm_centred`, `tongue_height_mm`, `tongue_tip_mm` (each the mean over its
        frames; `_px` for `_mm` where the scale is unknown) and `velocity_correlation`; NaN where no frame counts.

    Raises:
        ValueError: the lists differ in length, or the two sides of a clip in frames.
    """
    if not len(generated) == len(real) == len(speakers) == len(mm_per_pixel):
        raise ValueError("generated, real, speakers and mm_per_pixel must be equally long")
    pairs = [_checked(a, b) for a, b in zip(generated, real, strict=True)]
    scores: list[dict[str, float]] = [{} for _ in pairs]
    for speaker in dict.fromkeys(speakers):
        clips = [i for i, name in enumerate(speakers) if name == speaker]
        origin = origin_of([pairs[i][1] for i in clips])
        for i, centred in zip(clips, _centred([pairs[i] for i in clips], origin), strict=True):
            a, b = pairs[i]
            scale, unit = mm_per_pixel[i], "px" if mm_per_pixel[i] is None else "mm"
            lengths = {
                f"contour_{unit}": mean_sum_of_distances(a, b),
                f"contour_{unit}_centred": mean_sum_of_distances(*centred),
                f"tongue_height_{unit}": height_errors(a, b),
                f"tongue_tip_{unit}": tip_errors(a, b),
            }
            scores[i] = {name: (1.0 if scale is None else scale) * _mean(values) for name, values in lengths.items()}
            scores[i]["velocity_correlation"] = velocity_correlation(a, b, origin)
    return scores


def write_contour_csv(
    path: Path, contours: Iterable[ArrayLike], fps: float, spreads: Iterable[ArrayLike] | None = None, source: str = ""
) -> None:
    """Write contours as one row a point: frame, time in s, x, y and, if given, spread in pixels; whole or not at all.

    Frame k stands at k / fps, as in the shards; points that are not finite have no row.

    Args:
        contours: (K, 2) of each frame: an array (T, K, 2), or what gives them one by one.
        spreads: (K,) of each frame, how far the points differ between samples (see `mean_contours`).
        source: what the frames are, for a last column of this name; empty for none.
    """
    with replaced(path) as fresh, fresh.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["frame", "time", "x", "y"] + ([] if spreads is None else ["spread"]) + (["source"] if source else [])
        )
        pairs = ((c, None) for c in contours) if spreads is None else zip(contours, spreads, strict=True)
        for frame, (contour, spread) in enumerate(pairs):
            points = np.asarray(contour, dtype=np.float64)
            if spread is not None:
                points = np.concatenate([points, np.asarray(spread, dtype=np.float64)[:, None]], axis=1)
            for values in points[np.isfinite(points).all(-1)].tolist():
                writer.writerow(
                    [frame, f"{frame / fps:.6f}", *(f"{value:.3f}" for value in values), *([source] if source else [])]
                )


def _checked(a: ArrayLike, b: ArrayLike) -> tuple[Array, Array]:
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    for points in (first, second):
        if points.ndim != 3 or points.shape[-1] != 2:
            raise ValueError(f"contours must have the shape (T, K, 2), not {points.shape}")
    if len(first) != len(second):
        raise ValueError(f"the contours have {len(first)} and {len(second)} frames")
    return first, second


def _complete(points: Array) -> Array:
    """The contours with each frame of fewer than two finite points all NaN, and no point half known."""
    known = np.isfinite(points).all(-1)
    known &= known.sum(1, keepdims=True) > 1
    complete: Array = np.where(known[..., None], points, math.nan)
    return complete


def distances_to_curve(points: Array, line: Array) -> Array:
    """Distance of points (K, 2) to the nearest place on a polyline (L, 2), shape (K,)."""
    start, step = line[:-1], np.diff(line, axis=0)
    length = np.maximum((step**2).sum(-1), 1e-12)  # of repeated points, too
    from_start = points[:, None] - start
    share = ((from_start * step).sum(-1) / length).clip(0, 1)
    distances: Array = np.linalg.norm(from_start - share[..., None] * step, axis=-1).min(1)
    return distances


def _highest(points: Array) -> Array:
    """The smallest y of each frame, NaN where there is none."""
    y = np.where(np.isnan(points[..., 1]), math.inf, points[..., 1]).min(1, initial=math.inf)
    return np.where(np.isinf(y), math.nan, y)


def _last(points: Array) -> Array:
    """The last known point (T, 2) of each frame, NaN where there is none."""
    if not points.shape[1]:
        return np.full((len(points), 2), math.nan)
    known = np.isfinite(points[..., 0])
    last = points.shape[1] - 1 - known[:, ::-1].argmax(1)
    ends: Array = points[np.arange(len(points)), last]
    return ends


def _centred(pairs: Sequence[tuple[Array, Array]], origin: tuple[float, float]) -> list[tuple[Array, Array]]:
    """Contours of one speaker at the angles that both sides reach, the generated ones without their mean difference."""
    radii = [(radii_at(a, origin), radii_at(b, origin)) for a, b in pairs]
    difference = np.concatenate([a - b for a, b in radii])
    known = np.isfinite(difference)
    counts = known.sum(0)
    reliable = (counts > 0) & (counts >= _SELDOM * counts.max(initial=0))
    total = np.where(known, difference, 0.0).sum(0)
    mean = np.where(reliable, total / np.maximum(counts, 1), math.nan)
    direction = np.stack([np.sin(ANGLES), -np.cos(ANGLES)], axis=-1)
    centred = []
    for a, b in radii:
        shifted, kept = a - mean, np.where(np.isfinite(a - mean), b, math.nan)
        shifted = np.where(np.isfinite(kept), shifted, math.nan)
        centred.append((shifted[..., None] * direction, kept[..., None] * direction))
    return centred


def _mean(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan

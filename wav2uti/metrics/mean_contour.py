"""Contours of several samples of one speech: their mean and how far they differ; and how clearly one stands out.

Means are taken along the beams of the fan, of the distances from the probe: the tongue moves along them, and the ends
of a tracked contour, which shift along the tongue from sample to sample, move no other point.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from wav2uti.metrics.contour import BEAMS, POINTS, Fan, equidistant
from wav2uti.metrics.contour_scores import radii_at

Array = NDArray[np.float64]

# mm from the surface, away from the probe, that `darker_beyond` compares
_ON, _BEYOND = np.array([-1.0, 0.0, 1.0]), np.arange(3.0, 11.0)


def mean_contours(contours: NDArray[np.float32], fan: Fan) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean contour over samples, and its spread.

    Of each beam the mean of the samples' distances from the probe is taken, where half of them, and two at least, have
    a contour; of several stretches of such beams the longest is the contour.

    Args:
        contours: (S, T, K, 2), points x, y in pixels, NaN where there is no tongue; S > 1.
        fan: of the frames.

    Returns:
        (T, `POINTS`, 2) at equal distances from the rear to the tip, and (T, `POINTS`), the standard deviation of the
        samples along the beam in pixels, estimated from S of them (divided by S - 1). NaN where there is no tongue.
    """
    angles = np.linspace(fan.left, fan.right, BEAMS)
    radii = np.stack([radii_at(np.asarray(one, np.float64), (fan.x, fan.y), angles) for one in contours])
    known = np.isfinite(radii)
    count = known.sum(0)
    mean = np.where(known, radii, 0).sum(0) / np.maximum(count, 1)
    squares = np.where(known, np.square(radii - mean), 0).sum(0)
    spread = np.sqrt(squares / np.maximum(count - 1, 1))
    points = np.stack([fan.x + mean * np.sin(angles), fan.y - mean * np.cos(angles)], axis=-1)
    enough = count >= max(2, (len(contours) + 1) // 2)
    result = np.full((len(mean), POINTS, 3), np.nan, np.float32)
    for t, (first, end) in enumerate(map(_longest, enough)):
        if end - first > 1:
            line = np.concatenate([points[t, first:end], spread[t, first:end, None]], axis=1)
            result[t] = equidistant(line)
    return result[..., :2], result[..., 2]


def darker_beyond(
    frames: NDArray[np.uint8] | NDArray[np.float32], radii: Array, angles: Array, fan: Fan, mm_per_pixel: float
) -> Array:
    """How clearly the tongue's surface stands out, point by point: what share of the places beyond it is darker.

    The mean grey within a millimetre of the surface is compared with that of eight places, 3 to 10 mm further along
    the beam, where air is. 1 is a line that is brighter than all of them; half of them are darker by chance.

    Args:
        frames: (T, H, W), grey levels.
        radii: (T, A), distances of the surface from the fan's origin in pixels; NaN where there is none.
        angles: (A,) of the beams, radians from straight up.

    Returns:
        (T, A) from 0 to 1; 0 where there is no surface.
    """
    steps = np.concatenate([_ON, _BEYOND]) / mm_per_pixel
    along = np.nan_to_num(radii)[None] + steps[:, None, None]  # (steps, T, A)
    places = np.stack(
        [
            np.broadcast_to(np.arange(len(frames))[:, None], along.shape),
            fan.y - along * np.cos(angles),
            fan.x + along * np.sin(angles),
        ]
    )
    # float32: of whole numbers the interpolation would be rounded.
    grey = map_coordinates(np.asarray(frames, np.float32), places, order=1, mode="constant", cval=0.0)
    shares: Array = (grey[len(_ON) :] < grey[: len(_ON)].mean(0)).mean(0)
    return np.where(np.isfinite(radii), shares, 0.0)


def _longest(enough: NDArray[np.bool_]) -> tuple[int, int]:
    """First of the longest run of true values, and the one after its last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], enough.astype(np.int8), [0]])))
    runs = edges.reshape(-1, 2)
    if not len(runs):
        return 0, 0
    first, end = runs[np.argmax(runs[:, 1] - runs[:, 0])]
    return int(first), int(end)

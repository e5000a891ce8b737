"""Tracks the tongue's surface in ultrasound frames: dynamic programming along the beams of the fan.

Real and generated frames are treated alike, and nothing is learned. The frames are read on a polar grid about the
centre of the probe's curvature. A place scores by how much it is a bright line (second derivative along the beam) and
by how much brighter the tissue below it is than the air above. The path with the best sum over the beams, less a
penalty for its slope, is the surface; a second pass holds it near its own mean over neighbouring frames. It is given
from the first to the last beam where it stands out against the rest.

The grid has the same number of beams and samples for every picture, so the settings hold for frames of 32 to 256
pixels. They come from a short random search on five simulated speakers and three hand-labelled recordings;
`_STEPS` and `_NEAR_SIDES` were set by hand after a look at a fourth recording with a low tongue root.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_opening, gaussian_filter1d, label
from scipy.sparse import csr_array
from scipy.spatial import ConvexHull, QhullError

Floats = NDArray[np.float32]

POINTS = 50
BEAMS, SAMPLES = 64, 112
_CHUNK = 256  # frames at a time: 7 MB a map

# Smoothing: of the beams, over frames, along a beam for the second derivative, of the path over beams.
_ACROSS, _IN_TIME, _LINE, _CURVE = 1.05, 0.49, 1.5, 0.7
_BELOW, _ABOVE = 7, 14  # samples of tissue and of air that are compared
_LEAST, _MOST = -1.0, 5.5  # limits of a score, so that no single echo outweighs the rest
_STEPS = 11  # samples the path may go from beam to beam
_SLOPE, _SATURATION = 0.02, 0.385  # cost of n samples: _SLOPE n^2 / (1 + _SATURATION n)
# The probe's own arcs are the brightest lines: taken off to this share of the depth, less far out, where roots lie low.
_NEAR, _NEAR_SHARE, _NEAR_SIDES = 7.0, 0.305, 0.5
_FAR, _FAR_SHARE = 3.0, 0.85  # the last part of the depth is behind the palate
_HOLD, _HOLD_FRAMES, _HOLD_MOST = 0.05, 3.0, 12.0  # cost of a sample from the mean path, frames it is over, samples
_END = 0.25  # of a frame's own strong beams: what a beam needs to belong to the tongue


class Fan(NamedTuple):
    """Place of a fan in frames, in pixels (pixel centres at whole numbers) and radians.

    Attributes:
        x, y: centre of the probe's curvature.
        left, right: angles of the outer beams from straight up, front (right) positive.
        inner, outer: distances from the centre at which the beams begin and end.
    """

    x: float
    y: float
    left: float
    right: float
    inner: float
    outer: float


class FanFinder:
    """Finds the fan of frames that come in parts: `find_fan` without all of them at hand."""

    def __init__(self) -> None:
        self.count = 0
        self.total = self.squares = np.zeros((0, 0), np.int64)  # over the frames seen, (H, W)

    def add(self, frames: NDArray[np.uint8]) -> None:
        """Look at the next frames, (n, H, W)."""
        for start in range(0, len(frames), _CHUNK):
            part = frames[start : start + _CHUNK]
            total = part.sum(0, dtype=np.int64)
            squares = np.square(part, dtype=np.uint16).sum(0, dtype=np.int64)
            self.total, self.squares = (self.total + total, self.squares + squares) if self.count else (total, squares)
            self.count += len(part)

    def find(self) -> Fan:
        """The fan of all frames seen."""
        level = self.total.astype(np.float32) / np.float32(self.count)
        variance = self.squares / self.count - np.square(self.total / self.count)
        return _fan_in(level, np.sqrt(variance.clip(min=0)).astype(np.float32))


def find_fan(frames: NDArray[np.uint8]) -> Fan:
    """Place of the fan: the sides of the convex hull of what is not black on average over the frames (T, H, W).

    Where no fan stands out (black frames, noise to the edges), it is `any_fan`.
    """
    finder = FanFinder()
    finder.add(frames)
    return finder.find()


def any_fan(height: int, width: int) -> Fan:
    """The fan that is given where none stands out: 90 degrees upward from the bottom."""
    size = min(height, width)
    return Fan((width - 1) / 2, height - 1.0, -np.pi / 4, np.pi / 4, 0.1 * size, 0.95 * size)


def _fan_in(level: Floats, moves: Floats) -> Fan:
    """The fan of frames with this mean and standard deviation (H, W)."""
    height, width = level.shape
    size = min(height, width)
    generic = any_fan(height, width)
    corner = max(size // 12, 2)
    outside = np.stack([level[-corner:, :corner], level[-corner:, -corner:]])
    dark = float(np.median(outside))
    noise = 4 * 1.48 * float(np.median(np.abs(outside - dark)))
    mask = level > dark + max(0.01 * (float(np.percentile(level, 99)) - dark), noise)
    parts, count = label(binary_opening(mask, np.ones((3, 3))))
    if not count:
        return generic
    # Of several regions (a frame grabber's window) the one that moves.
    chosen = 1 + int(np.argmax(np.bincount(parts.ravel(), moves.ravel() + 1e-3)[1:]))
    points = np.argwhere(parts == chosen)[:, ::-1].astype(np.float64)
    try:
        points = points[ConvexHull(points).vertices]
    except QhullError:
        return generic
    left, right = (_side(points, sign) for sign in (-1, 1))
    directions = left[1] - left[0], right[1] - right[0]
    first, last = (float(np.arctan2(across, -down)) for across, down in directions)
    if not (0.3 < -first < 1.5 and 0.3 < last < 1.5):
        return generic
    # The sides meet in the centre of curvature.
    share = np.linalg.solve(np.stack([directions[0], -directions[1]], axis=1), right[0] - left[0])[0]
    x, y = left[0] + share * directions[0]
    bottom, top = points[:, 1].max(), points[:, 1].min()
    if share > 0 or abs(x - width / 2) > width / 4 or y - bottom > size:
        return generic
    inner = np.mean([np.hypot(*(side[0] - (x, y))) for side in (left, right)])
    # The end of the beams is an edge itself: stay short of it.
    return Fan(float(x), float(y), first, last, float(inner), float(y - top - 1.5 * size / 64))


def track(frames: NDArray[np.uint8], fan: Fan | None = None) -> Floats:
    """The tongue's surface in each frame of a clip.

    Args:
        frames: uint8 (T, H, W), consecutive frames at about 60 a second, the tip of the tongue to the right.
        fan: of these frames; found in them where it is None. Generated frames are best tracked in the fan of the real
            ones.

    Returns:
        (T, `POINTS`, 2), points x, y in pixels from the rear to the tip at equal distances; pixel centres are whole
        numbers. NaN where there is no tongue.
    """
    tracked = list(track_parts([frames], fan or find_fan(frames)))
    return np.concatenate(tracked) if tracked else np.zeros((0, POINTS, 2), np.float32)


def track_parts(parts: Iterable[NDArray[np.uint8]], fan: Fan) -> Iterator[Floats]:
    """The same for frames that come in parts (n, H, W) of any lengths, in parts (n, `POINTS`, 2).

    However the frames are cut, they are tracked in the same stretches of `_CHUNK`, so the curves are the same to the
    last bit: a frame's curve depends on its neighbours, and on the brightness, of its own stretch alone.
    """
    held: list[NDArray[np.uint8]] = []
    count = 0
    for part in parts:
        while len(part):
            taken = part[: _CHUNK - count]
            part = part[len(taken) :]
            held.append(taken)
            count += len(taken)
            if count == _CHUNK:
                yield _track(np.concatenate(held), fan)
                held, count = [], 0
    if count:
        yield _track(np.concatenate(held), fan)


def _track(frames: NDArray[np.uint8], fan: Fan) -> Floats:
    grey = _read_beams(frames, fan)
    seen = grey.std((1, 2)) > 0
    grey /= max(float(np.percentile(grey, 99)), 1.0)
    score = _score(grey)
    allowed = score - _prior()
    path = _best_path(allowed)
    mean = gaussian_filter1d(path.astype(np.float32), _HOLD_FRAMES, axis=0, mode="nearest")
    away = np.abs(np.arange(SAMPLES, dtype=np.float32) - mean[..., None])
    path = _best_path(allowed - _HOLD * np.minimum(away, _HOLD_MOST)).clip(1, SAMPLES - 2)
    before, here, after = (np.take_along_axis(score, path[..., None] + d, axis=2)[..., 0] for d in (-1, 0, 1))
    # The top of the parabola through three scores.
    bend = np.minimum(before - 2 * here + after, -1e-6)
    place = path + (0.5 * (before - after) / bend).clip(-0.5, 0.5)
    radius = fan.inner + place * (fan.outer - fan.inner) / (SAMPLES - 1)
    radius = gaussian_filter1d(radius, _CURVE, axis=1, mode="nearest")
    strength = gaussian_filter1d(here, 1.0, axis=1, mode="nearest")
    strength = gaussian_filter1d(strength, 2.0, axis=0, mode="nearest")
    first, last = _ends(strength - _END * np.percentile(strength, 80, axis=1, keepdims=True))
    angle = np.linspace(fan.left, fan.right, BEAMS)
    points = np.stack([fan.x + radius * np.sin(angle), fan.y - radius * np.cos(angle)], axis=-1)
    result = np.full((len(frames), POINTS, 2), np.nan, np.float32)
    for t in np.flatnonzero(seen & (last - first >= 4)):
        result[t] = equidistant(points[t, first[t] : last[t]])
    return result


def _side(hull: NDArray[np.float64], sign: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper corner of the left (-1) or right (1) side of a fan with this hull."""
    bottom = hull[hull[:, 1] >= hull[:, 1].max() - 1]
    # Where the picture cuts the fan, the lowest of the outermost points still lies on the side.
    outermost = hull[sign * hull[:, 0] >= (sign * hull[:, 0]).max() - 0.5]
    return bottom[np.argmax(sign * bottom[:, 0])], outermost[np.argmax(outermost[:, 1])]


def _read_beams(frames: NDArray[np.uint8], fan: Fan) -> Floats:
    """Frames on the polar grid, bilinear, (T, BEAMS, SAMPLES); 0 beyond the picture."""
    count, height, width = frames.shape
    angle = np.linspace(fan.left, fan.right, BEAMS)[:, None]
    radius = np.linspace(fan.inner, fan.outer, SAMPLES)
    x, y = (fan.x + radius * np.sin(angle)).ravel(), (fan.y - radius * np.cos(angle)).ravel()
    inside = np.flatnonzero((x >= 0) & (x < width - 1) & (y >= 0) & (y < height - 1))
    x, y = x[inside], y[inside]
    column, row = x.astype(int), y.astype(int)
    right, down = x - column, y - row
    weights = np.concatenate([(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down])
    pixel = row * width + column
    pixels = np.concatenate([pixel, pixel + 1, pixel + width, pixel + width + 1])
    shape = (BEAMS * SAMPLES, height * width)
    reading = csr_array((weights.astype(np.float32), (np.tile(inside, 4), pixels)), shape=shape)
    grey = reading @ np.ascontiguousarray(frames.reshape(count, -1).T, dtype=np.float32)
    return np.ascontiguousarray(grey.T, dtype=np.float32).reshape(count, BEAMS, SAMPLES)


def _score(grey: Floats) -> Floats:
    """How much each place looks like the surface, about 1 where it does so weakly; (T, BEAMS, SAMPLES)."""
    smooth = gaussian_filter1d(grey, _ACROSS, axis=1, mode="nearest")
    smooth = gaussian_filter1d(smooth, _IN_TIME, axis=0, mode="nearest")
    line = -gaussian_filter1d(smooth, _LINE, axis=2, order=2, mode="nearest")
    total = np.cumsum(np.pad(smooth, ((0, 0), (0, 0), (_BELOW + 1, _ABOVE)), mode="edge"), axis=2)
    here = total[..., _BELOW + 1 : _BELOW + 1 + SAMPLES]
    below = (here - total[..., 1 : 1 + SAMPLES]) / _BELOW
    above = (total[..., _BELOW + 1 + _ABOVE :][..., :SAMPLES] - here) / _ABOVE
    edge = below - above
    score = np.maximum(line / (line.std() + 1e-6), _LEAST) + edge / (edge.std() + 1e-6)
    limited: Floats = np.clip(score, _LEAST, _MOST).astype(np.float32)
    return limited


def _prior() -> Floats:
    """What a place must score more than others because of its depth, (BEAMS, SAMPLES)."""
    side = np.abs(np.linspace(-1, 1, BEAMS))[:, None]
    depth = np.arange(SAMPLES) / SAMPLES
    near = _NEAR * np.exp(-((depth / (_NEAR_SHARE * (1 - _NEAR_SIDES * side**2))) ** 4))
    far = _FAR * np.clip((depth - _FAR_SHARE) / (1 - _FAR_SHARE), 0, 1)
    penalty: Floats = (near + far).astype(np.float32)
    return penalty


def _best_path(score: Floats) -> NDArray[np.int64]:
    """Sample on each beam of the path with the best sum of scores less the cost of its steps, (T, BEAMS)."""
    steps = np.arange(-_STEPS, _STEPS + 1)
    costs = (_SLOPE * steps**2 / (1 + _SATURATION * np.abs(steps))).astype(np.float32)
    best = score[:, 0].copy()
    origins = np.empty((BEAMS, *best.shape), np.int8)
    for beam in range(1, BEAMS):
        padded = np.pad(best, ((0, 0), (_STEPS, _STEPS)), constant_values=-np.inf)
        best = np.full_like(best, -np.inf)
        origin = origins[beam]
        for i, (step, cost) in enumerate(zip(steps.tolist(), costs, strict=True)):
            candidate = padded[:, i : i + SAMPLES] - cost
            better = candidate > best
            np.copyto(best, candidate, where=better)
            np.copyto(origin, step, where=better)
        best += score[:, beam]
    frames = np.arange(len(score))
    path = np.empty(score.shape[:2], np.int64)
    path[:, -1] = best.argmax(1)
    for beam in range(BEAMS - 1, 0, -1):
        path[:, beam - 1] = path[:, beam] + origins[beam][frames, path[:, beam]]
    return path


def _ends(surplus: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First beam, and the one after the last, of the run with the largest sum of surplus (T, BEAMS)."""
    total = np.pad(np.cumsum(surplus, axis=1), ((0, 0), (1, 0)))
    last = (total - np.minimum.accumulate(total, axis=1)).argmax(1)
    before = np.where(np.arange(BEAMS + 1) <= last[:, None], total, np.inf)
    return before.argmin(1), last


def equidistant(line: NDArray[np.float64]) -> NDArray[np.float64]:
    """A polyline (K, 2 + n), x and y and n values beside them, as `POINTS` points at equal distances along it."""
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line[:, :2], axis=0), axis=1))])
    wanted = np.linspace(0.0, along[-1], POINTS)
    return np.stack([np.interp(wanted, along, column) for column in line.T], axis=1)

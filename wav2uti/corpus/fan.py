"""Scan conversion: scanlines of a convex probe to the fan that people know, and millimetres to its pixels.

For a point x mm to the right and y mm up from the probe's origin, with r = hypot(x, y) and phi = atan2(x, y):

    vector = (vectors - 1) / 2 + phi / angle            pixel = r * pixels_per_mm - zero_offset

Vector 0 is the left (posterior) edge, the last vector the right (tip); pixel 0 is nearest the probe; image row 0 is the
largest y. Pixel centres of the image stand at whole numbers. The fan is scaled to touch two opposite sides of the
square and centred in it; outside it the image is black.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

_BLOCK = 64  # frames drawn at a time: their scanlines as float32 stay below 20 MB
_MOST_SUBPIXELS = 16  # a side of a pixel is cut into at most this many


@dataclass(frozen=True, slots=True)
class FanGeometry:
    """Where the samples of a convex probe stand.

    The shape of the fan depends on `zero_offset : pixels : angle` only; `pixels_per_mm` gives its size, and where it is
    nominal (UltraSuite's 10.000) every millimetre here is nominal too.

    Attributes:
        vectors: scanlines in a frame.
        pixels: samples in a scanline.
        zero_offset: samples from the probe's origin to the first sample.
        angle: radians between two scanlines.
        pixels_per_mm: samples in a millimetre of depth.
    """

    vectors: int
    pixels: int
    zero_offset: float
    angle: float
    pixels_per_mm: float

    @property
    def half_field(self) -> float:
        """Angle in radians between the middle and an outer scanline."""
        return self.angle * (self.vectors - 1) / 2

    def extent(self) -> tuple[float, float, float]:
        """Bounding box of the fan in mm: half width, lowest y, highest y (x is symmetric)."""
        outer = (self.zero_offset + self.pixels) / self.pixels_per_mm
        inner = self.zero_offset / self.pixels_per_mm
        widest = min(self.half_field, math.pi / 2)
        # The lowest point is an inner corner; on a probe of more than half a circle it is an outer one.
        lowest = math.cos(self.half_field) * (inner if self.half_field < math.pi / 2 else outer)
        return outer * math.sin(widest), lowest, outer

    def mm_per_pixel(self, size: int) -> float:
        """Size in mm of a pixel of the (size, size) image."""
        half_width, lowest, highest = self.extent()
        return max(2 * half_width, highest - lowest) / size

    def to_pixels(self, r_mm: ArrayLike, phi: ArrayLike, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Image points of polar ones.

        Args:
            r_mm: distance from the probe's origin in mm, any shape.
            phi: angle in radians from straight up, positive to the right (the tip); broadcasts with `r_mm`.
            size: side of the square image in pixels.

        Returns:
            x (column) and y (row) in pixels; whole numbers are pixel centres.
        """
        r, angle = np.asarray(r_mm, dtype=np.float64), np.asarray(phi, dtype=np.float64)
        _, lowest, highest = self.extent()
        scale, middle = self.mm_per_pixel(size), (size - 1) / 2
        return middle + r * np.sin(angle) / scale, middle - (r * np.cos(angle) - (lowest + highest) / 2) / scale

    def to_polar(self, x: ArrayLike, y: ArrayLike, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The inverse of `to_pixels`: r in mm and phi in radians of image points in pixels."""
        _, lowest, highest = self.extent()
        scale, middle = self.mm_per_pixel(size), (size - 1) / 2
        right = (np.asarray(x, dtype=np.float64) - middle) * scale
        up = (middle - np.asarray(y, dtype=np.float64)) * scale + (lowest + highest) / 2
        return np.hypot(right, up), np.arctan2(right, up)

    def subpixels(self, size: int) -> int:
        """Points a side of an image pixel is sampled at.

        One for each raw sample along the depth of a pixel, so that none is passed over. Measured on a real recording
        (256 samples a scanline, 112 pixels) against 24 points a side: RMS error 4.0 grey levels with one point, 0.87
        with two, 0.08 with the five taken here; drawing costs the same, for the points are summed beforehand.
        """
        return min(max(math.ceil(self.mm_per_pixel(size) * self.pixels_per_mm), 2), _MOST_SUBPIXELS)


def draw_fan(raw: NDArray[np.uint8], geometry: FanGeometry, size: int) -> NDArray[np.uint8]:
    """Scan conversion of raw frames.

    Every pixel is the mean of the bilinear samples at its sub-pixels; a sub-pixel outside the fan counts as black. This
    is linear in the raw samples, hence one sparse matrix for a geometry and a size, computed once.

    Args:
        raw: uint8 (T, vectors, pixels).
        geometry: of the probe.
        size: side of the square image in pixels.

    Returns:
        uint8 (T, size, size), rounded to nearest.
    """
    weights = _weights(geometry, size)
    images = np.empty((len(raw), size * size), dtype=np.uint8)
    for start in range(0, len(raw), _BLOCK):
        block = raw[start : start + _BLOCK].reshape(-1, geometry.vectors * geometry.pixels)
        # A column for each frame: the sparse product then runs along rows in memory.
        grey = weights @ np.ascontiguousarray(block.T, dtype=np.float32)
        images[start : start + _BLOCK] = np.rint(grey).clip(0, 255).T
    return images.reshape(-1, size, size)


@lru_cache(maxsize=8)
def _weights(geometry: FanGeometry, size: int, subpixels: int | None = None) -> sparse.csr_array:
    """Share of each raw sample in each image pixel: float32 (size * size, vectors * pixels)."""
    count = subpixels or geometry.subpixels(size)
    total = sparse.csr_array((size * size, geometry.vectors * geometry.pixels), dtype=np.float32)
    steps = (np.arange(count) + 0.5) / count - 0.5
    rows, columns = np.mgrid[:size, :size]
    for dy in steps:
        # One line of sub-pixels at a time keeps the building of the matrix small.
        taps = [_taps(geometry, size, columns + dx, rows + dy) for dx in steps]
        image, sample, weight = (np.concatenate(part) for part in zip(*taps, strict=True))
        line = sparse.coo_array((weight / count**2, (image, sample)), shape=total.shape, dtype=np.float32)
        total = total + line.tocsr()
    return total


def _taps(
    geometry: FanGeometry, size: int, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Bilinear taps of one point in each image pixel: index of the pixel, index of the raw sample, weight."""
    r, phi = geometry.to_polar(x, y, size)
    vector = ((geometry.vectors - 1) / 2 + phi / geometry.angle).ravel()
    pixel = (r * geometry.pixels_per_mm - geometry.zero_offset).ravel()
    # The last sample fills its own depth: up to `pixels`, not `pixels - 1`, so that the fan reaches its extent.
    inside = np.flatnonzero(
        (vector >= 0) & (vector <= geometry.vectors - 1) & (pixel >= 0) & (pixel <= geometry.pixels)
    )
    vector, pixel = vector[inside], np.minimum(pixel[inside], geometry.pixels - 1)
    left = np.minimum(vector.astype(np.int64), max(geometry.vectors - 2, 0))
    below = np.minimum(pixel.astype(np.int64), max(geometry.pixels - 2, 0))
    across, along = vector - left, pixel - below
    samples, weights = [], []
    for step_across, share_across in ((0, 1 - across), (1, across)):
        for step_along, share_along in ((0, 1 - along), (1, along)):
            line = np.minimum(left + step_across, geometry.vectors - 1)
            depth = np.minimum(below + step_along, geometry.pixels - 1)
            samples.append(line * geometry.pixels + depth)
            weights.append(share_across * share_along)
    return np.tile(inside, 4), np.concatenate(samples), np.concatenate(weights)

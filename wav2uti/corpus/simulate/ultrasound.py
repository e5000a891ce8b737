"""Ultrasound pictures of a tongue contour: rendered in beam space, then scan-converted.

A convex probe under the chin looks up through the tongue. The picture is built per beam and depth as an amplitude
(tissue, the line where tissue meets air, reverberation, noise, shadows of jaw and hyoid) times speckle, compressed
logarithmically, and only then converted to the pixels of the fan, as a scanner does.

Speckle is the modulus of a complex Gaussian texture. One share of it is tied to the tissue and moves with it (it is
stretched between probe and surface); the rest changes from frame to frame.
"""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d, gaussian_filter
from scipy.sparse import csr_array

from wav2uti.corpus.simulate.speakers import Scanner

Floats = NDArray[np.float32]

FIELD = 90.0  # mm, width and height of the picture
BEAMS, SAMPLES = 80, 144
SECTOR = 90.0  # degrees
FACE, DEPTH = 9.0, 84.0  # mm from the centre of the probe's curvature: its surface, and the end of the beams
BASE = 1.0  # mm between the centre of curvature and the lower edge of the picture
NOMINAL = 58.0  # mm, depth of the surface to which the moving texture is stretched
FINE = 3  # samples of the texture for one of the beam grid, so that it can be read without interpolation
WHITE = 31.0  # dB over the mean tissue that are shown white
_STILL = 0.8  # share of the speckle that moves with the tissue
_CHUNK = 24  # frames at a time, to stay in the cache


@dataclass(frozen=True)
class Fan:
    """Geometry of the picture: `size` pixels square over `FIELD` mm, fan of `SECTOR` degrees upward from the probe."""

    size: int

    @property
    def mm_per_pixel(self) -> float:
        return FIELD / self.size

    @cached_property
    def angles(self) -> Floats:
        """Degrees from the axis of each beam, front (right) positive."""
        return np.linspace(-SECTOR / 2, SECTOR / 2, BEAMS, dtype=np.float32)

    @cached_property
    def radii(self) -> Floats:
        """Distance of each sample from the centre of curvature in mm."""
        return np.linspace(FACE, DEPTH, SAMPLES, dtype=np.float32)

    def pixels(self, points: NDArray[np.float64]) -> Floats:
        """Points in mm (right, up) from the centre of curvature -> pixels (column, row), pixel centres at integers."""
        column = (points[..., 0] + FIELD / 2) / self.mm_per_pixel - 0.5
        row = (FIELD - BASE - points[..., 1]) / self.mm_per_pixel - 0.5
        return np.stack([column, row], axis=-1).astype(np.float32)

    @cached_property
    def conversion(self) -> csr_array:
        """Scan conversion as a sparse matrix (pixels, beams * samples): bilinear, averaged over each pixel's area."""
        over = max(2, round(224 / self.size))
        count = self.size * over
        place = (np.arange(count) + 0.5) * FIELD / count
        x, y = np.meshgrid(place - FIELD / 2, FIELD - BASE - place)
        radius, angle = np.hypot(x, y), np.degrees(np.arctan2(x, y))
        sample = (radius - FACE) / (DEPTH - FACE) * (SAMPLES - 1)
        beam = (angle + SECTOR / 2) / SECTOR * (BEAMS - 1)
        inside = (sample >= 0) & (sample < SAMPLES - 1) & (beam >= 0) & (beam < BEAMS - 1)
        row, column = np.nonzero(inside)
        pixel = (row // over) * self.size + column // over
        low_beam, low_sample = beam[inside].astype(int), sample[inside].astype(int)
        right, down = beam[inside] - low_beam, sample[inside] - low_sample
        entries = [
            (low_beam, low_sample, (1 - right) * (1 - down)),
            (low_beam + 1, low_sample, right * (1 - down)),
            (low_beam, low_sample + 1, (1 - right) * down),
            (low_beam + 1, low_sample + 1, right * down),
        ]
        weights = np.concatenate([w for _, _, w in entries]).astype(np.float32) / over**2
        source = np.concatenate([b * SAMPLES + s for b, s, _ in entries])
        shape = (self.size**2, BEAMS * SAMPLES)
        return csr_array((weights, (np.tile(pixel, 4), source)), shape=shape)


@cache
def fan(size: int) -> Fan:
    """The fan of a size, with its scan conversion kept for all recordings of a process."""
    return Fan(size)


def surface(contour: NDArray[np.float64], angles: Floats) -> tuple[Floats, Floats]:
    """Where each beam meets the tongue.

    Args:
        contour: mm (right, up) from the centre of curvature, from the root to the tip, shape (T, K, 2).
        angles: of the beams in degrees, shape (B,).

    Returns:
        Distance (T, B) in mm, held constant beyond the ends, and how far the beam lies outside the contour in degrees
        (0 within it), shape (T, B).
    """
    angle = np.degrees(np.arctan2(contour[..., 0], contour[..., 1]))
    # A beam that meets the tongue twice sees the first crossing only; keep the angle rising from root to tip.
    angle = np.maximum.accumulate(angle, axis=1) + 1e-6 * np.arange(angle.shape[1])
    radius = np.hypot(contour[..., 0], contour[..., 1])
    distance = np.stack([np.interp(angles, a, r) for a, r in zip(angle, radius, strict=True)])
    outside = np.maximum(angle[:, :1] - angles, 0.0) + np.maximum(angles - angle[:, -1:], 0.0)
    return distance.astype(np.float32), outside.astype(np.float32)


def _smooth_complex(
    shape: tuple[int, int], blur: tuple[float, float], rng: np.random.Generator
) -> NDArray[np.complex64]:
    """Complex Gaussian noise, blurred, with unit mean square."""
    parts = [gaussian_filter(rng.standard_normal(shape, dtype=np.float32), blur, mode="wrap") for _ in range(2)]
    noise = parts[0] + 1j * parts[1]
    scaled: NDArray[np.complex64] = (noise / np.sqrt((np.abs(noise) ** 2).mean())).astype(np.complex64)
    return scaled


def _muscles(scanner: Scanner, angle: Floats, radius: Floats) -> Floats:
    """Brightness of the tissue in dB over (angle, radius), the surface at `NOMINAL`; a speaker's own.

    Patches and muscle bundles, a dark layer under the surface and one over the mouth floor, fibres of the genioglossus
    that spread from the front, bright tendon near the chin, and the loss with depth and to the sides.
    """
    rng = np.random.default_rng(scanner.muscles)
    level = np.full((angle.size, radius.size), -2.0)
    for blur, strength in (((22, 34), 5.0), ((9, 7), 4.0)):
        patches = gaussian_filter(rng.standard_normal(level.shape), blur, mode="nearest")
        level += strength * patches / patches.std()
    r, a = radius[None, :], angle[:, None]
    # Fibres: rays from a point near the chin, varying with their direction only.
    ray = np.degrees(np.arctan2(r * np.sin(np.radians(a)) - 16.0, r * np.cos(np.radians(a)) - 6.0))
    course = gaussian_filter(rng.standard_normal(720), 4.0, mode="wrap")
    level += 3.0 * np.interp(ray, np.arange(-360, 360) / 2, course / course.std())
    level -= rng.uniform(3, 7) * np.exp(-0.5 * ((r - rng.uniform(22, 28)) / rng.uniform(2.0, 3.5)) ** 2)
    level -= rng.uniform(3, 6) * np.exp(-0.5 * ((r - NOMINAL + rng.uniform(6, 10)) / 3.5) ** 2)
    for _ in range(3):
        place, across = rng.uniform(22, 42), rng.uniform(0, 25)
        level += rng.uniform(5, 10) * np.exp(-0.5 * (((r - place) / 1.4) ** 2 + ((a - across) / 5.0) ** 2))
    level -= scanner.attenuation * (r - 25.0) / 10.0 + 5.0 * (a / 40.0) ** 2
    return level.astype(np.float32)


def _near_field(scanner: Scanner, angle: Floats, radius: Floats) -> Floats:
    """Amplitude over (angle, radius) of the arcs by the probe: skin and mouth floor, and the ringing of the probe."""
    rng = np.random.default_rng(scanner.muscles + 1)
    r, a = radius[None, :], angle[:, None]
    level = 14.0 * np.exp(-(((r - FACE) / 3.0) ** 2)) - 12.0
    amplitude = 10 ** (level / 20)
    for depth in FACE + 1.5 + np.cumsum(rng.uniform(1.6, 3.2, 4)):
        course = gaussian_filter(rng.standard_normal(angle.size), angle.size / 12, mode="nearest")[:, None]
        bend = depth + 0.02 * np.abs(a) + 0.8 * course / course.std()
        arc = 10 ** ((rng.uniform(4.0, 13.0) - 0.5 * (depth - FACE)) / 20)
        amplitude = amplitude + arc * np.exp(-0.5 * ((r - bend) / 0.45) ** 2)
    faded: Floats = (amplitude * np.exp(-(((r - FACE) / 14.0) ** 2))).astype(np.float32)
    return faded


def _across(amplitude: Floats) -> Floats:
    """Amplitude (T, beams, samples) blurred over neighbouring beams: the width of a beam."""
    blurred = correlate1d(amplitude, np.array([1, 2, 3, 2, 1], np.float32) / 9, axis=1, mode="nearest")
    return np.asarray(blurred, np.float32)


class Renderer:
    """Pictures of one recording.

    Args:
        scanner: the speaker's probe and settings.
        size: pixels along each side.
        rng: for the speckle of this recording.
    """

    def __init__(self, scanner: Scanner, size: int, rng: np.random.Generator) -> None:
        self.fan = fan(size)
        self.scanner = scanner
        self._rng = rng
        fine_angles = np.linspace(-SECTOR / 2, SECTOR / 2, BEAMS * FINE, dtype=np.float32)
        fine_radii = np.linspace(FACE, DEPTH, SAMPLES * FINE, dtype=np.float32)
        texture = _smooth_complex((BEAMS * FINE, SAMPLES * FINE), (1.5 * FINE, 0.9 * FINE), rng)
        level = _muscles(scanner, fine_angles, fine_radii)
        self._tissue = (np.sqrt(_STILL) * texture * 10 ** (level / 20)).astype(np.complex64)
        self._level = np.sqrt(1 - _STILL) * 10 ** (level[::FINE, ::FINE] / 20)
        self._near = _near_field(scanner, self.fan.angles, self.fan.radii)
        course = gaussian_filter(rng.standard_normal(BEAMS), 6.0, mode="nearest")
        self._patchy = (3.5 * course / course.std()).astype(np.float32)  # dB along the line
        self._noise = _smooth_complex((BEAMS * 4, SAMPLES * 4), (1.5, 0.9), rng)

    def render(self, contour: NDArray[np.float64], jaw: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Frames of a moving contour.

        Args:
            contour: tongue surface from the root to the tip in mm (right, up) from the probe's centre of curvature,
                shape (T, K, 2).
            jaw: height of the jaw in mm above its place at rest, shape (T,); the jaw's shadow follows it.

        Returns:
            uint8, shape (T, size, size).
        """
        size, count = self.fan.size, len(contour)
        frames = np.empty((count, size, size), np.uint8)
        for start in range(0, count, _CHUNK):
            part = slice(start, min(start + _CHUNK, count))
            grey = self._beams(contour[part], jaw[part].astype(np.float32))
            flat = self.fan.conversion @ grey.reshape(len(grey), -1).T
            frames[part] = np.rint(flat.T).clip(0, 255).reshape(-1, size, size).astype(np.uint8)
        return frames

    def _beams(self, contour: NDArray[np.float64], jaw: Floats) -> Floats:
        """Grey levels 0..255 in beam space, shape (T, beams, samples)."""
        fan, scanner = self.fan, self.scanner
        radius, angles = fan.radii, fan.angles
        distance, outside = surface(contour, angles)
        above = radius - distance[..., None]  # mm over the surface, negative in the tongue

        # Tissue, read from the texture at the same share of the way from the probe to the surface.
        step = (SAMPLES * FINE - 1) / (DEPTH - FACE)
        stretch = (NOMINAL - FACE) / (distance[..., None] - FACE)
        depth = np.minimum(((radius - FACE) * stretch * step), SAMPLES * FINE - 1).astype(np.int32)
        rows = (np.arange(BEAMS, dtype=np.int32) * FINE * (SAMPLES * FINE))[:, None]
        moving = self._tissue.reshape(-1)[depth + rows]
        fresh = np.stack([self._noise[b : b + BEAMS, s : s + SAMPLES] for b, s in self._offsets(len(contour))])
        slope = np.gradient(distance, np.radians(angles), axis=1) / distance
        oblique = 1.0 - 1.0 / np.sqrt(1.0 + slope**2)  # 1 - cosine of the angle of incidence
        # Where the beam grazes the surface, its width blurs the edge of the tissue.
        blur = (0.5 + 3.0 * oblique + 0.15 * outside)[..., None]
        inside = 1.0 / (1.0 + np.exp(np.clip(above / blur, -30, 30)))
        tissue = np.abs(moving + self._level * fresh) * _across(inside)

        # The surface: bright where the beam meets it squarely; sharp towards the air, slow towards the tissue.
        strength = scanner.line_level + self._patchy - 30.0 * oblique - 5.0 * outside
        width = np.where(above > 0, 0.45, 0.75) * scanner.line_width
        profile = np.exp(-0.5 * (above / width) ** 2) + 0.12 * np.exp(np.minimum(above, 0.0) / 4.0) * (above <= 0)
        grain = np.abs(fresh)
        line = _across(10 ** (strength[..., None] / 20) * profile) * (0.6 + 0.45 * grain)

        # Air: echoes that went to and fro, and the noise of the receiver, which the gain lifts with depth.
        haze = 10 ** ((strength[..., None] - 26.0) / 20) * np.exp(-np.maximum(above, 0.0) / 6.0) * (above > 0)
        noise = 10 ** ((scanner.air_level - 6.0 + 8.0 * (radius - FACE) / (DEPTH - FACE)) / 20)
        passed = self._shadows(jaw)
        amplitude = (tissue + line + haze * grain) * passed
        amplitude += self._near * (0.5 + 0.6 * grain) + noise * (0.3 + 0.7 * passed) * grain

        decibels = 20 * np.log10(amplitude + 1e-6) + scanner.gain
        grey: Floats = 255.0 + 255.0 / scanner.dynamic_range * (decibels - WHITE)
        return np.clip(grey, 0.0, 255.0)

    def _offsets(self, count: int) -> list[tuple[int, int]]:
        """Where the frames' own noise is cut from the stored one."""
        beams = self._rng.integers(0, 3 * BEAMS, count)
        samples = self._rng.integers(0, 3 * SAMPLES, count)
        return list(zip(beams.tolist(), samples.tolist(), strict=True))

    def _shadows(self, jaw: Floats) -> Floats:
        """Share of the amplitude that passes the jaw (front) and the hyoid bone (rear), (T, beams, samples)."""
        scanner, angles, radius = self.scanner, self.fan.angles, self.fan.radii
        front = 1.0 / (1.0 + np.exp(-(angles - scanner.jaw_edge - 0.8 * jaw[:, None]) / 1.6))
        front = front[..., None] / (1.0 + np.exp(-(radius - 24.0) / 2.0))
        rear = 1.0 / (1.0 + np.exp((angles - scanner.hyoid_edge) / 1.8))
        rear = rear[:, None] / (1.0 + np.exp(-(radius - 30.0) / 2.5))
        passed: Floats = (1.0 - 0.965 * front) * (1.0 - 0.965 * rear)
        return passed

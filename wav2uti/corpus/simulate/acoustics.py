"""Transfer functions of the vocal tract: a lossy chain-matrix model of an area function.

Losses and yielding walls after M. Sondhi and J. Schroeter, "A hybrid time-frequency domain articulatory speech
synthesizer", IEEE Trans. ASSP 35 (1987). All sections of a frame have one length, so the hyperbolic functions are
computed once a frame, and the recursion carries pressure and flow (two numbers) instead of a matrix.
Units: cm, g, s. Frequencies in Hz, transfer functions complex64 of shape (frames, bins).
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Complex = NDArray[np.complex64]

SOUND_SPEED = 35_000.0  # cm/s at body temperature
AIR_DENSITY = 1.14e-3  # g/cm^3
BINS = 257
SYNTHESIS_FREQUENCIES: Array = np.linspace(0.0, 8_000.0, BINS)
FORMANT_FREQUENCIES: Array = np.arange(5.0, 5_000.0, 5.0)

VELUM_SECTION = 14  # of 30: the nasal branch leaves the tract about halfway
NASAL_AREAS = (1.4, 2.2, 2.8, 2.4, 1.6, 1.2, 1.0, 0.9, 0.7, 0.5)  # cm^2 from the velum to the nostrils
NASAL_SECTION = 1.1  # cm
NASAL_LOSS = 6.0  # times the losses of the mouth: folded, mucous walls
GLOTTAL_AREA = 0.1  # cm^2, for the impedance seen by a noise source
GLOTTAL_LENGTH = 0.3  # cm


@dataclass(frozen=True)
class _Line:
    """Constants of a lossy tube at some frequencies: cosh and sinh arguments are `sigma * length / c`."""

    gamma: NDArray[np.complex128]
    sigma: NDArray[np.complex128]


def _line(frequencies: Array, loss: float = 1.0) -> _Line:
    """Sondhi and Schroeter (1987): alpha, beta, gamma, sigma, at radian frequency w."""
    jw = 2j * np.pi * np.maximum(frequencies, 1.0)
    alpha = np.sqrt(jw * 4.0 * loss)
    beta = jw * (406 * np.pi) ** 2 / ((jw + 130 * np.pi) * jw + (30 * np.pi) ** 2) + alpha
    gamma = np.sqrt((alpha + jw) / (beta + jw))
    return _Line(gamma, gamma * (beta + jw))


def _radiation(frequencies: Array, area: Array) -> NDArray[np.complex128]:
    """Impedance of a piston in an infinite baffle as R parallel to L (Flanagan); area (...,) -> (..., bins)."""
    jw = 2j * np.pi * np.maximum(frequencies, 1.0)
    area = np.asarray(area)[..., None]
    resistance = 128 * AIR_DENSITY * SOUND_SPEED / (9 * np.pi**2 * area)
    inductance = 8 * AIR_DENSITY / (3 * np.pi * np.sqrt(np.pi * area))
    parallel: NDArray[np.complex128] = jw * inductance * resistance / (resistance + jw * inductance)
    return parallel


@cache
def _nose(bins: int, top: float) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Input impedance of the nasal tract and flow at the velum per unit of flow at the nostrils."""
    frequencies = np.linspace(0.0, top, bins)
    line = _line(frequencies, NASAL_LOSS)
    cosh, sinh = (f(line.sigma * NASAL_SECTION / SOUND_SPEED) for f in (np.cosh, np.sinh))
    pressure = _radiation(frequencies, np.array(NASAL_AREAS[-1]))
    flow = np.ones_like(pressure)
    for area in reversed(NASAL_AREAS):
        impedance = line.gamma * (AIR_DENSITY * SOUND_SPEED / area)
        pressure, flow = cosh * pressure + impedance * sinh * flow, cosh * flow + sinh / impedance * pressure
    return pressure / flow, flow


def transfer(
    areas: Array, length: Array, frequencies: Array = SYNTHESIS_FREQUENCIES, port: Array | None = None
) -> Complex:
    """Flow radiated at lips and nostrils per unit of flow at the glottis.

    Args:
        areas: cm^2 from glottis to lips, shape (frames, sections).
        length: of one section in cm, shape (frames,).
        frequencies: Hz, shape (bins,); evenly spaced from 0 where a nasal port is given.
        port: area of the opening of the velum in cm^2, shape (frames,); 0 or None for none.
    """
    out, _, _ = _from_lips(areas, length, frequencies, port)
    return out


def _from_lips(
    areas: Array, length: Array, frequencies: Array, port: Array | None, stop: NDArray[np.int64] | None = None
) -> tuple[Complex, Complex, Complex]:
    """Transfer function; and at the glottal end of section `stop`: impedance towards the lips, flow per radiated flow.

    Shapes (frames, bins) all three; `stop` (frames,).
    """
    line = _line(frequencies)
    phase = (line.sigma / SOUND_SPEED)[None] * length[:, None]
    cosh, sinh = np.cosh(phase).astype(np.complex64), np.sinh(phase)
    sinh_up = (sinh * line.gamma).astype(np.complex64)
    sinh_down = (sinh / line.gamma).astype(np.complex64)
    characteristic = (AIR_DENSITY * SOUND_SPEED / areas).astype(np.float32)
    pressure = _radiation(frequencies, areas[:, -1]).astype(np.complex64)
    flow = np.ones_like(pressure)
    radiated = np.ones_like(pressure)
    seen, ratio = np.zeros_like(pressure), np.ones_like(pressure)
    for k in range(areas.shape[1] - 1, -1, -1):
        impedance = characteristic[:, k, None]
        pressure, flow = (
            cosh * pressure + impedance * (sinh_up * flow),
            cosh * flow + (sinh_down * pressure) / impedance,
        )
        if stop is not None and (at := stop == k).any():
            seen[at], ratio[at] = pressure[at] / flow[at], flow[at] / radiated[at]
        if k == VELUM_SECTION and port is not None and port.any():
            load, nose = _nose(len(frequencies), float(frequencies[-1]))
            # The port itself is a short narrow tube in front of the nasal tract.
            jw = 2j * np.pi * np.maximum(frequencies, 1.0)
            neck = load + jw * AIR_DENSITY * 0.8 / np.maximum(port, 1e-3)[:, None]
            into = np.where(port[:, None] > 1e-3, pressure / neck, 0).astype(np.complex64)
            flow, radiated = flow + into, radiated + (into / nose).astype(np.complex64)
        if k % 5 == 0:  # Only ratios matter: keep the numbers of a closed tract within float32.
            size = np.abs(flow).max(axis=1, keepdims=True)
            pressure, flow, radiated = pressure / size, flow / size, radiated / size
    return radiated / flow, seen, ratio


def noise_transfer(areas: Array, length: Array, section: NDArray[np.int64]) -> Complex:
    """Flow radiated at the lips per unit of pressure of a source at the glottal end of a section (0: at the glottis).

    The source drives the impedance of the cavities on both sides in series. Shapes as in `transfer`; section (frames,).
    """
    frequencies = SYNTHESIS_FREQUENCIES
    _, front, ratio = _from_lips(areas, length, frequencies, None, section)
    line = _line(frequencies)
    phase = (line.sigma / SOUND_SPEED)[None] * length[:, None]
    cosh, sinh = np.cosh(phase).astype(np.complex64), np.sinh(phase)
    sinh_up = (sinh * line.gamma).astype(np.complex64)
    sinh_down = (sinh / line.gamma).astype(np.complex64)
    # From the glottis forward: impedance looking back, which begins with the glottis itself.
    jw = 2j * np.pi * np.maximum(frequencies, 1.0)
    glottis = 100.0 + jw * AIR_DENSITY * GLOTTAL_LENGTH / GLOTTAL_AREA
    back = np.broadcast_to(glottis, front.shape).astype(np.complex64)
    behind = back.copy()
    for k in range(int(section.max(initial=0))):
        impedance = (AIR_DENSITY * SOUND_SPEED / areas[:, k, None]).astype(np.float32)
        back = (cosh * back + impedance * sinh_up) / (sinh_down * back / impedance + cosh)
        at = section == k + 1
        behind[at] = back[at]
    response: Complex = 1.0 / ((front + behind) * ratio)
    return response


def formants(response: Complex, frequencies: Array, count: int = 4) -> list[float]:
    """Frequencies of the first peaks of one transfer function (bins,), refined by a parabola through three points."""
    level = 20 * np.log10(np.abs(response.astype(np.complex128)))
    peak = 1 + np.flatnonzero((level[1:-1] > level[:-2]) & (level[1:-1] >= level[2:]))[:count]
    left, middle, right = level[peak - 1], level[peak], level[peak + 1]
    shift = 0.5 * (left - right) / (left - 2 * middle + right)
    return [float(f) for f in frequencies[peak] + shift * (frequencies[1] - frequencies[0])]

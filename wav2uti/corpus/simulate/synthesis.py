"""Speech from the movements: a glottal and a noise source through the transfer functions of acoustics.py, at 16 kHz."""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from wav2uti.clock import SAMPLE_RATE, samples_at
from wav2uti.corpus.simulate.acoustics import (
    AIR_DENSITY,
    BINS,
    SYNTHESIS_FREQUENCIES,
    Complex,
    noise_transfer,
    transfer,
)
from wav2uti.corpus.simulate.articulation import PER_FRAME, RATE, Movement
from wav2uti.corpus.simulate.maeda import area_function, equal_sections, outline
from wav2uti.corpus.simulate.speakers import Speaker

Array = NDArray[np.float64]

HOP = 80  # samples: 5 ms, the 200 Hz of the acoustics
STEP = RATE * HOP // SAMPLE_RATE  # samples of the movement in a hop
OVERSAMPLING = 4
OPENING, CLOSING = 0.42, 0.16  # shares of the period (Rosenberg's pulse B with a cosine opening)
VISCOSITY = 1.86e-4  # g/(cm s)
CRITICAL_REYNOLDS = 1_800.0
VOICED_GLOTTIS = 0.05  # cm^2, mean opening while voicing
FRICATION = 5.0e-8  # level of the noise source per Reynolds number squared
ASPIRATION = 0.05
ROOM_NOISE = 6.0e-4  # of the full scale


def speak(movement: Movement, speaker: Speaker, rng: np.random.Generator) -> NDArray[np.float32]:
    """The sound of a movement: float32 in [-1, 1], exactly as long as its video frames."""
    samples = samples_at(len(movement.voice) // PER_FRAME)
    slow = movement.at(slice(None, None, STEP))
    tract = outline(slow.parameters, slow.tongue, speaker.anatomy, slow.lip_closure)
    areas, length = equal_sections(*area_function(tract))
    response = transfer(areas, length, port=slow.port)
    # Pressure at a distance is proportional to the derivative of the radiated flow.
    derivative = (2j * np.pi * SYNTHESIS_FREQUENCIES / 4_000.0).astype(np.complex64)

    breath = ASPIRATION * (slow.glottis + 0.01 * speaker.breath * slow.voice) * slow.pressure / 8_000.0
    sound = _filtered(_voice(movement, speaker, samples, rng), response)
    sound += _filtered(rng.standard_normal(samples) * _per_sample(breath, samples), response)

    amplitude, section = _frication(areas, slow)
    sounding = np.flatnonzero(amplitude > 0)
    if len(sounding):
        hiss = np.zeros((len(amplitude), BINS), np.complex64)
        hiss[sounding] = noise_transfer(areas[sounding], length[sounding], section[sounding]) * derivative
        sound += _filtered(rng.standard_normal(samples) * _per_sample(amplitude, samples), hiss)

    sound *= rng.uniform(0.35, 0.8) / np.abs(sound).max()
    sound += ROOM_NOISE * rng.standard_normal(samples)
    return np.clip(sound, -1.0, 1.0).astype(np.float32)


def _per_sample(track: Array, samples: int) -> Array:
    return np.interp(np.arange(samples), HOP * np.arange(len(track)), track)


def _voice(movement: Movement, speaker: Speaker, samples: int, rng: np.random.Generator) -> Array:
    """Derivative of the glottal flow, made at 64 kHz because the closure is abrupt, then brought to 16 kHz."""
    rate = OVERSAMPLING * SAMPLE_RATE
    time = np.arange(samples * OVERSAMPLING) / rate
    clock = np.arange(len(movement.voice)) / RATE
    pitch = speaker.pitch * 2.0 ** (np.interp(time, clock, movement.semitones) / 12.0)
    phase = np.cumsum(pitch) / rate
    cycles = int(phase[-1]) + 2
    phase += np.interp(phase, np.arange(cycles), speaker.jitter * rng.standard_normal(cycles))
    within = phase - np.floor(phase)
    closing = (within - OPENING) / CLOSING
    slope = np.where(
        within < OPENING,
        np.pi / (2 * OPENING) * np.sin(np.pi * within / OPENING),
        np.where(closing < 1, -np.pi / (2 * CLOSING) * np.sin(np.pi / 2 * closing), 0.0),
    )
    shimmer = 1.0 + 0.03 * np.interp(phase, np.arange(cycles), rng.standard_normal(cycles))
    amplitude = np.interp(time, clock, movement.voice * movement.pressure / 8_000.0)
    flow: Array = resample_poly(slope * shimmer * amplitude, 1, OVERSAMPLING)[:samples]
    return 0.1 * flow


def _frication(areas: Array, movement: Movement) -> tuple[Array, NDArray[np.int64]]:
    """Level of the noise at the narrowest section and the section in front of it, where it arises.

    The flow follows from the pressure below the glottis and the two narrowings in series; noise begins above a
    critical Reynolds number and grows with its square (Fant; Flanagan).
    """
    oral = areas[:, 5:]
    narrowest = 5 + oral.argmin(axis=1)
    area = oral.min(axis=1)
    glottis = movement.glottis + VOICED_GLOTTIS * movement.voice + 1e-4
    flow = np.sqrt(2 * movement.pressure / AIR_DENSITY / (1 / area**2 + 1 / glottis**2))
    reynolds = 4 * (AIR_DENSITY * flow / VISCOSITY) ** 2 / (np.pi * area)
    amplitude = FRICATION * np.maximum(reynolds - CRITICAL_REYNOLDS**2, 0.0)
    return amplitude, np.minimum(narrowest + 1, areas.shape[1] - 1)


def _filtered(source: Array, response: Complex) -> Array:
    """The source through a filter that changes every hop: Hann windows of two hops, overlap-add."""
    length = 2 * (BINS - 1)
    hops = len(response)
    window = 0.5 - 0.5 * np.cos(np.pi * np.arange(2 * HOP) / HOP)
    padded = np.concatenate([np.zeros(HOP), source, np.zeros(2 * HOP * (hops + 2))])[: (hops + 1) * HOP]
    pieces = np.lib.stride_tricks.sliding_window_view(padded, 2 * HOP)[::HOP] * window
    shaped = np.fft.irfft(np.fft.rfft(pieces, length, axis=1) * response, length, axis=1)
    parts = -(-length // HOP)
    shaped = np.pad(shaped, ((0, 0), (0, parts * HOP - length))).reshape(hops, parts, HOP)
    out = np.zeros((hops + parts, HOP))
    for k in range(parts):
        out[k : k + hops] += shaped[:, k]
    return out.reshape(-1)[HOP : HOP + len(source)]

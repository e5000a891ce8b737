"""Two streams on one clock: where the 60 fps frames stand, their pictures and their sound.

All functions are pure. Times are seconds on the clock of the recording's sound, whose first sample stands at 0:

    s0  = max(time of the first raw frame, 0)
    end = min(time of the last raw frame + one period, end of the sound)
    output frame k stands at s0 + k / 60, as long as its sixtieth of a second ends before `end`

A raw frame before the sound (a negative offset: the ultrasound leads) is dropped, sound before the first raw frame
is cut, and whatever one stream has beyond the end of the other is cut.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wav2uti.clock import FPS, SAMPLE_RATE, samples_at
from wav2uti.speech.audio import to_16k

_BLOCK = 64  # output frames computed at a time: the float copies of a long recording's raw frames stay small


def output_times(frame_times: ArrayLike, period: float, audio_seconds: float) -> NDArray[np.float64]:
    """Times of the 60 fps frames that both streams cover.

    Args:
        frame_times: (N,) increasing times of the raw frames in s, N >= 1; may be negative.
        period: time a raw frame lasts, in s.
        audio_seconds: length of the sound in s.

    Returns:
        float64 (T,), the times s0 + k / 60; empty where the streams do not overlap by one frame.

    >>> output_times([0.5, 0.6, 0.7], 0.1, 10.0).round(3)  # 0.3 s of picture: 18 frames
    array([0.5  , 0.517, 0.533, 0.55 , 0.567, 0.583, 0.6  , 0.617, 0.633,
           0.65 , 0.667, 0.683, 0.7  , 0.717, 0.733, 0.75 , 0.767, 0.783])
    """
    times = np.asarray(frame_times, dtype=np.float64)
    start = max(float(times[0]), 0.0)
    end = min(float(times[-1]) + period, audio_seconds)
    # One sample of slack: time stamps are rounded, and a last frame short of a sample is still a frame.
    count = max(math.floor((end - start + 1 / SAMPLE_RATE) * FPS), 0)
    return start + np.arange(count) / FPS


def interpolate(frames: NDArray[np.uint8], frame_times: ArrayLike, at: ArrayLike) -> NDArray[np.uint8]:
    """Pictures at other times, linear between the two neighbouring raw frames.

    Args:
        frames: uint8 (N, ...), also a memory map: only the frames in use are read.
        frame_times: (N,) increasing times of the frames in s.
        at: (T,) times wanted; before the first and after the last frame the picture stands still.

    Returns:
        uint8 (T, ...), rounded to nearest.
    """
    times, wanted = np.asarray(frame_times, dtype=np.float64), np.asarray(at, dtype=np.float64)
    left, weight = _neighbours(times, wanted)
    right = np.minimum(left + 1, len(times) - 1)
    result = np.empty((len(wanted), *frames.shape[1:]), dtype=np.uint8)
    for start in range(0, len(wanted), _BLOCK):
        part = slice(start, start + _BLOCK)
        before, after = frames[left[part]].astype(np.float32), frames[right[part]].astype(np.float32)
        share = weight[part].astype(np.float32).reshape(-1, *(1,) * (frames.ndim - 1))
        result[part] = np.rint(before + share * (after - before)).astype(np.uint8)
    return result


def interpolate_values(values: ArrayLike, value_times: ArrayLike, at: ArrayLike) -> NDArray[np.float64]:
    """The same as `interpolate` for real values (N, ...), such as spline points; float64 (T, ...)."""
    data, times = np.asarray(values, dtype=np.float64), np.asarray(value_times, dtype=np.float64)
    left, weight = _neighbours(times, np.asarray(at, dtype=np.float64))
    right = np.minimum(left + 1, len(times) - 1)
    share = weight.reshape(-1, *(1,) * (data.ndim - 1))
    result: NDArray[np.float64] = data[left] + share * (data[right] - data[left])
    return result


def cut_audio(samples: NDArray[np.float32], rate: int, start: float, frames: int) -> NDArray[np.float32]:
    """The 16 kHz sound of `frames` frames that begin at `start`.

    The sound is cut at its own rate, at the sample nearest to `start` (at most half a sample off), then resampled,
    so that frame 0 and sample 0 stand at the same time.

    Args:
        samples: float32 (N,) in [-1, 1] at `rate` Hz.
        start: time of frame 0 in s, not negative.
        frames: number T of 60 fps frames.

    Returns:
        float32 (samples_at(T),); zeros stand where the sound ends a sample or two early.
    """
    first = round(start * rate)
    # Some sound after the end goes through the filter too, so that the last samples are no edge of it.
    last = math.ceil((start + frames / FPS + 0.05) * rate)
    sound = to_16k(samples[first:last], rate)[: samples_at(frames)]
    # Interpolation can overshoot full scale between two samples of a clipped recording.
    return np.pad(np.clip(sound, -1.0, 1.0), (0, samples_at(frames) - len(sound)))


def _neighbours(times: NDArray[np.float64], at: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """For each wanted time the index of the frame before it and the share in [0, 1] of the frame after it."""
    left = np.clip(np.searchsorted(times, at, side="right") - 1, 0, max(len(times) - 2, 0))
    if len(times) == 1:
        return left, np.zeros(len(at))
    gap = times[left + 1] - times[left]
    return left, np.clip((at - times[left]) / gap, 0.0, 1.0)

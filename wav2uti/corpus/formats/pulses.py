"""Synchronisation pulses of TaL: `name.sync`, a wav under another ending, with a pulse for every ultrasound frame.

The pulses give the frames' exact times on the clock of the sound. Two trains of pulses stand in a file: that of the
lips camera at 60 Hz, which goes down first and ends before the ultrasound begins, and that of the ultrasound, which
goes up first, lasts 47 samples at 48 kHz a pulse and runs to the end of the file.

Measured on two real files: the first ultrasound pulse is TimeInSecsOfFirstFrame to within a sample, the second comes
4 ms later than the constant rate has it, and the others 588 or 589 samples after one another.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from wav2uti.corpus.formats.param import Metadata
from wav2uti.errors import InputError
from wav2uti.files import check_ordinary
from wav2uti.speech.audio import RATES, check_header, system_name

_BLOCK = 1 << 20  # samples read at a time, all channels together
_WINDOW = 0.02  # s; every train has an edge in nearly every window of this length
_LOWEST = 0.01  # full scale is 1; a weaker edge is noise
_PULSE = 0.002  # s; edges closer than this belong to one pulse
_GAP = 0.2  # s; a longer pause parts two trains
_ALIKE = 0.1  # relative; a train of the ultrasound keeps its stated rate to within this
FEW = 10  # frames, an eighth of a second: picture and pulses need not stop together


def read_pulses(path: Path) -> NDArray[np.float64]:
    """Onsets of all pulses in a file, of either sign: float64 (n,), increasing, in s from its first sample.

    An onset is the first sample of a step half as high as the usual one in the file; the steps after it within 2 ms
    belong to the same pulse.

    Raises:
        InputError: the file cannot be read as sound.
    """
    highest: list[float] = []
    rate = 0
    for _, edges, rate in _edges(path):
        window = max(round(_WINDOW * rate), 1)
        whole = len(edges) // window * window
        highest.extend(edges[:whole].reshape(-1, window).max(axis=1))
        highest.extend(edges[whole:].max(keepdims=True, initial=0.0))
    peaks = np.array(highest)
    # The median of the windows that have an edge at all: a click, however loud, moves it little.
    steps = peaks[peaks > max(peaks.max(initial=0.0) / 10, _LOWEST)]
    if len(steps) == 0:
        return np.zeros(0)
    found, last, half = [np.zeros(0)], -np.inf, np.median(steps) / 2
    for first, edges, _ in _edges(path):
        samples = first + np.flatnonzero(edges > half).astype(np.float64)
        # Block by block: in a file of noise half the samples are steps.
        found.append(samples[np.diff(samples, prepend=last) > _PULSE * rate])
        last = samples[-1] if len(samples) else last
    return np.concatenate(found) / rate


def frame_times(pulses: NDArray[np.float64], metadata: Metadata, frames: int, path: Path) -> NDArray[np.float64]:
    """Time of each ultrasound frame in s, from the pulses where they agree with the metadata.

    The ultrasound's pulses are those from the first train on that keeps the stated rate. Frames after the last pulse go
    on at the constant rate; pulses after the last frame are left out. With pulses that do not agree (none, the first
    more than half a frame off the stated time, or more than `FEW` too many or too few) a `UserWarning` says so, and the
    times are those of the constant rate.

    Args:
        pulses: all onsets in s, increasing.
        metadata: of the recording.
        frames: number N of frames.
        path: of the pulses, for the warning.

    Returns:
        float64 (N,), increasing.
    """
    constant: NDArray[np.float64] = metadata.first_time + np.arange(frames) / metadata.rate
    train = _train(pulses, metadata.rate)
    if len(train) == 0:
        problem = f"holds no pulses at the stated {metadata.rate:g} frames a second"
    elif abs(train[0] - metadata.first_time) > 0.5 / metadata.rate:
        problem = f"has its first ultrasound pulse at {train[0]:.4f} s, not at the stated {metadata.first_time:.4f} s"
    elif abs(len(train) - frames) > FEW:
        problem = f"has {len(train)} ultrasound pulses for {frames} frames"
    else:
        after = train[-1] + np.arange(1, max(frames - len(train), 0) + 1) / metadata.rate
        return np.concatenate((train[:frames], after))
    warnings.warn(
        f"{path} {problem}: the frames were placed at the constant rate that the metadata state.",
        UserWarning,
        stacklevel=2,
    )
    return constant


def _train(pulses: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    """The pulses of the ultrasound: all from the first train on whose usual distance is that of `rate`."""
    starts = np.flatnonzero(np.diff(pulses, prepend=-np.inf) > _GAP)
    for train in np.split(pulses, starts)[1:]:
        distances = np.diff(train)
        if len(distances) and abs(np.median(distances) * rate - 1) < _ALIKE:
            train = pulses[pulses >= train[0]]
            # What comes less than half a frame after a pulse is a disturbance.
            return train[np.diff(train, prepend=-np.inf) > 0.5 / rate]
    return np.zeros(0)


def _edges(path: Path) -> Iterator[tuple[int, NDArray[np.float32], int]]:
    """Height of the step at every sample, against the sample before the last, in blocks.

    An edge of a pulse is spread over two samples, so that neighbours alone would show it half as high.

    Yields:
        index of the block's first sample, heights float32 (n,), rate in Hz.
    """
    check_ordinary(path)
    try:
        with soundfile.SoundFile(system_name(path)) as file:
            if not RATES[0] <= file.samplerate <= RATES[1]:
                raise InputError(f"The pulses {path} state a sampling rate of {file.samplerate} Hz: copy them again.")
            check_header(file, path)
            size = max(_BLOCK // file.channels, 1)
            first, before = 0, np.zeros(0, dtype=np.float32)
            while len(block := file.read(size, dtype="float32", always_2d=True)[:, 0]):
                before = np.repeat(block[:1], 2) if first == 0 else before
                samples = np.concatenate((before, np.nan_to_num(block)))
                yield first, np.abs(samples[2:] - samples[:-2]), file.samplerate
                first, before = first + len(block), samples[-2:]
    except (OSError, soundfile.SoundFileError, TypeError) as error:
        raise InputError(
            f"The pulses {path} cannot be read as a wav, which a .sync file is: copy it again, or remove it to place "
            "the frames at a constant rate."
        ) from error

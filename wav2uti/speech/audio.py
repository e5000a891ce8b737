"""Sound files in, 16 kHz mono float32 out: the one form of speech that the rest of the project knows."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import firwin, resample_poly

from wav2uti.clock import SAMPLE_RATE
from wav2uti.errors import InputError

MAX_HOURS = 6.0
RATES = (4_000, 192_000)  # below, no speech is left; above, the resampling filter of an odd rate fills the memory
SILENCE = 1.0e-3  # peak of -60 dBFS: the noise of a muted input stays under it, the quietest usable speech does not

BLOCK = 1 << 20  # samples read at a time, so that the channels of a long file never stand in memory together
FILTER_REACH = 64  # zero crossings on each side of the resampling filter
_KAISER_BETA = 9.0  # about 90 dB of stop band
_ROLLOFF = 0.96  # cut-off over the lower Nyquist frequency: flat to 7.5 kHz, 60 dB down at 8.0 and 90 dB at 8.1 kHz


def read_audio(path: str | Path) -> tuple[NDArray[np.float32], int]:
    """Read a sound file as one channel at its own rate.

    Any format that libsndfile knows (wav, flac, mp3, ogg, aiff, ...), told by content; channels are averaged.
    Floating-point files above full scale are scaled down to a peak of 1.

    Returns:
        samples float32 (N,) in [-1, 1] and the sampling rate in Hz.

    Raises:
        InputError: no such file, not sound, no samples in it, NaN or infinite samples, an unusable rate, too long.
    """
    path = Path(path)
    with opened_sound(path) as file:
        rate = int(file.samplerate)
        blocks = list(mono_blocks(file, path))
    samples = np.concatenate(blocks)
    peak = float(np.abs(samples).max())
    if peak > 1:
        samples /= peak
    return samples, rate


@contextmanager
def opened_sound(path: Path) -> Iterator[soundfile.SoundFile]:
    """A sound file, open for reading; what goes wrong within the block is said as `read_audio` does."""
    if path.is_dir():
        raise InputError(f"{path} is a folder: name one sound file in it.")
    if not path.is_file():
        raise InputError(f"There is no sound file {path}: check the path.")
    if path.stat().st_size == 0:
        raise InputError(f"The sound file {path} is empty (0 bytes): copy or record it again.")
    try:
        with soundfile.SoundFile(path) as file:
            yield file
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: a name in .raw, which states no rate
        raise InputError(
            f"{path} cannot be read as sound ({_reason(error)}): give wav, flac, mp3 or ogg, "
            f"for instance made with `ffmpeg -i {path.name} {path.stem}.16k.wav`."
        ) from error


def mono_blocks(file: soundfile.SoundFile, path: Path) -> Iterator[NDArray[np.float32]]:
    """All samples of an open file, averaged over channels, as float32 (n,), n up to `BLOCK`; at least one sample.

    Raises InputError as `read_audio` does: an unusable rate, no samples, NaN or infinite samples, too long.
    """
    if not RATES[0] <= file.samplerate <= RATES[1]:
        raise InputError(
            f"The sound file {path} states a sampling rate of {file.samplerate} Hz, "
            f"outside {RATES[0]} to {RATES[1]} Hz: resample it or repair its header."
        )
    count = 0
    # The header's length may be wrong or missing (a streamed mp3), so the limit counts what is really read.
    while len(block := file.read(BLOCK, dtype="float32", always_2d=True)) > 0:
        mono = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)
        if not np.isfinite(mono).all():
            bad = count + int(np.flatnonzero(~np.isfinite(mono))[0])
            raise InputError(
                f"The sound file {path} holds NaN or infinite samples, the first at {bad / file.samplerate:.3f} s: "
                "export it again."
            )
        yield mono
        count += len(block)
        if count > MAX_HOURS * 3600 * file.samplerate:
            raise InputError(f"The sound file {path} is longer than {MAX_HOURS:g} hours: cut it into shorter files.")
    if not count:
        raise InputError(f"The sound file {path} holds no samples: copy or record it again.")


def to_16k(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Resample to 16 kHz with a polyphase low-pass filter of zero phase.

    Args:
        samples: float32 (N,).
        rate: sampling rate in Hz, any integer in `RATES`.

    Returns:
        float32 (round(N * 16000 / rate),); sample 0 stands at the same time as before.
    """
    if not RATES[0] <= rate <= RATES[1]:
        raise InputError(
            f"A sampling rate of {rate} Hz is outside {RATES[0]} to {RATES[1]} Hz: resample the sound first."
        )
    samples = np.asarray(samples, dtype=np.float32)
    if rate == SAMPLE_RATE or len(samples) == 0:
        return samples
    divisor = gcd(rate, SAMPLE_RATE)
    up, down = SAMPLE_RATE // divisor, rate // divisor
    length = (2 * len(samples) * SAMPLE_RATE + rate) // (2 * rate)
    # resample_poly gives ceil(N * up / down) samples, never fewer than the rounded length.
    resampled: NDArray[np.float32] = resample_poly(samples, up, down, window=_low_pass(up, down))[:length]
    return np.ascontiguousarray(resampled, dtype=np.float32)


def read_speech(path: str | Path) -> NDArray[np.float32]:
    """Read a sound file as float32 (N,) in [-1, 1] at 16 kHz mono.

    A silent recording is read all the same, with a `UserWarning`. Errors as in `read_audio`.
    """
    samples, rate = read_audio(path)
    if np.abs(samples).max() < SILENCE:
        warnings.warn(
            f"The sound file {path} is silent (its peak is below -60 dBFS): check the microphone and the channel.",
            UserWarning,
            stacklevel=2,
        )
    # Interpolation can overshoot full scale between two samples of a clipped recording.
    return np.clip(to_16k(samples, rate), -1.0, 1.0)


@lru_cache(maxsize=8)
def _low_pass(up: int, down: int) -> NDArray[np.float32]:
    """Kaiser-windowed sinc at `up` times the input rate, cutting below the lower of the two Nyquist frequencies."""
    steps = max(up, down)
    # float64 taps: resample_poly multiplies by `up` and keeps the type of the signal for the filtering itself.
    taps: NDArray[np.float32] = firwin(
        2 * FILTER_REACH * steps + 1, _ROLLOFF / steps, window=("kaiser", _KAISER_BETA)
    ).astype(np.float32)
    return taps


def _reason(error: Exception) -> str:
    """The library's own reason, without its prefix and full stop."""
    return str(error).rsplit(": ", 1)[-1].rstrip(".").lower() or type(error).__name__

"""Sound files in, 16 kHz mono float32 out: the one form of speech that the rest of the project knows."""

import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from math import ceil, gcd
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import firwin, resample_poly

from wav2uti.clock import SAMPLE_RATE
from wav2uti.errors import InputError
from wav2uti.files import check_ordinary

MAX_HOURS = 6.0  # of a recording: 1.4 GB at 16 kHz
RATES = (4_000, 192_000)  # below, no speech is left; above, the resampling filter of an odd rate fills the memory
SILENCE = 1.0e-3  # peak of -60 dBFS: the noise of a muted input stays under it, the quietest usable speech does not

BLOCK = 1 << 20  # samples read at a time, all channels together, so that a long file never stands in memory
_STEP = 1 << 18  # samples at 16 kHz resampled at a time
_UNKNOWN = 1 << 62  # frames that libsndfile states where a file does not
FILTER_REACH = 64  # zero crossings on each side of the resampling filter
_KAISER_BETA = 9.0  # about 90 dB of stop band
_ROLLOFF = 0.96  # cut-off over the lower Nyquist frequency: flat to 7.5 kHz, 60 dB down at 8.0 and 90 dB at 8.1 kHz


def read_speech(path: str | Path) -> NDArray[np.float32]:
    """Read a sound file as one channel at 16 kHz.

    Any format that libsndfile knows (wav, flac, mp3, ogg, aiff, ...), told by content; channels are averaged.
    Floating-point files above full scale are scaled down to a peak of 1. A silent recording is read all the same, with
    a `UserWarning`. The file is read and resampled in blocks: the memory needed is that of the result and 100 MB, for
    any number of channels; 450 MB where the rate has no large factor in common with 16 kHz and the filter is long.

    Returns:
        float32 (N,) in [-1, 1] at 16 kHz.

    Raises:
        InputError: no such file, not sound, no samples in it, NaN or infinite samples, an unusable rate, too long.
    """
    path = Path(path)
    speech = bytearray()  # grows in place; a list of blocks would be in memory twice when it is joined
    peak = 0.0
    with opened_sound(path) as file:
        check_header(file, path)

        def watched() -> Iterator[NDArray[np.float32]]:
            nonlocal peak
            for block in mono_blocks(file, path):
                peak = max(peak, float(block.max()), -float(block.min()))
                yield block

        for block in resampled(watched(), int(file.samplerate)):
            speech += block.data
    samples: NDArray[np.float32] = np.frombuffer(speech, dtype=np.float32) if speech else np.zeros(0, np.float32)
    if peak > 1:
        samples /= np.float32(peak)
    if peak < SILENCE:
        warnings.warn(
            f"The sound file {path} is silent (its peak is below -60 dBFS): check the microphone and the channel.",
            UserWarning,
            stacklevel=2,
        )
    # Interpolation can overshoot full scale between two samples of a clipped recording.
    return np.clip(samples, -1.0, 1.0, out=samples)


@contextmanager
def opened_sound(path: Path) -> Iterator[soundfile.SoundFile]:
    """A sound file, open for reading; what goes wrong within the block is said as `read_speech` does."""
    check_ordinary(path)
    try:
        if path.stat().st_size == 0:
            raise InputError(f"The sound file {path} is empty (0 bytes): copy or record it again.")
        with soundfile.SoundFile(system_name(path)) as file:
            yield file
    except (OSError, soundfile.SoundFileError, TypeError) as error:  # TypeError: a name in .raw, which states no rate
        raise InputError(
            f"{path} cannot be read as sound ({_reason(error)}): give wav, flac, mp3 or ogg, "
            f"for instance made with `ffmpeg -i {path.name} {path.stem}.16k.wav`."
        ) from error


def system_name(path: Path) -> str | bytes:
    """A path as soundfile takes it: of a name in another encoding it would make an error of Unicode."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def check_header(file: soundfile.SoundFile, path: Path) -> None:
    """Raise an InputError where an open file states an unusable rate or more than `MAX_HOURS`, before any is read.

    What an mp3 states is an estimate, and a stream may state nothing: `mono_blocks` counts what is really read.
    """
    if not RATES[0] <= file.samplerate <= RATES[1]:
        raise InputError(
            f"The sound file {path} states a sampling rate of {file.samplerate} Hz, "
            f"outside {RATES[0]} to {RATES[1]} Hz: resample it or repair its header."
        )
    hours = file.frames / file.samplerate / 3600
    if file.format != "MP3" and file.frames < _UNKNOWN and hours > MAX_HOURS:
        raise InputError(
            f"The sound file {path} is {hours:.1f} hours long, more than {MAX_HOURS:g}: cut it into shorter files."
        )


def mono_blocks(file: soundfile.SoundFile, path: Path) -> Iterator[NDArray[np.float32]]:
    """All samples of an open file, averaged over channels, as float32 (n,), n up to `BLOCK`; at least one sample.

    Raises InputError as `read_speech` does: no samples, NaN or infinite samples, too long.
    """
    count = 0
    # The header's length may be wrong or missing (a streamed mp3), so the limit counts what is really read.
    while len(mono := next_mono(file, BLOCK)) > 0:
        if not np.isfinite(mono).all():
            bad = count + int(np.flatnonzero(~np.isfinite(mono))[0])
            raise InputError(
                f"The sound file {path} holds NaN or infinite samples, the first at {bad / file.samplerate:.3f} s: "
                "export it again."
            )
        yield mono
        count += len(mono)
        if count > MAX_HOURS * 3600 * file.samplerate:
            raise InputError(f"The sound file {path} is longer than {MAX_HOURS:g} hours: cut it into shorter files.")
    if not count:
        raise InputError(f"The sound file {path} holds no samples: copy or record it again.")


def next_mono(file: soundfile.SoundFile, wanted: int) -> NDArray[np.float32]:
    """The next samples of an open file, averaged over channels: float32 (n,), n from 1 to `wanted`, 0 at its end.

    All channels of them together are no more than `BLOCK` samples.
    """
    count = min(wanted, max(BLOCK // file.channels, 1))
    block: NDArray[np.float32] = file.read(count, dtype="float32", always_2d=True)
    if block.shape[1] == 1:
        return block[:, 0]
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is told
        return block.mean(axis=1, dtype=np.float32)


def resampled(blocks: Iterable[NDArray[np.float32]], rate: int) -> Iterator[NDArray[np.float32]]:
    """A sound in blocks at 16 kHz, the same as `to_16k` of all of it: each is resampled with the sound around it.

    Args:
        blocks: float32 (n,) each, one after the other.
        rate: samples a second of them, in `RATES`.

    Yields:
        float32 (n,), n > 0.
    """
    if rate == SAMPLE_RATE:
        yield from blocks
        return
    up, down, margin = ratio(rate)
    units = max(_STEP // up, 1)  # of `down` samples that become `up`
    # Before the sound and after it is silence, as the filter takes it.
    held = np.zeros(margin * down, dtype=np.float32)
    count = done = 0
    for block in blocks:
        count += len(block)
        held = np.concatenate((held, block))
        while len(held) >= (units + 2 * margin) * down:
            yield to_16k(held[: (units + 2 * margin) * down], rate)[margin * up : (margin + units) * up]
            held = held[units * down :]
            done += units * up
    rest = resampled_length(count, rate) - done
    while rest > 0:
        length = min(rest, units * up)
        needed = (ceil(length / up) + 2 * margin) * down
        piece = np.pad(held[:needed], (0, max(needed - len(held), 0)))
        yield to_16k(piece, rate)[margin * up : margin * up + length]
        held, rest = held[units * down :], rest - length


def ratio(rate: int) -> tuple[int, int, int]:
    """By how much 16 kHz is more than `rate` as a fraction (up, down), and a margin for pieces.

    `down` samples at `rate` last as long as `up` at 16 kHz. The margin, in units of them, is what the filter reaches.
    """
    divisor = gcd(rate, SAMPLE_RATE)
    up, down = SAMPLE_RATE // divisor, rate // divisor
    return up, down, ceil(FILTER_REACH * max(up, down) / (up * down)) + 1


def resampled_length(count: int, rate: int) -> int:
    """Samples at 16 kHz of so many at `rate`, rounded to nearest."""
    return (2 * count * SAMPLE_RATE + rate) // (2 * rate)


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
    up, down, _ = ratio(rate)
    length = resampled_length(len(samples), rate)
    # resample_poly gives ceil(N * up / down) samples, never fewer than the rounded length.
    resampled: NDArray[np.float32] = resample_poly(samples, up, down, window=_low_pass(up, down))[:length]
    return np.ascontiguousarray(resampled, dtype=np.float32)


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

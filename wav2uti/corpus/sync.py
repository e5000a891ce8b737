"""Two streams on one clock: where the 60 fps frames stand, their pictures and their sound.

All functions are pure. Times are seconds on the clock of the recording's sound, whose first sample stands at 0:

    s0  = max(time of the first raw frame, 0)
    end = min(time of the last raw frame + one period, end of the sound)
    output frame k stands at s0 + k / 60, as long as its sixtieth of a second ends before `end`

A raw frame before the sound (a negative offset: the ultrasound leads) is dropped, sound before the first raw frame
is cut, and whatever one stream has beyond the end of the other is cut. `Synchronised` does all this in blocks.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wav2uti.clock import FPS, SAMPLE_RATE, samples_at
from wav2uti.corpus.raw import RawRecording
from wav2uti.corpus.recording import Interval, Recording
from wav2uti.corpus.sound import Sound
from wav2uti.errors import InputError
from wav2uti.speech.audio import ratio, to_16k

_BLOCK = 64  # output frames computed at a time: the float copies of a long recording's raw frames stay small
_YIELDED = 512  # output frames given at a time: a hole in the time stamps must not fill the memory
_SOUND_BLOCK = 1 << 18  # samples at 16 kHz given at a time


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
        share = weight[part].astype(np.float32).reshape(-1, *(1,) * (frames.ndim - 1))
        # In place: temporaries of this size cost more than the arithmetic.
        before = frames[left[part]].astype(np.float32)
        value = frames[right[part]].astype(np.float32)
        value -= before
        value *= share
        value += before
        result[part] = np.rint(value, out=value)
    return result


def interpolate_values(values: ArrayLike, value_times: ArrayLike, at: ArrayLike) -> NDArray[np.float64]:
    """The same as `interpolate` for real values (N, ...), such as spline points; float64 (T, ...)."""
    data, times = np.asarray(values, dtype=np.float64), np.asarray(value_times, dtype=np.float64)
    left, weight = _neighbours(times, np.asarray(at, dtype=np.float64))
    right = np.minimum(left + 1, len(times) - 1)
    share = weight.reshape(-1, *(1,) * (data.ndim - 1))
    result: NDArray[np.float64] = data[left] + share * (data[right] - data[left])
    return result


def cut_sound(sound: Sound, start: float, frames: int) -> Iterator[NDArray[np.float32]]:
    """The 16 kHz sound of `frames` frames that begin at `start`, in blocks.

    Frame 0 and sample 0 stand at the same time, up to half a sample of the sound's own rate. Blocks are resampled with
    the sound on both sides of them, so that they join without a seam.

    Args:
        sound: at its own rate.
        start: time of frame 0 in s, not negative.
        frames: number T of 60 fps frames.

    Yields:
        float32 (n,) in [-1, 1], together samples_at(T) samples; zeros stand where the sound ends early.
    """
    first, total = round(start * sound.rate), samples_at(frames)
    up, down, margin = ratio(sound.rate)
    # A block begins at a whole sample of both rates: every `up` samples here are `down` samples of the sound.
    step = max(_SOUND_BLOCK // up, 1) * up
    for begin in range(0, total, step):
        length = min(step, total - begin)
        source = first + begin // up * down - margin * down
        stop = source + (math.ceil(length / up) + 2 * margin) * down
        read = sound.read(max(source, 0), max(stop, 0))
        padded = np.zeros(stop - source, dtype=np.float32)
        padded[max(-source, 0) : max(-source, 0) + len(read)] = read
        resampled = to_16k(padded, sound.rate)[margin * up : margin * up + length]
        # Interpolation can overshoot full scale between two samples of a clipped recording.
        yield np.clip(resampled, -1.0, 1.0)


class Synchronised:
    """A raw recording on the common clock, made in blocks as they are asked for.

    Attributes:
        raw: what it is made of.
        start: time of frame 0 in s on the clock of the sound.
        count: number T of frames. Both are known once `frames` has come to its end.
        raw_times: times of all raw frames that were read.
    """

    def __init__(self, raw: RawRecording) -> None:
        self.raw = raw
        self.start = math.nan
        self.count = 0
        self.raw_times: NDArray[np.float64] = np.zeros(0)

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """Frames uint8 (n, size, size) at 60 a second.

        Raises:
            InputError: picture and sound have no frame in common, or a file cannot be read.
        """
        picture, end_of_sound = self.raw.picture, self.raw.sound.seconds
        seen: list[NDArray[np.float64]] = []
        times, frames = np.zeros(0), np.zeros((0, 1), dtype=np.uint8)
        done = 0
        for new_times, new_frames in picture.blocks():
            seen.append(new_times)
            if len(seen) == 1:
                self.start = max(float(new_times[0]), 0.0)
                times, frames = new_times, new_frames
            else:
                times, frames = np.concatenate((times, new_times)), np.concatenate((frames, new_frames))
            # A frame may be drawn once its sixtieth of a second is over, whatever comes after.
            ready = self._whole_frames(min(float(times[-1]), end_of_sound))
            yield from self._drawn(frames, times, done, ready)
            done = max(done, ready)
            if times[-1] >= end_of_sound:
                break
            # The raw frame before the next output frame and all after it are needed again.
            kept = max(int(np.searchsorted(times, self.start + done / FPS, side="right")) - 1, 0)
            times, frames = times[kept:], frames[kept:]
        if not seen:
            raise InputError(f"{self.raw.source}: there is no picture in it; copy or export it again.")
        self.raw_times = np.concatenate(seen)
        last = float(self.raw_times[-1]) + self.period
        self.count = max(self._whole_frames(min(last, end_of_sound)), done)
        yield from self._drawn(frames, times, done, self.count)
        if self.count == 0:
            raise InputError(
                f"{self.raw.source}: picture and sound do not overlap (picture from {self.raw_times[0]:.3f} s to "
                f"{last:.3f} s, sound from 0 s to {end_of_sound:.3f} s): check that both belong together, and the "
                "time offset."
            )

    def audio(self) -> Iterator[NDArray[np.float32]]:
        """Sound of the frames at 16 kHz, float32 (n,) in [-1, 1]; after `frames` has come to its end."""
        return cut_sound(self.raw.sound, self.start, self.count)

    @property
    def times(self) -> NDArray[np.float64]:
        """Times of the frames on the clock of the sound, float64 (T,)."""
        times: NDArray[np.float64] = self.start + np.arange(self.count) / FPS
        return times

    @property
    def period(self) -> float:
        """Time that the last raw frame lasts, in s."""
        if self.raw.picture.period is not None:
            return self.raw.picture.period
        return float(np.median(np.diff(self.raw_times))) if len(self.raw_times) > 1 else 1 / FPS

    def contour(self) -> NDArray[np.float32] | None:
        """Tongue contour of every frame, float32 (T, K, 2), or None."""
        return None if self.raw.contour is None else self.raw.contour(self.times)

    def moved(self, intervals: tuple[Interval, ...]) -> tuple[Interval, ...]:
        """Intervals on the clock of the sound as ones from frame 0 on, cut to the recording."""
        length = self.count / FPS
        shifted = (
            Interval(i.label, max(i.start - self.start, 0.0), min(i.end - self.start, length)) for i in intervals
        )
        return tuple(interval for interval in shifted if interval.end > interval.start)

    def _whole_frames(self, end: float) -> int:
        """Number of frames from the start that end before `end`."""
        # One sample of slack: time stamps are rounded, and a last frame short of a sample is still a frame.
        return max(math.floor((end - self.start + 1 / SAMPLE_RATE) * FPS), 0)

    def _drawn(
        self, frames: NDArray[np.uint8], times: NDArray[np.float64], first: int, last: int
    ) -> Iterator[NDArray[np.uint8]]:
        for begin in range(first, last, _YIELDED):
            wanted = self.start + np.arange(begin, min(begin + _YIELDED, last)) / FPS
            yield self.raw.picture.draw(interpolate(frames, times, wanted))


def read_whole(raw: RawRecording) -> Recording:
    """A raw recording as a `Recording`, all of it in memory."""
    synchronised = Synchronised(raw)
    frames = np.concatenate(list(synchronised.frames()))
    return Recording(
        id=raw.id,
        frames=frames,
        audio=np.concatenate(list(synchronised.audio())),
        speaker=raw.speaker,
        task=raw.task,
        text=raw.text,
        language=raw.language,
        source=raw.source,
        simulated=raw.simulated,
        split=raw.split,
        mm_per_pixel=raw.mm_per_pixel,
        contour=synchronised.contour(),
        words=synchronised.moved(raw.words),
        phones=synchronised.moved(raw.phones),
    )


def _neighbours(times: NDArray[np.float64], at: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """For each wanted time the index of the frame before it and the share in [0, 1] of the frame after it."""
    left = np.clip(np.searchsorted(times, at, side="right") - 1, 0, max(len(times) - 2, 0))
    if len(times) == 1:
        return left, np.zeros(len(at))
    gap = times[left + 1] - times[left]
    return left, np.clip((at - times[left]) / gap, 0.0, 1.0)

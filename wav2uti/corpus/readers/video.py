"""Ultrasound as video: avi, mp4, mov or mkv with its own sound or with a wav beside it.

Times are the time stamps (PTS) that the file gives each frame, never its nominal rate: real files begin a frame late,
or 0.19 s after their sound, or repeat frames.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from wav2uti.corpus.crop import fit_square
from wav2uti.corpus.readers.base import Candidate, Reader, beside, files_in, shared_times
from wav2uti.corpus.readers.prompt import read_prompt, speaker_of, task_of
from wav2uti.corpus.recording import Recording
from wav2uti.corpus.sync import cut_audio, interpolate
from wav2uti.errors import InputError
from wav2uti.speech.audio import read_audio

SUFFIXES = (".avi", ".mp4", ".mov", ".mkv")
FEW_FRAMES = 40.0  # distinct frames a second below which a recording is read with a warning
_GAP = 0.05  # s; a hole in the sound's time stamps beyond this is filled with silence, less is rounding


@dataclass(frozen=True)
class VideoReader(Reader):
    """Reader of ultrasound videos.

    Attributes:
        crop: (x, y, width, height) in pixels of the video, cut out first; None keeps the whole picture.
        hflip: mirror the picture, for recordings with the tip of the tongue on the left.
        offset: seconds added to the times of the frames; positive where the sound began before the picture.
    """

    name = "video"
    crop: tuple[int, int, int, int] | None = None
    hflip: bool = False
    offset: float = 0.0

    def __post_init__(self) -> None:
        if self.crop is not None and (len(self.crop) != 4 or min(self.crop) < 0 or min(self.crop[2:]) == 0):
            raise InputError(f"The crop {self.crop} is not x, y, width, height in pixels: give four numbers.")

    def find(self, source: Path) -> list[Candidate]:
        """A candidate for each video.

        In a folder a video beside raw ultrasound of the same name is none: it shows the lips (TaL), or the same
        ultrasound again. Named itself it is one, and `read` says why not.
        """
        return [
            Candidate(path.stem, {"video": path}, self)
            for path in files_in(source, SUFFIXES)
            if source.is_file() or not _has_raw_ultrasound(path)
        ]

    def read(self, candidate: Candidate, size: int) -> Recording:
        """Read a video with its own sound, or else with the wav beside it, both of which then begin at 0."""
        path = candidate.path
        if path.name.lower().startswith("lips_"):
            raise InputError(f"{path} is a video of the lips by its name, not of the tongue: leave it out.")
        if _has_raw_ultrasound(path):
            raise InputError(f"{path} stands beside raw ultrasound of the same name (a lips video in TaL): read that.")
        sound = _read_sound(path)
        sound_path = beside(path, f"{path.stem}.wav")
        if sound is None and sound_path is None:
            raise InputError(
                f"{path} has no sound: put a wav of the same name beside it ({path.stem}.wav), or copy it again "
                "if it should have sound."
            )
        frames, times = self._read_frames(path, size)
        if sound is not None:
            samples, rate, start = sound
            times = times - start
        else:
            assert sound_path is not None
            samples, rate = read_audio(sound_path)
            times = times - times[0]
        times += self.offset
        _warn_of_repeats(path, frames, times)
        at = shared_times(path, times, float(np.median(np.diff(times))), len(samples) / rate)
        prompt = read_prompt(beside(path, f"{path.stem}.txt"))
        return Recording(
            id=candidate.id,
            frames=interpolate(frames, times, at),
            audio=cut_audio(samples, rate, at[0], len(at)),
            speaker=speaker_of(path, prompt),
            task=task_of(path),
            text=prompt.text,
            source=path.name,
        )

    def _read_frames(self, path: Path, size: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """Pictures uint8 (N, size, size), N >= 2, and their increasing times in s on the container's clock.

        Pictures are shrunk as they are decoded, so that a long video does not fill the memory.
        """
        frames: list[NDArray[np.uint8]] = []
        times: list[float] = []
        with _opened(path) as container:
            if not container.streams.video:
                raise InputError(f"{path} has no picture in it: name a video of the ultrasound.")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            pixel_aspect = float(stream.sample_aspect_ratio or 1)
            to_grey = VideoReformatter()  # kept over the frames: making one costs more than using it
            for frame in container.decode(stream):
                if frame.pts is None:
                    raise InputError(
                        f"{path} has frames without time stamps: write it anew with "
                        f"`ffmpeg -fflags +genpts -i {path.name} {path.stem}_pts.mkv`."
                    )
                time = float(frame.pts * frame.time_base)
                if times and time <= times[-1]:
                    continue  # a second picture for the same moment
                # "gray" is the luma, stretched to 0-255 where the file keeps it in 16-235.
                picture = np.asarray(to_grey.reformat(frame, format="gray").to_ndarray(), dtype=np.uint8)
                frames.append(fit_square(self._cut_out(picture, path), size, pixel_aspect))
                times.append(time)
        if len(frames) < 2:
            raise InputError(f"{path} holds {len(frames)} readable frames, which is no video: copy or record it again.")
        return np.stack(frames), np.array(times)

    def _cut_out(self, picture: NDArray[np.uint8], path: Path) -> NDArray[np.uint8]:
        """The cropped and, if wanted, mirrored picture."""
        if self.crop is not None:
            x, y, width, height = self.crop
            if x + width > picture.shape[1] or y + height > picture.shape[0]:
                raise InputError(
                    f"The crop {self.crop} reaches beyond the picture of {path}, which is {picture.shape[1]} x "
                    f"{picture.shape[0]} pixels: give x, y, width, height inside it."
                )
            picture = picture[y : y + height, x : x + width]
        return np.ascontiguousarray(picture[:, ::-1] if self.hflip else picture)


def _has_raw_ultrasound(path: Path) -> bool:
    """Whether `name.ult` or its metadata stand beside a video."""
    return beside(path, f"{path.stem}.ult", f"{path.stem}.param", f"{path.stem}US.txt") is not None


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The container; whatever FFmpeg finds wrong with it, now or while decoding, becomes an `InputError`."""
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes): copy it again.")
    try:
        with av.open(str(path)) as container:
            yield container
    except av.error.FFmpegError as error:
        reason = (error.strerror or type(error).__name__).rstrip(".").lower()
        raise InputError(f"{path} cannot be read as video ({reason}): copy it again or convert it to mp4.") from error


def _read_sound(path: Path) -> tuple[NDArray[np.float32], int, float] | None:
    """Sound of a container: mono float32 (N,) in [-1, 1], rate in Hz, time of the first sample in s; None without any.

    Holes between time stamps are filled with silence, so that later sound keeps its time.
    """
    parts: list[NDArray[np.float32]] = []
    count, start = 0, 0.0
    with _opened(path) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        rate = int(stream.rate)
        to_float = av.AudioResampler(format="fltp")
        for frame in container.decode(stream):
            time = start + count / rate if frame.pts is None else float(frame.pts * frame.time_base)
            start = start if parts else time
            hole = time - (start + count / rate)
            if hole > _GAP:
                parts.append(np.zeros(round(hole * rate), dtype=np.float32))
                count += len(parts[-1])
            for plain in to_float.resample(frame):
                parts.append(plain.to_ndarray().mean(axis=0, dtype=np.float32))
                count += len(parts[-1])
    if not count:
        return None
    samples = np.concatenate(parts)
    if not np.isfinite(samples).all():
        raise InputError(f"The sound of {path} holds NaN or infinite samples: export it again.")
    return np.clip(samples, -1.0, 1.0), rate, start


def _warn_of_repeats(path: Path, frames: NDArray[np.uint8], times: NDArray[np.float64]) -> None:
    """Warn where a screen capture repeats its frames so often that fewer than `FEW_FRAMES` a second are distinct."""
    # A repeated frame may differ by the rounding of its compression; new speckle differs by far more somewhere.
    changes = sum(bool((np.maximum(a, b) - np.minimum(a, b)).max() > 1) for a, b in pairwise(frames))
    rate = changes / (times[-1] - times[0])
    if rate < FEW_FRAMES:
        warnings.warn(
            f"{path} shows only {rate:.1f} distinct frames a second (60 are drawn by interpolation): "
            "record at a higher rate if you can.",
            UserWarning,
            stacklevel=3,
        )

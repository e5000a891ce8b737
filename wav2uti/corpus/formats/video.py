"""Video files: their picture as grey frames, fitted into the model's square while they are decoded, and their sound.

Times are the time stamps (PTS) that the file gives each frame, never its nominal rate: real files begin a frame late,
or 0.19 s after their sound, or repeat frames.
"""

import math
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from wav2uti.corpus.crop import Crop, Fit, Motion, moving_boxes, white_background
from wav2uti.corpus.raw import Block, Picture
from wav2uti.corpus.sound import ArraySound, Sound
from wav2uti.errors import InputError
from wav2uti.files import check_ordinary
from wav2uti.speech.audio import MAX_HOURS, RATES

_FRAMES = 64  # in a block
_LOOKS = 40  # frames, between half and twice as many, from which an automatic crop is found
_LOOKED_AT = 16  # of so many frames one is looked at for motion beside the ultrasound
_RIVAL = 4  # a second moving region may be the ultrasound too if it is at least the first divided by this
_GAP = 0.05  # s; a hole in the sound's time stamps beyond this is filled with silence, less is rounding
MOST_PIXELS = 4096 * 2304  # of a picture; the sums over frames by which what moves is found take 16 bytes each
# Of FFmpeg's, those that read one file: others open what a list in the file names, on this machine or on another.
DEMUXERS = "avi,mov,matroska,mpeg,mpegts,mpegvideo,m4v,asf,flv,ogg,mxf,nut,dv,gif,ivf,rm,h264,hevc,wav,mp3,aac"
_ASPECTS = (0.25, 4.0)  # of pixels; a broken header states others, which are taken for 1


class VideoPicture(Picture):
    """Frames of a video, decoded to grey, cropped, mirrored and fitted into the square; white paper becomes black.

    Args:
        path: of the file.
        size: side of the square in pixels.
        crop: (x, y, width, height) in pixels of the video, "auto" for the place that moves, None for all of it.
        hflip: mirror the picture.
        shift: seconds added to the time stamps.

    Raises:
        InputError: no video, no picture in it, a crop beyond it, or "auto" where not exactly one region moves.
    """

    def __init__(self, path: Path, size: int, crop: Crop | Literal["auto"] | None, hflip: bool, shift: float) -> None:
        self.path, self.hflip, self.shift = path, hflip, shift
        with _opened(path) as container:
            first = next(_pictures(container, path), None)
            aspect = float(_stream(container, path).sample_aspect_ratio or 1)
        if first is None:
            raise _too_few_frames(path, 0)
        height, width = first[1].shape
        self.kind = f"{width} x {height} video"
        self.crop: Crop = (_moving_crop(path) if crop == "auto" else crop) or (0, 0, width, height)
        left, top, inner_width, inner_height = self.crop
        if left + inner_width > width or top + inner_height > height:
            raise InputError(
                f"The crop {self.crop} reaches beyond the picture of {path}, which is {width} x {height} pixels: "
                "give x, y, width, height inside it."
            )
        self.fit = Fit(inner_width, inner_height, size, aspect if _ASPECTS[0] <= aspect <= _ASPECTS[1] else 1.0)
        self._white = white_background(self._cut_out(first[1]))
        self._motion = Motion(height=inner_height, width=inner_width)

    def blocks(self) -> Iterator[Block]:
        times: list[float] = []
        frames = np.empty((_FRAMES, self.fit.size, self.fit.size), dtype=np.uint8)
        count = 0
        self._motion = Motion(height=self.crop[3], width=self.crop[2])
        with _opened(self.path) as container:
            for time, whole in _pictures(container, self.path):
                picture = self._cut_out(whole)
                if self._white is not None:
                    picture = np.where(self._white, np.uint8(0), picture)
                if count % _LOOKED_AT == 0:
                    self._motion.see(picture)
                frames[len(times)] = self.fit.draw(picture)
                times.append(time + self.shift)
                count += 1
                if len(times) == _FRAMES:
                    yield np.array(times), frames
                    times, frames = [], np.empty_like(frames)
        if count < 2:
            raise _too_few_frames(self.path, count)
        if times:
            yield np.array(times), frames[: len(times)]

    def draw(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return frames

    def motion_beside(self) -> float:
        return self._motion.share_beside()

    def _cut_out(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The cropped and, if wanted, mirrored picture."""
        left, top, width, height = self.crop
        inner = picture[top : top + height, left : left + width]
        return inner[:, ::-1] if self.hflip else inner


def first_time(path: Path) -> float:
    """Time stamp of the first frame of a video in s. Errors as in `VideoPicture`."""
    with _opened(path) as container:
        for frame in container.decode(_stream(container, path)):
            return _time_of(frame, path)
    raise _too_few_frames(path, 0)


def open_sound(path: Path) -> tuple[Sound, float] | None:
    """Sound of a video and the time stamp of its first sample in s; None without any.

    It is decoded into a temporary file without a name: the memory stays free, and nothing is left behind. Holes between
    time stamps are filled with silence, so that later sound keeps its time.

    Raises:
        InputError: sound that cannot be decoded or used, or no room for the temporary file.
    """
    count, start = 0, math.nan
    # Unbuffered: a buffer that finds the disk full would say so again, by another error, when it is closed.
    with _opened(path) as container, tempfile.TemporaryFile(buffering=0) as file:
        stream = _usable(container.streams.audio)
        if stream is None:
            return None
        rate = int(stream.rate)
        if not RATES[0] <= rate <= RATES[1]:
            raise InputError(
                f"The sound of {path} states a sampling rate of {rate} Hz, outside {RATES[0]} to {RATES[1]} Hz: "
                "resample it or repair its header."
            )
        for time, samples in _sound_blocks(container, stream, path):
            start = time if count == 0 else start
            hole = round((time - start) * rate) - count if math.isfinite(time) else 0
            hole = hole if hole > _GAP * rate else 0
            if count + hole + len(samples) > MAX_HOURS * 3600 * rate:
                raise InputError(f"The sound of {path} is longer than {MAX_HOURS:g} hours: cut it into shorter files.")
            file.seek(hole * samples.itemsize, os.SEEK_CUR)  # what is passed over reads as zeros
            _append(file, samples, path)
            count += hole + len(samples)
        if count == 0:
            return None
        # The map keeps the file that it is made of.
        samples = np.memmap(file, dtype=np.float32, mode="r", shape=(count,))
        return ArraySound(samples, rate), start if math.isfinite(start) else 0.0


def _append(file: IO[bytes], samples: NDArray[np.float32], path: Path) -> None:
    """Write samples of the sound of `path` to the end of an unbuffered temporary file."""
    try:
        if file.write(samples.data) == samples.nbytes:
            return
    except OSError:
        pass
    raise InputError(
        f"There is no room in {tempfile.gettempdir()} for the sound of {path}: free some there, or name another "
        "folder in the variable TMPDIR."
    )


def _sound_blocks(container: Any, stream: Any, path: Path) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """Time stamps in s (NaN where a block has none) and mono samples float32 (n,), n > 0, in [-1, 1]."""
    to_float = av.AudioResampler(format="fltp")
    for frame in container.decode(stream):
        time = math.nan if frame.pts is None else float(frame.time)
        try:
            parts = to_float.resample(frame)
        except ValueError as error:
            raise InputError(
                f"The sound of {path} changes its rate or channels on the way: convert it to mp4."
            ) from error
        for plain in parts:
            with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is told
                samples = plain.to_ndarray().mean(axis=0, dtype=np.float32)
            if not np.isfinite(samples).all():
                raise InputError(f"The sound of {path} holds NaN or infinite samples: export it again.")
            if len(samples):
                yield time, np.clip(samples, -1.0, 1.0)
            time = math.nan  # of the frame's first part only


def _pictures(container: Any, path: Path) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Time stamps in s, increasing, and grey pictures uint8 (H, W), all of the first one's size."""
    stream = _stream(container, path)
    _check_size(stream.codec_context.width, stream.codec_context.height, path)
    to_grey = VideoReformatter()  # kept over the frames: making one costs more than using it
    last = -math.inf
    size: tuple[int, int] | None = None
    for frame in container.decode(stream):
        _check_size(frame.width, frame.height, path)
        time = _time_of(frame, path)
        if time <= last:
            continue  # a second picture for the same moment
        last, size = time, size or (frame.width, frame.height)
        # "gray" is the luma, stretched to 0-255 where the file keeps it in 16-235.
        yield time, np.asarray(to_grey.reformat(frame, *size, format="gray").to_ndarray(), dtype=np.uint8)


def _check_size(width: int, height: int, path: Path) -> None:
    """Raise an InputError where a picture has more pixels than the memory is meant for."""
    if width * height > MOST_PIXELS:
        raise InputError(
            f"The picture of {path} has {width} x {height} pixels, more than {MOST_PIXELS}: scale it down with "
            "`ffmpeg -i VIDEO -vf scale=1280:-2 SMALLER.mp4`."
        )


def _stream(container: Any, path: Path) -> Any:
    """The stream of pictures."""
    stream = _usable(container.streams.video)
    if stream is None:
        raise InputError(f"{path} has no picture in it that can be decoded: name a video of the ultrasound.")
    return stream


def _usable(streams: Iterable[Any]) -> Any:
    """The first stream for which there is a decoder, or None."""
    return next((stream for stream in streams if stream.codec_context is not None), None)


def _time_of(frame: Any, path: Path) -> float:
    """Time stamp of a frame in s."""
    if frame.pts is None:
        raise InputError(
            f"{path} has frames without time stamps: write it anew with "
            f"`ffmpeg -fflags +genpts -i {path.name} {path.stem}_pts.mkv`."
        )
    return float(frame.time)


def _too_few_frames(path: Path, count: int) -> InputError:
    return InputError(f"{path} holds {count} readable frames, which is no video: copy or record it again.")


def _moving_crop(path: Path) -> Crop:
    """The one region of a video that moves."""
    pictures = _spread_pictures(path)
    # One after the other: all of them in float would be hundreds of megabytes.
    mean = sum(picture.astype(np.float64) for picture in pictures) / len(pictures)
    variance = sum(np.square(picture - mean) for picture in pictures) / len(pictures)
    boxes = moving_boxes(np.sqrt(variance))
    if not boxes:
        raise InputError(f"Nothing moves in {path}: state where the ultrasound is with --crop x,y,width,height.")
    rivals = [box for box in boxes if _RIVAL * box[2] * box[3] >= boxes[0][2] * boxes[0][3]]
    if len(rivals) > 1:
        listed = " and ".join(",".join(map(str, box)) for box in rivals)
        raise InputError(
            f"More than one region moves in {path} ({listed}): choose the ultrasound with --crop x,y,width,height."
        )
    return boxes[0]


def _spread_pictures(path: Path) -> list[NDArray[np.uint8]]:
    """About `_LOOKS` grey pictures from all over a video: frames to seek or, where these are few, of one pass."""
    found: dict[float, NDArray[np.uint8]] = {}
    with _opened(path) as container:
        for step in range(_LOOKS if container.duration else 0):
            try:
                container.seek((container.start_time or 0) + container.duration * step // _LOOKS)
                time, picture = next(_pictures(container, path))
            except (av.error.FFmpegError, OverflowError, StopIteration):
                break  # a file without an index, or a broken one
            found[time] = picture
    if 2 * len(found) >= _LOOKS:
        return list(found.values())
    kept: list[NDArray[np.uint8]] = []
    stride = 1  # doubled whenever too many are kept, since nobody knows how many there are
    with _opened(path) as container:
        for index, (_, picture) in enumerate(_pictures(container, path)):
            if index % stride == 0:
                kept.append(picture)
            if len(kept) > 2 * _LOOKS:
                kept, stride = kept[::2], 2 * stride
    return kept


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The container; whatever FFmpeg finds wrong with it, now or while decoding, becomes an `InputError`."""
    check_ordinary(path)
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes): copy it again.")
    try:
        # "file:" so that no name is taken for an address; names and comments in the file may be in any encoding.
        options = {"format_whitelist": DEMUXERS, "protocol_whitelist": "file"}
        with av.open(f"file:{path}", options=options, metadata_errors="replace") as container:
            if (stream := _usable(container.streams.video)) is not None:
                stream.thread_type = "AUTO"
                # A stream may state a small picture and send a large one.
                stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
            yield container
    except (av.error.FFmpegError, MemoryError) as error:
        reason = (getattr(error, "strerror", None) or type(error).__name__).rstrip(".").lower()
        raise InputError(f"{path} cannot be read as video ({reason}): copy it again or convert it to mp4.") from error

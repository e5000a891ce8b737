"""Frames, grey or in colour, and sound to an mp4 that plays everywhere: H.264 (yuv420p) and AAC, index in front."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from wav2uti.clock import FPS, SAMPLE_RATE
from wav2uti.errors import InputError
from wav2uti.files import replaced
from wav2uti.names import printable
from wav2uti.video.lettering import broken, typeface

TRUTH = ".truth.mp4"  # what the corpus's own video of a predicted recording is called after its name
SHORT_SIDE = 448  # least size of the picture in pixels: a 64 x 64 video is too small to look at

_PAPER, _INK = 24, 220  # grey levels of the strip under the picture and of the words on it


def write_mp4(
    path: str | Path,
    frames: NDArray[np.uint8],
    audio: NDArray[np.float32] | None = None,
    fps: int = FPS,
    caption: str = "",
    title: str = "",
) -> None:
    """Write a grey video with its sound; see `opened_mp4` for what it looks like and for the other arguments.

    Args:
        frames: uint8 (T, H, W).

    Raises:
        InputError: there is no frame, or the file cannot be written.
    """
    if frames.ndim != 3 or min(frames.shape) == 0 or frames.dtype != np.uint8:
        raise InputError(f"No video for {path}: frames must be uint8 (T, H, W), not {frames.dtype} {frames.shape}.")
    with opened_mp4(path, frames.shape[1:], audio, fps, caption, title) as video:
        video.add(frames)


@contextmanager
def opened_mp4(
    path: str | Path,
    size: tuple[int, int],
    audio: NDArray[np.float32] | None = None,
    fps: int | Fraction = FPS,
    caption: str = "",
    title: str = "",
    legend: Callable[[int], NDArray[np.uint8]] | None = None,
) -> Iterator["Mp4"]:
    """A video with its sound, whose frames are added while the block runs; memory does not grow with them.

    Small pictures are enlarged by the least integer that brings the short side to `SHORT_SIDE`, with bicubic
    interpolation. Both streams last T / fps: the sound is cut or continued with silence.

    Args:
        path: the .mp4 file; it appears when the block has ended, and not at all where it failed.
        size: height and width of the frames.
        audio: float32 (N,) in [-1, 1] at 16 kHz, or None for a silent video.
        fps: frames a second.
        caption: words on a strip under the picture, and in the file's comment; empty for no strip.
        title: title in the file's metadata; the file's name where empty.
        legend: draws a strip of the width that it is called with, uint8 (h, width, 3), between picture and caption.

    Raises:
        InputError: the file cannot be written.
    """
    path = Path(path)
    with replaced(path) as part:
        container = av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"})
        with container:
            container.metadata["title"] = printable(title or path.stem)
            container.metadata["comment"] = printable(caption)
            video = Mp4(container, size, audio, fps, caption, legend)
            yield video
            video.finish()


class Mp4:
    """The streams of an open container; see `opened_mp4`.

    Attributes:
        frames: how many have been added.
    """

    def __init__(
        self,
        container: av.container.OutputContainer,
        size: tuple[int, int],
        audio: NDArray[np.float32] | None,
        fps: int | Fraction,
        caption: str,
        legend: Callable[[int], NDArray[np.uint8]] | None = None,
    ) -> None:
        self.container = container
        self.audio = audio
        self.fps = fps
        self.frames = self.samples = 0
        width = _even(_scale(size) * size[1])
        self.strip = caption_strip(caption, width)
        if legend is not None:
            self.strip = np.concatenate([legend(width), coloured(self.strip)])
            self.strip = self.strip[len(self.strip) % 2 :]
        self.video = container.add_stream("libx264", rate=fps, options={"crf": "18", "preset": "veryfast"})
        self.video.height, self.video.width = _even(_scale(size) * size[0]) + len(self.strip), width
        self.video.pix_fmt = "yuv420p"
        self.video.time_base = 1 / Fraction(fps)
        self.sound = None if audio is None else container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")

    def add(self, frames: NDArray[np.uint8]) -> None:
        """Write the next frames, uint8 (n, H, W), or (n, H, W, 3) in colour."""
        for frame in frames:
            pixels = enlarged(frame, self.strip)
            picture = av.VideoFrame.from_ndarray(pixels, format="gray" if pixels.ndim == 2 else "rgb24")
            picture.pts, picture.time_base = self.frames, 1 / Fraction(self.fps)
            self.container.mux(self.video.encode(picture))
            self.frames += 1
            # Second by second, so that the two streams lie side by side in the file and in memory.
            if self.frames % max(1, round(self.fps)) == 0:
                self._add_sound()

    def finish(self) -> None:
        """Write what the encoders still hold."""
        self._add_sound()
        self.container.mux(self.video.encode(None))
        if self.sound is not None:
            self.container.mux(self.sound.encode(None))

    def _add_sound(self) -> None:
        """Let the sound catch up with the frames; what the recording lacks is silence."""
        until = round(self.frames * SAMPLE_RATE / self.fps)
        if self.sound is None or self.audio is None or until <= self.samples:
            return
        piece = np.zeros((1, until - self.samples), dtype=np.float32)
        known = self.audio[self.samples : until]
        piece[0, : len(known)] = np.clip(known, -1, 1)
        block = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono")
        block.sample_rate, block.pts, block.time_base = SAMPLE_RATE, self.samples, Fraction(1, SAMPLE_RATE)
        self.container.mux(self.sound.encode(block))
        self.samples = until


def enlarged(frame: NDArray[np.uint8], strip: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """A frame (H, W) or (H, W, 3) at the size of the video, with the strip below; uint8, grey where both are grey.

    Both sides are even, as yuv420p needs them.
    """
    scale = _scale(frame.shape[:2])
    height, width = (side * scale for side in frame.shape[:2])
    picture = np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC))
    margins = ((0, _even(height) - height), (0, _even(width) - width), (0, 0))
    picture = np.pad(picture, margins[: picture.ndim], mode="edge")
    if strip is None:
        return picture
    if picture.ndim != strip.ndim:
        picture, strip = coloured(picture), coloured(strip)
    return np.concatenate([picture, strip])


def coloured(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A grey picture (h, w) as one in colour (h, w, 3); one in colour as it is."""
    return np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture


def caption_strip(caption: str, width: int) -> NDArray[np.uint8]:
    """Words on a dark strip, uint8 (height, width) with an even height; height 0 for no words."""
    if not caption:
        return np.zeros((0, width), dtype=np.uint8)
    size = 18
    font = typeface(size)
    lines = broken(caption, font, width - size)
    height = _even(round((len(lines) + 0.8) * 1.35 * size))
    image = Image.new("L", (width, height), _PAPER)
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        middle = height / 2 + (number - (len(lines) - 1) / 2) * 1.35 * size
        draw.text((width / 2, middle), line, fill=_INK, font=font, anchor="mm")
    return np.asarray(image)


def _scale(size: tuple[int, ...]) -> int:
    """Least integer that brings the shorter of two sides to `SHORT_SIDE`."""
    return -(-SHORT_SIDE // min(size))


def _even(side: int) -> int:
    """The even number at or above."""
    return side + side % 2

"""Frames and sound to an mp4 that plays everywhere: H.264 (yuv420p) and AAC, index in front."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from wav2uti.clock import FPS, SAMPLE_RATE
from wav2uti.errors import InputError
from wav2uti.files import replaced
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
    """Write a grey video with its sound.

    Small pictures are enlarged by the least integer that brings the short side to `SHORT_SIDE`, with bicubic
    interpolation. Both streams last T / fps: the sound is cut or continued with silence.

    Args:
        path: the .mp4 file; it appears when it is complete.
        frames: uint8 (T, H, W).
        audio: float32 (N,) in [-1, 1] at 16 kHz, or None for a silent video.
        fps: frames a second.
        caption: words on a strip under the picture, and in the file's comment; empty for no strip.
        title: title in the file's metadata; the file's name where empty.

    Raises:
        InputError: there is no frame, or the file cannot be written.
    """
    path = Path(path)
    if frames.ndim != 3 or min(frames.shape) == 0 or frames.dtype != np.uint8:
        raise InputError(f"No video for {path}: frames must be uint8 (T, H, W), not {frames.dtype} {frames.shape}.")
    strip = caption_strip(caption, _even(_scale(frames) * frames.shape[2]))
    with replaced(path) as part:
        container = av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"})
        with container:
            container.metadata["title"] = title or path.stem
            container.metadata["comment"] = caption
            video = container.add_stream("libx264", rate=fps, options={"crf": "18", "preset": "veryfast"})
            video.height, video.width = enlarged(frames, 0, strip).shape
            video.pix_fmt = "yuv420p"
            video.time_base = Fraction(1, fps)
            sound = None if audio is None else container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
            samples = np.zeros(0, dtype=np.float32) if audio is None else _fitted(audio, len(frames), fps)
            # Second by second, so that the two streams lie side by side in the file and in memory.
            for start in range(0, len(frames), fps):
                for index in range(start, min(start + fps, len(frames))):
                    picture = av.VideoFrame.from_ndarray(enlarged(frames, index, strip), format="gray")
                    picture.pts, picture.time_base = index, Fraction(1, fps)
                    container.mux(video.encode(picture))
                if sound is not None:
                    first = start // fps * SAMPLE_RATE
                    piece = samples[None, first : first + SAMPLE_RATE]
                    if piece.size:
                        block = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono")
                        block.sample_rate, block.pts, block.time_base = SAMPLE_RATE, first, Fraction(1, SAMPLE_RATE)
                        container.mux(sound.encode(block))
            container.mux(video.encode(None))
            if sound is not None:
                container.mux(sound.encode(None))


def enlarged(frames: NDArray[np.uint8], index: int, strip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One frame at the size of the video, with the strip below; uint8, both sides even as yuv420p needs them."""
    scale = _scale(frames)
    height, width = (side * scale for side in frames.shape[1:])
    picture = np.asarray(Image.fromarray(frames[index]).resize((width, height), Image.Resampling.BICUBIC))
    picture = np.pad(picture, ((0, _even(height) - height), (0, _even(width) - width)), mode="edge")
    return np.concatenate([picture, strip])


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


def _fitted(audio: NDArray[np.float32], count: int, fps: int) -> NDArray[np.float32]:
    """`audio` cut or filled with silence to the length of `count` frames."""
    length = round(count * SAMPLE_RATE / fps)
    fitted = np.zeros(length, dtype=np.float32)
    fitted[: min(length, len(audio))] = np.clip(audio[:length], -1, 1)
    return fitted


def _scale(frames: NDArray[np.uint8]) -> int:
    """Least integer that brings the short side to `SHORT_SIDE`."""
    short: int = min(frames.shape[1:])
    return -(-SHORT_SIDE // short)


def _even(side: int) -> int:
    """The even number at or above."""
    return side + side % 2

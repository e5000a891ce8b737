"""Small lossless videos with sound, made for a test."""

from fractions import Fraction

import av
import numpy as np

RATE = 22_050


def tone(start, count, rate=16_000):
    """A sine of 440 Hz that has run since time 0."""
    return np.sin(2 * np.pi * 440 * (start + np.arange(count) / rate)) / 2


def noise(count, shape=(24, 32)):
    return np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)


def write_video(path, times, sound=(), shape=(24, 32), pictures=None, loudness=1.0):
    """Write pictures, by default plain ones whose grey is 100 times their time, and `tone`.

    Args:
        times: of the frames in s, to the millisecond.
        sound: (first, last) time in s of each stretch of sound.
        shape: of the pictures.
        pictures: uint8 (H, W), one for each time, which may be made as they are asked for.
        loudness: factor of the tone.
    """
    if pictures is None:
        pictures = (np.full(shape, round(100 * time), dtype=np.uint8) for time in times)
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=60)
        video.width, video.height, video.pix_fmt = shape[1], shape[0], "gray"
        video.time_base = video.codec_context.time_base = Fraction(1, 1000)
        audio = container.add_stream("pcm_f32le", rate=RATE, layout="mono") if sound else None
        for first, last in sound:
            samples = np.float32(loudness * tone(first, round((last - first) * RATE), RATE))
            frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
            frame.rate, frame.pts, frame.time_base = RATE, round(first * RATE), Fraction(1, RATE)
            container.mux(audio.encode(frame))
        for time, grey in zip(times, pictures, strict=True):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(grey), format="gray")
            picture.pts, picture.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(video.encode(picture))
        for stream in (video, audio) if sound else (video,):
            container.mux(stream.encode(None))
    return path

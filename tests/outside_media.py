"""Sounds, videos and pictures from outside: how they are broken, and what is asked of their readers."""

import io
import struct
import tempfile
from functools import cache
from pathlib import Path

import av
import numpy as np
import soundfile
from hypothesis import strategies as st
from made_up_video import write_video
from PIL import Image

from wav2uti.corpus.formats.video import VideoPicture, open_sound
from wav2uti.corpus.sound import FileSound
from wav2uti.speech.audio import MAX_HOURS, RATES, read_speech
from wav2uti.video.reference_frame import read_reference

# ---- sound


def encoded(format: str, subtype: str | None = None, rate: int = 16_000, channels: int = 1) -> bytes:
    file = io.BytesIO()
    wave = 0.4 * np.sin(np.arange(1600 * channels)).reshape(-1, channels)
    soundfile.write(file, wave, rate, format=format, subtype=subtype)
    return file.getvalue()


@st.composite
def nearly_wav(draw: st.DrawFn) -> bytes:
    """A wav whose header says what a header may not, or what no file can be."""
    tag = draw(st.sampled_from([1, 1, 1, 3, 3, 6, 7, 2, 17, 0xFFFE, 0, 0xFFFF]))
    channels = draw(st.sampled_from([1, 2, 0, 3, 64, 255, 1024, 1025, 65535]))
    rate = draw(st.sampled_from([16_000, 48_000, 192_000, 192_001, 0, 1, 3999, 44_101, 2**31 - 1, 2**32 - 1]))
    bits = draw(st.sampled_from([16, 8, 24, 32, 64, 0, 1, 12, 65535]))
    align = draw(st.sampled_from([channels * bits // 8 % 65536, 0, 1, 65535]))
    data = draw(st.binary(max_size=200) | st.sampled_from([b"", bytes(4000), np.float32([np.nan, np.inf]).tobytes()]))
    stated = draw(st.sampled_from([len(data), 0, 1, 2**31, 2**31 - 1, 2**32 - 1, len(data) + 1]))
    riff = draw(st.sampled_from([36 + len(data), 0, 2**32 - 1]))
    head = struct.pack("<HHIIHH", tag, channels, rate, rate * align % 2**32, align, bits)
    head += draw(st.sampled_from([b"", b"\x00\x00", struct.pack("<HHI", 22, bits, 0) + bytes(16)]))
    chunks = [b"fmt " + struct.pack("<I", len(head)) + head, b"data" + struct.pack("<I", stated) + data]
    extra = draw(st.sampled_from([b"", b"LIST", b"fact", b"bext", b"cue ", b"smpl", b"PEAK", b"JUNK"]))
    if extra:
        size = draw(st.sampled_from([0, 4, 100, 2**31, 2**32 - 1]))
        chunks.insert(draw(st.integers(0, 2)), extra + struct.pack("<I", size) + bytes(min(size, 100)))
    magic = draw(st.sampled_from([b"RIFF", b"RIFF", b"RIFF", b"RIFX", b"RF64", b"riff"]))
    return magic + struct.pack("<I", riff) + b"WAVE" + b"".join(chunks)


def read_sound(folder: Path, content: bytes) -> None:
    path = folder / "a.wav"
    path.write_bytes(content)
    speech = read_speech(path)
    assert speech.dtype == np.float32
    assert speech.ndim == 1
    assert (np.abs(speech) <= 1).all()
    assert len(speech) <= MAX_HOURS * 3600 * 16_000
    sound = FileSound(path)
    assert RATES[0] <= sound.rate <= RATES[1]
    assert round(sound.facts.samples * 16_000 / sound.rate) in (len(speech) - 1, len(speech), len(speech) + 1)
    if sound.facts.samples < 10**6:
        whole = sound.read(0, sound.facts.samples + 5)
        assert len(whole) == sound.facts.samples
        assert np.isfinite(whole).all()


# ---- video and pictures


@cache
def video(ending: str, codec: str = "") -> bytes:
    with tempfile.TemporaryDirectory() as made:
        path = Path(made) / f"a.{ending}"
        if not codec:
            write_video(path, np.arange(1, 13) / 60, [(0.0, 0.2)])
        else:
            with av.open(str(path), "w") as container:
                stream = container.add_stream(codec, rate=60)
                stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
                for number in range(8):
                    grey = np.full((32, 32), 20 * number, dtype=np.uint8)
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="gray")))
                container.mux(stream.encode(None))
        return path.read_bytes()


LIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n"
CONCAT = b"ffconcat version 1.0\nfile /etc/passwd\n"


def read_video(folder: Path, content: bytes) -> None:
    path = folder / "a.mp4"
    path.write_bytes(content)
    picture = VideoPicture(path, 16, None, hflip=False, shift=0.0)
    last = -np.inf
    for times, frames in picture.blocks():
        assert frames.shape == (len(times), 16, 16)
        assert (np.diff(times, prepend=last) > 0).all()
        last = times[-1]
    if (found := open_sound(path)) is not None:
        sound, start = found
        assert np.isfinite(start)
        assert np.isfinite(sound.read(0, 1000)).all()


def pictured(format: str, mode: str = "L") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.arange(400, dtype=np.uint8).reshape(20, 20)).convert(mode).save(file, format=format)
    return file.getvalue()


def read_picture(folder: Path, content: bytes) -> None:
    (folder / "a.png").write_bytes(content)
    frame = read_reference(folder / "a.png", 16)
    assert frame.shape == (16, 16)
    assert frame.dtype == np.uint8

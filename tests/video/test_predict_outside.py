"""`wav2uti predict` with sounds, pictures and names that nobody should give it: a video, or one sentence."""

import os
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import Run
from PIL import Image

from wav2uti.cli import main
from wav2uti.errors import InputError
from wav2uti.speech import textual
from wav2uti.video import reference_frame
from wav2uti.video.reference_frame import read_reference

ENDINGS = (".csv", ".mp4", ".npz", ".png")


def predict(run: Run, audio: Path | str, out: Path, *options: str) -> int:
    command = ["predict", f"--audio={audio}", f"--ckpt_path={run.checkpoint}", "--steps=1", f"--output={out}"]
    return main([*command, "--guidance.scale=1", "--text=ba1", *options])


def refused(run: Run, audio: Path | str, out: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    capsys.readouterr()
    assert predict(run, audio, out, *options) == 2
    *warned, said = capsys.readouterr().err.rstrip("\n").split("\n")
    assert all(line.startswith("wav2uti: warning: ") for line in warned)
    assert said.startswith("wav2uti predict: ")
    assert said.endswith(".")
    assert not out.exists()
    return said


def tone(rate: int, channels: int = 1, seconds: float = 0.1) -> np.ndarray:
    wave = 0.3 * np.sin(2 * np.pi * 220 * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave[:, None], channels, axis=1)


def wav(path: Path, samples: np.ndarray, rate: int, subtype: str = "PCM_16") -> Path:
    soundfile.write(path, samples, rate, format="WAV", subtype=subtype)
    return path


def wav_with_sizes(path: Path, stated: int, samples: np.ndarray, rate: int = 16_000) -> Path:
    """16 bit, with other sizes in the header than it has."""
    data = np.int16(samples * 32767).tobytes()
    head = struct.pack("<HHIIHH", 1, 1, rate, 2 * rate, 2, 16)
    riff = b"RIFF" + struct.pack("<I", min(stated + 36, 2**32 - 1)) + b"WAVEfmt " + struct.pack("<I", 16) + head
    path.write_bytes(riff + b"data" + struct.pack("<I", stated) + data)
    return path


@pytest.mark.parametrize(
    ("rate", "channels", "subtype"),
    [(192_000, 1, "PCM_16"), (16_000, 64, "PCM_16"), (22_050, 1, "PCM_U8"), (48_000, 2, "PCM_24"), (8_000, 1, "FLOAT")],
)
def test_unusual_sounds_give_a_video(run: Run, tmp_path: Path, rate: int, channels: int, subtype: str) -> None:
    audio = wav(tmp_path / "a.wav", tone(rate, channels), rate, subtype)
    assert predict(run, audio, tmp_path / "out") == 0
    with np.load(tmp_path / "out" / "a.npz", allow_pickle=False) as written:
        assert len(written["frames"]) == 6


def test_an_mp3_under_another_name(run: Run, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.mp3", tone(16_000, seconds=0.3), 16_000)
    (tmp_path / "a.mp3").rename(tmp_path / "a.wav")
    assert predict(run, tmp_path / "a.wav", tmp_path / "out") == 0


@pytest.mark.parametrize("stated", [2**32 - 1, 2**31, 0x7FFFFFFF, 2**32 - 2])
def test_a_header_that_states_more_than_there_is(run: Run, tmp_path: Path, stated: int) -> None:
    """As programs leave it that write to a pipe; what is there is drawn."""
    audio = wav_with_sizes(tmp_path / "a.wav", stated, tone(16_000)[:, 0])
    assert predict(run, audio, tmp_path / "out") == 0
    with np.load(tmp_path / "out" / "a.npz", allow_pickle=False) as written:
        assert len(written["frames"]) == 6


def test_sounds_that_are_none(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    for name, samples, rate, subtype, sentence in [
        ("one.wav", np.full(1, 0.1), 16_000, "PCM_16", "less than a frame"),
        ("one192.wav", np.full(1, 0.1), 192_000, "PCM_16", "less than a frame"),
        ("fast.wav", tone(192_001), 192_001, "PCM_16", "192001 Hz"),
        ("nan.wav", np.array([0.1] * 800 + [np.nan] + [0.1] * 800), 16_000, "FLOAT", "NaN or infinite samples"),
        ("none.wav", np.zeros(0), 16_000, "PCM_16", "no samples"),
    ]:
        assert sentence in refused(run, wav(tmp_path / name, samples, rate, subtype), out, capsys)
    (tmp_path / "empty.wav").touch()
    assert "0 bytes" in refused(run, tmp_path / "empty.wav", out, capsys)
    (tmp_path / "none").mkdir()
    assert "no sound file" in refused(run, tmp_path / "none", out, capsys)
    assert "No file matches" in refused(run, tmp_path / "no*.flac", out, capsys)
    assert "no such file" in refused(run, tmp_path / ("long" * 99), out, capsys)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this system")
def test_what_never_ends_is_not_read(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    assert "a pipe or a device" in refused(run, tmp_path / "pipe.wav", out, capsys)
    assert "a pipe or a device" in refused(run, "/dev/zero", out, capsys)
    assert "no such file" in refused(run, tmp_path / "loop.wav", out, capsys)
    audio = wav(tmp_path / "a.wav", tone(16_000), 16_000)
    os.mkfifo(tmp_path / "pipe.png")
    assert "a pipe or a device" in refused(run, audio, out, capsys, f"--reference={tmp_path / 'pipe.png'}")
    assert "a pipe or a device" in refused(run, audio, out, capsys, "--reference=/dev/zero")


@pytest.mark.parametrize(
    "name",
    ["a\nb.wav", "-rf.wav", ".hidden.wav", "[red]x[.wav", "a\x1b[2J.wav", "nul.wav", "é" * 120 + ".wav"],
)
def test_no_name_leaves_its_folder(run: Run, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    audio = tmp_path / "in" / name
    wav(tmp_path / "a.wav", tone(16_000), 16_000).rename(audio)
    assert predict(run, audio, tmp_path / "out") == 0
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out"}
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert tuple(Path(file).suffix for file in written) == ENDINGS
    for file in written:
        assert file[0] not in ".-"
        assert file.isprintable()
    said = capsys.readouterr().out
    assert not re.search(r"[\x00-\x09\x0b-\x1a\x1c-\x1f]", said.replace("\r", ""))


def test_a_name_in_another_encoding(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The parser of options cannot take it; it is a sentence all the same."""
    said = refused(run, tmp_path / os.fsdecode(b"\xff.wav"), tmp_path / "out", capsys)
    assert r"\udcff" in said
    assert "UTF-8" in said


def test_a_text_longer_than_can_be_said(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(textual, "MOST_CHARACTERS", 1000)
    audio = wav(tmp_path / "a.wav", tone(16_000), 16_000)
    assert predict(run, audio, tmp_path / "fits", f"--text={'ba ' * 333}") == 0
    with Image.open(tmp_path / "fits" / "a.png") as sheet:
        assert sheet.height < 3000
    assert "more than the 1000" in refused(run, audio, tmp_path / "out", capsys, f"--text={'ba ' * 334}")


def test_a_picture_with_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (60, 50)).save(tmp_path / "a.png")
    monkeypatch.setattr(reference_frame, "MOST_PIXELS", 3000)
    assert read_reference(tmp_path / "a.png", 16).shape == (16, 16)
    monkeypatch.setattr(reference_frame, "MOST_PIXELS", 2999)
    with pytest.raises(InputError, match="60 x 50 pixels, too many"):
        read_reference(tmp_path / "a.png", 16)


def test_a_picture_of_a_kilobyte_that_states_a_gigabyte(tmp_path: Path) -> None:
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    for side in (2**15, 2**17):  # Pillow itself refuses the second
        head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        content = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
        (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
        with pytest.raises(InputError, match=r"bomb\.png"):
            read_reference(tmp_path / "bomb.png", 16)


def test_a_picture_that_is_a_program_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    with pytest.raises(InputError, match="cannot be read as a picture"):
        read_reference(tmp_path / "a.png", 16)

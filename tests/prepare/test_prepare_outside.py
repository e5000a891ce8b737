"""`wav2uti prepare` on a corpus whose names and texts were written by somebody who means no good."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from made_up_video import write_video

from wav2uti.cli import main
from wav2uti.corpus.formats import video as video_format
from wav2uti.corpus.formats.video import VideoPicture, open_sound
from wav2uti.corpus.shards import Shard, find_shards
from wav2uti.errors import InputError
from wav2uti.names import printable
from wav2uti.video.inspection import inspect

PARAM = (
    "NumVectors=8\nPixPerVector=16\nZeroOffset=4\nBitsPerPixel=8\nAngle=0.1\nPixelsPerMm=0.5\nFramesPerSec=100\n"
    "TimeInSecsOfFirstFrame=0.01\n"
)
NAMES = [b"plain", b"a\nb", b"-rf", b"[bold]x[", b"\xff\xfe", b"a\x1b[2J", b"..x", b"nul", b"x" * 251, "é你".encode()]


def write_recording(folder: Path, name: bytes, prompt: bytes) -> None:
    stem = os.fsdecode(name)
    (folder / f"{stem}.ult").write_bytes(np.arange(30 * 8 * 16, dtype=np.uint8).tobytes())
    if len(name) < 240:
        (folder / f"{stem}.param").write_text(PARAM)
        (folder / f"{stem}.txt").write_bytes(prompt)
        soundfile.write(os.fsencode(folder / f"{stem}.wav"), np.sin(np.arange(4800)) / 2, 16_000)


def test_no_name_of_a_corpus_leaves_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, here, out = tmp_path / "corpus" / "S\x1b[1m1", tmp_path / "here", tmp_path / "out"
    corpus.mkdir(parents=True)
    here.mkdir()
    monkeypatch.chdir(here)
    for number, name in enumerate(NAMES):
        third = b"" if number % 2 else b"../../[/red]\x1b[31m,\r\n"
        write_recording(corpus, name, b"<b>gap\0\x07 [/bold]\r\n16/01/2015 14:39:09\r\n" + third)
    assert main(["prepare", str(corpus.parent), "--dry-run", "--size=16", "--workers=1"]) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\0" not in said
    assert main(["prepare", str(corpus.parent), str(out), "--size=16", "--workers=1"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"corpus", "here", "out"}
    assert not list(here.iterdir())
    (path,) = find_shards(out)
    shard = Shard(path)
    # A name beginning with a dot is a hidden file and passed over, and beside the longest no other file has room.
    assert len(shard.ids) == len(NAMES) - 2
    for id in shard.ids:
        info = shard.info(id)
        for text in (id, info.speaker, info.text, info.source):
            assert text == printable(text)
            text.encode()
        inspect(out, id)
        assert "\x1b" not in capsys.readouterr().out
    assert len(list(here.iterdir())) == len(shard.ids)
    assert all(picture.name[0] not in "-." for picture in here.iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"corpus", "here", "out"}


@pytest.mark.parametrize(
    "content",
    [
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nreal.mkv\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile real.mkv\n",
        b"http://127.0.0.1:9/a.mp4",
    ],
)
def test_a_list_of_other_files_is_no_video(tmp_path: Path, content: bytes) -> None:
    write_video(tmp_path / "real.mkv", np.arange(1, 13) / 60, [(0.0, 0.2)])
    (tmp_path / "a.mp4").write_bytes(content)
    for read in (
        lambda: VideoPicture(tmp_path / "a.mp4", 16, None, False, 0.0),
        lambda: open_sound(tmp_path / "a.mp4"),
    ):
        with pytest.raises(InputError, match=r"a\.mp4 cannot be read as video"):
            read()


def test_a_video_with_a_name_in_another_encoding(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mkv", np.arange(1, 13) / 60, [(0.0, 0.2)])
    path = (tmp_path / "a.mkv").rename(tmp_path / os.fsdecode(b"\xff.mkv"))
    assert VideoPicture(path, 16, None, False, 0.0).kind == "32 x 24 video"
    assert open_sound(path) is not None


def test_a_picture_beyond_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "a.mkv", np.arange(1, 13) / 60, shape=(24, 32))
    assert VideoPicture(tmp_path / "a.mkv", 16, None, False, 0.0).kind == "32 x 24 video"
    monkeypatch.setattr(video_format, "MOST_PIXELS", 24 * 32 - 1)
    with pytest.raises(InputError, match=r"a\.mkv has 32 x 24 pixels, more than 767"):
        VideoPicture(tmp_path / "a.mkv", 16, None, False, 0.0)


@pytest.mark.parametrize(
    "command", [["prepare", "{}", "out", "--size=513"], ["simulate", "out", "--size=513"],
                ["simulate", "out", "--speakers=1000000000"]]
)  # fmt: skip
def test_sizes_beyond_the_memory(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([part.replace("{}", str(tmp_path)) for part in command]) == 2
    assert capsys.readouterr().err.count("\n") == 1

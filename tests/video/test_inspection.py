"""`wav2uti inspect`: facts, and the sheet that goes with them."""

import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from tiny_corpus import make_full_recording, make_recording, write_corpus

from wav2uti.corpus.shards import Shard
from wav2uti.corpus.shards.attributes import read_attributes, write_attributes
from wav2uti.errors import InputError
from wav2uti.video.inspection import inspect


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two shards with a simulated recording that has everything, and two real ones that have little."""
    full, plain = make_full_recording("full"), make_recording("plain", speaker="ben", frames=37, text="", language="")
    paths = write_corpus(tmp_path / "corpus", [full, plain], settings={"command": "simulate", "hflip": False})
    paths += write_corpus(tmp_path / "corpus", [make_recording("third", speaker="ben")])
    with h5py.File(paths[0], "r+") as file:
        group = file["recordings/full"]
        attributes = read_attributes(group, digested=True)
        attributes["split"] = "val"
        attributes["words"] = json.dumps([["sæ", 0.0, 0.5]])
        attributes["quality"] = json.dumps(
            {
                "distinct_frames_per_second": 59.94,
                "clipped": 0.0,
                "warnings": ["12 of 40 frames repeat the one before."],
            }
        )
        files = {"ultrasound": {"name": "a/full.ult", "bytes": 1234, "digest": "beef"}}
        attributes["origin"] = json.dumps({"layout": "aaa", "hflip": True, "offset": None, "files": files})
        write_attributes(group, attributes)
    return tmp_path / "corpus"


def facts(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Printed facts by name."""
    lines = (line.partition(": ") for line in capsys.readouterr().out.splitlines() if ": " in line)
    return {name.rstrip(":"): value.strip() for name, _, value in lines}


def test_the_facts_of_a_corpus(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inspect(corpus, out=tmp_path / "first.png")
    found = facts(capsys)
    size = sum(path.stat().st_size for path in corpus.iterdir())
    assert found.pop("shards") == f"2 ({size / 1000:.1f} kB), schema wav2uti-shard version 2"
    assert found.pop("made by").startswith("wav2uti ")
    assert found == {
        "SIMULATED": "1 of the recordings",
        "settings": "command simulate, hflip no; none",
        "acoustic encoders": "frame-counter, 3 wide",
        "text encoders": "letters, 2 wide",
        "recordings": "3",
        "length": "0.00 h (1.9 s, 117 frames at 60 a second)",
        "speakers": "2: ben (2), ann (1)",
        "tasks": "word (3)",
        "languages": "en (2), not stated (1)",
        "splits": "not stated (2), val (1)",
        "frame sizes": "12 x 12 (3)",
        "with warnings": "1 of 3: full",
        "sheet": str(tmp_path / "first.png"),
    }
    assert Image.open(tmp_path / "first.png").text["Title"].startswith("full: ")


def test_the_table_is_whole_in_a_pipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "the [bold] fox " * 30
    recordings = [make_recording(f"r{k:03d}", frames=3 + k % 2, text=text) for k in range(43)]
    inspect(write_corpus(tmp_path / "c", recordings)[0], out=tmp_path / "sheet.png")
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split(maxsplit=8) for line in lines if text.strip() in line]
    assert [row[0] for row in rows] == [f"r{k:03d}" for k in range(40)]
    assert rows[1][1:8] == ["ann", "word", "0.07", "4", "12", "x", "12"]
    assert "... 3 more" in lines


def test_the_facts_of_a_recording(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inspect(corpus, "full", tmp_path / "full.png")
    assert facts(capsys) == {
        "SIMULATED": "no person was recorded",
        "recording": "full",
        "shard": str(corpus / "shard-00000.h5"),
        "speaker": "ann",
        "task": "word",
        "text": "say full",
        "language": "en",
        "source": "simulated by a test",
        "split": "val",
        "frames": "40 of 12 x 12 pixels, 0.667 s at 60 a second",
        "scale": "0.75 mm a pixel",
        "sound": "0.667 s at 16 kHz",
        "words": "1, from 0.000 s to 0.500 s",
        "phones": "2, from 0.000 s to 0.500 s",
        "contour": "7 points a frame",
        "acoustic, frame-counter": "40 frames x 3",
        "text, letters": "8 tokens x 2",
        "reference": "a frame of the speaker from outside the recording",
        "quality, distinct frames per second": "59.94",
        "quality, clipped": "0",
        "warning": "12 of 40 frames repeat the one before.",
        "origin, layout": "aaa",
        "origin, hflip": "yes",
        "origin, offset": "none",
        "file, ultrasound": "a/full.ult, 1234 bytes, digest beef",
        "sheet": str(tmp_path / "full.png"),
    }
    inspect(corpus, "plain", tmp_path / "plain.png")
    found = facts(capsys)
    assert "SIMULATED" not in found
    assert {found[name] for name in ("text", "language", "split", "scale")} == {"not stated"}
    assert {found[name] for name in ("words", "phones", "contour", "reference")} == {"none"}


def test_the_sheet_shows_what_there_is_and_says_simulated(corpus: Path, tmp_path: Path) -> None:
    inspect(corpus, "full", tmp_path / "full.png", columns=4)
    inspect(corpus, "plain", tmp_path / "plain.png", columns=4)
    full, plain = Image.open(tmp_path / "full.png"), Image.open(tmp_path / "plain.png")
    assert full.text["Title"] == "full: say full (speaker ann), SIMULATED: no person was recorded"
    assert plain.text["Title"] == "plain: no text (speaker ben)"
    lines = 40 if full.width == plain.width else 0  # the title with SIMULATED in it may take a line more
    assert 2 * 26 + 132 <= full.height - plain.height <= 2 * 26 + 132 + lines  # two tiers, and a row with the contour


def test_only_the_frames_shown_are_read(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[int, int]] = []
    frames = Shard.frames

    def watched(self: Shard, id: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        read.append((start, stop or -1))
        return frames(self, id, start, stop)

    monkeypatch.setattr(Shard, "frames", watched)
    inspect(corpus, "full", tmp_path / "full.png", columns=4)
    assert set(read) == {(5, 6), (15, 16), (25, 26), (35, 36)}


def test_the_picture_is_named_after_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shard = write_corpus(tmp_path / "c", [make_recording('a b\\"c:d?é妈', frames=3), make_recording("long" * 99)])[0]
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    inspect(shard, 'a b\\"c:d?é妈')
    inspect(shard, "long" * 99)
    short, long = sorted(path.name for path in Path().iterdir())
    assert re.fullmatch(r"a b_c_d_é妈-[0-9a-f]{8}\.png", short)
    assert re.fullmatch(r"(long){37}lon-[0-9a-f]{8}\.png", long)
    assert f"sheet: {short}" in capsys.readouterr().out


def test_an_unknown_id_is_met_with_near_ones(corpus: Path) -> None:
    with pytest.raises(InputError, match=r"no recording 'plian' among the 3 in .*corpus; near it are plain\.$"):
        inspect(corpus, "plian")
    with pytest.raises(InputError, match=r"near it are third\.$"):
        inspect(corpus, "IRD")
    with pytest.raises(InputError, match=r"among the 3 .* without an id lists them"):
        inspect(corpus, "zzz")


def test_mistakes_are_one_sentence(corpus: Path, tmp_path: Path) -> None:
    for columns in (0, 201):
        with pytest.raises(InputError, match=f"cannot show {columns} frames"):
            inspect(corpus, columns=columns)
    with pytest.raises(InputError, match="There are no shards"):
        inspect(tmp_path / "nothing")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="folder cannot be written"):
        inspect(corpus, "full", tmp_path / "folder")
    assert not list((tmp_path).glob(".*.part"))
    (tmp_path / "text.h5").write_text("no shard")
    with pytest.raises(InputError, match="not an HDF5 file"):
        inspect(tmp_path / "text.h5", "full")

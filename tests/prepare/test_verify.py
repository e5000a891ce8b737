"""`wav2uti verify`: well shards pass, and each thing that is wrong is told in a sentence of its own."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from tiny_corpus import make_full_recording, make_recording, write_corpus

from wav2uti.cli import main
from wav2uti.corpus.shards.attributes import read_attributes, write_attributes

VERSION_1 = Path(__file__).resolve().parents[1] / "corpus" / "version_1.h5"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two shards."""
    write_corpus(tmp_path / "corpus", [make_full_recording("full"), make_recording("plain", frames=37)])
    write_corpus(tmp_path / "corpus", [make_recording("third", text="")])
    return tmp_path / "corpus"


def verify(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, list[str], str]:
    """Exit status, lines, and what is on stderr."""
    capsys.readouterr()
    status = main(["verify", *map(str, args), "--workers", "1"])
    said = capsys.readouterr()
    return status, said.out.splitlines(), said.err


def test_a_whole_corpus_passes(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(capsys, corpus)[:2] == (0, ["2 shards, 3 recordings, 0.0 min: all is as it was written."])


def test_the_earlier_schema_passes_with_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    status, (note, _), _ = verify(capsys, VERSION_1)
    assert status == 0
    assert "version_1.h5: an earlier schema version" in note


def test_processes_find_the_same(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with h5py.File(corpus / "shard-00001.h5", "r+") as file:
        del file["recordings/third/audio"]
    _, alone, _ = verify(capsys, corpus)
    assert main(["verify", str(corpus), "--workers", "2"]) == 1
    assert capsys.readouterr().out.splitlines() == alone


def _written(change: Callable[[dict[str, Any]], object], place: str = "recordings/full") -> Callable[[Any], None]:
    """A fault of the writer: attributes that are wrong and have a digest all the same."""

    def apply(file: Any) -> None:
        attributes: dict[str, Any] = dict(read_attributes(file[place], digested=True))
        change(attributes)
        write_attributes(file[place], attributes)

    return apply


def _replaced(name: str, values: Any, **how: Any) -> Callable[[Any], None]:
    def apply(file: Any) -> None:
        del file[f"recordings/full/{name}"]
        file.create_dataset(f"recordings/full/{name}", data=values, **({"chunks": True, "fletcher32": True} | how))

    return apply


NAN = np.full((40, 3), np.nan, np.float16)
FAULTS: list[tuple[Callable[[Any], Any], str]] = [
    (lambda file: file.pop("recordings/full/contour"), "contour is missing"),
    (lambda file: file.pop("recordings/full/acoustic/frame-counter"), "acoustic/frame-counter is missing"),
    (lambda file: file["recordings/full"].attrs.pop("speaker"), "its attributes are not those that were written"),
    (lambda file: file["recordings/full"].attrs.pop("digest"), "the digest of its attributes is missing"),
    (lambda file: file.attrs.__setitem__("created_by", "me"), "the head of the shard is damaged"),
    (lambda file: file.attrs.__setitem__("version", 9), "schema version 9"),
    (_written(lambda about: about.update(task="song")), "its task is 'song'"),
    (_written(lambda about: about.update(speaker="")), "its speaker has no name"),
    (_written(lambda about: about.update(speaker=3)), "speaker is no text"),
    (_written(lambda about: about.update(mm_per_pixel=-1.0)), "mm per pixel is not a size"),
    (_written(lambda about: about.update(words="[1")), "its attribute words is damaged"),
    (_written(lambda about: about.update(phones='[["a", 2, 1]]')), "no interval"),
    (_written(lambda about: about.update(quality="[]")), "its attribute quality is damaged"),
    (_written(lambda about: about.update(simulated=False), "/"), "none of its recordings are simulated, and some are"),
    (_written(lambda about: about.update(encoders='{"acoustic": {"x": {}}}'), "/"), "'x' is announced without a width"),
    (
        _written(
            lambda about: about.update(encoders=json.dumps({"acoustic": {"frame-counter": {"spec": {}, "width": 4}}})),
            "/",
        ),
        "acoustic/frame-counter is 3 wide, announced are 4",
    ),
    (_replaced("acoustic/frame-counter", NAN), "holds 120 numbers that are NaN or infinite"),
    (_replaced("acoustic/frame-counter", NAN[:39]), "has 39 rows for 40 frames"),
    (_replaced("audio", np.zeros(99, np.int16)), "99 samples do not match 40 frames"),
    (_replaced("reference", np.zeros((3, 3), np.uint8)), "the reference is (3, 3)"),
    (_replaced("frames", np.zeros((40, 12, 12), np.int32)), "frames is int32 (40, 12, 12), not uint8 (T, H, W)"),
    (_replaced("frames", np.zeros((40, 12, 12), np.uint8)), "frames is not what was written"),
    (_replaced("audio", np.zeros(10667, np.int16), fletcher32=False), "audio has no checksum"),
    (lambda file: file.create_dataset("recordings/full/other", data=[1]), "other is no part of a recording"),
    (lambda file: file.create_dataset("recordings/full/text/b", data=NAN), "an encoder that the shard does not annou"),
]


@pytest.mark.parametrize(("fault", "sentence"), FAULTS, ids=[sentence for _, sentence in FAULTS])
def test_each_fault_has_its_sentence(
    corpus: Path, capsys: pytest.CaptureFixture[str], fault: Callable[[Any], Any], sentence: str
) -> None:
    with h5py.File(corpus / "shard-00000.h5", "r+") as file:
        fault(file)
    status, lines, said = verify(capsys, corpus)
    assert status == 1
    line = next(line for line in lines if sentence in line)
    assert line.startswith(f"{corpus / 'shard-00000.h5'}: ")
    assert line.endswith(".")
    assert re.search(r"\d+ problems? in 2 shards, \d recordings, .* min: the lines above say where", said)


def test_bits_that_the_checksum_takes_for_others_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fletcher-32 adds words modulo 65535: 16 zero bits and 16 ones are the same to it."""
    recording = make_recording("black", frames=20, size=8)
    frames = recording.frames.copy()
    frames[0, 0, :2] = 0
    (path,) = write_corpus(tmp_path, [replace(recording, frames=frames)])
    with h5py.File(path) as file:
        place = file["recordings/black/frames"].id.get_chunk_info(0).byte_offset
        assert file["recordings/black/frames"][0, 0, 0] == 0
    content = bytearray(path.read_bytes())
    content[place : place + 2] = b"\xff\xff"
    path.write_bytes(content)
    with h5py.File(path) as file:
        assert file["recordings/black/frames"][0, 0, 0] == 255  # and HDF5 says nothing
    status, (line,), _ = verify(capsys, path)
    assert status == 1
    assert "recording 'black': frames is not what was written" in line


def test_what_must_hold_over_all_shards(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(corpus / "shard-00001.h5", corpus / "shard-00002.h5")
    write_corpus(corpus, [make_recording("large", size=16)])
    (corpus / ".shard-00009.h5.part").touch()
    (corpus / ".parts").mkdir()
    status, lines, _ = verify(capsys, corpus)
    assert status == 1
    assert any("Recording 'third' is both in" in line for line in lines)
    assert any("'large': its frames are (16, 16) and most are (12, 12)" in line for line in lines)
    assert [line.split(" was left")[0] for line in lines if line.startswith("Note: ")] == [
        f"Note: {corpus / '.parts'}",
        f"Note: {corpus / '.shard-00009.h5.part'}",
    ]


def test_every_problem_is_listed(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (corpus / "broken.h5").write_bytes(b"")
    for name in ("shard-00000.h5", "shard-00001.h5"):
        with h5py.File(corpus / name, "r+") as file:
            for id in file["recordings"]:
                del file[f"recordings/{id}/audio"]
    status, lines, said = verify(capsys, corpus)
    assert status == 1
    assert len(lines) == 4
    assert "4 problems in 3 shards" in said

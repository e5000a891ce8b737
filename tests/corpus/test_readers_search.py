"""Which layout a folder is, which ids its recordings get, and whose word counts."""

import shutil
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest
from raw_ultrasound import write_recording

from wav2uti.corpus.formats.names import NamePattern
from wav2uti.corpus.formats.table import read_table
from wav2uti.corpus.given import Given
from wav2uti.corpus.raw import RawRecording
from wav2uti.corpus.readers.base import Candidate, Reader
from wav2uti.corpus.readers.search import READERS, find_recordings
from wav2uti.errors import InputError


def write_video(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((24, 32), dtype=np.uint8), format="gray")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def mixed(tmp_path):
    """One recording of each layout that has files."""
    write_recording(tmp_path / "export", "001", metadata="{}US.txt")
    write_recording(tmp_path / "01M", "002A", metadata="{}.param")
    write_recording(tmp_path / "TaL80" / "01fi", "003_aud", metadata="{}.param")
    shutil.copy(tmp_path / "export" / "001.wav", tmp_path / "TaL80" / "01fi" / "003_aud.sync")
    write_video(tmp_path / "TaL80" / "01fi" / "003_aud.mp4")  # the lips
    write_video(tmp_path / "china" / "speaker00054_M_s1_stn00144.avi")
    write_video(tmp_path / "aaa" / "child.avi")
    write_video(tmp_path / "screen" / "capture.mp4")
    return tmp_path


def test_every_layout_is_told_from_the_others(mixed):
    found = {candidate.id: candidate.reader.name for candidate in find_recordings(mixed)}
    assert found == {
        "001": "aaa",
        "002A": "ultrasuite",
        "003_aud": "tal",
        "speaker00054_M_s1_stn00144": "auspeech",
        "child": "aaa_video",
        "capture": "video",
    }


def test_a_layout_that_is_asked_for(mixed):
    assert [c.id for c in find_recordings(mixed, "tal")] == ["003_aud"]
    assert {"capture", "child"} <= {c.id for c in find_recordings(mixed, "video")}
    with pytest.raises(InputError, match="no recordings of the layout table"):
        find_recordings(mixed, "table")


def test_a_table_in_the_folder_is_the_corpus(mixed):
    (mixed / "recordings.csv").write_text("video,speaker,id\nscreen/capture.mp4,ann,first\naaa/child.avi,ben,\n")
    found = find_recordings(mixed)
    assert [(c.id, c.given.speaker, c.reader.name) for c in found] == [
        ("child", "ben", "video"),
        ("first", "ann", "video"),
    ]
    assert [c.id for c in find_recordings(mixed / "recordings.csv")] == ["child", "first"]


def test_one_file_names_its_recording(tmp_path):
    ult = write_recording(tmp_path, metadata="{}.param")
    write_recording(tmp_path, name="002", metadata="{}.param")
    assert [c.id for c in find_recordings(ult)] == ["001"]
    (candidate,) = find_recordings(ult.with_suffix(".param"))
    assert candidate.reader.read(candidate, 16).source == "001.ult"


def test_ids_are_unique_and_hidden_files_are_passed_over(tmp_path):
    for folder in ("01M", "02F/BL1"):
        write_recording(tmp_path / folder, name="001", metadata="{}.param")
    write_recording(tmp_path / "01M", name="002", metadata="{}.param")
    write_recording(tmp_path / "01M", name="._002", metadata="{}.param")
    write_recording(tmp_path / ".trash", name="009", metadata="{}.param")
    candidates = find_recordings(tmp_path)
    assert [c.id for c in candidates] == ["002", "01M__001", "02F__BL1__001"]
    assert [c.reader.read(c, 16).speaker for c in candidates] == ["01M", "01M", "02F"]
    assert candidates[1].reader.read(candidates[1], 16).id == "01M__001"


def test_no_such_source_and_nothing_in_it(tmp_path):
    with pytest.raises(InputError, match="There is no file or folder"):
        find_recordings(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no recordings of a known layout in .*; the layouts are table: "):
        find_recordings(tmp_path)


def test_the_particular_goes_before_the_general(tmp_path):
    write_recording(tmp_path / "test" / "spk7", "a")
    write_recording(tmp_path / "test" / "spk8", "b")
    table = tmp_path / "about.csv"
    table.write_text("id,speaker,offset\nb,zoe,0.1\n")
    a, b = find_recordings(
        tmp_path,
        given=Given(language="en", offset=0.5, speaker="option"),
        names=NamePattern("(?P<speaker>spk[0-9])"),
        about=read_table(table),
    )
    assert (a.given.speaker, a.given.split, a.given.language, a.given.offset) == ("spk7", "test", "en", 0.5)
    assert (b.given.speaker, b.given.split, b.given.language, b.given.offset) == ("zoe", "test", "en", 0.1)
    recording = b.reader.read(b, 16)
    assert (recording.speaker, recording.split, recording.language) == ("zoe", "test", "en")


def test_speechless_recordings_of_tal_say_so(tmp_path):
    for name in ("001_swa", "002_xsil", "003_xaud", "004_spo"):
        write_recording(tmp_path, name, metadata="{}.param")
    shutil.copy(tmp_path / "001_swa.wav", tmp_path / "000.sync")
    read = {}
    for candidate in find_recordings(tmp_path):
        try:
            read[candidate.id] = candidate.reader.open(candidate, 16).task
        except InputError as error:
            read[candidate.id] = str(error)
    assert "001_swa.ult is a swallow by its name" in read["001_swa"]
    assert "002_xsil.ult is silent speech by its name" in read["002_xsil"]
    assert (read["003_xaud"], read["004_spo"]) == ("sentence", "other")


def test_the_names_of_the_layouts_are_unique():
    assert set(Counter(reader.name for reader in READERS).values()) == {1}
    assert all(reader.about for reader in READERS)


def test_a_reader_of_the_users_own_is_the_only_one_asked(mixed: Path) -> None:
    class Texts(Reader):
        name = "texts"
        about = "every text is a recording"

        def find(self, source: Path) -> list[Candidate]:
            return [Candidate(f"text {path.stem}", {"prompt": path}, self) for path in sorted(source.rglob("*.txt"))]

        def open(self, candidate: Candidate, size: int) -> RawRecording:
            raise InputError("nothing is read here")

    found = find_recordings(mixed, Texts())
    assert found
    assert {candidate.reader.name for candidate in found} == {"texts"}
    assert {candidate.path.suffix for candidate in found} == {".txt"}

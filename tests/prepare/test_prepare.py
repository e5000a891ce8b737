"""The commands simulate and prepare: from recordings to shards, resumed, with bad recordings reported."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from filelock import FileLock
from tiny_corpus import FrameCounter, Letters, make_recording

from wav2uti.clock import FPS, SAMPLE_RATE
from wav2uti.corpus.raw import Block, Picture, RawRecording
from wav2uti.corpus.readers import search
from wav2uti.corpus.readers.base import Candidate, Reader, files_in
from wav2uti.corpus.recording import Interval, Recording
from wav2uti.corpus.shards import Shard, find_shards
from wav2uti.corpus.sound import ArraySound
from wav2uti.errors import InputError
from wav2uti.prepare import job
from wav2uti.prepare.commands import prepare, simulate
from wav2uti.prepare.work import Simulated
from wav2uti.speech.acoustic import LogMel
from wav2uti.speech.textual import CharacterCodes


@dataclass(frozen=True)
class FakeReader(Reader):
    """Makes recordings up by the names of files: "bad" in it cannot be read, "stop" is Ctrl-C."""

    name: ClassVar[str] = "fake"
    about: ClassVar[str] = "files that a test made up"
    opened: ClassVar[list[str]] = []

    def find(self, source: Path) -> list[Candidate]:
        return [Candidate(path.stem, {"video": path}, self) for path in files_in(source, (".fake",))]

    def open(self, candidate: Candidate, size: int) -> RawRecording:
        FakeReader.opened.append(candidate.id)
        if "stop" in candidate.id:
            raise KeyboardInterrupt
        if "bad" in candidate.id:
            raise InputError(f"{candidate.path} has no sound: put a wav beside it.")
        name = "twin" if "twin" in candidate.id else candidate.id
        made = make_recording(name, speaker=candidate.given.speaker or candidate.id[0], size=size)
        return RawRecording(
            id=candidate.id,
            picture=FakePicture(made.frames),
            sound=ArraySound(made.audio, SAMPLE_RATE),
            speaker=made.speaker,
            task="word",
            text=made.text,
            source=candidate.path.name,
            split=candidate.given.split or "",
            words=(Interval("say", 0.1, 0.3),),
        )


class FakePicture(Picture):
    """Frames that stand at the common clock already."""

    kind = "made up"
    period = 1 / FPS

    def __init__(self, frames: np.ndarray) -> None:
        self.frames = frames

    def blocks(self) -> Iterator[Block]:
        for start in range(0, len(self.frames), 16):
            part = self.frames[start : start + 16]
            yield (start + np.arange(len(part))) / FPS, part

    def draw(self, frames: np.ndarray) -> np.ndarray:
        return frames


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of three recordings that only the fake reader can read."""
    monkeypatch.setattr(search, "READERS", (FakeReader(),))
    monkeypatch.setattr(FakeReader, "opened", [])
    folder = tmp_path / "src"
    folder.mkdir()
    fill(folder, "a1", "a2", "b1[x]")
    return folder


def fill(folder: Path, *names: str) -> None:
    """Only these files in the folder."""
    for path in folder.iterdir():
        path.unlink()
    for name in names:
        (folder / f"{name}.fake").write_text(name)


def stored(out: Path) -> list[str]:
    return [id for path in find_shards(out) for id in Shard(path).ids]


def run(corpus: Path, out: Path, **options: Any) -> None:
    prepare(corpus, out, **({"size": 16} | options))


def test_prepare_stores_recordings_and_embeddings(tmp_path: Path, corpus: Path, capsys: Any) -> None:
    run(corpus, tmp_path / "out")
    (path,) = find_shards(tmp_path / "out")
    shard = Shard(path)
    recording = make_recording("a1", speaker="a", size=16)
    np.testing.assert_array_equal(shard.frames("a1"), recording.frames)
    np.testing.assert_array_equal(shard.audio("a1"), recording.audio)
    expected = LogMel().encode(recording.audio, 40)
    np.testing.assert_allclose(shard.acoustic("a1", LogMel().name), expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(shard.text("a1", CharacterCodes().name), CharacterCodes().encode("say a1"))
    assert shard.words("a1") == (Interval("say", 0.1, 0.3),)
    assert shard.quality("a1")["raw_rate"] == pytest.approx(60, abs=1e-2)
    assert shard.origin("a1")["files"]["video"]["name"] == "a1.fake"
    said = capsys.readouterr().out
    assert "Layout fake, files that a test made up: 3 recordings" in said.splitlines()[0]
    assert "3 recordings written (120 frames, 2.0 s, 2 speakers), 0 there before, 0 left out" in said
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["shard-00000.h5"]


def test_a_reader_of_the_users_own(tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given as a class, it is asked alone; none of ours knows its files."""
    monkeypatch.setattr(search, "READERS", ())
    run(corpus, tmp_path / "out", layout=FakeReader, workers=1)
    assert stored(tmp_path / "out") == ["a1", "a2", "b1[x]"]


def test_bad_recording_is_reported_and_left_out(tmp_path: Path, corpus: Path, capsys: Any) -> None:
    fill(corpus, "a1", "a2_bad[1]", "b1")
    run(corpus, tmp_path / "out")
    said = capsys.readouterr()
    assert f"Left out a2_bad[1]: {corpus / 'a2_bad[1].fake'} has no sound" in said.err
    assert "2 recordings written" in said.out
    assert "1 left out" in said.out
    assert stored(tmp_path / "out") == ["a1", "b1"]


def test_recording_beyond_float16_is_left_out(tmp_path: Path, corpus: Path, capsys: Any) -> None:
    class Loud(FrameCounter):
        def encode(self, audio: np.ndarray, frames: int) -> np.ndarray:
            return super().encode(audio, frames) * 1e6 if frames == 40 else super().encode(audio, frames)

    with pytest.raises(InputError, match="None of the 3 recordings could be read"):
        run(corpus, tmp_path / "out", acoustic=Loud())
    assert "Left out a1: Recording 'a1': the encoder 'frame-counter' gave" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_stopped_run_keeps_what_is_whole_and_goes_on(tmp_path: Path, corpus: Path, capsys: Any) -> None:
    fill(corpus, "a1", "a2", "m_stop", "z1")
    with pytest.raises(KeyboardInterrupt):
        run(corpus, tmp_path / "out")
    assert "2 recordings made so far are kept" in capsys.readouterr().err
    fill(corpus, "a1", "a2", "z1")
    FakeReader.opened.clear()
    run(corpus, tmp_path / "out")
    assert FakeReader.opened == ["z1"]
    assert stored(tmp_path / "out") == ["a1", "a2", "z1"]
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["shard-00000.h5"]
    FakeReader.opened.clear()
    run(corpus, tmp_path / "out")
    assert FakeReader.opened == []
    assert "0 recordings written (0 frames, 0.0 s, 0 speakers), 3 there before" in capsys.readouterr().out


def test_shards_follow_the_names_and_are_closed_at_their_size(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = 40 * 16 * 16 + 2 * 10667 + 2 * 40 * 80 + 2 * 6 * 64
    monkeypatch.setattr(job, "MAX_BYTES", 2 * one - 100)
    fill(corpus, "a1", "a2", "a3", "a4", "a5")
    run(corpus, tmp_path / "out")
    assert [Shard(path).ids for path in find_shards(tmp_path / "out")] == [["a1", "a2"], ["a3", "a4"], ["a5"]]


def test_a_changed_file_or_option_is_made_anew(tmp_path: Path, corpus: Path, capsys: Any) -> None:
    run(corpus, tmp_path / "out")
    FakeReader.opened.clear()
    (corpus / "a2.fake").write_text("another content")
    os.utime(corpus / "a1.fake", (1, 1))  # another date, the same content
    run(corpus, tmp_path / "out")
    assert FakeReader.opened == ["a2"]
    assert "a2 is made anew: its files or options have changed" in capsys.readouterr().err
    assert sorted(stored(tmp_path / "out")) == ["a1", "a2", "b1[x]"]
    FakeReader.opened.clear()
    run(corpus, tmp_path / "out", names="(?P<speaker>b)")
    assert FakeReader.opened == ["b1[x]"]
    assert sorted(stored(tmp_path / "out")) == ["a1", "a2", "b1[x]"]
    for path in find_shards(tmp_path / "out"):
        for id in Shard(path).ids:
            Shard(path).recording(id)


def test_the_same_sound_twice_and_a_speaker_in_two_splits(tmp_path: Path, corpus: Path, capsys: Any) -> None:
    fill(corpus)
    for folder in ("train", "test"):
        (corpus / folder).mkdir()
        (corpus / folder / f"twin_{folder}.fake").write_text("")
    run(corpus, tmp_path / "out", names="(?P<speaker>twin)")
    said = capsys.readouterr().err
    assert "Warning: twin is in more than one split: a score on speakers that were trained on" in said
    assert "Warning: twin_test, twin_train have the same sound: one recording may be there twice" in said
    assert [Shard(path).info("twin_test").split for path in find_shards(tmp_path / "out")] == ["test"]


def test_two_commands_in_one_folder(tmp_path: Path, corpus: Path) -> None:
    (tmp_path / "out" / ".parts").mkdir(parents=True)
    lock = FileLock(tmp_path / "out" / ".parts" / "lock")
    with lock, pytest.raises(InputError, match="Another wav2uti command is writing into"):
        run(corpus, tmp_path / "out")
    run(corpus, tmp_path / "out")


def test_dry_run_says_all_and_writes_nothing(tmp_path: Path, corpus: Path, capsys: Any) -> None:
    fill(corpus, "a1", "a2", "b_bad")
    prepare(corpus, size=16, dry_run=True)
    said = capsys.readouterr().out
    assert "2 recordings, 0.0 minutes, 80 frames at 60 a second" in said
    assert "Speakers: a (2)" in said
    assert f"Would be left out: b_bad: {corpus / 'b_bad.fake'} has no sound" in said
    (row,) = [line for line in said.splitlines() if line.startswith("a1 ")]
    assert row.split()[:5] == ["a1", "fake", "a", "word", "0.67"]
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a1.fake", "a2.fake", "b_bad.fake", "src"]
    with pytest.raises(InputError, match="Say where the shards shall go"):
        prepare(corpus)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"size": 24}, "made with size 16, this command has size 24"),
        ({"acoustic": LogMel(40)}, "the acoustic encoder logmel.*; give the same options, or another folder"),
        ({"text": Letters()}, "the text encoder characters64, this command has the text encoder letters"),
    ],
)
def test_other_settings_in_the_same_folder(tmp_path: Path, corpus: Path, changed: dict[str, Any], words: str) -> None:
    run(corpus, tmp_path / "out")
    with pytest.raises(InputError, match=words):
        run(corpus, tmp_path / "out", **changed)


def test_encoder_that_cannot_be_loaded_ends_the_command(tmp_path: Path, corpus: Path) -> None:
    class Missing(FrameCounter):
        def encode(self, audio: np.ndarray, frames: int) -> np.ndarray:
            raise InputError("There is no model here.")

    with pytest.raises(InputError, match="There is no model here"):
        run(corpus, tmp_path / "out", acoustic=Missing())
    assert FakeReader.opened == []
    assert not (tmp_path / "out").exists()


def test_nothing_to_prepare(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no recordings of a known layout in"):
        prepare(tmp_path, tmp_path / "out")
    with pytest.raises(InputError, match="no file or folder"):
        prepare(tmp_path / "nowhere", tmp_path / "out")


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A fast stand-in for the simulator, and the ids it has made."""
    made: list[str] = []

    def open(self: Simulated, size: int) -> Recording:
        made.append(self.id)
        return make_recording(self.id, size=size, simulated=True, source=f"simulated, seed {self.seed}")

    monkeypatch.setattr(Simulated, "open", open)
    return made


def test_simulate_once_and_never_over_other_shards(tmp_path: Path, simulator: list[str], capsys: Any) -> None:
    simulate(tmp_path, speakers=2, utterances=2, size=16)
    assert stored(tmp_path) == simulator == ["s00_u000", "s00_u001", "s01_u000", "s01_u001"]
    assert Shard(find_shards(tmp_path)[0]).info("s00_u000").simulated
    simulator.clear()
    simulate(tmp_path, speakers=2, utterances=2, size=16)
    assert simulator == []
    assert "already holds this simulated corpus of 4 recordings" in capsys.readouterr().out
    with pytest.raises(InputError, match="seed 0, this command has seed 1; give the same options, or another folder"):
        simulate(tmp_path, speakers=2, utterances=2, size=16, seed=1)


@pytest.mark.parametrize("wrong", [{"speakers": 0}, {"utterances": 0}, {"size": 4}, {"seed": -1}, {"workers": 0}])
def test_a_corpus_that_cannot_be_simulated(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(InputError):
        simulate(tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


def test_prepare_does_not_mix_with_a_simulated_corpus(tmp_path: Path, simulator: list[str], corpus: Path) -> None:
    simulate(tmp_path / "out", speakers=1, utterances=1, size=16)
    with pytest.raises(InputError, match="made with command simulate, this command has command prepare"):
        run(corpus, tmp_path / "out")


@pytest.mark.slow
def test_the_real_simulator_fills_a_shard(tmp_path: Path) -> None:
    simulate(tmp_path, speakers=1, utterances=2, size=32, workers=1)
    (path,) = find_shards(tmp_path)
    recording = Shard(path).recording(Shard(path).ids[1])
    assert recording.simulated
    assert recording.contour is not None
    assert recording.phones


@pytest.mark.slow
def test_two_workers_give_the_same_bits(tmp_path: Path) -> None:
    for workers in (1, 2):
        simulate(tmp_path / str(workers), speakers=2, utterances=4, size=32, workers=workers)
    first, second = (Shard(find_shards(tmp_path / str(workers))[0]) for workers in (1, 2))
    assert first.ids == second.ids
    for id in first.ids:
        np.testing.assert_array_equal(first.frames(id), second.frames(id))
        np.testing.assert_array_equal(first.audio(id), second.audio(id))
        np.testing.assert_array_equal(first.contour(id), second.contour(id))


def test_real_recording(tmp_path: Path, shared: Path) -> None:
    prepare(shared / "aaa_patkit" / "tongue_data_1_1", tmp_path, size=32)
    (path,) = find_shards(tmp_path)
    (id,) = Shard(path).ids
    assert Shard(path).info(id).size == (32, 32)

"""The commands simulate and prepare: from recordings to shards, resumed, with bad recordings reported."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_corpus import FrameCounter, Letters, make_recording

from wav2uti import prepare as stage
from wav2uti.corpus.readers import Candidate, Reader
from wav2uti.corpus.recording import Recording
from wav2uti.corpus.shards import Shard, find_shards
from wav2uti.errors import InputError
from wav2uti.prepare import prepare, simulate
from wav2uti.speech.acoustic import LogMel
from wav2uti.speech.textual import CharacterCodes


class FakeReader(Reader):
    """Makes recordings up by name: a name with "bad" in it cannot be read, "stop" is Ctrl-C."""

    name = "fake"

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.read_names: list[str] = []

    def find(self, source: Path) -> list[Candidate]:
        return [Candidate(name, {"video": source / name}, self) for name in self.names]

    def read(self, candidate: Candidate, size: int) -> Recording:
        self.read_names.append(candidate.id)
        if "stop" in candidate.id:
            raise KeyboardInterrupt
        if "bad" in candidate.id:
            raise InputError(f"{candidate.path} has no sound: put a wav beside it.")
        return make_recording(candidate.id, speaker=candidate.id[0], size=size)


@pytest.fixture
def corpus(monkeypatch: pytest.MonkeyPatch) -> FakeReader:
    reader = FakeReader(["a1", "a2", "b1[x]"])
    monkeypatch.setattr(stage, "find_recordings", lambda source, readers: reader.find(source))
    return reader


def stored(out: Path) -> list[str]:
    return [id for path in find_shards(out) for id in Shard(path).ids]


def run(out: Path, **options: Any) -> None:
    prepare(Path("src"), out, **({"size": 16} | options))


def test_prepare_stores_recordings_and_embeddings(tmp_path: Path, corpus: FakeReader, capsys: Any) -> None:
    run(tmp_path)
    (path,) = find_shards(tmp_path)
    shard = Shard(path)
    recording = make_recording("a1", speaker="a", size=16)
    np.testing.assert_array_equal(shard.frames("a1"), recording.frames)
    expected = LogMel().encode(recording.audio, 40)
    np.testing.assert_allclose(shard.acoustic("a1", LogMel().name), expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(shard.text("a1", CharacterCodes().name), CharacterCodes().encode("say a1"))
    assert "3 recordings written (120 frames, 2.0 s, 2 speakers), 0 there before, 0 left out" in capsys.readouterr().out


def test_bad_recording_is_reported_and_left_out(tmp_path: Path, corpus: FakeReader, capsys: Any) -> None:
    corpus.names = ["a1", "a2_bad[1]", "b1"]
    run(tmp_path)
    said = capsys.readouterr()
    assert "Left out a2_bad[1]: src/a2_bad[1] has no sound" in said.err
    assert "2 recordings written" in said.out
    assert "1 left out" in said.out
    assert stored(tmp_path) == ["a1", "b1"]


def test_recording_beyond_float16_is_left_out(tmp_path: Path, corpus: FakeReader, capsys: Any) -> None:
    class Loud(FrameCounter):
        def encode(self, audio: np.ndarray, frames: int) -> np.ndarray:
            return super().encode(audio, frames) * 1e6 if frames == 40 else super().encode(audio, frames)

    with pytest.raises(InputError, match="None of the 3 recordings could be read"):
        run(tmp_path, acoustic=Loud())
    assert "Left out a1: Recording 'a1' (a1.wav): the acoustic encoder 'frame-counter' gave" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_stopped_run_keeps_what_is_whole_and_goes_on(tmp_path: Path, corpus: FakeReader, capsys: Any) -> None:
    corpus.names = ["a1", "a2", "stop", "b1"]
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    assert "Stopped after 2 recordings" in capsys.readouterr().err
    assert stored(tmp_path) == ["a1", "a2"]
    assert [path.name for path in tmp_path.iterdir()] == ["shard-00000.h5"]
    corpus.names, corpus.read_names = ["a1", "a2", "b1"], []
    run(tmp_path)
    assert corpus.read_names == ["b1"]
    assert stored(tmp_path) == ["a1", "a2", "b1"]
    assert "1 recordings written (40 frames, 0.7 s, 1 speakers), 2 there before" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"size": 24}, "made with size 16, this command has size 24"),
        ({"hflip": True}, "made with hflip False, this command has hflip True"),
        ({"crop": (0, 0, 8, 8)}, r"crop None, this command has crop \[0, 0, 8, 8\]"),
        ({"acoustic": LogMel(40)}, "the acoustic encoder logmel.*; give the same options, or another folder"),
        ({"text": Letters()}, "the text encoder characters64, this command has the text encoder letters"),
    ],
)
def test_other_settings_in_the_same_folder(
    tmp_path: Path, corpus: FakeReader, changed: dict[str, Any], words: str
) -> None:
    run(tmp_path)
    with pytest.raises(InputError, match=words):
        run(tmp_path, **changed)


def test_encoder_that_cannot_be_loaded_ends_the_command(tmp_path: Path, corpus: FakeReader) -> None:
    class Missing(FrameCounter):
        def encode(self, audio: np.ndarray, frames: int) -> np.ndarray:
            raise InputError("There is no model here.")

    with pytest.raises(InputError, match="There is no model here"):
        run(tmp_path, acoustic=Missing())
    assert corpus.read_names == []


def test_nothing_to_prepare(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no recordings in .*neither AAA exports"):
        prepare(tmp_path, tmp_path / "out")
    with pytest.raises(InputError, match="no file or folder"):
        prepare(tmp_path / "nowhere", tmp_path / "out")


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A fast stand-in for the simulator, and the ids it has made."""
    made: list[str] = []

    def simulate_corpus(speakers: int, utterances: int, size: int, seed: int, workers: int) -> Iterator[Recording]:
        for k in range(speakers * utterances):
            made.append(f"s{k}")
            yield make_recording(f"s{k}", size=size, simulated=True, source=f"simulated, seed {seed}")

    monkeypatch.setattr(stage, "simulate_corpus", simulate_corpus)
    return made


def test_simulate_once_and_never_over_other_shards(tmp_path: Path, simulator: list[str], capsys: Any) -> None:
    simulate(tmp_path, speakers=2, utterances=2, size=16)
    assert stored(tmp_path) == ["s0", "s1", "s2", "s3"]
    assert Shard(find_shards(tmp_path)[0]).info("s0").simulated
    simulator.clear()
    simulate(tmp_path, speakers=2, utterances=2, size=16)
    assert simulator == []
    assert "already holds this simulated corpus of 4 recordings" in capsys.readouterr().out
    with pytest.raises(InputError, match="seed 0, this command has seed 1; give the same options, or another folder"):
        simulate(tmp_path, speakers=2, utterances=2, size=16, seed=1)


def test_prepare_does_not_mix_with_a_simulated_corpus(tmp_path: Path, simulator: list[str], corpus: FakeReader) -> None:
    simulate(tmp_path, speakers=1, utterances=1, size=16)
    with pytest.raises(InputError, match="made with command simulate, this command has command prepare"):
        run(tmp_path)


@pytest.mark.slow
def test_the_real_simulator_fills_a_shard(tmp_path: Path) -> None:
    simulate(tmp_path, speakers=1, utterances=2, size=32, workers=1)
    (path,) = find_shards(tmp_path)
    recording = Shard(path).recording(Shard(path).ids[1])
    assert recording.simulated
    assert recording.contour is not None
    assert recording.phones


def test_real_recording(tmp_path: Path, shared: Path) -> None:
    prepare(shared / "aaa_patkit" / "tongue_data_1_1", tmp_path, size=32)
    (path,) = find_shards(tmp_path)
    (id,) = Shard(path).ids
    assert Shard(path).info(id).size == (32, 32)

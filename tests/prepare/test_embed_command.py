"""`wav2uti embed`: embeddings beside those that are there, and nothing else of a shard changed."""

import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from filelock import FileLock
from numpy.typing import NDArray
from tiny_corpus import make_full_recording, make_recording, write_corpus

from wav2uti.clock import FPS
from wav2uti.corpus.recording import Interval
from wav2uti.corpus.shards import Shard, find_shards
from wav2uti.data.module import ClipData
from wav2uti.errors import InputError
from wav2uti.prepare import addition
from wav2uti.prepare import embed as module
from wav2uti.prepare.embed import by_length, embed
from wav2uti.speech.acoustic import AcousticEncoder, LogMel
from wav2uti.speech.textual import CharacterCodes
from wav2uti.speech.transcribe import Transcriber, Transcript

WORDS = (Interval("say", 0.0, 0.25), Interval("full", 0.25, 0.5))


class Loudness(AcousticEncoder):
    """Embeds every frame as (loudness of the recording, factor), and notes the batches it was given."""

    name = "loudness"
    width = 2

    def __init__(self, factor: float = 1.0, stop_after: int = 99) -> None:
        self.factor, self.stop_after = factor, stop_after
        self.batches: list[list[int]] = []

    def encode(self, audio: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
        if len(self.batches) >= self.stop_after:
            raise KeyboardInterrupt
        self.batches.append([frames])
        return np.tile(np.float32([np.abs(audio).mean(), self.factor]), (frames, 1))

    def encode_batch(self, audios: Sequence[NDArray[np.float32]], frames: Sequence[int]) -> list[NDArray[np.float32]]:
        batches = self.batches
        self.batches = batches.copy()
        vectors = [self.encode(audio, count) for audio, count in zip(audios, frames, strict=True)]
        self.batches = [*batches, list(frames)]
        return vectors

    def spec(self) -> dict[str, Any]:
        return {"class": "Loudness", "args": {"factor": self.factor}}


class Parrot(Transcriber):
    """Hears "a b" in every recording, its words in the first and the second quarter of a second."""

    def __init__(self, model: str = "parrot") -> None:
        self.model = model
        self.heard = 0

    def transcribe(self, audio: NDArray[np.float32]) -> Transcript:
        self.heard += 1
        return Transcript(text="a b", language="en", words=(Interval("a", 0.0, 0.25), Interval("b", 0.25, 0.5)))

    def spec(self) -> dict[str, Any]:
        return {"model": self.model}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two shards: a recording with all fields, one without text, and others; of unlike lengths."""
    full = replace(make_full_recording("full"), words=WORDS)
    recordings = [full, make_recording("mute", text="", language="", frames=37), make_recording("long", frames=70)]
    write_corpus(tmp_path / "corpus", recordings)
    write_corpus(tmp_path / "corpus", [make_recording("other", frames=50)])
    return tmp_path / "corpus"


def contents(corpus: Path) -> dict[str, Any]:
    """All that shards hold of their recordings: attributes, and datasets chunk by chunk as they are on the disk."""
    found: dict[str, Any] = {}
    listed: dict[str, Any] = {}
    for path in find_shards(corpus):
        with h5py.File(path, "r") as file:

            def note(name: str, item: Any) -> None:
                for key, value in item.attrs.items():
                    if key == "contents":  # grows with what is added
                        listed.update({f"{name}/{field}": about for field, about in json.loads(value).items()})
                    elif key != "digest":
                        found[f"{name} {key}"] = value
                if isinstance(item, h5py.Dataset):
                    chunks = [item.id.get_chunk_info(k) for k in range(item.id.get_num_chunks() if item.chunks else 0)]
                    stored = [item.id.read_direct_chunk(chunk.chunk_offset) for chunk in chunks]
                    found[name] = [item.shape, item.dtype, item.chunks, item.fletcher32, stored]

            file["recordings"].visititems(note)
    for name, about in listed.items():
        found[name].append(about)
    return found


def added(before: dict[str, Any], corpus: Path) -> set[str]:
    """Names that are new; everything that was there is bit-equal."""
    after = contents(corpus)
    for name, value in before.items():
        assert after[name] == value, name
    return set(after) - set(before)


def test_encoders_stand_side_by_side(corpus: Path) -> None:
    before = contents(corpus)
    embed(corpus, LogMel(40), CharacterCodes(16), batch=2)
    ids = ("full", "mute", "long", "other")
    places = {f"{id}/{kind}" for id in ids for kind in ("acoustic/logmel40", "text/characters16")}
    assert added(before, corpus) == {*places, "full/times/characters16"}
    for path in find_shards(corpus):
        shard = Shard(path)
        assert list(shard.encoders["acoustic"]) == ["frame-counter", "logmel40"]
        assert list(shard.encoders["text"]) == ["letters", "characters16"]
        for id in shard.ids:
            info = shard.info(id)
            vectors = LogMel(40).encode(shard.audio(id), info.frames)
            np.testing.assert_allclose(shard.acoustic(id, "logmel40"), vectors, rtol=1e-3, atol=1e-3)
            np.testing.assert_array_equal(shard.text(id, "characters16"), CharacterCodes(16).encode(info.text))
    assert sorted(path.name for path in corpus.iterdir()) == ["shard-00000.h5", "shard-00001.h5"]


def test_tokens_get_the_times_of_their_words(corpus: Path) -> None:
    embed(corpus, text=CharacterCodes(16))
    shard = Shard(corpus / "shard-00000.h5")
    times = shard.text_times("full", "characters16")
    assert times is not None
    assert shard.text_times("long", "characters16") is None
    assert times.dtype == np.float32
    assert times.shape == (len("say full"), 2)
    assert 0 <= times[0, 0] < times[-1, 1] <= 0.5


def test_second_run_does_nothing(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    embed(corpus, Loudness(), CharacterCodes(16))
    assert "4 recordings (0.1 min) embedded with loudness and characters16." in capsys.readouterr().out
    paths = find_shards(corpus)
    before = [path.stat().st_mtime_ns for path in paths]
    again = Loudness()
    embed(corpus, again, CharacterCodes(16))
    assert again.batches == []
    assert [path.stat().st_mtime_ns for path in paths] == before
    assert "already holds the embeddings of loudness and characters16" in capsys.readouterr().out


def test_only_what_is_missing_is_added(corpus: Path) -> None:
    first, _ = find_shards(corpus)
    embed(first, Loudness())
    before = contents(corpus)
    encoder = Loudness()
    embed(corpus, encoder, CharacterCodes(16))
    assert encoder.batches == [[50]]
    assert {name.split("/", 1)[1] for name in added(before, corpus) if name.startswith("full")} == {
        "text/characters16",
        "times/characters16",
    }


def test_batches_hold_recordings_of_like_length_and_a_long_one_stands_alone() -> None:
    assert by_length([10, 40, 9000, 20, 30, 50], 2) == [[2], [5, 1], [4, 3], [0]]
    assert by_length([], 8) == []


def test_batched(corpus: Path) -> None:
    encoder = Loudness()
    embed(corpus, encoder, batch=2)
    assert encoder.batches == [[70, 40], [37], [50]]


def test_interrupted_command_goes_on(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(corpus)
    with pytest.raises(KeyboardInterrupt):
        embed(corpus, Loudness(stop_after=2), batch=1)
    assert "Stopped: 2 recordings embedded so far are kept" in capsys.readouterr().err
    assert added(before, corpus) == set()
    encoder = Loudness()
    embed(corpus, encoder, batch=1)
    assert encoder.batches == [[37], [50]]
    assert added(before, corpus) == {f"{id}/acoustic/loudness" for id in ("full", "mute", "long", "other")}
    assert not (corpus / ".embed").exists()


def test_what_another_command_left_is_made_anew(corpus: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        embed(corpus, Loudness(stop_after=2), batch=1)
    encoder = Loudness(factor=2.0)
    embed(corpus, encoder, batch=1)
    assert len(encoder.batches) == 4
    assert Shard(find_shards(corpus)[0]).acoustic("full", "loudness")[0, 1] == 2.0


KILLED = """
import os, signal, sys
from pathlib import Path
from wav2uti.corpus.shards.writer import ShardWriter
from wav2uti.prepare.embed import embed
from wav2uti.speech.textual import CharacterCodes

class Deadly:
    def __init__(self, owner, name, calls):
        self.action, self.calls = getattr(owner, name), calls
        setattr(owner, name, lambda *given, **named: self(*given, **named))
    def __call__(self, *given, **named):
        self.calls -= 1
        if self.calls < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.action(*given, **named)

Deadly(*{"embedding": (CharacterCodes, "encode", 2), "writing": (ShardWriter, "copy", 2)}[sys.argv[2]])
embed(Path(sys.argv[1]), text=CharacterCodes(16), batch=1)
"""


@pytest.mark.parametrize(("moment", "kept"), [("embedding", 2), ("writing", 3)])
def test_killed_command_goes_on(corpus: Path, moment: str, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(corpus)
    done = subprocess.run([sys.executable, "-c", KILLED, str(corpus), moment], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert added(before, corpus) == set()
    assert len(list(corpus.glob(".embed/*/*/about.json"))) == kept
    encoded: list[str] = []
    encode = CharacterCodes.encode
    monkeypatch.setattr(CharacterCodes, "encode", lambda self, text: (encoded.append(text), encode(self, text))[1])
    embed(corpus, text=CharacterCodes(16), batch=1)
    assert len(encoded) == 4 - kept
    assert len([name for name in added(before, corpus) if name.endswith("text/characters16")]) == 4
    assert sorted(path.name for path in corpus.iterdir()) == ["shard-00000.h5", "shard-00001.h5"]


def test_another_encoder_of_the_same_name_is_refused_or_replaces(corpus: Path) -> None:
    embed(corpus, Loudness(), CharacterCodes(16))
    before = contents(corpus)
    with pytest.raises(InputError, match=r"shard-00000\.h5 holds acoustic embeddings 'loudness' made with .*--replace"):
        embed(corpus, Loudness(factor=2.0))
    assert contents(corpus) == before
    embed(corpus, Loudness(factor=2.0), replace=True)
    after = contents(corpus)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {f"{id}/acoustic/loudness" for id in ("full", "mute", "long", "other")}
    shard = Shard(find_shards(corpus)[0])
    assert shard.encoders["acoustic"]["loudness"]["spec"] == Loudness(factor=2.0).spec()
    assert set(shard.acoustic("full", "loudness")[:, 1]) == {2.0}


def test_text_is_transcribed_where_there_is_none(corpus: Path) -> None:
    parrot = Parrot()
    embed(corpus, text=CharacterCodes(16), transcriber=parrot)
    assert parrot.heard == 1
    shard = Shard(find_shards(corpus)[0])
    assert (shard.info("mute").text, shard.info("mute").language) == ("a b", "en")
    assert [word.label for word in shard.words("mute")] == ["a", "b"]
    np.testing.assert_array_equal(shard.text("mute", "characters16"), CharacterCodes(16).encode("a b"))
    assert shard.info("full").text == "say full"
    assert shard.words("full") == WORDS
    assert shard.encoders["text"]["characters16"]["transcriber"] == {"model": "parrot"}
    embed(corpus, text=CharacterCodes(16), transcriber=parrot)
    embed(corpus, text=CharacterCodes(16))
    assert parrot.heard == 1
    with pytest.raises(InputError, match=r"made with .*parrot.*not with .*crow"):
        embed(corpus, text=CharacterCodes(16), transcriber=Parrot("crow"))


def test_times_of_embeddings_that_are_replaced_are_made_anew(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embed(corpus, text=CharacterCodes(16))
    unknown = np.full((len("say full"), 2), np.nan, dtype=np.float32)
    monkeypatch.setattr(addition, "token_times", lambda *_: unknown)
    monkeypatch.setattr(CharacterCodes, "spec", lambda self: {"class": "Other", "args": {}})
    embed(corpus, text=CharacterCodes(16), replace=True)
    times = Shard(find_shards(corpus)[0]).text_times("full", "characters16")
    np.testing.assert_array_equal(times, unknown)


def test_fit_chooses_an_encoder_by_name(corpus: Path) -> None:
    embed(corpus, LogMel(40), CharacterCodes(16))
    for acoustic, text, widths in (("frame-counter", "letters", (3, 2)), ("logmel40", "characters16", (40, 16))):
        data = ClipData(str(corpus), split="utterance", batch_size=1, acoustic=acoustic, text=text)
        assert (data.facts["acoustic"]["width"], data.facts["text"]["width"]) == widths
        clip = next(iter(data.train_dataloader()))
        assert (clip["acoustic"].shape[-1], clip["text"].shape[-1]) == widths
    with pytest.raises(InputError, match=r"frame-counter, logmel40; name one as data\.acoustic"):
        _ = ClipData(str(corpus), split="utterance").facts


def test_long_recording_comes_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONG", 30)
    recording = make_recording("long", frames=2 * FPS, size=4)
    (path,) = write_corpus(tmp_path, [recording, make_recording("short", frames=20, size=4)])
    monkeypatch.setattr(LogMel, "_BLOCK", 50)
    embed(path, LogMel(40))
    vectors = LogMel(40).encode(recording.audio, 2 * FPS)
    np.testing.assert_allclose(Shard(path).acoustic("long", "logmel40"), vectors, rtol=1e-3, atol=1e-3)


def test_full_disk(tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk."""
    (path,) = write_corpus(tmp_path, [make_recording("big", frames=400, size=64)])
    before = contents(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        with pytest.raises(InputError, match=r"cannot be written \(File too large\); free space"):
            embed(path, Loudness())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert contents(path) == before
    encoder = Loudness()
    embed(path, encoder)
    assert encoder.batches == []  # it had been embedded
    assert added(before, path) == {"big/acoustic/loudness"}


def test_damaged_shard_says_so_itself(tmp_path: Path) -> None:
    recordings = [make_recording("good", frames=30), make_recording("bad", frames=20)]
    (path,) = write_corpus(tmp_path, recordings)
    data = bytearray(path.read_bytes())
    sound = (recordings[1].audio[:64] * 2**15).astype(np.int16).tobytes()
    data[data.find(sound) + 8] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"shard-00000\.h5: recording 'bad', audio is damaged .*checksum"):
        embed(path, Loudness(), batch=1)
    assert path.read_bytes() == bytes(data)


def test_encoder_that_gives_nonsense(corpus: Path) -> None:
    with pytest.raises(InputError, match="'loudness' gave NaN"):
        embed(corpus, Loudness(factor=float("nan")))


def test_refusals(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to add: give an encoder"):
        embed(corpus)
    with pytest.raises(InputError, match="add an encoder of the text"):
        embed(corpus, LogMel(40), transcriber=Parrot())
    with pytest.raises(InputError, match="--batch of 1"):
        embed(corpus, LogMel(40), batch=0)
    with pytest.raises(InputError, match="cannot run on the device 'abacus'"):
        embed(corpus, LogMel(40), device="abacus")
    with pytest.raises(InputError, match="no shards"):
        embed(tmp_path / "nowhere", LogMel(40))
    (corpus / ".parts").mkdir()
    with FileLock(corpus / ".parts" / "lock"), pytest.raises(InputError, match="Another wav2uti command"):
        embed(corpus, LogMel(40))


def test_settings_are_kept(corpus: Path) -> None:
    before = [Shard(path).settings for path in find_shards(corpus)]
    embed(corpus, Loudness())
    assert [Shard(path).settings for path in find_shards(corpus)] == before

"""Shards: what is written comes back, damage is named, nothing half written stays."""

import pickle
import resource
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from tiny_corpus import FrameCounter, arrays_of, make_full_recording, make_recording, write_corpus

from wav2uti.corpus.recording import Recording
from wav2uti.corpus.shards import Shard, find_shards
from wav2uti.corpus.shards.writer import ShardWriter, attributes_of, describe_encoders, to_half
from wav2uti.errors import InputError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus", [make_full_recording("full"), make_recording("plain", frames=37)])[0]


def assert_equal(a: Recording, b: Recording) -> None:
    for field in fields(Recording):
        left, right = getattr(a, field.name), getattr(b, field.name)
        if isinstance(left, np.ndarray):
            assert left.dtype == right.dtype, field.name
            np.testing.assert_array_equal(left, right, err_msg=field.name)
        else:
            assert left == right, field.name


def test_recordings_come_back_equal(path: Path) -> None:
    shard = Shard(path)
    assert shard.ids == ["full", "plain"]
    assert_equal(shard.recording("full"), make_full_recording("full"))
    assert_equal(shard.recording("plain"), make_recording("plain", frames=37))


def test_embeddings_and_slices_come_back(path: Path) -> None:
    shard = Shard(path)
    np.testing.assert_array_equal(shard.frames("full", 9, 25), make_full_recording("full").frames[9:25])
    acoustic = shard.acoustic("full", "frame-counter", 9, 25)
    assert acoustic.dtype == np.float32
    np.testing.assert_array_equal(acoustic[:, 1], 2 * np.arange(9, 25))
    np.testing.assert_array_equal(shard.text("plain", "letters")[:, 0], [ord(c) for c in "say plain"])
    assert shard.encoders["acoustic"]["frame-counter"] == {"spec": FrameCounter().spec(), "width": 3}


def test_info_tells_without_reading_frames(path: Path) -> None:
    info = Shard(path).info("full")
    assert (info.frames, info.size, info.mm_per_pixel) == (40, (12, 12), 0.75)
    assert info.has_reference
    assert info.simulated
    plain = Shard(path).info("plain")
    assert plain.mm_per_pixel is None
    assert not plain.has_reference


def test_sound_is_rounded_to_16_bit_and_never_wraps(tmp_path: Path) -> None:
    loud = np.full(667, 1.0, dtype=np.float32)
    loud[:3] = -1.0, 0.5 + 1e-5, 1.0
    shard = Shard(write_corpus(tmp_path, [make_recording("loud", frames=3, audio=loud[:800].repeat(2)[:800])])[0])
    audio = shard.audio("loud")
    assert audio.min() == -1
    assert audio.max() == 32767 / 32768
    np.testing.assert_allclose(audio, loud.repeat(2)[:800], atol=1 / 32768)


def test_recording_without_text_has_no_tokens(tmp_path: Path) -> None:
    shard = Shard(write_corpus(tmp_path, [make_recording("mute", text="")])[0])
    assert shard.text("mute", "letters").shape == (0, 2)


def test_shards_roll_over_and_go_on_after_existing_ones(tmp_path: Path) -> None:
    first = write_corpus(tmp_path, [make_recording(f"a{k}") for k in range(4)], max_bytes=40_000)
    second = write_corpus(tmp_path, [make_recording("b")])
    assert [p.name for p in first + second] == ["shard-00000.h5", "shard-00001.h5", "shard-00002.h5"]
    assert find_shards(tmp_path) == first + second
    assert [Shard(p).ids for p in first + second] == [["a0", "a1"], ["a2", "a3"], ["b"]]


def test_pickles_without_its_handle(path: Path) -> None:
    shard = Shard(path)
    shard.frames("full")
    again = pickle.loads(pickle.dumps(shard))
    np.testing.assert_array_equal(again.frames("full"), shard.frames("full"))


class _Frames(torch.utils.data.Dataset[int]):
    """Sum of each frame, read by workers."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> int:
        return int(self.shard.frames("full", index, index + 1).sum())


def test_workers_read_what_the_parent_reads(path: Path) -> None:
    shard = Shard(path)
    expected = shard.frames("full").sum(axis=(1, 2)).tolist()  # the handle is open when the workers start
    loader = torch.utils.data.DataLoader(_Frames(shard), num_workers=2, multiprocessing_context="fork")
    assert [int(value) for value in loader] == expected


def damage(path: Path, array: np.ndarray) -> None:
    """Flip one bit in the middle of the place where an array's first frame is stored."""
    data = bytearray(path.read_bytes())
    place = data.find(array[0].tobytes())
    assert place >= 0
    data[place + array[0].nbytes // 2] ^= 1
    path.write_bytes(bytes(data))


def test_flipped_bit_is_found_and_named(path: Path) -> None:
    damage(path, make_full_recording("full").frames)
    shard = Shard(path)
    with pytest.raises(InputError, match=r"shard-00000\.h5: recording 'full', frames is damaged .*checksum.*prepare"):
        shard.frames("full", 0, 16)
    np.testing.assert_array_equal(shard.frames("full", 16, 32), make_full_recording("full").frames[16:32])
    shard.recording("plain")


def test_wrong_version_says_which(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file.attrs["version"] = 3
    with pytest.raises(InputError, match="schema version 3, this wav2uti reads 1 and 2; prepare the corpus again"):
        Shard(path).ids  # noqa: B018


def test_truncated_shard(path: Path) -> None:
    data = path.read_bytes()
    for keep in (0.9, 0.5, 0.01):
        path.write_bytes(data[: int(len(data) * keep)])
        with pytest.raises(InputError, match=r"shard-00000\.h5: .*(cut off|not an HDF5 file)"):
            Shard(path).ids  # noqa: B018


def test_other_files_are_no_shards(tmp_path: Path) -> None:
    text, foreign = tmp_path / "text.h5", tmp_path / "foreign.h5"
    text.write_text("hello")
    h5py.File(foreign, "w").close()
    with pytest.raises(InputError, match="not an HDF5 file"):
        Shard(text).ids  # noqa: B018
    with pytest.raises(InputError, match="not a wav2uti shard"):
        Shard(foreign).ids  # noqa: B018
    with pytest.raises(InputError, match="no such shard"):
        Shard(tmp_path / "none.h5").ids  # noqa: B018
    with pytest.raises(InputError, match=r"no shards in .*empty; make them with wav2uti simulate"):
        find_shards(tmp_path / "empty")


def test_missing_dataset_and_recording_are_named(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["recordings/full/audio"]
        del file["recordings/plain"].attrs["speaker"]
    with pytest.raises(InputError, match="recording 'full', audio is missing"):
        Shard(path).audio("full")
    with pytest.raises(InputError, match=r"recording 'plain' is damaged.*its attributes are not those"):
        Shard(path).info("plain")
    with pytest.raises(InputError, match="recording 'nobody'"):
        Shard(path).frames("nobody")
    with pytest.raises(InputError, match="acoustic/hubert is missing"):
        Shard(path).acoustic("full", "hubert")


def test_copy_adds_and_replaces(path: Path, tmp_path: Path) -> None:
    tokens = np.ones((9, 5), dtype=np.float16)
    encoders = {"acoustic": {}, "text": {"letters": {}, "new": {}}}
    with ShardWriter(tmp_path / "copy.h5", encoders, {"command": "test"}) as writer:
        arrays = {"text/new": tokens, "text/letters": tokens[:3]}
        writer.copy(path, "full", {"text": "other"}, arrays)
        writer.copy(path, "plain")
        with pytest.raises(InputError, match=r"'full' .* already"):
            writer.copy(path, "full")
        with pytest.raises(InputError, match=r"shard-00000\.h5: recording 'nobody' is damaged"):
            writer.copy(path, "nobody")
    shard = Shard(tmp_path / "copy.h5")
    assert shard.ids == ["full", "plain"]
    assert shard.info("full").text == "other"
    assert shard.text("full", "new").shape == (9, 5)
    assert shard.text("full", "letters").shape == (3, 5)
    assert_equal(shard.recording("plain"), Shard(path).recording("plain"))
    assert_equal(replace(shard.recording("full"), text="say full"), Shard(path).recording("full"))


def broken_after(count: int, error: BaseException) -> Iterator[Recording]:
    for k in range(count):
        yield make_recording(f"r{k}")
    raise error


@pytest.mark.parametrize("error", [RuntimeError("reader broke"), KeyboardInterrupt()])
def test_recordings_before_an_exception_are_kept_whole(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)):
        write_corpus(tmp_path, broken_after(2, error))
    assert [p.name for p in tmp_path.iterdir()] == ["shard-00000.h5"]
    shard = Shard(tmp_path / "shard-00000.h5")
    assert shard.ids == ["r0", "r1"]
    assert_equal(shard.recording("r1"), make_recording("r1"))


def test_no_file_stays_where_nothing_was_finished(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        write_corpus(tmp_path, broken_after(0, RuntimeError()))
    with pytest.raises(KeyboardInterrupt), ShardWriter(tmp_path / "a.h5"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_recording_that_cannot_be_stored_leaves_nothing_of_itself(tmp_path: Path) -> None:
    good, bad = make_recording("good"), make_recording("bad")
    arrays, about = arrays_of(good, [FrameCounter()]), attributes_of(good)
    with ShardWriter(tmp_path / "a.h5", describe_encoders([FrameCounter()], [])) as writer:
        writer.add_arrays("good", about, arrays)
        with pytest.raises(TypeError):
            writer.add_arrays("bad", attributes_of(bad), arrays | {"contour": np.full(40, None, dtype=object)})
        with pytest.raises(InputError, match=r"'good'.*already"):
            writer.add_arrays("good", about, arrays)
    assert Shard(tmp_path / "a.h5").ids == ["good"]


def test_embeddings_that_a_shard_cannot_hold_are_refused() -> None:
    with pytest.raises(InputError, match=r"'bad'.*'counter' gave NaN"):
        to_half(np.full((40, 3), np.nan, np.float32), "counter", (40, 3), "bad")
    with pytest.raises(InputError, match=r"'bad'.*'counter' gave .* beyond 65504"):
        to_half(np.full((40, 3), 7e4, np.float32), "counter", (40, 3), "bad")
    with pytest.raises(InputError, match=r"gave shape \(39, 3\), not \(40, 3\)"):
        to_half(np.zeros((39, 3), np.float32), "counter", (40, 3), "bad")


def test_full_disk_is_an_input_error(tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk: the system refuses the write in the same place."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        with pytest.raises(InputError, match=r"shard-00000\.h5 cannot be written \(File too large\); free space"):
            write_corpus(tmp_path, [make_recording("big", frames=400, size=64)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_corpus(tmp_path / "file" / "corpus", [make_recording("a")])

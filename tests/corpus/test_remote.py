"""Shards by address: found, read, taken into workers, and every failure in a sentence."""

import importlib.util
import io
import os
import pickle
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import fsspec
import h5py
import numpy as np
import pytest
import torch
from http_folder import Served, served
from tiny_corpus import make_recording, write_corpus
from torch.utils.data import DataLoader

from wav2uti.cli import main
from wav2uti.corpus.shards import Shard, find_shards, remote
from wav2uti.corpus.shards.remote import Url, located
from wav2uti.data.batch import collate
from wav2uti.data.clips import ClipDataset
from wav2uti.data.module import ClipData
from wav2uti.errors import InputError

NAMES = ("ann", "bob", "cem")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(remote, "_seen", {})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    recordings = [make_recording(f"{name}{k}", name, 48) for name in NAMES for k in range(2)]
    assert len(write_corpus(tmp_path / "corpus", recordings, max_bytes=50_000)) == 3
    (tmp_path / "corpus" / ".shard-00009.h5").touch()  # of a writer at work
    (tmp_path / "corpus" / "notes.txt").touch()
    return tmp_path / "corpus"


@pytest.fixture
def server(folder: Path) -> Iterator[Served]:
    with served(folder) as state:
        yield state


@pytest.fixture(params=["file", "memory", "http"])
def address(request: pytest.FixtureRequest, folder: Path) -> str:
    if request.param == "http":
        return str(request.getfixturevalue("server").address)
    if request.param == "file":
        return f"file://{folder}"
    name = f"memory://{uuid.uuid4()}"
    for path in folder.glob("*.h5"):
        with fsspec.open(f"{name}/{path.name}", "wb") as file:
            file.write(path.read_bytes())
    return name


def test_shards_of_a_folder_and_of_a_file(address: str, folder: Path) -> None:
    found = find_shards(address)
    assert [str(shard) for shard in found] == [f"{address}/shard-0000{k}.h5" for k in range(3)]
    assert find_shards([address + "/", found[1]]) == found
    assert find_shards(str(found[1])) == [found[1]]
    assert find_shards([str(folder), address]) == [*find_shards(folder), *found]


def test_what_is_read_is_what_the_file_holds(address: str, folder: Path) -> None:
    for path, url in zip(find_shards(folder), find_shards(address), strict=True):
        there, here = Shard(url), Shard(path)
        assert there.ids == here.ids
        assert there.encoders == here.encoders
        assert there.nbytes == here.nbytes == path.stat().st_size
        for id in here.ids:
            assert there.info(id).frames == here.info(id).frames
            assert there.info(id).shard == url
            np.testing.assert_array_equal(there.frames(id, 5, 30), here.frames(id, 5, 30))
            np.testing.assert_array_equal(there.acoustic(id, "frame-counter"), here.acoustic(id, "frame-counter"))
            np.testing.assert_array_equal(there.audio(id), here.audio(id))
        with pytest.raises(InputError, match="only read"):
            there.file  # noqa: B018


def test_paths_are_no_addresses() -> None:
    assert located("C:/data") == Path("C:/data")
    assert isinstance(located("s3://bucket/a"), Url)
    assert pickle.loads(pickle.dumps(located("s3://bucket/a"))) == Url("s3://bucket/a")


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_read_it_too(server: Served, folder: Path, method: str) -> None:
    infos, local = ([s.info(id) for s in map(Shard, find_shards(w)) for id in s.ids] for w in (server.address, folder))
    places = [(k, start) for k in range(6) for start in (0, 17)]
    clips = ClipDataset(infos, 16, "frame-counter", "letters")
    assert clips[0, 0].frames.sum() > 0  # the parent has it open
    loader = DataLoader[Any](
        clips, 4, sampler=places, collate_fn=collate, num_workers=2, multiprocessing_context=method
    )
    expected = DataLoader[Any](
        ClipDataset(local, 16, "frame-counter", "letters"), 4, sampler=places, collate_fn=collate
    )
    for one, other in zip(loader, expected, strict=True):
        assert torch.equal(one["frames"], other["frames"])
        assert torch.equal(one["acoustic"], other["acoustic"])


def test_fit_and_inspect(server: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ClipData(server.address, test_speakers=["cem"], val_speakers=["bob"], batch_size=2)
    data.setup("fit")
    assert data.facts["size"] == 12
    assert next(iter(data.train_dataloader()))["frames"].shape == (2, 1, 16, 12, 12)
    assert main(["inspect", server.address, "--out", str(tmp_path / "sheet.png")]) == 0
    assert "recordings:" in capsys.readouterr().out
    assert (tmp_path / "sheet.png").stat().st_size > 0


def test_a_folder_without_shards(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for address in (f"file://{tmp_path}/empty", "memory://void/none"):
        with pytest.raises(InputError, match=f"(There are no shards in|no such folder).*|{address}"):
            find_shards(address)
    with served(tmp_path / "empty") as server, pytest.raises(InputError, match=f"no shards in {server.address}"):
        find_shards(server.address)


def test_what_cannot_be_reached(server: Served, folder: Path) -> None:
    with pytest.raises(InputError, match=r"file:///nowhere/at/all: there is no such folder; check the address"):
        find_shards("file:///nowhere/at/all")
    with pytest.raises(InputError, match=r"none\.h5: there is no such shard; check the address"):
        Shard(f"{server.address}/none.h5").ids  # noqa: B018
    with pytest.raises(InputError, match=r"none: there is no such folder; check the address"):
        find_shards(f"{server.address}/none")
    for what in ("", "/shard-00000.h5"):  # nobody listens there
        with pytest.raises(InputError, match=r"http://127\.0\.0\.1:1.* cannot be reached \(.*; check the address"):
            Shard(*find_shards(f"http://127.0.0.1:1{what}")).ids  # noqa: B018


def test_packages_and_protocols_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"nonsense://x cannot be reached \(.*nonsense"):
        find_shards("nonsense://x")
    if importlib.util.find_spec("s3fs"):
        pytest.skip("s3fs is there")
    with pytest.raises(InputError, match=r"s3://bucket/corpus: a Python package .* is missing \(.*s3fs.*wav2uti\[s3\]"):
        find_shards("s3://bucket/corpus")


@pytest.mark.usefixtures("small_blocks")
def test_server_without_parts(folder: Path) -> None:
    with served(folder, ranges=False) as server:
        shard = Shard(f"{server.address}/shard-00000.h5")
        with pytest.raises(InputError, match=r"shard-00000\.h5 cannot be read \(.*range requests"):
            shard.recording("ann0")


def test_truncated(folder: Path) -> None:
    whole = (folder / "shard-00001.h5").read_bytes()
    for size in (len(whole) - 1000, len(whole) // 2, 100, 0):
        with fsspec.open(f"file://{folder}/cut.h5", "wb") as file:
            file.write(whole[:size])
        with pytest.raises(InputError, match=r"cut\.h5: .*(cut off|not an HDF5 file)"):
            Shard(f"file://{folder}/cut.h5").ids  # noqa: B018
        remote._seen.clear()


def test_truncated_over_http(server: Served, folder: Path) -> None:
    path = folder / "shard-00001.h5"
    os.truncate(path, path.stat().st_size - 1000)
    with pytest.raises(InputError, match=r"shard-00001\.h5: the shard is cut off"):
        Shard(f"{server.address}/shard-00001.h5").ids  # noqa: B018


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the bytes of a second read are not there from the first."""
    monkeypatch.setattr(remote, "BLOCK_BYTES", 512)
    monkeypatch.setattr(remote, "BLOCKS", 2)


@pytest.mark.usefixtures("small_blocks")
def test_changed_under_the_reader(server: Served, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that shrinks, that gets other bytes, and that is gone while it is open."""
    path = folder / "shard-00000.h5"
    shard = Shard(f"{server.address}/{path.name}")
    id = shard.ids[0]
    shard.frames(id, 0, 16)
    whole = path.read_bytes()
    os.truncate(path, 2000)
    with pytest.raises(
        InputError, match=r"shard-00000\.h5: the shard has changed since it was first opened; start again"
    ):
        shard.frames(id, 16, 32)
    path.write_bytes(whole + bytes(3000))  # what is read is as before: only a look at the file tells
    assert len(shard.frames(id, 16, 32)) == 16
    monkeypatch.setattr(remote, "LOOK_SECONDS", 0.0)
    with pytest.raises(InputError, match="the shard has changed since it was first opened"):
        shard.frames(id, 0, 16)
    path.unlink()
    with pytest.raises(InputError, match="no such shard"):
        shard.frames(id, 32, 48)


def test_a_worker_does_not_open_another_state(server: Served, folder: Path) -> None:
    """What the parent saw goes with the pickle, so that a process started later refuses what has been replaced."""
    shard = Shard(f"{server.address}/shard-00000.h5")
    shard.ids  # noqa: B018
    pickled = pickle.dumps(shard)
    shutil.copy(folder / "shard-00001.h5", folder / "shard-00000.h5")
    os.utime(folder / "shard-00000.h5", (0, 0))
    remote._seen.clear()  # as in a new process
    with pytest.raises(InputError, match="has changed since it was first opened"):
        pickle.loads(pickled).ids  # noqa: B018


@pytest.mark.usefixtures("small_blocks")
def test_a_failed_read_is_tried_again(server: Served) -> None:
    shard = Shard(f"{server.address}/shard-00000.h5")
    id = shard.ids[0]
    server.refuse = 2
    frames = shard.frames(id)
    assert server.refuse == 0
    np.testing.assert_array_equal(frames, make_recording(id, frames=48).frames)
    server.refuse = 100
    with pytest.raises(InputError, match=r"shard-00000\.h5 cannot be read \(503.*\); check the address, the network"):
        shard.frames(id)
    server.refuse = 0
    np.testing.assert_array_equal(shard.frames(id), frames)


def test_damaged_bytes_are_found(server: Served, folder: Path) -> None:
    path = folder / "shard-00000.h5"
    id = Shard(path).ids[0]
    data = bytearray(path.read_bytes())
    data[data.find(make_recording(id, frames=48).frames[20].tobytes()) + 50] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=rf"http://.*shard-00000\.h5: recording '{id}', frames is damaged .*checksum"):
        Shard(f"{server.address}/{path.name}").frames(id, 16, 32)


def test_reading_a_clip_fetches_little(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks, not the file; and nothing twice while it is kept."""
    monkeypatch.setattr(remote, "BLOCK_BYTES", 4096)
    shard = Shard(f"{server.address}/shard-00002.h5")
    id = shard.ids[0]
    shard.frames(id, 0, 16)
    parts, fetched = server.parts, server.bytes
    assert 0 < fetched < shard.nbytes
    shard.frames(id, 0, 16)
    assert (server.parts, server.bytes) == (parts, fetched)


class _Collecting(io.BytesIO):
    """Bytes that another thread fetches, as fsspec's does, while an object of h5py is garbage in a cycle."""

    def read(self, size: int | None = -1, /) -> bytes:
        if dataset := _garbage.pop() if _garbage else None:
            cycle: list[Any] = [dataset]
            cycle.append(cycle)
            del cycle, dataset
        thread = Thread(target=lambda: [[] for _ in range(5000)], daemon=True)  # enough for a collection
        thread.start()
        thread.join(5)
        stuck.append(thread.is_alive())
        return super().read(size)


_garbage: list[Any] = []
stuck: list[bool] = []


def test_a_collection_while_bytes_are_fetched_does_not_lock_up(folder: Path) -> None:
    path = folder / "shard-00000.h5"
    with h5py.File(path, "r") as other:
        _garbage.append(other["recordings/ann0/frames"])
        with h5py.File(remote.RemoteFile(Url("memory://x"), _Collecting(path.read_bytes())), "r") as file:
            assert "recordings" in file
    assert stuck
    assert not any(stuck)

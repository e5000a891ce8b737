"""What is kept in memory of a corpus has a bound, whatever the corpus holds."""

import gc
import pickle
import tracemalloc

import numpy as np
import pytest
import torch
from tiny_corpus import make_recording, write_corpus

from wav2uti.corpus.shards import RecordingInfo, Shard, find_shards, handles
from wav2uti.data import clips
from wav2uti.data.clips import ClipDataset, choose_references
from wav2uti.data.kept import Kept

TOKENS = 500  # 4 kB of text in each recording
BOUND = 20_000


@pytest.fixture(scope="module")
def infos(tmp_path_factory: pytest.TempPathFactory) -> list[RecordingInfo]:
    """60 recordings in 6 shards; every speaker has one, which must give its own reference, or two."""
    folder = tmp_path_factory.mktemp("corpus")
    names = [f"r{k:03d}" for k in range(60)]
    write_corpus(
        folder,
        (
            make_recording(name, name[:3] if k % 2 else name, frames=20, text="x" * TOKENS)
            for k, name in enumerate(names)
        ),
        max_bytes=70_000,
    )
    shards = [Shard(path) for path in find_shards(folder)]
    assert len(shards) > 5
    return [shard.info(id) for shard in shards for id in shard.ids]


def grown(data: ClipDataset) -> int:
    """Bytes that an epoch leaves behind beyond those of its first tenth."""
    epoch = [(k, start) for start in (0, 3) for k in range(len(data.recordings))]
    for place in epoch[:30]:
        data[place]
    gc.collect()
    tracemalloc.start()
    for place in epoch[30:]:
        data[place]
    gc.collect()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return size


def test_texts_and_references_are_kept_up_to_a_bound(
    infos: list[RecordingInfo], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All texts and references take 300 kB; an unbounded cache of either, or of open files or datasets, fails here."""
    monkeypatch.setattr(clips, "KEPT_BYTES", BOUND)
    monkeypatch.setattr(handles, "OPEN_SHARDS", 3)
    monkeypatch.setattr(handles, "OPEN_DATASETS", 8)
    data = ClipDataset(infos, 16, "frame-counter", "letters", choose_references(infos), 4)
    assert grown(data) < 4 * BOUND
    assert 0 < data._kept.nbytes <= BOUND
    files, datasets = handles.counts()
    assert files <= 3
    assert datasets <= 8


def test_recordings_of_closed_shards_are_read_again(
    infos: list[RecordingInfo], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handles, "OPEN_SHARDS", 2)
    data = ClipDataset(infos, 16, "frame-counter")
    for k in [0, 59, 30, 0, 15, 59, 0]:
        np.testing.assert_array_equal(data[k, 2].frames[0].numpy(), make_recording(infos[k].id, frames=20).frames[2:18])
    assert handles.counts()[0] == 2


def test_shard_that_is_gone_is_not_counted(infos: list[RecordingInfo]) -> None:
    before = handles.counts()
    shard = Shard(infos[0].shard)
    shard.frames(infos[0].id)
    assert handles.counts() == (before[0] + 1, before[1] + 1)
    del shard
    assert handles.counts() == before


def test_kept_counts_what_it_holds() -> None:
    kept = Kept(100)
    kept.put("view", (torch.zeros(20)[:1],))  # 80 bytes: a view keeps all of it
    kept.put("view", (torch.zeros(20),))
    assert kept.nbytes == 80
    kept.put("large", (torch.zeros(26),))
    assert kept.get("large") is None
    kept.put("pair", (torch.zeros(2), torch.zeros(3)))
    assert kept.nbytes == 100
    assert kept.get("view") is not None  # so that "pair" goes first
    kept.put("more", (torch.zeros(1),))
    assert kept.get("pair") is None
    assert kept.nbytes == 84
    again = pickle.loads(pickle.dumps(kept))
    assert (again.limit, again.nbytes, again.get("view")) == (100, 0, None)

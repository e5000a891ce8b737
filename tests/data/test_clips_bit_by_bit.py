"""Batches, from this process and from workers, are bit for bit what the slow and plain way makes of h5py's arrays."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from tiny_corpus import FrameCounter, Letters, arrays_of, make_recording
from torch.utils.data import DataLoader

from wav2uti.corpus.shards import RecordingInfo, Shard
from wav2uti.corpus.shards.writer import ShardWriter, attributes_of, describe_encoders
from wav2uti.data.batch import Clip, collate
from wav2uti.data.clips import ClipDataset, choose_references
from wav2uti.data.pictures import Pictures
from wav2uti.diffusion.cascade import shrink
from wav2uti.speech.timing import token_places

CLIP = 6
PLACES = [(0, 0), (1, 3), (2, 14), (3, 0), (0, 34), (4, 5), (1, 27), (3, 2), (2, 0), (0, 17), (1, 3)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """References from another recording, the rest of the own, a stored one; one text has times, one is empty."""
    rng = np.random.default_rng(0)
    recordings = [
        make_recording("a1", "ann", frames=40),
        make_recording("a2", "ann", frames=33),
        make_recording("b1", "bob", frames=20),
        make_recording("c1", "cem", frames=18, reference=rng.integers(0, 256, (12, 12), dtype=np.uint8)),
        make_recording("c2", "cem", frames=27, text=""),
    ]
    with ShardWriter(tmp_path / "shard-00000.h5", describe_encoders([FrameCounter()], [Letters()])) as writer:
        for recording in recordings:
            arrays = arrays_of(recording, [FrameCounter()], [Letters()])
            if recording.id == "a2":
                starts = np.sort(rng.random(len(recording.text)).astype(np.float32)) / 3
                arrays["times/letters"] = np.stack([starts, starts + np.float32(0.1)], axis=1)
            writer.add_arrays(recording.id, attributes_of(recording), arrays)
    return writer.path


def slowly(group: Any, infos: Sequence[RecordingInfo], place: tuple[int, int], step: int, size: int | None) -> Clip:
    """A clip without any shortcut: whole arrays from h5py, float frames, frame by frame in order."""
    info, start = infos[place[0]], place[1]
    stop = start + CLIP * step

    def unit(frames: np.ndarray) -> torch.Tensor:
        made = torch.from_numpy(np.ascontiguousarray(frames)).to(torch.float32).div(127.5).sub(1)
        return made if size is None else shrink(made, size)

    stored = group[info.id]
    heard = np.arange(start - 4 * step, stop + 4 * step, step)
    sound = stored["acoustic/frame-counter"][()].astype(np.float32)[heard.clip(0, info.frames - 1)]
    tokens = stored["text/letters"][()].astype(np.float32)
    times = stored["times/letters"][()] if "times" in stored else None
    other = choose_references(infos)[info.id]
    if other.id != info.id:
        chosen = [group[other.id]["frames"][()][[other.frames * k // 4]] for k in (1, 3)]
        reference = torch.cat([unit(frames) for frames in chosen]).mean(dim=0)
    elif "reference" in stored:
        reference = unit(stored["reference"][()][None])[0]
    else:
        frames = stored["frames"][()]
        mean = np.concatenate([frames[:start], frames[stop:]]).mean(axis=0, dtype=np.float32) / 127.5 - 1
        reference = torch.from_numpy(mean) if size is None else shrink(torch.from_numpy(mean)[None], size)[0]
    return Clip(
        id=info.id,
        frames=unit(stored["frames"][()][start:stop:step])[None],
        acoustic=torch.from_numpy(sound),
        progress=(torch.from_numpy(heard) + 0.5 * step).float() / info.frames,
        text=torch.from_numpy(tokens),
        text_places=torch.from_numpy(token_places(len(tokens), times, info.frames / 60)),
        reference=reference[None],
    )


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("step", "size"), [(1, None), (1, 6), (1, 5), (2, None), (2, 4)])
def test_batches_are_those_of_the_slow_way(path: Path, workers: int, step: int, size: int | None) -> None:
    shard = Shard(path)
    infos = [shard.info(id) for id in shard.ids]
    places = [(k, start) for k, start in PLACES if start + CLIP * step <= infos[k].frames]
    clips = ClipDataset(
        infos, CLIP, "frame-counter", "letters", choose_references(infos), 4, True, 2, False, Pictures(size, step)
    )
    loader = DataLoader[Any](clips, batch_size=4, sampler=places, collate_fn=collate, num_workers=workers)
    with h5py.File(path, "r") as file:
        slow = [slowly(file["recordings"], infos, place, step, size) for place in places]
    for _ in range(2):  # the second time with what was kept of the first
        count = 0
        for batch in loader:
            expected = collate(slow[count : count + len(batch["ids"])])
            assert type(batch) is dict
            assert set(batch) == set(expected)
            for name, value in expected.items():
                if isinstance(value, torch.Tensor):
                    assert batch[name].dtype == value.dtype, name
                    assert torch.equal(batch[name], value), name
                else:
                    assert batch[name] == value, name
            count += len(batch["ids"])
        assert count == len(places)


def test_batches_of_a_test_come_from_workers_whole(path: Path) -> None:
    shard = Shard(path)
    infos = [shard.info(id) for id in shard.ids]
    clips = ClipDataset(infos, CLIP, "frame-counter", known=True)
    alone, worker = (
        next(iter(DataLoader[Any](clips, 3, sampler=PLACES[:3], collate_fn=collate, num_workers=n))) for n in (0, 1)
    )
    assert worker["speakers"] == alone["speakers"] == ["ann", "ann", "bob"]
    assert torch.equal(worker["frames"], alone["frames"])
    assert worker["mm_per_pixel"].isnan().all()


def test_every_grey_value_is_converted_alike(path: Path) -> None:
    from wav2uti.data.transport import frames_to_unit
    from wav2uti.grey import to_unit

    grey = np.arange(256, dtype=np.uint8).reshape(1, 4, 8, 8)
    assert torch.equal(frames_to_unit(torch.from_numpy(grey)), to_unit(grey))

"""Clips a second of random 16-frame clips: wav2uti against bare h5py slices of the same arrays, in one run.

    python benchmarks/shard_reading.py --output benchmarks/results/shard_reading.json

Both go through a DataLoader with the same workers and the same `collate`. The bare reader opens the file and all its
datasets once in each process and slices what the clip needs, for every clip anew: frames, sound with its context,
tokens, reference frame; it converts them to float as wav2uti does and checks nothing that HDF5 does not check. Ways
alternate, so that a busy machine slows them alike; a ratio is the median of those of the repeats. Reads come from the
page cache: this measures the program, not the disk.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from noise_corpus import ACOUSTIC, TEXT, Shape, make_corpus
from outcome import publish
from torch.utils.data import DataLoader, Dataset, Sampler

from wav2uti.corpus.shards import RecordingInfo, Shard, handles
from wav2uti.data.batch import Clip, collate
from wav2uti.data.clips import ClipDataset, choose_references
from wav2uti.data.order import ClipIndex
from wav2uti.grey import to_unit

CLIP, CONTEXT = 16, 8
FRAMES, SOUND, WHOLE = "frames", "frames and sound", "frames, sound, text and reference"


class Bare(Dataset[Clip]):
    """Clips by h5py alone, of the parts that are asked for."""

    def __init__(self, infos: list[RecordingInfo], parts: str) -> None:
        self.infos, self.parts = infos, parts
        self.references = choose_references(infos)
        self.progress = torch.linspace(0, 1, CLIP + 2 * CONTEXT)
        self.places = torch.zeros(0)
        self.process, self.opened = 0, dict[str, tuple[Any, Any, Any]]()

    def __getitem__(self, index: ClipIndex) -> Clip:
        if self.process != os.getpid():
            file = h5py.File(self.infos[0].shard, "r")["recordings"]
            self.opened = {
                info.id: tuple(file[f"{info.id}/{name}"] for name in ("frames", f"acoustic/{ACOUSTIC}", f"text/{TEXT}"))
                for info in self.infos
            }
            self.process = os.getpid()
        recording, start = index
        info = self.infos[recording]
        frames, acoustic, text = self.opened[info.id]
        picture = torch.from_numpy(frames[start : start + CLIP])[None]
        if self.parts == FRAMES:
            return Clip(info.id, picture, self.progress, self.progress)
        first, last = start - CONTEXT, start + CLIP + CONTEXT
        sound = acoustic[max(first, 0) : min(last, info.frames)].astype(np.float32)
        if len(sound) < last - first:
            sound = sound[np.arange(first, last).clip(0, info.frames - 1) - max(first, 0)]
        if self.parts == SOUND:
            return Clip(info.id, picture, torch.from_numpy(sound), self.progress)
        tokens = torch.from_numpy(text[:].astype(np.float32))
        other = self.references[info.id]
        reference = to_unit(self.opened[other.id][0][other.frames // 2])[None]
        places = self.progress[: len(tokens)]
        return Clip(info.id, picture, torch.from_numpy(sound), self.progress, tokens, places, reference)


class OnlyFrames(Dataset[Clip]):
    """Clips of `Shard.frames` alone."""

    def __init__(self, infos: list[RecordingInfo]) -> None:
        self.infos, self.shard = infos, Shard(infos[0].shard)
        self.progress = torch.linspace(0, 1, CLIP + 2 * CONTEXT)

    def __getitem__(self, index: ClipIndex) -> Clip:
        recording, start = index
        info = self.infos[recording]
        frames = torch.from_numpy(self.shard.frames(info.id, start, start + CLIP))[None]
        return Clip(info.id, frames, self.progress, self.progress)


class Places(Sampler[ClipIndex]):
    """Clips that are drawn anew for each repeat."""

    def __init__(self) -> None:
        self.places: list[ClipIndex] = []

    def draw(self, rng: np.random.Generator, infos: list[RecordingInfo], clips: int) -> None:
        chosen = rng.integers(len(infos), size=clips)
        self.places = [(int(k), int(rng.integers(infos[k].frames - CLIP + 1))) for k in chosen]

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[ClipIndex]:
        return iter(self.places)


def ways_to_read(infos: list[RecordingInfo]) -> dict[str, dict[str, Dataset[Clip]]]:
    """For each choice of parts the bare reader, called "h5py", and those of wav2uti."""

    def dataset(text: str | None, kept: bool = True) -> ClipDataset:
        references = choose_references(infos) if text else None
        made = ClipDataset(infos, CLIP, ACOUSTIC, text, references, CONTEXT)
        made._kept.limit = made._kept.limit if kept else 0
        return made

    return {
        FRAMES: {"h5py": Bare(infos, FRAMES), "wav2uti": OnlyFrames(infos)},
        SOUND: {"h5py": Bare(infos, SOUND), "wav2uti": dataset(None)},
        WHOLE: {
            "h5py": Bare(infos, WHOLE),
            "wav2uti": dataset(TEXT),
            "wav2uti, nothing kept": dataset(TEXT, kept=False),
        },
    }


def rate(loader: DataLoader[Any], clips: int) -> float:
    start = time.perf_counter()
    for _ in loader:
        pass
    return clips / (time.perf_counter() - start)


def measure(infos: list[RecordingInfo], workers: int, clips: int, batch: int, repeats: int) -> dict[str, Any]:
    """Rates and ratios of all ways with so many workers."""
    rng, places = np.random.default_rng(1), Places()
    loaders = {
        (parts, way): DataLoader[Any](
            dataset,
            batch_size=batch,
            sampler=places,
            collate_fn=collate,
            num_workers=workers,
            persistent_workers=workers > 0,
        )
        for parts, ways in ways_to_read(infos).items()
        for way, dataset in ways.items()
    }
    rates: dict[tuple[str, str], list[float]] = {key: [] for key in loaders}
    for repeat in range(repeats + 1):  # the first one opens files and does not count
        places.draw(rng, infos, clips)
        for key, loader in loaders.items():
            got = rate(loader, clips)
            if repeat:
                rates[key].append(got)
    result: dict[str, Any] = {}
    for (parts, way), values in rates.items():
        about = result.setdefault(parts, {}).setdefault(way, {})
        about["clips_per_second"] = round(statistics.median(values))
        if way != "h5py":
            ratios = [value / bare for value, bare in zip(values, rates[parts, "h5py"], strict=True)]
            about["of_h5py"] = round(statistics.median(ratios), 2)
            about["between"] = [round(min(ratios), 2), round(max(ratios), 2)]
            print(f"{workers} workers, {parts}, {way}: {about}", flush=True)
    return result


def opening(infos: list[RecordingInfo], times: int = 200) -> dict[str, float]:
    """Milliseconds that a clip costs more where its shard, or its dataset alone, is opened for it."""
    shard = Shard(infos[0].shard)
    taken: dict[str, list[float]] = {"shard": [], "dataset": [], "": []}
    for k in range(times):
        info = infos[k % len(infos)]
        for what, close in (("shard", shard.close), ("dataset", lambda: handles.forget(id(shard))), ("", None)):
            if close is not None:
                close()
            if what == "dataset":
                handles.opened(shard)
            start = time.perf_counter()
            shard.frames(info.id, 3, 3 + CLIP)
            taken[what].append(time.perf_counter() - start)
    shard.close()
    bare = statistics.median(taken.pop(""))
    return {what: round(1000 * (statistics.median(values) - bare), 3) for what, values in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=int, default=Shape.recordings)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--clips", type=int, default=800, help="clips in each repeat")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--output", type=Path, help="JSON file for the result")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # as in a worker of a DataLoader
    shape = Shape(arguments.recordings)
    with tempfile.TemporaryDirectory() as folder:
        (path,) = make_corpus(Path(folder), shape)
        shard = Shard(path)
        infos = [shard.info(id) for id in shard.ids]
        shard.close()
        result = {
            "what": f"random clips of {CLIP} frames a second through a DataLoader, warm page cache",
            "workers": {
                str(workers): measure(infos, workers, arguments.clips, arguments.batch, arguments.repeats)
                for workers in arguments.workers
            },
            "opening_ms": opening(infos),
            "corpus": asdict(shape) | {"shard_megabytes": round(path.stat().st_size / 1e6, 1)},
            "clips": arguments.clips,
            "batch": arguments.batch,
            "repeats": arguments.repeats,
            "hdf5": f"h5py {h5py.version.version}, HDF5 {h5py.version.hdf5_version}",
        }
    publish(result, arguments.output)


if __name__ == "__main__":
    main()

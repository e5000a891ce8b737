"""Resident memory while an epoch of clips is read: at its beginning, middle and end, and after a second epoch.

    python benchmarks/reading_memory.py --output benchmarks/results/reading_memory.json

The corpus has more recordings than texts and references are kept of, and more shards than are kept open. The beginning
is after a twentieth of the first epoch.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from noise_corpus import ACOUSTIC, TEXT, Shape, make_corpus
from outcome import publish
from torch.utils.data import DataLoader

from wav2uti.corpus.shards import RecordingInfo, Shard, handles
from wav2uti.data import clips
from wav2uti.data.batch import collate
from wav2uti.data.clips import ClipDataset, choose_references
from wav2uti.data.order import ClipSampler

CLIP, BATCH = 16, 4


def resident() -> dict[str, float]:
    """Megabytes of this process, and of its workers together."""
    workers = [child.pid for child in multiprocessing.active_children()]
    return {"main": _megabytes(os.getpid()), "workers": round(sum(_megabytes(pid) for pid in workers if pid), 1)}


def _megabytes(process: int) -> float:
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return round(next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024, 1)


def measure(infos: list[RecordingInfo], workers: int) -> dict[str, Any]:
    """Memory during two epochs with so many workers."""
    sampler = ClipSampler(infos, CLIP, seed=0)
    loader = DataLoader[Any](
        ClipDataset(infos, CLIP, ACOUSTIC, TEXT, choose_references(infos), context=8),
        batch_size=BATCH,
        sampler=sampler,
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    marks = {len(loader) // 20: "beginning", len(loader) // 2: "middle", len(loader): "end"}
    told: dict[str, Any] = {}
    start = time.perf_counter()
    for count, _ in enumerate(loader, 1):
        if count in marks:
            told[marks[count]] = resident()
    told["clips_per_second"] = round(len(sampler) / (time.perf_counter() - start))
    sampler.set_epoch(1)
    for _ in loader:
        pass
    told["end of the second epoch"] = resident()
    print(f"{workers} workers: {told}", flush=True)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=int, default=800)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--shards", type=int, default=80)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--output", type=Path, help="JSON file for the result")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    shape = Shape(arguments.recordings, arguments.frames)
    with tempfile.TemporaryDirectory() as folder:
        paths = make_corpus(Path(folder), shape, arguments.shards)
        shards = [Shard(path) for path in paths]
        infos = [shard.info(id) for shard in shards for id in shard.ids]
        for shard in shards:
            shard.close()
        result = {
            "what": "resident memory (MB) while clips are read",
            "workers": {str(workers): measure(infos, workers) for workers in arguments.workers},
            "clips": len(ClipSampler(infos, CLIP, seed=0)),
            "corpus": asdict(shape)
            | {"shards": arguments.shards, "MB": round(sum(p.stat().st_size for p in paths) / 1e6)},
            "bounds": {
                "kept_MB": clips.KEPT_BYTES / 2**20,
                "open_shards": handles.OPEN_SHARDS,
                "open_datasets": handles.OPEN_DATASETS,
            },
        }
    publish(result, arguments.output)


if __name__ == "__main__":
    main()

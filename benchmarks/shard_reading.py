"""Clips a second of random 16-frame clips: the clip data set against bare h5py slices of the same shard, in one run.

    python benchmarks/shard_reading.py --output benchmarks/results/shard_reading.json

It makes its own corpus of noise in a temporary folder. The bare reader opens the file and all its datasets once and
slices the frames of the clip, nothing else; the data set converts to float and adds the embeddings of sound and text.
Reads come from the page cache: this measures the program, not the disk.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from outcome import publish

from wav2uti.clock import samples_at
from wav2uti.corpus.recording import Recording
from wav2uti.corpus.shard_writer import ShardWriter, attributes_of, describe_encoders, to_half, to_int16
from wav2uti.corpus.shards import Shard
from wav2uti.data.clips import ClipDataset, choose_references
from wav2uti.speech.acoustic import LogMel
from wav2uti.speech.textual import CharacterCodes

CLIP = 16


def make_corpus(out: Path, recordings: int, frames: int, size: int) -> Path:
    """One shard of recordings of noise."""
    rng = np.random.default_rng(0)
    acoustic, text = LogMel(), CharacterCodes()

    def made(k: int) -> Recording:
        return Recording(
            id=f"r{k:04d}",
            frames=rng.integers(0, 256, (frames, size, size), dtype=np.uint8),
            audio=rng.uniform(-0.5, 0.5, samples_at(frames)).astype(np.float32),
            speaker=f"s{k % 8}",
            text="a sentence of ordinary length",
            source="noise",
        )

    with ShardWriter(out / "shard-00000.h5", describe_encoders([acoustic], [text])) as writer:
        for recording in map(made, range(recordings)):
            heard, read = acoustic.encode(recording.audio, frames), text.encode(recording.text)
            arrays: dict[str, NDArray[Any]] = {
                "frames": recording.frames,
                "audio": to_int16(recording.audio),
                f"acoustic/{acoustic.name}": to_half(heard, acoustic.name, (frames, acoustic.width), recording.id),
                f"text/{text.name}": to_half(read, text.name, (len(read), text.width), recording.id),
            }
            writer.add_arrays(recording.id, attributes_of(recording), arrays)
    return writer.path


def clips_per_second(read: Callable[[str, int], Any], places: list[tuple[str, int]]) -> float:
    start = time.perf_counter()
    for id, first in places:
        read(id, first)
    return len(places) / (time.perf_counter() - start)


def measure(path: Path, clips: int, repeats: int) -> dict[str, float]:
    """Median rate of each way of reading; the ways alternate, so that a busy machine slows them alike."""
    shard = Shard(path)
    infos = [shard.info(id) for id in shard.ids]
    place = {info.id: k for k, info in enumerate(infos)}
    acoustic, text = LogMel().name, CharacterCodes().name
    file = h5py.File(path, "r")
    opened = {info.id: file["recordings"][info.id]["frames"] for info in infos}
    frames_only = ClipDataset(infos, CLIP, acoustic)
    everything = ClipDataset(infos, CLIP, acoustic, text, choose_references(infos))
    ways: dict[str, Callable[[str, int], Any]] = {
        "h5py frames": lambda id, first: opened[id][first : first + CLIP],
        "h5py frames, dataset opened for each clip": lambda id, first: file["recordings"][id]["frames"][
            first : first + CLIP
        ],
        "Shard frames": lambda id, first: shard.frames(id, first, first + CLIP),
        "ClipDataset frames and sound": lambda id, first: frames_only[place[id], first],
        "ClipDataset frames, sound, text and reference": lambda id, first: everything[place[id], first],
    }
    rng = np.random.default_rng(1)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        places = [
            (info.id, int(rng.integers(info.frames - CLIP + 1)))
            for info in (infos[k] for k in rng.integers(len(infos), size=clips))
        ]
        for name, read in ways.items():
            rates[name].append(clips_per_second(read, places))
    file.close()
    return {name: round(statistics.median(values), 1) for name, values in rates.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=int, default=200)
    parser.add_argument("--frames", type=int, default=300, help="frames in a recording (300 are 5 s)")
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--clips", type=int, default=1000, help="clips in each repeat")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, help="JSON file for the result")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # as in a worker of a DataLoader
    with tempfile.TemporaryDirectory() as folder:
        path = make_corpus(Path(folder), arguments.recordings, arguments.frames, arguments.size)
        megabytes = path.stat().st_size / 1e6
        rates = measure(path, arguments.clips, arguments.repeats)
    bare = rates["h5py frames"]
    for name, rate in rates.items():
        print(f"{rate:8.0f} clips/s  {rate / bare:5.2f} of h5py  {name}")
    result = {
        "what": "random 16-frame clips a second, 0 workers, warm page cache",
        "clips_per_second": rates,
        "ratio_to_h5py": {name: round(rate / bare, 3) for name, rate in rates.items()},
        "corpus": {
            "recordings": arguments.recordings,
            "frames": arguments.frames,
            "size": arguments.size,
            "shard_megabytes": round(megabytes, 1),
        },
        "repeats": arguments.repeats,
        "clips": arguments.clips,
        "hdf5": f"h5py {h5py.version.version}, HDF5 {h5py.version.hdf5_version}",
    }
    publish(result, arguments.output)


if __name__ == "__main__":
    main()

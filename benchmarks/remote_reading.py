"""Clips a second from a local path, the same file by file://, and by http:// from a server on this machine.

    python benchmarks/remote_reading.py --output benchmarks/results/remote_reading.json

The server is Python's, of the tests, in a process of its own: no network, but its time is in the figure.
"""

import argparse
import multiprocessing
import statistics
import sys
import tempfile
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from noise_corpus import ACOUSTIC, TEXT, Shape, make_corpus
from outcome import publish
from shard_reading import CLIP, CONTEXT, Places, rate
from torch.utils.data import DataLoader

from wav2uti.corpus.shards import Shard, remote
from wav2uti.data.batch import collate
from wav2uti.data.clips import ClipDataset, choose_references

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "corpus"))
from http_folder import served


def serve(folder: Path, pipe: Connection) -> None:
    """Serve until the other end of the pipe says so."""
    with served(folder) as server:
        pipe.send(server.address)
        pipe.recv()


def measure(addresses: dict[str, str], clips: int, repeats: int) -> dict[str, Any]:
    rng, places = np.random.default_rng(1), Places()
    loaders, local = {}, []
    for name, address in addresses.items():
        shard = Shard(address)
        infos = [shard.info(id) for id in shard.ids]
        local = local or infos
        dataset = ClipDataset(infos, CLIP, ACOUSTIC, TEXT, choose_references(infos), CONTEXT)
        loaders[name] = DataLoader[Any](dataset, batch_size=4, sampler=places, collate_fn=collate)
    rates: dict[str, list[float]] = {name: [] for name in loaders}
    for repeat in range(repeats + 1):  # the first one opens files and fills what is kept
        places.draw(rng, local, clips)
        for name, loader in loaders.items():
            got = rate(loader, clips)
            if repeat:
                rates[name].append(got)
    return {
        name: {
            "clips_per_second": round(statistics.median(values)),
            "of_local": round(statistics.median(a / b for a, b in zip(values, rates["path"], strict=True)), 2),
        }
        for name, values in rates.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=int, default=100)
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, help="JSON file for the result")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    shape = Shape(arguments.recordings)
    with tempfile.TemporaryDirectory() as folder:
        (path,) = make_corpus(Path(folder), shape)
        here, there = multiprocessing.Pipe()
        server = multiprocessing.get_context("fork").Process(target=serve, args=(Path(folder), there))
        server.start()
        addresses = {"path": str(path), "file://": f"file://{path}", "http://127.0.0.1": f"{here.recv()}/{path.name}"}
        try:
            ways = measure(addresses, arguments.clips, arguments.repeats)
        finally:
            here.send(None)
            server.join()
        result = {
            "what": "random whole clips of 16 frames a second (frames, sound, text, reference), 0 workers",
            "ways": ways,
            "block_bytes": remote.BLOCK_BYTES,
            "blocks": remote.BLOCKS,
            "corpus": asdict(shape),
            "clips": arguments.clips,
            "repeats": arguments.repeats,
        }
    publish(result, arguments.output)


if __name__ == "__main__":
    main()

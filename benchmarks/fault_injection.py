"""Faults injected into shards, checkpoints and configs: what is found, what changes nothing, and what goes unnoticed.

    python benchmarks/fault_injection.py --output benchmarks/results/fault_injection.json

Makes a small SIMULATED corpus and a model of two steps, then disturbs copies of them, one fault at a time, and reads
them in child processes. Outcomes: "detected" (one sentence that names the file), "survived" (everything read is equal,
or for a config: it is valid and does what it says), "silent", "traceback", "crash" and "hang", of which there may be
none. Every shard is read by the reader and by `wav2uti verify`, which must agree.

"blind_words" are 16 zero bits turned into ones or the other way round, which Fletcher-32, HDF5's checksum of data,
takes for the same: reading cannot find them, `wav2uti verify` must. "version_1" is a shard of the schema before, for
comparison.
"""

import argparse
import contextlib
import gc
import json
import multiprocessing
import random
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from faults import checkpoints, configs, shards
from faults.outcomes import Tally
from outcome import publish

from wav2uti.cli import main as wav2uti
from wav2uti.clock import samples_at
from wav2uti.corpus.shards.attributes import read_attributes
from wav2uti.corpus.shards.contents import dataset_names
from wav2uti.corpus.shards.writer import ShardWriter
from wav2uti.prepare.commands import simulate

PARTS = ("shards", "checkpoints", "configs")
REPOSITORY = Path(__file__).resolve().parents[1]
VERSION_1 = REPOSITORY / "tests" / "corpus" / "version_1.h5"


def make_corpus(folder: Path) -> Path:
    """Simulated recordings of three speakers, 16x16."""
    simulate(folder, speakers=3, utterances=1, size=16, workers=1)
    (path,) = folder.glob("*.h5")
    return path


def make_short(whole: Path, path: Path, frames: int = 20) -> Path:
    """The first frames of two recordings of a shard, with all that belongs to them: many faults take little time."""
    with h5py.File(whole, "r") as file:
        encoders = json.loads(str(read_attributes(file, True)["encoders"]))
        with ShardWriter(path, encoders, {"command": "fault injection"}) as writer:
            for id in list(file["recordings"])[:2]:
                group = file["recordings"][id]
                rows = {"audio": samples_at(frames)}
                by_frame = ("frames", "contour", *(f"acoustic/{name}" for name in encoders["acoustic"]))
                rows |= dict.fromkeys(by_frame, frames)
                arrays = {name: np.array(group[name][: rows.get(name)]) for name in dataset_names(group)}
                writer.add_arrays(id, read_attributes(group, True), arrays)
    return path


def make_checkpoint(corpus: Path, folder: Path) -> Path:
    """What `fit` leaves of configs/debug.yaml after two steps."""
    options = {
        "config": REPOSITORY / "configs" / "debug.yaml",
        "data.shards": corpus,
        "trainer.logger.init_args.save_dir": folder,
        "trainer.max_steps": 2,
        "trainer.enable_progress_bar": "false",
        "trainer.enable_model_summary": "false",
        "model.init_args.net.init_args.channels": 8,
    }
    if wav2uti(["fit", *(f"--{name}={value}" for name, value in options.items())]) != 0:
        raise RuntimeError("the training failed")
    (path,) = folder.rglob("last.ckpt")
    return path


def inject(part: str, count: int, seed: int) -> dict[str, dict[str, Any]]:
    """All faults of one kind of file, `count` of each kind of random ones; its reports."""
    torch.set_num_threads(1)
    rng = random.Random(f"{seed} {part}")
    tallies = {name: Tally() for name in (part, *(("blind_words", "version_1") if part == "shards" else ()))}
    with tempfile.TemporaryDirectory() as made, contextlib.chdir(made):
        folder, work = Path(made), Path(made) / "work"
        work.mkdir()
        corpus = make_corpus(folder / "corpus")
        gc.freeze()  # what is there already need not be copied for each child
        if part == "shards":
            shard = make_short(corpus, folder / "short" / "shard-00000.h5")
            shards.inject_losses(shard, work, count // 2, rng, tallies[part])
            shards.inject_bytes(shard, work, count, rng, tallies[part])
            shards.inject_metadata(shard, work, 2 * count, rng, tallies[part])
            shards.inject_blind_words(shard, work, count, rng, tallies["blind_words"])
            shards.inject_metadata(VERSION_1, work, count // 2, rng, tallies["version_1"])
        elif part == "checkpoints":
            checkpoint = make_checkpoint(corpus.parent, folder / "runs")
            checkpoints.inject_bytes(checkpoint, work, count // 5, rng, tallies[part])
            checkpoints.inject_headers(checkpoint, work, count // 5, rng, tallies[part])
        else:
            configs.inject(corpus.parent, work, max(count // 20, 1), rng, tallies[part])
    return {name: tally.report() for name, tally in tallies.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--count", type=int, default=170, help="shards of each random fault; checkpoints a fifth, configs a twentieth"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--output", type=Path, help="JSON file for the result")
    arguments = parser.parse_args()
    begun = time.monotonic()
    found: dict[str, dict[str, Any]] = {}
    with ProcessPoolExecutor(len(arguments.only), multiprocessing.get_context("spawn")) as pool:
        for reports in pool.map(partial(inject, count=arguments.count, seed=arguments.seed), arguments.only):
            found |= reports
    result = {
        "what": "faults injected into a small simulated corpus, a checkpoint and configs: outcomes by kind",
        "injections": sum(part["injections"] for part in found.values()),
        **found,
        "seed": arguments.seed,
        "count": arguments.count,
        "minutes": round((time.monotonic() - begun) / 60, 1),
    }
    publish(result, arguments.output)


if __name__ == "__main__":
    main()

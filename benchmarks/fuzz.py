"""Broken files for every reader of bytes from outside: is each read, or refused by one sentence, in time and in bounds?

    python benchmarks/fuzz.py --minutes 30 --output benchmarks/results/fuzz.json

What is broken, and how, is in tests/broken_files.py and tests/outside_readers.py, and what is asked: no other exception
than the sentence, at most 2 s of work, 1 GB of memory, no file outside of its folder. The readers take turns, each in a
process of its own with other seeds, so that one that crashes or hangs is told and the rest go on. The first input of
each kind of failure is kept in --failures.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import pickle
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from outcome import publish

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "corpus")]

import broken_files  # noqa: E402
import outside_readers  # noqa: E402
import test_properties_of_formats as texts  # noqa: E402

READERS: dict[str, tuple[Callable[[Path, Any], object], Any]] = {**texts.FORMATS, **outside_readers.OUTSIDE}
PATIENCE = 120.0  # s beyond its turn after which a process is ended
WEIGHTS = {"wav": 2.0, "recording": 2.0}  # of the time; the others have 1


def turn(kind: str, seconds: float, seed: int, folder: Path) -> None:
    """Read broken files until the time is over; writes counts, and what went wrong, into the folder."""
    read, strategy = READERS[kind]
    inner = folder / "work" / "in"
    inner.mkdir(parents=True)
    (folder / "here").mkdir()
    os.chdir(folder / "here")
    counts: dict[str, int] = {}
    failures: list[dict[str, Any]] = []
    until = time.monotonic() + seconds
    last = folder / "last.pickle"

    def watched(place: Path, content: Any) -> None:
        last.write_bytes(pickle.dumps(content))  # what a crash leaves behind
        read(place, content)

    while time.monotonic() < until:
        try:
            broken_files.check(watched, strategy, inner, 200, seed, outside_readers.REFUSALS, counts)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "wav2uti/" in frame.filename]
            place = ours[-1] if ours else where
            failures.append(
                {
                    "error": f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}",
                    "at": f"{Path(place.filename).name}:{place.name}",
                    "input": last.name,
                    "content": pickle.loads(last.read_bytes()),
                }
            )
            counts["failed"] = counts.get("failed", 0) + 1
        seed += 1
        (folder / "result.pickle").write_bytes(pickle.dumps((counts, failures)))


def run_turn(kind: str, seconds: float, seed: int) -> tuple[Counter[str], list[dict[str, Any]]]:
    """A turn in a process of its own."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        process = multiprocessing.get_context("fork").Process(target=turn, args=(kind, seconds, seed, folder))
        process.start()
        process.join(seconds + PATIENCE)
        hung = process.is_alive()
        if hung:
            process.kill()
            process.join()
        result = folder / "result.pickle"
        counts, failures = pickle.loads(result.read_bytes()) if result.exists() else ({}, [])
        if hung or process.exitcode:
            what = "hung" if hung else f"the process ended with {process.exitcode}"
            last = folder / "last.pickle"
            content = pickle.loads(last.read_bytes()) if last.exists() else None
            failures.append({"error": what, "at": kind, "content": content})
            counts["crashed"] = counts.get("crashed", 0) + 1
        return Counter(counts), failures


def main() -> None:
    """Turns of all readers until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="time of all readers together")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each reader")
    parser.add_argument("--only", nargs="*", help="names of readers")
    parser.add_argument("--seed", type=int, help="of the first turn; by default another each time")
    parser.add_argument("--failures", type=Path, help="folder for the inputs that went wrong")
    parser.add_argument("--output", type=Path, help="JSON file for the result")
    args = parser.parse_args()
    seed = random.randrange(2**31) if args.seed is None else args.seed
    kinds = args.only or list(READERS)
    if unknown := set(kinds) - set(READERS):
        parser.error(f"no reader {', '.join(unknown)}; there are {', '.join(READERS)}")
    share = args.minutes * 60 / args.rounds / sum(WEIGHTS.get(kind, 1.0) for kind in kinds)
    outside_readers.model_files()  # imports what every process needs, once
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in kinds}
    failures: dict[str, dict[str, Any]] = {}
    for round_ in range(args.rounds):
        for number, kind in enumerate(kinds):
            first = seed + (round_ * len(kinds) + number) * 1_000_000
            found, wrong = run_turn(kind, share * WEIGHTS.get(kind, 1.0), first)
            counts[kind] += found
            for failure in wrong:
                content = failure.pop("content")
                key = f"{kind}: {failure['error'].split(':')[0]} at {failure['at']}"
                if key not in failures:
                    failures[key] = {"reader": kind, "error": failure["error"], "at": failure["at"]}
                    print(f"{key}: {failure['error']}", file=sys.stderr, flush=True)
                    keep(args.failures, kind, content)
    total = sum(counts.values(), Counter())
    publish(
        {
            "what": "broken files for every reader of bytes from outside",
            "minutes": args.minutes,
            "seed": seed,
            "inputs": total.total(),
            "outcomes": dict(total),
            "by_reader": {kind: {"inputs": found.total(), **found} for kind, found in counts.items()},
            "failures": list(failures.values()),
            "mended": json.loads((TESTS / "mended.json").read_text(encoding="utf-8")),
        },
        args.output,
    )


def keep(folder: Path | None, kind: str, content: Any) -> None:
    """Store an input that went wrong under a name made of it."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        stored = pickle.dumps(content)
        name = f"{kind.replace(' ', '_').replace(',', '')}-{hashlib.sha256(stored).hexdigest()[:8]}.pickle"
        (folder / name).write_bytes(stored)


if __name__ == "__main__":
    main()

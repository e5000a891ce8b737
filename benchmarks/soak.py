"""Does a training that is killed again and again end with the very weights of one that is not?

    python benchmarks/soak.py

trains configs/debug.yaml on a small SIMULATED corpus through the command line, with gradients added over two batches,
dropout, averaged weights, a learning rate schedule and validation in between: once undisturbed, and once killed at
random moments and started again with the same command, `--ckpt_path last`. Most ends are SIGKILL; some are SIGTERM, as
a scheduler sends it, and after some the newest checkpoint is cut off or a byte of it is changed, as after a power cut.
In the end every tensor of both last checkpoints (weights, average, optimizer, schedule) and every row of both logs are
compared, to the bit. The row of a validation may be missing where the end came between a checkpoint and the validation
of the same step, which is not made up for; such rows are counted.
"""

import argparse
import csv
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from outcome import publish

from wav2uti.prepare.commands import simulate

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "debug.yaml"
CLOCKS = ("train/data_wait", "train/clips_per_second")  # of the log: they tell of the machine
ENDS = {"SIGKILL": 0.7, "SIGKILL, then the newest checkpoint cut off": 0.1,
        "SIGKILL, then a byte of it changed": 0.1, "SIGTERM": 0.1}  # fmt: skip


def command(corpus: Path, runs: Path, steps: int) -> list[str]:
    """The training, begun or gone on with."""
    options: dict[str, Any] = {
        "data.shards": corpus,
        "data.num_workers": 0,
        "trainer.logger.init_args.save_dir": runs,
        "trainer.logger.init_args.version": "run",
        "trainer.max_steps": steps,
        "trainer.accumulate_grad_batches": 2,
        "trainer.log_every_n_steps": 1,
        "trainer.val_check_interval": 25,
        "trainer.check_val_every_n_epoch": "null",
        "trainer.limit_val_batches": 2,
        "trainer.enable_progress_bar": "false",
        "trainer.enable_model_summary": "false",
        "model.init_args.fusion.init_args.dropout": 0.1,
        "model.init_args.lr_scheduler": "OneCycleLR",
        "model.init_args.lr_scheduler.init_args.max_lr": 1e-3,
        "model.init_args.lr_scheduler.init_args.total_steps": steps,
        "ckpt_path": "last",
    }
    saving = (
        '--trainer.callbacks=[{"class_path": "Watch"}, {"class_path": "Average", "init_args": {"decay": 0.9}}, '
        '{"class_path": "Checkpointing", "init_args": {"filename": "step-{step}", "auto_insert_metric_name": false, '
        '"every_n_train_steps": 5, "save_last": true, "enable_version_counter": false}}]'
    )
    program = [sys.executable, "-m", "wav2uti.cli", "fit", "--config", str(CONFIG), saving]
    return [*program, *(f"--{name}={value}" for name, value in options.items())]


def train(corpus: Path, runs: Path, steps: int) -> None:
    """To the end."""
    done = subprocess.run(command(corpus, runs, steps), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the training failed: {done.stderr[-2000:]}")


def disturb(corpus: Path, runs: Path, steps: int, kills: int, rng: random.Random) -> tuple[Counter[str], list[str]]:
    """Train with interruptions; how each ended, and what was said of checkpoints passed over."""
    ends: Counter[str] = Counter()
    said: list[str] = []
    folder = runs / "debug" / "run" / "checkpoints"
    while sum(ends.values()) < kills:
        before = written(folder)
        process = subprocess.Popen(
            command(corpus, runs, steps), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        # One in six is killed on its way to the first step; the others once they have saved anew.
        early = rng.random() < 1 / 6
        while not early and process.poll() is None and written(folder) == before:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 9 if early else 1.5))
        if process.poll() is not None:
            _, errors = process.communicate()
            raise SystemExit(f"the training ended after {sum(ends.values())} kills: {errors[-2000:]}")
        how = rng.choices([*ENDS], [*ENDS.values()])[0]
        process.send_signal(signal.SIGTERM if how == "SIGTERM" else signal.SIGKILL)
        _, errors = process.communicate(timeout=120)
        said += [line for line in errors.splitlines() if "passed over" in line]
        newest = max(folder.glob("step-*.ckpt"), key=lambda path: path.stat().st_mtime, default=None)
        if newest is None or written(folder) == before:
            how = how.partition(",")[0]  # a power cut harms what was written lately
        elif how.startswith("SIGKILL, then"):
            damage(newest, "cut off" in how, rng)
        ends[how] += 1
        print(f"{sum(ends.values()):3d} {how}: {newest.name if newest else 'nothing saved yet'}", flush=True)
    train(corpus, runs, steps)
    return ends, said


def written(folder: Path) -> int:
    """When the newest checkpoint was written, in ns."""
    return max((path.stat().st_mtime_ns for path in folder.glob("step-*.ckpt")), default=0)


def damage(path: Path, cut: bool, rng: random.Random) -> None:
    """What a power cut or a bad disk does; `last.ckpt` is the same file."""
    data = bytearray(path.read_bytes())
    place = rng.randrange(len(data))
    if cut:
        data = data[:place]
    else:
        data[place] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def tensors(value: Any, name: str = "") -> dict[str, Any]:
    """Everything in a checkpoint by its path in it."""
    if isinstance(value, dict):
        return {k: v for key, item in value.items() for k, v in tensors(item, f"{name}/{key}").items()}
    if isinstance(value, list | tuple):
        return {k: v for i, item in enumerate(value) for k, v in tensors(item, f"{name}/{i}").items()}
    return {name: value}


def differing(one: Path, other: Path) -> tuple[int, list[str]]:
    """How much of two last checkpoints was compared, and what of it differs."""
    parts = ("state_dict", "current_model_state", "optimizer_states", "lr_schedulers", "global_step", "averaging_state")
    first, second = (
        tensors({part: torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)[part] for part in parts})
        for run in (one, other)
    )
    different = [
        name
        for name in first.keys() | second.keys()
        if name not in first
        or name not in second
        or not (torch.equal(first[name], second[name]) if torch.is_tensor(first[name]) else first[name] == second[name])
    ]
    return len(first), sorted(different)


def log(run: Path) -> dict[tuple[str, bool], dict[str, str]]:
    """The rows of a run's log by step and by whether they are of validation, without its clocks."""
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = [{k: v for k, v in row.items() if v and k not in CLOCKS} for row in csv.DictReader(file)]
    return {(row["step"], "val/loss" in row): row for row in rows}


def main() -> None:
    """Train twice, compare, and write the result; exit status 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="JSON file for the result")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus = folder / "corpus"
        simulate(corpus, speakers=3, utterances=2, size=16, workers=1)
        train(corpus, folder / "undisturbed", args.steps)
        ends, said = disturb(corpus, folder / "disturbed", args.steps, args.kills, random.Random(args.seed))
        runs = [folder / kind / "debug" / "run" for kind in ("undisturbed", "disturbed")]
        compared, different = differing(*runs)
        curves = [log(run) for run in runs]
    missing = [row for row in curves[0] if row not in curves[1]]
    wrong = [row for row in curves[1] if curves[0].get(row) != curves[1][row]]
    wrong += [(step, validation) for step, validation in missing if not validation]
    result = {
        "what": "a training killed at random moments and started again, against one undisturbed (SIMULATED, 16x16)",
        "steps": args.steps,
        "ends": dict(ends),
        "checkpoints passed over as broken": len(said),
        "values of the last checkpoints compared": compared,
        "of them differ": different,
        "rows of the logs compared": len(curves[0]),
        "rows that differ": wrong,
        "validations missing": len(missing),
    }
    publish(result, args.output)
    for key in wrong[:2]:
        print(*(curve.get(key) for curve in curves), sep="\n")
    if different or wrong:
        raise SystemExit("the disturbed training is not the undisturbed one")


if __name__ == "__main__":
    main()

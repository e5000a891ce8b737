"""Does training in bf16-mixed follow training in float32?

    wav2uti simulate data/debug --speakers 3 --utterances 2 --size 32
    python benchmarks/half_precision.py

trains configs/debug.yaml twice from the same seed, at the paper's learning rate with its gradient norm clipped, and
compares the losses, each the mean over 200 steps: single steps differ by the noise level that was drawn, which is the
same in both. A loss that is not finite counts.
"""

import argparse
import csv
import math
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from outcome import publish

BLOCK = 200  # steps whose losses are averaged


def losses(precision: str, args: argparse.Namespace, folder: Path) -> list[float]:
    """Training loss of every step."""
    options = {
        "trainer.precision": precision,
        "trainer.max_steps": args.steps,
        "trainer.log_every_n_steps": 1,
        "trainer.enable_progress_bar": "false",
        "trainer.limit_val_batches": 0,
        "trainer.logger.init_args.save_dir": folder,
        "trainer.logger.init_args.version": precision,
        "model.init_args.optimizer.init_args.lr": args.lr,
        "data.shards": args.shards,
    }
    command = [sys.executable, "-m", "wav2uti.cli", "fit", "--config", str(args.config)]
    subprocess.run(
        [*command, *(f"--{name}={value}" for name, value in options.items())], check=True, capture_output=True
    )
    (log,) = folder.rglob(f"{precision}/metrics.csv")
    with log.open(newline="") as file:
        return [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]


def main() -> None:
    """Train twice, print, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("configs/debug.yaml"))
    parser.add_argument("--shards", default="data/debug")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/half_precision.json"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        curves = {precision: losses(precision, args, Path(folder)) for precision in ("32-true", "bf16-mixed")}
    blocks = {
        precision: [statistics.fmean(curve[i : i + BLOCK]) for i in range(0, len(curve) - BLOCK + 1, BLOCK)]
        for precision, curve in curves.items()
    }
    ratios = [half / full for half, full in zip(blocks["bf16-mixed"], blocks["32-true"], strict=True)]
    publish(
        {
            "what": f"training losses in bf16-mixed over those in float32, means over {BLOCK} steps",
            "data": "SIMULATED",
            "config": str(args.config),
            "steps": args.steps,
            "learning_rate": args.lr,
            "not_finite": {p: sum(not math.isfinite(loss) for loss in curve) for p, curve in curves.items()},
            "largest_difference_percent": round(100 * max(abs(ratio - 1) for ratio in ratios), 3),
            "ratios": [round(ratio, 5) for ratio in ratios],
            "losses": {precision: [round(loss, 5) for loss in block] for precision, block in blocks.items()},
        },
        args.output,
    )


if __name__ == "__main__":
    main()

"""How time and memory of the U-Net grow with the number of frames and with their size.

    python benchmarks/growth.py --output benchmarks/results/growth.json

A small network (32 channels, two levels, one block a level), one clip. Against frames, at 32x32: in one call, and in
windows of 16 frames stacked in the batch, as the sampler treats long recordings. Against size: 16 frames at once.
"call" is one call of the network without gradients, "step" a training step (forward, backward, Adam).

"seconds" are medians of the clock's, "cpu_seconds" of the processor's, which other work on the machine hardly moves.
"memory_mb" is the growth of the greatest resident size (ru_maxrss) of a process of its own over what it was after a
step at the line's smallest frames of 8x8. "exponents" are the slopes of log(seconds), log(cpu_seconds) and
log(memory) against log(frames) or log(side) by least squares: 1 is proportional; pixels grow by an exponent of 2.
"""

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from outcome import publish

from wav2uti.condition.condition import Condition
from wav2uti.diffusion.unet import UNet

FRAMES = (8, 16, 32, 64, 128, 256)
SIZES = (32, 48, 64, 96, 112)
WINDOW = 16
COND = 64
FIGURES = ("seconds", "cpu_seconds", "memory_mb")


def peak_mb() -> float:
    """The greatest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(clips: int, frames: int, size: int, threads: int, repeats: int) -> dict[str, dict[str, float]]:
    """Seconds and memory of one call and of one training step, of `clips` clips of `frames` frames."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net = UNet(COND, channels=32, multipliers=(1, 2), blocks=1)
    optimizer = torch.optim.Adam(net.parameters(), lr=1.0e-5, fused=True)

    def forward(side: int) -> torch.Tensor:
        shape = (clips, 1, frames, side, side)
        out: torch.Tensor = net(torch.randn(shape), torch.zeros(clips), Condition(torch.zeros(clips, frames, COND)))
        return out

    def call(side: int) -> None:
        with torch.no_grad():
            forward(side)

    def step(side: int) -> None:
        optimizer.zero_grad()
        forward(side).square().mean().backward()
        optimizer.step()

    def timed(work: Callable[[int], None]) -> dict[str, float]:
        clock, processor = [], []
        for _ in range(repeats):
            start = time.perf_counter(), time.process_time()
            work(size)
            clock.append(time.perf_counter() - start[0])
            processor.append(time.process_time() - start[1])
        figures = (statistics.median(clock), statistics.median(processor), peak_mb() - before)
        return dict(zip(FIGURES, (round(figure, 4) for figure in figures), strict=True))

    step(8)
    before = peak_mb()
    return {"call": timed(call), "step": timed(step)}


def slope(line: dict[int, dict[str, float]], figure: str) -> float:
    """Exponent of a figure in the line's variable, by least squares on logarithms."""
    points = [(math.log(x), math.log(max(values[figure], 1e-6))) for x, values in line.items()]
    mean_x, mean_y = (statistics.mean(column) for column in zip(*points, strict=True))
    over = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return round(over / sum((x - mean_x) ** 2 for x, _ in points), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--output", type=Path, help="JSON file for the result")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one is not None:
        print(json.dumps(measure(**json.loads(args.one))))
        return
    load_before = os.getloadavg()[0]

    def in_own_process(clips: int, frames: int, size: int) -> dict[str, dict[str, float]]:
        one = {"clips": clips, "frames": frames, "size": size, "threads": args.threads, "repeats": args.repeats}
        command = [sys.executable, __file__, "--one", json.dumps(one)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
        print(one, found, file=sys.stderr, flush=True)
        return found

    measured: dict[str, dict[int, dict[str, dict[str, float]]]] = {
        "frames": {frames: in_own_process(1, frames, 32) for frames in FRAMES},
        "frames_in_windows": {
            frames: in_own_process(max(1, frames // WINDOW), min(frames, WINDOW), 32) for frames in FRAMES
        },
        "size": {size: in_own_process(1, WINDOW, size) for size in SIZES},
    }
    lines: dict[str, Any] = {}
    exponents: dict[str, float] = {}
    for name, of in measured.items():
        for work in ("call", "step"):
            line = {x: values[work] for x, values in of.items()}
            lines[f"{work}_by_{name}"] = line
            exponents |= {f"{work}_{figure}_by_{name}": slope(line, figure) for figure in FIGURES}
    report = {
        "what": "growth of one call of a small U-Net and of one training step with frames (at 32x32) and with size "
        f"(of {WINDOW} frames)",
        "exponents": exponents,
        "measured": lines,
        "window": WINDOW,
        "repeats": args.repeats,
        "threads": args.threads,
        "device": "cpu",
        "load_before": round(load_before, 1),
    }
    publish(report, args.output)


if __name__ == "__main__":
    main()

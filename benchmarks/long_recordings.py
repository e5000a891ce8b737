"""Long recordings: does the memory of `wav2uti predict` grow with them, and do seams show where windows meet?

    python benchmarks/long_recordings.py --trained runs/simulated/demo/checkpoints/last.ckpt \
        --output benchmarks/results/long_recordings.json

The speech and its text are those of SIMULATED recordings, joined until they are long enough.

- Memory: 1 and 10 minutes are predicted by the command line, each in a process of its own, whose peak is what the
  system tells of it when it ends. What may grow does not depend on what a model has learnt: without --ckpt a tiny one
  is trained first. The goal is 10 minutes within 10 % of 1 minute.
- Seams: a trained model draws a recording of one speaker, and the mean absolute differences of consecutive frames where
  a window begins or ends are compared with all others. Their ratio should lie within 0.95 to 1.05; its interval is a
  bootstrap over stretches of about a second. The same ratio of the simulated frames themselves stands beside it.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from outcome import publish

from wav2uti.clock import FPS, SAMPLE_RATE, frames_in
from wav2uti.corpus.recording import Recording
from wav2uti.corpus.simulate import simulate_recording
from wav2uti.diffusion.guidance import Guidance
from wav2uti.diffusion.sampler import DPMSolver
from wav2uti.diffusion.windows import Windows, split
from wav2uti.tasks.base import Task
from wav2uti.video.predictor import load

REPOSITORY = Path(__file__).resolve().parents[1]
# A new process has its parent's greatest memory for its own until it is larger: this one between them is small.
RUNNER = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(usage.ru_maxrss, usage.ru_utime + usage.ru_stime)
sys.exit(code)
"""
SEED = 23  # of the simulated speakers, which no corpus of a config has
RESAMPLES = 2000


def recordings(seconds: float, size: int, speakers: int) -> Iterator[Recording]:
    """Simulated recordings of at least so much speech together."""
    utterance = 0
    while seconds > 0:
        made = simulate_recording(utterance % speakers, utterance // speakers, size, SEED)
        yield made
        seconds -= len(made.audio) / SAMPLE_RATE
        utterance += 1


def train_tiny(folder: Path) -> Path:
    """Two steps of configs/debug.yaml on a small simulated corpus; its checkpoint."""
    corpus = folder / "corpus"
    command = [sys.executable, "-m", "wav2uti"]
    options = ["--speakers=3", "--utterances=2", "--size=32", "--workers=1"]
    subprocess.run([*command, "simulate", str(corpus), *options], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(
        [
            *command,
            "fit",
            f"--config={REPOSITORY / 'configs' / 'debug.yaml'}",
            f"--data.shards={corpus}",
            f"--trainer.logger.init_args.save_dir={folder / 'runs'}",
            "--trainer.logger.init_args.version=v",
            "--trainer.max_steps=2",
            "--trainer.enable_progress_bar=false",
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return folder / "runs" / "debug" / "v" / "checkpoints" / "last.ckpt"


def peak(ckpt: Path, minutes: float, steps: int, folder: Path) -> dict[str, Any]:
    """Memory, time and files of one prediction."""
    # Different speech without end would only cost time: a minute of it, again and again.
    said = list(recordings(min(minutes, 1) * 60, 16, speakers=3))
    once = np.concatenate([recording.audio for recording in said])
    samples = round(minutes * 60 * SAMPLE_RATE)
    repeats = -(-samples // len(once))
    text = " ".join([recording.text for recording in said] * repeats)
    sound = folder / f"{minutes:g}min.wav"
    soundfile.write(sound, np.tile(once, repeats)[:samples], SAMPLE_RATE)
    command = [sys.executable, "-m", "wav2uti", "predict", f"--audio={sound}", f"--text={text}", f"--ckpt_path={ckpt}",
               "--sampler=DPMSolver", f"--steps={steps}", "--guidance.scale=1", "--device=cpu",
               f"--output={folder / 'out'}"]  # fmt: skip
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", RUNNER, *command], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"wav2uti predict failed with {done.returncode}")
    kilobytes, cpu_seconds = map(float, done.stdout.split())  # kB on Linux
    return {
        "minutes": minutes,
        "frames": frames_in(samples),
        "peak_mb": round(kilobytes / 1024, 1),
        "seconds": round(time.perf_counter() - begun, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "files_mb": {
            p.suffix: round(p.stat().st_size / 1e6, 2) for p in sorted((folder / "out").glob(f"{sound.stem}.*"))
        },
    }


def borders(windows: Windows) -> NDArray[np.bool_]:
    """For each pair of consecutive frames (T - 1,) whether a window begins between them, or ends."""
    found = np.zeros(windows.frames - 1, dtype=bool)
    for window in range(windows.count):
        begin = window * windows.hop
        for pair in (begin - 1, begin + windows.length - 1):
            if 0 <= pair < len(found):
                found[pair] = True
    return found


def seam_ratio(frames: NDArray[np.uint8], at: NDArray[np.bool_], stretch: int) -> dict[str, Any]:
    """Mean difference of consecutive frames at the borders over that elsewhere, with its 95 % interval."""
    differences = np.array([np.abs(b.astype(int) - a).mean() for a, b in pairwise(frames)])
    blocks = [slice(start, start + stretch) for start in range(0, len(at), stretch)]
    sums = np.array(
        [
            [
                differences[block][at[block]].sum(),
                at[block].sum(),
                differences[block][~at[block]].sum(),
                (~at[block]).sum(),
            ]
            for block in blocks
        ]
    )
    # Neighbouring pairs are alike: stretches are drawn, not pairs.
    drawn = np.random.default_rng(0).integers(0, len(blocks), (RESAMPLES, len(blocks)))
    at_sum, at_count, off_sum, off_count = sums[drawn].sum(axis=1).T
    low, high = np.quantile((at_sum / at_count) / (off_sum / off_count), [0.025, 0.975])
    on, off = differences[at].mean(), differences[~at].mean()
    return {
        "ratio": round(float(on / off), 4),
        "interval": [round(float(low), 4), round(float(high), 4)],
        "at_borders": round(float(on), 4),
        "elsewhere": round(float(off), 4),
        "pairs": [int(at.sum()), int((~at).sum())],
    }


def seams(ckpt: Path, seconds: float, steps: int, sigma_max: float) -> dict[str, Any]:
    """Draw one speaker's recordings as one, and compare."""
    model = load(ckpt, "cpu")
    task = model.task
    said = list(recordings(seconds, model.facts["size"], speakers=1))
    audio = np.concatenate([recording.audio for recording in said])
    real = np.concatenate([recording.frames for recording in said])
    sampler = DPMSolver(steps, sigma_max=sigma_max)
    text = " ".join(recording.text for recording in said)
    begun = time.perf_counter()
    parts = model.stream(audio, text, real[0], sampler=sampler, guidance=Guidance(scale=1.0))
    frames = np.concatenate(list(parts))
    clip = model.facts["clip_frames"]
    windows = split(len(frames), clip, min(task.overlap, clip // 2))
    at = borders(windows)
    stretch = max(1, FPS // windows.hop) * windows.hop
    return {
        "generated": seam_ratio(frames, at, stretch),
        "simulated": seam_ratio(real[: len(frames)], at[: len(real) - 1], stretch),
        "sampler": f"DPMSolver, {sampler.calls} calls, sigma_max {sigma_max:g}",
        "window": windows.length,
        "overlap": windows.overlap,
        "resolution": model.facts["size"],
        "seconds_of_speech": round(len(frames) / FPS, 1),
        "seconds": round(time.perf_counter() - begun, 1),
    }


def main() -> None:
    """Predict, compare, publish."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ckpt", type=Path, help="model whose memory is measured; without it a tiny one is trained")
    parser.add_argument("--trained", type=Path, help="model whose seams are measured; without it they are left out")
    parser.add_argument("--minutes", type=float, nargs=2, default=(1.0, 10.0), help="the short and the long recording")
    parser.add_argument("--seam-seconds", type=float, default=60.0, help="speech whose seams are measured")
    parser.add_argument("--steps", type=int, default=4, help="of DPMSolver, for the memory")
    parser.add_argument("--seam-steps", type=int, default=8, help="of DPMSolver, for the seams")
    parser.add_argument("--sigma-max", type=float, default=80.0, help="first noise level, for the seams")
    parser.add_argument("--output", type=Path, help="JSON file for the result")
    args = parser.parse_args()

    result: dict[str, Any] = {
        "what": "peak memory of `wav2uti predict`; differences of consecutive frames at the borders of windows over "
        "those elsewhere",
        "data": "SIMULATED",
        "steps": args.steps,
    }
    if args.trained is not None:
        result["seams"] = seams(args.trained, args.seam_seconds, args.seam_steps, args.sigma_max)
        print(result["seams"], flush=True)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        ckpt = args.ckpt or train_tiny(folder)
        task = Task.from_checkpoint(ckpt)
        runs = [peak(ckpt, minutes, args.steps, folder) for minutes in args.minutes]
    short, long = runs
    result["memory"] = {
        "model": "given" if args.ckpt else "configs/debug.yaml after two steps",
        "parameters": sum(p.numel() for p in task.parameters()),
        "resolution": task.facts["size"],
        "runs": runs,
        "ratio": round(long["peak_mb"] / short["peak_mb"], 3),
    }
    publish(result | {"threads": torch.get_num_threads()}, args.output)


if __name__ == "__main__":
    main()

"""Does it pay to begin from a draft? Scores at equal training time, with a regression as v0 and from noise alone.

    wav2uti simulate data/simulated-32 --speakers 16 --utterances 15 --size 32 --seed 0
    python benchmarks/draft.py --i3d FILE

trains the network of configs/simulated.yaml on SIMULATED data for the same time in both ways, side by side with one
thread each: from noise, on single frames and then on clips; and from a draft, where the first third of the single
frames' time goes to the regression that draws it. Both are tested on the same clips of the test speakers, drawn in the
same number of calls.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from outcome import publish

COMMAND = [sys.executable, "-m", "wav2uti.cli"]
LR = {"class_path": "torch.optim.Adam", "init_args": {"lr": 1e-3, "betas": [0.9, 0.99]}}
DRAFT = {
    "fusion": {"class_path": "Fusion", "init_args": {"width": 128, "heads": 4, "context": 3, "dropout": 0.1}},
    "net": {
        "class_path": "MovedReference",
        "init_args": {"channels": 64, "multipliers": [1, 2, 3], "blocks": 1, "patch": 2},
    },
}
# About the error of the draft, as configs/simulated_64.yaml has them; from noise those of configs/simulated.yaml stay.
NOISE = {"class_path": "LogNormalSigma", "init_args": {"p_mean": -1.9, "p_std": 1.4}}
SAMPLER = {"class_path": "StochasticHeun", "init_args": {"sigma_min": 0.01, "s_churn": 0.0}}
FRAMES = {"data.clip_frames": 1, "data.batch_size": 32}
CLIPS = {"data.clip_frames": 16, "data.batch_size": 2}


def call(args: list[str], log: Path) -> None:
    """One wav2uti command."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        subprocess.run([*COMMAND, *args], check=True, stdout=file, stderr=subprocess.STDOUT)


def options(values: dict[str, Any]) -> list[str]:
    """Options of the command line, structured ones as JSON."""
    return [f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in values.items()]


def train(name: str, minutes: float, values: dict[str, Any], args: argparse.Namespace, config: str | None) -> Path:
    """Train for a time; the last checkpoint."""
    folder = args.work / "simulated" / name
    checkpoint = folder / "checkpoints" / "last.ckpt"
    if checkpoint.exists():
        return checkpoint
    given = {
        "trainer.max_steps": -1,
        "trainer.max_time": f"00:00:{int(minutes):02d}:{round(60 * (minutes % 1)):02d}",
        "trainer.limit_val_batches": 0,
        "trainer.enable_progress_bar": False,
        "trainer.logger.init_args.save_dir": str(args.work),
        "trainer.logger.init_args.version": name,
        "data.shards": args.shards,
    }
    # The draft's network is another class: of the config only trainer and data then serve.
    call(["fit", f"--config={config or 'configs/simulated.yaml'}", *options(given | values)], folder / "output.log")
    return checkpoint


def test(name: str, checkpoint: Path, sampler: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """Scores on the test speakers."""
    output = args.work / "scores" / f"{name}.json"
    scoring = {"class_path": "Scoring", "init_args": {"output": str(output), "i3d": args.i3d, "lpips": []}}
    values = {
        "ckpt_path": str(checkpoint),
        "trainer.logger": False,
        "trainer.enable_progress_bar": False,
        "trainer.limit_test_batches": args.clips // 8,
        "trainer.callbacks": [scoring],
        "model.init_args.sampler": sampler,
        "data.shards": args.shards,
        "data.clip_frames": 16,
        "data.batch_size": 8,
    }
    call(["test", "--config=configs/simulated.yaml", *options(values)], output.with_suffix(".log"))
    result: dict[str, Any] = json.loads(output.read_text())
    return result


def sampler_to(sigma_max: float, steps: int) -> dict[str, Any]:
    """Heun from a first level."""
    arguments: dict[str, Any] = {**SAMPLER["init_args"], "sigma_max": sigma_max, "steps": steps}  # type: ignore[dict-item]
    return {"class_path": SAMPLER["class_path"], "init_args": arguments}


def from_noise(args: argparse.Namespace) -> dict[str, Any]:
    """Diffusion alone."""
    schedule = {"model.init_args.lr_scheduler": None}
    frames = train("noise-frames", 0.75 * args.minutes, FRAMES | schedule, args, None)
    start = {"model.init_args.start_from": str(frames)}
    clips = train("noise-clips", 0.25 * args.minutes, CLIPS | schedule | start, args, None)
    return test("noise", clips, sampler_to(80.0, args.steps), args)


def from_draft(args: argparse.Namespace) -> dict[str, Any]:
    """A regression first, then diffusion of what it lacks."""
    schedule = {"model.init_args.lr_scheduler": None}
    regression = {"class_path": "Regression", "init_args": DRAFT}
    model = {"class_path": "RegressionTask", "init_args": {"regression": regression, "optimizer": LR}}
    config = args.work / "regression.yaml"
    config.parent.mkdir(parents=True, exist_ok=True)
    whole = yaml.safe_load(Path("configs/simulated.yaml").read_text())
    config.write_text(yaml.safe_dump(whole | {"model": model}))
    draft = train("draft", 0.25 * args.minutes, FRAMES, args, str(config))
    drawn = schedule | {
        "model.init_args.draft": regression,
        "model.init_args.noise": NOISE,
        "model.init_args.drop_condition": 0.0,
    }
    frames = train(
        "draft-frames", 0.5 * args.minutes, FRAMES | drawn | {"model.init_args.draft_from": str(draft)}, args, None
    )
    start = {"model.init_args.start_from": str(frames)}
    clips = train("draft-clips", 0.25 * args.minutes, CLIPS | drawn | start, args, None)
    return test("draft", clips, sampler_to(3.0, args.steps), args)


def main() -> None:
    """Train and test both ways, print, and write the scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", default="data/simulated-32")
    parser.add_argument("--minutes", type=float, default=12.0, help="of training, each way")
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--steps", type=int, default=10, help="of the sampler")
    parser.add_argument("--i3d", help="weights for FVD")
    parser.add_argument("--work", type=Path, default=Path("runs/draft"))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/draft.json"))
    args = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    with ThreadPoolExecutor(max_workers=2) as pool:
        noise, draft = (waiting.result() for waiting in [pool.submit(from_noise, args), pool.submit(from_draft, args)])
    publish(
        {
            "what": f"scores after {args.minutes} minutes of training, from noise alone and from a regression's draft",
            "data": "SIMULATED",
            **{key: noise[key] for key in ("clips", "recordings", "speakers", "frames_per_clip", "resolution")},
            "calls": 2 * args.steps - 1,
            "scores": {"noise": noise["scores"], "draft": draft["scores"]},
            "intervals": {"noise": noise["intervals"], "draft": draft["intervals"]},
            "threads": 1,
        },
        args.output,
    )


if __name__ == "__main__":
    main()

"""The benchmark `simulated-64`: DNN, A and A+T on a fixed corpus with known tongues (SIMULATED).

Corpus: 44 simulated speakers of 24 utterances at 64x64, seed 0, as the paper has 44 speakers. Speakers s40 to s43 are
the test, s38 and s39 the validation, and no model is trained on them. Every model is given one frame of the speaker at
rest, from outside the utterance. A is the diffusion model from sound, A+T the one from sound and text; both begin from
the draft of a regression that hears and reads the same.

    make benchmark                                                    # or, with a weight file for FVD elsewhere:
    python benchmarks/simulated_64.py --i3d ../shared/data/weights/i3d-kinetics-400/model.safetensors

Every step is a `wav2uti` command that is skipped where its result is there, and a training that was stopped goes on
from its last checkpoint: the same command finishes what another one began. The minutes of training add up over all
tries.
"""

import argparse
import json
import os
import shlex
import signal
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from outcome import publish

from wav2uti.files import replaced

SPEAKERS, UTTERANCES, SEED = 44, 24, 0
TEST = range(40, 44)
CLIP, CLIPS = 16, 200  # frames in a clip of the test, and how many clips
SHOWN = ("s40_u004", "s42_u011")  # recordings of test speakers that the report's page plays
COMMAND = [sys.executable, "-m", "wav2uti.cli"]
WITHOUT_TEXT = ["--data.text", "none", "--data.text_times", "false"]


@dataclass(frozen=True)
class Training:
    """One `wav2uti fit`.

    Attributes:
        name: of the run's folder, under that of the last config.
        configs: under configs/, the later ones changing the earlier.
        options: further ones of the command.
        draft, start: the trainings that this one takes its draft and its first weights from.
        steps: of the optimizer; 0 for those that the configs state.
    """

    name: str
    configs: tuple[str, ...]
    options: tuple[str, ...] = ()
    draft: "Training | None" = None
    start: "Training | None" = None
    steps: int = 0

    @property
    def folder(self) -> Path:
        """Where the run is."""
        return RUNS / self.configs[-1] / self.name

    @property
    def checkpoint(self) -> Path:
        """The last one of the run."""
        return self.folder / "checkpoints" / "last.ckpt"

    @property
    def before(self) -> list["Training"]:
        """What must be trained first, in order, and this one."""
        earlier = [t for needed in (self.draft, self.start) if needed is not None for t in needed.before]
        return [*dict.fromkeys(earlier), self]

    @property
    def all_steps(self) -> int:
        """Of the optimizer."""
        if self.steps:
            return self.steps
        stated = [yaml.safe_load(Path(f"configs/{name}.yaml").read_text())["trainer"] for name in self.configs]
        return int([trainer["max_steps"] for trainer in stated if "max_steps" in trainer][-1])


RUNS = Path("runs")
RUNNING: list[subprocess.Popen[bytes]] = []


def stop(*_: object) -> None:
    """Take the commands along when this program is told to stop."""
    for process in RUNNING:
        process.terminate()
    os._exit(143)


def trainings() -> dict[str, Training]:
    """The last training of each model."""
    last = {"dnn": Training("dnn", ("simulated_64_dnn",))}
    for name, options in (("a", tuple(WITHOUT_TEXT)), ("a_t", ())):
        draft = Training(name, ("simulated_64_draft",), options)
        frames = Training(name, ("simulated_64", "simulated_64_frames"), options, draft)
        last[name] = Training(name, ("simulated_64",), options, start=frames)
    return last


def run(arguments: list[str], log: Path, minutes: Path | None = None) -> None:
    """One wav2uti command, its output in a file; the time that it takes is added to that in `minutes` as it goes."""
    log.parent.mkdir(parents=True, exist_ok=True)
    before = json.loads(minutes.read_text()) if minutes is not None and minutes.exists() else 0.0
    begun = time.monotonic()
    print("wav2uti", shlex.join(arguments), flush=True)
    with log.open("ab") as file:
        process = subprocess.Popen([*COMMAND, *arguments], stdout=file, stderr=subprocess.STDOUT)
        RUNNING.append(process)
        while process.poll() is None:
            time.sleep(1)
            if minutes is not None:
                with replaced(minutes) as part:
                    part.write_text(json.dumps(round(before + (time.monotonic() - begun) / 60, 2)))
    if process.returncode:
        raise SystemExit(f"`wav2uti {shlex.join(arguments)}` ended with {process.returncode}; its output is in {log}.")


def train(training: Training) -> None:
    """Train it, or go on where it was stopped, unless it is done."""
    state = torch.load(training.checkpoint, weights_only=True, mmap=True) if training.checkpoint.exists() else None
    if state is not None and state["global_step"] >= training.all_steps:
        return
    arguments = ["fit", *(f"--config=configs/{name}.yaml" for name in training.configs), *training.options]
    arguments += ["--trainer.logger.init_args.version", training.name, "--trainer.enable_progress_bar", "false"]
    if training.steps:
        arguments += ["--trainer.max_steps", str(training.steps)]
        arguments += ["--model.init_args.lr_scheduler.init_args.total_steps", str(training.steps)]
    if state is not None:
        arguments += ["--ckpt_path", str(training.checkpoint)]
        # The logger begins its file anew.
        if (log := training.folder / "metrics.csv").exists():
            log.rename(log.with_name(f"metrics-{len(list(training.folder.glob('metrics*.csv')))}.csv"))
    elif training.draft is not None:
        arguments += ["--model.init_args.draft_from", str(training.draft.checkpoint)]
    if state is None and training.start is not None:
        arguments += ["--model.init_args.start_from", str(training.start.checkpoint)]
    run(arguments, training.folder / "output.log", training.folder / "minutes.json")


def test(name: str, training: Training, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Scores of one model and seed of sampling, by `wav2uti test`."""
    output = args.output / name / f"seed{seed}" / "metrics.json"
    if not output.exists():
        arguments = ["test", f"--config=configs/{training.configs[0]}.yaml", *training.options]
        arguments += ["--ckpt_path", str(training.checkpoint), "--trainer.logger", "false"]
        arguments += ["--trainer.enable_progress_bar", "false", "--data.clip_frames", str(CLIP)]
        arguments += ["--data.batch_size", "8", "--trainer.limit_test_batches", str(CLIPS // 8)]
        if name != "dnn":
            arguments += ["--model.init_args.draw_seed", str(seed)]
        scoring = {"class_path": "Scoring", "init_args": {"output": str(output), "i3d": args.i3d}}
        arguments += [f"--trainer.callbacks={json.dumps([scoring])}"]
        run(arguments, output.with_name("output.log"))
    return json.loads(output.read_text())


def draw(name: str, training: Training, args: argparse.Namespace) -> None:
    """Whole test recordings with sound, for the page."""
    folder = args.output / name / "seed0" / "predictions"
    for recording in SHOWN:
        if not (folder / f"{recording}.mp4").exists():
            arguments = ["predict", "--shards", "data/simulated-64", "--recording", recording, "--output", str(folder)]
            drawing = yaml.safe_load(Path("configs/simulated_64.yaml").read_text())["model"]["init_args"]
            if name != "dnn":
                arguments += [
                    "--sampler",
                    drawing["sampler"]["class_path"],
                    f"--guidance.scale={drawing['guidance']['scale']}",
                ]
                arguments += [f"--sampler.{key}={value}" for key, value in drawing["sampler"]["init_args"].items()]
            run([*arguments, "--ckpt_path", str(training.checkpoint)], folder / "output.log")


def summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and spread (largest less smallest) over the seeds of each score, and the first seed's interval."""
    scores: dict[str, Any] = {}
    for name in results[0]["scores"]:
        values = [result["scores"][name] for result in results]
        scores[name] = round(statistics.mean(values), 4)
        scores[f"{name}_spread"] = round(max(values) - min(values), 4)
        scores[f"{name}_interval"] = results[0]["intervals"].get(name)
    return scores


def main() -> None:
    """Make the corpus, train, test, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--i3d", help="weights for FVD; by default looked for as `wav2uti test` does")
    parser.add_argument("--models", nargs="+", default=["a_t", "a", "dnn"], help="train and test only these")
    parser.add_argument("--seeds", type=int, default=3, help="of sampling")
    parser.add_argument("--output", type=Path, default=RUNS / "simulated-64", help="folder of the scores")
    parser.add_argument("--result", type=Path, default=Path("benchmarks/results/simulated-64.json"))
    parser.add_argument("--stop-after", choices=["training", "test"], help="leave the rest for another time")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, stop)
    # Two trainings of one thread each go side by side: faster than one after the other with two threads.
    os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}

    corpus = ["--utterances", str(UTTERANCES), "--size", "64", "--seed", str(SEED)]
    run(["simulate", "data/simulated-64", "--speakers", str(SPEAKERS), *corpus], args.output / "simulate.log")
    last = trainings()
    with ThreadPoolExecutor(max_workers=2) as pool:
        ways = [pool.submit(lambda t: [train(each) for each in t.before], last[name]) for name in args.models]
        for way in ways:
            way.result()
    if args.stop_after == "training":
        return
    with ThreadPoolExecutor(max_workers=2) as pool:
        # The DNN draws nothing at random.
        wanted = [(name, seed) for seed in range(args.seeds) for name in args.models if name != "dnn" or seed == 0]
        tests = [pool.submit(test, name, last[name], seed, args) for name, seed in wanted]
        results: dict[str, list[dict[str, Any]]] = {}
        for (name, _), waiting in zip(wanted, tests, strict=True):
            results.setdefault(name, []).append(waiting.result())
    if args.stop_after == "test":
        return
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(lambda name: draw(name, last[name], args), args.models))
    speckle = ["--speakers", str(len(TEST)), "--first_speaker", str(TEST[0]), "--speckle", "1"]
    run(["simulate", "data/simulated-64-speckle", *speckle, *corpus], args.output / "simulate.log")
    floor = args.output / "noise_floor" / "metrics.json"
    if not floor.exists():
        speakers = ["--speakers", ",".join(f"s{n}" for n in TEST), "--output", str(floor)]
        options = ["--clip_frames", str(CLIP), "--clips", str(CLIPS), *(["--i3d", args.i3d] if args.i3d else [])]
        folders = ["data/simulated-64-speckle", "data/simulated-64"]
        run(["score", *folders, *speakers, *options], floor.with_name("output.log"))
    scored = [str(args.output / name / "seed0") for name in args.models]
    run(["report", *scored, "--output", str(args.output / "report")], args.output / "report.log")

    one = results[args.models[0]][0]
    publish(
        {
            "what": "scores of DNN, A and A+T on simulated-64; spread: largest less smallest of the sampling seeds",
            "data": "SIMULATED",
            "corpus": {"speakers": SPEAKERS, "utterances": UTTERANCES, "seed": SEED, "test": [f"s{n}" for n in TEST]},
            **{
                key: one[key]
                for key in ("clips", "recordings", "speakers", "frames_per_clip", "frame_rate", "resolution")
            },
            "seeds": args.seeds,
            "models": {name: summary(tests) for name, tests in results.items()},
            "noise_floor": json.loads(floor.read_text())["scores"],
            "levels": one["levels"],
            "missing": one["missing"],
            "weights": one["weights"],
            "training_minutes": {
                name: {t.configs[-1]: json.loads((t.folder / "minutes.json").read_text()) for t in training.before}
                for name, training in last.items()
                if name in results
            },
            "training_steps": {
                name: {t.configs[-1]: t.all_steps for t in training.before}
                for name, training in last.items()
                if name in results
            },
            "threads": 1,
        },
        args.result,
    )


if __name__ == "__main__":
    main()

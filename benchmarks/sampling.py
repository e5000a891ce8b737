"""Quality against calls of the network: every sampler at 4 to 256 steps, on a model trained on the simulated corpus.

    python benchmarks/sampling.py --ckpt runs/simulated/demo/checkpoints/last.ckpt --shards data/simulated-32 --i3d FILE

draws the same clips of the corpus's test speakers with each sampler, from the same noise, without guidance, and gives
the Frechet video distance, the error of the tongue's contour (centred, against the exact one) and the RMSE. Students of
`ConsistencyTask` are set beside it with --student. What is done is kept under --work: the same command goes on where it
was stopped.
"""

import argparse
import json
from itertools import islice
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
from outcome import publish
from rich.progress import track

from wav2uti.data.module import ClipData
from wav2uti.diffusion.guidance import Guidance
from wav2uti.diffusion.sampler import Consistency, DPMSolver, Euler, Sampler, StochasticHeun
from wav2uti.files import replaced
from wav2uti.grey import to_grey
from wav2uti.metrics.evaluation import ClipPlace, Evaluation
from wav2uti.metrics.scorers import find_scorers
from wav2uti.tasks.base import Task
from wav2uti.tasks.diffusion import DiffusionTask

mpl.use("Agg")  # no screen is needed
from matplotlib import pyplot

STEPS = (4, 8, 16, 32, 64, 256)
STUDENT_STEPS = (1, 2, 4)
REFERENCES = ("Heun 256", "StochasticHeun 256")  # what the others are compared with: the ODE's, and the paper's
WITHIN = 1.05
SHOWN = {"fvd": "FVD", "contour_mm_exact_centred": "contour error, centred (mm)", "rmse": "RMSE"}


def samplers(sigma_min: float, sigma_max: float) -> dict[str, Sampler]:
    """By the names of the table."""
    levels = {"sigma_min": sigma_min, "sigma_max": sigma_max}
    return {
        "Heun": StochasticHeun(s_churn=0.0, **levels),
        "StochasticHeun": StochasticHeun(**levels),
        "Euler": Euler(**levels),
        "DPMSolver": DPMSolver(**levels),
        "DPMSolver, SDE": DPMSolver(eta=1.0, **levels),
    }


def load(path: Path) -> DiffusionTask:
    """A model without guidance."""
    task = Task.from_checkpoint(path)
    assert isinstance(task, DiffusionTask)
    task.guidance = Guidance(scale=1.0)
    return task


def score(
    task: DiffusionTask, sampler: Sampler, batches: list[Any], i3d: Path | None, bf16: bool = True
) -> dict[str, Any]:
    """Draw the clips and score them."""
    task.sampler = sampler
    evaluation = Evaluation(
        find_scorers(lpips=(), fid=False, kid=False, fvd=i3d is not None, contour=True, i3d=i3d), keep=0
    )
    for batch in batches:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            generated = to_grey(task.test_step(batch, 0)["generated"])[:, 0].numpy()
        real = to_grey(batch["frames"])[:, 0].numpy()
        for i, recording in enumerate(batch["ids"]):
            place = ClipPlace(recording, batch["progress"][i, 0].item())
            contour = batch["contour"][i].numpy() if "contour" in batch else None
            scale = batch["mm_per_pixel"][i].item()
            evaluation.add(place, batch["speakers"][i], generated[i], real[i], contour, scale)
    evaluation.gather()
    result = evaluation.result()
    return {
        "calls": sampler.calls,
        **{name: round(result["scores"][name], 4) for name in SHOWN if name in result["scores"]},
        "intervals": {name: result["intervals"][name] for name in SHOWN if name in result["intervals"]},
        "clips": result["clips"],
        "levels": result["levels"],
    }


def cheapest(table: dict[str, dict[str, Any]], than: str) -> dict[str, Any]:
    """The setting with the fewest calls neither of whose scores is more than 5 % above those of a reference."""
    reference = table[than]
    judged = [name for name in ("fvd", "contour_mm_exact_centred") if name in reference]
    good = {
        name: row["calls"]
        for name, row in table.items()
        if not name.startswith("student") and all(row[score] <= WITHIN * reference[score] for score in judged)
    }
    best = min(good, key=lambda name: (good[name], table[name].get("fvd", 0.0)))
    return {"setting": best, "calls": good[best], "all_within": good}


def plot(table: dict[str, dict[str, Any]], path: Path) -> None:
    """Scores over calls of the network, a curve a sampler."""
    shown = {score: title for score, title in SHOWN.items() if all(score in row for row in table.values())}
    figure, axes = pyplot.subplots(1, len(shown), figsize=(5 * len(shown), 4), layout="constrained", squeeze=False)
    for axis, (name, title) in zip(axes[0], shown.items(), strict=True):
        for sampler in dict.fromkeys(setting.rsplit(" ", 1)[0] for setting in table):
            rows = [row for setting, row in table.items() if setting.rsplit(" ", 1)[0] == sampler]
            style = "k*" if sampler == "student" else "o-"
            axis.plot([row["calls"] for row in rows], [row[name] for row in rows], style, label=sampler, markersize=4)
        axis.set(xscale="log", yscale="log", xlabel="calls of the network a clip", title=title)
        axis.grid(alpha=0.3, which="both")
    axes[0][0].legend(fontsize=7)
    figure.suptitle("SIMULATED data")
    with replaced(path) as part:
        figure.savefig(part, dpi=110, format="png")


def main() -> None:
    """Draw, score, print, and write table and plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ckpt", type=Path, required=True, help="of a DiffusionTask")
    parser.add_argument("--student", type=Path, help="of a ConsistencyTask tuned from it")
    parser.add_argument("--shards", required=True)
    parser.add_argument("--test-speakers", nargs="+", default=["s14", "s15"])
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--clip-frames", type=int, default=16)
    parser.add_argument("--steps", type=int, nargs="+", default=list(STEPS))
    parser.add_argument("--samplers", nargs="+", help="only these")
    parser.add_argument("--sigma-min", type=float, default=0.002)
    parser.add_argument("--sigma-max", type=float, default=80.0)
    parser.add_argument("--i3d", type=Path, help="weights for FVD; without them it is left out")
    parser.add_argument("--float32", action="store_true", help="for processors without bfloat16")
    parser.add_argument("--work", type=Path, default=Path("runs/sampling"), help="folder of the single results")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/sampling.json"))
    args = parser.parse_args()

    task = load(args.ckpt)
    data = ClipData(
        args.shards,
        clip_frames=args.clip_frames,
        batch_size=16,
        acoustic=task.facts["acoustic"]["name"],
        text=task.facts["text"]["name"] if task.facts["text"] else "none",
        text_times=task.facts["text_times"],
        reference="speaker" if task.facts["reference"] else "none",
        acoustic_context=task.facts["acoustic_context"],
        test_speakers=args.test_speakers,
    )
    data.setup("test")
    batches = list(islice(data.test_dataloader(), args.clips // 16))

    chosen = samplers(args.sigma_min, args.sigma_max)
    jobs = [
        (f"{name} {steps}", task, sampler.with_steps(steps))
        for steps in args.steps
        for name, sampler in chosen.items()
        if args.samplers is None or name in args.samplers
    ]
    if args.student:
        student = load(args.student)
        jobs += [(f"student {steps}", student, Consistency(steps, args.sigma_max)) for steps in STUDENT_STEPS]
    table = {}
    for name, model, sampler in track(jobs, "drawing"):
        kept = args.work / f"{name.replace(', ', '-').replace(' ', '-')}.json"
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            found = score(model, sampler, batches, args.i3d, not args.float32)
            with replaced(kept) as part:
                part.write_text(json.dumps(found))
        table[name] = json.loads(kept.read_text())
        print(name, {key: value for key, value in table[name].items() if key in ("calls", *SHOWN)}, flush=True)
    levels = next(iter(table.values()))["levels"]
    plot(table, args.output.with_suffix(".png"))
    publish(
        {
            "what": "scores of the same clips drawn by each sampler, from the same noise, without guidance",
            "data": "SIMULATED",
            "clips": sum(len(batch["ids"]) for batch in batches),
            "frames_per_clip": args.clip_frames,
            "resolution": task.facts["size"],
            "sigma": [args.sigma_min, args.sigma_max],
            "threads": torch.get_num_threads(),
            "levels": levels,
            "cheapest_within_5_percent": {
                reference: cheapest(table, reference) for reference in REFERENCES if reference in table
            },
            "table": {n: {k: v for k, v in row.items() if k not in ("levels", "clips")} for n, row in table.items()},
        },
        args.output,
    )


if __name__ == "__main__":
    main()

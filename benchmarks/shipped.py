"""Makes the model in the box, wav2uti/pretrained/: training, scores, export, and the sentence beside it (SIMULATED).

    make shipped                                                      # or, with a weight file for FVD elsewhere:
    python benchmarks/shipped.py --i3d ../shared/data/weights/i3d-kinetics-400/model.safetensors

It is the benchmark's model A (`simulated_64.py`), that hears and does not read, with networks small enough that the
weights of both fit into 15 MB as 16-bit numbers. Like there, every step is skipped where its result is there, and a
training that was stopped goes on.
"""

import argparse
import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from outcome import publish
from PIL import Image
from simulated_64 import RUNS, SEED, UTTERANCES, WITHOUT_TEXT, Training, run, stop, summary, test, train

from wav2uti.corpus.shards import Shard, find_shards
from wav2uti.corpus.shards.writer import ShardWriter
from wav2uti.files import replaced
from wav2uti.pretrained import EXAMPLE, FOLDER, MODEL

CORPUS, SPEAKERS = Path("data/simulated-64"), 44
SENTENCE = "s41_u007"  # of a test speaker
DRAFT = ("--model.init_args.regression.init_args.net.init_args.channels", "48")
NETS = (
    "--model.init_args.net.init_args.channels",
    "32",
    "--model.init_args.draft.init_args.net.init_args.channels",
    "48",
)
# Half the calls of the benchmark's Heun in 6 steps, and no worse: on 64 clips, seed 0, FVD 242 instead of 266, contour
# 0.98 mm instead of 1.00, RMSE 18.2 instead of 19.1 (benchmarks/sampling.py, 2026-11-28).
DRAWING = {
    "sampler": {"class_path": "DPMSolver", "init_args": {"steps": 6, "sigma_min": 0.01, "sigma_max": 3.0}},
    "guidance": {"scale": 1.0},
}


def training(precision: str) -> Training:
    """The last of three trainings: of the draft, on single frames, on clips."""
    common = (*WITHOUT_TEXT, "--trainer.precision", precision)
    draft = Training("shipped", ("simulated_64_draft",), (*common, *DRAFT), steps=2400)
    frames = Training("shipped", ("simulated_64", "simulated_64_frames"), (*common, *NETS), draft, steps=1200)
    return Training("shipped", ("simulated_64",), (*common, *NETS), start=frames, steps=800)


def write_sentence() -> None:
    """The example's shard, and the frame of its speaker at rest that the model is given where the user gives none."""
    source = next(path for path in find_shards(CORPUS) if SENTENCE in Shard(path).ids)
    EXAMPLE.unlink(missing_ok=True)
    shard = Shard(source)
    with ShardWriter(EXAMPLE, shard.encoders, shard.settings) as writer:
        writer.copy(Path(source), SENTENCE)
    reference = Shard(EXAMPLE).reference(SENTENCE)
    assert reference is not None
    with replaced(RUNS / "shipped" / "reference.png") as part:
        Image.fromarray(reference).save(part, format="PNG")


def main() -> None:
    """Make the corpus, train, test, export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--i3d", help="weights for FVD; by default looked for as `wav2uti test` does")
    parser.add_argument("--seeds", type=int, default=3, help="of sampling")
    parser.add_argument("--precision", default="32-true", help="of the trainings; bf16-mixed where it is fast")
    parser.add_argument("--output", type=Path, default=RUNS / "shipped", help="folder of the scores")
    parser.add_argument("--result", type=Path, default=Path("benchmarks/results/shipped.json"))
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, stop)
    os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    corpus = ["--speakers", str(SPEAKERS), "--utterances", str(UTTERANCES), "--size", "64", "--seed", str(SEED)]
    run(["simulate", str(CORPUS), *corpus], args.output / "simulate.log")
    last = training(args.precision)
    for each in last.before:
        train(each)
    drawn = replace(last, options=(*last.options, f"--model.init_args.sampler={json.dumps(DRAWING['sampler'])}"))
    results = [test("scores", drawn, seed, args) for seed in range(args.seeds)]
    write_sentence()
    with TemporaryDirectory(dir=args.output) as folder:
        exported = Path(folder) / MODEL
        options = ["--half", "--license", "apache-2.0", "--metrics", str(args.output / "scores/seed0/metrics.json")]
        config = args.output / "drawing.yaml"
        config.write_text(yaml.safe_dump({"model": {"init_args": DRAWING}}))
        options += ["--drawing", str(config), "--reference", str(args.output / "reference.png")]
        run(["export", str(last.checkpoint), str(exported), *options], args.output / "export.log")
        shutil.rmtree(FOLDER, ignore_errors=True)
        shutil.move(exported, FOLDER)
    one = results[0]
    publish(
        {
            "what": "scores of the model in the box on simulated-64; spread: largest less smallest of the seeds",
            "data": "SIMULATED",
            **{key: one[key] for key in ("clips", "recordings", "speakers", "frames_per_clip", "resolution")},
            "scores": summary(results),
            "levels": one["levels"],
            "missing": one["missing"],
            "training_minutes": {
                t.configs[-1]: json.loads((t.folder / "minutes.json").read_text()) for t in last.before
            },
            "training_steps": {t.configs[-1]: t.all_steps for t in last.before},
            "threads": 1,
            "bytes": (FOLDER / "model.safetensors").stat().st_size,
        },
        args.result,
    )


if __name__ == "__main__":
    main()

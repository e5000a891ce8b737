"""Seconds that each score of `wav2uti test` takes for a test set of 200 clips of 16 frames, 64x64.

    python benchmarks/scoring_cost.py --i3d ../shared/data/weights/i3d-kinetics-400 \
        --output benchmarks/results/scoring_cost.json

Simulated clips against noisy copies of them, the median of several runs. RMSE, PSNR and SSIM are measured on the whole
set; networks and tracker on the few clips that "measured_on" states, and scaled to the set by the number of clips.
Fréchet and kernel distances are taken once for a set and measured at its size, on random features. Features count for
both sides; in later runs the real side's come from the cache ("cached"). Where other work shares the machine
("load_before", processes that want to run), "cpu_seconds" over the number of threads is the least it can take.

LPIPS and Inception-v3 have RANDOM weights here: speed does not depend on what they are, and the values are not kept.
I3D has its real weights, or without `--i3d` random ones too.
"""

import argparse
import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from outcome import publish
from torch import Tensor, nn

from wav2uti.corpus.simulate import simulate_recording
from wav2uti.metrics.frechet import (
    cached_features,
    features_key,
    frame_features,
    frechet_distance,
    kernel_distance,
    video_features,
)
from wav2uti.metrics.i3d import I3D, load_i3d
from wav2uti.metrics.perceptual import lpips, make_lpips
from wav2uti.metrics.pixel import psnr, rmse, ssim

FRAMES, SIZE = 16, 64
SEED = 0


def simulated_clips(count: int) -> tuple[Tensor, Tensor]:
    """Generated (noisy) and real clips, uint8 (count, 16, 64, 64)."""
    frames = torch.cat([torch.from_numpy(simulate_recording(speaker, 0, SIZE, SEED).frames) for speaker in range(8)])
    places = torch.arange(count) % (len(frames) - FRAMES)  # time does not depend on what the clips show
    real = torch.stack([frames[place : place + FRAMES] for place in places.tolist()])
    noise = 20 * torch.randn(real.shape, generator=torch.Generator().manual_seed(SEED))
    return (real + noise).round().clamp(0, 255).byte(), real


def random_inception(folder: Path) -> nn.Module:
    """Inception-v3 with torch's own random start."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    from wav2uti.metrics.inception import Inception

    class Unloaded(FeatureExtractorInceptionV3):
        """Keeps its random weights."""

        def load_state_dict(self, *_: Any, **__: Any) -> None:
            """Nothing is loaded."""

    torch.save({}, folder / "empty.pt")
    torch.save(Unloaded("random", ["2048"], str(folder / "empty.pt")).state_dict(), folder / "random.pt")
    return Inception(folder / "random.pt")


def cost(work: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Medians of the seconds on the clock and of the processor's seconds, which a busy machine leaves alone."""
    clock, processor = [], []
    for _ in range(repeats):
        before = time.perf_counter(), time.process_time()
        work()
        clock.append(time.perf_counter() - before[0])
        processor.append(time.process_time() - before[1])
    return statistics.median(clock), statistics.median(processor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--i3d", type=Path, help="weights of I3D, a file or a folder")
    parser.add_argument("--clips", type=int, default=200, help="of the test set that the seconds are for")
    parser.add_argument("--measure", type=int, default=4, help="clips that the networks are measured on")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, help="JSON file for the result")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    generated, real = simulated_clips(args.clips)
    few = slice(0, args.measure)
    load_before = os.getloadavg()[0]
    result: dict[str, dict[str, Any]] = {}

    def per_clip(name: str, work: Callable[[Tensor, Tensor], Any], count: int, **facts: Any) -> None:
        """Times `work` on generated and real clips and scales to the test set."""
        work(generated[:1], real[:1])
        clock, processor = (
            value * args.clips / count for value in cost(partial(work, generated[:count], real[:count]), args.repeats)
        )
        result[name] = {"seconds": round(clock, 1), "cpu_seconds": round(processor, 1), "measured_on": count, **facts}
        print(name, result[name], flush=True)

    def once(name: str, work: Callable[[], Any]) -> None:
        """Times `work` at full size."""
        clock, processor = cost(work, args.repeats)
        result[name] = {"seconds": round(clock, 3), "cpu_seconds": round(processor, 3), "measured_on": args.clips}
        print(name, result[name], flush=True)

    for name, score in (("rmse", rmse), ("psnr", psnr), ("ssim", ssim)):
        per_clip(name, score, args.clips)
    for name in ("squeeze", "alex", "vgg"):
        count = 1 if name == "vgg" else args.measure
        per_clip(f"lpips_{name}", partial(lpips, network=make_lpips(name)), count, weights="random, for timing only")

    def both(features: Callable[[Tensor], Tensor], a: Tensor, b: Tensor) -> None:
        features(a)
        features(b)

    i3d, weights = load_i3d(args.i3d) if args.i3d else (I3D().for_grey(), "random")
    per_clip("fvd features, both sides", partial(both, partial(video_features, i3d)), args.measure, weights=weights)
    with tempfile.TemporaryDirectory() as folder:
        logits = torch.randn(args.clips, 400, generator=generator)

        def from_cache() -> Tensor:
            return cached_features(Path(folder), features_key(real, weights), lambda: logits)

        from_cache()  # computed and stored
        once("fvd features, one side, cached", from_cache)
        inception = random_inception(Path(folder))
    once("fvd distance", lambda: frechet_distance(logits, logits + 1))

    def frames(clips: Tensor) -> Tensor:
        return frame_features(inception, clips.flatten(0, 1))

    per_clip("fid and kid features, both sides", partial(both, frames), 1, weights="random, for timing only")
    pool = torch.randn(2, args.clips * FRAMES, 2048, generator=generator)
    once("fid distance", lambda: frechet_distance(pool[0], pool[1]))
    once("kid distance", lambda: kernel_distance(pool[0], pool[1]))
    if importlib.util.find_spec("wav2uti.metrics.contour"):
        from wav2uti.metrics.contour import track

        def contours(a: Tensor, b: Tensor) -> None:
            for clip in (*a, *b):
                track(clip.numpy())

        per_clip("tongue contours, both sides", contours, len(real[few]))

    report = {
        "what": f"seconds to score {args.clips} clips of {FRAMES} frames {SIZE}x{SIZE}, SIMULATED; "
        "scaled by the number of clips from 'measured_on' where that is less",
        "scores": result,
        "clips": args.clips,
        "repeats": args.repeats,
        "threads": args.threads,
        "device": "cpu",
        "load_before": round(load_before, 1),
    }
    publish(report, args.output)


if __name__ == "__main__":
    main()

"""Can a small model learn one clip by heart and draw it again?

A check of the whole of the diffusion: loss, preconditioning, network and sampler must all be right for the sampled clip
to come out as the one that was learnt. Trains on one simulated clip, samples it back from other noise than it was
trained with, and prints the PSNR.

    python benchmarks/one_clip.py --output benchmarks/results/one_clip.json
"""

import argparse
import time
from pathlib import Path

import torch
from outcome import publish
from rich.progress import track

from wav2uti.condition.condition import Condition
from wav2uti.corpus.simulate import simulate_recording
from wav2uti.diffusion.denoiser import Denoiser
from wav2uti.diffusion.loss import EDMLoss
from wav2uti.diffusion.sampler import StochasticHeun
from wav2uti.diffusion.schedule import LogNormalSigma
from wav2uti.diffusion.unet import UNet
from wav2uti.grey import to_grey, to_unit
from wav2uti.metrics.pixel import psnr

FRAMES, COND_WIDTH = 16, 32


def main() -> None:
    """Train, sample, print, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--size", type=int, default=32, help="pixels along each side of a frame")
    parser.add_argument("--steps", type=int, default=400, help="training steps, two noise levels each")
    parser.add_argument("--sampler-steps", type=int, default=32)
    parser.add_argument("--output", type=Path, help="JSON file for the result")
    args = parser.parse_args()

    torch.manual_seed(0)
    recording = simulate_recording(0, 0, args.size, seed=0)
    start = (len(recording.frames) - FRAMES) // 2
    clip = to_unit(recording.frames[start : start + FRAMES])[None, None]
    cond = Condition(torch.randn(1, FRAMES, COND_WIDTH))
    net = UNet(COND_WIDTH, channels=48, multipliers=(1, 2), blocks=1, patch=2)
    denoiser = Denoiser(net, sigma_data=float(clip.std()), mean=float(clip.mean()))
    loss = EDMLoss(LogNormalSigma(p_mean=-0.8, p_std=1.4))
    optimizer = torch.optim.Adam(denoiser.parameters(), lr=2e-3, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, args.steps, pct_start=0.1)
    pair, cond_pair = clip.expand(2, -1, -1, -1, -1), Condition(cond.frames.expand(2, -1, -1))
    begun = time.perf_counter()
    for _ in track(range(args.steps), "learning one clip"):
        optimizer.zero_grad()
        value = loss(denoiser, pair, cond_pair).loss.mean()
        value.backward()
        torch.nn.utils.clip_grad_norm_(denoiser.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    seconds = time.perf_counter() - begun
    with torch.no_grad():
        drawn = StochasticHeun(steps=args.sampler_steps).draw(
            lambda x, sigma: denoiser(x, sigma, cond), clip.shape, torch.Generator().manual_seed(1)
        )
    result = {
        "psnr_db": round(float(psnr(to_grey(drawn), to_grey(clip))), 2),
        "last_loss": round(value.item(), 4),
        "training_seconds": round(seconds, 1),
        "parameters": sum(p.numel() for p in net.parameters()),
        "data": "SIMULATED",
        "threads": torch.get_num_threads(),
    }
    publish(result, args.output)


if __name__ == "__main__":
    main()

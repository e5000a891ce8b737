"""Time and memory of a training step and of a sampling step: this project's U-Net against two published ones.

    pip install --no-deps --target peers imagen-pytorch einops beartype
    python benchmarks/unet_speed.py --peers peers --output benchmarks/results/unet_speed.json

Three levels of widths 1-2-4 over the base width, two residual blocks a level, one clip of 16 grey frames:

    ours      UNet(channels=64), 17.4 M parameters; 32 at 112x112, where a peer grows to some 15 GB even so (by
              estimate, from 4.9 GB at 64x64)
    imagen    imagen-pytorch's Unet3D of the same width without text, 18.9 M; 2 heads of attention instead of 8 at
              width 32, for as many parameters
    diffusers UNet3DConditionModel of three quarters of the width, with attention in the middle and on the way down to
              it: four temporal convolutions for each of ours make up for the width in parameters

A training step is forward, backward and Adam; a sampling step is one call without gradients. Each measurement is a
process of its own, and the networks take turns: "seconds" are medians over the rounds of the clock's seconds,
"cpu_seconds" of the processor's, which other work on the machine hardly moves. "memory_mb" is the growth of the
process's greatest resident size (ru_maxrss) over what it was with the network and its optimizer's state in memory and
one clip of 8x8 trained on: for sampling after the sampling steps, for training after the training steps that follow.

Ratios are ours over the FASTER peer of that line, by the clock ("ratio_...") and by the processor
("cpu_ratio_..."); "memory_ratio_..." is ours over the peer that needs LESS. "matmul_share" is the floating-point
operations of our training step at the first size, counted by PyTorch, over its seconds on the clock and over the best
rate of a large square matmul in the same process; "cpu_matmul_share" is the same by the processor's seconds.
"""

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from outcome import publish
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

FRAMES = 16
COND = 128
Call = Callable[[Tensor], Tensor]


def ours(width: int) -> tuple[nn.Module, Call]:
    """This project's network, and a call of it by the clip alone."""
    from wav2uti.condition.condition import Condition
    from wav2uti.diffusion.unet import UNet

    net = UNet(COND, channels=width, multipliers=(1, 2, 4), blocks=2)
    return net, lambda x: net(x, torch.zeros(1), Condition(torch.zeros(1, FRAMES, COND)))


def imagen(width: int) -> tuple[nn.Module, Call]:
    """imagen-pytorch's, without text; its package's own imports, for training tools, are passed over."""
    import transformers

    # Read from the hub when the module is imported, for the width of a text embedding that is not used here.
    transformers.T5Config.from_pretrained = lambda *_, **__: types.SimpleNamespace(d_model=COND)
    spec = importlib.util.find_spec("imagen_pytorch")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    package = types.ModuleType("imagen_pytorch")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["imagen_pytorch"] = package
    from imagen_pytorch.imagen_video import Unet3D

    net = Unet3D(
        dim=width,
        dim_mults=(1, 2, 4),
        num_resnet_blocks=2,
        channels=1,
        cond_on_text=False,
        text_embed_dim=COND,
        attn_heads=width**2 // 512,
    )
    return net, lambda x: net(x, torch.zeros(1))


def diffusers(width: int) -> tuple[nn.Module, Call]:
    """diffusers', with a condition of one vector a frame."""
    from diffusers import UNet3DConditionModel

    net = UNet3DConditionModel(
        in_channels=1,
        out_channels=1,
        block_out_channels=(width * 3 // 4, width * 3 // 2, width * 3),
        down_block_types=("DownBlock3D", "DownBlock3D", "CrossAttnDownBlock3D"),
        up_block_types=("UpBlock3D",) * 3,
        layers_per_block=2,
        norm_num_groups=width // 4,
        cross_attention_dim=COND,
        attention_head_dim=width // 2,
    )
    cond = torch.zeros(1, FRAMES, COND)
    return net, lambda x: net(x, torch.zeros(1), encoder_hidden_states=cond).sample


NETWORKS = {"ours": ours, "imagen": imagen, "diffusers": diffusers}


def peak_mb() -> float:
    """The greatest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def matmul_rates(dtype: torch.dtype) -> tuple[float, float]:
    """Floating-point operations of a square matmul a second of the clock and of the processor, best of several."""
    side = 2048
    a, b = torch.randn(2, side, side).to(dtype)
    times = []
    for _ in range(8):
        start = time.perf_counter(), time.process_time()
        a @ b
        times.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    clock, processor = (2 * side**3 / min(column) for column in zip(*times, strict=True))
    return clock, processor


def measure(name: str, size: int, width: int, bf16: bool, threads: int, repeats: int) -> dict[str, Any]:
    """What one process finds out about one network, one size and one precision."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net, call = NETWORKS[name](width)
    optimizer = torch.optim.Adam(net.parameters(), lr=1.0e-5, fused=True)

    def forward(x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return call(x).float()

    def train(x: Tensor) -> None:
        optimizer.zero_grad()
        forward(x).square().mean().backward()
        optimizer.step()

    def sample(x: Tensor) -> None:
        with torch.no_grad():
            forward(x)

    def timed(work: Callable[[Tensor], None], x: Tensor) -> tuple[list[float], list[float]]:
        clock, processor = [], []
        for _ in range(repeats):
            start = time.perf_counter(), time.process_time()
            work(x)
            clock.append(time.perf_counter() - start[0])
            processor.append(time.process_time() - start[1])
        return clock, processor

    train(torch.randn(1, 1, FRAMES, 8, 8))
    optimizer.zero_grad(set_to_none=False)
    found: dict[str, Any] = {"parameters": sum(p.numel() for p in net.parameters())}
    x = torch.randn(1, 1, FRAMES, size, size)
    before = peak_mb()
    for step, work in (("sample", sample), ("train", train)):
        clock, processor = timed(work, x)
        found[step] = {"seconds": clock, "cpu_seconds": processor, "memory_mb": peak_mb() - before}
    if name == "ours":
        with FlopCounterMode(display=False) as counter:
            train(x)
        found["flops"] = counter.get_total_flops()
        found["matmul_rates"] = matmul_rates(torch.bfloat16 if bf16 else torch.float32)
    return found


def in_own_process(name: str, size: int, width: int, bf16: bool, args: argparse.Namespace) -> dict[str, Any]:
    """`measure` in a new process, so that its memory is its own."""
    one = json.dumps(
        {
            "name": name,
            "size": size,
            "width": width,
            "bf16": bf16,
            "threads": args.threads,
            "repeats": args.repeats,
        }
    )
    done = subprocess.run([sys.executable, __file__, "--one", one], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="folder that peers were installed into, if not the environment")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 112], help="sides of the frames")
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 32], help="base width, for each size")
    parser.add_argument("--rounds", type=int, nargs="+", default=[2, 1], help="turns of all networks, for each size")
    parser.add_argument("--repeats", type=int, default=1, help="steps that a process times in a turn")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, help="JSON file for the result")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peers is not None:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(args.peers)]))
        sys.path.append(str(args.peers))
    if args.one is not None:
        print(json.dumps(measure(**json.loads(args.one))))
        return

    names = ["ours"]
    for name, module in (("imagen", "imagen_pytorch"), ("diffusers", "diffusers")):
        if importlib.util.find_spec(module) is None:
            print(f"{module} is not installed: left out", file=sys.stderr)
        else:
            names.append(name)
    load_before = os.getloadavg()[0]
    lines: dict[str, dict[str, Any]] = {}
    summary: dict[str, float] = {}
    parameters: dict[str, dict[str, int]] = {}
    for size, width, rounds in zip(args.sizes, args.widths, args.rounds, strict=True):
        for bf16 in (False, True):
            suffix = "_bf16" if bf16 else ""
            found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
            for _ in range(rounds):
                for name in names:
                    found[name].append(in_own_process(name, size, width, bf16, args))
                    print(name, size, "bf16" if bf16 else "fp32", found[name][-1], file=sys.stderr, flush=True)
            parameters[str(size)] = {name: turns[0]["parameters"] for name, turns in found.items()}
            for step in ("train", "sample"):
                line = lines[f"{step}_{size}{suffix}"] = {
                    name: {
                        "seconds": round(statistics.median(s for t in turns for s in t[step]["seconds"]), 2),
                        "cpu_seconds": round(statistics.median(s for t in turns for s in t[step]["cpu_seconds"]), 2),
                        "memory_mb": round(statistics.median(t[step]["memory_mb"] for t in turns)),
                    }
                    for name, turns in found.items()
                }
                for key, figure in (("ratio", "seconds"), ("cpu_ratio", "cpu_seconds"), ("memory_ratio", "memory_mb")):
                    peers = [line[name][figure] for name in names[1:]]
                    if peers:
                        summary[f"{key}_{step}_{size}{suffix}"] = round(line["ours"][figure] / min(peers), 3)
            if size == args.sizes[0]:
                line = lines[f"train_{size}{suffix}"]["ours"]
                for place, (key, figure) in enumerate((("", "seconds"), ("cpu_", "cpu_seconds"))):
                    rate = max(t["matmul_rates"][place] for t in found["ours"])
                    summary[f"{key}matmul_share{suffix}"] = round(found["ours"][0]["flops"] / line[figure] / rate, 3)
                    summary[f"{key}matmul_peak_gflops{suffix}"] = round(rate / 1e9, 1)
                summary["step_gflop"] = round(found["ours"][0]["flops"] / 1e9, 1)

    report = {
        "what": f"a training step and a sampling step of one clip of {FRAMES} frames, three networks of the same "
        "levels and blocks and of about as many parameters",
        **summary,
        "parameters": parameters,
        "steps": lines,
        "base_widths": dict(zip(map(str, args.sizes), args.widths, strict=True)),
        "rounds": dict(zip(map(str, args.sizes), args.rounds, strict=True)),
        "repeats": args.repeats,
        "threads": args.threads,
        "device": "cpu",
        "load_before": round(load_before, 1),
    }
    publish(report, args.output)


if __name__ == "__main__":
    main()

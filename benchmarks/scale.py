"""What a corpus of many hours and a training on many GPUs take: the arithmetic of docs/scale.md.

    python benchmarks/scale.py
    python benchmarks/scale.py --hours 1000 --gpus 8 --step_seconds 0.4 --batch 8

Every field of `Plan` is an option. Rates of this program are read from benchmarks/results; all else is assumed.
"""

import argparse
import json
import math
from dataclasses import dataclass, fields
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
WHOLE = "frames, sound, text and reference"


def measured(name: str, *keys: str) -> float:
    """A figure of another benchmark."""
    value = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    for key in keys:
        value = value[key]
    return float(value)


@dataclass(frozen=True)
class Plan:
    """Assumptions, each with its unit."""

    hours: float = 10_000
    side: int = 112  # pixels
    fps: int = 60
    acoustic: int = 1024  # float16 numbers a frame (wav2vec2-large)
    tokens: int = 30  # a recording
    text: int = 768  # float16 numbers a token (BERT)
    recording_seconds: float = 5
    shard_gb: float = 1.07  # what `prepare` writes: 1 GiB
    cores: int = 64  # that prepare recordings
    embed_speed: float = 200  # times real time of wav2vec2-large on one GPU
    transcribe_speed: float = 30  # the same of Whisper large, for recordings without a text
    gpus: int = 64
    gpus_per_node: int = 8
    batch: int = 4  # clips a GPU
    clip_frames: int = 16
    context: int = 8  # frames of sound on both sides
    step_seconds: float = 0.25  # of training
    iterations: int = 5_000_000  # the paper's
    parameters: int = 70_635_410  # of configs/a_t_112.yaml with these embeddings
    disk_gb_s: float = 0.5  # a checkpoint is written with
    failure_days: float = 7  # between failures of the job


def plan(p: Plan) -> dict[str, dict[str, str]]:
    """The plan, in words, by section."""
    seconds = p.hours * 3600
    frames = seconds * p.fps
    recordings = seconds / p.recording_seconds
    parts = {
        "picture": frames * p.side**2,
        "sound": seconds * 16_000 * 2,
        "acoustic embeddings": frames * p.acoustic * 2,
        "text embeddings": recordings * p.tokens * p.text * 2,
    }
    total = sum(parts.values())
    shards = total / (p.shard_gb * 1e9)
    speed = {kind: measured("import_speed", "seconds_per_second", kind, "prepare") for kind in ("ult", "video")}
    clips = frames / p.clip_frames
    needed = p.gpus * p.batch / p.step_seconds
    # A clip that begins anywhere lies in one chunk of 16 frames more than it fills, but for one start in 16.
    chunks = p.clip_frames / 16 + 15 / 16
    heard = (p.clip_frames + 2 * p.context) / 16 + 15 / 16
    clip_bytes = chunks * 16 * p.side**2 + heard * 16 * p.acoustic * 2 + p.tokens * p.text * 2
    nodes = p.gpus / p.gpus_per_node
    rate = measured("shard_reading", "workers", "1", WHOLE, "wav2uti, nothing kept", "clips_per_second")
    opening = measured("shard_reading", "opening_ms", "shard") / 1000
    weights = p.parameters * 4
    save = 4 * weights / (p.disk_gb_s * 1e9)
    pause = math.sqrt(2 * save * p.failure_days * 86_400)
    days = p.iterations * p.step_seconds / 86_400
    return {
        "storage": {
            **{name: f"{size / 1e12:.2f} TB" for name, size in parts.items()},
            "together": f"{total / 1e12:.1f} TB, {total / p.hours / 1e9:.2f} GB an hour",
            "shards": f"{shards:,.0f} of {p.shard_gb} GB, {recordings / shards:.0f} recordings each",
        },
        "preparation": {
            f"from raw ultrasound, {p.cores} cores": f"{seconds / speed['ult'] / p.cores / 3600:.1f} h",
            f"from video, {p.cores} cores": f"{seconds / speed['video'] / p.cores / 3600:.1f} h",
            "disk meanwhile (raw)": f"{total * speed['ult'] * p.cores / seconds / 1e9:.1f} GB/s written",
            "embedding": f"{p.hours / p.embed_speed:.0f} GPU hours",
            "transcription, where all is without a text": f"{p.hours / p.transcribe_speed:.0f} GPU hours",
        },
        "training": {
            "clips": f"{needed:,.0f} a second, {needed / nodes:,.0f} a node",
            "read": f"{clip_bytes / 1e3:.0f} kB a clip, {needed * clip_bytes / 1e9:.2f} GB/s, "
            f"{needed * clip_bytes / nodes / 1e6:.0f} MB/s a node",
            "reader processes, shards open": f"{needed / rate:.1f}, {needed / rate / p.gpus:.2f} a GPU",
            "the same, a shard opened for each clip": f"{needed * (1 / rate + opening):.1f}, "
            f"{needed * (1 / rate + opening) / p.gpus:.2f} a GPU",
            "an epoch": f"{clips / 1e6:.0f} million clips, {clips / needed / 3600:.1f} h",
            "iterations": f"{p.iterations:,}: {p.iterations * p.gpus * p.batch / clips:.2f} epochs, {days:.1f} days",
            "a checkpoint": f"{4 * weights / 1e9:.2f} GB, {save:.1f} s to write",
            "save every": f"{pause / 60:.0f} min, {pause / p.step_seconds:,.0f} steps",
        },
        "memory of the order of clips, each process": {
            "arrays of numpy": f"{3 * 8 * clips / 1e9:.1f} GB",
            "the list that Lightning makes on several GPUs": f"{120 * clips / 1e9:.0f} GB",
            "facts of all recordings": f"{770 * recordings / 1e9:.1f} GB",
        },
    }


def told(sections: dict[str, dict[str, str]]) -> str:
    """The plan as text."""
    width = max(len(name) for section in sections.values() for name in section) + 2
    lines = []
    for title, section in sections.items():
        lines += [title, *(f"  {name:<{width}}{value}" for name, value in section.items())]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for field in fields(Plan):
        parser.add_argument(f"--{field.name}", type=type(field.default), default=field.default)
    print(told(plan(Plan(**vars(parser.parse_args())))))


if __name__ == "__main__":
    main()

"""`Scoring`: the callback of `wav2uti test` that scores generated clips and writes `metrics.json`."""

import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple, Protocol, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

import wav2uti
from wav2uti.clock import FPS
from wav2uti.errors import InputError
from wav2uti.files import replaced
from wav2uti.grey import to_grey
from wav2uti.metrics import pixel

# Scores of clips: uint8 (B, 1, T, H, W) generated and real -> (B,)
CLIP_SCORES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "rmse": pixel.rmse,
    "psnr": pixel.psnr,
    "ssim": pixel.ssim,
}
WRAPPED_SCORES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "rmse_uint8_wrapped": pixel.rmse_uint8_wrapped,
    "psnr_uint8_wrapped": pixel.psnr_uint8_wrapped,
}


class ClipPlace(NamedTuple):
    """Which clip: no two clips of a test share both."""

    recording: str
    progress: float  # of its first frame, in [0, 1]


class ClipScore(NamedTuple):
    """What is kept of a clip: plain numbers, so that processes can exchange them."""

    frames: int
    height: int
    width: int
    scores: dict[str, float]


class Scored(Protocol):
    """What the callback asks of a LightningModule; `tasks.base.Task` has it."""

    facts: dict[str, Any]  # "simulated": whether the corpus is

    def describe(self) -> dict[str, Any]:
        """How it generates, in plain JSON types."""


class Scoring(Callback):
    """Scores the clips of `test` and writes `metrics.json`.

    `test_step` returns {"generated": (B, 1, T, H, W) in [-1, 1]}; the batch holds `frames` like it, `ids` (the
    recordings) and `progress` (B, T). Generated and real frames are rounded to the grey values that would be written
    and scored on the CPU in float64: a callback runs outside autocast, and the figure does not depend on the device.

    A score is averaged over the frames of a recording, then over recordings. The clips are kept by recording and place
    and gathered from all processes, so a clip that the distributed sampler repeats counts once.

    Args:
        output: file to write; by default `metrics.json` in the folder of the checkpoint's run, or without a
            checkpoint in the folder of the logger.
        uint8_wrapped: also give RMSE and PSNR as the published script has them, wrapped modulo 256 (see
            `metrics.pixel`): only to set beside the paper's tables.

    Raises:
        InputError: where a generated clip is not finite, no clip was scored, or the file cannot be written.
    """

    def __init__(self, output: str | None = None, uint8_wrapped: bool = False) -> None:
        if output is not None and Path(output).is_dir():
            raise InputError(f"the scores cannot be written to {output}, which is a folder: give a file name in it")
        self.output = output
        self.scores = CLIP_SCORES | (WRAPPED_SCORES if uint8_wrapped else {})
        self.clips: dict[ClipPlace, ClipScore] = {}

    def on_test_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forgets an earlier test."""
        self.clips = {}

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Scores the clips of a batch."""
        ids: list[str] = batch["ids"]
        finite = outputs["generated"].isfinite().flatten(1).all(1).tolist()
        if not all(finite):
            raise InputError(
                f"a generated clip of {ids[finite.index(False)]} holds values that are not numbers: the training has "
                "diverged, so test an earlier checkpoint or train again with a lower learning rate"
            )
        generated, real = (to_grey(video).cpu() for video in (outputs["generated"], batch["frames"]))
        values = {name: score(generated, real).tolist() for name, score in self.scores.items()}
        _, _, frames, height, width = real.shape
        for i, place in enumerate(map(ClipPlace, ids, batch["progress"][:, 0].tolist())):
            scores = {name: value[i] for name, value in values.items()}
            self.clips[place] = ClipScore(frames, height, width, scores)

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Gathers the clips of all processes, logs the means as `test/<score>` and writes the file."""
        clips = gathered(self.clips)
        if not clips:
            raise InputError(
                "no clip was scored: the test split is empty, so give it recordings in the data's settings"
            )
        recordings = by_recording(clips)
        means = {name: fmean(scores[name] for scores in recordings.values()) for name in self.scores}
        pl_module.log_dict({f"test/{name}": mean for name, mean in means.items()}, sync_dist=trainer.world_size > 1)
        path = self._path(trainer)
        if not trainer.is_global_zero:
            return
        task = cast(Scored, pl_module)
        first = next(iter(clips.values()))
        write_json(
            path,
            {
                "scores": means,
                "clips": len(clips),
                "recordings": len(recordings),
                "frames": sum(clip.frames for clip in clips.values()),
                "frames_per_clip": max(clip.frames for clip in clips.values()),
                "frame_rate": FPS,
                "resolution": [first.height, first.width],
                "simulated": task.facts.get("simulated"),
                "checkpoint": str(trainer.ckpt_path) if trainer.ckpt_path else None,
                "task": task.describe(),
                "date": datetime.now(UTC).isoformat(timespec="seconds"),
                "wav2uti": wav2uti.__version__,
                "torch": torch.__version__,
                "per_recording": recordings,
            },
        )

    def _path(self, trainer: pl.Trainer) -> Path:
        """Where to write; asked of every process, because `log_dir` is agreed on between them."""
        if self.output is not None:
            return Path(self.output)
        log_dir = trainer.log_dir or trainer.default_root_dir
        if trainer.ckpt_path:
            folder = Path(trainer.ckpt_path).parent
            return (folder.parent if folder.name == "checkpoints" else folder) / "metrics.json"
        return Path(log_dir) / "metrics.json"


def gathered(clips: dict[ClipPlace, ClipScore]) -> dict[ClipPlace, ClipScore]:
    """The clips of all processes in the order of their places; the same for each process."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        parts: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(parts, clips)
        clips = {place: score for part in parts for place, score in part.items()}
    return dict(sorted(clips.items()))


def by_recording(clips: Mapping[ClipPlace, ClipScore]) -> dict[str, dict[str, float]]:
    """Scores of each recording: the mean over the frames of its clips.

    >>> first, second = ClipScore(2, 8, 8, {"rmse": 1.0}), ClipScore(1, 8, 8, {"rmse": 4.0})
    >>> by_recording({ClipPlace("a", 0.1): first, ClipPlace("a", 0.7): second})
    {'a': {'rmse': 2.0}}
    """
    groups: dict[str, list[ClipScore]] = {}
    for place, score in clips.items():
        groups.setdefault(place.recording, []).append(score)
    return {
        recording: {
            name: math.fsum(clip.frames * clip.scores[name] for clip in group) / sum(clip.frames for clip in group)
            for name in group[0].scores
        }
        for recording, group in groups.items()
    }


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON whole or not at all."""
    with replaced(path) as part:
        part.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

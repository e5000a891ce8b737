"""`Scoring`: the callback of `wav2uti test` that scores generated clips and writes `metrics.json`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import lightning.pytorch as pl
import torch
import yaml
from lightning.pytorch.callbacks import Callback

from wav2uti.errors import InputError
from wav2uti.grey import to_grey
from wav2uti.hub import is_kept_for_all
from wav2uti.metrics.evaluation import ClipPlace, Evaluation
from wav2uti.metrics.results import write_results
from wav2uti.metrics.scorers import Lpips, Scorers, find_scorers


class Scored(Protocol):
    """What the callback asks of a LightningModule; `tasks.base.Task` has it."""

    facts: dict[str, Any]  # "simulated": whether the corpus is

    def describe(self) -> dict[str, Any]:
        """How it generates, in plain JSON types."""


class Scoring(Callback):
    """Scores the clips of `test` and writes `metrics.json`, and beside it a few clips as `samples.npz`.

    `test_step` returns {"generated": (B, 1, T, H, W) in [-1, 1]}; the batch holds `frames` like it, `ids` (the
    recordings), `progress` (B, T + 2 C) and, where the corpus has them, `speakers`, `contour` (B, T, K, 2) and
    `mm_per_pixel` (B,), the last two NaN where unknown. Both sides are rounded to the grey values that would be
    written. A callback runs outside autocast: everything is computed in float, RMSE, PSNR and SSIM in float64 on the
    CPU, networks on the device of the model.

    The clips are kept by recording and place and gathered from all processes, so a clip that the distributed sampler
    repeats counts once, and the scores are those of one process. A score whose network's weights are not here is left
    out, and the file says why.

    Args:
        output: file to write; by default `metrics.json` in the folder of the checkpoint's run, or without a
            checkpoint, or for a model from the hub or of the package, in the folder of the logger.
        uint8_wrapped: also give RMSE and PSNR as the published script has them, wrapped modulo 256 (see
            `metrics.pixel`): only to set beside the paper's tables.
        lpips: networks for LPIPS: squeeze, alex, vgg.
        fid: give FID. It and KID need an Inception-v3 of every frame.
        kid: give KID, which is unbiased for few frames.
        fvd: give FVD.
        contour: track the tongue in generated and real frames and give the errors of its contour.
        i3d: weights of the network for FVD; by default looked for as `metrics.weights` says.
        keep: clips in `samples.npz`; 0 writes none.

    Raises:
        InputError: where a generated clip is not finite, no clip was scored, or a file cannot be written.
    """

    def __init__(
        self,
        output: str | None = None,
        uint8_wrapped: bool = False,
        lpips: Sequence[Lpips] = ("squeeze",),
        fid: bool = True,
        kid: bool = True,
        fvd: bool = True,
        contour: bool = True,
        i3d: str | None = None,
        keep: int = 8,
    ) -> None:
        if output is not None and Path(output).is_dir():
            raise InputError(f"the scores cannot be written to {output}, which is a folder: give a file name in it")
        self.output = output
        self.uint8_wrapped = uint8_wrapped
        self.lpips = lpips
        self.fid = fid
        self.kid = kid
        self.fvd = fvd
        self.contour = contour
        self.i3d = i3d
        self.keep = keep
        self.evaluation = Evaluation(Scorers())

    def scorers(self, device: torch.device) -> Scorers:
        """What scores, with networks on a device."""
        return find_scorers(
            self.uint8_wrapped, self.lpips, self.fid, self.kid, self.fvd, self.contour, self.i3d, device
        )

    def on_test_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Loads the networks and forgets an earlier test."""
        self.evaluation = Evaluation(self.scorers(pl_module.device), self.keep)

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
        generated, real = (to_grey(video)[:, 0].cpu().numpy() for video in (outputs["generated"], batch["frames"]))
        context = (batch["progress"].shape[1] - real.shape[1]) // 2
        progress = batch["progress"][:, context].tolist()
        speakers = batch.get("speakers", [None] * len(ids))
        for i, id in enumerate(ids):
            contour, scale = (_known(batch, key, i) for key in ("contour", "mm_per_pixel"))
            self.evaluation.add(
                ClipPlace(id, progress[i]),
                speakers[i],
                generated[i],
                real[i],
                None if contour is None else contour.float().cpu().numpy(),
                None if scale is None else scale.item(),
            )

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Gathers the clips of all processes; the first one logs the scores as `test/<score>` and writes the files."""
        self.evaluation.gather()
        if not self.evaluation.clips:
            raise InputError(
                "no clip was scored: the test split is empty, so give it recordings in the data's settings"
            )
        path = self._path(trainer)
        if not trainer.is_global_zero:
            return
        task = cast(Scored, pl_module)
        result = self.evaluation.result()
        # One frame in so many of the 60 a second, where the model draws no more.
        step = task.facts.get("frame_step", 1)
        result |= {"frame_rate": result["frame_rate"] / step, "frame_step": step}
        pl_module.log_dict(
            {f"test/{name}": score for name, score in result["scores"].items()}, rank_zero_only=True, sync_dist=False
        )
        write_results(
            path,
            result,
            self.evaluation.samples,
            simulated=task.facts.get("simulated"),
            checkpoint=str(trainer.ckpt_path) if trainer.ckpt_path else None,
            task=task.describe(),
            config=_config(trainer),
        )

    def _path(self, trainer: pl.Trainer) -> Path:
        """Where to write; asked of every process, because `log_dir` is agreed on between them."""
        if self.output is not None:
            return Path(self.output)
        log_dir = trainer.log_dir or trainer.default_root_dir
        return (_run_folder(trainer) or Path(log_dir)) / "metrics.json"


def _run_folder(trainer: pl.Trainer) -> Path | None:
    """The folder of the run that the checkpoint comes from."""
    if not trainer.ckpt_path:
        return None
    if Path(trainer.ckpt_path).is_dir():  # an exported model
        return None if is_kept_for_all(Path(trainer.ckpt_path)) else Path(trainer.ckpt_path)
    folder = Path(trainer.ckpt_path).parent
    return folder.parent if folder.name == "checkpoints" else folder


def _config(trainer: pl.Trainer) -> dict[str, Any] | None:
    """The config that `fit` left in the folder of the run, or None where there is none to read."""
    folder = _run_folder(trainer)
    try:
        config = None if folder is None else yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None
    return config if isinstance(config, dict) else None


def _known(batch: Any, key: str, i: int) -> torch.Tensor | None:
    """What a batch says of a clip, or None where it does not."""
    value: torch.Tensor | None = batch[key][i] if key in batch else None
    return None if value is None or value.isnan().all() else value

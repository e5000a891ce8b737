"""`metrics.json` and `samples.npz`, written whole or not at all."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import wav2uti
from wav2uti.clock import FPS
from wav2uti.files import replaced
from wav2uti.metrics.evaluation import ClipPlace


def write_results(
    path: Path,
    result: Mapping[str, Any],
    samples: Mapping[ClipPlace, tuple[NDArray[np.uint8], NDArray[np.uint8]]],
    *,
    simulated: bool | None,
    checkpoint: str | None,
    task: Mapping[str, Any],
    config: Mapping[str, Any] | None,
) -> None:
    """Write the JSON file, and `samples.npz` beside it where there are samples.

    Args:
        path: of the JSON file.
        result: of `Evaluation.result`.
        samples: generated and real frames (T, H, W) of some clips.
        simulated: whether the corpus is; None where unknown.
        checkpoint: what generated, where it was a model.
        task: how it was generated.
        config: of the run, where known.

    Raises:
        InputError: where the folder or the disk refuses them.
    """
    if samples:
        write_samples(path.with_name("samples.npz"), samples, simulated)
    facts = dict(result)
    recordings = facts.pop("per_recording")
    facts |= {
        "simulated": simulated,
        "checkpoint": checkpoint,
        "task": task,
        "config": config,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "wav2uti": wav2uti.__version__,
        "torch": torch.__version__,
        "per_recording": recordings,  # the longest part comes last
    }
    write_json(path, facts)


def write_samples(
    path: Path, samples: Mapping[ClipPlace, tuple[NDArray[np.uint8], NDArray[np.uint8]]], simulated: bool | None
) -> None:
    """Write clips for looking at.

    Arrays: generated and real, uint8 (N, T, H, W); ids, the recordings, and progress, where in them the first frames
    stand, (N,); simulated; fps.
    """
    # Through an open file: numpy adds .npz to a name that ends otherwise.
    with replaced(path) as part, part.open("wb") as file:
        np.savez_compressed(
            file,
            generated=np.stack([generated for generated, _ in samples.values()]),
            real=np.stack([real for _, real in samples.values()]),
            ids=np.array([place.recording for place in samples]),
            progress=np.array([place.progress for place in samples]),
            simulated=np.array(bool(simulated)),
            fps=np.array(FPS),
        )


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write strict JSON: numbers that are not finite, which a config may hold, become null, other objects text."""
    with replaced(path) as part:
        text = json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False, default=str)
        part.write_text(text + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

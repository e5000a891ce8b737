"""What `wav2uti test` left of a run, read back: scores from `metrics.json`, a few clips from `samples.npz`."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wav2uti.clock import FPS
from wav2uti.errors import InputError
from wav2uti.files import check_ordinary, content_of, read_arrays
from wav2uti.names import printable

MOST_BYTES = 1 << 26  # of a metrics.json; 100,000 recordings take 40 MB
MOST_FRAMES = 1 << 29  # bytes of frames in a samples.npz: those of `wav2uti test` take 6 MB
_LONGEST_SIDE = 4096  # of a frame in pixels; it is also at most 16 times the other
_LARGEST = 1.0e100  # no score nor count comes near it
MODELS = ("DNN", "A", "A+T")  # in the order of the paper's Table 1


class Metrics(NamedTuple):
    """The content of a `metrics.json`; None where the file does not say."""

    scores: dict[str, float]
    intervals: dict[str, tuple[float, float]]  # 95 %
    levels: dict[str, float]  # what a score would be for real frames, to compare with
    missing: dict[str, str]  # why a score was left out
    resolution: tuple[int, int]  # height, width
    clips: int | None
    recordings: int | None
    speakers: int | None
    frames_per_clip: int | None
    frame_rate: float | None
    frame_step: int | None
    simulated: bool | None
    ids: frozenset[str]  # of the recordings
    task: dict[str, Any]
    weights: dict[str, str]
    origin: dict[str, str]  # checkpoint, date and versions


class Run(NamedTuple):
    """A tested run."""

    path: Path  # its metrics.json
    name: str  # unique in a report
    model: str | None  # of MODELS; None where metrics.json does not say
    metrics: Metrics

    @property
    def folder(self) -> Path:
        return self.path.parent


class Samples(NamedTuple):
    """Clips of a test: uint8 (N, T, H, W), and for each its recording and the progress of its first frame."""

    generated: NDArray[np.uint8]
    real: NDArray[np.uint8]
    places: list[tuple[str, float]]


def read_runs(paths: Sequence[Path], names: Sequence[str] = ()) -> list[Run]:
    """The runs in the order of the paper's Table 1, by resolution within a model.

    Args:
        paths: folders of runs, or their metrics.json.
        names: what to call them, one for each; "DNN", "A" and "A+T" also say which model of the paper a run is.

    Raises:
        InputError: a run that cannot be read or is given twice, or names of another number.
    """
    if names and len(names) != len(paths):
        raise InputError(
            f"--names has {len(names)} names for {len(paths)} runs: give one for each, separated by commas."
        )
    files = [path if path.suffix == ".json" else path / "metrics.json" for path in paths]
    twice = [path for path, count in Counter(file.resolve() for file in files).items() if count > 1]
    if twice:
        raise InputError(f"The run {twice[0].parent} is given twice: name each run once.")
    read = [read_metrics(file) for file in files]
    models = [
        name if name in MODELS else model_of(metrics.task)
        for name, metrics in zip(names or [""] * len(read), read, strict=True)
    ]
    shown = list(map(printable, names)) or [
        model or printable(file.resolve().parent.name) for model, file in zip(models, files, strict=True)
    ]
    runs = [
        Run(file, name, model, metrics)
        for file, name, model, metrics in zip(files, _unique(shown, files, read), models, read, strict=True)
    ]
    return sorted(runs, key=lambda run: (MODELS.index(run.model) if run.model else len(MODELS), run.metrics.resolution))


def model_of(task: dict[str, Any]) -> str | None:
    """Which model of the paper's Table 1 a task is, by its own description.

    >>> model_of({"task": "DiffusionTask", "text": True})
    'A+T'
    """
    if task.get("task") == "RegressionTask":
        return "DNN"
    if task.get("task") == "DiffusionTask" and isinstance(task.get("text"), bool):
        return "A+T" if task["text"] else "A"
    return None


def _unique(names: Sequence[str], files: Sequence[Path], metrics: Sequence[Metrics]) -> list[str]:
    """Names that differ within a resolution: the folder is added where two are the same, then a number."""
    for ends in ([f" ({file.resolve().parent.name})" for file in files], [f" {i + 1}" for i in range(len(files))]):
        keys = list(zip(names, (m.resolution for m in metrics), strict=True))
        names = [key[0] + end if keys.count(key) > 1 else key[0] for key, end in zip(keys, ends, strict=True)]
    return list(names)


def read_metrics(path: Path) -> Metrics:
    """Read a `metrics.json`; what is missing in it is None or empty, but scores and resolution must be there.

    Raises:
        InputError: the file is absent or damaged.
    """
    again = "test the run again with wav2uti test"
    if not os.path.exists(path):  # noqa: PTH110 (never raises)
        if os.path.isdir(path.parent):  # noqa: PTH112
            raise InputError(f"{path.parent} has no {path.name}: test the run first with wav2uti test.")
        raise InputError(f"There is no folder {path.parent}: give the folder of a tested run.")
    text = content_of(path, MOST_BYTES)
    try:
        content = _shown(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON ({_first_line(error)}): {again}.") from error
    scores = content.get("scores") if isinstance(content, dict) else None
    if not isinstance(scores, dict) or not all(isinstance(v, int | float | None) for v in scores.values()):
        raise InputError(f"{path} has no scores that are numbers: {again}.")
    resolution = content.get("resolution")
    if not (isinstance(resolution, list) and len(resolution) == 2 and all(_count(side) for side in resolution)):
        raise InputError(f"{path} does not say its resolution as [height, width]: {again}.")
    finite = {name: float(value) for name, value in scores.items() if _number(value)}
    odd = {name: "The value is not a finite number." for name in scores if name not in finite}
    fps, simulated = content.get("frame_rate"), content.get("simulated")
    return Metrics(
        scores=finite,
        intervals={name: pair for name, value in _dict(content, "intervals").items() if (pair := _pair(value))},
        levels={name: float(v) for name, v in _dict(content, "levels").items() if _number(v)},
        missing=odd | {name: str(why) for name, why in _dict(content, "missing").items()},
        resolution=(resolution[0], resolution[1]),
        clips=_count(content.get("clips")),
        recordings=_count(content.get("recordings")),
        speakers=_count(content.get("speakers")),
        frames_per_clip=_count(content.get("frames_per_clip")),
        frame_rate=float(fps) if _number(fps) else None,
        frame_step=_count(content.get("frame_step")),
        simulated=simulated if isinstance(simulated, bool) else None,
        ids=frozenset(_dict(content, "per_recording")),
        task=_dict(content, "task"),
        weights={name: str(sha) for name, sha in _dict(content, "weights").items()},
        origin={name: str(content[name]) for name in ("checkpoint", "date", "wav2uti", "torch") if content.get(name)},
    )


def read_samples(run: Run) -> Samples | None:
    """The clips that the test kept in `samples.npz`; None where there is no such file.

    Raises:
        InputError: the file is damaged.
    """
    path = run.folder / "samples.npz"
    if not os.path.exists(path):  # noqa: PTH110 (never raises)
        return None
    check_ordinary(path)
    try:
        found = read_arrays(path, ("generated", "real", "ids", "progress", "fps"), MOST_FRAMES)
        generated, real, ids, progress = (found[name] for name in ("generated", "real", "ids", "progress"))
        fps = float(found["fps"])
        fits_places = progress.dtype.kind in "fiu" and ids.dtype.kind in "US"
    except Exception as error:  # zipfile, zlib and numpy each raise their own for broken files
        raise InputError(f"{path} cannot be read ({_first_line(error)}): test the run again.") from error
    fits = all(clips.ndim == 4 and clips.dtype == np.uint8 and min(clips.shape) > 0 for clips in (generated, real))
    if (
        not (fits and fits_places and _may_be_shown(real))
        or generated.shape != real.shape
        or not len(generated) == ids.size == progress.size
    ):
        raise InputError(f"{path} does not hold clips (N, T, H, W) of uint8 with their ids: test the run again.")
    if fps != FPS:
        raise InputError(f"{path} holds {fps:g} frames a second, not {FPS}: test the run again.")
    # Rounded: the same place, however its float came about.
    places = [(printable(str(id)), round(float(p), 6)) for id, p in zip(ids.flat, progress.flat, strict=True)]
    return Samples(generated, real, places)


def _may_be_shown(clips: NDArray[np.uint8]) -> bool:
    """Whether frames (N, T, H, W) have sides of which a video can be made."""
    short, long = sorted(clips.shape[2:])
    return long <= min(16 * short, _LONGEST_SIDE)


def _shown(value: Any) -> Any:
    """JSON whose texts and names can be shown and written as UTF-8, which half a character, as "\\ud800" is, cannot."""
    if isinstance(value, dict):
        return {printable(name): _shown(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_shown(part) for part in value]
    return printable(value) if isinstance(value, str) else value


def _dict(content: dict[str, Any], name: str) -> dict[str, Any]:
    value = content.get(name)
    return value if isinstance(value, dict) else {}


def _number(value: object) -> bool:
    """Whether a value can be shown as a number; JSON has whole ones that no float can be."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST


def _count(value: object) -> int | None:
    """A whole number above 0, else None."""
    return value if isinstance(value, int) and _number(value) and value > 0 else None


def _pair(value: object) -> tuple[float, float] | None:
    """Both ends of an interval, else None."""
    if isinstance(value, list) and len(value) == 2 and all(_number(end) for end in value):
        return float(value[0]), float(value[1])
    return None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".:")

"""The models that the page offers, and what each of them wants to be told."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from wav2uti.errors import InputError
from wav2uti.files import content_of
from wav2uti.pretrained import FOLDER, MODEL

# Of an exported folder, as in tasks.exported.
CONFIG, WEIGHTS, REFERENCE = "config.json", "model.safetensors", "reference.png"
LARGEST = 16 * 2**20  # bytes of a config
# What a sampler of each task does by default; a regression has none.
STEPS = {"DiffusionTask": 32, "ConsistencyTask": 2}


@dataclass(frozen=True)
class Model:
    """A model, or the cascade of several, that can be chosen.

    Attributes:
        label: what the page calls it.
        paths: what `load` takes, a cascade's stages first to last.
    """

    label: str
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Wants:
    """What a model can be told.

    Attributes:
        simulated: all it has seen is simulated.
        text: it reads what is said.
        transcriber: something that writes down what is said belongs to it.
        reference: it is shown one frame of the speaker.
        own_reference: it brings a frame of some speaker, for who has none.
        steps: of its sampler by default; None where it has none.
        guidance: scale of its guidance by default; None where it has none.
        size: of its frames, in pixels a side.
        mm_per_pixel: of its frames, where known.
    """

    simulated: bool
    text: bool
    transcriber: bool
    reference: bool
    own_reference: bool
    steps: int | None
    guidance: float | None
    size: int
    mm_per_pixel: float | None


class Models:
    """Those that `--ckpt_path` named, the shipped one, checkpoints under runs/ and exported folders here and there.

    Args:
        given: each as `predict --ckpt_path` takes it: a path or name, or those of a cascade's stages with commas.
        runs: where checkpoints are looked for; exported folders in the folder around it, too.
    """

    def __init__(self, given: Sequence[str] = (), runs: Path = Path("runs")) -> None:
        self.given = list(given)
        self.runs = runs

    def found(self) -> list[Model]:
        """All that are there now, those that were named first, then the shipped one, then the newest.

        Raises:
            InputError: there is none.
        """
        named = [Model(one, tuple(_stages(one))) for one in self.given]
        files = [path for path in self.runs.rglob("*.ckpt") if not path.name.startswith(".")]
        folders = [config.parent for place in (self.runs.rglob(CONFIG), self.runs.parent.glob(f"*/{CONFIG}"))
                   for config in place if (config.parent / WEIGHTS).is_file()]  # fmt: skip
        # `last` is another name of the newest one, and comes before it here.
        files = list({_same(path): path for path in sorted(files, key=lambda path: path.stem == "last")}.values())
        paths = sorted({*files, *folders}, key=_written, reverse=True)
        others = [Model(_label(path, self.runs), (str(path),)) for path in paths]
        models = {model.paths: model for model in [*others, *_shipped(), *named]}  # of two alike the one named first
        order = [*named, *_shipped(), *others]
        models = {model.paths: models[model.paths] for model in order}
        if not models:
            raise InputError(
                f"There is no model: train one with `wav2uti fit --config configs/simulated.yaml` (it is looked for "
                f"under {self.runs}/), or name one with --ckpt_path."
            )
        return list(models.values())

    def named(self, label: str) -> Model:
        """The one of this label.

        Raises:
            InputError: it is no longer there.
        """
        for model in self.found():
            if model.label == label:
                return model
        raise InputError(f"The model {label} is no longer there: load the page again and choose another.")


def wants(model: Model) -> Wants:
    """What a model can be told, of the file of its last stage.

    Raises:
        InputError: it cannot be read.
    """
    options = [_options(path, _written(Path(path))) for path in model.paths]
    facts = options[-1]["facts"]
    kinds = [str(one["_class_path"]).rsplit(".", 1)[-1] for one in options]
    steps = [_steps(one, STEPS[kind]) for kind, one in zip(kinds, options, strict=True) if kind in STEPS]
    texts = [one["facts"]["text"] for one in options if one["facts"]["text"]]
    guided = any(one.get("drop_condition", 0) > 0 for one in options)
    return Wants(
        simulated=bool(facts["simulated"]),
        text=bool(texts),
        transcriber=any(text.get("transcriber") for text in texts),
        reference=bool(facts["reference"]),
        own_reference=(Path(model.paths[-1]) / REFERENCE).is_file(),
        steps=max(steps) if steps else None,
        guidance=_scale(options[-1], guided) if "DiffusionTask" in kinds else None,
        size=int(facts["size"]),
        mm_per_pixel=facts.get("mm_per_pixel"),
    )


def _stages(given: str) -> list[str]:
    return [given] if Path(given).exists() else [part.strip() for part in given.split(",") if part.strip()]


def _steps(options: Mapping[str, Any], default: int) -> int:
    """Those that a model was exported with, else those of its task."""
    return int(((options.get("sampler") or {}).get("init_args") or {}).get("steps", default))


def _scale(options: Mapping[str, Any], guided: bool) -> float:
    own = options.get("guidance") or {}
    return float(own.get("scale", 3.0 if guided else 1.0))


def _shipped() -> list[Model]:
    return [Model(f"{MODEL}, in the box", (str(FOLDER),))] if (FOLDER / WEIGHTS).is_file() else []


def _label(path: Path, runs: Path) -> str:
    """A path as a user knows it: that within runs/, without the folder in which all checkpoints lie."""
    if not path.is_relative_to(runs):
        return str(path)
    place = path.relative_to(runs)
    bare = place.with_suffix("") if path.suffix == ".ckpt" else place
    return " / ".join(part for part in bare.parts if part != "checkpoints")


def _same(path: Path) -> tuple[int, int]:
    """What two names of one file have in common."""
    state = path.stat()
    return state.st_dev, state.st_ino


def _written(path: Path) -> float:
    """When a file, or the weights in a folder, were written; 0 for what is not here."""
    file = path / WEIGHTS if path.is_dir() else path
    return file.stat().st_mtime if file.exists() else 0.0


@lru_cache(maxsize=64)
def _options(path: str, written: float) -> dict[str, Any]:
    """Hyper-parameters of a model that was written then, its weights unread."""
    place = Path(path)
    if place.is_dir():
        return _exported(place / CONFIG)
    from wav2uti.tasks.checkpoint import read_checkpoint  # here: torch takes seconds and a gigabyte

    options: dict[str, Any] = read_checkpoint(place, mmap=True)["hyper_parameters"]
    return options


def _exported(path: Path) -> dict[str, Any]:
    """What the page has to know of an exported model; the process that loads it looks closer (`tasks.exported`)."""
    try:
        config = json.loads(content_of(path, LARGEST))
        options: dict[str, Any] = {"_class_path": config["class"], **config["hyper_parameters"]}
        return options | {"facts": config["facts"]}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path} is not of a model that `wav2uti export` wrote: export or copy it again.") from error

"""`wav2uti export`: a trained model as safetensors, plain JSON and a model card."""

import io
import warnings
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser
from PIL import Image

from wav2uti.config_files import read_config
from wav2uti.diffusion.guidance import Guidance
from wav2uti.diffusion.sampler import Sampler
from wav2uti.errors import InputError
from wav2uti.report.card import UNKNOWN, encoders, is_hub_id, model_card, pretrained
from wav2uti.report.runs import Metrics, read_metrics
from wav2uti.tasks.checkpoint import read_checkpoint
from wav2uti.tasks.exported import REFERENCE, WEIGHTS, write_exported
from wav2uti.video.reference_frame import read_reference

# Of a config's model: what decides how clips are drawn, which no checkpoint stores.
DRAWING = ("sampler", "guidance", "overlap")
NONE = "None: the model was not tested when it was exported (`wav2uti test`)."


def export(
    checkpoint: Path,
    folder: Path,
    license: str = UNKNOWN,
    metrics: Path | None = None,
    drawing: Path | None = None,
    reference: Path | None = None,
    data: str | None = None,
    half: bool = False,
) -> None:
    """Write a trained model without pickles: FOLDER/model.safetensors, config.json and README.md, its model card.

    The weights are those that `predict` uses, averaged where training averaged them; no optimizer. The folder can be
    given wherever a checkpoint can, but for going on with a training.

    Args:
        checkpoint: .ckpt file of `wav2uti fit`.
        folder: to write; it must not exist or be empty.
        license: licence of the weights, such as cc-by-nc-4.0; the card says "unknown" where none is given.
        metrics: metrics.json of a test of this checkpoint; by default that of its run, if it is of this checkpoint.
        drawing: YAML whose sampler, guidance and overlap the exported model draws with where it is told no others, such
            as the config that it was tested with.
        reference: picture of the frame that the exported model is given where its user gives none.
        data: what it was trained on and on what terms, for the card, such as "TaL1 and TaL80, CC BY-NC 4.0".
        half: store the weights as float16, in half the room; they are rounded to 11 bits and used as float32.
    """
    if checkpoint.is_dir():
        raise InputError(f"{checkpoint} is a folder: give the .ckpt file of a `wav2uti fit` run.")
    if "\n" in license or not license.strip():
        raise InputError("--license is the name of a licence on one line, such as cc-by-nc-4.0.")
    name = folder.resolve().name
    content = write_model(checkpoint, folder, name, license, metrics, data, half, drawing, reference)
    if license.lower() == UNKNOWN:
        warnings.warn("the model card says that the licence is unknown; give one with --license.", stacklevel=2)
    facts = content["hyper_parameters"].get("facts") or {}
    for kind, model in ((kind, pretrained(spec)) for kind, spec in encoders(facts)):
        if model is not None and not is_hub_id(model):
            warnings.warn(
                f"config.json and the card name the folder {model} ({kind}), which whoever uses the model needs.",
                stacklevel=2,
            )
    size, before = (folder / WEIGHTS).stat().st_size, checkpoint.stat().st_size
    print(f"model: {folder} ({size:,} bytes of weights; the checkpoint has {before:,})")


def write_model(
    checkpoint: Path,
    folder: Path,
    name: str,
    license: str,
    metrics: Path | None = None,
    data: str | None = None,
    half: bool = False,
    drawing: Path | None = None,
    reference: Path | None = None,
) -> dict[str, Any]:
    """Write the folder, with a card that calls the model by `name`; what the checkpoint holds. See `export`."""
    content = read_checkpoint(checkpoint, mmap=True)
    scores = _scores(checkpoint) if metrics is None else read_metrics(metrics)
    options = content["hyper_parameters"]
    if drawing is not None:
        if "sigma_data" not in options:
            raise InputError(f"{checkpoint} is no diffusion model and draws without a sampler: leave out --drawing.")
        content = {**content, "hyper_parameters": {**options, **_drawing(drawing)}}
    others = {}
    if reference is not None:
        others[REFERENCE] = _png(reference, options.get("facts") or {})
    write_exported(
        folder, content, lambda config: model_card(config, name, license.strip(), scores, data), others, half
    )
    if isinstance(scores, str):
        warnings.warn(f"the model card has no scores. {scores}", stacklevel=3)
    return content


def _drawing(path: Path) -> dict[str, Any]:
    """Of a config of a diffusion model, how it draws."""
    config = read_config(path)
    for name in ("model", "init_args"):
        config = config.get(name) if isinstance(config, Mapping) else None
    found = {name: config[name] for name in DRAWING if name in config} if isinstance(config, Mapping) else {}
    if not found:
        raise InputError(f"{path} does not say how a model draws: give a config with model.init_args.sampler.")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--sampler", type=Sampler)
    parser.add_argument("--guidance", type=Guidance)
    parser.add_argument("--overlap", type=int)
    try:
        parsed = parser.parse_object(found).as_dict()
        parser.instantiate_classes(parser.parse_object(found))
    except (ArgumentError, ValueError, TypeError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())[:300].rstrip('.')}; correct the config.") from error
    if (parsed.get("guidance") or {}).get("weak"):
        raise InputError(f"{path}: a second checkpoint as guidance.weak does not go into an exported model; remove it.")
    return {name: parsed[name] for name in found}


def _png(path: Path, facts: Mapping[str, Any]) -> bytes:
    """A reference frame at the size of the model's frames."""
    if not facts.get("reference"):
        raise InputError("This model was trained without reference frames: leave out --reference.")
    file = io.BytesIO()
    Image.fromarray(read_reference(path, facts["size"])).save(file, format="PNG")
    return file.getvalue()


def _scores(checkpoint: Path) -> Metrics | str:
    """The scores in the folder of a checkpoint's run, or why they are not its own."""
    folder = checkpoint.resolve().parent
    file = (folder.parent if folder.name == "checkpoints" else folder) / "metrics.json"
    if not file.is_file():
        return NONE
    metrics = read_metrics(file)
    if Path(metrics.origin.get("checkpoint", "")).name != checkpoint.name:
        return "None: the scores in the folder of the run are of another of its checkpoints."
    try:
        tested = datetime.fromisoformat(metrics.origin.get("date", "")).timestamp()
    except ValueError:
        return "None: the scores in the folder of the run do not say when they were measured."
    if checkpoint.stat().st_mtime > tested + 1:  # dates are written in whole seconds
        return "None: the checkpoint is younger than the scores in the folder of its run; test it again."
    return metrics

"""Trained weights without pickles: a folder that anybody can read, and that loads wherever a checkpoint does.

    model.safetensors   the weights that drawing uses, in no second copy: floats as float32, or those with more than
                        one dimension as float16
    config.json         the class, its options, the facts of its data: all that rebuilds the task; size and sha256 of
                        the weights, so that a damaged or exchanged file is told from the right one
    README.md           the model card
    reference.png       the reference frame of a speaker that it is given where its user gives none; not in all

Format version 1; versions of wav2uti that wrote no float16 read it, too. A checkpoint of Lightning holds the averaged
weights, the weights that were averaged and two moments of each for the optimizer; a folder holds the first of these.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import wav2uti
from wav2uti.errors import InputError
from wav2uti.tasks.allowed import check_named

FORMAT = "wav2uti"
VERSION = 1
WEIGHTS, CONFIG, CARD, REFERENCE = "model.safetensors", "config.json", "README.md", "reference.png"
LARGEST_CONFIG = 16 * 2**20  # bytes; a config has some thousands
AGAIN = "export or copy it again"


def write_exported(
    folder: Path,
    checkpoint: Mapping[str, Any],
    card: Callable[[dict[str, Any]], str],
    others: Mapping[str, bytes] | None = None,
    half: bool = False,
) -> None:
    """Write a checkpoint's model as a folder, whole or not at all.

    Args:
        folder: must not exist, or be empty.
        checkpoint: as `read_checkpoint` gives it.
        card: makes the model card of what config.json says.
        others: contents of further files, by name.
        half: store matrices and kernels as float16, but those with a value that float16 has no room for.

    Raises:
        InputError: the folder is not empty or cannot be written; the options are not plain JSON.
    """
    from safetensors.torch import save_file

    weights = {name: _plain(value, half) for name, value in checkpoint["state_dict"].items()}
    with new_folder(folder) as part:
        save_file(weights, part / WEIGHTS, metadata={"format": "pt"})
        config = _config(checkpoint, part / WEIGHTS, weights)
        try:
            text = json.dumps(config, indent=2, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InputError(f"The options of this model cannot be written as JSON ({error}).") from error
        (part / CONFIG).write_text(text + "\n", encoding="utf-8")
        (part / WEIGHTS).chmod((part / CONFIG).stat().st_mode)  # safetensors lets nobody else read its file
        (part / CARD).write_text(card(json.loads(text)), encoding="utf-8")
        for name, content in (others or {}).items():
            (part / name).write_bytes(content)


def read_exported(folder: Path) -> dict[str, Any]:
    """What an exported folder holds, in the form of a checkpoint of Lightning, after all checks.

    Raises:
        InputError: a file is missing or damaged, is not the one that was exported, or names what it must not.
    """
    config = read_config(folder)
    return {
        "state_dict": _read_weights(folder, config["weights"]),
        "hyper_parameters": {
            "_class_path": config["class"],
            **config["hyper_parameters"],
            "facts": config["facts"],
        },
        "epoch": config["epoch"],
        "global_step": config["global_step"],
        "pytorch-lightning_version": config["lightning"],
    }


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of an exported folder, checked; see `read_exported`."""
    path = folder / CONFIG
    if not path.is_file():
        raise InputError(
            f"{folder} is no exported model (it has no {CONFIG}): give the folder that `wav2uti export` wrote, "
            "or a .ckpt file."
        )
    try:
        if path.stat().st_size > LARGEST_CONFIG:
            raise ValueError(f"more than {LARGEST_CONFIG} bytes")
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read ({_first_line(error)}): {AGAIN}.") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise InputError(f"{path} is not of a model that `wav2uti export` wrote: give another folder.")
    if config.get("format_version") != VERSION:
        raise InputError(
            f"{path} is of format version {config.get('format_version')} and this wav2uti reads version {VERSION}: "
            "install the version of wav2uti that wrote it, or export the model again."
        )
    kinds = {
        "class": str, "hyper_parameters": dict, "facts": dict, "weights": dict, "lightning": str, "epoch": int,
        "global_step": int,
    }  # fmt: skip
    wrong = [name for name, kind in kinds.items() if not isinstance(config.get(name), kind)]
    if wrong:
        raise InputError(f"{path} lacks {', '.join(wrong)}, or has something else there: {AGAIN}.")
    check_named(path, {"_class_path": config["class"], **config["hyper_parameters"], "facts": config["facts"]})
    return config


def _config(checkpoint: Mapping[str, Any], file: Path, weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """What config.json says; the weights lie in `file` already."""
    options = {name: value for name, value in checkpoint["hyper_parameters"].items() if name != "_instantiator"}
    return {
        "format": FORMAT,
        "format_version": VERSION,
        "wav2uti": wav2uti.__version__,
        "lightning": checkpoint["pytorch-lightning_version"],
        "class": options.pop("_class_path"),
        "facts": options.pop("facts", {}),
        "hyper_parameters": options,
        "epoch": checkpoint.get("epoch", 0),
        "global_step": checkpoint.get("global_step", 0),
        "averaged": "averaging_state" in checkpoint,
        "weights": {
            "file": WEIGHTS,
            "bytes": file.stat().st_size,
            "sha256": _sha256(file),
            "tensors": len(weights),
            "values": sum(value.numel() for value in weights.values()),
            "half": any(value.dtype is torch.float16 for value in weights.values()),
        },
    }


def _plain(value: Tensor, half: bool = False) -> Tensor:
    """A tensor of its own in memory, floats of 16 bits as float32: which changes none of their values.

    half: those with more than one dimension as float16. Others take no room and may need every bit, such as the mean
    and the standard deviation of the frames.
    """
    value = value.detach()
    if value.is_floating_point() and value.element_size() < 4:
        value = value.float()
    if half and value.dtype is torch.float32 and value.ndim > 1:
        short = value.half()
        value = short if torch.equal(short.isfinite(), value.isfinite()) else value
    return value.clone().contiguous()


def _read_weights(folder: Path, stated: Mapping[str, Any]) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / WEIGHTS  # never the name that the config states: it could lead anywhere
    if not path.is_file():
        raise InputError(f"{folder} has no {WEIGHTS}: {AGAIN}.")
    if (size := path.stat().st_size) != stated.get("bytes"):
        raise InputError(f"{path} has {size} bytes and {CONFIG} says {stated.get('bytes')}: {AGAIN}.")
    if _sha256(path) != stated.get("sha256"):
        raise InputError(f"{path} is not the file that was exported ({CONFIG} states another sha256): {AGAIN}.")
    try:
        weights: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path} is no file of safetensors ({_first_line(error)}): {AGAIN}.") from error
    return {name: _plain(value) for name, value in weights.items()}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder `.NAME.part` beside `folder`, renamed to it on success and removed on failure."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(f"{folder} exists already and is not empty: give another folder, or remove it first.")
    part = folder.with_name(f".{folder.name}.part")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            yield part
            part.replace(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written ({error.strerror}): check the folder and the free space."
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")

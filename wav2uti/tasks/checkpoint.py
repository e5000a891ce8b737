"""Checkpoints, from files and from exported folders: read without running any code in them.

Whatever reads a model comes through here: the commands, Lightning's own loading (`CheckedIO`) and the Python interface.
"""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

from wav2uti.errors import InputError
from wav2uti.tasks.allowed import check_named
from wav2uti.tasks.exported import read_exported

# Lightning reads hyper-parameters from these too, as versions before 1.0 named them.
OTHER_OPTIONS = ("hparams", "module_arguments", "hparams_type")


def read_checkpoint(path: Path, mmap: bool = False) -> dict[str, Any]:
    """What a checkpoint holds, or what an exported folder holds in the form of one, after all checks.

    mmap: read the tensors of a file only as they are used, for who copies them and forgets the rest.

    Raises:
        InputError: it is missing, damaged, no checkpoint of wav2uti, or names what none may name (`allowed`).
    """
    if path.is_dir():
        return read_exported(path)
    check_checkpoint(path)
    checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    return checkpoint


class CheckedIO(TorchCheckpointIO):
    """Lets Lightning's Trainer load what `read_checkpoint` reads, and nothing else."""

    def load_checkpoint(self, path: str | Path, *_: Any, **__: Any) -> dict[str, Any]:
        """See `read_checkpoint`; on the CPU, whatever Lightning would have."""
        return read_checkpoint(Path(path))


def check_checkpoint(path: Path) -> None:
    """Raise an InputError where a path is missing or holds no whole checkpoint of wav2uti; no code in it is run.

    torch.load does not look at the checksums that torch.save stores with every tensor: a flipped bit in the weights
    would be trained on or drawn with. They are looked at here, at a gigabyte a second.
    """
    if path.is_dir():
        read_exported(path)
        return
    if not path.is_file():
        raise InputError(f"There is no checkpoint {path}; train one with `wav2uti fit`, or give another path.")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"the checksum of {damaged} is wrong")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        missing = {"state_dict", "hyper_parameters", "pytorch-lightning_version"} - set(checkpoint)
        foreign = [name for name in OTHER_OPTIONS if name in checkpoint]
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} is no checkpoint: it is damaged, or a pickle of more than tensors and plain values, and was not "
            "read, because such a file can run any program; give the .ckpt file of a `wav2uti fit` run."
        ) from error
    except Exception as error:  # torch, zipfile and pickle each raise their own for a foreign or broken file
        raise InputError(
            f"{path} is no checkpoint, or a damaged one ({type(error).__name__}); "
            "give the .ckpt file of a `wav2uti fit` run."
        ) from error
    if missing:
        raise InputError(f"{path} is no checkpoint of wav2uti (it lacks {', '.join(sorted(missing))}).")
    if foreign:
        raise InputError(f"{path} is no checkpoint of wav2uti (it holds {', '.join(foreign)}).")
    check_named(path, checkpoint["hyper_parameters"])

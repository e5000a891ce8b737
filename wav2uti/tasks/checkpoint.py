"""Checkpoints, from files and from exported folders: written whole or not at all, read without running code in them.

Whatever reads a model comes through here: the commands, Lightning's loading (`CheckpointFile`), the Python interface.
"""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

from wav2uti.errors import InputError
from wav2uti.files import replaced, sync
from wav2uti.tasks.allowed import check_named
from wav2uti.tasks.exported import read_exported
from wav2uti.tasks.located import located

# Lightning reads hyper-parameters from these too, as versions before 1.0 named them.
OTHER_OPTIONS = ("hparams", "module_arguments", "hparams_type")


def read_checkpoint(path: Path, mmap: bool = False) -> dict[str, Any]:
    """What a checkpoint holds, or what an exported folder holds in the form of one, after all checks.

    path: its file or folder, or a name that `located` knows.
    mmap: read the tensors of a file only as they are used, for who copies them and forgets the rest.

    Raises:
        InputError: it is missing, damaged, no checkpoint of wav2uti, or names what none may name (`allowed`).
    """
    path = located(path)
    if path.is_dir():
        return read_exported(path)
    check_checkpoint(path)
    checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    return checkpoint


class CheckpointFile(TorchCheckpointIO):
    """How Lightning's Trainer writes checkpoints and reads them.

    They are written beside their place and renamed once they are on the disk. Lightning's own way collects the whole
    file in memory, writes it into the folder for temporary files and moves it: between two file systems, as on most
    clusters, that is a copy, which a kill leaves half done. It loads what `read_checkpoint` reads, and nothing else.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Raises:
            InputError: the disk is full, or the folder cannot be written; what was there before is left.
        """
        if "://" in str(path):  # such stores replace an object at once
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        path = Path(path)
        with replaced(path) as part:
            with part.open("wb") as file:
                try:
                    torch.save(checkpoint, file)
                except RuntimeError as error:  # torch's writer covers up what the disk said
                    raise error.__context__ if isinstance(error.__context__, OSError) else error from None
            sync(part)
        sync(path.parent)

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

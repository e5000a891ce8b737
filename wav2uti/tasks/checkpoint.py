"""Checkpoint files: written whole or not at all; whether one is whole, told without running any code in it."""

import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from wav2uti.errors import InputError
from wav2uti.files import replaced, sync


class CheckpointFile(TorchCheckpointIO):
    """Writes checkpoints beside their place and renames them, once they are on the disk.

    Lightning's own collects the whole file in memory, then writes it into the folder for temporary files and moves it:
    between two file systems, as on most clusters, that is a copy, which a kill leaves half done.
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


def check_checkpoint(path: Path) -> None:
    """Raise an InputError where a path is missing or holds no whole Lightning checkpoint; no code in it is run.

    torch.load does not look at the checksums that torch.save stores with every tensor: a flipped bit in the weights
    would be trained on or drawn with. They are looked at here, at a gigabyte a second.
    """
    if not path.is_file():
        raise InputError(f"There is no checkpoint {path}; train one with `wav2uti fit`, or give another path.")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"the checksum of {damaged} is wrong")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        missing = {"state_dict", "hyper_parameters", "pytorch-lightning_version"} - set(checkpoint)
    except Exception as error:  # torch, zipfile and pickle each raise their own for a foreign or broken file
        raise InputError(
            f"{path} is no checkpoint, or a damaged one ({type(error).__name__}); "
            "give the .ckpt file of a `wav2uti fit` run."
        ) from error
    if missing:
        raise InputError(f"{path} is no checkpoint of wav2uti (it lacks {', '.join(sorted(missing))}).")

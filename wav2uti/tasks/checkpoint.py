"""Checkpoint files: whether one is whole, told without running any code in it."""

import zipfile
from pathlib import Path

import torch

from wav2uti.errors import InputError


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

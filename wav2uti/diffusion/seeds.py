"""Seeds for the many uses of random numbers that one seed given by a user serves."""

import hashlib

import torch


def derived_seed(seed: int, *use: object) -> int:
    """A seed for one use, which is named by words and numbers; the same on every machine.

    >>> derived_seed(0, "stage", 1) == derived_seed(0, "stage", 1) != derived_seed(0, "stage", 2)
    True
    """
    digest = hashlib.sha256(" ".join(map(str, (seed, *use))).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def derived_generator(seed: int, *use: object, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator with that seed; one on the CPU gives the same numbers for every device."""
    return torch.Generator(device).manual_seed(derived_seed(seed, *use))

"""Classes from outside that the user lets files name: what a checkpoint names, is imported and called.

Beside the classes of `wav2uti` and `torch.optim` these are the ones that its user has said he trusts: by the
environment variable WAV2UTI_TRUST, by `trust`, or by naming the class himself in the config of the same command.
"""

import importlib
import os
from collections.abc import Collection
from contextlib import suppress

VARIABLE = "WAV2UTI_TRUST"  # packages, modules or classes, with commas between them
OWN = ("wav2uti", "torch.optim", "lightning.pytorch.cli.ReduceLROnPlateau")

_trusted: set[str] = set()


def trust(*names: str) -> None:
    """Let checkpoints of this process name these classes, or any class of these packages and modules.

    They are imported and called with what the checkpoint says.
    """
    _trusted.update(names)


def trusted_class(path: object) -> type | None:
    """The class that an import path names, or None where it is no class or may not be named.

    A path that may not be named is not imported.

    >>> trusted_class("wav2uti.speech.acoustic.LogMel").__name__, trusted_class("os.system")
    ('LogMel', None)
    """
    if not isinstance(path, str) or not is_trusted(path):
        return None
    module, _, name = path.rpartition(".")
    found = None
    with suppress(ImportError, AttributeError, ValueError):
        found = getattr(importlib.import_module(module), name)
    # What a module of ours has imported from elsewhere has another home than the path says.
    return found if isinstance(found, type) and is_trusted(path_of(found)) else None


def is_trusted(path: str) -> bool:
    """Whether a file may name the class at this import path."""
    given = {name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()}
    # `wav2uti.__main__` runs a command when it is imported.
    return not any(part.startswith("_") for part in path.split(".")) and is_within(path, {*OWN, *_trusted, *given})


def is_within(path: str, names: Collection[str]) -> bool:
    """Whether an import path is one of these or below one of them."""
    return any(path == name or path.startswith(f"{name}.") for name in names)


def path_of(found: type) -> str:
    """Where a class lives; parts of a package's own modules may begin with an underscore, as torch's do."""
    module = found.__module__.split(".")
    return ".".join([*(part.lstrip("_") for part in module), found.__qualname__])

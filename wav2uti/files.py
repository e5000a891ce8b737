"""Files that appear whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wav2uti.errors import InputError


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A temporary name `.NAME.part` beside `path`, renamed to it on success and removed on failure.

    Raises:
        InputError: the folder cannot be made, or the disk refuses the file.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}): check the folder and the free space."
        ) from error


def linked(path: Path, name: Path) -> None:
    """Give a file another name in its folder, at once in place of what had it; a copy where links cannot be made.

    Raises:
        InputError: the folder or the disk refuses it.
    """
    with replaced(name) as part:
        part.unlink(missing_ok=True)  # left by a process that was killed
        try:
            os.link(path, part)
        except OSError:  # exFAT and some network file systems have no links
            shutil.copyfile(path, part)


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, written to the disk: a rename alone may survive a power cut without it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system that knows no such thing
            os.fsync(descriptor)
    finally:
        os.close(descriptor)

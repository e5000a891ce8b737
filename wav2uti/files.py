"""Files that appear whole or not at all, and files from outside, of which no more is read than they may have."""

import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any
from zipfile import ZipFile

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from wav2uti.errors import InputError

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


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


def content_of(path: Path, most: int) -> bytes:
    """All bytes of an ordinary file: a pipe could keep a reader waiting for ever, a device would never end.

    Args:
        path: of the file.
        most: bytes that it may have.

    Raises:
        InputError: no such file, a folder, a pipe or a device, or a larger file.
    """
    check_ordinary(path)
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the path.") from error
    if len(content) > most:
        raise InputError(
            f"{path} is larger than {most / 2**20:g} MiB, which no such file is: check that it is the right one."
        )
    return content


def check_ordinary(path: Path) -> None:
    """Raise an InputError where a path is no ordinary file: nothing, a folder, a pipe, a device, a loop of links."""
    if os.path.isfile(path):  # noqa: PTH113 (never raises)
        return
    if os.path.isdir(path):  # noqa: PTH112
        raise InputError(f"{path} cannot be read (it is a folder): name a file in it.")
    if os.path.exists(path):  # noqa: PTH110
        raise InputError(f"{path} cannot be read (it is a pipe or a device): copy what it gives into a file.")
    raise InputError(f"{path} cannot be read (there is no such file): check the path.")


def read_arrays(path: Path, names: tuple[str, ...], most: int) -> dict[str, NDArray[Any]]:
    """Arrays of an .npz by name, no pickles among them.

    An archive of a kilobyte can state terabytes: what the arrays state is looked at before any room is made for them,
    and no more is unpacked.

    Args:
        path: of the file.
        names: those that must be there; others are not looked at.
        most: bytes that they may take together.

    Raises:
        ValueError: an array is missing, too large or none; and whatever zipfile and zlib raise for broken files.
    """
    found = {}
    with ZipFile(path) as archive:
        for name in names:
            try:
                entry = archive.open(f"{name}.npy")
            except KeyError:
                raise ValueError(f"it holds no {name}") from None
            with entry:
                found[name] = _array(entry, name, most)
                most -= found[name].nbytes
    return found


def _array(entry: IO[bytes], name: str, most: int) -> NDArray[Any]:
    """The array of one entry."""
    version = npy.read_magic(entry)
    if version not in _HEADERS:
        raise ValueError(f"{name} is of an unknown version")
    shape, in_columns, dtype = _HEADERS[version](entry)
    size = math.prod(shape) * dtype.itemsize
    if dtype.hasobject or not 0 <= size <= most:
        raise ValueError(f"{name} is no array of numbers, or one of more than {most} bytes")
    content = entry.read(size + 1)
    if len(content) != size:
        raise ValueError(f"{name} is not as long as it states")
    return np.ndarray(shape, dtype, content, order="F" if in_columns else "C")

"""Frames as NAME.npz, written while they come and read back in parts: they are never in memory as a whole."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import ArrayLike, NDArray

from wav2uti.files import replaced

ENTRY = "frames.npy"
AT_ONCE = 64  # frames that are read back together


@contextmanager
def opened_npz(path: Path, shape: tuple[int, int, int], **others: ArrayLike) -> Iterator["FrameFile"]:
    """A compressed .npz with `frames`, uint8 of this shape (T, H, W), added while the block runs, and with `others`.

    The same as of `numpy.savez_compressed`. It appears when the block has ended, and not at all where it failed.

    Raises:
        ValueError: other than T frames were added.
        InputError: the file cannot be written.
    """
    with replaced(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        # An entry's size stands before it and is not known yet: room for more than 4 GiB is left.
        with archive.open(ENTRY, "w", force_zip64=True) as entry:
            npy.write_array_header_1_0(entry, {"descr": "|u1", "fortran_order": False, "shape": shape})
            file = FrameFile(entry)
            yield file
        if file.frames != shape[0]:
            raise ValueError(f"{file.frames} frames were added to a file of {shape[0]}")
        for name, value in others.items():
            with archive.open(f"{name}.npy", "w") as entry:
                npy.write_array(entry, np.asanyarray(value), allow_pickle=False)


class FrameFile:
    """An entry that is being written; see `opened_npz`.

    Attributes:
        frames: how many have been added.
    """

    def __init__(self, entry: IO[bytes]) -> None:
        self.entry = entry
        self.frames = 0

    def add(self, frames: NDArray[np.uint8]) -> None:
        """Write the next frames, (n, H, W)."""
        self.entry.write(frames.tobytes())
        self.frames += len(frames)


def frames_of(path: Path) -> Iterator[NDArray[np.uint8]]:
    """The frames of a file of `opened_npz`, in parts (n, H, W)."""
    with zipfile.ZipFile(path) as archive, archive.open(ENTRY) as entry:
        npy.read_magic(entry)
        (total, height, width), _, _ = npy.read_array_header_1_0(entry)
        for start in range(0, total, AT_ONCE):
            count = min(AT_ONCE, total - start)
            part = entry.read(count * height * width)
            yield np.frombuffer(part, dtype=np.uint8).reshape(count, height, width)

"""NAME.npz and NAME.h5: the numbers of a drawing, for programs that go on with them.

Both hold the same arrays under the same names. In HDF5 they are datasets of the root, and the single values attributes
of it; in .npz every one of them is an array.

    frames          uint8 (T, H, W)       grey levels, 60 frames a second: the drawing, of several the first
    contour         float32 (T, K, 2)     points (x, y) in pixels, from the rear to the tip, whole numbers being centres
                                          of pixels; tracked in the frames; NaN where no tongue is seen
    times           float64 (T,)          s from the start of the sound: frame k at k / 60
  of several drawings (`--samples S`) also, and `contour` is then the mean over them:
    samples         uint8 (S, T, H, W)    all of them
    mean, spread    float32 (T, H, W)     grey levels: mean and standard deviation (divided by S - 1) of each pixel
    contours        float32 (S, T, K, 2)  the contour of each
    contour_spread  float32 (T, K)        pixels: standard deviation of the contour along the beams (by S - 1)
  single values:
    fps             60
    note            what the frames are; of a model trained on simulated data it says SIMULATED
    model           name or files of the model
    seeds           int64 (S,)            a single drawing with one of these seeds is that sample again
    settings        JSON: task, sampler, steps, guidance, ... (of a cascade for each stage)
    version         of wav2uti
    mm_per_pixel    size of a pixel; only where it is known
    origin          float64 (2,)          x and y in pixels of the centre of the probe's curvature, as found in the
                                          frames; only where a fan stands out in them

    import h5py; frames = h5py.File("NAME.h5")["frames"][:]
    import numpy; frames = numpy.load("NAME.npz")["frames"]

An archive is written while the frames come and read back in parts: they are never in memory as a whole.
"""

import errno
import math
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import h5py
import numpy as np
from numpy.lib import format as npy
from numpy.typing import ArrayLike, NDArray

from wav2uti.errors import InputError
from wav2uti.files import replaced

Format = Literal["npz", "h5"]

_AT_ONCE = 64  # frames that are written in one chunk of a file, and read back together
_AT_MOST = 1 << 20  # bytes of a chunk


class Archive:
    """An archive that is being written; see `opened_archive`."""

    def __init__(self, file: Any, total: int, compressed: bool) -> None:
        self.file = file
        self.total = total
        self.compressed = compressed
        self.done: dict[str, int] = {}

    def add(self, name: str, rows: NDArray[Any], one: int | None = None) -> None:
        """Write the next rows, one for each frame, of an array (T, ...); or of sample `one` of an array (S, T, ...).

        Samples are added side by side, sample 0 first; the array has as many as are added to.
        """
        key = name if one is None else f"{name}/{one}"
        start = self.done.get(key, 0)
        if start + len(rows) > self.total:
            raise ValueError(f"more than {self.total} frames were added")
        with _told():
            array = self._array(name, rows, one)
            if one is None:
                array[start : start + len(rows)] = rows
            else:
                array[one, start : start + len(rows)] = rows
        self.done[key] = start + len(rows)

    def _array(self, name: str, rows: NDArray[Any], one: int | None) -> Any:
        """The dataset of an array, made for rows like these."""
        shape, samples = rows.shape[1:], (() if one is None else (1,))
        if name not in self.file:
            count = max(1, min(_AT_ONCE, self.total, _AT_MOST // max(rows[:1].nbytes, 1)))
            self.file.create_dataset(
                name,
                (*samples, self.total, *shape),
                rows.dtype,
                chunks=(*samples, count, *shape),
                maxshape=(*(None for _ in samples), self.total, *shape),
                fletcher32=self.compressed,
                **({"compression": "gzip", "shuffle": True} if self.compressed else {}),
            )
        array = self.file[name]
        if one is not None and one >= len(array):
            array.resize(one + 1, axis=0)
        return array

    def about(self, **values: ArrayLike) -> None:
        """Write single values."""
        with _told():
            for name, value in values.items():
                self.file.attrs[name] = value

    def parts(self, name: str, one: int | None = None) -> Iterator[NDArray[Any]]:
        """Rows of an array that is written, or of one sample of it, in parts."""
        array = self.file[name]
        for start in range(0, self.total, _AT_ONCE):
            part = slice(start, min(start + _AT_ONCE, self.total))
            yield array[part] if one is None else array[one, part]

    def check(self) -> None:
        """Raise a ValueError where an array has fewer rows than there are frames."""
        for key, done in self.done.items():
            if done != self.total:
                raise ValueError(f"{done} frames were added to a file of {self.total} ({key})")


@contextmanager
def opened_archive(path: Path, total: int) -> Iterator[Archive]:
    """An archive of `total` frames, .npz or .h5 by its ending, written while the block runs.

    It appears when the block has ended, and not at all where it failed.

    Raises:
        ValueError: other than so many frames were added.
        InputError: the file cannot be written, or has another ending.
    """
    if path.suffix[1:] not in get_args(Format):
        raise InputError(f"{path} is neither .npz nor .h5: give --format npz or h5.")
    as_h5 = path.suffix == ".h5"
    with replaced(path) as part:
        # Entries of a zip file are written one after the other, arrays here side by side: HDF5 holds them until then.
        kept = part if as_h5 else part.with_name(f"{part.name}.h5")
        try:
            with _written(kept) as file:
                archive = Archive(file, total, compressed=as_h5)
                yield archive
                archive.check()
                if not as_h5:
                    _to_npz(file, part)
        finally:
            if not as_h5:
                kept.unlink(missing_ok=True)


@contextmanager
def _written(path: Path) -> Iterator[Any]:
    """A new HDF5 file."""
    with _told():
        file = h5py.File(path, "w")
    try:
        yield file
    finally:
        with _told():
            file.close()


@contextmanager
def _told() -> Iterator[None]:
    """Where the disk is full HDF5 raises what is no OSError, or one without a reason."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        number = getattr(error, "errno", None) or errno.ENOSPC
        raise OSError(number, os.strerror(number)) from error


def _to_npz(file: Any, path: Path) -> None:
    """The same as `numpy.savez_compressed` of an HDF5 file's datasets and attributes, in constant memory."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in file.items():
            # An entry's size stands before it and is not known yet: room for more than 4 GiB is left.
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                header = {"descr": npy.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
                npy.write_array_header_1_0(entry, header)
                for rows in _rows(array):
                    entry.write(rows.tobytes())
        for name, value in file.attrs.items():
            with archive.open(f"{name}.npy", "w") as entry:
                npy.write_array(entry, np.asanyarray(value), allow_pickle=False)


def _rows(array: Any) -> Iterator[NDArray[Any]]:
    """An array of any shape in parts, in C order."""
    length = array.shape[0]
    if array.ndim > 1 and math.prod(array.shape[1:]) * array.dtype.itemsize > 16 * _AT_MOST:
        for place in range(length):  # samples, each of a whole recording
            for start in range(0, array.shape[1], _AT_ONCE):
                yield array[place, start : start + _AT_ONCE]
    else:
        step = max(1, _AT_MOST // max(1, math.prod(array.shape[1:]) * array.dtype.itemsize))
        for start in range(0, length, step):
            yield array[start : start + step]

"""Shards by address (`s3://bucket/folder`, `https://host/shard.h5`, ...), read through fsspec and never written.

An address that ends in .h5 is a shard, any other a folder of them. What fsspec must know beside the address, such as
keys or an endpoint, it takes from its own configuration and the environment.
"""

import gc
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from wav2uti.errors import InputError

# What a process keeps of each open remote shard: 16 blocks of 256 KiB, 4 MiB. A clip of 16 frames at 112x112 lies in 2
# or 3 blocks; larger ones would fetch more that is not asked for.
BLOCK_BYTES = 2**18
BLOCKS = 16
PAUSES = (0.5, 2.0, 8.0)  # seconds between the tries of a read: a training of weeks survives a lost connection
LOOK_SECONDS = 60.0  # between looks whether an open shard is still what it was
# What tells one state of a file from another, by the names that file systems give it.
_STATE = ("size", "ETag", "etag", "Content-MD5", "Digest", "LastModified", "Last-Modified", "last_modified", "mtime")

_FINAL = (FileNotFoundError, PermissionError, ValueError)  # no use in trying again
_REMEDY = "check the address, the network and the rights, or copy the shards to a local folder"

State = tuple[tuple[str, str], ...]


class Url(str):
    """Address of a shard or of a folder of shards."""

    __slots__ = ()


Location = Path | Url


class Changed(InputError):
    """A shard is no longer what it was."""


_seen: dict[Url, State] = {}  # state of each shard when this process first opened it


def located(place: str | Location) -> Location:
    """A path, or an address.

    >>> located("data/mine"), located("s3://bucket/mine")
    (PosixPath('data/mine'), 's3://bucket/mine')
    """
    if isinstance(place, Path):
        return place
    return Url(place) if "://" in place else Path(place)


def find_shards(folder: Url) -> list[Url]:
    """The shards that an address stands for, sorted. Raises InputError where it cannot be reached."""
    if _is_shard(folder):
        return [folder]
    with _reached(folder):
        files, path = _file_system(folder)
        entries = [str(entry) for entry in files.ls(path, detail=False)]
    names = {urlsplit(entry).path.rstrip("/").rsplit("/", 1)[-1] for entry in entries}
    # Names with a leading dot are files that a writer has not finished.
    shards = sorted(name for name in names if name.endswith(".h5") and not name.startswith("."))
    return [Url(f"{folder.rstrip('/')}/{name}") for name in shards]


def opened(url: Url) -> "RemoteFile":
    """A shard's bytes. Raises InputError where it cannot be reached, or is not the one seen before."""
    with _reached(url):
        files, path = _file_system(url)
        state = _state(files, path)
        if _seen.setdefault(url, state) != state:
            raise _changed(url)
        if dict(state).get("size") == "0":
            raise InputError(f"{url}: the shard is cut off (the file is empty); copy it again.")
        return RemoteFile(
            url,
            files.open(
                path, "rb", block_size=BLOCK_BYTES, cache_type="blockcache", cache_options={"maxblocks": BLOCKS}
            ),
        )


def size(url: Url) -> int:
    """Bytes of a shard."""
    with _reached(url):
        files, path = _file_system(url)
        return int(files.size(path))


def seen(place: Location) -> State | None:
    """State of a shard when it was first opened, to be taken to other processes; None for paths and unopened ones."""
    return _seen.get(place) if isinstance(place, Url) else None


def remember(place: Location, state: State | None) -> None:
    """Take over what another process has seen."""
    if isinstance(place, Url) and state is not None:
        _seen.setdefault(place, state)


def changed(url: Url) -> InputError | None:
    """What is wrong with a shard that was open: `Changed`, or that it cannot be reached; None where it is as it was."""
    try:
        with _reached(url):
            files, path = _file_system(url)
            state = _state(files, path)
    except InputError as error:
        return error
    return _changed(url) if _seen.get(url, state) != state else None


class RemoteFile(io.RawIOBase):
    """A remote file as HDF5 reads it, by seek and readinto: a failed read is tried again, then told in a sentence."""

    def __init__(self, url: Url, file: Any) -> None:
        super().__init__()
        self._url = url
        self._file = file
        self._looked = time.monotonic()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def readinto(self, buffer: Any, /) -> int:
        """Fill the buffer: HDF5 asks for nothing beyond the end, so fewer bytes are an error."""
        with _no_collection():
            return self._fill(memoryview(buffer).cast("B"))

    def _fill(self, view: memoryview) -> int:
        if time.monotonic() - self._looked > LOOK_SECONDS:
            wrong = changed(self._url)
            if isinstance(wrong, Changed):
                raise wrong
            self._looked = time.monotonic()
        place = self._file.tell()
        for pause in (*PAUSES, None):
            try:
                self._file.seek(place)
                got = self._file.read(len(view))
                if len(got) != len(view):
                    raise OSError(f"{len(view)} bytes at {place} were asked for, {len(got)} came")
                view[:] = got
                return len(view)
            except Exception as error:
                wrong = changed(self._url)
                if pause is None or isinstance(wrong, Changed) or isinstance(error, _FINAL):
                    reason = f"{self._url} cannot be read ({_reason(error)}); {_REMEDY}."
                    raise wrong or InputError(reason) from error
                time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without cyclic garbage collection.

    h5py holds its lock while HDF5 reads, and asks for it to free an object. A collection in the thread of fsspec that
    fetches the bytes could come upon such an object, and both threads would wait for ever.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _is_shard(url: Url) -> bool:
    return urlsplit(url).path.endswith(".h5")


def _file_system(url: Url) -> tuple[Any, str]:
    """fsspec's file system for an address, of this process, and the path in it."""
    from fsspec.core import url_to_fs  # here: 0.1 s that local shards need not pay

    files, path = url_to_fs(url)
    return files, str(path)


def _state(files: Any, path: str) -> State:
    files.invalidate_cache(path)
    about = files.info(path)
    return tuple((name, str(about[name])) for name in _STATE if about.get(name) is not None)


def _changed(url: Url) -> Changed:
    return Changed(
        f"{url}: the shard has changed since it was first opened; start again, and write new shards under new names."
    )


@contextmanager
def _reached(url: Url) -> Iterator[None]:
    """Tell in a sentence why an address cannot be used."""
    try:
        yield
    except InputError:
        raise
    except ImportError as error:
        raise InputError(
            f"{url}: a Python package for such addresses is missing ({error}); for s3:// it comes with "
            "pip install 'wav2uti[s3]'."
        ) from error
    except FileNotFoundError as error:
        if getattr(error.__cause__, "status", 404) == 404 and not isinstance(error.__cause__, OSError):
            what = "shard" if _is_shard(url) else "folder"
            raise InputError(f"{url}: there is no such {what}; {_REMEDY}.") from error
        raise InputError(f"{url} cannot be reached ({_reason(error.__cause__ or error)}); {_REMEDY}.") from error
    except Exception as error:  # every file system has its own
        raise InputError(f"{url} cannot be reached ({_reason(error)}); {_REMEDY}.") from error


def _reason(error: BaseException) -> str:
    """An error in one line."""
    return " ".join(str(error).split()) or type(error).__name__

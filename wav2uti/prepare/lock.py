"""One command at a time writes into a folder of shards."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from wav2uti.errors import InputError, OutOfSpace

PARTS = ".parts"  # in the folder of the shards: the lock, and what `prepare` has made and not put into a shard


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Keep other commands out of a folder, which is made; it is removed again if nothing came into it.

    Raises:
        InputError: another command is writing there.
        OutOfSpace: the folder cannot be written.
    """
    folder = out / PARTS
    existed = out.is_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock")
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(f"Another wav2uti command is writing into {out}: wait for it.") from error
    except OSError as error:
        raise OutOfSpace(f"{out} cannot be written ({error.strerror}): choose another folder.") from error
    try:
        yield
    finally:
        lock.release()
        if not any(path.is_dir() for path in folder.glob("*")):
            shutil.rmtree(folder, ignore_errors=True)
        if not existed and out.is_dir() and not any(out.iterdir()):
            out.rmdir()

"""The files of shards that a path, an address or several of them stand for."""

from collections.abc import Sequence
from pathlib import Path
from typing import overload

from wav2uti.corpus.shards import remote
from wav2uti.corpus.shards.remote import Location, Url, located
from wav2uti.errors import InputError


@overload
def find_shards(paths: Path) -> list[Path]: ...


@overload
def find_shards(paths: str | Location | Sequence[str | Location]) -> list[Location]: ...


def find_shards(paths: str | Location | Sequence[str | Location]) -> Sequence[Location]:
    """The shards that files, folders and addresses (`remote`) stand for, sorted within each folder.

    A folder stands for the *.h5 files directly in it. Raises InputError where there are none.
    """
    found: list[Location] = []
    for given in [paths] if isinstance(paths, str | Path) else paths:
        path = located(given)
        shards: Sequence[Location] = remote.find_shards(path) if isinstance(path, Url) else _local_shards(path)
        if not shards:
            raise InputError(f"There are no shards in {path}; make them with wav2uti simulate or wav2uti prepare.")
        found.extend(shard for shard in shards if shard not in found)
    if not found:
        raise InputError("No shards were given; make them with wav2uti simulate or wav2uti prepare.")
    return found


def _local_shards(path: Path) -> list[Path]:
    path = path.expanduser()
    if path.is_dir():
        # Names with a leading dot are files that a writer has not finished.
        return sorted(p for p in path.glob("*.h5") if not p.name.startswith("."))
    return [path] if path.is_file() else []

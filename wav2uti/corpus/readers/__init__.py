"""Readers of real recordings: one file for each family of formats, and the search over all of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from wav2uti.corpus.readers.aaa import AAAReader
from wav2uti.corpus.readers.base import Candidate, Reader
from wav2uti.corpus.readers.video import VideoReader
from wav2uti.errors import InputError

__all__ = ["AAAReader", "Candidate", "Reader", "VideoReader", "find_recordings"]


def find_recordings(source: Path, readers: Sequence[Reader] | None = None) -> list[Candidate]:
    """All candidates in a folder (searched recursively) or one file, with ids unique in it, in order of id.

    An id is the stem of the file. Where two are the same it is the path below `source` with "__" for "/" and, if that
    is not enough either (`a.avi` beside `a.mp4`), the ending too.

    Args:
        source: a folder or a file.
        readers: with their options; None is every reader with its defaults.

    Raises:
        InputError: `source` does not exist.
    """
    if not source.exists():
        raise InputError(f"There is no file or folder {source}: check the path.")
    readers = (AAAReader(), VideoReader()) if readers is None else readers
    found = [candidate for reader in readers for candidate in reader.find(source)]
    below = source if source.is_dir() else source.parent
    for with_ending in (False, True):
        count = Counter(candidate.id for candidate in found)
        found = [
            _renamed(candidate, below, with_ending) if count[candidate.id] > 1 else candidate for candidate in found
        ]
    return sorted(found, key=lambda candidate: candidate.id)


def _renamed(candidate: Candidate, below: Path, with_ending: bool) -> Candidate:
    """The candidate with the folders below the source in its id."""
    *folders, name = candidate.path.relative_to(below).parts
    return replace(candidate, id="__".join((*folders, name if with_ending else candidate.id)))

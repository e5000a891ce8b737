"""The sound files that a user names: single ones, folders and patterns, and where the results of each belong."""

import glob
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from wav2uti.corpus.readers.base import files_in
from wav2uti.errors import InputError
from wav2uti.names import file_name
from wav2uti.video.results import SPLINES
from wav2uti.video.spread import SPREAD
from wav2uti.video.write import TRUTH

ENDINGS = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".aiff", ".aif", ".aifc", ".au", ".w64", ".caf", ".rf64")

_ADDED = ("", TRUTH, SPREAD, SPLINES)  # what results add to a name


class Sound(NamedTuple):
    """A sound file that was named.

    Attributes:
        path: of the file.
        name: what its results are called.
        folder: where they belong, below the folder of all results.
    """

    path: Path
    name: str
    folder: PurePath


def find_sounds(given: Sequence[str | Path]) -> list[Sound]:
    """The sound files that paths and patterns stand for, each once, in the order given.

    A file is taken whatever its ending, a folder stands for all files in it and below it with one of `ENDINGS` (hidden
    ones are passed over), and what is neither may be a pattern: `*`, `?`, `[...]`, and `**` for any folders.

    The results of a single file belong into the folder of all results, those of a file from a folder or a pattern into
    the same folders below it. Files whose results would then overwrite each other keep as many of their folders as tell
    them apart, and their ending (`x.wav`, `x.flac`) where these do not.

    Raises:
        InputError: a path or pattern that stands for no sound.
    """
    found: dict[str, Sound] = {}
    for one in given:
        for path, root in _matching(str(one)):
            folder = PurePath(os.path.relpath(path.parent, root))
            found.setdefault(os.path.realpath(path), Sound(path, path.stem, folder))
    return _apart(list(found.values()))


def _matching(given: str) -> list[tuple[Path, Path]]:
    """The files that a path or pattern stands for, and the folder that their own are counted from."""
    path = Path(given)
    if os.path.isdir(path):  # noqa: PTH112 (never raises)
        found = [(file, path) for file in files_in(path, ENDINGS)]
        if not found:
            raise InputError(f"There is no sound file in {path} or below it: they end in {', '.join(ENDINGS)}.")
        return found
    if os.path.lexists(path) or not glob.has_magic(given):
        return [(path, path.parent)]  # one that cannot be read is told when it is read
    parts = path.parts
    fixed = next(k for k, part in enumerate(parts) if glob.has_magic(part))
    root = Path(*parts[:fixed])
    # Folders match as well, whose files a pattern does not ask for.
    files = [Path(name) for name in sorted(glob.glob(given, recursive=True)) if os.path.isfile(name)]  # noqa: PTH113, PTH207
    if not files:
        raise InputError(f"No file matches {given}: check the pattern, and put it in quotes.")
    return [(file, root) for file in files]


def _apart(sounds: list[Sound]) -> list[Sound]:
    """The same with results that do not overwrite each other."""
    clashing = _clashing(sounds)
    if not clashing:
        return sounds
    shared = Path(os.path.commonpath([os.path.realpath(sounds[k].path.parent) for k in clashing]))
    for k in clashing:
        own = PurePath(os.path.relpath(os.path.realpath(sounds[k].path.parent), shared))
        sounds[k] = sounds[k]._replace(folder=own)
    for k in _clashing(sounds):
        sounds[k] = sounds[k]._replace(name=sounds[k].path.name)
    for k in _clashing(sounds):  # such as two files that only their letters' case tells apart
        sounds[k] = sounds[k]._replace(name=f"{sounds[k].path.name}-{k + 1}")
    return sounds


def _clashing(sounds: Iterable[Sound]) -> list[int]:
    """Places of those that would write a file of another one, on a system that ignores case, too."""
    written = [
        {str(sound.folder / f"{file_name(sound.name)}{end}").casefold().removesuffix(".mp4") for end in _ADDED}
        for sound in sounds
    ]
    count = Counter(name for names in written for name in names)
    return [k for k, names in enumerate(written) if any(count[name] > 1 for name in names)]

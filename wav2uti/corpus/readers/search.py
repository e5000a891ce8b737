"""The search for recordings over all corpus layouts: what SOURCE is, and what the user says of it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from wav2uti.corpus.formats.names import NamePattern, split_of
from wav2uti.corpus.formats.table import Row
from wav2uti.corpus.given import Given
from wav2uti.corpus.readers.aaa import AAAReader
from wav2uti.corpus.readers.aaa_video import AAAVideoReader
from wav2uti.corpus.readers.auspeech import AUSpeechReader
from wav2uti.corpus.readers.base import Candidate, Reader
from wav2uti.corpus.readers.table import TableReader, about_candidates
from wav2uti.corpus.readers.tal import TaLReader
from wav2uti.corpus.readers.ultrasuite import UltraSuiteReader
from wav2uti.corpus.readers.video import VideoReader
from wav2uti.errors import InputError
from wav2uti.names import recording_id

Layout = Literal["table", "tal", "ultrasuite", "aaa", "auspeech", "aaa_video", "video"]

# In the order in which they are asked; what one takes the next ones leave.
READERS: tuple[Reader, ...] = (
    TableReader(),
    TaLReader(),
    UltraSuiteReader(),
    AAAReader(),
    AUSpeechReader(),
    AAAVideoReader(),
    VideoReader(),
)


def find_recordings(
    source: Path,
    layout: Layout | Reader | None = None,
    given: Given | None = None,
    names: NamePattern | None = None,
    about: Sequence[Row] | None = None,
) -> list[Candidate]:
    """All candidates in a folder (searched recursively) or one file, with ids unique in it, in order of id.

    An id is the stem of the file. Where two are the same it is the path below `source` with "__" for "/" and, if that
    is not enough either (`a.avi` beside `a.mp4`), the ending too. What no id may hold (control characters) is replaced.

    Args:
        source: a folder or a file; a table, or a folder with a table recordings.csv, stands for what it lists.
        layout: the one reader to ask, by name, or a reader of the user's own; None is every reader of ours.
        given: what holds for all recordings, unless `names` or `about` or a table says otherwise.
        names: what the names of files and folders say.
        about: what the user says of single recordings.

    Raises:
        InputError: `source` does not exist, there are no recordings in it, or a table is wrong.
    """
    if not source.exists():
        raise InputError(f"There is no file or folder {source}: check the path.")
    readers = [layout] if isinstance(layout, Reader) else [r for r in READERS if layout in (None, r.name)]
    found = _search(source, readers)
    if not found:
        kinds = "; ".join(f"{reader.name}: {reader.about}" for reader in READERS)
        what = (
            f"of the layout {layout.name if isinstance(layout, Reader) else layout}" if layout else "of a known layout"
        )
        raise InputError(f"There are no recordings {what} in {source}; the layouts are {kinds}.")
    below = (source if source.is_dir() else source.parent).resolve()
    for with_ending in (False, True):
        count = Counter(candidate.id for candidate in found)
        found = [_renamed(c, below, with_ending) if count[c.id] > 1 else c for c in found]
    found = [replace(c, id=recording_id(c.id)) for c in found]
    if about is not None:
        found = about_candidates(about, found)
    found = [replace(c, given=_said(c, below, names, given or Given())) for c in found]
    return sorted(found, key=lambda candidate: candidate.id)


def _search(source: Path, readers: Sequence[Reader]) -> list[Candidate]:
    """What the readers find, each file for the first of them that takes it."""
    found: list[Candidate] = []
    taken: set[Path] = set()
    for reader in readers:
        new = [candidate for candidate in reader.find(source) if candidate.path not in taken]
        found += new
        taken.update(candidate.path for candidate in new)
        if new and isinstance(reader, TableReader):
            break  # the table says what the corpus is
    return found


def _said(candidate: Candidate, below: Path, names: NamePattern | None, given: Given) -> Given:
    """All that is said of a candidate, the most particular first: table, names, folders, options of the command."""
    path = candidate.path.resolve()
    relative = path.relative_to(below) if path.is_relative_to(below) else Path(path.name)
    said = candidate.given
    if names is not None:
        said = said.over(names.given(relative))
    return said.over(Given(split=split_of(relative) or None)).over(given)


def _renamed(candidate: Candidate, below: Path, with_ending: bool) -> Candidate:
    """The candidate with the folders below the source in its id."""
    path = candidate.path.resolve()
    *folders, name = path.relative_to(below).parts if path.is_relative_to(below) else path.parts[1:]
    return replace(candidate, id="__".join((*folders, name if with_ending else candidate.id)))

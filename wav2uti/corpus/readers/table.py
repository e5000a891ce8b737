"""A table of the user's own (`formats/table.py`): a row a recording, for everything that no layout covers.

The files of a row are read as the layouts read them; what stands beside them under the same name (metadata, sound,
prompt, TextGrid) is found as there, and a file that the row names goes before it.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from wav2uti.corpus.formats.table import Row, read_table
from wav2uti.corpus.formats.video import VideoPicture, first_time
from wav2uti.corpus.given import Given
from wav2uti.corpus.raw import RawRecording
from wav2uti.corpus.readers.aaa import AAAReader
from wav2uti.corpus.readers.base import Candidate, Reader
from wav2uti.corpus.readers.scanlines import companions
from wav2uti.corpus.readers.tal import TaLReader
from wav2uti.corpus.readers.ultrasuite import UltraSuiteReader
from wav2uti.corpus.readers.video import VideoReader
from wav2uti.corpus.sound import FileSound
from wav2uti.errors import InputError

_TABLES = ("recordings.csv", "recordings.tsv")


class TableReader(VideoReader):
    """Reader of tables. A video whose row names a sound it opens itself; the other layouts' readers open the rest."""

    name: ClassVar[str] = "table"
    about: ClassVar[str] = "a table of recordings (recordings.csv or .tsv), a row a recording"

    def find(self, source: Path) -> list[Candidate]:
        """A candidate for each row that names a video or an ult.

        Args:
            source: a file in .csv or .tsv, or a folder with `recordings.csv` or `recordings.tsv` in it.

        Raises:
            InputError: both tables in one folder, or what is wrong with the table.
        """
        if source.is_dir():
            tables = sorted(path for path in source.iterdir() if path.name.lower() in _TABLES and path.is_file())
            if len(tables) > 1:
                raise InputError(f"{source} holds {tables[0].name} and {tables[1].name}: name one of them.")
        else:
            tables = [source] if source.suffix.lower() in (".csv", ".tsv") else []
        return [
            _candidate(row) for path in tables for row in read_table(path) if {"ultrasound", "video"} & row.files.keys()
        ]

    def open(self, candidate: Candidate, size: int) -> RawRecording:
        """Open a video whose row names its sound, which begins with the video but for the offset."""
        raw = super().open(candidate, size)
        assert isinstance(raw.picture, VideoPicture)
        raw.picture.shift = (candidate.given.offset or 0.0) - first_time(candidate.files["video"])
        return replace(raw, sound=FileSound(candidate.files["sound"]))


@dataclass(frozen=True)
class MissingFileReader(Reader):
    """Stands in for the reader of a row that names a file which is not there, and says so.

    Attributes:
        sentence: the message.
    """

    name: ClassVar[str] = TableReader.name
    about: ClassVar[str] = TableReader.about
    sentence: str

    def find(self, source: Path) -> list[Candidate]:
        return []

    def open(self, candidate: Candidate, size: int) -> RawRecording:
        raise InputError(self.sentence)


def about_candidates(rows: Iterable[Row], candidates: Iterable[Candidate]) -> list[Candidate]:
    """Candidates found elsewhere, with what a table says of them; it goes before what was said until now.

    A row means the candidates that are read from its ultrasound, video or other file, or else the one of its id. The
    ids stay as they are; a sound, metadata or TextGrid that the row names takes the place of the one found.

    Raises:
        InputError: a row that means no candidate or one that another row means too, or that names a missing file.
    """
    found = list(candidates)
    by_id = {candidate.id: index for index, candidate in enumerate(found)}
    by_file: dict[str, list[int]] = {}
    for index, candidate in enumerate(found):
        for file in candidate.files.values():
            by_file.setdefault(os.path.realpath(file), []).append(index)
    said: dict[int, Row] = {}
    for row in rows:
        meant = next((hit for file in row.files.values() if (hit := by_file.get(os.path.realpath(file)))), None)
        if meant is None and row.id in by_id:
            meant = [by_id[row.id]]
        if meant is None:
            name = row.id or next(iter(row.files.values()))
            raise InputError(f"No recording was found for {str(name)!r} in {row.place}: correct its id or file name.")
        if missing := _missing(row):
            raise InputError(f"There is no file {missing[0]}, which {row.place} names: correct the path.")
        for index in meant:
            if index in said:
                raise InputError(
                    f"Both {said[index].place} and line {row.line} speak of {found[index].id!r}: keep one of them."
                )
            said[index] = row
            found[index] = _with_row(found[index], row)
    return found


def _candidate(row: Row) -> Candidate:
    """The candidate of one row."""
    path = row.files.get("ultrasound") or row.files["video"]
    name = row.id or path.stem
    if missing := _missing(row):
        sentence = f"There is no file {missing[0]}, which {row.place} names: correct the path."
        files = {role: file for role, file in row.files.items() if file not in missing}
        return Candidate(name, {**files, "table": row.table}, MissingFileReader(sentence), row.given)
    if "ultrasound" in row.files:
        files = companions(path.with_suffix(""))
        layouts = (TaLReader(), UltraSuiteReader(), AAAReader())
        metadata = row.files.get("metadata", files.get("metadata"))
        reader: Reader = next(layout for layout in layouts if layout.claims(metadata, "pulses" in files))
    else:
        files = next((dict(found.files) for found in VideoReader().find(path)), {})
        reader = VideoReader()
    return _with_row(Candidate(name, {**row.files, **files}, reader), row)


def _with_row(candidate: Candidate, row: Row) -> Candidate:
    """A candidate with the files and all else that a row says of it."""
    reader, given = candidate.reader, row.given.over(candidate.given)
    if "sound" in row.files and isinstance(reader, VideoReader):
        given = given.over(Given(language=reader.language or None))
        reader = TableReader()
    return replace(candidate, files={**candidate.files, **row.files}, reader=reader, given=given)


def _missing(row: Row) -> list[Path]:
    """Files of a row that do not exist or may not be looked at."""
    return [file for file in row.files.values() if not os.path.isfile(file)]  # noqa: PTH113 (never raises)

"""Tables of recordings: CSV with a header, a row a recording, by which users describe what no layout covers.

    video,audio,text,speaker,task,offset,crop
    s01/a.avi,s01/a.wav,good morning,s01,sentence,"0,02",120 80 640 480

The delimiter is a comma, a semicolon or a tab. Paths are relative to the folder of the table, or absolute.
"""

import csv
import io
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from wav2uti.corpus.crop import parse_crop
from wav2uti.corpus.formats.names import SPLITS, TASKS
from wav2uti.corpus.formats.textgrid import read_text
from wav2uti.corpus.given import Given
from wav2uti.errors import InputError
from wav2uti.names import recording_id

_ROLES = {"ult": "ultrasound", "video": "video", "metadata": "metadata", "audio": "sound", "textgrid": "textgrid"}
_YES = {"yes": True, "y": True, "true": True, "1": True, "no": False, "n": False, "false": False, "0": False}
_NUMBER = re.compile(r"[-+]?(?:[0-9]++(?:[.,][0-9]*+)?+|[.,][0-9]++)(?:[eE][-+]?[0-9]++)?+")
_LARGEST = 1 << 25  # bytes; 200,000 rows
_DAY = 86_400.0  # s; an offset beyond is a slip of the hand
_LONGEST_NAME, _LONGEST_PATH = 255, 2000  # bytes; longer ones are refused by the usual file systems


@dataclass(frozen=True, slots=True)
class Row:
    """What one row of a table says of one recording.

    Attributes:
        line: of the table where the row begins, from 1.
        id: of the recording, or None.
        files: by role: "ultrasound", "video", "metadata", "sound", "textgrid"; the ultrasound or video first. They
            are not looked for yet.
        given: the rest.
        table: the file it stands in.
    """

    line: int
    id: str | None
    files: dict[str, Path]
    given: Given
    table: Path

    @property
    def place(self) -> str:
        """Where it stands, for messages."""
        return f"line {self.line} of {self.table}"


def read_table(path: Path) -> list[Row]:
    """Read a table; its text is UTF-8, UTF-16 with a byte order mark, GBK or ISO-8859-15. Blank lines are passed over.

    Columns, in any order and case: id, video, ult, metadata, audio, text, speaker, task, language, split, offset (s),
    crop ("x y w h" or "auto"), hflip, textgrid. One of id, video and ult must be there, and in each row be filled in.

    Raises:
        InputError: an unknown column, a cell that cannot be, more cells than columns, an id twice, no rows.
    """
    text = read_text(path, _LARGEST)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    rows: list[Row] = []
    columns: list[str] | None = None
    lines: dict[str, int] = {}  # of the ids
    first = 1
    try:
        for cells in reader:
            line, first = first, reader.line_num + 1
            if not any(map(str.strip, cells)):
                continue
            if columns is None:
                columns = _columns(cells, path)
                continue
            row = _row(cells, columns, line, path)
            if row.id is not None and lines.setdefault(row.id, line) != line:
                raise InputError(f"{path} has the id {row.id!r} in the lines {lines[row.id]} and {line}: rename one.")
            rows.append(row)
    except csv.Error as error:
        raise InputError(
            f"{path} cannot be read as a table from line {first} on ({error}): look for a quotation mark without its "
            "partner there."
        ) from error
    if not rows:
        raise InputError(f"The table {path} has no rows: give a header and one row for each recording.")
    return rows


def _delimiter(text: str) -> str:
    """Of a comma, a semicolon and a tab the one that parts the first line into most known columns."""
    header = next((line for line in io.StringIO(text) if line.strip()), "").lower()
    return max(",;\t", key=lambda mark: sum(cell.strip('" \r\n') in _COLUMNS for cell in header.split(mark)))


def _columns(cells: list[str], path: Path) -> list[str]:
    """Names of the columns in a header; one without a name is ""."""
    columns = [cell.strip().lower() for cell in cells]
    known = f"the columns are {', '.join(_COLUMNS)}"
    for column in columns:
        if column and column not in _COLUMNS:
            raise InputError(f"{path} has the unknown column {column[:80]!r} in its header: {known}.")
        if column and columns.count(column) > 1:
            raise InputError(f"{path} has the column {column!r} twice: remove one.")
    if not {"video", "ult", "id"} & set(columns):
        raise InputError(f"{path} has neither a column video nor ult nor id, so that its rows name nothing: {known}.")
    return columns


def _row(cells: list[str], columns: list[str], line: int, path: Path) -> Row:
    """One row with at least one cell filled in."""
    said: dict[str, Any] = {}
    for number, cell in enumerate(cells):
        column = columns[number] if number < len(columns) else ""
        if not (cell := " ".join(cell.split())):
            continue
        if not column:
            raise InputError(
                f"{path} has {cell[:80]!r} in line {line} under no column: put a cell that holds the delimiter in "
                "quotation marks."
            )
        try:
            said[column] = _COLUMNS[column](cell)
        except ValueError as error:
            raise InputError(f"{path} has {cell[:80]!r} in line {line}, column {column}: give {error}.") from None
    if not {"video", "ult", "id"} & said.keys():
        raise InputError(f"{path} names no video, ult or id in line {line}: fill one of them in.")
    if {"video", "ult"} <= said.keys():
        raise InputError(f"{path} names a video and an ult in line {line}: keep the one that shows the tongue.")
    files = {
        role: Path(os.path.normpath(path.parent / said.pop(column)))  # "a/../b" in a path would get into an id
        for column, role in _ROLES.items()
        if column in said
    }
    return Row(line, said.pop("id", None), files, Given(**said), path)


def _file(cell: str) -> str:
    """A path, written as on Windows or not."""
    path = PureWindowsPath(cell).as_posix() if "\\" in cell else cell
    longest = max(map(len, path.encode().split(b"/")))
    if not cell.isprintable() or longest > _LONGEST_NAME or len(path.encode()) > _LONGEST_PATH:
        raise ValueError("the path of a file, relative to the table")
    return path


def _id(cell: str) -> str:
    """The name of an HDF5 group to be."""
    if cell != recording_id(cell) or not cell.isprintable() or len(cell.encode()) > _LONGEST_NAME:
        raise ValueError(f"a name without a slash, not beginning with a dot, of at most {_LONGEST_NAME} bytes")
    return cell


def _offset(cell: str) -> float:
    """Seconds, also with a decimal comma."""
    value = float(cell.replace(",", ".")) if _NUMBER.fullmatch(cell) else math.nan
    if not abs(value) < _DAY:
        raise ValueError("seconds, such as 0.02 or -0,15")
    return value


def _language(cell: str) -> str:
    """A BCP 47 tag, not looked up."""
    if not re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*+", cell):
        raise ValueError("a language tag such as en, en-GB or zh")
    return cell


def _one_of(choices: Mapping[str, object], examples: str) -> Callable[[str], object]:
    """A cell that holds one of some words, in any case."""

    def parse(cell: str) -> object:
        if (word := cell.lower()) not in choices:
            raise ValueError(examples)
        return choices[word]

    return parse


_COLUMNS: dict[str, Callable[[str], object]] = {
    "id": _id,
    "video": _file,
    "ult": _file,
    "metadata": _file,
    "audio": _file,
    "text": str,
    "speaker": str,
    "task": _one_of(TASKS, "vowel, word, sentence or other"),
    "language": _language,
    "split": _one_of(SPLITS, "train, val or test"),
    "offset": _offset,
    "crop": parse_crop,
    "hflip": _one_of(_YES, "yes or no"),
    "textgrid": _file,
}

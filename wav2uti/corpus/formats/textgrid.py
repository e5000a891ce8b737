"""Praat TextGrids, read and written: who says what when, on the clock of the sound.

    "ooTextFile" "TextGrid" xmin xmax <exists> tiers, then for each tier
    "IntervalTier" name xmin xmax intervals, then for each interval   xmin xmax label
    "TextTier"     name xmin xmax points, then for each point         time label

Only quoted strings, free-standing numbers and <flags> count, whatever stands between them: so Praat itself reads its
long and its short format as one (manual, "TextGrid file formats").
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wav2uti.corpus.formats.prompt import NO_TEXT, decode
from wav2uti.corpus.recording import Interval
from wav2uti.errors import InputError
from wav2uti.files import content_of, replaced

# Possessive throughout (++, *+), so that no broken file costs more than its length.
_TOKEN = re.compile(
    r"""!(?P<comment>[^\r\n]*+)
      | "(?P<string>[^"]*+(?:""[^"]*+)*+)(?P<closed>"?)
      | <(?P<flag>[^>\s]*+)>
      | (?P<number>[-+]?(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(?:[eE][-+]?[0-9]++)?+)(?!\S)
      | \S++""",
    re.VERBOSE,
)
_LARGEST = 1 << 25  # bytes; an hour of words and phones takes 10 MB in the long format
_BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_WORDS = re.compile(r"(?<![a-z])(?:word|wrd|ortho|ort(?![a-z]))")
_PHONES = re.compile(r"(?<![a-z])(?:phon|phn|seg)|^mau$")  # MAU, beside ORT-MAU and KAN-MAU, is WebMAUS's
_NOT_SPEECH = re.compile(r"<.*>|_.+_|sil|sp|spn|h?#+|", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Tier:
    """An interval tier: its name and all its intervals, unlabelled ones too, in s on the sound's clock."""

    name: str
    intervals: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class TextGrid:
    """The interval tiers of a TextGrid in their order."""

    tiers: tuple[Tier, ...]


def read_textgrid(path: Path) -> TextGrid:
    """Read a TextGrid in the long or the short text format, in UTF-8, UTF-16 with a byte order mark, or as `decode`.

    Point tiers are left out; blanks in labels are made single. Takes time in proportion to the size of the file.

    Raises:
        InputError: the binary format, no TextGrid, or one that is cut off or holds what cannot be.
    """
    text = read_text(path, _LARGEST)
    if text.startswith("ooBinaryFile"):
        raise InputError(f"{path} is a binary TextGrid: save it in Praat with `Save as text file...`.")
    values = _Values(path, text)
    if not values.string("file type").startswith("ooTextFile") or values.string("object class") != "TextGrid":
        raise values.broken("it is no TextGrid")
    values.number("start")
    values.number("end")
    if values.take("flag", "tiers") == "absent":
        return TextGrid(())
    tiers = []
    for _ in range(values.count("tiers")):
        kind, name = values.string("kind of tier"), values.string("name of a tier")
        if kind not in ("IntervalTier", "TextTier"):
            raise values.broken(f"{kind[:80]!r} is neither an IntervalTier nor a TextTier")
        values.number("start of a tier")
        values.number("end of a tier")
        count = values.count("intervals")
        if kind == "TextTier":
            for _ in range(count):
                values.number("time of a point")
                values.string("label of a point")
        else:
            tiers.append(Tier(name, tuple(values.interval() for _ in range(count))))
    return TextGrid(tuple(tiers))


def words_and_phones(grid: TextGrid, text: str) -> tuple[tuple[Interval, ...], tuple[Interval, ...]]:
    """Words and phones of a TextGrid: the intervals with a label that is speech, of the tiers meant for them.

    The names of the tiers tell ("word", "ORT", "segments", "speaker - phones"); of several the fullest is taken. Where
    no name tells, of two tiers the one with more labels holds the phones, and a single one holds the words if most of
    its labels occur in `text`, else the phones. Pauses and noises ("<P>", "_NOISE_", "sil", "sp", "#") are no speech.

    Returns:
        words, phones: in the order of the file; empty where there is no such tier.
    """
    tiers = {
        index: tuple(interval for interval in tier.intervals if not _NOT_SPEECH.fullmatch(interval.label))
        for index, tier in enumerate(grid.tiers)
    }
    named: dict[Literal["words", "phones"], list[tuple[Interval, ...]]] = {"words": [], "phones": []}
    for index, tier in enumerate(grid.tiers):
        name = tier.name.lower().rpartition(" - ")[2]  # the Montreal Forced Aligner writes "speaker - phones"
        if _WORDS.search(name):
            named["words"].append(tiers[index])
        elif _PHONES.search(name):
            named["phones"].append(tiers[index])
    if any(named.values()):
        return max(named["words"], key=len, default=()), max(named["phones"], key=len, default=())
    unnamed = list(tiers.values())
    if len(unnamed) == 2:
        words, phones = sorted(unnamed, key=len)
        return words, phones
    if len(unnamed) == 1:
        known = {_plain(word) for word in text.split()}
        within = sum(all(_plain(word) in known for word in interval.label.split()) for interval in unnamed[0])
        return (unnamed[0], ()) if 2 * within > len(unnamed[0]) else ((), unnamed[0])
    return (), ()


def write_textgrid(path: Path, seconds: float, tiers: Mapping[str, Sequence[Interval]]) -> None:
    """Write a TextGrid in the long text format, in UTF-8; whole or not at all.

    Praat wants a tier without gaps: what lies between intervals becomes an unlabelled one. An interval that begins
    before the one before it ends, or reaches out of the recording, is cut there, and left out where nothing remains.

    Args:
        path: of the file.
        seconds: length of the recording.
        tiers: intervals in order, by the name of their tier.

    Raises:
        InputError: the file cannot be written.
    """
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {seconds!r}"]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, intervals) in enumerate(tiers.items(), 1):
        filled = _without_gaps(intervals, seconds)
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f"        name = {_quoted(name)}"]
        lines += ["        xmin = 0", f"        xmax = {seconds!r}", f"        intervals: size = {len(filled)}"]
        for place, interval in enumerate(filled, 1):
            lines += [f"        intervals [{place}]:", f"            xmin = {interval.start!r}"]
            lines += [f"            xmax = {interval.end!r}", f"            text = {_quoted(interval.label)}"]
    with replaced(path) as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def _without_gaps(intervals: Sequence[Interval], seconds: float) -> list[Interval]:
    """The intervals of a tier from 0 to `seconds`, unlabelled ones between them."""
    filled: list[Interval] = []
    done = 0.0
    for interval in intervals:
        start, end = max(float(interval.start), done), min(float(interval.end), seconds)
        if start >= end:
            continue
        if start > done:
            filled.append(Interval("", done, start))
        filled.append(Interval(interval.label, start, end))
        done = end
    return filled if done >= seconds else [*filled, Interval("", done, seconds)]


def _quoted(text: str) -> str:
    return '"' + " ".join(text.split()).replace('"', '""') + '"'


def read_text(path: Path, most: int) -> str:
    """Text of a file of at most so many bytes, in UTF-16 with a byte order mark (Praat, Excel), or else as `decode`.

    Raises:
        InputError: no such file, a larger one, or UTF-16 that breaks off.
    """
    content = content_of(path, most)
    encoding = _BYTE_ORDER_MARKS.get(content[:2])
    if encoding is None:
        return decode(content)
    try:
        return content[2:].decode(encoding).translate(NO_TEXT)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is broken: its UTF-16 text is cut off or damaged, save it again.") from error


class _Values:
    """Values of a TextGrid one after the other, each of the kind that is due."""

    def __init__(self, path: Path, text: str) -> None:
        self._path, self._text = path, text
        self._at = 0  # where the last value begins
        self._matches = self._found(text)

    def broken(self, reason: str) -> InputError:
        """The error that says where a TextGrid is broken."""
        line = self._text.count("\n", 0, self._at) + 1
        return InputError(f"{self._path} is broken: {reason} (line {line}), save it again in Praat as text.")

    def take(self, kind: str, what: str) -> str:
        """The next value, which must be a "string", "number" or "flag"; `what` it is, for the message."""
        match = next(self._matches, None)
        if match is None:
            self._at = len(self._text)
            raise self.broken(f"it ends where the {what} should stand")
        self._at = match.start()
        if match.lastgroup != ("closed" if kind == "string" else kind):
            raise self.broken(f"{match[0][:40]!r} stands where the {what} should")
        if kind == "string" and not match["closed"]:
            raise self.broken("a quotation mark is never closed")
        return str(match[kind])

    def string(self, what: str) -> str:
        """The next quoted string, doubled quotes undone and blanks made single."""
        return " ".join(self.take("string", what).replace('""', '"').split())

    def number(self, what: str) -> float:
        """The next number, finite."""
        text = self.take("number", what)
        value = float(text)
        if not math.isfinite(value):
            raise self.broken(f"{text:.40} cannot be the {what}")
        return value

    def count(self, what: str) -> int:
        """How many of something follow; what the file really holds bounds it, since each is then asked for."""
        value = self.number(f"number of {what}")
        if value < 0 or not value.is_integer():
            raise self.broken(f"{value:g} cannot be a number of {what}")
        return int(value)

    def interval(self) -> Interval:
        """The next interval."""
        start, end = self.number("start of an interval"), self.number("end of an interval")
        if start > end:
            raise self.broken(f"an interval from {start:g} to {end:g} s ends before it starts")
        return Interval(self.string("label of an interval"), start, end)

    @staticmethod
    def _found(text: str) -> Iterator[re.Match[str]]:
        """Strings, numbers and flags of a text; the rest is comment."""
        return (match for match in _TOKEN.finditer(text) if match.lastgroup not in (None, "comment"))


def _plain(word: str) -> str:
    """A word without case and punctuation."""
    return "".join(filter(str.isalnum, word)).casefold()

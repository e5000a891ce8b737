"""What was said and by whom: prompt files, transcripts and the names of files and folders."""

import re
from dataclasses import dataclass
from pathlib import Path

from wav2uti.corpus.recording import Task
from wav2uti.files import content_of

_LARGEST = 1 << 20  # bytes; six hours of fast speech are a third of it
# HDF5 stores no NUL, and a terminal would obey the others.
NO_TEXT = dict.fromkeys({*range(32), *range(127, 160)} - {*map(ord, "\t\n\v\f\r\x85")}, " ")
_DATE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}")
# AAA numbers its prompts: "001   gap". Two blanks at least, so that "12 apples" keeps its number.
_PROMPT_NUMBER = re.compile(r"^\s*\d+\s{2,}")
# One speaker recorded in several sessions is one speaker, or a split by speaker would leak:
# UltraPhonix "UPX_01F_BL2", pyult's "P07_S2_B06", TaL1's folder "day2", UltraSuite's folder "Post".
_SESSION_SUFFIX = re.compile(r"_(?:(?:BL|Mid|Post|Maint|Therapy)\w*|S\d+_B\d+)$", re.IGNORECASE)
_SESSION_FOLDER = re.compile(r"(?:BL|Mid|Post|Maint|Therapy|Suit|day|session)[ _-]?\d*", re.IGNORECASE)
_SPEAKER_FOLDER = re.compile(r"\d{2}[MF]|\d{2}[fm][a-z]")  # UltraSuite "07F", TaL80 "01fi"
_SPEAKER_IN_NAME = re.compile(r"(speaker\d+)_|(\d{2}[MF])-")  # the paper's "speaker00054_M_s1_stn00144", "07F-028A"
_SENTENCE_IN_NAME = re.compile(r"_stn\d+$")


@dataclass(frozen=True, slots=True)
class Prompt:
    """Contents of a prompt file; empty strings where it does not say."""

    text: str = ""
    speaker: str = ""


def read_prompt(path: Path | None) -> Prompt:
    """Read an AAA prompt file or a plain transcript.

    AAA: line 1 is the prompt, line 2 a date in one of several forms, line 3 (optional) the speaker, often with a comma
    after it. A file whose second line is no date is a transcript: all its lines are the text. The number that AAA puts
    before a prompt ("001   gap") is taken off, and blanks are made single. No file is an empty prompt.

    Raises:
        InputError: the file cannot be read, or is larger than what can be said.
    """
    if path is None:
        return Prompt()
    lines = decode(content_of(path, _LARGEST)).splitlines()
    if len(lines) < 2 or not _DATE.match(lines[1].strip()):
        return Prompt(_clean(" ".join(lines)))
    return Prompt(_clean(lines[0]), lines[2].strip(" \t,") if len(lines) > 2 else "")


def decode(content: bytes) -> str:
    """Text of a file in UTF-8, GBK or ISO-8859-15, the three that corpora come in; control characters become blanks.

    Nearly every text of the other two is no valid UTF-8. GBK and ISO-8859-15 are told apart by neighbours: read as GBK,
    an accented letter becomes a Chinese character in the middle of a Latin word.
    """
    return _decoded(content).translate(NO_TEXT)


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    try:
        text = content.decode("gbk")
    except UnicodeDecodeError:
        return content.decode("iso-8859-15")
    within_words = len(re.findall(r"(?<=[A-Za-z])[^\x00-\x7f]|[^\x00-\x7f](?=[A-Za-z])", text))
    others = sum(character > "\x7f" for character in text) - within_words
    return text if others > within_words else content.decode("iso-8859-15")


def speaker_of(path: Path, prompt: Prompt) -> str:
    """Name of the speaker of a recording. The first of these that gives one:

    1. the third line of the prompt file, without a session at its end ("UPX_01F_BL2" is "UPX_01F");
    2. the beginning of the file's name: "speaker00054_..." or "07F-...";
    3. the nearest folder named like a speaker of UltraSuite ("07F") or TaL80 ("01fi");
    4. the nearest folder that is not named like a session ("day2", "BL1", "Post").
    """
    if speaker := _SESSION_SUFFIX.sub("", prompt.speaker):
        return speaker
    if match := _SPEAKER_IN_NAME.match(path.name):
        return match[1] or match[2]
    folders = [folder.name for folder in path.resolve().parents if folder.name]
    named = [folder for folder in folders if _SPEAKER_FOLDER.fullmatch(folder)]
    others = [folder for folder in folders if not _SESSION_FOLDER.fullmatch(folder)]
    return (*named, *others, "unknown")[0]


def task_of(path: Path) -> Task:
    """Task by the file's name: the paper's corpus marks a sentence by `_stn00144`; anything else is "other"."""
    return "sentence" if _SENTENCE_IN_NAME.search(path.stem) else "other"


def _clean(text: str) -> str:
    """One line without the prompt's number, blanks made single."""
    return " ".join(_PROMPT_NUMBER.sub("", text).split())

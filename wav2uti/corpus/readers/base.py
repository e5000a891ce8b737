"""What every reader is, and what readers share."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from wav2uti.corpus.given import Given
from wav2uti.corpus.raw import RawRecording
from wav2uti.corpus.recording import Recording
from wav2uti.corpus.sync import read_whole


@dataclass(frozen=True, eq=False)
class Candidate:
    """One utterance that a reader has found and not yet read.

    Attributes:
        id: name of the recording to be; the stem of its files, unique once `find_recordings` has seen it.
        files: every file that it is read from by role ("ultrasound", "metadata", "video", "sound", "prompt",
            "textgrid", "splines", "pulses"); the first names it in messages. They tell later whether it has changed.
        reader: whose `open` takes it.
        given: what the user says of it.
    """

    id: str
    files: Mapping[str, Path]
    reader: "Reader" = field(repr=False)
    given: Given = field(default_factory=Given)

    @property
    def path(self) -> Path:
        """The file that names the candidate."""
        return next(iter(self.files.values()))


class Reader(ABC):
    """Reads the recordings of one corpus layout; has no state, so that it travels to other processes.

    Attributes:
        name: of the layout, as `--layout` takes it.
        about: the layout in a few words, for the user.
    """

    name: ClassVar[str]
    about: ClassVar[str]

    @abstractmethod
    def find(self, source: Path) -> list[Candidate]:
        """Candidates in a folder, searched recursively, or in one file, in the order of their paths.

        An utterance of which a file is missing is a candidate too: `open` says what is missing.
        """

    @abstractmethod
    def open(self, candidate: Candidate, size: int) -> RawRecording:
        """Open one candidate, to be drawn as (size, size) pixels.

        Raises:
            InputError: one sentence that names the file, what is wrong with it and what to do.
        """

    def read(self, candidate: Candidate, size: int) -> Recording:
        """Read one candidate whole: frames (T, size, size) at 60 a second and 16 kHz sound. Errors as in `open`."""
        return read_whole(self.open(candidate, size))


def files_in(source: Path, suffixes: Sequence[str]) -> Iterator[Path]:
    """Files with one of the endings (lower case, with the dot) in a folder or the file itself, in order of path.

    Hidden files and folders are passed over: a copy made on macOS holds a `._name` for every file.
    """
    for path in [source] if source.is_file() else sorted(source.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(source).parts)
        if not hidden and path.name.lower().endswith(tuple(suffixes)) and os.path.isfile(path):  # noqa: PTH113
            yield path


def beside(path: Path, *names: str) -> Path | None:
    """The first of these names that exists in the folder of `path`; an ending in capitals counts too."""
    for name in names:
        lower = path.with_name(name)
        for choice in (lower, lower.with_suffix(lower.suffix.upper())):
            if os.path.isfile(choice):  # noqa: PTH113 (never raises: the name may be too long)
                return choice
    return None


def present(**files: Path | None) -> dict[str, Path]:
    """The files that are there, by role."""
    return {role: path for role, path in files.items() if path is not None}

"""What every reader is, and what readers share."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wav2uti.corpus.recording import Recording
from wav2uti.corpus.sync import output_times
from wav2uti.errors import InputError


@dataclass(frozen=True, eq=False)
class Candidate:
    """One utterance that a reader has found and not yet read.

    Attributes:
        id: name of the recording to be; the stem of its files, unique once `find_recordings` has seen it.
        files: its files by role ("ultrasound", "metadata", "video"); the first names it in messages.
        reader: whose `read` takes it.
    """

    id: str
    files: dict[str, Path]
    reader: "Reader" = field(repr=False)

    @property
    def path(self) -> Path:
        """The file that names the candidate."""
        return next(iter(self.files.values()))


class Reader(ABC):
    """Reads one family of formats; its options are the arguments of its constructor."""

    name: ClassVar[str]

    @abstractmethod
    def find(self, source: Path) -> list[Candidate]:
        """Candidates in a folder, searched recursively, or in one file, in the order of their paths."""

    @abstractmethod
    def read(self, candidate: Candidate, size: int) -> Recording:
        """Read one candidate as frames (T, size, size) and sound.

        Raises:
            InputError: one sentence that names the file, what is wrong with it and what to do.
        """


def files_in(source: Path, suffixes: Sequence[str]) -> Iterator[Path]:
    """Files with one of the endings (lower case, with the dot) in a folder or the file itself, in order of path.

    Hidden files and folders are passed over: a copy made on macOS holds a `._name` for every file.
    """
    for path in [source] if source.is_file() else sorted(source.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(source).parts)
        if not hidden and path.name.lower().endswith(tuple(suffixes)) and path.is_file():
            yield path


def beside(path: Path, *names: str) -> Path | None:
    """The first of these names that exists in the folder of `path`; an ending in capitals counts too."""
    for name in names:
        lower = path.with_name(name)
        for choice in (lower, lower.with_suffix(lower.suffix.upper())):
            if choice.is_file():
                return choice
    return None


def shared_times(path: Path, frame_times: ArrayLike, period: float, audio_seconds: float) -> NDArray[np.float64]:
    """`output_times`, or an `InputError` that names the file where picture and sound have no frame in common."""
    raw = np.asarray(frame_times, dtype=np.float64)
    times = output_times(raw, period, audio_seconds)
    if len(times) == 0:
        raise InputError(
            f"{path}: picture and sound do not overlap (picture from {raw[0]:.3f} s to {raw[-1] + period:.3f} s, "
            f"sound from 0 s to {audio_seconds:.3f} s): check that both belong together, and the time offset."
        )
    return times

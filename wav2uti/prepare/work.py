"""Recordings still to be made: those found in files, and those of the simulated corpus."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import file_digest
from pathlib import Path
from typing import Any

from wav2uti.corpus.raw import RawRecording
from wav2uti.corpus.readers.base import Candidate
from wav2uti.corpus.recording import Recording
from wav2uti.corpus.simulate.corpus import simulate_recording
from wav2uti.corpus.simulate.speakers import draw_speaker
from wav2uti.prepare.make import Work


@dataclass(frozen=True)
class FromFiles(Work):
    """A recording that a reader has found."""

    candidate: Candidate

    @property
    def id(self) -> str:
        return self.candidate.id

    def open(self, size: int) -> RawRecording:
        return self.candidate.reader.open(self.candidate, size)

    def origin(self) -> dict[str, Any]:
        """Layout, what the user said of it, and name, length, date and digest of each file."""
        return self._plain() | {"files": {role: _stamp(path) for role, path in self.candidate.files.items()}}

    def is_made_from(self, origin: Mapping[str, Any]) -> bool:
        """Whether the same is said of it and its files have the same content.

        A file of the same length and date counts as the same; only where the date is another its bytes are compared.
        """
        known, files = origin.get("files", {}), self.candidate.files
        said = {name: value for name, value in origin.items() if name != "files"}
        if said != self._plain() or known.keys() != files.keys():
            return False
        return all(_is_same(path, known[role]) for role, path in files.items())

    def _plain(self) -> dict[str, Any]:
        given = {name: value for name, value in asdict(self.candidate.given).items() if value is not None}
        if isinstance(given.get("crop"), tuple):
            given["crop"] = list(given["crop"])  # as JSON gives it back
        return {"layout": self.candidate.reader.name, "given": given}


@dataclass(frozen=True)
class Simulated(Work):
    """A recording of the simulated corpus with this seed."""

    speaker: int
    utterance: int
    seed: int
    speckle: int = 0

    @property
    def id(self) -> str:
        return f"{_speaker_name(self.speaker, self.seed)}_u{self.utterance:03d}"

    def open(self, size: int) -> Recording:
        return simulate_recording(self.speaker, self.utterance, size, self.seed, self.speckle)

    def origin(self) -> dict[str, Any]:
        """Nothing: the settings of the shard say it."""
        return {}

    def is_made_from(self, origin: Mapping[str, Any]) -> bool:
        return True


@cache
def _speaker_name(speaker: int, seed: int) -> str:
    return draw_speaker(speaker, seed).name


def _stamp(path: Path) -> dict[str, Any]:
    stat = path.stat()
    return {"name": path.name, "bytes": stat.st_size, "mtime": stat.st_mtime_ns, "digest": _digest(path)}


def _is_same(path: Path, known: Mapping[str, Any]) -> bool:
    try:
        stat = path.stat()
        if (path.name, stat.st_size) != (known["name"], known["bytes"]):
            return False
        return bool(stat.st_mtime_ns == known["mtime"] or _digest(path) == known["digest"])
    except OSError:
        return False  # reading it says why


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "blake2b").hexdigest()[:32]

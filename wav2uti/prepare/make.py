"""One recording from its files to a part: read, brought to the common clock, checked and embedded.

Everything is read and written in blocks: the memory needed does not grow with the length of a recording.
"""

import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wav2uti.corpus.quality import QualityMeter
from wav2uti.corpus.raw import Block, Picture, RawRecording
from wav2uti.corpus.recording import Interval, Recording
from wav2uti.corpus.shards.writer import attributes_of, plain_intervals, to_half, to_int16
from wav2uti.corpus.sync import Synchronised
from wav2uti.errors import InputError
from wav2uti.prepare.part import Part, Report, StoredSound, part_name
from wav2uti.speech.acoustic import AcousticEncoder
from wav2uti.speech.textual import TextEncoder
from wav2uti.speech.timing import token_times
from wav2uti.speech.transcribe import Transcriber


class Work(Protocol):
    """A recording still to be made; travels to another process."""

    @property
    def id(self) -> str: ...

    def open(self, size: int) -> RawRecording | Recording:
        """The recording, opened or made; InputError where it cannot be."""

    def origin(self) -> dict[str, Any]:
        """What it is made from, as JSON."""

    def is_made_from(self, origin: Mapping[str, Any]) -> bool:
        """Whether making it again would give the same as what was made from `origin`."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How recordings are made.

    Attributes:
        size: side of a frame in pixels.
        acoustic, text: encoders of the sound and of what is said.
        transcriber: writes down what is said where the corpus does not tell; None leaves such recordings without text.
    """

    size: int
    acoustic: AcousticEncoder
    text: TextEncoder
    transcriber: Transcriber | None = None

    def as_json(self) -> str:
        """Two recipes that make the same have the same text."""
        wrote = self.transcriber.spec() if self.transcriber else None
        return json.dumps([self.size, self.acoustic.spec(), self.text.spec(), wrote], sort_keys=True)


# A worker keeps the encoders of its first recording: their weights are then loaded once.
_RECIPES: dict[tuple[str, type, type], Recipe] = {}


def examine(work: Work, size: int) -> Report:
    """Read a recording as `make_part` does and write nothing. Raises InputError."""
    return _made(work, size, None, None)


def make_part(work: Work, recipe: Recipe, parts: Path) -> Report:
    """Make the part of a recording in the folder `parts`.

    Raises:
        InputError: the recording cannot be read.
        OutOfSpace: the part cannot be written.
    """
    recipe = _RECIPES.setdefault((recipe.as_json(), type(recipe.acoustic), type(recipe.text)), recipe)
    with Part(parts / part_name(work.id)) as part:
        report = _made(work, recipe.size, part, recipe)
        part.finish(recipe.as_json(), report, work.origin())
    return report


def _made(work: Work, size: int, part: Part | None, recipe: Recipe | None) -> Report:
    """Read a recording; write its arrays and attributes into the part, if there is one."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            opened = work.open(size)
            report = _take_whole(opened, part) if isinstance(opened, Recording) else _take(opened, part)
        except OSError as error:
            raise InputError(
                f"{error.filename or work.id} cannot be read ({error.strerror}): check the file."
            ) from error
        if part is not None and recipe is not None:
            if recipe.transcriber is not None and not report.text:
                report = _transcribe(part, recipe.transcriber, report)
            _embed(part, recipe, report)
    said = [str(warning.message) for warning in caught if warning.category is UserWarning]
    return replace(report, warnings=[*report.warnings, *said], bytes=part.bytes if part else 0)


def _take(raw: RawRecording, part: Part | None) -> Report:
    """Bring a raw recording to the common clock, with its checks."""
    meter = QualityMeter()
    synchronised = Synchronised(replace(raw, picture=_Watched(raw.picture, meter)))
    for frames in synchronised.frames():
        if part is not None:
            part.append("frames", frames)
    if part is not None:
        for samples in synchronised.audio():
            part.append("audio", to_int16(samples))
        if (contour := synchronised.contour()) is not None:
            part.append("contour", contour)
        part.attributes |= attributes_of(raw, synchronised.moved(raw.words), synchronised.moved(raw.phones))
    quality = meter.quality(synchronised, raw.sound.facts)
    return Report(
        **_facts(raw),
        frames=synchronised.count,
        kind=raw.picture.kind,
        sound_rate=raw.sound.rate,
        quality=asdict(quality),
        warnings=quality.warnings(),
        bytes=0,
    )


def _take_whole(recording: Recording, part: Part | None) -> Report:
    """A recording that is there already."""
    if part is not None:
        part.append("frames", recording.frames)
        part.append("audio", to_int16(recording.audio))
        if recording.contour is not None:
            part.append("contour", recording.contour)
        if recording.reference is not None:
            part.append("reference", recording.reference)
        part.attributes |= attributes_of(recording)
    return Report(
        **_facts(recording),
        frames=len(recording.frames),
        kind="simulated" if recording.simulated else "whole",
        sound_rate=0,
        quality={},
        warnings=[],
        bytes=0,
    )


def _embed(part: Part, recipe: Recipe, report: Report) -> None:
    """Add the embeddings of the sound and the text, as `shards.writer.to_half` checks them."""
    encoder = recipe.acoustic
    count = 0
    for block in encoder.encode_blocks(StoredSound(part.array("audio")), report.frames):
        part.append(f"acoustic/{encoder.name}", to_half(block, encoder.name, (len(block), encoder.width), report.id))
        count += len(block)
    if count != report.frames:
        raise InputError(
            f"Recording {report.id!r}: the encoder {encoder.name!r} gave {count} vectors for {report.frames} frames; "
            "correct the encoder."
        )
    tokens = recipe.text.encode(report.text)
    expected = (len(tokens), recipe.text.width)
    part.append(f"text/{recipe.text.name}", to_half(tokens, recipe.text.name, expected, report.id))
    words = [Interval(*word) for word in json.loads(part.attributes["words"])]
    if words:
        part.append(f"times/{recipe.text.name}", token_times(report.text, recipe.text.spans(report.text), words))


def _transcribe(part: Part, transcriber: Transcriber, report: Report) -> Report:
    """Write down what is said; words that the corpus gives keep their times."""
    sound = StoredSound(part.array("audio"))
    transcript = transcriber.transcribe(sound[0 : len(sound)])
    language = report.language or transcript.language
    part.attributes |= {"text": transcript.text, "language": language}
    if not json.loads(part.attributes["words"]):
        part.attributes |= {"words": json.dumps(plain_intervals(transcript.words))}
    return replace(report, text=transcript.text, language=language)


def _facts(about: RawRecording | Recording) -> dict[str, str]:
    """What a `Report` says in the words of the recording."""
    return {name: getattr(about, name) for name in ("id", "speaker", "task", "text", "language", "split")}


class _Watched(Picture):
    """A picture whose raw frames a meter sees go by."""

    def __init__(self, picture: Picture, meter: QualityMeter) -> None:
        self._picture, self._meter = picture, meter
        self.kind, self.period = picture.kind, picture.period

    def blocks(self) -> Iterator[Block]:
        for block in self._picture.blocks():
            self._meter.see(block)
            yield block

    def draw(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return self._picture.draw(frames)

    def motion_beside(self) -> float | None:
        return self._picture.motion_beside()

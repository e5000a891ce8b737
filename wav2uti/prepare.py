"""Where corpus and speech meet: the commands `wav2uti simulate` and `wav2uti prepare`, which make shards."""

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from wav2uti.clock import SAMPLE_RATE, frames_in, seconds_at
from wav2uti.corpus.readers import AAAReader, VideoReader, find_recordings
from wav2uti.corpus.recording import Recording
from wav2uti.corpus.shard_writer import describe_encoders, embedding_arrays, write_shards
from wav2uti.corpus.shards import Shard, find_shards
from wav2uti.corpus.simulate.corpus import simulate_corpus
from wav2uti.errors import InputError
from wav2uti.speech.acoustic import AcousticEncoder, LogMel
from wav2uti.speech.embed import Embeddings, embed
from wav2uti.speech.textual import CharacterCodes, TextEncoder


def simulate(
    out: Path,
    speakers: int = 8,
    utterances: int = 25,
    size: int = 64,
    seed: int = 0,
    workers: int | None = None,
    acoustic: AcousticEncoder | None = None,
    text: TextEncoder | None = None,
) -> None:
    """Make the simulated corpus: shards of synthetic speech with synthetic ultrasound of a model tongue.

    It needs no recordings and shows that everything works; no person was recorded, and every file says so.
    Run again after a stop, the same command goes on.

    Args:
        out: folder for the shards.
        speakers: number of simulated speakers.
        utterances: recordings of each speaker.
        size: pixels along each side of a frame.
        seed: of everything random; the same seed gives the same corpus.
        workers: processes; by default one a core.
        acoustic: encoder of the sound; log-mel energies by default.
        text: encoder of the text; fixed codes of characters by default.
    """
    settings = {"command": "simulate", "speakers": speakers, "utterances": utterances, "size": size, "seed": seed}
    job = _Job(out, settings, acoustic or LogMel(), text or CharacterCodes())
    total = speakers * utterances
    if len(job.stored) == total:
        print(f"{out} already holds this simulated corpus of {total} recordings.")
        return
    recordings = simulate_corpus(speakers, utterances, size, seed, workers or os.cpu_count() or 1)
    job.run(((recording.id, partial(_made, recording)) for recording in recordings), total, "Simulating")


def prepare(
    source: Path,
    out: Path,
    size: int = 112,
    acoustic: AcousticEncoder | None = None,
    text: TextEncoder | None = None,
    crop: tuple[int, int, int, int] | None = None,
    hflip: bool = False,
    offset: float = 0.0,
) -> None:
    """Turn recordings into shards: frames at 60 Hz, sound at 16 kHz, text, and their embeddings.

    Reads AAA exports (.ult) and videos (.avi, .mp4 and others), in folders below SOURCE too. A recording that cannot
    be read is reported and left out. Recordings that OUT holds already are passed over, so that a stopped command
    goes on when it is run again.

    Args:
        source: folder of recordings, or one file.
        out: folder for the shards.
        size: pixels along each side of a frame.
        acoustic: encoder of the sound; log-mel energies by default.
        text: encoder of the text; fixed codes of characters by default.
        crop: x, y, width and height of the ultrasound in a video, in pixels; by default the whole picture.
        hflip: mirror videos, for recordings with the tip of the tongue on the left.
        offset: seconds added to the times of a video's frames; positive where the sound began first.
    """
    if size < 1:
        raise InputError(f"Frames cannot be {size} pixels wide; give a size such as 64, 96 or 112.")
    options = {"crop": None if crop is None else list(crop), "hflip": hflip, "offset": offset}
    settings = {"command": "prepare", "size": size, **options}
    job = _Job(out, settings, acoustic or LogMel(), text or CharacterCodes())
    candidates = find_recordings(source, [AAAReader(), VideoReader(crop=crop, hflip=hflip, offset=offset)])
    if not candidates:
        raise InputError(f"There are no recordings in {source}: neither AAA exports (.ult) nor videos were found.")
    job.run(((c.id, partial(c.reader.read, c, size)) for c in candidates), len(candidates), "Preparing")


@dataclass
class _Job:
    """Recordings into the shards of one folder, with one pair of encoders.

    Attributes:
        stored: ids that the folder holds already, made with the same settings and encoders.
    """

    out: Path
    settings: dict[str, Any]
    acoustic: AcousticEncoder
    text: TextEncoder
    stored: set[str] = field(init=False)
    left_out: int = field(init=False, default=0)
    speakers: set[str] = field(init=False, default_factory=set)
    frames: int = field(init=False, default=0)
    written: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.encoders = describe_encoders([self.acoustic], [self.text])
        self.stored = set()
        holds_shards = self.out.is_dir() and any(self.out.glob("*.h5"))
        for path in find_shards(self.out) if holds_shards else ():
            shard = Shard(path)
            wanted = self.settings | self.encoders
            for name, value in (shard.settings | shard.encoders).items():
                if wanted.get(name) != value:
                    raise InputError(
                        f"{path} was made with {_said(name, value)}, this command has "
                        f"{_said(name, wanted.get(name))}; give the same options, or another folder."
                    )
            self.stored.update(shard.ids)

    def run(self, found: Iterable[tuple[str, Callable[[], Recording]]], total: int, title: str) -> None:
        """Read, embed and write the recordings that are not stored yet, and print a summary.

        Args:
            found: ids, each with the function that reads the recording.
            total: how many they are.
            title: of the progress bar.
        """
        # An encoder that cannot be loaded ends the command here; later it would leave out every recording.
        self.acoustic.encode(np.sin(np.arange(SAMPLE_RATE, dtype=np.float32) / 10), frames_in(SAMPLE_RATE))
        self.text.encode("a")
        before = len(self.stored)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        with Progress(*columns, console=console) as progress:
            tracked = progress.track(found, total=total, description=title)
            try:
                write_shards(self.out, self._items(tracked, console), [self.acoustic], [self.text], self.settings)
            except KeyboardInterrupt:
                console.print(f"Stopped after {self.written} recordings, which are kept; the same command goes on.")
                raise
        if not self.stored:
            raise InputError(f"None of the {total} recordings could be read; the lines above say why.")
        print(
            f"{self.out}: {self.written} recordings written ({self.frames} frames, {seconds_at(self.frames):.1f} s, "
            f"{len(self.speakers)} speakers), {before} there before, {self.left_out} left out."
        )

    def _items(
        self, found: Iterable[tuple[str, Callable[[], Recording]]], console: Console
    ) -> Iterator[tuple[Recording, Embeddings]]:
        for id, read in found:
            if id in self.stored:
                continue
            try:
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    recording = read()
                    embeddings = embed(
                        recording.audio, len(recording.frames), recording.text, [self.acoustic], [self.text]
                    )
                embedding_arrays(recording, embeddings, self.encoders)
            except InputError as error:
                self.left_out += 1
                _say(console, f"Left out {id}: {error}")
                continue
            for warning in caught:
                if warning.category is UserWarning:
                    _say(console, f"{id}: {warning.message}")
            yield recording, embeddings
            # Only now is it stored: the writer asks for the next one.
            self.stored.add(id)
            self.written += 1
            self.frames += len(recording.frames)
            self.speakers.add(recording.speaker)


def _made(recording: Recording) -> Recording:
    """What "reading" a recording is where it was simulated."""
    return recording


def _said(name: str, value: Any) -> str:
    """A setting or a kind of encoder in words."""
    names = ", ".join(value) if isinstance(value, dict) else value
    return f"the {name} encoder {names}" if name in ("acoustic", "text") else f"{name} {names}"


def _say(console: Console, line: str) -> None:
    """Print above the progress bar, without markup: names of files hold brackets."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)

"""The commands `simulate` and `prepare`: recordings, made or found, into shards."""

from collections import Counter
from itertools import product
from pathlib import Path
from typing import Literal

from wav2uti.corpus.crop import parse_crop
from wav2uti.corpus.formats.names import NamePattern
from wav2uti.corpus.formats.table import read_table
from wav2uti.corpus.given import Given
from wav2uti.corpus.readers.base import Reader
from wav2uti.corpus.readers.search import Layout, find_recordings
from wav2uti.errors import InputError
from wav2uti.prepare.dry_run import dry_run as look_through
from wav2uti.prepare.executors import make_executor
from wav2uti.prepare.job import Job
from wav2uti.prepare.make import Recipe
from wav2uti.prepare.work import FromFiles, Simulated
from wav2uti.speech.acoustic import AcousticEncoder, LogMel
from wav2uti.speech.textual import CharacterCodes, TextEncoder
from wav2uti.speech.transcribe import Transcriber

MOST_PIXELS = 512  # along each side of a frame: a second of them takes 16 MB
MOST_SIMULATED = 1_000_000  # recordings


def simulate(
    out: Path,
    speakers: int = 8,
    utterances: int = 25,
    size: int = 64,
    seed: int = 0,
    workers: int | None = None,
    acoustic: AcousticEncoder | None = None,
    text: TextEncoder | None = None,
    first_speaker: int = 0,
    speckle: int = 0,
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
        first_speaker: number of the first speaker: speakers 40 to 43 are those of a larger corpus with this seed.
        speckle: another number gives the same movement and sound with other speckle in the picture.
    """
    for name, value, least in (("speakers", speakers, 1), ("utterances", utterances, 1), ("size", size, 16)):
        if value < least:
            raise InputError(f"A simulated corpus needs {name} of at least {least}, not {value}.")
    if size > MOST_PIXELS or speakers * utterances > MOST_SIMULATED:
        raise InputError(
            f"A simulated corpus has at most {MOST_SIMULATED} recordings of {MOST_PIXELS} pixels; give smaller numbers."
        )
    for name, value in (("seed", seed), ("first_speaker", first_speaker), ("speckle", speckle)):
        if value < 0:
            raise InputError(f"The {name} of a simulated corpus must not be negative, not {value}.")
    settings = {"command": "simulate", "speakers": speakers, "utterances": utterances, "size": size, "seed": seed}
    # Only where they are given, so that a corpus of an earlier version is still known as the same.
    settings |= {k: v for k, v in (("first_speaker", first_speaker), ("speckle", speckle)) if v}
    job = Job(out, settings, Recipe(size, acoustic or LogMel(), text or CharacterCodes()))
    people = range(first_speaker, first_speaker + speakers)
    works = [Simulated(*place, seed, speckle) for place in product(people, range(utterances))]
    if job.is_complete(works):
        print(f"{out} already holds this simulated corpus of {len(works)} recordings.")
        return
    job.run(works, make_executor("local", workers, None, len(works)), "Simulating")


def prepare(
    source: Path,
    out: Path | None = None,
    size: int = 112,
    layout: Layout | type[Reader] | None = None,
    dry_run: bool = False,
    acoustic: AcousticEncoder | None = None,
    text: TextEncoder | None = None,
    transcriber: Transcriber | None = None,
    crop: str | None = None,
    hflip: bool = False,
    offset: float = 0.0,
    language: str = "",
    names: str | None = None,
    about: Path | None = None,
    workers: int | None = None,
    executor: Literal["local", "dask"] = "local",
    scheduler: str | None = None,
) -> None:
    """Turn recordings into shards: frames at 60 Hz, sound at 16 kHz, text, and their embeddings.

    Reads AAA, UltraSuite, TaL and AUSpeech folders, videos, and tables that list recordings; which of them SOURCE is,
    is found and said before anything else. A recording that cannot be read is reported and left out. Recordings that
    OUT holds already are passed over unless their files have changed, so that a stopped command goes on when it is run
    again.

    Args:
        source: folder of recordings (searched below it too), one file, or a table (CSV).
        out: folder for the shards; not needed for a dry run.
        size: pixels along each side of a frame.
        layout: what SOURCE is, where it should not be found out; or a class of your own that reads it, such as
            my_reader.MyReader.
        dry_run: read and check everything, print a table of it, and write nothing.
        acoustic: encoder of the sound; log-mel energies by default.
        text: encoder of the text; fixed codes of characters by default.
        transcriber: writes down what is said in recordings without a text, such as `--transcriber Transcriber
            --transcriber.model openai/whisper-tiny`; without one they have none.
        crop: "X,Y,WIDTH,HEIGHT" of the ultrasound in a video, in pixels, or "auto" for the place that moves; by default
            the whole picture.
        hflip: mirror videos, for recordings with the tip of the tongue on the left.
        offset: seconds added to the times of the frames; positive where the sound began before the picture.
        language: of what is spoken, such as "en" or "zh", where the corpus does not say.
        names: regular expression with groups (?P<speaker>...), (?P<task>...), (?P<split>...) or (?P<language>...),
            searched in the path of each recording below SOURCE.
        about: table (CSV) with a row for a recording: id or file, and speaker, task, text, language, split, crop,
            hflip or offset. It goes before names, and names before the other options.
        workers: processes; by default one a core.
        executor: where the work runs: processes of this machine, or a Dask cluster that sees the same files.
        scheduler: address of the Dask scheduler, such as tcp://10.0.0.1:8786.
    """
    if not 1 <= size <= MOST_PIXELS:
        raise InputError(
            f"Frames cannot be {size} pixels wide; give a size such as 64, 96 or 112, {MOST_PIXELS} at most."
        )
    if out is None and not dry_run:
        raise InputError("Say where the shards shall go: wav2uti prepare SOURCE OUT, or add --dry-run to only look.")
    try:
        place = None if crop is None else parse_crop(crop)
    except ValueError as error:
        raise InputError(f"--crop {crop!r} is no crop: give {error}.") from error
    given = Given(crop=place, hflip=hflip or None, offset=offset or None, language=language or None)
    reader = layout() if isinstance(layout, type) else layout
    candidates = find_recordings(
        source, reader, given, NamePattern(names) if names else None, read_table(about) if about else None
    )
    about_layouts = {candidate.reader.name: candidate.reader.about for candidate in candidates}
    for name, count in Counter(candidate.reader.name for candidate in candidates).items():
        print(f"Layout {name}, {about_layouts[name]}: {count} recording{'s' if count > 1 else ''}")
    works = [FromFiles(candidate) for candidate in candidates]
    runs = make_executor(executor, workers, scheduler, len(works))
    if dry_run:
        look_through(works, size, runs)
    elif out is not None:
        recipe = Recipe(size, acoustic or LogMel(), text or CharacterCodes(), transcriber)
        Job(out, {"command": "prepare", "size": size}, recipe).run(works, runs, "Preparing")

"""What `wav2uti predict` leaves of one recording, written as the frames come.

    NAME.mp4             the drawing with the sound
    NAME.png             contact sheet
    NAME.npz or NAME.h5  frames, contour and more (see `archive`)
    NAME.csv             contour: frame, time in s, x and y in pixels, of several drawings the spread in pixels, source
    NAME_splines.csv     contour as AAA exports it, in mm from the probe's origin; where a scale is known
    NAME.spread.mp4      with several drawings: their mean, and beside it how far they differ
    NAME.TextGrid        words and phones, where they are known
    NAME.truth.mp4       the recording's own frames, where there are any

No more than a few seconds of frames are in memory at a time. All files appear together, when the last of them is whole.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from wav2uti import __version__
from wav2uti.clock import FPS, frames_in, samples_at, seconds_at
from wav2uti.corpus.formats.textgrid import write_textgrid
from wav2uti.corpus.recording import Interval
from wav2uti.errors import InputError
from wav2uti.metrics.contour import Fan, FanFinder, any_fan
from wav2uti.names import file_name
from wav2uti.video.archive import Archive, Format, opened_archive
from wav2uti.video.contours import track_samples, write_aaa, write_csv
from wav2uti.video.pictures import opened_pictures
from wav2uti.video.sheet import Frames, contact_sheet
from wav2uti.video.spread import SPREAD, mean_and_spread
from wav2uti.video.write import TRUTH, write_mp4

SPLINES = "_splines.csv"  # what AAA calls them after a recording's name


@dataclass(frozen=True)
class Speech:
    """What is to be drawn: sound, and what else is known of it.

    Attributes:
        name: any; the files' follows from it.
        audio: float32 (N,) at 16 kHz in [-1, 1].
        text: what is said.
        reference: a frame of the speaker, uint8 (H, W).
        real: the recording's own frames, uint8 (T, H, W).
        words, phones: with their times in s.
        simulated: no person was recorded.
        textgrid: content of the TextGrid that came with the sound.
        mm_per_pixel: of its own frames, where it has any and it is known.
        recorded: when; None for now.
    """

    name: str
    audio: NDArray[np.float32]
    text: str | None = None
    reference: NDArray[np.uint8] | None = None
    real: NDArray[np.uint8] | None = None
    words: tuple[Interval, ...] = ()
    simulated: bool = False
    phones: tuple[Interval, ...] = ()
    textgrid: bytes | None = None
    mm_per_pixel: float | None = None
    recorded: datetime | None = None


@dataclass(frozen=True)
class About:
    """What the files say of a drawing.

    Attributes:
        note: what the frames are, for captions and titles.
        model: its name.
        seeds: of the samples, one each.
        settings: how they were drawn, as JSON.
        mm_per_pixel: size of a pixel of the drawn frames, None where it is not known.
        format: of the file of frames.
    """

    note: str
    model: str = ""
    seeds: tuple[int, ...] = (0,)
    settings: str = "{}"
    mm_per_pixel: float | None = None
    format: Format = "npz"


def write_results(output: Path, speech: Speech, parts: Iterable[NDArray[np.uint8]], about: About) -> dict[str, Path]:
    """Write all files while the frames are drawn.

    The contour is tracked in the end, when the place of the fan is known from all frames: they are read back from the
    file that they were written to.

    Args:
        output: folder for the files; nothing new is in it where the drawing or the writing failed.
        speech: what was drawn.
        parts: uint8 (S, n, H, W) each, the next frames of all S samples; as many frames together as the sound has.
        about: what the files say of it.

    Returns:
        The files, by kind.

    Raises:
        InputError: a file cannot be written.
    """
    stem, count = file_name(speech.name), len(about.seeds)
    endings = {"video": ".mp4", "sheet": ".png", "frames": f".{about.format}", "contour": ".csv"}
    if count > 1:
        endings["spread"] = SPREAD
    total = frames_in(len(speech.audio))
    audio = speech.audio[: samples_at(total)]
    longest = total if speech.real is None else max(total, len(speech.real))
    finder = FanFinder()
    following = iter(parts)
    first = next(following)
    with together(output) as folder:
        paths = {kind: folder / f"{stem}{ending}" for kind, ending in endings.items()}
        with opened_archive(paths["frames"], total) as archive:
            look = paths["video"], paths.get("spread"), first.shape[2:], audio, count, about.note, total, longest
            with opened_pictures(*look) as pictures:
                for samples in chain([first], following):
                    spread = mean_and_spread(samples) if count > 1 else None
                    _keep(archive, samples, spread)
                    pictures.add(samples, spread)
                    for sample in samples:
                        finder.add(sample)
            archive.check()
            fan = finder.find()
            track_samples(archive, count, fan)
            write_csv(paths["contour"], archive, count, about.note)
            splines = folder / f"{stem}{SPLINES}"
            who, prompt = f"wav2uti, {about.note}", speech.text or speech.name
            when = speech.recorded or datetime.now()
            if write_aaa(splines, archive, count, fan, about.mm_per_pixel, who, prompt, when):
                paths["splines"] = splines
            _describe(archive, about, fan)
        rows: list[tuple[str, Frames]] = list(pictures.rows)
        if speech.real is not None:
            rows.insert(0, ("simulated" if speech.simulated else "real", speech.real))
            kind = "SIMULATED" if speech.simulated else "recorded"
            paths["truth"] = folder / f"{stem}{TRUTH}"
            write_mp4(paths["truth"], speech.real[:total], audio, caption=f"{kind}, not generated")
        title = f"{speech.name}: {speech.text or ''} ({about.note})"
        contact_sheet(paths["sheet"], rows, audio, title, words=speech.words, phones=speech.phones)
        if grid := _textgrid(folder / f"{stem}.TextGrid", speech, seconds_at(total)):
            paths["textgrid"] = grid
    return {kind: output / path.name for kind, path in paths.items()}


def _keep(
    archive: Archive, samples: NDArray[np.uint8], spread: tuple[NDArray[np.float32], NDArray[np.float32]] | None
) -> None:
    """Add the next frames of all samples, (S, n, H, W), to an archive."""
    archive.add("frames", samples[0])
    if spread is not None:
        for k, sample in enumerate(samples):
            archive.add("samples", sample, k)
        archive.add("mean", spread[0])
        archive.add("spread", spread[1])


def _describe(archive: Archive, about: About, fan: Fan) -> None:
    """Add times and single values to an archive."""
    archive.add("times", np.arange(archive.total) / FPS)
    archive.about(fps=FPS, note=about.note, model=about.model, seeds=np.array(about.seeds, np.int64))
    archive.about(settings=about.settings, version=__version__)
    if about.mm_per_pixel is not None:
        archive.about(mm_per_pixel=about.mm_per_pixel)
    if fan != any_fan(*archive.file["frames"].shape[1:]):
        archive.about(origin=np.array([fan.x, fan.y]))


def _textgrid(path: Path, speech: Speech, seconds: float) -> Path | None:
    """Copy the TextGrid that came with the speech, or write one of its words and phones, where there are any."""
    tiers = {name: found for name, found in (("words", speech.words), ("phones", speech.phones)) if found}
    if speech.textgrid is not None:
        path.write_bytes(speech.textgrid)
    elif tiers:
        write_textgrid(path, seconds, tiers)
    else:
        return None
    return path


@contextmanager
def together(output: Path) -> Iterator[Path]:
    """A hidden folder in `output`, whose files are moved there when the block has ended; gone where it failed.

    Raises:
        InputError: the folder cannot be written to.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".predict-", suffix=".part", dir=output) as folder:
            yield Path(folder)
            for path in sorted(Path(folder).iterdir()):
                path.replace(output / path.name)
    except OSError as error:
        raise InputError(
            f"{output} cannot be written to ({error.strerror}): check the folder and the free space."
        ) from error

"""What the layouts of raw ultrasound share: which files belong together, whose they are, and how they are opened.

    name.ult                          uint8 without a header, in C order (frame, vector, pixel)
    name.param or nameUS.txt          Key=Value lines
    name.wav or name_Track0.wav       sound, whose clock is the recording's
    name.txt                          prompt, date, speaker (optional file)
    name.TextGrid                     words and phones with their times (optional file)
    name_splines.csv                  tongue splines (optional file)
    name.sync                         pulses at the times of the frames (optional file)

Raw frame i stands at TimeInSecsOfFirstFrame + i / FramesPerSec on the clock of the sound, or at the time of its pulse.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wav2uti.corpus.formats.param import Metadata, read_metadata, states_geometry
from wav2uti.corpus.formats.prompt import read_prompt, speaker_of, task_of
from wav2uti.corpus.formats.pulses import frame_times, read_pulses
from wav2uti.corpus.formats.splines import contour_of, read_splines
from wav2uti.corpus.formats.textgrid import read_textgrid, words_and_phones
from wav2uti.corpus.formats.ultrasound import ScanlinePicture, count_frames
from wav2uti.corpus.raw import RawRecording
from wav2uti.corpus.readers.base import Candidate, Reader, beside, files_in, present
from wav2uti.corpus.sound import FileSound
from wav2uti.errors import InputError

_ENDINGS = (".param", "us.txt", ".ult")


class ScanlineReader(Reader):
    """A reader of `.ult` files. The layouts share them out by `claims`, of which one is true for every recording."""

    @abstractmethod
    def claims(self, metadata: Path | None, pulses_in_folder: bool) -> bool:
        """Whether a recording is of this layout.

        Args:
            metadata: its metadata file, if there is one.
            pulses_in_folder: whether there is any `.sync` in its folder.
        """

    def find(self, source: Path) -> list[Candidate]:
        """A candidate for each `.ult` of this layout, and for each metadata file without one."""
        stems = dict.fromkeys(stem for path in files_in(source, _ENDINGS) if (stem := _stem(path)))
        pulses = {
            folder: any(path.suffix.lower() == ".sync" for path in folder.iterdir())
            for folder in {stem.parent for stem in stems}
        }
        found = [(stem.name, companions(stem), pulses[stem.parent]) for stem in sorted(stems)]
        return [
            Candidate(name, files, self)
            for name, files, has_pulses in found
            if self.claims(files.get("metadata"), has_pulses)
        ]

    def open(self, candidate: Candidate, size: int) -> RawRecording:
        """Open a recording.

        The scale in mm is stated unless it is nominal. The contour is there where splines cover every output frame.
        """
        return open_scanlines(candidate, size)


def companions(stem: Path) -> dict[str, Path]:
    """The files of one recording of raw ultrasound by role, from their common path without an ending."""
    name = stem.name
    return present(
        ultrasound=beside(stem, f"{name}.ult"),
        metadata=beside(stem, f"{name}.param", f"{name}US.txt", f"{name}us.txt"),
        sound=beside(stem, f"{name}.wav", f"{name}_Track0.wav"),
        prompt=beside(stem, f"{name}.txt"),
        textgrid=beside(stem, f"{name}.TextGrid", f"{name}.textgrid"),
        splines=beside(stem, f"{name}_splines.csv"),
        pulses=beside(stem, f"{name}.sync"),
    )


def open_scanlines(candidate: Candidate, size: int) -> RawRecording:
    """Open a candidate with the roles of `companions`.

    Raises:
        InputError: one sentence that names the file, what is wrong with it and what to do.
    """
    files, given = candidate.files, candidate.given
    path = files.get("ultrasound", candidate.path)
    _check_complete(path, files)
    metadata = read_metadata(files["metadata"])
    offset = given.offset or 0.0
    times = None
    if "pulses" in files:
        count = count_frames(path, metadata, files["metadata"])
        times = frame_times(read_pulses(files["pulses"]), metadata, count, files["pulses"])
    picture = ScanlinePicture(path, metadata, files["metadata"], size, times, offset)
    prompt = read_prompt(files.get("prompt"))
    text = prompt.text if given.text is None else given.text
    words, phones = words_and_phones(read_textgrid(files["textgrid"]), text) if "textgrid" in files else ((), ())
    return RawRecording(
        id=candidate.id,
        picture=picture,
        sound=FileSound(files["sound"]),
        speaker=given.speaker or speaker_of(path, prompt),
        task=given.task or task_of(path),
        text=text,
        language=given.language or "",
        source=path.name,
        split=given.split or "",
        mm_per_pixel=metadata.geometry.mm_per_pixel(size) if metadata.true_scale else None,
        words=words,
        phones=phones,
        contour=_contour(files, metadata, offset, size),
    )


def _contour(
    files: Mapping[str, Path], metadata: Metadata, offset: float, size: int
) -> Callable[[NDArray[np.float64]], NDArray[np.float32] | None] | None:
    """The contour by the splines, whose millimetres need a true scale; they move with the frames they were drawn on."""
    if "splines" not in files or not metadata.true_scale:
        return None
    splines = read_splines(files["splines"])
    splines = replace(splines, times=splines.times + offset)
    return partial(contour_of, splines, period=1 / metadata.rate, geometry=metadata.geometry, size=size)


def _check_complete(path: Path, files: Mapping[str, Path]) -> None:
    """Raise an InputError that says what is missing, if something is."""
    name = (_stem(path) or path).name
    if "ultrasound" not in files:
        raise InputError(f"{path} has no {name}.ult beside it: copy the raw ultrasound there.")
    if "metadata" not in files:
        raise InputError(f"{path} has neither {name}.param nor {name}US.txt beside it: export it again from AAA.")
    if "sound" not in files:
        raise InputError(f"{path} has neither {name}.wav nor {name}_Track0.wav beside it: copy its sound there.")


def _stem(path: Path) -> Path | None:
    """Path of a recording without an ending, from its `.ult` or its metadata; None for a prompt or another file."""
    for ending in _ENDINGS:
        name = path.name[: -len(ending)]
        if name and path.name.lower().endswith(ending):
            return path.with_name(name) if ending == ".ult" or states_geometry(path) else None
    return None

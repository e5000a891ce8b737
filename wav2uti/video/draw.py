"""One recording drawn with a loaded model, and all of its results written: what the command and the web page call."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wav2uti.diffusion.guidance import Guidance
from wav2uti.diffusion.sampler import Sampler
from wav2uti.errors import InputError
from wav2uti.options import check_counts, check_positive
from wav2uti.tasks.base import Progress
from wav2uti.video.archive import Format
from wav2uti.video.cascade import diffusions
from wav2uti.video.predictor import Predictor
from wav2uti.video.reference_frame import default_reference
from wav2uti.video.results import About, Speech, write_results


@dataclass(frozen=True)
class Drawing:
    """How to draw, and what to write of it.

    Attributes:
        sampler: None for the model's own; as are steps, guidance and augmentation (see `Predictor.stream`).
        seed: of the random numbers: the same seed gives the same frames on the same machine.
        samples: how often the same speech is drawn, with seeds from `seed` on; of more than one, mean and spread are
            written.
        format: of the file of frames, npz or h5.
        mm_per_pixel: size of a pixel of the drawn frames; None for what the model knows of it.
    """

    sampler: Sampler | None = None
    steps: int | None = None
    guidance: Guidance | None = None
    augmentation: float | None = None
    seed: int = 0
    samples: int = 1
    format: Format = "npz"
    mm_per_pixel: float | None = None

    def __post_init__(self) -> None:
        check_counts(1, samples=self.samples)
        if self.mm_per_pixel is not None:
            check_positive(mm_per_pixel=self.mm_per_pixel)


def draw(
    model: Predictor, speech: Speech, drawing: Drawing, output: Path, progress: Progress | None = None
) -> dict[str, Path]:
    """Draw the tongue for one recording and write its video, contact sheet, frames, contour and more (see `results`).

    Where the model takes a reference frame and the speech brings none, the one of the model's folder is used, and the
    captions say so.

    Args:
        model: as from `load`.
        speech: the recording.
        drawing: how to draw.
        output: folder for the files; nothing new is in it where the drawing or the writing failed.
        progress: called with (done, total) after each step.

    Returns:
        The files, by kind: video, sheet, frames, contour, and where there are such splines, spread, textgrid, truth.

    Raises:
        InputError: where the speech or the options are of no use to the model, or a file cannot be written.
    """
    if drawing.samples > 1 and not diffusions(model.task):
        raise InputError(
            f"A {type(model.task).__name__} draws nothing at random, and {drawing.samples} samples of it would be the "
            "same: leave --samples at 1."
        )
    note = note_of(model)
    if speech.reference is None and (frame := default_reference(model)) is not None:
        speech = replace(speech, reference=frame)
        note += ", on the reference frame of the model, not of the speaker"
    seeds = range(drawing.seed, drawing.seed + drawing.samples)
    how = {name: getattr(drawing, name) for name in ("sampler", "steps", "guidance", "augmentation")}
    given = speech.audio, speech.text, speech.reference
    streams = model.streams(*given, seeds=seeds, progress=progress, words=speech.words, **how)
    scale = drawing.mm_per_pixel or model.facts.get("mm_per_pixel")
    if scale is None and model.facts["reference"]:
        scale = speech.mm_per_pixel  # the drawing follows the recording's own frame
    about = About(note, model.name, tuple(seeds), json.dumps(model.settings(**how)), scale, drawing.format)
    return write_results(output, speech, _abreast(streams), about)


def note_of(model: Predictor) -> str:
    """What the frames of a model are, for captions, titles and files."""
    return "made by a model trained on SIMULATED data" if model.facts["simulated"] else "generated"


def _abreast(streams: list[Iterator[NDArray[np.uint8]]]) -> Iterator[NDArray[np.uint8]]:
    """Parts (n, H, W) of several streams as (S, n, H, W), each as soon as all have it."""
    return (np.stack(parts) for parts in zip(*streams, strict=True))

"""One recording drawn with a loaded model, and all of its results written: what the command and the web page call."""

from dataclasses import dataclass
from pathlib import Path

from wav2uti.diffusion.guidance import Guidance
from wav2uti.diffusion.sampler import Sampler
from wav2uti.tasks.base import Progress
from wav2uti.video.predictor import Predictor
from wav2uti.video.results import Speech, write_results


@dataclass(frozen=True)
class Drawing:
    """How to draw, and what to write of it.

    Attributes:
        sampler: None for the model's own; as are steps, guidance and augmentation (see `Predictor.stream`).
        seed: of the random numbers: the same seed gives the same frames on the same machine.
    """

    sampler: Sampler | None = None
    steps: int | None = None
    guidance: Guidance | None = None
    augmentation: float | None = None
    seed: int = 0


def draw(
    model: Predictor, speech: Speech, drawing: Drawing, output: Path, progress: Progress | None = None
) -> dict[str, Path]:
    """Draw the tongue for one recording and write its video, contact sheet, frames and contour.

    Args:
        model: as from `load`.
        speech: the recording.
        drawing: how to draw.
        output: folder for the files; nothing new is in it where the drawing or the writing failed.
        progress: called with (done, total) after each step.

    Returns:
        The files, by kind.

    Raises:
        InputError: where the speech or the options are of no use to the model, or a file cannot be written.
    """
    parts = model.stream(
        speech.audio,
        speech.text,
        speech.reference,
        drawing.sampler,
        drawing.steps,
        drawing.guidance,
        drawing.seed,
        progress=progress,
        words=speech.words,
        augmentation=drawing.augmentation,
    )
    return write_results(output, speech, parts, note_of(model))


def note_of(model: Predictor) -> str:
    """What the frames of a model are, for captions, titles and files."""
    return "made by a model trained on SIMULATED data" if model.facts["simulated"] else "generated"

"""What the drawing process does: whatever users send is opened here, and models are loaded and run."""

import time
import warnings
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wav2uti.app.job import Done, Draw, Drawn, Job, Load, Transcribe, Transcribed, View, without_place
from wav2uti.app.limits import check_length
from wav2uti.app.view import view_of
from wav2uti.corpus.recording import Recording
from wav2uti.corpus.shards import Shard
from wav2uti.errors import InputError
from wav2uti.pretrained import EXAMPLE
from wav2uti.speech.audio import read_speech
from wav2uti.tasks.base import Progress
from wav2uti.video.cascade import diffusions
from wav2uti.video.draw import Drawing, draw
from wav2uti.video.predictor import Predictor, load
from wav2uti.video.reference_frame import default_reference, read_reference
from wav2uti.video.results import Speech

LOADED = 2  # models that stay in memory: as many as are compared


class Studio:
    """The models that are loaded, and what is done with them.

    Args:
        device: cpu, cuda or auto.
    """

    def __init__(self, device: str = "auto") -> None:
        self.device = device
        self._models: OrderedDict[tuple[str, ...], Predictor] = OrderedDict()

    def do(self, job: Job, progress: Progress) -> Done:
        """Do a job; `progress` is called with (done, total) while it is drawn.

        Raises:
            InputError: what its user gave is of no use.
        """
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            match job:
                case Load():
                    self._model(job.model)
                    return None
                case Transcribe():
                    text = self._transcribe(job)
                    return Transcribed(text, _sentences(caught, job.sound))
                case Draw():
                    start = time.monotonic()
                    files, view = self._draw(job, progress)
                    return Drawn(files, view, _sentences(caught, job.sound), time.monotonic() - start)

    def _transcribe(self, job: Transcribe) -> str:
        check_length(job.sound, job.seconds)
        model = self._model(job.model)
        if model.transcriber is None:
            raise InputError("This model has no transcriber: type what is said.")
        return model.transcriber.transcribe(read_speech(job.sound)).text

    def _draw(self, job: Draw, progress: Progress) -> tuple[dict[str, str], View]:
        check_length(job.sound, job.seconds)
        model = self._model(job.model)
        audio = read_speech(job.sound)
        example = _example(audio)
        speech = Speech(job.name, audio, None if model.textual is None else job.text)
        if example is not None:
            speech = replace(speech, real=example.frames, words=example.words, simulated=example.simulated)
        own = default_reference(model)  # None where it takes none
        if model.facts["reference"]:
            if job.reference is not None:
                speech = replace(speech, reference=read_reference(job.reference, model.facts["size"]))
            elif example is not None and _side(example.reference) == model.facts["size"]:
                speech = replace(speech, reference=example.reference)
            elif own is None:
                warnings.warn(
                    "The model was trained with a reference frame of the speaker and got none: it draws some speaker's "
                    "tongue, placed somewhere.",
                    stacklevel=2,
                )
        if model.textual is not None and not job.text and model.transcriber is None:
            warnings.warn("The model was trained with text and got none.", stacklevel=2)
        guidance = None
        if job.guidance is not None:  # all but the scale stays the model's own
            guidance = replace(diffusions(model.task)[-1].guidance, scale=job.guidance)
        drawing = Drawing(steps=job.steps, guidance=guidance, seed=job.seed, samples=job.samples)
        written = draw(model, speech, drawing, job.output, progress)
        if speech.reference is None:
            speech = replace(speech, reference=own)  # as `draw` has it, which says so in its captions
        view = view_of(speech, written, job.output, bool(model.facts["simulated"]))
        return {kind: path.name for kind, path in written.items()}, view

    def _model(self, paths: tuple[str, ...]) -> Predictor:
        """A model, loaded or still there; one whose file was written anew is loaded again."""
        files = [Path(path) for path in paths]
        times = tuple(str(file.stat().st_mtime_ns) for file in files if file.exists())
        key = paths + times
        if key not in self._models:
            while len(self._models) >= LOADED:  # before: the memory of both need not be there at once
                self._models.popitem(last=False)
            self._models[key] = load(list(paths), self.device)
        self._models.move_to_end(key)
        return self._models[key]


def _example(audio: NDArray[np.float32]) -> Recording | None:
    """The shipped sentence, where this is its sound: its own frames and its speaker's reference frame are known."""
    if not EXAMPLE.is_file():
        return None
    shard = Shard(EXAMPLE)
    example = shard.recording(shard.ids[0])
    return example if np.array_equal(example.audio, audio) else None


def _side(frame: NDArray[np.uint8] | None) -> int:
    return 0 if frame is None else frame.shape[0]


def _sentences(caught: list[warnings.WarningMessage], sound: Path) -> tuple[str, ...]:
    """Our own warnings; those of libraries are no user's business."""
    said = (str(one.message) for one in caught if one.category is UserWarning and "wav2uti" in one.filename)
    return tuple(dict.fromkeys(without_place(one[:1].upper() + one[1:], sound) for one in said))

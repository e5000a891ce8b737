"""What happens when somebody presses a button: a job for the worker, and what the page is told of it meanwhile."""

import logging
import os
import shutil
import threading
import time
import zipfile
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import soundfile

from wav2uti.app import markup
from wav2uti.app.job import Draw, Drawn, Transcribe, Transcribed
from wav2uti.app.limits import LONGEST_TEXT, MOST_SAMPLES, MOST_STEPS, Limits
from wav2uti.app.markup import Column
from wav2uti.app.models import Model, Models, Wants, wants
from wav2uti.app.store import Result, Store
from wav2uti.app.worker import OVER, Finished, Waiting, Worker
from wav2uti.clock import SAMPLE_RATE
from wav2uti.errors import InputError
from wav2uti.files import replaced
from wav2uti.names import file_name
from wav2uti.pretrained import EXAMPLE

log = logging.getLogger("wav2uti.app")

RECORDED = "audio"  # Gradio's name for what the microphone heard


@dataclass(frozen=True)
class User:
    """Who asks: the browser, by its cookie, and the page in it."""

    owner: str
    session: str


@dataclass(frozen=True)
class Asked:
    """What was filled in.

    Attributes:
        sound: file; None where there is none yet.
        text: what is said.
        model: label of a model.
        other: label of one to compare it with; empty for none.
        reference: picture of a frame; None for the model's own, if it has one.
        steps, guidance: of the sampler.
        seed: of the random numbers.
        samples: that are drawn.
    """

    sound: str | None
    text: str
    model: str
    other: str
    reference: str | None
    steps: float
    guidance: float
    seed: float | None
    samples: float


@dataclass(frozen=True)
class Shown:
    """What the page shows: `status` above, `result` below where it is not None; `busy` while it goes on."""

    status: str
    result: str | None = None
    busy: bool = False


class Desk:
    """Takes what was asked to the worker.

    Args:
        models: those on offer.
        worker: who draws.
        store: where results lie.
        limits: of one user.
    """

    def __init__(self, models: Models, worker: Worker, store: Store, limits: Limits) -> None:
        self.models = models
        self.worker = worker
        self.store = store
        self.limits = limits
        self._stops: dict[str, threading.Event] = {}

    def example(self) -> tuple[Path, str]:
        """The shipped sentence: its sound as a file, and its text."""
        from wav2uti.corpus.shards import Shard  # here: few ask for it

        shard = Shard(EXAMPLE)
        recording = shard.recording(shard.ids[0])
        path = self.store.folder / "example.wav"
        if not path.exists():
            with replaced(path) as part:  # in floating point: `studio` knows it by its samples
                soundfile.write(part, recording.audio, SAMPLE_RATE, format="WAV", subtype="FLOAT")
        return path, recording.text

    def stop(self, user: User) -> None:
        """End what runs for a page."""
        if (stop := self._stops.get(user.session)) is not None:
            stop.set()

    def draw(self, asked: Asked, user: User) -> Generator[Shown, None, None]:
        """Draw with one model or two; the last that comes is the result, or one sentence that says why there is none.

        Closed early, the drawing is stopped.
        """
        result: Result | None = None
        try:
            with self._stoppable(user) as stop:
                yield Shown(markup.note("Looking at what was given."), busy=True)
                chosen = self._checked(asked)
                result = self.store.new(user.owner, user.session)
                columns: list[Column] = []
                for number, (model, wanted) in enumerate(chosen):
                    job, place = self._job(asked, model, wanted, result, number)
                    began = time.monotonic()
                    with closing(self.worker.run(job, 60 * self.limits.minutes)) as running:
                        for told in running:
                            if stop.is_set():
                                yield Shown(markup.note("Stopped."))
                                self.store.remove(result)
                                return
                            if isinstance(told, Finished):
                                assert isinstance(told.result, Drawn)
                                columns.append(Column(model.label, place, job.output, told.result))
                                continue
                            if isinstance(told, Waiting):
                                began = time.monotonic()
                            seconds = time.monotonic() - began
                            share = (number, len(chosen))
                            yield Shown(markup.progress(told, model.label, seconds, share), busy=True)
                yield self._result(asked, columns, result)
        except InputError as error:
            yield self._failed(str(error), result)
        except GeneratorExit:  # the page was closed
            if result is not None:
                self.store.remove(result)
            raise
        except Exception:
            log.exception("A drawing failed in the server.")
            yield self._failed(OVER, result)

    def transcribe(self, asked: Asked, user: User) -> Generator[tuple[Shown, str | None], None, None]:
        """Write down what is said: what to show, and the text when it is there."""
        try:
            with self._stoppable(user) as stop:
                sound, model = self._sound(asked), self.models.named(asked.model)
                result = self.store.new(user.owner, user.session)
                try:
                    given = _given(sound, result)
                    job = Transcribe(model.paths, given, self.limits.seconds)
                    with closing(self.worker.run(job, 60 * self.limits.minutes)) as running:
                        for told in running:
                            if stop.is_set():
                                yield Shown(markup.note("Stopped.")), None
                                return
                            if isinstance(told, Finished):
                                assert isinstance(told.result, Transcribed)
                                doubts = " ".join(told.result.doubts)
                                words = doubts or "Written down from the sound; correct it where it is wrong."
                                yield Shown(markup.note(words)), told.result.text
                            else:
                                yield Shown(markup.note("Writing down what is said."), busy=True), None
                finally:
                    self.store.remove(result)
        except InputError as error:
            yield Shown(markup.refusal(str(error))), None
        except Exception:
            log.exception("A transcription failed in the server.")
            yield Shown(markup.refusal(OVER)), None

    @contextmanager
    def _stoppable(self, user: User) -> Iterator[threading.Event]:
        if user.session in self._stops:
            raise InputError("Something is being drawn for this page already: wait for it, or stop it.")
        if not user.owner:
            raise InputError("The browser sent no cookie, so nobody could fetch the results: allow cookies and reload.")
        stop = self._stops[user.session] = threading.Event()
        try:
            yield stop
        finally:
            del self._stops[user.session]

    def _checked(self, asked: Asked) -> list[tuple[Model, Wants]]:
        """The models, where all that was filled in is of use."""
        self._sound(asked)
        if len(asked.text) > LONGEST_TEXT:
            raise InputError(
                f"The text is longer than {LONGEST_TEXT} letters: give what is said in the recording only."
            )
        for name, value, least, most in (
            ("Steps", asked.steps, 1, MOST_STEPS),
            ("Guidance", asked.guidance, 0, 20),
            ("Seed", asked.seed or 0, 0, 2**31 - 1),
            ("Samples", asked.samples, 1, MOST_SAMPLES),
        ):
            if not least <= value <= most:
                raise InputError(f"{name} must be from {least} to {most}, not {value:g}.")
        labels = [asked.model, *([asked.other] if asked.other and asked.other != asked.model else [])]
        return [(model, wants(model)) for model in map(self.models.named, labels)]

    def _sound(self, asked: Asked) -> Path:
        if not asked.sound:
            raise InputError("There is no speech yet: record some, or give a sound file.")
        path = Path(asked.sound)
        if not path.is_file():
            raise InputError("The recording is no longer on the server: give it again.")
        return path

    def _job(self, asked: Asked, model: Model, wanted: Wants, result: Result, number: int) -> tuple[Draw, str]:
        """What the worker is to do, and the address of what comes of it."""
        sound = _given(self._sound(asked), result)
        reference = None
        if asked.reference and wanted.reference:
            reference = _given(Path(asked.reference), result)
        output = result.folder / str(number + 1)
        name = "recording" if sound.stem == RECORDED else sound.stem
        job = Draw(
            model=model.paths,
            sound=sound,
            seconds=self.limits.seconds,
            output=output,
            name=name,
            text=asked.text.strip() or None,
            reference=reference,
            steps=None if wanted.steps in (None, int(asked.steps)) else int(asked.steps),
            guidance=None if wanted.guidance in (None, float(asked.guidance)) else float(asked.guidance),
            seed=int(asked.seed or 0),
            samples=1 if wanted.steps is None else int(asked.samples),
        )
        return job, f"results/{result.token}/{number + 1}"

    def _result(self, asked: Asked, columns: list[Column], result: Result) -> Shown:
        name = f"{file_name(Path(asked.sound or '').stem)}.zip"
        with zipfile.ZipFile(result.folder / name, "w") as archive:  # what is in it is compressed already
            for number, column in enumerate(columns):
                within = f"{number + 1} {file_name(column.title)}/" if len(columns) > 1 else ""
                for file in column.drawn.files.values():
                    archive.write(column.folder / file, f"{within}{file}")
        several = len(columns) > 1
        doubts = [f"{c.title}: {doubt}" if several else doubt for c in columns for doubt in c.drawn.doubts]
        told = {"Text": text} if (text := columns[0].drawn.view.text) else {}
        told |= {"Seed": f"{int(asked.seed or 0)}"}
        parts = [
            markup.banner(any(column.drawn.view.simulated for column in columns)),
            *map(markup.note, doubts),
            markup.player(columns),
            markup.downloads(columns, f"results/{result.token}/{name}"),
            markup.facts(columns, told),
        ]
        return Shown("", "".join(parts))

    def _failed(self, sentence: str, result: Result | None) -> Shown:
        if result is not None:
            self.store.remove(result)
        return Shown(markup.refusal(sentence))


def _given(path: Path, result: Result) -> Path:
    """A file that a user gave, beside his results: where it was it may go before its turn comes."""
    place = result.folder / "given" / path.name
    place.parent.mkdir(exist_ok=True)
    if not place.exists():
        try:
            os.link(path, place)
        except OSError:
            shutil.copyfile(path, place)
    return place

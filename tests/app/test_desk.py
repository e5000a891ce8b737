"""What happens when somebody presses a button; another stands for the worker."""

import logging
import re
import zipfile
from collections.abc import Generator, Iterator
from html import unescape
from pathlib import Path
from typing import Any, cast

import pytest

from wav2uti.app.desk import Asked, Desk, Shown, User
from wav2uti.app.job import Draw, Drawn, Job, Transcribe, Transcribed, View
from wav2uti.app.limits import Limits
from wav2uti.app.models import Models
from wav2uti.app.store import Store
from wav2uti.app.worker import OVER, Finished, Told, Waiting, Worker, Working
from wav2uti.errors import InputError
from wav2uti.pretrained import MODEL

ANN = User("ann" * 8, "page 1")
SHIPPED = f"{MODEL}, in the box"


class MadeUpWorker:
    """Writes one file for each drawing, and remembers what it was asked."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.error: Exception | None = None
        self.closed = 0

    def run(self, job: Job, seconds: float) -> Generator[Told, None, None]:
        self.jobs.append(job)
        try:
            yield Waiting(2)
            if self.error is not None:
                raise self.error
            yield Working(1, 4)
            if isinstance(job, Transcribe):
                yield Finished(Transcribed("what is said", ()))
                return
            assert isinstance(job, Draw)
            job.output.mkdir()
            (job.output / "a.mp4").write_bytes(b"video")
            view = View(60, 60, (64, 64), True, {"video": "a.mp4"}, [(1, -1)], "s.png", "c.json", None, None)
            yield Finished(Drawn({"video": "a.mp4"}, view, ("A <doubt>.",), 1.5))
        except GeneratorExit:
            self.closed += 1
            raise


@pytest.fixture
def worker() -> MadeUpWorker:
    return MadeUpWorker()


@pytest.fixture
def desk(worker: MadeUpWorker, tmp_path: Path) -> Iterator[Desk]:
    store = Store(tmp_path)
    yield Desk(Models(runs=tmp_path / "runs"), cast(Worker, worker), store, Limits())
    store.close()


@pytest.fixture
def sound(tmp_path: Path) -> str:
    path = tmp_path / "a <b>.wav"
    path.write_bytes(b"sound")
    return str(path)


def asked(sound: str | None, **other: Any) -> Asked:
    given = {"text": "", "model": SHIPPED, "other": "", "reference": None, "steps": 7, "guidance": 1.0, "seed": 0}
    return Asked(**({"sound": sound, "samples": 1} | given | other))


def draw(desk: Desk, one: Asked, user: User = ANN) -> list[Shown]:
    return list(desk.draw(one, user))


def test_a_drawing_tells_of_itself_and_leaves_files_for_its_owner(desk: Desk, sound: str) -> None:
    shown = draw(desk, asked(sound))
    assert [one.busy for one in shown] == [True] * (len(shown) - 1) + [False]
    assert "2 jobs come before yours" in shown[1].status
    assert "25 %" in shown[2].status
    result = shown[-1].result or ""
    assert "SIMULATED" in result
    assert "A &lt;doubt&gt;." in result
    assert "<b>" not in result
    token = re.search(r"results/([\w-]+)/1/a\.mp4", result)
    assert token
    assert desk.store.find(token[1], "1/a.mp4", ANN.owner)
    with zipfile.ZipFile(next((desk.store.folder / token[1]).glob("*.zip"))) as file:
        assert file.namelist() == ["a.mp4"]


def test_two_models_are_drawn_with_in_turn(desk: Desk, worker: MadeUpWorker, sound: str) -> None:
    desk.models.given = ["other"]
    desk.models.found()
    assert "no checkpoint" in draw(desk, asked(sound, other="other"))[-1].status  # it cannot be read: told before any
    assert worker.jobs == []
    assert draw(desk, asked(sound, other=SHIPPED))[-1].result  # with itself: once
    assert len(worker.jobs) == 1


def test_what_the_model_has_of_its_own_is_left_to_it(desk: Desk, worker: MadeUpWorker, sound: str) -> None:
    from wav2uti.app.models import wants

    own = wants(desk.models.found()[0])
    draw(desk, asked(sound, steps=own.steps, guidance=own.guidance))
    draw(desk, asked(sound, steps=9, guidance=2.0, samples=3, seed=5))
    first, second = cast(list[Draw], worker.jobs)
    assert (first.steps, first.guidance, first.samples, first.seed) == (None, None, 1, 0)
    assert (second.steps, second.guidance, second.samples, second.seed) == (9, 2.0, 3, 5)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"sound": None}, "There is no speech yet"),
        ({"sound": "/nowhere/a.wav"}, "no longer on the server"),
        ({"steps": 1000}, "Steps must be from 1 to 256"),
        ({"samples": 9}, "Samples must be from 1 to 8"),
        ({"seed": -1}, "Seed must be from 0"),
        ({"text": "a" * 2001}, "longer than 2000 letters"),
        ({"model": "nothing"}, "The model nothing is no longer there"),
    ],
)
def test_a_mistake_is_one_sentence(desk: Desk, worker: MadeUpWorker, sound: str, wrong: Any, sentence: str) -> None:
    last = draw(desk, asked(**({"sound": sound} | wrong)))[-1]
    assert sentence in last.status
    assert last.result is None
    assert not last.busy
    assert worker.jobs == []


def test_what_fails_leaves_no_files_and_no_traceback(
    desk: Desk, worker: MadeUpWorker, sound: str, caplog: pytest.LogCaptureFixture
) -> None:
    for error, sentence in ((InputError("No sound."), "No sound."), (RuntimeError("secret"), OVER)):
        worker.error = error
        with caplog.at_level(logging.ERROR):
            last = draw(desk, asked(sound))[-1]
        assert sentence in unescape(last.status)
        assert "secret" not in last.status
        assert [path for path in desk.store.folder.iterdir() if len(path.name) > 20] == []
    assert "RuntimeError: secret" in caplog.text


def test_stopping_ends_the_drawing(desk: Desk, worker: MadeUpWorker, sound: str) -> None:
    shown = desk.draw(asked(sound), ANN)
    next(shown)
    next(shown)
    desk.stop(User(ANN.owner, "another page"))
    assert next(shown).busy
    desk.stop(ANN)
    *_, last = shown
    assert "Stopped." in last.status
    assert not last.busy
    assert draw(desk, asked(sound))[-1].result


def test_a_page_that_is_closed_ends_its_drawing(desk: Desk, worker: MadeUpWorker, sound: str) -> None:
    shown = desk.draw(asked(sound), ANN)
    next(shown)
    next(shown)
    shown.close()
    assert worker.closed == 1
    assert [path for path in desk.store.folder.iterdir() if len(path.name) > 20] == []
    assert draw(desk, asked(sound))[-1].result


def test_a_page_draws_one_thing_at_a_time(desk: Desk, sound: str) -> None:
    shown = desk.draw(asked(sound), ANN)
    next(shown)
    assert "already" in draw(desk, asked(sound))[-1].status
    assert draw(desk, asked(sound), User(ANN.owner, "page 2"))[-1].result


def test_nobody_without_a_cookie_draws(desk: Desk, sound: str) -> None:
    assert "allow cookies" in draw(desk, asked(sound), User("", "page 1"))[-1].status


def test_a_transcript_comes_as_text(desk: Desk, sound: str) -> None:
    *_, (shown, text) = desk.transcribe(asked(sound), ANN)
    assert text == "what is said"
    assert not shown.busy
    *_, (shown, text) = desk.transcribe(asked(None), ANN)
    assert text is None
    assert "no speech yet" in shown.status


def test_the_example_is_a_sound_with_its_text(desk: Desk) -> None:
    import soundfile

    path, text = desk.example()
    assert soundfile.info(path).samplerate == 16_000
    assert text

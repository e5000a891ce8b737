"""The drawing process: it is stopped, fails, hangs and dies, and the next job is done all the same."""

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator

import made_up_studio
import pytest

from wav2uti.app import worker as worker_module
from wav2uti.app.job import Load, Transcribed
from wav2uti.app.worker import GONE, OVER, Finished, Full, Waiting, Worker, Working
from wav2uti.errors import InputError


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    worker = Worker(made_up_studio.begin, waiting=1)
    list(worker.run(Load(("warm",)), 60))
    yield worker
    worker.close()


def outcome(worker: Worker, *what: str, seconds: float = 60) -> Transcribed:
    *_, last = worker.run(Load(what), seconds)
    assert isinstance(last, Finished)
    assert isinstance(last.result, Transcribed)
    return last.result


def test_a_job_tells_how_far_it_is_and_then_what_came_of_it(worker: Worker) -> None:
    told = list(worker.run(Load(("steps", "12")), 60))
    steps = [one.done for one in told if isinstance(one, Working) and one.total == 12]
    assert steps == sorted(steps)
    assert len(set(steps)) > 1
    assert told[-1] == Finished(Transcribed("steps", (str(worker.pid),)))


def test_a_mistake_is_told_in_its_own_sentence_and_costs_no_process(worker: Worker) -> None:
    before = outcome(worker, "first").doubts
    with pytest.raises(InputError, match=r"^This is no sound\.$"):
        outcome(worker, "refuse", "This is no sound.")
    assert outcome(worker, "second").doubts == before


def test_an_error_is_told_without_its_traceback_which_the_log_has(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(InputError) as caught:
        outcome(worker, "fail", "secret of the machine")
    assert str(caught.value) == OVER
    assert "RuntimeError: secret of the machine" in caplog.text


def test_the_next_job_is_done_after_the_process_was_killed(worker: Worker) -> None:
    before = outcome(worker, "first").doubts
    with pytest.raises(InputError) as caught:
        outcome(worker, "die")
    assert str(caught.value) == GONE
    assert outcome(worker, "second").doubts != before


def test_one_that_is_killed_from_outside_is_missed_within_a_second(worker: Worker) -> None:
    running = worker.run(Load(("deaf", "60")), 90)
    next(running)
    pid = worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    start = time.monotonic()
    with pytest.raises(InputError, match="ended from outside"):
        list(running)
    assert time.monotonic() - start < 1


def test_a_job_that_is_closed_ends_and_leaves_the_process(worker: Worker) -> None:
    before = outcome(worker, "first").doubts
    running = worker.run(Load(("steps", "1000")), 90)
    for told in running:
        if isinstance(told, Working) and told.done > 2:
            break
    start = time.monotonic()
    running.close()
    assert time.monotonic() - start < 0.1  # whoever closes it is not kept waiting
    assert outcome(worker, "second").doubts == before
    assert time.monotonic() - start < 2


def test_one_that_does_not_stop_is_killed(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "GRACE", 0.3)
    before = outcome(worker, "first").doubts
    running = worker.run(Load(("deaf", "60")), 90)
    next(running)
    running.close()
    assert outcome(worker, "second").doubts != before


def test_a_job_over_its_time_is_stopped(worker: Worker) -> None:
    with pytest.raises(InputError, match=r"longer than 0\.01 minutes"):
        outcome(worker, "steps", "1000", seconds=0.6)
    assert outcome(worker, "second").text == "second"


def test_jobs_wait_for_each_other_and_not_too_many_of_them(worker: Worker) -> None:
    first = worker.run(Load(("steps", "1000")), 90)
    next(first)
    second = worker.run(Load(("second",)), 90)
    assert next(second) == Waiting(1)
    with pytest.raises(Full, match="1 drawings wait already"):
        next(worker.run(Load(("third",)), 90))
    first.close()
    *_, last = second
    assert isinstance(last, Finished)


def test_one_that_leaves_the_line_lets_the_next_one_up(worker: Worker) -> None:
    first = worker.run(Load(("steps", "1000")), 90)
    next(first)
    second = worker.run(Load(("second",)), 90)
    next(second)
    second.close()
    first.close()
    assert outcome(worker, "third").text == "third"


def test_the_process_ends_with_its_server() -> None:
    worker = Worker(made_up_studio.begin)
    pid = int(outcome(worker, "first").doubts[0])
    connection = worker._connection
    assert connection is not None
    connection.close()  # as the system does for a server that was killed
    process = worker._process
    assert process is not None
    process.join(5)
    assert process.exitcode == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_closed_worker_leaves_no_process() -> None:
    worker = Worker(made_up_studio.begin)
    outcome(worker, "first")
    process = worker._process
    worker.close()
    assert process is not None
    assert not process.is_alive()
    with pytest.raises(InputError, match="server ends"):
        outcome(worker, "second")
    assert threading.active_count() < 20

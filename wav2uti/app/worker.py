"""The drawing process, as the server sees it: a line of jobs, each of which may fail, hang or be killed.

Torch, libsndfile and whatever else touches what users send run in another process. One that dies is replaced by the
next job; one that does not stop when it is told to is killed.
"""

import logging
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Protocol, cast

from wav2uti.app.job import Done, Draw, Job, Load, Transcribe, without_place
from wav2uti.errors import InputError

log = logging.getLogger("wav2uti.app")

POLL = 0.25  # seconds between two looks at a job
GRACE = 5.0  # seconds in which a job ends by itself once it is told to
OVER = "Something went wrong while this was drawn; the server's log says what. Try again, or give another recording."
GONE = (
    "The drawing process was ended from outside, perhaps because the memory ran out. It begins anew with the next "
    "drawing: try again, with a shorter recording if this was a long one."
)


class Full(InputError):
    """Too many jobs wait already."""


@dataclass(frozen=True)
class Waiting:
    """So many jobs come before this one."""

    before: int


@dataclass(frozen=True)
class Working:
    """The job runs: `done` of `total` steps; both 0 while nothing is counted."""

    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class Finished:
    """The job is done."""

    result: Done


Told = Waiting | Working | Finished


class Worker:
    """A process and the line before it.

    Args:
        begin: called in the process, gives what does the jobs there.
        waiting: jobs that may wait.
    """

    def __init__(self, begin: "Callable[[], Doer]", waiting: int = 16) -> None:
        self.begin = begin
        self.waiting = waiting
        self._line: list[object] = []  # whose turn it is stands first
        self._changing = threading.Lock()
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        self._number = 0
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Of the process, if it runs."""
        return self._process.pid if self._process is not None and self._process.is_alive() else None

    def run(self, job: Job, seconds: float) -> Generator[Told, None, None]:
        """Do a job when its turn comes, and tell of it at least each `POLL` seconds; closed early, it is stopped.

        Args:
            job: what to do.
            seconds: that it may take from its turn on.

        Raises:
            Full: too many wait.
            InputError: what the job's user gave is of no use, it took too long, or the process died.
        """
        ticket = object()
        with self._changing:
            if len(self._line) > self.waiting:
                raise Full(f"{len(self._line) - 1} drawings wait already: try again in a few minutes.")
            self._line.append(ticket)
        ended = True  # nothing runs for this ticket
        try:
            while (before := self._before(ticket)) > 0:
                yield Waiting(before)
                time.sleep(POLL)
            connection = self._started()
            self._number += 1
            number, deadline = self._number, time.monotonic() + seconds
            ended = False
            working = Working()
            try:
                connection.send((number, job))
                while time.monotonic() < deadline:
                    yield working
                    if not connection.poll(POLL):
                        continue
                    kind, of, content = connection.recv()
                    if of != number:
                        continue  # the end of a job that was stopped
                    if kind == "working":
                        working = Working(*content)
                        continue
                    ended = True
                    if kind == "done":
                        yield Finished(content)
                        return
                    if kind == "refused":
                        raise InputError(content)
                    log.error("A job failed in the drawing process:\n%s", content)
                    raise InputError(OVER)
            except (EOFError, OSError) as error:
                ended = True
                log.error("The drawing process ended (exit code %s).", self._discarded())
                raise InputError(GONE) from error
            raise InputError(
                f"This took longer than {seconds / 60:g} minutes, the most that this page draws for one user, and was "
                "stopped: give a shorter recording, fewer steps or fewer samples."
            )
        finally:
            if ended:
                self._leave(ticket)
            else:  # the event loop may be waiting for this: nothing here may take time
                threading.Thread(target=self._stop, args=(ticket,), daemon=True).start()

    def warm(self, model: tuple[str, ...]) -> None:
        """Start the process and load a model in it, in the background; what goes wrong is told to who draws with it."""

        def load() -> None:
            with suppress(InputError):
                for _ in self.run(Load(model), 600):
                    pass

        threading.Thread(target=load, daemon=True).start()

    def close(self) -> None:
        """End the process."""
        self._closed = True
        self._discarded()

    def _started(self) -> Connection:
        """The connection to the process, which is started where there is none."""
        if self._closed:
            raise InputError("The server ends.")
        if self._connection is None or self._process is None or not self._process.is_alive():
            self._discarded()
            context = multiprocessing.get_context("spawn")  # a fork would inherit the server's threads half
            self._connection, theirs = context.Pipe()
            self._process = context.Process(target=serve, args=(theirs, self.begin), name="drawing", daemon=True)
            self._process.start()
            theirs.close()  # or the death of the process would not be seen
        return self._connection

    def _stop(self, ticket: object) -> None:
        """Have the job that runs ended, by its process if it will, else with it; then it is the next one's turn."""
        try:
            with suppress(OSError, EOFError):
                assert self._connection is not None
                self._connection.send((self._number, None))
                deadline = time.monotonic() + GRACE
                while (left := deadline - time.monotonic()) > 0:
                    if self._connection.poll(left) and self._connection.recv()[0] != "working":
                        return
            log.warning("The drawing process did not stop and is killed.")
            self._discarded()
        finally:
            self._leave(ticket)

    def _before(self, ticket: object) -> int:
        with self._changing:
            return self._line.index(ticket)

    def _leave(self, ticket: object) -> None:
        with self._changing, suppress(ValueError):
            self._line.remove(ticket)

    def _discarded(self) -> int | None:
        """End the process, if there is one; its exit code."""
        process, self._process = self._process, None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        if process is None:
            return None
        process.kill()
        process.join()
        return process.exitcode


class Stopped(Exception):
    """The job that runs was told to end."""


class Doer(Protocol):
    """What does jobs, as `studio.Studio`."""

    def do(self, job: Job, progress: Callable[[int, int], None], /) -> Done:
        """Do a job; `progress` is called with (done, total) meanwhile.

        Raises:
            InputError: what the job's user gave is of no use.
        """


def studio(device: str) -> Doer:
    """What draws; imported here, where it is needed: the server does without torch and the gigabyte that it takes."""
    from wav2uti.app.studio import Studio

    return Studio(device)


def serve(connection: Connection, begin: Callable[[], Doer]) -> None:
    """The process: jobs (number, job) in, (kind, number, content) out; (number, None) ends the job of that number.

    It ends when its server does, however that ended: the connection is closed then.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the server
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123
        file.write("500")  # where memory runs out, Linux ends this process before the server
    doer = begin()
    with suppress(EOFError, OSError):
        while True:
            number, job = connection.recv()
            if job is not None:
                connection.send(_outcome(doer, connection, number, job))


def _outcome(doer: Doer, connection: Connection, number: int, job: Job) -> tuple[str, int, Any]:
    told = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal told
        if connection.poll():
            of, ending = cast(tuple[int, Job | None], connection.recv())
            if of == number and ending is None:
                raise Stopped
        if time.monotonic() - told > POLL or done == total:
            told = time.monotonic()
            connection.send(("working", number, (done, total)))

    try:
        return "done", number, doer.do(job, progress)
    except Stopped:
        return "stopped", number, None
    except (EOFError, BrokenPipeError):
        os._exit(1)  # the server is gone
    except InputError as error:
        sentence = str(error)
        for path in _given(job):
            sentence = without_place(sentence, path)
        return "refused", number, sentence
    except Exception:  # whatever libraries make of hostile files must not end the process
        return "failed", number, traceback.format_exc()


def _given(job: Job) -> list[Any]:
    match job:
        case Draw():
            return [path for path in (job.sound, job.reference) if path is not None]
        case Transcribe():
            return [job.sound]
        case _:
            return []

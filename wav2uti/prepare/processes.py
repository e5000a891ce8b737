"""Tasks in worker processes of this computer."""

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from types import TracebackType

from wav2uti.errors import InputError
from wav2uti.prepare.tasks import Remote, Task, call

AT_ONCE = 2  # tasks a worker has: one runs, one waits, so that it goes on while the parent is busy
GRACE = 5.0  # s that running tasks get to finish after Ctrl-C
STARTS = 3  # worker processes that may die in a row before they did anything
_SINGLE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class Processes(Remote):
    """In worker processes of this computer, each with one thread.

    Each worker is a pool of one process: its death leaves the others alone, and it is known what it was doing.
    """

    def __init__(self, workers: int) -> None:
        super().__init__()
        self._limit = workers
        self._workers: list[_Worker] = []
        self._failed_starts = 0

    def _has_room(self) -> bool:
        return len(self._running) < AT_ONCE * self._limit

    def _start(self, task: Task) -> None:
        packed = pickle.dumps(task)
        while True:
            worker = min(self._workers, key=lambda worker: len(worker.futures), default=None)
            if worker is None or (worker.futures and len(self._workers) < self._limit):
                worker = _Worker()
                self._workers.append(worker)
            try:
                future = worker.pool.submit(call, packed)
            except BrokenProcessPool:
                self._bury(worker)
                continue
            worker.futures.append(future)
            self._running[future] = task
            return

    def _watch(self) -> None:
        # The timeout is for Windows, where a wait without one cannot be interrupted, and for futures that a worker's
        # death left without an answer (a race in concurrent.futures of Python 3.11).
        done, _ = wait(self._running, timeout=1.0, return_when=FIRST_COMPLETED)
        if not done:
            for worker in [worker for worker in self._workers if not worker.process.is_alive()]:
                self._bury(worker)
            return
        future = done.pop()
        worker = next(worker for worker in self._workers if future in worker.futures)
        if isinstance(future.exception(), BrokenProcessPool):
            self._bury(worker)
        else:
            worker.futures.remove(future)
            self._answered(self._running.pop(future), future.result())

    def _bury(self, worker: "_Worker") -> None:
        """Take a dead worker out: what it was doing is suspect, what waited there waits again."""
        worker.pool.shutdown()
        self._workers.remove(worker)
        tasks = {future: self._running.pop(future) for future in worker.futures}
        answered = {future for future in tasks if future.done() and not future.exception()}
        lost = [task for future, task in tasks.items() if future not in answered]
        code = worker.process.exitcode or 0
        end = f"signal {-code}{', out of memory?' if code == -9 else ''}" if code < 0 else f"exit status {code}"
        if not worker.ready.done() or worker.ready.exception():
            self._failed_starts += 1
            if self._failed_starts == STARTS:
                raise InputError(
                    f"Worker processes end while they start ({end}; the lines above may say why); "
                    "give fewer workers: 1 does without processes."
                )
            self._waiting.extendleft(reversed(lost))
        else:
            self._failed_starts = 0
            self._waiting.extendleft(reversed(lost[1:]))
            for task in lost[:1]:
                self._died(
                    task, f"Work on {task.key} ended the process ({end}); give fewer workers, or look at this file."
                )
        for future in answered:
            self._answered(tasks[future], future.result())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        for worker in self._workers:
            worker.pool.shutdown(wait=False, cancel_futures=True)
        deadline = None if kind is None else time.monotonic() + GRACE
        try:
            for worker in self._workers:
                worker.process.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
        finally:  # also after a second Ctrl-C
            for worker in self._workers:
                worker.process.terminate()
            for worker in self._workers:
                worker.process.join(GRACE)


class _Worker:
    """One worker process and what it has been given, in order."""

    def __init__(self) -> None:
        self.pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        with _single_threaded(), _uninterrupted():
            self.ready = self.pool.submit(_begin)  # the first task starts the process
        (self.process,) = self.pool._processes.values()  # the only way to its exit status
        self.futures: list[Future[bytes]] = []


def _begin() -> None:
    """The first task of a worker: Ctrl-C is the parent's business, and the worker ends when the parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent killed by a signal tells nobody: its workers would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _single_threaded() -> Iterator[None]:
    """One BLAS thread for processes started within: the libraries read the environment when they are loaded."""
    before = {name: os.environ.get(name) for name in _SINGLE_THREAD}
    os.environ.update(dict.fromkeys(_SINGLE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Processes started within inherit that SIGINT is blocked: one that still imports would print its traceback."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

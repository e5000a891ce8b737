"""Tasks on the workers of a Dask cluster."""

import importlib
import logging
import pickle
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any

from wav2uti.errors import InputError
from wav2uti.prepare.tasks import Remote, Task, call

REACH = 10  # s for the scheduler to answer
LEAST, PER_THREAD = 64, 8  # tasks handed to the cluster at once: at least, and for each of its threads
FETCH = 1.0  # s for a result to come; longer means that its worker died
REFRESH = 10.0  # s after which the cluster is asked again how large it is


class Dask(Remote):
    """On the workers of a Dask cluster, which must see the same files under the same names.

    Raises:
        InputError: where Dask is not installed, or the scheduler does not answer.
    """

    def __init__(self, scheduler: str) -> None:
        super().__init__()
        try:
            distributed: Any = importlib.import_module("distributed")
        except ImportError:
            raise InputError("Dask is not installed; give pip install 'wav2uti[dask]'.") from None
        self._scheduler = scheduler
        self._killed = distributed.KilledWorker
        self._looked = -REFRESH
        self._room = 0
        self._without = 0  # how often in a row it had no workers when it was asked
        with ExitStack() as stack:
            stack.enter_context(_quiet())
            try:
                self._client = stack.enter_context(distributed.Client(scheduler, timeout=REACH, set_as_default=False))
            except (OSError, ValueError) as error:
                raise InputError(
                    f"The Dask scheduler {scheduler} does not answer ({error}); "
                    "start it with dask scheduler, or give the address it printed."
                ) from error
            self._completed = distributed.as_completed(loop=self._client.loop)
            self._stack = stack.pop_all()

    def _has_room(self) -> bool:
        self._look()
        return len(self._running) < self._room

    def _look(self) -> None:
        """Ask how large the cluster is, not too often: workers come and go."""
        if time.monotonic() - self._looked < REFRESH:
            return
        try:
            threads = sum(self._client.nthreads().values())
        except OSError as error:
            raise self._lost() from error
        self._looked = time.monotonic()
        self._room = max(LEAST, PER_THREAD * threads)
        self._without = 0 if threads else self._without + 1
        if self._without == 2:  # not just while they start anew
            warnings.warn(
                f"The Dask scheduler {self._scheduler} has no workers; the work waits for them.", stacklevel=2
            )

    def _start(self, task: Task) -> None:
        future = self._client.submit(call, pickle.dumps(task), pure=False)
        self._running[future] = task
        self._completed.add(future)

    def _watch(self) -> None:
        if not self._completed.has_ready():
            time.sleep(0.05)
            self._look()
        # All that is ready: a result stays on its worker until it is fetched, and would be lost with it.
        for future in self._completed.next_batch(block=False):
            self._fetch(future)

    def _fetch(self, future: Any) -> None:
        task = self._running[future]
        if future.status in ("pending", "lost"):  # its worker died with the result, and it is being made again
            self._completed.add(future)
            return
        try:
            answer = future.result(timeout=FETCH)
        except TimeoutError:
            self._completed.add(future)
            return
        except CancelledError as error:
            raise self._lost() from error
        except ImportError as error:
            raise InputError(
                f"The Dask workers of {self._scheduler} cannot import wav2uti ({error}); install it there."
            ) from error
        except self._killed:
            answer = None
        del self._running[future]
        if answer is not None:
            self._answered(task, answer)
            return
        # Dask blames all tasks that a dying worker had, also those that only waited there.
        sentence = f"Work on {task.key} ended each Dask worker that tried it (out of memory?); "
        self._died(task, sentence + "give the workers more memory, or look at this file.")

    def _lost(self) -> InputError:
        return InputError(
            f"The Dask scheduler {self._scheduler} stopped before the work was done; start it and this command again."
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._stack.close()  # closing the client cancels what it asked for


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the log of Dask, which repeats with tracebacks what the error's sentence says."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)

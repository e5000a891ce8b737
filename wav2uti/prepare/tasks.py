"""Tasks of `wav2uti prepare` and their outcomes, the same wherever a task runs.

Each task has exactly one outcome. A task whose process dies (a crash in a codec, out of memory) is tried once more when
nothing else runs, so that only what ends a process by itself fails.
"""

import pickle
import traceback
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self, TypeVar

from wav2uti.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome:
    """What became of one task: its value, or the error that the user is told."""

    key: str
    value: Any = None
    error: InputError | None = None


@dataclass(frozen=True)
class Task:
    """A function and its arguments, picklable."""

    key: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    suspect: bool = False  # its process died once

    def run(self) -> Outcome:
        """Call the function, here and now; what it raises besides InputError and MemoryError is a bug and stays so."""
        try:
            return Outcome(self.key, self.function(*self.args))
        except InputError as error:
            return Outcome(self.key, error=error)
        except MemoryError:
            sentence = f"{self.key} does not fit in memory; give fewer workers, or a computer with more of it."
            return Outcome(self.key, error=InputError(sentence))


class Executor(ABC):
    """Runs tasks and gives their outcomes; a context manager, and leaving it by an exception cancels what waits."""

    def __init__(self) -> None:
        self._waiting: deque[Task] = deque()
        self._urgent: deque[Task] = deque()
        self._begun = False

    def submit(self, key: str, function: Callable[..., T], *args: Any) -> None:
        """Ask for a task, at any time; one that is asked for while the outcomes are iterated goes before what waits.

        Args:
            key: its name in the outcomes and in messages.
            function: of a module's top level, so that another process can import it.
            args: must be picklable.
        """
        (self._urgent if self._begun else self._waiting).append(Task(key, function, args))

    def _next(self) -> Task | None:
        """The task to start now, taken out of what waits."""
        queue = self._urgent or self._waiting
        return queue.popleft() if queue else None

    @abstractmethod
    def outcomes(self) -> Iterator[Outcome]:
        """Outcomes as the tasks finish, until none is pending; any error but InputError and MemoryError is raised."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiting.clear()
        self._urgent.clear()


class Inline(Executor):
    """In this process: a task runs when its outcome is asked for."""

    def outcomes(self) -> Iterator[Outcome]:
        self._begun = True
        while task := self._next():
            try:
                outcome = task.run()
            except Exception as bug:
                bug.add_note(f"in the task {task.key}")
                raise
            yield outcome


class Remote(Executor):
    """Tasks in other processes, a bounded number at once; those whose process died wait for the end, to run alone."""

    def __init__(self) -> None:
        super().__init__()
        self._running: dict[Any, Task] = {}  # by future
        self._suspects: deque[Task] = deque()
        self._done: deque[Outcome] = deque()

    def outcomes(self) -> Iterator[Outcome]:
        self._begun = True
        while True:
            while self._has_room() and (task := self._next()):
                self._start(task)
            if self._done:
                yield self._done.popleft()
            elif self._running:
                self._watch()
            elif self._suspects:
                self._start(self._suspects.popleft())
            else:
                return

    @abstractmethod
    def _has_room(self) -> bool:
        """Whether one more task may be started."""

    @abstractmethod
    def _start(self, task: Task) -> None:
        """Have it run, now or soon."""

    @abstractmethod
    def _watch(self) -> None:
        """Wait for news of what runs (or a while, without any) and take note of it."""

    def _answered(self, task: Task, answer: bytes) -> None:
        try:
            opened = pickle.loads(answer)
            if isinstance(opened, Exception):
                raise opened
        except Exception as bug:
            bug.add_note(f"in the task {task.key}")
            raise
        self._done.append(opened)

    def _died(self, task: Task, sentence: str) -> None:
        if task.suspect:
            self._done.append(Outcome(task.key, error=InputError(sentence)))
        else:
            self._suspects.append(replace(task, suspect=True))


def call(packed: bytes) -> bytes:
    """Run a pickled task; returns its outcome or its exception, pickled: both executors carry nothing but bytes."""
    answer: Outcome | Exception
    try:
        task: Task = pickle.loads(packed)
        answer = task.run()
    except Exception as bug:
        bug.add_note(f"{traceback.format_exc()}(in another process)")
        answer = bug
    try:
        sent = pickle.dumps(answer)
        pickle.loads(sent)  # exceptions with a constructor of their own may not open again
    except Exception:
        notes = "\n".join(getattr(answer, "__notes__", ()))
        sent = pickle.dumps(RuntimeError(f"{answer!r} cannot be sent between processes\n{notes}"))
    return sent

"""The exceptions that a user's own mistake raises; the command line prints their sentence and no traceback."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from wav2uti.names import printable

# What a DataLoader makes of the sentence of a worker process: a traceback that ends with it.
_FROM_WORKER = re.compile(r"Caught \w+ in .*\n[\w.]+: (?P<sentence>[^\n]*)\s*", re.DOTALL)


class InputError(ValueError):
    """Something given from outside is wrong.

    The message is one sentence that says what is wrong, in which file and recording, and what to do. It is one line,
    whatever names of files stand in it.
    """

    status = 2  # that the command line ends with

    def __init__(self, sentence: str) -> None:
        told = _FROM_WORKER.fullmatch(sentence)
        super().__init__(printable(told["sentence"] if told else sentence))


class OutOfSpace(InputError):
    """The disk refuses what has to be written: no fault of a recording, so that going on makes no sense."""


class Terminated(Exception):
    """The process was asked to end (SIGTERM) and has saved what it had; the message says how to go on."""


class Damaged(InputError):
    """What `wav2uti verify` was asked to look at is not as it was written: its answer, and no mistake of the call."""

    status = 1


@contextmanager
def unwrapped() -> Iterator[None]:
    """Let a mistake that a class finds in its options be told as it tells it: jsonargparse wraps it in a ValueError."""
    try:
        yield
    except ValueError as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, InputError):
            cause = cause.__cause__ or cause.__context__
        raise (cause or error) from error

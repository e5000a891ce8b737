"""The exceptions that a user's own mistake raises; the command line prints their sentence and no traceback."""

from collections.abc import Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """Something given from outside is wrong.

    The message is one sentence that says what is wrong, in which file and recording, and what to do.
    """

    status = 2  # that the command line ends with


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

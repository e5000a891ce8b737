"""The exceptions that a user's own mistake raises; the command line prints their sentence and no traceback."""


class InputError(ValueError):
    """Something given from outside is wrong.

    The message is one sentence that says what is wrong, in which file and recording, and what to do.
    """


class OutOfSpace(InputError):
    """The disk refuses what has to be written: no fault of a recording, so that going on makes no sense."""

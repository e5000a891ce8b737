"""The one exception that a user's own mistake raises; the command line prints its sentence and no traceback."""


class InputError(ValueError):
    """Something given from outside is wrong.

    The message is one sentence that says what is wrong, in which file and recording, and what to do.
    """

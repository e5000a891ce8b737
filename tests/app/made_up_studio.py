"""What stands for the drawing in tests of the worker: a `Load` names what is to happen, and how often."""

import os
import signal
import time
from collections.abc import Callable

from wav2uti.app.job import Done, Job, Load, Transcribed
from wav2uti.errors import InputError


class MadeUpStudio:
    """Does what the first part of a `Load`'s model says, with the second."""

    def do(self, job: Job, progress: Callable[[int, int], None]) -> Done:
        assert isinstance(job, Load)
        what, *more = job.model
        if what == "steps":  # so many of 50 ms
            for step in range(int(more[0])):
                progress(step, int(more[0]))
                time.sleep(0.05)
        elif what == "deaf":  # it looks at nothing for so many seconds
            time.sleep(float(more[0]))
        elif what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif what == "refuse":
            raise InputError(more[0])
        elif what == "fail":
            raise RuntimeError(more[0])
        return Transcribed(what, (str(os.getpid()),))


def begin() -> MadeUpStudio:
    return MadeUpStudio()

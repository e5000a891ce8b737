"""Tasks that the tests of the executors send to other processes."""

import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wav2uti.errors import InputError
from wav2uti.prepare import processes
from wav2uti.prepare.processes import Processes


@dataclass(frozen=True)
class Job:
    """What a task is given, as `make_part` is: paths, numbers, arrays."""

    folder: Path
    name: str
    samples: NDArray[np.float64]

    @property
    def result(self) -> Path:
        return self.folder / f"{self.name}.npy"


class Peculiar(Exception):
    """Can be pickled, but not opened again."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


def make(job: Job, pause: float = 0.0) -> float:
    """Write twice the samples under a temporary name, rename the file, and give their sum."""
    unfinished = job.folder / f"{job.name}.{os.getpid()}.{threading.get_ident()}.part"
    with unfinished.open("wb") as file:
        np.save(file, 2 * job.samples)
    time.sleep(pause)
    unfinished.rename(job.result)
    return float(job.samples.sum())


def make_dying_once(job: Job) -> float:
    """`make`, but the first process that tries is killed with its file half written."""
    try:
        (job.folder / f"{job.name}.died").touch(exist_ok=False)
    except FileExistsError:
        return make(job)
    return die(job)


def die(job: Job) -> float:
    """End like a process that the kernel ends when memory runs out."""
    (job.folder / f"{job.name}.{os.getpid()}.part").write_bytes(b"half")
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def leave(status: int) -> None:
    """End the process without an answer."""
    os._exit(status)


def refuse(name: str) -> None:
    raise InputError(f"{name} is no recording; leave it out.")


def exhaust() -> None:
    raise MemoryError


def fail(peculiar: bool) -> None:
    raise Peculiar("strange", "failure") if peculiar else ZeroDivisionError("a bug")


def surroundings() -> tuple[int, str | None, bool]:
    """Process, its setting for BLAS threads, and whether Ctrl-C is ignored."""
    return os.getpid(), os.environ.get("OPENBLAS_NUM_THREADS"), signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def spin(folder: Path, name: str) -> None:
    """Work that writes its process down and does not end by itself."""
    (folder / name).write_text(str(os.getpid()))
    time.sleep(600)


def coordinate(folder: Path, seconds: float) -> None:
    """A coordinator to be interrupted: one worker has endless work, the other many tasks of so many seconds."""
    processes.GRACE = 0.5  # the tests cannot wait as long as users can
    with Processes(2) as executor:
        executor.submit("endless", spin, folder, "endless.pid")
        for number in range(1000):
            executor.submit(f"{number}", make, Job(folder, f"{number:04d}", np.arange(8.0)), seconds)
        for outcome in executor.outcomes():
            print(outcome.key, flush=True)


if __name__ == "__main__":
    coordinate(Path(sys.argv[1]), float(sys.argv[2]))

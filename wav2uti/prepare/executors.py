"""Where the work of `wav2uti prepare` runs: in this process, in processes of this computer, or on a Dask cluster."""

import os
from typing import Literal

from wav2uti.errors import InputError
from wav2uti.prepare.cluster import Dask
from wav2uti.prepare.processes import Processes
from wav2uti.prepare.tasks import Executor, Inline, Outcome

__all__ = ["Dask", "Executor", "Inline", "Outcome", "Processes", "make_executor"]

FEWEST = 8  # tasks: for fewer, starting a process takes longer than it saves


def make_executor(kind: Literal["local", "dask"], workers: int | None, scheduler: str | None, tasks: int) -> Executor:
    """The executor that the options of a command ask for.

    Args:
        kind: on this computer, or on a Dask cluster.
        workers: processes on this computer; None for one a core, or none at all where there are few tasks.
        scheduler: address of the Dask scheduler.
        tasks: how many are expected.

    Raises:
        InputError: for options that do not go together, or a cluster that cannot be reached.
    """
    if workers is not None and workers < 1:
        raise InputError(f"There must be at least one worker, not {workers}.")
    if kind == "dask":
        if scheduler is None:
            raise InputError("A Dask cluster needs the address of its scheduler, such as tcp://node1:8786.")
        if workers is not None:
            raise InputError("A number of workers is for this computer; a Dask cluster has as many as were started.")
        return Dask(scheduler)
    if scheduler is not None:
        raise InputError(f"The scheduler {scheduler} is of a Dask cluster; ask for Dask, or leave the scheduler out.")
    if workers is None:
        workers = 1 if tasks < FEWEST else min(_cores(), tasks)
    return Inline() if workers == 1 else Processes(workers)


def _cores() -> int:
    """Cores that this process may use: a cluster's job often has only some of the computer's."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

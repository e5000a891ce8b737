"""Tasks on a Dask cluster: two worker processes, which may die."""

import gc
import multiprocessing
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import executor_tasks as tasks
import numpy as np
import pytest

from wav2uti.errors import InputError
from wav2uti.prepare import cluster
from wav2uti.prepare.executors import Dask, Outcome, make_executor

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def workers() -> Iterator[Any]:
    """A cluster of two processes on this computer."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
    ) as running:
        yield running
    assert not multiprocessing.active_children()


def _jobs(folder: Path, count: int) -> list[tasks.Job]:
    return [tasks.Job(folder, f"{number:03d}", np.arange(8.0) + number) for number in range(count)]


def _check(jobs: list[tasks.Job], outcomes: list[Outcome]) -> None:
    """Each job has one outcome, and its result is there and whole."""
    values = {outcome.key: outcome.value for outcome in outcomes}
    assert len(outcomes) == len(values), "one outcome each"
    assert values == {job.name: job.samples.sum() for job in jobs}
    assert all(np.array_equal(np.load(job.result), 2 * job.samples) for job in jobs)


def test_dask_may_be_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"pip install 'wav2uti\[dask\]'"):
        make_executor("dask", None, "tcp://127.0.0.1:8786", 10)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense", "ftp://127.0.0.1:8786", ""])
def test_a_scheduler_that_does_not_answer_is_named(
    address: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cluster, "REACH", 0.5)
    began = time.monotonic()
    with pytest.raises(InputError, match=f"The Dask scheduler {address} does not answer"):
        Dask(address)
    assert time.monotonic() - began < 5
    assert capfd.readouterr().err == "", "the sentence says it all"
    gc.collect()  # a client that failed closes when it is collected, which must not happen while the next one starts


@pytest.mark.slow
def test_a_worker_killed_halfway_costs_nothing(workers: Any, tmp_path: Path) -> None:
    jobs = _jobs(tmp_path, 150)
    outcomes: list[Outcome] = []
    with Dask(workers.scheduler_address) as executor, warnings.catch_warnings():
        warnings.simplefilter("error")
        for job in jobs[:140]:
            executor.submit(job.name, tasks.make, job, 0.02)
        for outcome in executor.outcomes():
            outcomes.append(outcome)
            assert (
                len(workers.scheduler.tasks) < 1.5 * cluster.LEAST
            )  # that the client forgot one arrives a little later
            if len(outcomes) == 70:
                os.kill(workers.workers[0].pid, signal.SIGKILL)
            if len(outcomes) <= 10:  # more work comes up meanwhile, and goes before what waits
                job = jobs[139 + len(outcomes)]
                executor.submit(job.name, tasks.make, job)
        assert list(executor.outcomes()) == []
    _check(jobs, outcomes)
    order = [outcome.key for outcome in outcomes]
    assert order.index("140") < 100 < order.index("139")


@pytest.mark.slow
def test_only_the_task_that_ends_its_workers_fails(workers: Any, tmp_path: Path) -> None:
    jobs = _jobs(tmp_path, 30)
    functions = {3: tasks.make_dying_once, 11: tasks.die}
    with Dask(workers.scheduler_address) as executor:
        for number, job in enumerate(jobs):
            executor.submit(job.name, functions.get(number, tasks.make), job)
        executor.submit("bad", tasks.refuse, "bad.ult")
        executor.submit("large", tasks.exhaust)
        outcomes = list(executor.outcomes())

        executor.submit("guilty", tasks.fail, False)
        with pytest.raises(ZeroDivisionError, match="a bug") as caught:
            list(executor.outcomes())
    assert caught.value.__notes__[-1] == "in the task guilty"
    failed = {outcome.key: str(outcome.error) for outcome in outcomes if outcome.error is not None}
    assert failed.keys() == {"011", "bad", "large"}
    assert failed["011"].startswith("Work on 011 ended each Dask worker that tried it")
    assert failed["bad"] == "bad.ult is no recording; leave it out."
    _check([job for job in jobs if job.name != "011"], [outcome for outcome in outcomes if outcome.error is None])
    assert len(outcomes) == 32


@pytest.mark.slow
def test_leaving_cancels_what_waits_and_a_stopped_scheduler_ends_the_command(tmp_path: Path) -> None:
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
    ) as running:
        interrupted = Dask(running.scheduler_address)
        for job in _jobs(tmp_path, 100):
            interrupted.submit(job.name, tasks.make, job, 0.05)
        with pytest.raises(KeyboardInterrupt), interrupted:
            raise KeyboardInterrupt(next(interrupted.outcomes()))
        deadline = time.monotonic() + 5
        while running.scheduler.tasks:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert len(list(tmp_path.glob("*.npy"))) < 10

        with Dask(running.scheduler_address) as executor:
            for job in _jobs(tmp_path, 100):
                executor.submit(job.name, tasks.make, job, 0.05)
            outcomes = executor.outcomes()
            next(outcomes)
            running.close()
            with pytest.raises(InputError, match="stopped before the work was done"):
                list(outcomes)

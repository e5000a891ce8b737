"""Tasks and their outcomes, in this process and in others that may die."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import executor_tasks as tasks
import numpy as np
import pytest

from wav2uti.errors import InputError
from wav2uti.prepare import executors, processes
from wav2uti.prepare.executors import Executor, Inline, Outcome, Processes, make_executor
from wav2uti.prepare.tasks import Task

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals")
KINDS = [pytest.param(Inline, id="inline"), pytest.param(lambda: Processes(2), id="processes")]


def _job(folder: Path, number: int) -> tasks.Job:
    return tasks.Job(folder, f"{number:03d}", np.arange(8.0) + number)


def _is_whole(job: tasks.Job) -> bool:
    return np.array_equal(np.load(job.result), 2 * job.samples)


def _is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _has_no_children() -> bool:
    """Whether all workers have ended; one that has may be noticed a moment later."""
    deadline = time.monotonic() + 2
    while multiprocessing.active_children():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.parametrize("start", KINDS)
def test_every_task_has_one_outcome(start: Callable[[], Executor], tmp_path: Path) -> None:
    jobs = [_job(tmp_path, number) for number in range(40)]
    seen: dict[str, Outcome] = {}
    with start() as executor:
        for job in jobs[:30]:
            executor.submit(job.name, tasks.make, job)
        executor.submit("bad", tasks.refuse, "bad.ult")
        executor.submit("large", tasks.exhaust)
        assert start != Inline or not any(tmp_path.iterdir()), "this one works when it is asked to"
        for outcome in executor.outcomes():
            assert outcome.key not in seen
            seen[outcome.key] = outcome
            if 5 <= len(seen) < 15:  # more work comes up meanwhile
                executor.submit(jobs[len(seen) + 25].name, tasks.make, jobs[len(seen) + 25])
        assert list(executor.outcomes()) == []
    assert seen.keys() == {job.name for job in jobs} | {"bad", "large"}
    assert all(seen[job.name] == Outcome(job.name, job.samples.sum()) and _is_whole(job) for job in jobs)
    assert sorted(path.name for path in tmp_path.iterdir()) == [job.result.name for job in jobs]
    assert str(seen["bad"].error) == "bad.ult is no recording; leave it out."
    assert isinstance(seen["large"].error, InputError)
    assert "large does not fit in memory" in str(seen["large"].error)
    assert _has_no_children()


@pytest.mark.parametrize("start", KINDS)
def test_new_work_goes_before_old(
    start: Callable[[], Executor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order in which tasks are handed over: a slow worker's answer may come after many of a quick one's."""
    order: list[str] = []
    with start() as executor:
        take = executor._next

        def watched() -> Task | None:
            task = take()
            order.extend([task.key] if task else [])
            return task

        monkeypatch.setattr(executor, "_next", watched)
        for number in range(30):
            executor.submit(f"{number}", tasks.make, _job(tmp_path, number))
        outcomes = executor.outcomes()
        next(outcomes)
        handed_over = len(order)
        executor.submit("new", tasks.make, _job(tmp_path, 99))
        assert len(list(outcomes)) == 30
    assert handed_over <= 1 + 2 * processes.AT_ONCE
    assert order.index("new") == handed_over


def test_any_other_exception_is_raised_with_the_task(tmp_path: Path) -> None:
    inline = Inline()
    inline.submit("guilty", tasks.fail, False)
    with pytest.raises(ZeroDivisionError, match="a bug") as caught:
        list(inline.outcomes())
    assert "in the task guilty" in caught.value.__notes__

    with Processes(1) as executor:
        executor.submit("guilty", tasks.fail, False)
        with pytest.raises(ZeroDivisionError, match="a bug") as caught:
            list(executor.outcomes())
        notes = "\n".join(caught.value.__notes__)
        assert "executor_tasks.py" in notes, "the traceback of the other process"
        assert notes.endswith("in the task guilty")

        executor.submit("peculiar", tasks.fail, True)
        with pytest.raises(RuntimeError, match=r"strange failure.+cannot be sent"):
            list(executor.outcomes())


@posix
def test_only_the_task_that_ends_its_process_fails(tmp_path: Path) -> None:
    jobs = [_job(tmp_path, number) for number in range(24)]
    functions = {3: tasks.make_dying_once, 7: tasks.make_dying_once, 11: tasks.die}
    with Processes(2) as executor:
        for number, job in enumerate(jobs):
            executor.submit(job.name, functions.get(number, tasks.make), job)
        executor.submit("leaving", tasks.leave, 3)
        outcomes = list(executor.outcomes())
    assert len(outcomes) == 25
    seen = {outcome.key: outcome for outcome in outcomes}
    assert str(seen.pop("011").error) == (
        "Work on 011 ended the process (signal 9, out of memory?); give fewer workers, or look at this file."
    )
    assert "(exit status 3)" in str(seen.pop("leaving").error)
    good = [job for job in jobs if job.name != "011"]
    assert {key: outcome.value for key, outcome in seen.items()} == {job.name: job.samples.sum() for job in good}
    assert sorted(tmp_path.glob("*.npy")) == [job.result for job in good]
    assert all(_is_whole(job) for job in good)
    assert _has_no_children()


@posix
def test_a_worker_killed_from_outside_costs_nothing(tmp_path: Path) -> None:
    jobs = [_job(tmp_path, number) for number in range(60)]
    keys: list[str] = []
    with Processes(2) as executor:
        for job in jobs:
            executor.submit(job.name, tasks.make, job, 0.01)
        for outcome in executor.outcomes():
            assert outcome.error is None
            keys.append(outcome.key)
            if len(keys) in (10, 30):
                os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)
    assert sorted(keys) == [job.name for job in jobs]
    assert all(_is_whole(job) for job in jobs)


def test_workers_compute_with_one_thread_and_leave_ctrl_c_to_the_parent() -> None:
    before = dict(os.environ)
    with Processes(2) as executor:
        for number in range(8):
            executor.submit(f"{number}", tasks.surroundings)
        seen = [outcome.value for outcome in executor.outcomes()]
    assert 1 <= len({pid for pid, _, _ in seen}) <= 2
    assert {(threads, ignored) for _, threads, ignored in seen} == {("1", True)}
    assert dict(os.environ) == before
    assert os.getpid() not in {pid for pid, _, _ in seen}


def test_workers_that_cannot_start_end_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_begin", partial(tasks.leave, 4))
    with Processes(1) as executor:
        executor.submit("innocent", tasks.surroundings)
        with pytest.raises(InputError, match=r"end while they start \(exit status 4"):
            list(executor.outcomes())


@posix
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_coordinator(stop: signal.Signals, tmp_path: Path) -> None:
    # Ctrl-C in a terminal reaches the whole group; a SIGKILL (out of memory) only the coordinator.
    script = Path(tasks.__file__)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    coordinator = subprocess.Popen(
        [sys.executable, script, tmp_path, "0.05"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Where the tests run in the background of a shell, SIGINT is ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert coordinator.stdout is not None
    assert coordinator.stdout.readline()
    began = time.monotonic()
    if stop == signal.SIGINT:
        os.killpg(coordinator.pid, stop)
    else:
        coordinator.send_signal(stop)
    _, said = coordinator.communicate(timeout=30)  # ends when nobody holds its output any more
    assert time.monotonic() - began < 5
    assert coordinator.returncode == -stop
    assert said.count("Traceback") == (stop == signal.SIGINT), "of the coordinator, and of no worker"
    while _is_alive(coordinator.pid):
        assert time.monotonic() - began < 5
        time.sleep(0.05)
    made = sorted(tmp_path.glob("*.npy"))
    assert made
    assert all(np.array_equal(np.load(path), 2 * np.arange(8.0)) for path in made)


@pytest.mark.parametrize(
    ("workers", "count", "expected"),
    [(None, 7, Inline), (None, 8, Processes), (1, 1000, Inline), (3, 2, Processes)],
)
def test_the_executor_follows_the_options(
    workers: int | None, count: int, expected: type[Executor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "_cores", lambda: 4)
    with make_executor("local", workers, None, count) as executor:
        assert type(executor) is expected


def test_one_core_needs_no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "_cores", lambda: 1)
    assert isinstance(make_executor("local", None, None, 1000), Inline)


def test_options_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(InputError, match="address of its scheduler"):
        make_executor("dask", None, None, 10)
    with pytest.raises(InputError, match="tcp://node1:8786"):
        make_executor("local", None, "tcp://node1:8786", 10)
    with pytest.raises(InputError, match="for this computer"):
        make_executor("dask", 4, "tcp://node1:8786", 10)
    with pytest.raises(InputError, match="at least one worker"):
        make_executor("local", 0, None, 10)


def test_an_error_in_the_coordinator_cancels_what_waits(tmp_path: Path) -> None:
    executor = Processes(2)
    for number in range(50):
        executor.submit(f"{number}", tasks.make, _job(tmp_path, number), 0.02)
    with pytest.raises(KeyError), executor:
        raise KeyError(next(executor.outcomes()))
    assert 1 <= len(list(tmp_path.glob("*.npy"))) <= 1 + 2 * processes.AT_ONCE
    assert _has_no_children()

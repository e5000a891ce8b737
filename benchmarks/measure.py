"""Several ways to do the same, timed in one run."""

import statistics
import time
from collections.abc import Callable
from typing import Any


def measure(ways: dict[str, Callable[[], Any]], seconds: float, repeats: int) -> dict[str, float]:
    """Median seconds of sound or corpus per second of each way, after one round that does not count.

    The ways alternate, so that a busy machine slows them alike.
    """
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for way in ways.values():
        way()
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            taken[name].append(time.perf_counter() - start)
    return {name: round(seconds / statistics.median(times), 1) for name, times in taken.items()}

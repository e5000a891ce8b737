"""Where a recording sounds: pieces of it for a model that hears 30 s at a time, and word times on them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wav2uti.clock import SAMPLE_RATE
from wav2uti.corpus.recording import Interval
from wav2uti.speech.acoustic import speech_level

_HOP = SAMPLE_RATE // 50  # frames of 20 ms, as Whisper's encoder has them
_LONGEST, _SHORTEST = 30 * 50, 20 * 50  # a piece is cut between these, in frames
_GAP = 3 * 50  # a longer pause ends a piece
_MARGIN = 10  # frames kept beside the sound


def active(audio: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether there is sound in each 20 ms: less than 26 dB below the level of the speech, and above -60 dBFS."""
    return _levels(audio) > max(1.0e-3, 0.05 * speech_level(audio))


def pieces(audio: NDArray[np.float32], sounding: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Samples [first, last) of stretches with sound, at most 30 s each, cut where it is quietest.

    Stretches with less than 0.1 s of sound (a click) are left out.
    """
    places = np.flatnonzero(sounding)
    levels = np.convolve(_levels(audio), np.full(11, 1 / 11), mode="same") if places.size else places
    end = 0
    while places.size:
        start = max(int(places[0]) - _MARGIN, end)
        breaks = np.flatnonzero(np.diff(places) > _GAP)
        end = int(places[breaks[0] if breaks.size else -1]) + 1 + _MARGIN
        if end - start > _LONGEST:
            end = start + _SHORTEST + int(np.argmin(levels[start + _SHORTEST : start + _LONGEST]))
        if np.count_nonzero(places < end) >= 5:
            yield start * _HOP, min(end * _HOP, len(audio))
        places = places[places >= end]


def longest_pause(sounding: NDArray[np.bool_], first: int, last: int) -> float:
    """Longest stretch without sound in s between sounds of a piece, samples [first, last)."""
    places = np.flatnonzero(sounding[first // _HOP : last // _HOP])
    return float(np.diff(places).max(initial=1) - 1) * _HOP / SAMPLE_RATE


def narrowed(words: Sequence[Interval], sounding: NDArray[np.bool_], seconds: float) -> tuple[Interval, ...]:
    """Words without the pauses at their ends, in order, each at least 20 ms long and inside the recording."""
    result: list[Interval] = []
    earliest = 0.0
    for word in words:
        start, end = max(word.start, earliest), min(word.end, seconds)
        first = int(start * 50 + 1e-6)
        inside = np.flatnonzero(sounding[first : int(np.ceil(end * 50 - 1e-6))])
        if inside.size:
            start = max(start, (first + int(inside[0])) / 50)
            end = min(end, (first + int(inside[-1]) + 1) / 50)
        start = max(min(start, seconds - 0.02), 0.0)
        end = min(max(end, start + 0.02), seconds)
        result.append(Interval(word.label, round(start, 3), round(end, 3)))
        earliest = start
    return tuple(result)


def warp(cost: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Dynamic time warping: the column at which the cheapest monotone path enters each row.

    Args:
        cost: (rows, columns).

    Returns:
        float64 (rows,), not decreasing, the first 0.
    """
    rows, columns = cost.shape
    # Diagonals are computed at once: total[d, i + 1] is the cost of the best path to row i, column d - i.
    total = np.full((rows + columns + 1, rows + 1), np.inf)
    step = np.zeros((rows + columns, rows), dtype=np.int8)  # 0: from both before, 1: the row before, 2: the column
    total[0, 0] = 0.0
    for d in range(rows + columns - 1):
        i = np.arange(max(0, d - columns + 1), min(d, rows - 1) + 1)
        before = np.stack([total[d, i], total[d + 1, i], total[d + 1, i + 1]])
        step[d, i] = before.argmin(axis=0)
        total[d + 2, i + 1] = before.min(axis=0) + cost[i, d - i]
        total[0, 0] = np.inf  # only the first cell begins a path
    entries = np.zeros(rows)
    row, column = rows - 1, columns - 1
    while row > 0:
        came = step[row + column, row]
        if came != 2:
            entries[row] = column
        row, column = row - (came != 2), column - (came != 1)
    return entries


def _levels(audio: NDArray[np.float32]) -> NDArray[np.float64]:
    """Root mean square of each 20 ms; the last may be shorter."""
    whole = len(audio) // _HOP * _HOP
    frames = audio[:whole].reshape(-1, _HOP)
    power = np.einsum("ij,ij->i", frames, frames).astype(np.float64) / _HOP
    rest = audio[whole:]
    if len(rest):
        power = np.append(power, float(np.mean(np.square(rest))))
    return np.sqrt(power)

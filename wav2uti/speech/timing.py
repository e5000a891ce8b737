"""When the tokens of a text were said: the times of words brought to the tokens of a text encoder."""

import unicodedata
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wav2uti.corpus.recording import Interval

# Product of the lengths of two differing stretches above which they are not compared letter by letter (seconds).
_LARGEST = 4_000_000


class _Letter(NamedTuple):
    """A letter or digit, folded; `place` is its character in the text, or its number among the timed ones."""

    folded: str
    place: int


def token_times(text: str, spans: NDArray[np.int64], words: Sequence[Interval]) -> NDArray[np.float32]:
    """Start and end of each token.

    The letters and digits of the text are matched with those of the words, in order and whatever their case: whole
    words first, then the letters between them. A word that was said otherwise than written stays without a match
    (fewer than half of its letters are alike). The time of a letter is its share of its word.

    Args:
        text: what was encoded.
        spans: int64 (L, 2), the characters [start, end) of the text in NFC that each token stands for.
        words: words with their times in s, in order.

    Returns:
        float32 (L, 2), in s; NaN where no word with a time covers the token.
    """
    text = unicodedata.normalize("NFC", text)
    written = _units(text)
    said: list[list[_Letter]] = []
    times: list[tuple[float, float]] = []
    for word in words:
        if not (np.isfinite(word.start) and np.isfinite(word.end)):
            continue
        units = _units(unicodedata.normalize("NFC", word.label))
        count = sum(map(len, units))
        step = (word.end - word.start) / max(count, 1)
        first = len(times)
        times += [(word.start + k * step, word.start + (k + 1) * step) for k in range(count)]
        for unit in units:
            said.append([_Letter(letter.folded, first + k) for k, letter in enumerate(unit)])
            first += len(unit)
    begins = np.full(len(text), np.inf)
    ends = np.full(len(text), -np.inf)
    for place, timed in _matches(written, said):
        begins[place] = min(begins[place], times[timed][0])
        ends[place] = max(ends[place], times[timed][1])
    result = np.full((len(spans), 2), np.nan, dtype=np.float32)
    for token, (start, end) in enumerate(np.asarray(spans).tolist()):
        if start < end and np.isfinite(begins[start:end]).any():
            result[token] = begins[start:end].min(), ends[start:end].max()
    return result


def token_places(count: int, times: NDArray[np.float32] | None, seconds: float) -> NDArray[np.float32]:
    """Where in the recording each token stands, on [0, 1].

    The middle of a token's time; a token without one stands evenly between its neighbours that have one, or between
    the nearest of them and the end of the recording. Places never decrease where the times do not.

    Args:
        count: number of tokens, L.
        times: (L, 2) in s with NaN where unknown, or None.
        seconds: length of the recording.

    Returns:
        float32 (L,); (k + 0.5) / L where no time is known.
    """
    even = (np.arange(count) + 0.5) / max(count, 1)
    if times is None or seconds <= 0:
        return even.astype(np.float32)
    middles = np.asarray(times, dtype=np.float64).mean(axis=1) / seconds
    known = np.flatnonzero(np.isfinite(middles))
    if known.size == 0:
        return even.astype(np.float32)
    middles = np.clip(middles, 0.0, 1.0)
    # The ends of the recording stand half a token outside the text, so that tokens there keep their distance.
    at = np.concatenate([[-0.5], known, [count - 0.5]])
    return np.interp(np.arange(count), at, np.concatenate([[0.0], middles[known], [1.0]])).astype(np.float32)


def _units(text: str) -> list[list[_Letter]]:
    """Words of a text as letters and digits with their places; a character of a script without spaces is a word."""
    units: list[list[_Letter]] = []
    joined = False
    for place, character in enumerate(text):
        if not character.isalnum():
            # A mark belongs to the letter before it, as in Hindi.
            joined = joined and unicodedata.category(character).startswith("M")
            continue
        alone = unicodedata.category(character) == "Lo" and ord(character) >= 0x2E80
        if not joined or alone:
            units.append([])
        units[-1] += [_Letter(letter, place) for letter in character.casefold() if letter.isalnum()]
        joined = not alone
    return units


def _matches(written: list[list[_Letter]], said: list[list[_Letter]]) -> list[tuple[int, int]]:
    """Pairs of a place in the text and the number of a timed letter, both increasing."""
    pairs: list[tuple[int, int]] = []
    a = ["".join(letter.folded for letter in unit) for unit in written]
    b = ["".join(letter.folded for letter in unit) for unit in said]
    for tag, i, i_end, j, j_end in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if tag == "equal":
            for left, right in zip(written[i:i_end], said[j:j_end], strict=True):
                pairs += [(x.place, y.place) for x, y in zip(left, right, strict=True)]
        elif tag == "replace":
            pairs += _letter_matches(written[i:i_end], said[j:j_end])
    return pairs


def _letter_matches(written: list[list[_Letter]], said: list[list[_Letter]]) -> list[tuple[int, int]]:
    """The same between two stretches that have no word in common, for words at least half of which is found."""
    x = [letter for unit in written for letter in unit]
    y = [letter for unit in said for letter in unit]
    if len(x) * len(y) > _LARGEST:
        return []
    found: dict[int, int] = {}
    matcher = SequenceMatcher(None, [letter.folded for letter in x], [letter.folded for letter in y], autojunk=False)
    for block in matcher.get_matching_blocks():
        for k in range(block.size):
            found[block.a + k] = y[block.b + k].place
    pairs = []
    first = 0
    for unit in written:
        inside = [(x[k].place, found[k]) for k in range(first, first + len(unit)) if k in found]
        if 2 * len(inside) >= len(unit):
            pairs += inside
        first += len(unit)
    return pairs

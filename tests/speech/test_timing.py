"""Times of words brought to tokens, and tokens placed in the recording."""

import time

import numpy as np
import pytest

from wav2uti.corpus.recording import Interval
from wav2uti.speech.textual import CharacterCodes
from wav2uti.speech.timing import token_places, token_times


def spans_of(*pairs: tuple[int, int]) -> np.ndarray:
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def test_a_token_has_its_share_of_its_word() -> None:
    words = [Interval("Hello", 1.0, 2.0), Interval("world", 2.5, 3.5)]
    times = token_times("hello, WORLD!", spans_of((0, 5), (0, 2), (5, 6), (7, 13), (2, 9)), words)
    np.testing.assert_allclose(times, [[1, 2], [1, 1.4], [np.nan, np.nan], [2.5, 3.5], [1.4, 2.9]], atol=1e-6)
    assert times.dtype == np.float32


def test_chinese_without_spaces_and_pinyin_by_syllable() -> None:
    words = [Interval("跟", 0.0, 0.2), Interval("测到", 0.2, 0.6)]
    np.testing.assert_allclose(
        token_times("跟测到。", spans_of((0, 1), (1, 2), (2, 3), (3, 4)), words),
        [[0, 0.2], [0.2, 0.4], [0.4, 0.6], [np.nan, np.nan]], atol=1e-6,
    )  # fmt: skip
    words = [Interval("gen4", 0.0, 0.2), Interval("ce2", 0.2, 0.5), Interval("dao4", 0.6, 1.0)]
    for text, second in (("gen4 ce2 dao4", (5, 8)), ("gen4ce2dao4", (4, 7)), ("Gen4-ce2-dao4", (5, 8))):
        np.testing.assert_allclose(token_times(text, spans_of(second), words), [[0.2, 0.5]], atol=1e-6)


def test_hyphens_and_accents() -> None:
    words = [Interval("cold-hearted", 0.0, 1.1), Interval("cafe\u0301", 2.0, 3.0), Interval("STRASSE", 3.0, 4.0)]
    times = token_times("cold hearted caf\u00e9 stra\u00dfe", spans_of((0, 4), (5, 12), (13, 17), (18, 24)), words)
    np.testing.assert_allclose(times, [[0, 0.4], [0.4, 1.1], [2, 3], [3, 4]], atol=1e-6)


def test_words_said_otherwise_or_not_at_all_have_no_time() -> None:
    words = [Interval("the", 0.0, 0.1), Interval("fish", 0.1, 0.5), Interval("barks", 0.5, 1.0)]
    times = token_times("the dog barks loud", spans_of((0, 3), (4, 7), (8, 13), (14, 18)), words)
    np.testing.assert_array_equal(np.isfinite(times[:, 0]), [True, False, True, False])
    assert np.isnan(token_times("the dog", spans_of((0, 3)), [])).all()
    assert np.isnan(token_times("the", spans_of((0, 3)), [Interval("the", np.nan, np.nan)])).all()
    assert token_times("", spans_of(), words).shape == (0, 2)


def test_times_of_character_codes_increase_with_the_text() -> None:
    text = "He might even have been made amiable himself."
    words = [Interval(word, k, k + 0.9) for k, word in enumerate(text.rstrip(".").split())]
    times = token_times(text, CharacterCodes().spans(text), words)
    known = times[np.isfinite(times[:, 0])]
    assert len(known) == len(text.replace(" ", "")) - 1
    assert (np.diff(known[:, 0]) > 0).all()
    assert (np.diff(token_places(len(text), times, 9.0)) > 0).all()


def test_a_text_of_5000_words_takes_little_time() -> None:
    random = np.random.default_rng(0)
    words = ["".join(random.choice(list("etaoinshr"), random.integers(1, 8))) for _ in range(5000)]
    said = [Interval(word, k, k + 1.0) for k, word in enumerate(words) if k % 7]
    text = " ".join(words)
    started = time.process_time()
    times = token_times(text, CharacterCodes().spans(text), said)
    assert time.process_time() - started < 5
    assert np.isfinite(times[:, 0]).mean() > 0.6


def test_places() -> None:
    np.testing.assert_allclose(token_places(4, None, 2.0), [0.125, 0.375, 0.625, 0.875])
    nan = [np.nan, np.nan]
    times = np.array([nan, [1.0, 1.2], nan, [1.4, 1.6], nan], dtype=np.float32)
    np.testing.assert_allclose(token_places(5, times, 2.0), [0.55 / 3, 0.55, 0.65, 0.75, 0.75 + 0.5 / 3], atol=1e-6)
    np.testing.assert_allclose(token_places(2, np.array([nan, nan], dtype=np.float32), 2.0), [0.25, 0.75])
    assert token_places(0, None, 2.0).shape == (0,)
    assert token_places(0, np.zeros((0, 2), np.float32), 2.0).shape == (0,)
    assert token_places(1, np.array([[3.0, 5.0]], np.float32), 2.0) == pytest.approx([1.0])  # said after the end

"""Quality checks: each figure from a recording made for it, each warning just when it is due."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from wav2uti.corpus.quality import Quality, QualityMeter, corpus_warnings

GOOD = Quality(
    raw_rate=60.0,
    distinct_rate=60.0,
    picture=[0.5, 3.0],
    sound_seconds=3.0,
    kept_seconds=2.5,
    clipped=0.0,
    silent=0.3,
    peak=0.5,
    sound_digest="ab",
    beside=0.0,
)


def test_a_good_recording_has_no_warning():
    assert GOOD.warnings() == []
    assert GOOD.as_json()["warnings"] == []
    assert replace(GOOD, beside=None).warnings() == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"distinct_rate": 29.97}, "only 30.0 distinct frames a second"),
        ({"silent": 1.0}, "below -60 dBFS for 100% of the time"),
        ({"clipped": 0.02}, "2.0% of its sound is clipped"),
        ({"kept_seconds": 1.0}, "share only 1.00 s"),
        ({"beside": 0.4}, "40% of what moves in it lies beside"),
    ],
)
def test_each_fault_is_one_sentence(wrong, words):
    (warning,) = replace(GOOD, **wrong).warnings()
    assert words in warning


@pytest.mark.parametrize("block", [1, 4, 30])
def test_repeated_frames_are_counted_over_blocks(block):
    rng = np.random.default_rng(0)
    frames = np.repeat(rng.integers(0, 256, (15, 4, 4), dtype=np.uint8), 2, axis=0)
    frames[1::2] ^= 1  # the rounding of a codec: a level at most
    meter = QualityMeter()
    for start in range(0, 30, block):
        meter.see((np.arange(start, start + block) / 30, frames[start : start + block]))
    assert meter._changes == 14


@dataclass
class Described:
    id: str
    speaker: str
    split: str = ""
    sound_digest: str = ""


def test_the_corpus_as_a_whole():
    assert corpus_warnings([Described("a", "s1", "train", "x"), Described("b", "s2", "test", "y")]) == []
    twice, leak = corpus_warnings(
        [Described("a", "s1", "train", "x"), Described("b", "s1", "test", "x"), Described("c", "s2", "test")]
    )
    assert twice.startswith("a, b have the same sound")
    assert leak.startswith("s1 is in more than one split")

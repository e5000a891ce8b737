"""Broken files of every kind that comes from outside: read, or refused by one sentence, in time and in bounds.

`benchmarks/fuzz.py` does the same for as long as it is told to.
"""

import random
import sys
from pathlib import Path

import pytest

pytest.importorskip("hypothesis")
from broken_files import Readers, check
from outside_readers import OUTSIDE, REFUSALS, SLOW


def text_readers() -> Readers:
    """Those of corpora's text formats, whose tests stand elsewhere."""
    sys.path.append(str(Path(__file__).parent / "corpus"))
    import test_properties_of_formats

    return test_properties_of_formats.FORMATS


@pytest.mark.parametrize("kind", OUTSIDE)
def test_some_broken_files(kind: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    check(*OUTSIDE[kind], tmp_path / "in", 60 // SLOW.get(kind, 1), refusals=REFUSALS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", OUTSIDE)
def test_many_broken_files(kind: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    seed = random.randrange(2**32)
    check(*OUTSIDE[kind], tmp_path / "in", 800 // SLOW.get(kind, 1), seed, refusals=REFUSALS)

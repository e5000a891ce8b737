"""Faults in the bytes of shards and checkpoints: a sentence, or the same values; never other values, nor a crash."""

import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest
from conftest import REPOSITORY, Run
from tiny_corpus import make_full_recording, make_recording, write_corpus

from wav2uti.corpus.shards import Shard
from wav2uti.corpus.shards.writer import ShardWriter

sys.path.append(str(REPOSITORY / "benchmarks"))
from faults import checkpoints, configs, shards
from faults.outcomes import CRASH, HANG, SILENT, SURVIVED, TRACEBACK, Tally, in_child, outcome_of

VERSION_1 = Path(__file__).with_name("version_1.h5")


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    recordings = [make_full_recording("full", frames=20, size=8), make_recording("plain", frames=18, size=8)]
    (path,) = write_corpus(tmp_path / "corpus", recordings)
    (tmp_path / "work").mkdir()
    return path


def inject_all(shard: Path, count: int) -> Tally:
    rng, tally, work = random.Random(count), Tally(), shard.parents[1] / "work"
    shards.inject_losses(shard, work, count, rng, tally)
    shards.inject_bytes(shard, work, count, rng, tally)
    shards.inject_metadata(shard, work, count, rng, tally)
    return tally


def test_a_few_faults_in_a_shard(shard: Path) -> None:
    rng, tally, work = random.Random(1), Tally(), shard.parents[1] / "work"
    shards.inject_bytes(shard, work, 1, rng, tally)
    shards.inject_metadata(shard, work, 2, rng, tally)
    assert tally.bad == []
    assert tally.injections == 8


@pytest.mark.slow
def test_many_faults_in_a_shard(shard: Path) -> None:
    tally = inject_all(shard, 20)
    assert tally.bad == []
    assert tally.injections > 220
    outcomes = tally.report()["outcomes"]
    assert min(outcomes["detected"], outcomes["survived"]) > 20


@pytest.mark.slow
def test_many_faults_in_a_checkpoint(run: Run, tmp_path: Path) -> None:
    tally, rng = Tally(), random.Random(0)
    checkpoints.inject_bytes(run.checkpoint, tmp_path, 6, rng, tally)
    checkpoints.inject_headers(run.checkpoint, tmp_path, 10, rng, tally)
    assert tally.bad == []


@pytest.mark.slow
def test_faults_in_configs(simulated: Path, tmp_path: Path) -> None:
    tally = Tally()
    configs.inject(simulated, tmp_path, 1, random.Random(0), tally, names=("debug", "dnn_64"))
    assert tally.bad == []
    assert tally.injections == 10


def test_every_outcome_can_be_told_apart(tmp_path: Path) -> None:
    """The oracle itself: without it a fault would be counted as survived."""
    assert in_child(lambda: outcome_of(lambda: 1, 1, "a"))[0] == SURVIVED
    assert in_child(lambda: outcome_of(lambda: 2, 1, "a"))[0] == SILENT
    assert in_child(lambda: outcome_of(lambda: [][1], 1, "a"))[0] == TRACEBACK
    assert in_child(lambda: sys.exit(3))[0] == TRACEBACK
    assert in_child(_crash)[0] == CRASH
    assert in_child(_hang, limit=0.2)[0] == HANG


def _crash() -> tuple[str, str]:
    os.kill(os.getpid(), signal.SIGKILL)
    return "", ""


def _hang() -> tuple[str, str]:
    time.sleep(30)
    return "", ""


def test_text_of_the_earlier_schema_could_change_unnoticed(tmp_path: Path) -> None:
    """What the digest is for: the same bit that schema 2 finds."""
    path = tmp_path / VERSION_1.name
    path.write_bytes(VERSION_1.read_bytes().replace(b"say plain", b"say plaim"))
    assert Shard(path).info("plain").text == "say plaim"
    (new,) = write_corpus(tmp_path / "new", [make_recording("plain")])
    content = new.read_bytes()
    assert content.count(b"say plain") == 1
    new.write_bytes(content.replace(b"say plain", b"say plaim"))
    with pytest.raises(ValueError, match=r"shard-00000\.h5: recording 'plain' is damaged"):
        Shard(new).info("plain")


def test_the_earlier_schema_is_read_and_copied_into_the_present_one(tmp_path: Path) -> None:
    old = Shard(VERSION_1)
    assert old.ids == ["full", "plain"]
    with ShardWriter(tmp_path / VERSION_1.name, old.encoders, old.settings) as writer:
        for id in old.ids:
            writer.copy(VERSION_1, id)
    assert (old.version, Shard(tmp_path / VERSION_1.name).version) == (1, 2)
    expected = shards.read_all(VERSION_1)
    assert shards.read_all(tmp_path / VERSION_1.name) == expected
    assert expected["full words"] == "(Interval(label='say', start=0.0, end=0.05),)"

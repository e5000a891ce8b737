"""A full disk, two writers, kills, shards that vanish or are replaced: an error or the whole work, nothing between."""

import pickle
import random
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY
from raw_ultrasound import write_recording
from tiny_corpus import make_full_recording, make_recording, write_corpus

from wav2uti.corpus.recording import Recording
from wav2uti.corpus.shards import Shard, find_shards
from wav2uti.data.clips import ClipDataset
from wav2uti.errors import InputError, OutOfSpace
from wav2uti.prepare.verify import verify

sys.path.append(str(REPOSITORY / "benchmarks"))
from faults.outcomes import DETECTED, SURVIVED, in_child
from faults.shards import read_all

RECORDINGS = 12
MADE = (0, 4, 12)  # recordings after which a run is killed, and then one is left alone


def test_a_disk_that_fills_up_anywhere(tmp_path: Path) -> None:
    """What is there then is a well shard of the first recordings, or nothing; HDF5 neither crashes nor half writes."""
    recordings = [make_full_recording(f"r{k}", frames=150, size=64) for k in range(5)]
    (whole,) = write_corpus(tmp_path / "whole", recordings)
    expected, rng = read_all(whole), random.Random(0)
    kept = set()
    for number in range(10):
        out, limit = tmp_path / str(number), int((number + rng.random()) / 5 * whole.stat().st_size)
        outcome, said = in_child(lambda out=out, limit=limit: _write(out, recordings, limit))
        left = sorted(out.iterdir()) if out.is_dir() else []
        assert [path.name for path in left] in ([], ["shard-00000.h5"])
        kept.add(len(Shard(left[0]).ids) if left else 0)
        if outcome == SURVIVED:
            assert read_all(left[0]) == expected
            continue
        assert outcome == DETECTED, said
        assert "shard-00000.h5 cannot be written (File too large); free space" in said
        if left:
            verify(left, workers=1)
            found = read_all(left[0])
            assert found == {name: expected[name] for name in found}
    assert len(kept) > 3
    assert {0, 5} < kept


def _write(out: Path, recordings: Sequence[Recording], limit: int) -> tuple[str, str]:
    """Write where no file may be larger than the limit."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        write_corpus(out, recordings)
    except OutOfSpace as error:
        return DETECTED, str(error)
    return SURVIVED, ""


@pytest.mark.slow
def test_two_writers_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "wav2uti", "simulate", str(tmp_path / "out"), "--workers", "1"]
    command += ["--speakers", "2", "--utterances", "4", "--size", "64"]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [writer.communicate(timeout=120) for writer in writers]
    told = [out or err.splitlines()[-1] for out, err in said]
    assert sum("8 recordings written" in words for words in told) == 1, told
    other = next(words for words in told if "8 recordings written" not in words)
    assert "Another wav2uti command is writing into" in other or "already holds" in other
    verify([tmp_path / "out"], workers=1)
    (path,) = (tmp_path / "out").iterdir()
    assert len(Shard(path).ids) == 8


@pytest.mark.slow
def test_killed_again_and_again_it_writes_what_it_would_have_written(tmp_path: Path) -> None:
    """SIGKILL at random moments: while it starts, makes parts, writes the shard."""
    source, rng = tmp_path / "src", random.Random(0)
    for number in range(RECORDINGS):
        write_recording(source, f"{number:03d}", frames=300 + 10 * number, seconds=6.0)

    def command(out: Path) -> list[str]:
        given = ["prepare", str(source), str(out), "--size", "64", "--workers", "2"]
        return [sys.executable, "-m", "wav2uti", *given]

    subprocess.run(command(tmp_path / "whole"), check=True, capture_output=True)
    (whole,) = find_shards(tmp_path / "whole")

    out, killed = tmp_path / "out", 0
    for made in MADE:
        process = subprocess.Popen(command(out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and len(list(out.glob(".parts/*/about.json"))) < made:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.1))
        killed += process.poll() is None
        process.kill()
        process.wait()
        time.sleep(1.0)  # the workers notice that their parent is gone
        for path in out.glob("*.h5"):
            read_all(path)
    subprocess.run(command(out), check=True, capture_output=True)
    assert killed >= len(MADE) - 1
    verify([out], workers=1)
    (path,) = find_shards(out)
    assert read_all(path) == read_all(whole)
    assert [path.name for path in out.iterdir()] == ["shard-00000.h5"]


def dataset_of(path: Path) -> ClipDataset:
    """As a training reads it."""
    shard = Shard(path)
    return ClipDataset([shard.info(id) for id in shard.ids], 8, "frame-counter")


def test_a_shard_that_disappears_while_it_is_read(tmp_path: Path) -> None:
    (path,) = write_corpus(tmp_path, [make_recording("a"), make_recording("b")])
    dataset = dataset_of(path)
    first = dataset[0, 3].frames
    path.unlink()
    np.testing.assert_array_equal(dataset[0, 3].frames, first)  # the file is there as long as it is open
    with pytest.raises(InputError, match=r"shard-00000\.h5: there is no such shard"):
        pickle.loads(pickle.dumps(dataset))[0, 3]  # as another worker opens it


def test_a_shard_that_is_replaced_while_it_is_read(tmp_path: Path) -> None:
    """The new one has recordings of the same names and other content: not one clip may be mixed of both."""
    (path,) = write_corpus(tmp_path / "old", [make_recording("a"), make_recording("b")])
    (other,) = write_corpus(tmp_path / "new", [make_recording("a", frames=30), make_recording("b", speaker="ben")])
    dataset = dataset_of(path)
    first = dataset[0, 3]
    other.replace(path)
    np.testing.assert_array_equal(dataset[0, 3].frames, first.frames)
    with pytest.raises(InputError, match=r"shard-00000\.h5 was replaced while it was in use: start"):
        pickle.loads(pickle.dumps(dataset))[0, 3]


def test_a_shard_that_is_written_over_while_it_is_read(tmp_path: Path) -> None:
    """Not renamed but copied over the open file, as `cp` does: what is read is the old clip or an error."""
    (path,) = write_corpus(tmp_path / "old", [make_recording("a"), make_recording("b")])
    (other,) = write_corpus(tmp_path / "new", [make_recording("c", frames=55), make_recording("d", frames=62)])
    dataset = dataset_of(path)
    expected = [dataset[k, 3].frames for k in (0, 1)]
    path.write_bytes(other.read_bytes())
    for k in (0, 1):
        with suppress(InputError):
            np.testing.assert_array_equal(dataset[k, 3].frames, expected[k])
    with pytest.raises(InputError, match="was replaced"):
        pickle.loads(pickle.dumps(dataset))[0, 3]

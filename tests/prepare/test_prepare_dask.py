"""`wav2uti prepare` on a Dask cluster of this machine, one of whose two workers is killed halfway."""

import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from raw_ultrasound import write_recording

from wav2uti.corpus.shards import Shard, find_shards
from wav2uti.prepare import job
from wav2uti.prepare.commands import prepare

pytest.importorskip("distributed")
pytestmark = pytest.mark.slow

RECORDINGS = 60


def stored(out: Path) -> dict[str, Path]:
    """Ids with their shards; no id may be in two."""
    found: dict[str, Path] = {}
    for path in find_shards(out):
        for id in Shard(path).ids:
            assert id not in found
            found[id] = path
    return found


def test_a_killed_worker_loses_and_doubles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import LocalCluster

    for number in range(RECORDINGS):
        write_recording(tmp_path / "src", f"{number:03d}", frames=150 + number)
    (tmp_path / "src" / "007.wav").unlink()
    prepare(tmp_path / "src", tmp_path / "alone", size=32, workers=1)
    monkeypatch.setattr(job, "MAX_BYTES", 1_000_000)  # some shards

    cluster = LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
    killed: list[int] = []

    def kill_halfway() -> None:
        """Kill the worker process that has worked most, once parts come in."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not killed:
            parts = list((tmp_path / "out" / ".parts").glob("*/about.json"))
            if len(parts) >= 5:
                worker = psutil.Process(next(iter(cluster.workers.values())).pid)
                killed.append(worker.pid)
                worker.kill()
            time.sleep(0.005)

    killer = threading.Thread(target=kill_halfway)
    killer.start()
    try:
        prepare(tmp_path / "src", tmp_path / "out", size=32, executor="dask", scheduler=cluster.scheduler_address)
    finally:
        killer.join()
        cluster.close()

    assert killed
    alone, clustered = stored(tmp_path / "alone"), stored(tmp_path / "out")
    assert sorted(clustered) == [f"{number:03d}" for number in range(RECORDINGS) if number != 7]
    assert len(set(clustered.values())) > 1
    for id, path in clustered.items():
        there, here = Shard(path), Shard(alone[id])
        np.testing.assert_array_equal(there.frames(id), here.frames(id))
        np.testing.assert_array_equal(there.audio(id), here.audio(id))
        np.testing.assert_array_equal(there.acoustic(id, "logmel"), here.acoustic(id, "logmel"))
    assert all(path.suffix == ".h5" for path in (tmp_path / "out").iterdir())

"""`wav2uti prepare` killed by SIGKILL goes on where it was, and leaves nothing half written."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from raw_ultrasound import write_recording

from wav2uti.corpus.shards import Shard, find_shards
from wav2uti.prepare import job
from wav2uti.prepare.commands import prepare
from wav2uti.prepare.make import make_part

RECORDINGS = 40


@pytest.mark.slow
def test_a_killed_command_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = tmp_path / "src", tmp_path / "out"
    for number in range(RECORDINGS):
        write_recording(source, f"{number:03d}", frames=1500, seconds=16.0)
    command = [sys.executable, "-m", "wav2uti", "prepare", str(source), str(out), "--size", "64", "--workers", "2"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(out.glob(".parts/*/about.json"))) < 5:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(2.0)  # the workers notice that their parent is gone
    kept = len(list(out.glob(".parts/*/about.json")))
    assert 5 <= kept < RECORDINGS

    read: list[str] = []
    monkeypatch.setattr(job, "make_part", lambda work, *rest: (read.append(work.id), make_part(work, *rest))[1])
    prepare(source, out, size=64, workers=1)
    assert len(read) == RECORDINGS - kept
    assert f"{RECORDINGS} recordings written" in capsys.readouterr().out
    (path,) = find_shards(out)
    shard = Shard(path)
    assert shard.ids == [f"{number:03d}" for number in range(RECORDINGS)]
    for id in shard.ids:
        shard.recording(id)
    assert [p.name for p in out.iterdir()] == ["shard-00000.h5"]

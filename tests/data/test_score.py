import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_corpus import make_full_recording, make_recording, write_corpus

from wav2uti.cli import main
from wav2uti.corpus.shards import Shard, find_shards
from wav2uti.data.order import EveryClip
from wav2uti.metrics import pixel
from wav2uti.metrics.weights import FOLDER_VARIABLE


@pytest.fixture(autouse=True)
def no_weights(monkeypatch, tmp_path):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "none"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "none"))


def recordings(**fields):
    yield from (make_recording(f"a{k}", "ann", size=32, **fields) for k in range(2))
    yield make_recording("b0", "bob", frames=36, size=32, **fields)


@pytest.fixture
def real(tmp_path):
    write_corpus(tmp_path / "real", recordings(simulated=True, mm_per_pixel=1.0), max_bytes=1)
    return tmp_path / "real"


def darker(recording, by=40):
    return replace(recording, frames=np.maximum(recording.frames, by) - np.uint8(by))


def test_other_peoples_videos_are_scored(real, tmp_path, capsys):
    write_corpus(tmp_path / "made", [darker(r) for r in recordings()])
    output = tmp_path / "out" / "m.json"
    assert main(["score", str(tmp_path / "made"), str(real), f"--output={output}", "--clip-frames=9"]) == 0
    printed = capsys.readouterr().out
    assert "rmse" in printed
    assert "12 clips of 3 recordings" in printed
    assert "fvd is missing" in printed
    written = json.loads(output.read_text())
    assert (written["clips"], written["recordings"], written["speakers"], written["frames_per_clip"]) == (12, 3, 2, 9)
    assert written["simulated"] is True
    assert written["checkpoint"] is None
    expected = []
    for r in recordings():
        used = len(r.frames) // 9 * 9
        expected.append(pixel.rmse(*(torch.from_numpy(v.frames[:used]) for v in (darker(r), r))).item())
    assert written["scores"]["rmse"] == pytest.approx(np.mean(expected))
    assert set(written["missing"]) >= {"fvd", "fid", "kid", "lpips_squeeze"}
    with np.load(output.with_name("samples.npz")) as samples:
        assert samples["generated"].shape == (8, 9, 32, 32)


def test_the_real_folder_against_itself_and_some_speakers_only(real, tmp_path):
    output = tmp_path / "m.json"
    options = [f"--output={output}", "--speakers=ann", "--lpips=", "--fid=false", "--uint8-wrapped", "--keep=0"]
    assert main(["score", str(real), str(real), *options]) == 0
    written = json.loads(output.read_text())
    assert (written["clips"], written["recordings"]) == (4, 2)
    assert written["scores"]["rmse"] == written["scores"]["rmse_uint8_wrapped"] == 0
    assert written["scores"]["ssim"] == pytest.approx(1)
    assert set(written["missing"]) <= {"fvd", "contour"}
    assert not output.with_name("samples.npz").exists()


def test_some_clips_only_are_those_that_a_test_takes_first(real, tmp_path):
    output = tmp_path / "m.json"
    options = [f"--output={output}", "--clip-frames=9", "--clips=5", "--lpips=", "--fid=false", "--keep=5"]
    assert main(["score", str(real), str(real), *options]) == 0
    infos = [shard.info(id) for shard in map(Shard, find_shards(real)) for id in shard.ids]
    first = {(infos[k].id, (start + 0.5) / infos[k].frames) for k, start in EveryClip(infos, 9).clips[:5]}
    with np.load(output.with_name("samples.npz")) as samples:
        assert set(zip(samples["ids"].tolist(), samples["progress"].tolist(), strict=True)) == first


def test_weights_that_were_given_and_are_none_are_refused(real, tmp_path, capsys):
    """Weights that nobody named may be missing; a path that somebody gave is to be right."""
    other = tmp_path / "other.pt"
    other.write_bytes(b"no weights")
    for path in (other, tmp_path / "nowhere.pt"):
        output = tmp_path / "m.json"
        assert main(["score", str(real), str(real), f"--i3d={path}", f"--output={output}", "--clip-frames=9"]) == 2
        said = capsys.readouterr().err
        assert str(path) in said
        assert "Traceback" not in said
        assert not output.exists()


def test_generated_recordings_of_some_speakers_are_enough(real, tmp_path):
    write_corpus(tmp_path / "made", [darker(r) for r in recordings() if r.speaker == "bob"])
    assert main(["score", str(tmp_path / "made"), str(real), "--speakers=bob", f"--output={tmp_path / 'm.json'}"]) == 0
    assert main(["score", str(tmp_path / "made"), str(real), f"--output={tmp_path / 'm.json'}"]) == 2


def says(capsys, *arguments):
    assert main(["score", *map(str, arguments)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    return lines[-1]


def test_mistakes_get_one_sentence(real, tmp_path, capsys):
    a0, a1, b0 = recordings()
    made = {
        "few": [a0, b0],
        "more": [a0, a1, b0, make_recording("c", size=32)],
        "small": [a0, a1, make_recording("b0", "bob", frames=36, size=16)],
        "short": [a0, a1, make_recording("b0", "bob", frames=20, size=32)],
    }
    for name, given in made.items():
        write_corpus(tmp_path / name, given)
    output = f"--output={tmp_path / 'm.json'}"
    for name, said in (
        ("few", "lacks 1 recording(s) of the other folder, 'a1'"),
        ("more", "'c'"),
        ("small", "are 16x16 and those of"),
        ("short", "has 20 frames and in"),
    ):
        assert said in says(capsys, tmp_path / name, real, output)
    assert "no shards" in says(capsys, tmp_path / "nowhere", real, output)
    assert "no speaker 'eve'" in says(capsys, real, real, "--speakers=eve", output)
    assert "50 frames" in says(capsys, real, real, "--clip_frames=50", output)
    assert "clip_frames" in says(capsys, real, real, "--clip_frames=0", output)
    assert "folder" in says(capsys, real, real, f"--output={tmp_path}")
    assert "'resnet'" in says(capsys, real, real, "--lpips=squeeze,resnet", output)
    (twice := tmp_path / "twice").mkdir()
    for k, shard in enumerate(sorted(real.glob("*.h5"))[:1] * 2):
        shutil.copy(shard, twice / f"{k}.h5")
    assert "leave one out" in says(capsys, twice, real, output)
    assert not (tmp_path / "m.json").exists()


def test_exact_contours_are_cut_with_their_clips(tmp_path):
    full = make_full_recording(size=32)
    write_corpus(tmp_path / "real", [full])
    assert main(["score", str(tmp_path / "real"), str(tmp_path / "real"), f"--output={tmp_path / 'm.json'}"]) == 0
    assert json.loads((tmp_path / "m.json").read_text())["clips"] == 2

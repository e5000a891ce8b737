"""`wav2uti predict` and `load(...).generate(...)`: what is written, and that it is in step with the sound."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from conftest import Run
from PIL import Image
from torch import Tensor

from wav2uti.cli import main
from wav2uti.clock import samples_at
from wav2uti.diffusion.guidance import Guidance
from wav2uti.errors import InputError
from wav2uti.tasks.diffusion import DiffusionTask
from wav2uti.video.predict import newest_checkpoint
from wav2uti.video.predictor import load


def sine(path: Path, seconds: float, rate: int, channels: int = 1, **options: str) -> Path:
    wave = 0.3 * np.sin(2 * np.pi * 220 * np.arange(round(seconds * rate)) / rate)
    soundfile.write(path, np.repeat(wave[:, None], channels, axis=1), rate, **options)
    return path


@pytest.mark.parametrize(
    ("name", "rate", "channels", "options"),
    [
        ("telephone.wav", 8000, 1, {}),
        ("stereo24.wav", 44100, 2, {"subtype": "PCM_24"}),
        ("float.wav", 192000, 1, {"subtype": "FLOAT"}),
        ("speech.flac", 22050, 1, {}),
        ("speech.mp3", 48000, 2, {}),
    ],
)
def test_any_sound_gives_a_video_as_long(
    run: Run, tmp_path: Path, name: str, rate: int, channels: int, options: dict[str, str]
) -> None:
    audio = sine(tmp_path / name, 0.5, rate, channels, **options)
    assert main(["predict", f"--audio={audio}", f"--ckpt_path={run.checkpoint}", "--steps=1", "--text=ba1",
                 f"--output={tmp_path / 'out'}"]) == 0  # fmt: skip
    stem = audio.stem
    names = {f"{stem}{end}" for end in (".mp4", ".png", ".npz", ".csv")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    with np.load(tmp_path / "out" / f"{stem}.npz", allow_pickle=False) as written:
        frames, fps, note = written["frames"], int(written["fps"]), str(written["note"])
    assert fps == 60
    assert "SIMULATED" in note
    assert frames.dtype == np.uint8
    assert frames.shape[1:] == (16, 16)
    assert abs(len(frames) / 60 - 0.5) <= 1 / 60 + (0.1 if name.endswith("mp3") else 0)  # mp3 pads
    with av.open(str(tmp_path / "out" / f"{stem}.mp4")) as video:
        assert {stream.type for stream in video.streams} == {"video", "audio"}
        assert abs(video.duration / av.time_base - len(frames) / 60) <= 1 / 60
    with Image.open(tmp_path / "out" / f"{stem}.png") as sheet:
        assert min(sheet.size) > 100


def test_a_recording_of_a_corpus_is_shown_above(run: Run, tmp_path: Path) -> None:
    """Its sheet has one row of frames more than that of a sound file, and the same seed gives the same frames."""
    options = [f"--ckpt_path={run.checkpoint}", "--steps=1"]
    for out in ("one", "two"):
        corpus = [f"--shards={run.corpus}", "--recording=s01_u000", f"--output={tmp_path / out}"]
        assert main(["predict", *corpus, *options]) == 0
    one, two = (np.load(tmp_path / out / "s01_u000.npz")["frames"] for out in ("one", "two"))
    np.testing.assert_array_equal(one, two)
    with av.open(str(tmp_path / "one" / "s01_u000.truth.mp4")) as video:
        assert "not generated" in video.metadata["comment"]
        assert video.streams.video[0].frames == len(one)
        assert video.streams.audio
    audio = sine(tmp_path / "alone.wav", 0.5, 16000)
    assert main(["predict", f"--audio={audio}", f"--output={tmp_path}", *options]) == 0
    assert not (tmp_path / "alone.truth.mp4").exists()
    with Image.open(tmp_path / "one" / "s01_u000.png") as both, Image.open(tmp_path / "alone.png") as alone:
        assert both.height > alone.height + 50


def test_silence_and_missing_text_are_told(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(8000), 16000)
    assert main(["predict", f"--audio={tmp_path / 'silence.wav'}", f"--ckpt_path={run.checkpoint}", "--steps=1",
                 f"--output={tmp_path}"]) == 0  # fmt: skip
    said = capsys.readouterr().err
    assert "silen" in said
    assert "--text" in said
    assert "--reference" in said


def test_python_interface(run: Run) -> None:
    model = load(run.checkpoint)
    audio = np.random.default_rng(0).normal(0, 0.1, samples_at(50)).astype(np.float32)
    frames = model.generate(
        audio, text="ma1", reference=np.zeros((16, 16), np.uint8), steps=1, guidance=Guidance(1.0), seed=1
    )
    assert frames.shape == (50, 16, 16)
    assert frames.dtype == np.uint8
    parts = list(
        model.stream(audio, text="ma1", reference=np.zeros((16, 16), np.uint8), steps=1, guidance=Guidance(1.0), seed=1)
    )
    assert len(parts) > 1
    np.testing.assert_array_equal(np.concatenate(parts), frames)
    with pytest.raises(InputError, match="less than a frame"):
        model.stream(audio[:100])  # told at once, not when the first frame is asked for
    with pytest.raises(InputError, match="less than a frame"):
        model.generate(audio[:100])


def test_the_package_loads_models_and_imports_no_torch_for_it() -> None:
    import subprocess
    import sys

    import wav2uti

    assert wav2uti.load is load
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = wav2uti.lode
    lean = "import sys, wav2uti, wav2uti.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", lean], check=False).returncode == 0


def test_an_interrupted_command_leaves_nothing(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audio = sine(tmp_path / "speech.wav", 0.5, 16000)
    drawn = DiffusionTask.stream

    def interrupted(*args: Any, **options: Any) -> Iterator[Tensor]:
        yield next(drawn(*args, **options))
        raise KeyboardInterrupt

    monkeypatch.setattr(DiffusionTask, "stream", interrupted)
    out = tmp_path / "out"
    assert main(["predict", f"--audio={audio}", f"--ckpt_path={run.checkpoint}", "--steps=1", f"--output={out}"]) == 130
    assert not list(out.iterdir())


def test_newest_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import os

    from wav2uti.pretrained import FOLDER

    assert newest_checkpoint(tmp_path) == FOLDER
    assert "SIMULATED" in capsys.readouterr().out

    for age, name in enumerate(("new.ckpt", "old.ckpt")):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    assert newest_checkpoint(tmp_path).name == "new.ckpt"

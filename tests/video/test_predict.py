"""`wav2uti predict` and `load(...).generate(...)`: what is written, and that it is in step with the sound."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import h5py
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
from wav2uti.video.given import from_shards
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


def test_a_folder_is_drawn_file_by_file(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is bad is told, the others are drawn with one model, and each keeps its folder, text and TextGrid."""
    loaded: list[object] = []
    monkeypatch.setattr("wav2uti.video.predict.load", lambda *given: loaded.append(given) or load(*given))
    rec = tmp_path / "rec"
    for day in ("day1", "day2"):
        (rec / day).mkdir(parents=True)
        sine(rec / day / "x.wav", 0.1, 16000)
    (rec / "day1" / "x.txt").write_text("001   ba1 ma1\n16/01/2015 14:39:09\nann,\n")
    grid = (
        'File type = "ooTextFile short"\r\n"TextGrid"\r\n0 0.1 <exists> 1 "IntervalTier" "words" 0 0.1 1 0 0.1 "ta"\r\n'
    )
    (rec / "day2" / "x.TextGrid").write_bytes(grid.encode("utf-16"))
    (rec / "bad.wav").write_text("no sound")
    sine(rec / "grid.wav", 0.1, 16000)
    (rec / "grid.TextGrid").write_text("no grid")
    reference = tmp_path / "frame.png"
    Image.fromarray(np.full((16, 16), 90, np.uint8)).save(reference)
    out = tmp_path / "out"
    options = [f"--ckpt_path={run.checkpoint}", "--steps=1", "--guidance.scale=1", f"--reference={reference}"]
    assert main(["predict", "--audio", str(rec), f"--output={out}", "--seed=4", "--format=h5", *options]) == 1
    assert len(loaded) == 1
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if "bad.wav cannot be read as sound" in line]
    assert [line for line in said if "grid.TextGrid is broken" in line]
    assert said[-1].startswith("wav2uti predict: 2 of 4 sounds could not be drawn: ")
    assert f"{rec / 'bad.wav'}, {rec / 'grid.wav'}" in said[-1]
    files = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert {name for name in files if name.endswith(".h5")} == {"day1/x.h5", "day2/x.h5"}
    assert (out / "day2" / "x.TextGrid").read_bytes() == grid.encode("utf-16")
    assert "day1/x.TextGrid" not in files
    titles = {}
    for day in ("day1", "day2"):
        with Image.open(out / day / "x.png") as sheet:
            titles[day] = sheet.text["Title"]
    assert titles["day1"].startswith("x: ba1 ma1 (")
    assert titles["day2"].startswith("x: ta (")

    # The same seed, steps and reference frame as of a single file.
    single = [f"--audio={rec / 'day1' / 'x.wav'}", f"--output={tmp_path / 'single'}", "--seed=4", "--format=h5"]
    assert main(["predict", *single, *options]) == 0
    with h5py.File(out / "day1" / "x.h5") as one, h5py.File(tmp_path / "single" / "x.h5") as other:
        np.testing.assert_array_equal(one["frames"][:], other["frames"][:])
        assert list(one.attrs["seeds"]) == [4]


def test_what_is_of_one_file_is_refused_for_several(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = sine(tmp_path / "a.wav", 0.1, 16000), sine(tmp_path / "b.wav", 0.1, 16000)
    for options, sentence in [
        (["--audio", str(one), str(two), "--text=ba"], "put NAME.txt beside each NAME.wav"),
        (["--audio", str(tmp_path), "--textgrid=x.TextGrid"], "put NAME.TextGrid beside each NAME.wav"),
        (["--shards=x", "--recording=y", "--textgrid=x.TextGrid"], "--textgrid goes with --audio"),
        (["--shards=x"], "Give the speech as --audio FILES"),
        (["--audio", str(one), "--shards=x", "--recording=y"], "Give the speech as --audio FILES"),
        ([], "Give the speech as --audio FILES"),
    ]:
        assert main(["predict", f"--ckpt_path={run.checkpoint}", f"--output={tmp_path / 'out'}", *options]) == 2
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_lies_beside_a_sound_is_not_overwritten(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder of AAA's recordings holds splines of its own."""
    audio = sine(tmp_path / "x.wav", 0.1, 16000)
    (tmp_path / "x_splines.csv").write_text("AAA's own")
    options = ["predict", f"--audio={audio}", f"--ckpt_path={run.checkpoint}", "--steps=1", f"--output={tmp_path}"]
    assert main(options) == 2
    assert "x_splines.csv lies beside its sound and would be overwritten" in capsys.readouterr().err
    (tmp_path / "x_splines.csv").rename(tmp_path / "x.TextGrid")
    assert main([*options, f"--textgrid={tmp_path / 'y.TextGrid'}"]) == 2
    assert "x.TextGrid lies beside" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"x.wav", "x.TextGrid"}


def test_words_and_phones_of_a_corpus_become_a_textgrid(run: Run, tmp_path: Path) -> None:
    textgrid_io = pytest.importorskip("praatio.utilities.textgrid_io")
    given = [f"--shards={run.corpus}", "--recording=s01_u000", f"--output={tmp_path}", "--steps=1"]
    assert main(["predict", *given, f"--ckpt_path={run.checkpoint}", "--guidance.scale=1"]) == 0
    oracle = textgrid_io.parseTextgridStr((tmp_path / "s01_u000.TextGrid").read_text("utf-8"))
    tiers = {tier["name"]: [tuple(entry) for entry in tier["entries"] if entry[2]] for tier in oracle["tiers"]}
    speech = from_shards(run.corpus, "s01_u000")
    for name, intervals in (("words", speech.words), ("phones", speech.phones)):
        assert [label for _, _, label in tiers[name]] == [interval.label for interval in intervals]
        times = [(float(start), float(end)) for start, end, _ in tiers[name]]
        np.testing.assert_allclose(times, [(interval.start, interval.end) for interval in intervals], atol=1 / 60)


def test_the_video_plays_in_browsers(run: Run, tmp_path: Path) -> None:
    """H.264 in yuv420p and AAC, the index before the data; of mean and spread, too."""
    audio = sine(tmp_path / "x.wav", 0.2, 16000)
    options = [f"--ckpt_path={run.checkpoint}", "--steps=1", "--guidance.scale=1", "--samples=2"]
    assert main(["predict", f"--audio={audio}", f"--output={tmp_path / 'out'}", *options]) == 0
    for name in ("x.mp4", "x.spread.mp4"):
        with av.open(str(tmp_path / "out" / name)) as container:
            picture, sound = container.streams.video[0].codec_context, container.streams.audio[0].codec_context
            assert (picture.name, picture.pix_fmt) == ("h264", "yuv420p")
            assert (sound.name, sound.sample_rate, sound.channels) == ("aac", 16000, 1)
            assert picture.width % 2 == picture.height % 2 == 0
        content = (tmp_path / "out" / name).read_bytes()
        assert 0 < content.index(b"moov") < content.index(b"mdat")


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

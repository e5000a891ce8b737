"""The command line as a user meets it: help, results, and one sentence for every mistake."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import lightning.pytorch  # noqa: F401 (its log keeps the stderr of its import, which must not be one test's)
import numpy as np
import pytest
import soundfile
import torch
from conftest import REPOSITORY, Run
from raw_ultrasound import write_recording

from wav2uti.cli import COMMANDS, main


def fails(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """Run a command that must fail, and return its last line on stderr; any other exception fails the test."""
    capsys.readouterr()
    try:
        status = main(args)
    except SystemExit as stop:  # argparse and jsonargparse end so
        status = int(stop.code or 0)
    error = capsys.readouterr().err
    assert status != 0
    return error.strip().splitlines()[-1]


def test_help_needs_no_heavy_import() -> None:
    """`wav2uti --help` must answer at once: Lightning and torch take seconds to import."""
    code = (
        "import sys\nfrom wav2uti.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('torch', 'lightning', 'numpy', 'h5py') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    for name in COMMANDS:
        assert name in done.stdout


@pytest.mark.parametrize("command", ["simulate", "prepare", "predict"])
def test_every_command_explains_its_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert "--text" in capsys.readouterr().out


def test_a_whole_run(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Test from the checkpoint alone, without a config; only metrics.json is written, beside the checkpoint's run."""
    monkeypatch.chdir(tmp_path)
    assert run.checkpoint.is_file()
    sampler = ["--model=DiffusionTask", "--model.sampler=StochasticHeun", "--model.sampler.steps=2"]
    data = [f"--data.shards={run.corpus}", "--data.reference=speaker"]
    trainer = ["--trainer.accelerator=cpu", "--trainer.logger=false", "--trainer.enable_progress_bar=false"]
    assert main(["test", f"--ckpt_path={run.checkpoint}", *sampler, *data, *trainer]) == 0
    scores = json.loads((run.folder / "metrics.json").read_text())
    assert set(scores["scores"]) >= {"rmse", "psnr", "ssim"}
    assert scores["config"]["model"]["class_path"].endswith("DiffusionTask")
    assert (run.folder / "samples.npz").is_file()
    assert scores["simulated"] is True
    assert scores["task"]["steps"] == 2
    assert scores["clips"] > 0
    assert not list(tmp_path.iterdir())


def test_same_seed_same_losses_and_same_frames(simulated: Path, tmp_path: Path) -> None:
    from conftest import fit_debug

    curves, frames = [], []
    for name in ("a", "b"):
        run = fit_debug(simulated, tmp_path / name)
        curves.append(losses(run))
        assert main(["predict", f"--shards={simulated}", "--recording=s00_u000", f"--ckpt_path={run.checkpoint}",
                     f"--output={tmp_path / name}", "--steps=2"]) == 0  # fmt: skip
        frames.append(np.load(tmp_path / name / "s00_u000.npz")["frames"])
    assert curves[0] == curves[1]
    np.testing.assert_array_equal(*frames)
    run = fit_debug(simulated, tmp_path / "c", "--seed_everything=1")
    assert losses(run) != curves[0]


def losses(run: Run) -> list[str]:
    with (run.folder / "metrics.csv").open(newline="") as file:
        return [row["train/loss"] for row in csv.DictReader(file)]


def test_mistakes_get_one_sentence(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    speech = tmp_path / "speech.wav"
    soundfile.write(speech, np.sin(np.arange(16000) / 20), 16000)
    empty = tmp_path / "empty.wav"
    soundfile.write(empty, np.zeros(0), 16000)
    words = tmp_path / "words.wav"
    words.write_text("no sound")
    nan = tmp_path / "nan.wav"
    soundfile.write(nan, np.full(1600, np.nan, dtype=np.float32), 16000, subtype="FLOAT")
    foreign = tmp_path / "foreign.ckpt"
    torch.save({"weights": torch.zeros(3)}, foreign)
    text = tmp_path / "text.ckpt"
    text.write_text("no checkpoint")
    checkpoint = f"--ckpt_path={run.checkpoint}"
    out = f"--output={tmp_path / 'out'}"

    for audio, said in ((tmp_path / "gone.wav", "gone.wav"), (empty, "empty"), (words, "words.wav"), (nan, "nan.wav")):
        assert said in fails(capsys, "predict", f"--audio={audio}", checkpoint, out)
    for path, said in ((tmp_path / "gone.ckpt", "no checkpoint"), (foreign, "foreign.ckpt"), (text, "text.ckpt")):
        assert said in fails(capsys, "predict", f"--audio={speech}", f"--ckpt_path={path}", out)
        assert said in fails(capsys, "test", f"--ckpt_path={path}", f"--data.shards={run.corpus}")
    assert "--audio" in fails(capsys, "predict", checkpoint, out)
    assert "s99" in fails(capsys, "predict", f"--shards={run.corpus}", "--recording=s99", checkpoint, out)
    assert "simulate" in fails(capsys, "test", checkpoint, f"--data.shards={tmp_path}")
    assert "nowhere" in fails(capsys, "prepare", str(tmp_path / "nowhere"), str(tmp_path / "shards"))
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "shards").exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_damaged_shards_are_named(
    simulated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: int
) -> None:
    """A flipped byte in the frames, met in the middle of training, and a shard of another version."""
    (source,) = simulated.glob("*.h5")
    flipped = tmp_path / "flipped"
    flipped.mkdir()
    with h5py.File(source) as file:
        places = [
            file[f"recordings/{id}/frames"].id.get_chunk_info(k).byte_offset + 7
            for id in file["recordings"]
            for k in range(file[f"recordings/{id}/frames"].id.get_num_chunks())
        ]
    damaged = bytearray(source.read_bytes())
    for place in places:
        damaged[place] ^= 1
    (flipped / source.name).write_bytes(damaged)
    newer = tmp_path / "newer"
    newer.mkdir()
    shutil.copy(source, newer)
    with h5py.File(newer / source.name, "a") as file:
        file.attrs["version"] = 3
    config = f"--config={REPOSITORY / 'configs' / 'debug.yaml'}"
    options = (f"--data.num_workers={workers}", f"--trainer.logger.init_args.save_dir={tmp_path}")
    said = fails(capsys, "fit", config, f"--data.shards={flipped}", *options)
    assert source.name in said
    assert "s0" in said
    assert "checksum" in said
    assert "version" in fails(capsys, "fit", config, f"--data.shards={newer}", *options)


def test_a_misspelt_key_is_named(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.yaml"
    config.write_text((REPOSITORY / "configs" / "debug.yaml").read_text().replace("batch_size", "batchsize"))
    assert "batchsize" in fails(capsys, "fit", f"--config={config}", f"--data.shards={run.corpus}")
    assert "chanels" in fails(capsys, "fit", f"--config={REPOSITORY / 'configs' / 'debug.yaml'}",
                              f"--data.shards={run.corpus}", "--model.init_args.net.init_args.chanels=3")  # fmt: skip
    assert "gone.yaml" in fails(capsys, "fit", f"--config={tmp_path / 'gone.yaml'}")
    assert "--config" in fails(capsys, "fit", f"--data.shards={run.corpus}")


def test_an_unknown_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "fitt" in fails(capsys, "fitt")


def test_looking_before_preparing_and_inspecting_after(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_recording(tmp_path / "src", "001")
    assert main(["prepare", "--dry-run", str(tmp_path / "src")]) == 0
    assert "1 recordings, 0.0 minutes, 60 frames at 60 a second." in capsys.readouterr().out
    assert main(["prepare", str(tmp_path / "src"), "--dry_run", "false"]) == 2
    assert "Say where the shards shall go" in capsys.readouterr().err
    assert main(["prepare", str(tmp_path / "src"), str(tmp_path / "out"), "--size=16", "--crop", "1,2,3"]) == 2
    assert "--crop '1,2,3' is no crop: give x, y, width and height in pixels" in capsys.readouterr().err
    assert main(["prepare", str(tmp_path / "src"), str(tmp_path / "out"), "--size=16", "--crop=1,2,3,4"]) == 0
    assert main(["inspect", str(tmp_path / "out"), "001", "--out", str(tmp_path / "sheet.png")]) == 0
    assert "60 of 16 x 16 pixels, 1.000 s at 60 a second" in capsys.readouterr().out
    assert (tmp_path / "sheet.png").is_file()
    assert main(["inspect", str(tmp_path / "out"), "002"]) == 2
    assert "wav2uti inspect: There is no recording" in capsys.readouterr().err


def test_a_mistake_in_the_options_of_a_class_is_its_own_sentence(
    simulated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = REPOSITORY / "configs" / "debug.yaml"
    arguments = ["fit", f"--config={config}", f"--data.shards={simulated}", "--trainer.logger=false"]
    assert main([*arguments, f"--model.init_args.start_from={tmp_path / 'none.ckpt'}"]) == 2
    assert capsys.readouterr().err.startswith(f"wav2uti fit: There is no checkpoint {tmp_path / 'none.ckpt'}")
    assert main([*arguments, "--data.batch_size=0"]) == 2
    assert "wav2uti fit: clip_frames (16) and batch_size (0) must be 1 or more" in capsys.readouterr().err

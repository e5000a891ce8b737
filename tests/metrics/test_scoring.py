import json
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

from wav2uti.errors import InputError
from wav2uti.grey import to_grey
from wav2uti.metrics import pixel, results
from wav2uti.metrics.scorers import Scorers
from wav2uti.metrics.scoring import Scoring

SIZE, FRAMES = 16, 4
PLACES = [("a", 0), ("a", 4), ("a", 8), ("b: with colon", 0), ("c", 0), ("c", 4), ("d", 0)]


class Echo(pl.LightningModule):
    """Generates the real clip with an error that depends on the clip; runs under bf16 where asked."""

    def __init__(self, broken=False):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.facts = {"simulated": True}
        self.broken = broken

    def describe(self):
        return {"sampler": "none", "steps": 3}

    def test_step(self, batch, batch_idx):
        generated = batch["frames"] + batch["error"].view(-1, 1, 1, 1, 1)
        if self.broken:
            generated[-1, 0, 0, 0, 0] = torch.nan
        return {"generated": generated}


class Clips(torch.utils.data.Dataset):
    def __init__(self, places=PLACES):
        self.places = places

    def __len__(self):
        return len(self.places)

    def __getitem__(self, i):
        recording, start = self.places[i]
        progress = (torch.arange(start, start + FRAMES) + 0.5) / 12
        grey = torch.rand(1, FRAMES, SIZE, SIZE, generator=torch.Generator().manual_seed(i)) - 0.9
        return {"frames": grey, "error": torch.tensor(0.01 * (i + 1)), "ids": recording, "progress": progress}


def run(tmp_path, callback=None, model=None, places=PLACES, **options):
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=CSVLogger(tmp_path / "logs"),
        callbacks=[callback or Scoring(str(tmp_path / "metrics.json"))],
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    ckpt = options.get("ckpt_path")
    logged = trainer.test(model or Echo(), DataLoader(Clips(places), batch_size=3), ckpt_path=ckpt, verbose=False)
    return trainer, logged[0]


def expected(name):
    """Mean over frames, then recordings, written out."""
    function, data, recordings = getattr(pixel, name), Clips(), {}
    for i, (recording, _) in enumerate(PLACES):
        real = data[i]["frames"][0]
        score = function(to_grey(real + data[i]["error"]), to_grey(real)).item()
        recordings.setdefault(recording, []).append(score)
    return sum(sum(scores) / len(scores) for scores in recordings.values()) / len(recordings)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_scores_facts_and_log(tmp_path, precision):
    _, logged = run(tmp_path, precision=precision)
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert list(written["scores"])[:3] == ["rmse", "psnr", "ssim"]
    for name in ("rmse", "psnr", "ssim"):
        score = written["scores"][name]
        assert score == pytest.approx(expected(name), rel=1e-9)
        assert logged[f"test/{name}"] == pytest.approx(score, rel=1e-5)
    assert list(written["per_recording"]) == ["a", "b: with colon", "c", "d"]
    facts = {
        "clips": 7,
        "recordings": 4,
        "frames": 28,
        "frames_per_clip": 4,
        "frame_rate": 60,
        "resolution": [16, 16],
        "simulated": True,
        "checkpoint": None,
        "task": {"sampler": "none", "steps": 3},
        "torch": torch.__version__,
    }
    assert {key: written[key] for key in facts} == facts
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["metrics.json", "samples.npz"]


def test_wrapped_scores_only_where_asked(tmp_path):
    run(tmp_path, Scoring(str(tmp_path / "m.json"), uint8_wrapped=True))
    scores = json.loads((tmp_path / "m.json").read_text())["scores"]
    assert scores["rmse_uint8_wrapped"] == pytest.approx(expected("rmse_uint8_wrapped"))
    assert scores["psnr_uint8_wrapped"] == pytest.approx(expected("psnr_uint8_wrapped"))


def test_a_repeated_clip_counts_once(tmp_path):
    run(tmp_path, places=PLACES)
    first = json.loads((tmp_path / "metrics.json").read_text())
    run(tmp_path, places=[*PLACES[:6], ("c", 4)])  # as a distributed sampler fills up
    second = json.loads((tmp_path / "metrics.json").read_text())
    assert (first["clips"], second["clips"]) == (7, 6)


def test_it_is_written_beside_the_run_of_the_checkpoint(tmp_path):
    trainer, _ = run(tmp_path)
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    trainer.save_checkpoint(checkpoint)
    tester = pl.Trainer(
        accelerator="cpu", logger=False, callbacks=[Scoring()], enable_progress_bar=False, default_root_dir=tmp_path
    )
    tester.test(Echo(), DataLoader(Clips(), batch_size=3), ckpt_path=str(checkpoint), verbose=False)
    written = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert written["checkpoint"] == str(checkpoint)


def test_without_a_checkpoint_it_is_written_beside_the_log(tmp_path):
    trainer, _ = run(tmp_path, Scoring())
    assert trainer.log_dir is not None
    assert (Path(trainer.log_dir) / "metrics.json").is_file()


def test_a_clip_that_is_not_finite_is_named(tmp_path):
    with pytest.raises(InputError, match="clip of a holds"):
        run(tmp_path, model=Echo(broken=True))
    assert not (tmp_path / "metrics.json").exists()


def test_an_output_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(InputError, match="folder"):
        Scoring(str(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        run(tmp_path, Scoring(str(tmp_path / "file" / "metrics.json")))


def test_nothing_half_written_replaces_a_file(tmp_path, monkeypatch):
    target = tmp_path / "metrics.json"
    target.write_text("before")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(InputError, match="No space left"):
        results.write_json(target, {"a": 1})
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


class Tongues(Clips):
    """Seven recordings of one clip each: a bright, moving arc in a fan, with all that a corpus may know."""

    size, frames = 48, 9

    def __init__(self):
        super().__init__([(f"r{k}", 0) for k in range(7)])

    def __getitem__(self, i):
        y, x = torch.meshgrid(*[torch.arange(self.size).float()] * 2, indexing="ij")
        radius, angle = torch.hypot(x - 23.5, 47 - y), torch.atan2(x - 23.5, 47 - y)
        t = torch.arange(self.frames).float()[:, None, None]
        surface = 28 + 4 * torch.cos(3 * angle + i) * torch.sin(0.4 * t + i)
        noise = torch.rand(self.frames, self.size, self.size, generator=torch.Generator().manual_seed(i))
        grey = torch.exp(-((radius - surface) ** 2) / 4) + 0.3 * noise * (radius < surface)
        grey = grey * (radius > 8) * (radius < 44) * (angle.abs() < 0.75)
        beams = torch.linspace(-0.6, 0.6, 12)
        depth = 28 + 4 * torch.cos(3 * beams + i) * torch.sin(0.4 * t[:, 0] + i)
        return {
            "frames": grey.clamp(0, 1)[None] * 1.8 - 0.9,
            "error": torch.tensor(0.01 * (i + 1)),
            "ids": f"r{i}",
            "progress": (torch.arange(-2, self.frames + 2) + 0.5) / 30,
            "speakers": f"s{i % 2}",
            "contour": torch.stack([23.5 + depth * beams.sin(), 47 - depth * beams.cos()], dim=-1),
            "mm_per_pixel": torch.tensor(1.5),
        }


class Blurred(Echo):
    """Generates each frame's mean with the next, and lighter."""

    def test_step(self, batch, batch_idx):
        frames = batch["frames"]
        return {"generated": (frames + frames.roll(1, 2)) / 2 + batch["error"].view(-1, 1, 1, 1, 1)}


class TinyVideo(torch.nn.Module):
    """A random video network in the place of I3D: (T, H, W) uint8 to (1, 6)."""

    def __init__(self):
        super().__init__()
        self.weight = torch.randn(6, 1, 3, 5, 5, generator=torch.Generator().manual_seed(0))

    def forward(self, frames, real):
        assert not torch.is_autocast_enabled("cpu")
        x = torch.nn.functional.conv3d(frames[None, None].float() / 255, self.weight, stride=(1, 2, 2))
        return x.relu().mean((2, 3, 4))


class TinyScoring(Scoring):
    """Scores with the small network, which pickles for a spawned process."""

    def scorers(self, device):
        return Scorers(features={"video": TinyVideo()}, sets=("fvd",), contour=True, missing={"fid": "no weights"})


@pytest.mark.slow
def test_everything_on_one_and_on_two_processes(tmp_path):
    """Seven recordings, of which two processes draw eight."""
    written = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        trainer = pl.Trainer(
            accelerator="cpu",
            devices=processes,
            strategy="auto" if processes == 1 else "ddp_spawn",
            logger=False,
            callbacks=[TinyScoring(str(folder / "metrics.json"), keep=3)],
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        )
        trainer.test(Blurred(), DataLoader(Tongues(), batch_size=2), verbose=False)
        with np.load(folder / "samples.npz") as arrays:
            written.append((json.loads((folder / "metrics.json").read_text()), dict(arrays)))
    (one, samples), (two, same_samples) = written
    assert one["clips"] == two["clips"] == 7
    assert (one["recordings"], one["speakers"]) == (7, 2)
    assert {"rmse", "psnr", "ssim", "fvd"} < set(one["scores"])
    assert any(name.startswith("contour") for name in one["scores"])
    assert "fvd_real_halves" in one["levels"]
    for part in ("scores", "intervals", "levels"):
        assert list(one[part]) == list(two[part])
        for name, value in one[part].items():
            assert two[part][name] == pytest.approx(value, rel=1e-5, abs=1e-9), name
    assert one["per_recording"] == two["per_recording"]
    assert one["missing"] == two["missing"] == {"fid": "no weights"}
    for name, array in samples.items():
        np.testing.assert_array_equal(same_samples[name], array)

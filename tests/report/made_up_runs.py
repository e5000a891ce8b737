"""Folders as `wav2uti test` and `wav2uti fit` leave them, made up."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wav2uti.cli import main

MODELS: dict[str, dict[str, Any]] = {
    "DNN": {"task": "RegressionTask", "text": False},
    "A": {"task": "DiffusionTask", "text": False},
    "A+T": {"task": "DiffusionTask", "text": True},
}


def write_run(folder: Path, model: str = "A", side: int = 64, samples: bool = True, **changes: Any) -> Path:
    """A run of 12 clips of 6 recordings; `changes` replace what its metrics.json says."""
    folder.mkdir(parents=True)
    content: dict[str, Any] = {
        "scores": {"rmse": 20.812, "psnr": 21.9, "ssim": 0.638, "rmse_uint8_wrapped": 5.71, "fvd": 301.25},
        "intervals": {"rmse": [19.5, 22.25], "psnr": [21, 22.5]},
        "levels": {"fvd_real_halves": 41.5},
        "missing": {"fid": "FID needs the weights of Inception-v3: put weights.pth into the cache."},
        "clips": 12,
        "recordings": 6,
        "speakers": None,
        "frames_per_clip": 8,
        "frame_rate": 60,
        "frame_step": 1,
        "resolution": [side, side],
        "simulated": True,
        "checkpoint": "runs/x/checkpoints/last.ckpt",
        "task": MODELS.get(model, {}),
        "weights": {"i3d": "0" * 64},
        "date": "2026-01-01T00:00:00+00:00",
        "per_recording": {f"r{number}": {} for number in range(6)},
    }
    (folder / "metrics.json").write_text(json.dumps(content | changes), encoding="utf-8")
    if samples:
        real, generated = clips(side), clips(side)[::-1]
        write_samples(folder, real=real, generated=generated)
    return folder


def clips(side: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Three clips (3, 8, side, side) of a bright bar that stands, falls a line a frame, and falls two."""
    made = np.zeros((3, 8, side, side), dtype=np.uint8)
    for clip in range(3):
        for frame in range(8):
            top = side // 4 + clip * frame
            made[clip, frame, top : top + 2] = 200
    return made


def write_samples(folder: Path, **changes: Any) -> None:
    content = {"ids": np.array(["r0", "r1", "r2"]), "progress": np.array([0.1, 0.2, 0.3])}
    content |= {"simulated": np.array(True), "fps": np.array(60)} | changes
    np.savez(folder / "samples.npz", **content)


def report(output: Path, *args: str | Path) -> Path:
    assert main(["report", *map(str, args), "--output", str(output)]) == 0
    return output


def fails(capsys: pytest.CaptureFixture[str], *args: str | Path) -> str:
    capsys.readouterr()
    assert main(["report", *map(str, args)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


VOID = {"meta", "img", "br", "link", "input", "hr", "source"}


class Page(HTMLParser):
    """Tags with their attributes, the visible text, and whether each tag was closed in its place."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

"""What `wav2uti report` reads of a run: how it is broken, and what is asked of its readers."""

import io
import json
import struct
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from wav2uti.report.clips import matched
from wav2uti.report.curves import draw_curves, losses_of
from wav2uti.report.formats import csv_lines, latex, markdown
from wav2uti.report.page import page
from wav2uti.report.runs import read_runs, read_samples
from wav2uti.report.tables import tables
from wav2uti.report.videos import spoken_groups

# ---- runs

METRICS: dict[str, Any] = {
    "scores": {"rmse": 20.8, "psnr": 21.9, "fvd": 301, "=cmd|'/C calc'!A1": 1.0},
    "intervals": {"rmse": [19.5, 22.25], "psnr": [21, 22.5]},
    "levels": {"fvd_real_halves": 41.5},
    "missing": {"fid": "FID needs <script>alert(1)</script>: put it there."},
    "clips": 12,
    "recordings": 6,
    "speakers": None,
    "frames_per_clip": 8,
    "frame_rate": 60,
    "frame_step": 1,
    "resolution": [16, 16],
    "simulated": True,
    "checkpoint": "runs/x/checkpoints/last.ckpt",
    "task": {"task": "DiffusionTask", "text": True, "net": {"a": [1, 2]}},
    "weights": {"i3d": "0" * 64},
    "date": "2026-01-01T00:00:00+00:00",
    "per_recording": {"r0": {}},
}
_TEXTS = ["<script>alert(1)</script>", "=1+1", "\ud800", "a\nb", "\x1b[2J", "$\\frac{", "\\end{table}", "../../x", "|"]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.sampled_from([10**400, -(10**400), 1e300])
    | st.text(max_size=10)
    | st.sampled_from(_TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*_TEXTS, "rmse", "a"]), inner),
    max_leaves=5,
)


@st.composite
def nearly_metrics(draw: st.DrawFn) -> bytes:
    """The JSON of a run, some of whose values are others."""
    content = dict(METRICS)
    for _ in range(draw(st.integers(1, 3))):
        key = draw(st.sampled_from(sorted(METRICS)))
        inner = content[key]
        if isinstance(inner, dict) and draw(st.booleans()):
            name = draw(st.sampled_from([*inner, *_TEXTS]))
            content[key] = inner | {name: draw(JSON | st.sampled_from(_TEXTS))}
        else:
            content[key] = draw(JSON)
    return json.dumps(content).encode("utf-8", errors="surrogatepass")


class Checked(HTMLParser):
    """Refuses a page into which something was written that is not its own."""

    scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not any(name.startswith("on") for name, _ in attrs)
        self.scripts += tag == "script"


def read_run(folder: Path, content: bytes) -> None:
    (folder / "metrics.json").write_bytes(content)
    (folder / "other").mkdir(exist_ok=True)
    (folder / "other" / "metrics.json").write_text(json.dumps(METRICS), encoding="utf-8")
    runs = read_runs([folder, folder / "other"])
    made = tables(runs, paper=True)
    for text in (markdown(made), latex(made), csv_lines(runs, paper=True)):
        text.encode()
        assert "\x1b" not in text
    assert "\n=" not in csv_lines(runs)
    assert ",=" not in csv_lines(runs)
    shown = page(runs, made, [], [], [], [], "2026-01-01")
    shown.encode()
    parser = Checked()
    parser.feed(shown)
    assert parser.scripts == 1


CURVE = "epoch,step,train/loss,val/loss\n0,9,0.5,\n0,19,0.25,\n0,19,,0.75\n1,29,nan,\n"


def read_curve(folder: Path, content: bytes) -> None:
    (folder / "metrics.json").write_text(json.dumps(METRICS), encoding="utf-8")
    (folder / "metrics.csv").write_bytes(content)
    (run,) = read_runs([folder])
    losses = losses_of(run)
    for steps, values in losses.values():
        assert len(steps) == len(values) > 0
        assert np.isfinite(values).all()
    if losses:
        draw_curves(folder / "curves.png", [run], [losses])


def samples(**changes: Any) -> bytes:
    rng = np.random.default_rng(0)
    clips = rng.integers(0, 255, (2, 3, 16, 16), dtype=np.uint8)
    content = {"generated": clips, "real": clips[::-1], "ids": np.array(["a", "b"]), "progress": np.array([0.0, 0.5])}
    file = io.BytesIO()
    np.savez_compressed(file, **(content | {"fps": np.array(60)} | changes))
    return file.getvalue()


_HEADERS = [
    "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3, 16, 16), }",
    "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3, 16, 16), }",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 1000000), }",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 3), }",
    "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (), }",
    "{'descr': '<U1000000000', 'fortran_order': False, 'shape': (2,), }",
    "{'descr': '|V0', 'fortran_order': False, 'shape': (2,), }",
    "{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (2,), }",
    "[[[[[[",
]


@st.composite
def nearly_samples(draw: st.DrawFn) -> bytes:
    """An archive of arrays with headers and members that none has."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("generated", "real", "ids", "progress", "fps"):
            header = draw(st.sampled_from(_HEADERS))
            version = draw(st.sampled_from([1, 1, 2, 3, 255]))
            size = struct.pack("<H" if version == 1 else "<I", draw(st.sampled_from([len(header) + 1, 0, 60_000])))
            body = draw(st.sampled_from([bytes(1536), b"", bytes(5_000_000), bytes(16)]))
            magic = b"\x93NUMPY" + bytes([version, 0])
            archive.writestr(f"{name}.npy", magic + size + header.encode() + b"\n" + body)
        archive.writestr(draw(st.sampled_from(["../../x.npy", "/x.npy", "generated.npy\x00", "a"])), b"x")
    return file.getvalue()


def read_clips(folder: Path, content: bytes) -> None:
    (folder / "metrics.json").write_text(json.dumps(METRICS), encoding="utf-8")
    (folder / "samples.npz").write_bytes(content)
    (run,) = read_runs([folder])
    kept = read_samples(run)
    assert kept is not None
    assert kept.real.dtype == np.uint8
    assert kept.real.shape == kept.generated.shape
    assert len(kept.places) == len(kept.real)
    clips, _ = matched([run], {0: kept})
    for clip in clips:
        clip.recording.encode()


def read_spoken(folder: Path, content: bytes) -> None:
    (folder / "metrics.json").write_text(json.dumps(METRICS), encoding="utf-8")
    (folder / "predictions").mkdir(exist_ok=True)
    (folder / "predictions" / "a.mp4").write_bytes(content)
    groups, warned = spoken_groups(read_runs([folder]))
    assert len(groups) + len(warned) == 1
    assert all("\n" not in warning for warning in warned)

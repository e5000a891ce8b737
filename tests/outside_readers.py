"""Every reader of bytes from outside but those of corpora's text formats, with files to break for each.

A reader here writes a broken file into a folder, has it read, and checks what came of it. The text formats are in
`corpus/test_properties_of_formats.py`; `test_fuzz.py` and `benchmarks/fuzz.py` run both.
"""

import io
import json
import os
import struct
import tempfile
import zipfile
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from broken_files import Readers, broken
from hypothesis import strategies as st
from made_up_video import write_video
from PIL import Image

from wav2uti.config_files import check_configs
from wav2uti.corpus.formats.table import read_table
from wav2uti.corpus.formats.video import VideoPicture, open_sound
from wav2uti.corpus.readers.search import find_recordings
from wav2uti.corpus.sound import FileSound
from wav2uti.metrics.weights import MissingWeights, read_state
from wav2uti.report.clips import matched
from wav2uti.report.curves import draw_curves, losses_of
from wav2uti.report.formats import csv_lines, latex, markdown
from wav2uti.report.page import page
from wav2uti.report.runs import read_runs, read_samples
from wav2uti.report.tables import tables
from wav2uti.report.videos import spoken_groups
from wav2uti.speech.audio import MAX_HOURS, RATES, read_speech
from wav2uti.video.reference_frame import read_reference

# ---- sound


def encoded(format: str, subtype: str | None = None, rate: int = 16_000, channels: int = 1) -> bytes:
    file = io.BytesIO()
    wave = 0.4 * np.sin(np.arange(1600 * channels)).reshape(-1, channels)
    soundfile.write(file, wave, rate, format=format, subtype=subtype)
    return file.getvalue()


@st.composite
def nearly_wav(draw: st.DrawFn) -> bytes:
    """A wav whose header says what a header may not, or what no file can be."""
    tag = draw(st.sampled_from([1, 1, 1, 3, 3, 6, 7, 2, 17, 0xFFFE, 0, 0xFFFF]))
    channels = draw(st.sampled_from([1, 2, 0, 3, 64, 255, 1024, 1025, 65535]))
    rate = draw(st.sampled_from([16_000, 48_000, 192_000, 192_001, 0, 1, 3999, 44_101, 2**31 - 1, 2**32 - 1]))
    bits = draw(st.sampled_from([16, 8, 24, 32, 64, 0, 1, 12, 65535]))
    align = draw(st.sampled_from([channels * bits // 8 % 65536, 0, 1, 65535]))
    data = draw(st.binary(max_size=200) | st.sampled_from([b"", bytes(4000), np.float32([np.nan, np.inf]).tobytes()]))
    stated = draw(st.sampled_from([len(data), 0, 1, 2**31, 2**31 - 1, 2**32 - 1, len(data) + 1]))
    riff = draw(st.sampled_from([36 + len(data), 0, 2**32 - 1]))
    head = struct.pack("<HHIIHH", tag, channels, rate, rate * align % 2**32, align, bits)
    head += draw(st.sampled_from([b"", b"\x00\x00", struct.pack("<HHI", 22, bits, 0) + bytes(16)]))
    chunks = [b"fmt " + struct.pack("<I", len(head)) + head, b"data" + struct.pack("<I", stated) + data]
    extra = draw(st.sampled_from([b"", b"LIST", b"fact", b"bext", b"cue ", b"smpl", b"PEAK", b"JUNK"]))
    if extra:
        size = draw(st.sampled_from([0, 4, 100, 2**31, 2**32 - 1]))
        chunks.insert(draw(st.integers(0, 2)), extra + struct.pack("<I", size) + bytes(min(size, 100)))
    magic = draw(st.sampled_from([b"RIFF", b"RIFF", b"RIFF", b"RIFX", b"RF64", b"riff"]))
    return magic + struct.pack("<I", riff) + b"WAVE" + b"".join(chunks)


def read_sound(folder: Path, content: bytes) -> None:
    path = folder / "a.wav"
    path.write_bytes(content)
    speech = read_speech(path)
    assert speech.dtype == np.float32
    assert speech.ndim == 1
    assert (np.abs(speech) <= 1).all()
    assert len(speech) <= MAX_HOURS * 3600 * 16_000
    sound = FileSound(path)
    assert RATES[0] <= sound.rate <= RATES[1]
    assert round(sound.facts.samples * 16_000 / sound.rate) in (len(speech) - 1, len(speech), len(speech) + 1)
    if sound.facts.samples < 10**6:
        whole = sound.read(0, sound.facts.samples + 5)
        assert len(whole) == sound.facts.samples
        assert np.isfinite(whole).all()


# ---- video and pictures


@cache
def video(ending: str, codec: str = "") -> bytes:
    with tempfile.TemporaryDirectory() as made:
        path = Path(made) / f"a.{ending}"
        if not codec:
            write_video(path, np.arange(1, 13) / 60, [(0.0, 0.2)])
        else:
            with av.open(str(path), "w") as container:
                stream = container.add_stream(codec, rate=60)
                stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
                for number in range(8):
                    grey = np.full((32, 32), 20 * number, dtype=np.uint8)
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="gray")))
                container.mux(stream.encode(None))
        return path.read_bytes()


LIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n"
CONCAT = b"ffconcat version 1.0\nfile /etc/passwd\n"


def read_video(folder: Path, content: bytes) -> None:
    path = folder / "a.mp4"
    path.write_bytes(content)
    picture = VideoPicture(path, 16, None, hflip=False, shift=0.0)
    last = -np.inf
    for times, frames in picture.blocks():
        assert frames.shape == (len(times), 16, 16)
        assert (np.diff(times, prepend=last) > 0).all()
        last = times[-1]
    if (found := open_sound(path)) is not None:
        sound, start = found
        assert np.isfinite(start)
        assert np.isfinite(sound.read(0, 1000)).all()


def pictured(format: str, mode: str = "L") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.arange(400, dtype=np.uint8).reshape(20, 20)).convert(mode).save(file, format=format)
    return file.getvalue()


def read_picture(folder: Path, content: bytes) -> None:
    (folder / "a.png").write_bytes(content)
    frame = read_reference(folder / "a.png", 16)
    assert frame.shape == (16, 16)
    assert frame.dtype == np.uint8


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


# ---- weights and models


@cache
def weights(kind: str) -> bytes:
    import torch
    from safetensors.torch import save

    state = {"w": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(3)}
    if kind == "safetensors":
        return save(state)
    file = io.BytesIO()
    torch.save(state, file, _use_new_zipfile_serialization=kind == "zip")
    return file.getvalue()


def read_weights(folder: Path, named: tuple[str, bytes]) -> None:
    ending, content = named
    (folder / f"net.{ending}").write_bytes(content)
    _, state = read_state("fvd", folder / f"net.{ending}")
    assert all(type(name) is str for name in state)


@cache
def model_files() -> dict[str, bytes]:
    """A random BERT of one layer, twelve positions and the letters a to e."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    torch.manual_seed(0)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcde"]
    with tempfile.TemporaryDirectory() as made:
        BertTokenizer(vocab={word: index for index, word in enumerate(words)}).save_pretrained(made)
        BertModel(
            BertConfig(
                vocab_size=len(words), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
                max_position_embeddings=12,
            )
        ).save_pretrained(made)  # fmt: skip
        return {path.name: path.read_bytes() for path in sorted(Path(made).iterdir()) if path.is_file()}


@st.composite
def nearly_model(draw: st.DrawFn) -> tuple[str, bytes]:
    """The name of one of its files, and what it now holds."""
    name = draw(st.sampled_from(sorted(model_files())))
    return name, draw(broken(model_files()[name]))


def read_model(folder: Path, named: tuple[str, bytes]) -> None:
    from wav2uti.speech.textual import Bert

    for name, content in model_files().items():
        (folder / name).write_bytes(content)
    (folder / named[0]).write_bytes(named[1])
    encoder = Bert(str(folder))
    tokens = encoder.encode("a b c")
    assert tokens.shape[1] == encoder.width
    assert len(encoder.spans("a b c")) >= 0


def stored_features() -> bytes:
    file = io.BytesIO()
    np.save(file, np.ones((3, 4), dtype=np.float32))
    return file.getvalue()


def read_features(folder: Path, content: bytes) -> None:
    import torch

    from wav2uti.metrics.frechet import cached_features

    (folder / "key.npy").write_bytes(content)
    assert isinstance(cached_features(folder, "key", lambda: torch.ones(3, 4)), torch.Tensor)


CONFIG = b"""# A head.
seed_everything: 0
model: &model
  class_path: wav2uti.tasks.diffusion.DiffusionTask
  init_args: {width: 8, rates: [1, 2], name: "x", note: null, scale: 5.0e-4}
data:
  <<: *model
  shards: ../data
  again: [*model, *model]
"""


def read_config(folder: Path, content: bytes) -> None:
    (folder / "a.yaml").write_bytes(content)
    check_configs([f"--config={folder / 'a.yaml'}"])


# ---- tables beside a corpus

ABOUT = "id;video;ult;speaker;task;offset;crop\n001;;;S1;stn;0,02;\n;;001.ult;S2;vowel;-1e-2;auto\n"
NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60
) | st.binary(min_size=1, max_size=60).map(lambda name: os.fsdecode(name.translate(None, b"/\0")) or "a")


def read_about(folder: Path, content: bytes) -> None:
    (folder / "001.ult").write_bytes(bytes(16))
    (folder / "a.csv").write_bytes(content)
    for candidate in find_recordings(folder / "001.ult", about=read_table(folder / "a.csv")):
        assert candidate.path.is_file()


def read_named(folder: Path, name: str) -> None:
    """Recordings of any name get ids that can be stored and shown."""
    inner = Path(tempfile.mkdtemp(dir=folder))
    try:
        (inner / f"{name}.ult").write_bytes(b"x")
        (inner / f"{name}.mp4").write_bytes(b"x")
    except (UnicodeEncodeError, OSError):  # no name on this system
        return
    for candidate in find_recordings(inner) if not name.startswith(".") else []:
        assert "/" not in candidate.id
        assert not candidate.id.startswith(".")
        assert all(ord(character) > 31 for character in candidate.id)
        candidate.id.encode()


OUTSIDE: Readers = {
    "wav": (read_sound, nearly_wav() | broken(encoded("WAV"), encoded("WAV", "FLOAT", 48_000, 2))),
    "wav of other kinds": (
        read_sound,
        broken(encoded("WAV", "PCM_24"), encoded("WAV", "PCM_U8", 22_050), encoded("WAV", "IMA_ADPCM"), encoded("W64")),
    ),
    "flac, ogg, mp3, aiff": (
        read_sound,
        broken(encoded("FLAC"), encoded("OGG", "VORBIS"), encoded("MP3", None, 44_100, 2), encoded("AIFF")),
    ),
    "video": (
        read_video,
        broken(video("mkv"), video("avi", "mpeg4"), video("mp4", "libx264"), LIST, CONCAT),
    ),
    "picture": (
        read_picture,
        broken(pictured("PNG"), pictured("PNG", "P"), pictured("JPEG"), pictured("BMP"), pictured("TIFF")),
    ),
    "metrics.json": (read_run, nearly_metrics() | broken(json.dumps(METRICS).encode())),
    "metrics.csv": (read_curve, broken(CURVE.encode())),
    "samples.npz": (
        read_clips,
        st.sampled_from([samples(fps=np.array(50)), samples(ids=np.array(["\ud800", "b"])), samples(real=np.zeros(3))])
        | nearly_samples()
        | broken(samples()),
    ),
    "predictions": (read_spoken, broken(video("mp4", "libx264"), LIST)),
    "weights": (
        read_weights,
        st.one_of(
            st.tuples(st.just("pt"), st.deferred(lambda: broken(weights("zip"), weights("legacy")))),
            st.tuples(st.just("safetensors"), st.deferred(lambda: broken(weights("safetensors")))),
        ),
    ),
    "cache of features": (read_features, broken(stored_features())),
    "config": (read_config, broken(CONFIG)),
    "model folder": (read_model, nearly_model()),
    "about": (read_about, broken(ABOUT.encode())),
    "names of files": (read_named, NAMES),
}
REFUSALS = (MissingWeights,)
SLOW = {"model folder": 15, "metrics.csv": 8, "video": 2, "predictions": 2, "metrics.json": 2, "samples.npz": 2}

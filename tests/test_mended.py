"""Broken files that a reader once answered with a traceback, or with memory that it had only been told of.

`mended.json` says of each which reader it was and what happened; `benchmarks/fuzz.py` publishes it beside its counts.
"""

import io
import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("hypothesis")
from broken_files import outcome
from outside_media import LIST, encoded, video
from outside_readers import OUTSIDE, REFUSALS, model_files, weights
from outside_runs import CURVE, METRICS, samples
from test_fuzz import text_readers

MENDED = json.loads((Path(__file__).parent / "mended.json").read_text(encoding="utf-8"))


def header(tag: int, channels: int, rate: int, bits: int) -> bytes:
    """A wav of no samples to speak of."""
    head = struct.pack("<HHIIHH", tag, channels, rate, rate, max(channels * bits // 8, 1) % 65536, bits)
    return (
        b"RIFF"
        + struct.pack("<I", 48)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + head
        + b"data\x04\x00\x00\x00"
        + bytes(4)
    )


def run(**changes: Any) -> bytes:
    return json.dumps(METRICS | changes).encode("utf-8", errors="surrogatepass")


def model(name: str, **changes: Any) -> tuple[str, bytes]:
    return name, json.dumps(json.loads(model_files()[name]) | changes).encode()


def npz(name: str, descr: str, shape: tuple[int, ...]) -> bytes:
    """The clips of a run, of which one array states what it has not."""
    import zipfile

    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(samples())) as good, zipfile.ZipFile(file, "w") as made:
        for entry in good.namelist():
            text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
            bad = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(100)
            made.writestr(entry, bad if entry == f"{name}.npy" else good.read(entry))
    return file.getvalue()


def npy(header: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header.encode() + b"\n" + bytes(100)


INPUTS: dict[str, Any] = {
    "a rate of 2 GHz": lambda: header(1, 1, 2**31 - 1, 16),
    "1024 channels": lambda: encoded("WAV", channels=1024),
    "infinite samples of two channels": lambda: encoded_floats([3e38, 3e38]),
    "whole numbers beyond all floats": lambda: run(scores={"rmse": 10**400, "psnr": 20.0}),
    "half a character in a name": lambda: run(scores={"\ud800": 1.0}, checkpoint="\udfff"),
    "a line break in a name": lambda: run(weights={"a\nb\x1b[2J": "c"}),
    "steps beyond all": lambda: CURVE.replace("19", "1e300").encode(),
    "losses that no axis shows": lambda: CURVE.replace("0.25", "1e308").encode(),
    "a formula without an end as a name": lambda: CURVE.replace("train/loss", "train/$\\frac{loss").encode(),
    "a cell of five thousand brackets": lambda: CURVE.replace("0.5", "0.5" + "[" * 5000).encode(),
    "an array of a terabyte": lambda: npz("real", "|u1", (1_000_000, 1_000_000)),
    "an array without a type": lambda: npz("progress", "|V0", (2,)),
    "names of a gigabyte": lambda: npz("ids", "<U500000000", (2,)),
    "frames of one line": lambda: samples(
        **dict.fromkeys(("real", "generated"), np.zeros((2, 3, 1, 30_000), np.uint8))
    ),
    "a list of addresses": lambda: LIST,
    "the same as a prediction": lambda: LIST,
    "no stream in a prediction": lambda: video("mp4", "libx264")[:200],
    "a text longer than the file": lambda: (
        "pt",
        weights("legacy").replace(b"X\x10\x00\x00\x00", b"X\xff\xff\xff\x7f", 1),
    ),
    "a tokenizer for infinitely many tokens": lambda: model("tokenizer_config.json", model_max_length=float("inf")),
    "a tokenizer for less than no token": lambda: model("tokenizer_config.json", model_max_length=-1),
    "a tokenizer for a word of tokens": lambda: model("tokenizer_config.json", model_max_length="many"),
    "four thousand million layers": lambda: model("config.json", num_hidden_layers=4294967297),
    "an id of five thousand letters": lambda: f"id;text\n{'9' * 5000};a\n".encode(),
    "scanlines of 268 million samples": lambda: big_frame(),
    "splines of a thousand points": lambda: splines_of_many(),
    "a name in another encoding": lambda: os.fsdecode(b"\xff\xfe"),
    "a name with a line break": lambda: "a\nb",
    "a name as long as names may be": lambda: "a" * 251,
    "a header that numpy's tokenizer cannot end": lambda: npy("{'descr': ('"),
    "features of a terabyte": lambda: npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }"),
    "NUL in a prompt": lambda: b"gap\0\r\n16/01/2015 14:39:09\r\nS\x1b[2J1,\r\n",
}


def encoded_floats(values: list[float]) -> bytes:
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, np.float32([values] * 100), 16_000, format="WAV", subtype="FLOAT")
    return file.getvalue()


def big_frame() -> tuple[bytes, bytes]:
    from test_properties_of_formats import PARAM

    return PARAM.replace("NumVectors=8", "NumVectors=4096").replace("Vector=16", "Vector=65536").encode(), bytes(100)


def splines_of_many() -> bytes:
    return b"h\n" + b"S1\t1\t0\tgap\t100000\t1\n" * 5000


# Inputs that were always answered well, and whose answer must not change.
SOUND = {
    "a rate of 2 GHz": ("wav", "refused"),
    "1024 channels": ("wav", "read"),
    "steps beyond all": ("metrics.csv", "read"),
    "a formula without an end as a name": ("metrics.csv", "read"),
    "frames of one line": ("samples.npz", "refused"),
    "a list of addresses": ("video", "refused"),
    "the same as a prediction": ("predictions", "read"),
    "no stream in a prediction": ("predictions", "read"),
    "scanlines of 268 million samples": ("ult", "refused"),
    "splines of a thousand points": ("splines", "refused"),
    "NUL in a prompt": ("prompt", "read"),
}
ANSWERS = SOUND | {entry["input"]: (entry["reader"], entry["now"]) for entry in MENDED}


@pytest.mark.parametrize("what", INPUTS)
def test_what_was_mended_stays_so(what: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    reader, told = ANSWERS[what]
    read, _ = {**text_readers(), **OUTSIDE}[reader]
    assert outcome(read, tmp_path / "in", INPUTS[what](), REFUSALS) == told


def test_the_list_is_that_of_the_inputs() -> None:
    assert set(ANSWERS) == set(INPUTS)

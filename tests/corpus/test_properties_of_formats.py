"""Broken files of every text format and of raw ultrasound: they are read, or refused by one sentence, and in time.

How they are broken, and what is asked of a reader, is in `broken_files`.
"""

import io
import random

import numpy as np
import pytest
import soundfile

from wav2uti.corpus.formats.param import read_metadata
from wav2uti.corpus.formats.prompt import read_prompt, speaker_of
from wav2uti.corpus.formats.pulses import frame_times, read_pulses
from wav2uti.corpus.formats.splines import contour_of, read_splines
from wav2uti.corpus.formats.table import read_table
from wav2uti.corpus.formats.textgrid import read_textgrid, words_and_phones
from wav2uti.corpus.formats.ultrasound import ScanlinePicture
from wav2uti.corpus.readers.table import TableReader
from wav2uti.corpus.readers.tal import TaLReader
from wav2uti.errors import InputError

pytest.importorskip("hypothesis")
from broken_files import broken, changed, check
from hypothesis import strategies as st

FRAMES, VECTORS, PIXELS = 30, 8, 16

PARAM = (
    "NumVectors=8\r\nPixPerVector=16\r\nZeroOffset=4\r\nBitsPerPixel=8\r\nAngle=0,1\r\nKind=0\r\nPixelsPerMm=0.5\r\n"
    "FramesPerSec=100\r\nTimeInSecsOfFirstFrame=0.01\r\n"
)
LONG_GRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 0.3
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 0.3
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 0.1
            text = ""
        intervals [2]:
            xmin = 0.1
            xmax = 0.3
            text = "say ""ah"" now"
    item [2]:
        class = "TextTier"
        name = "clicks"
        xmin = 0
        xmax = 0.3
        points: size = 1
        points [1]:
            number = 0.2
            mark = "click"
"""
SHORT_GRID = """File type = "ooTextFile short"
"TextGrid"
0
0.3
<exists>
1
"IntervalTier"
"tier_1"
0
0.3
2
0
0.1
"g"
0.1
0.3
"ap"
"""
TABLE = """id;video;text;speaker;task;offset;crop;hflip;split
r1;a.avi;"good; morning";S1;stn;0,02;1 2 30 40;no;train
r2;s\\b.avi;été;S2;vowel;-1e-2;auto;yes;dev
;c.ult;;;;;;;
"""
PROMPT = "001   gap\r\n16/01/2015 14:39:09\r\nUPX_01F_BL2,\r\n"


def splines():
    """Three splines of four points."""
    head = ["client", "date", "time", "prompt", "n", *(f"{name}{i}" for name in ("r", "phi", "c") for i in range(4))]
    values = ["30", "31,5", "32", "33", "-0.3", "-0.1", "0.1", "0.3", "90", "80", "70", "20"]
    rows = [["S1", "1/2/2019", str(time_), "gap", "4", *values] for time_ in (0.0, 0.15, 0.3)]
    return "".join("\t".join(row) + "\n" for row in (head, *rows))


def wav(samples, rate):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def pulses():
    """A pulse of two samples for each frame, at 8 kHz."""
    samples = np.zeros(2400)
    for frame in range(FRAMES - 1):
        samples[80 + 80 * frame :][:2] = 0.5
    return wav(samples, 8_000)


ULT = np.arange(FRAMES * VECTORS * PIXELS, dtype=np.uint8).tobytes()
FILES = {
    "metadata": ("001.param", PARAM.encode()),
    "ultrasound": ("001.ult", ULT),
    "sound": ("001.wav", wav(np.sin(np.arange(4800)) / 2, 16_000)),
    "prompt": ("001.txt", PROMPT.encode()),
    "textgrid": ("001.TextGrid", LONG_GRID.encode()),
    "splines": ("001_splines.csv", splines().encode()),
    "pulses": ("001.sync", pulses()),
}


def read_param(folder, content):
    (folder / "a.param").write_bytes(content)
    metadata = read_metadata(folder / "a.param")
    assert np.isfinite([metadata.rate, metadata.first_time, metadata.geometry.angle]).all()


def read_ultrasound(folder, contents):
    param, ult = contents
    (folder / "a.param").write_bytes(param)
    (folder / "a.ult").write_bytes(ult)
    metadata = read_metadata(folder / "a.param")
    picture = ScanlinePicture(folder / "a.ult", metadata, folder / "a.param", 16)
    for times, frames in picture.blocks():
        assert len(times) == len(frames)
        assert (np.diff(times) > 0).all()
        assert picture.draw(frames).shape == (len(times), 16, 16)


def read_grid(folder, content):
    (folder / "a.TextGrid").write_bytes(content)
    for intervals in words_and_phones(read_textgrid(folder / "a.TextGrid"), "gap"):
        assert all(interval.start <= interval.end and interval.label for interval in intervals)


def read_rows(folder, content):
    (folder / "a.csv").write_bytes(content)
    rows = read_table(folder / "a.csv")
    assert all(row.id or {"video", "ultrasound"} & row.files.keys() for row in rows)
    for candidate in TableReader().find(folder / "a.csv"):  # whose files are all missing
        with pytest.raises(InputError, match="There is no file"):
            candidate.reader.open(candidate, 16)


def read_contour(folder, content):
    (folder / "a.csv").write_bytes(content)
    (folder / "a.param").write_text(PARAM)
    found = read_splines(folder / "a.csv")
    assert (np.diff(found.times) > 0).all()
    contour = contour_of(found, np.arange(18) / 60, 0.15, read_metadata(folder / "a.param").geometry, 16)
    assert contour is None or (len(contour) == 18 and np.isfinite(contour).all())


def read_what_was_said(folder, content):
    (folder / "a.txt").write_bytes(content)
    assert speaker_of(folder / "a.txt", read_prompt(folder / "a.txt"))


def read_times(folder, content):
    (folder / "a.sync").write_bytes(content)
    (folder / "a.param").write_text(PARAM)
    found = read_pulses(folder / "a.sync")
    assert (np.diff(found) > 0).all()
    times = frame_times(found, read_metadata(folder / "a.param"), FRAMES, folder / "a.sync")
    assert len(times) == FRAMES
    assert (np.diff(times) > 0).all()


def read_recording(folder, changed_file):
    """A whole recording, one file of which is broken."""
    role, content = changed_file
    for name, valid in FILES.values():
        (folder / name).write_bytes(valid)
    (folder / FILES[role][0]).write_bytes(content)
    for candidate in TaLReader().find(folder / "001.ult"):
        recording = candidate.reader.read(candidate, 16)
        assert recording.frames.shape[1:] == (16, 16)


FORMATS = {
    "param": (read_param, broken(PARAM.encode())),
    "ult": (
        read_ultrasound,
        st.tuples(
            st.just(PARAM.encode()) | changed(PARAM.encode()),
            broken(ULT) | st.integers(0, FRAMES).map(lambda frames: ULT[: frames * VECTORS * PIXELS]),
        ),
    ),
    "textgrid": (read_grid, broken(LONG_GRID.encode(), SHORT_GRID.encode())),
    "table": (read_rows, broken(TABLE.encode())),
    "splines": (read_contour, broken(splines().encode())),
    "prompt": (read_what_was_said, broken(PROMPT.encode())),
    "pulses": (read_times, broken(pulses())),
    "recording": (
        read_recording,
        st.sampled_from(sorted(FILES)).flatmap(lambda role: st.tuples(st.just(role), broken(FILES[role][1]))),
    ),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_some_broken_files(kind, tmp_path):
    (tmp_path / "in").mkdir()
    check(*FORMATS[kind], tmp_path / "in", examples=75)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
def test_ten_thousand_broken_files(kind, tmp_path):
    (tmp_path / "in").mkdir()
    check(*FORMATS[kind], tmp_path / "in", examples=1300, random=random.randrange(2**32))

"""Metadata files: made-up ones for every mistake, real ones of five corpora."""

import pytest
from raw_ultrasound import write_metadata

from wav2uti.corpus.formats.param import read_metadata
from wav2uti.errors import InputError


def test_decimal_commas_any_order_and_garbage_lines(tmp_path):
    path = tmp_path / "a.param"
    write_metadata(path)
    path.write_bytes(b"\xef\xbb\xbf# exported\r\n\r\nnot a pair\r\n" + path.read_bytes() + b"Comment=a=b\r\n")
    metadata = read_metadata(path)
    assert (metadata.geometry.vectors, metadata.geometry.pixels) == (8, 16)
    assert (metadata.geometry.angle, metadata.rate, metadata.first_time) == (0.1, 100.0, 0.25)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"FramesPerSec": None, "Angle": None}, "does not state Angle, FramesPerSec"),
        ({"BitsPerPixel": "16"}, "only 8 bits"),
        ({"FramesPerSec": "fast"}, "FramesPerSec=fast"),
        ({"FramesPerSec": "0"}, "FramesPerSec=0"),
        ({"FramesPerSec": "nan"}, "FramesPerSec=nan"),
        ({"TimeInSecsOfFirstFrame": "-1e300"}, "TimeInSecsOfFirstFrame=-1e300"),
        ({"ZeroOffset": "-1"}, "ZeroOffset=-1"),
        ({"NumVectors": "1"}, "NumVectors=1"),
        ({"NumVectors": "63,5"}, "NumVectors=63,5"),
        ({"PixPerVector": "1e300"}, "PixPerVector=1e300"),
        ({"Angle": "2.2"}, "radians"),
        ({"Angle": "1e300"}, "radians"),
    ],
)
def test_every_mistake_is_one_sentence(tmp_path, changes, reason):
    path = tmp_path / "a.param"
    write_metadata(path, **changes)
    with pytest.raises(InputError) as caught:
        read_metadata(path)
    message = str(caught.value)
    assert reason in message
    assert message.startswith(str(path))
    assert message.endswith(".")
    assert "\n" not in message


def test_garbage_is_a_sentence(tmp_path):
    path = tmp_path / "a.param"
    path.write_bytes(bytes(range(256)) * 4)
    with pytest.raises(InputError, match="does not state NumVectors"):
        read_metadata(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_metadata(tmp_path / "nowhere.param")


def test_real_metadata_of_five_corpora(shared):
    paths = [*(shared / "param_fixtures").rglob("*.param"), *(shared / "param_fixtures").rglob("*US.txt")]
    found = {path.name: read_metadata(path) for path in paths}
    assert len(found) == 7
    nominal = {name for name, metadata in found.items() if not metadata.true_scale}
    assert nominal == {"sample.param", "07F-028A.param"}  # the two of UltraSuite
    depth = {n: m.geometry.pixels / m.geometry.pixels_per_mm for n, m in found.items() if n not in nominal}
    assert depth.pop("P1_01US.txt") == pytest.approx(20)  # a larynx
    assert all(69 < mm < 81 for mm in depth.values())

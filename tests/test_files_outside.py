"""Files from outside: nothing is waited for, and no room is made for what they only state."""

import io
import os
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from wav2uti.errors import InputError
from wav2uti.files import check_ordinary, content_of, read_arrays
from wav2uti.speech.audio import BLOCK, read_speech


def test_content_is_whole_or_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert content_of(tmp_path / "a", 5) == b"12345"
    with pytest.raises(InputError, match="is larger than"):
        content_of(tmp_path / "a", 4)
    with pytest.raises(InputError, match="a folder"):
        content_of(tmp_path, 4)
    for name in ("b", "b" * 300, "b\0"):
        with pytest.raises(InputError, match="no such file"):
            content_of(tmp_path / name, 4)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this system")
def test_pipes_devices_and_loops(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name, sentence in (("pipe", "a pipe or a device"), ("zero", "a pipe or a device"), ("loop", "no such file")):
        with pytest.raises(InputError, match=sentence):
            check_ordinary(tmp_path / name)


def archive(path: Path, header: str, content: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + content)
    return path


def test_arrays_are_those_of_numpy(tmp_path: Path) -> None:
    arrays = {"a": np.arange(6).reshape(2, 3), "b": np.array(["é", "ab"]), "c": np.array(60), "d": np.zeros((0, 3))}
    arrays["e"] = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    read = read_arrays(tmp_path / "a.npz", tuple(arrays), 10_000)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == array.dtype
    with pytest.raises(ValueError, match="more than"):
        read_arrays(tmp_path / "a.npz", tuple(arrays), sum(array.nbytes for array in arrays.values()) - 1)
    with pytest.raises(ValueError, match="holds no z"):
        read_arrays(tmp_path / "a.npz", ("z",), 10_000)


@pytest.mark.parametrize(
    ("descr", "shape"), [("|u1", "(1000000000, 1000000)"), ("|u1", "(1000,)"), ("|u1", "(-1,)"), ("|O", "(2,)")]
)
def test_an_array_that_states_what_it_has_not(tmp_path: Path, descr: str, shape: str) -> None:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n"
    path = archive(tmp_path / "a.npz", header, bytes(10))
    tracemalloc.start()
    with pytest.raises(ValueError):
        read_arrays(path, ("a",), 1 << 20)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_an_archive_that_unpacks_to_more_than_it_states(tmp_path: Path) -> None:
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (1000,), }\n"
    path = archive(tmp_path / "a.npz", header, bytes(200 << 20))
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    with pytest.raises(ValueError, match="not as long"):
        read_arrays(path, ("a",), 1 << 20)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("rate", "channels"), [(192_000, 1), (48_000, 64), pytest.param(191_999, 1, marks=pytest.mark.slow)]
)
def test_memory_of_a_sound_is_that_of_its_speech(tmp_path: Path, rate: int, channels: int) -> None:
    """Twelve blocks of samples take, beside the speech, what one and its filter do, which is long for an odd rate."""
    frames = 12 * BLOCK // channels
    with soundfile.SoundFile(tmp_path / "a.wav", "w", rate, channels, subtype="PCM_16") as file:
        for _ in range(12):
            file.write(np.full((BLOCK // channels, channels), 0.1))
    read_speech(tmp_path / "a.wav")  # the filter is kept for the next file
    tracemalloc.start()
    speech = read_speech(tmp_path / "a.wav")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert abs(len(speech) - frames * 16_000 / rate) <= 1
    assert peak < 1.3 * speech.nbytes + (450 << 20 if rate == 191_999 else 9 * 4 * BLOCK)


def test_a_stated_length_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    """A sparse file of seven hours, with a header that is right."""
    size = 7 * 3600 * 16_000 * 2
    file = io.BytesIO()
    soundfile.write(file, np.zeros(1), 16_000, format="WAV", subtype="PCM_16")
    head = bytearray(file.getvalue()[:44])
    head[40:44] = size.to_bytes(4, "little")
    head[4:8] = (size + 36).to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(head)
    os.truncate(tmp_path / "a.wav", 44 + size)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"is 7\.0 hours long"):
        read_speech(tmp_path / "a.wav")
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()

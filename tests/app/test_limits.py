"""What one user may ask of the page."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from wav2uti.app.limits import Limits, check_length
from wav2uti.errors import InputError


def sound(path: Path, seconds: float, rate: int = 8000) -> Path:
    soundfile.write(path, np.zeros(round(seconds * rate), np.float32), rate)
    return path


def test_a_recording_as_long_as_is_allowed_will_do(tmp_path: Path) -> None:
    check_length(sound(tmp_path / "a.wav", 2), 2)


def test_a_longer_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="longer than 2 s"):
        check_length(sound(tmp_path / "a.flac", 2.01), 2)


def test_what_is_no_sound_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_text("no sound")
    with pytest.raises(InputError, match="cannot be read as sound"):
        check_length(path, 2)


def test_limits_that_leave_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="max_seconds"):
        Limits(seconds=0)
    with pytest.raises(InputError, match="max_megabytes"):
        Limits(megabytes=float("nan"))
    assert Limits(megabytes=1.5).bytes == 1.5 * 2**20

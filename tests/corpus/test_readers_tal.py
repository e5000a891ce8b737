"""TaL: synthetic ultrasound of the declared shape beside a real recording's other files."""

import warnings

import numpy as np
import pytest
import soundfile

from wav2uti.clock import samples_at
from wav2uti.corpus.formats.param import read_metadata
from wav2uti.corpus.readers.tal import TaLReader
from wav2uti.corpus.sync import Synchronised, read_whole
from wav2uti.errors import InputError

FRAMES, BANDS, STEP = 365, 8, 5


@pytest.fixture
def recording_088(shared, tmp_path):
    """The files of 088 with an .ult whose grey tells the number of the frame.

    A band of eight scanlines counts fifty frames in steps of five greys; together they count 400.
    """
    for ending in ("param", "wav", "sync", "txt", "mp4"):
        (tmp_path / f"088_aud.{ending}").symlink_to(shared / f"tal_without_ult/088_aud.{ending}")
    index = np.arange(FRAMES)[:, None]
    grey = np.clip(STEP * (index - 50 * np.arange(BANDS)), 0, 250).astype(np.uint8)
    raw = np.broadcast_to(np.repeat(grey, 64 // BANDS, axis=1)[:, :, None], (FRAMES, 64, 842))
    raw.tofile(tmp_path / "088_aud.ult")
    return tmp_path


def frame_numbers(frames, geometry):
    """Which raw frame, with its fraction, each picture shows."""
    lines = 64 // BANDS * (np.arange(BANDS) + 0.5) - 0.5
    x, y = geometry.to_pixels(60.0, (lines - 31.5) * geometry.angle, frames.shape[1])
    return frames[:, np.rint(y).astype(int), np.rint(x).astype(int)].sum(axis=1, dtype=float) / STEP


def test_frames_stand_at_their_pulses(recording_088):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (candidate,) = TaLReader().find(recording_088)
        assert (candidate.id, "video" in candidate.files) == ("088_aud", False)
        raw = candidate.reader.open(candidate, 64)
    assert raw.picture.kind == "64 x 842 scanlines"
    synchronised = Synchronised(raw)
    frames = np.concatenate(list(synchronised.frames()))
    assert synchronised.start == pytest.approx(0.97092, abs=1 / 48_000)

    samples, rate = soundfile.read(recording_088 / "088_aud.sync")
    quiet = int(0.9 * rate)
    rises = quiet + 1 + np.flatnonzero((samples[quiet + 1 :] > 0.1) & (samples[quiet:-1] <= 0.1))
    pulses = rises[np.diff(rises, prepend=0) > 200] / rate
    metadata = read_metadata(recording_088 / "088_aud.param")
    shown = frame_numbers(frames, metadata.geometry)
    at = synchronised.start + np.arange(len(frames)) / 60
    expected = np.interp(at, pulses[:FRAMES], np.arange(FRAMES))
    # Two bands may be half a grey off each: a fifth of a frame, 2.5 ms.
    np.testing.assert_allclose(shown, expected, atol=0.2)
    assert np.abs(shown - expected).mean() < 0.05
    constant = (at - metadata.first_time) * metadata.rate
    assert (constant - shown)[2:60].mean() == pytest.approx(0.0041 * metadata.rate, abs=0.05)

    recording = read_whole(raw)
    assert (recording.text, recording.task) == ("The mango and the papaya are in a bowl.", "sentence")
    assert len(recording.audio) == samples_at(len(frames))
    # The last of 365 frames lasts a period: 60 a second from the first pulse to there.
    assert len(frames) == int((pulses[FRAMES - 1] + 1 / metadata.rate - synchronised.start) * 60)


def test_without_its_pulses_the_rate_is_constant(recording_088):
    (recording_088 / "088_aud.sync").rename(recording_088 / "another.sync")
    (candidate,) = TaLReader().find(recording_088 / "088_aud.ult")
    recording = candidate.reader.read(candidate, 64)
    metadata = read_metadata(recording_088 / "088_aud.param")
    shown = frame_numbers(recording.frames, metadata.geometry)
    constant = np.arange(len(shown)) / 60 * metadata.rate
    np.testing.assert_allclose(shown, np.minimum(constant, FRAMES - 1), atol=0.2)


def test_broken_pulses_are_a_sentence(recording_088):
    (recording_088 / "088_aud.sync").unlink()
    (recording_088 / "088_aud.sync").write_text("not a wav")
    (candidate,) = TaLReader().find(recording_088)
    with pytest.raises(InputError, match=r"088_aud\.sync cannot be read"):
        candidate.reader.open(candidate, 64)


def test_tal_without_its_ult_is_reported(shared):
    candidates = TaLReader().find(shared / "tal_without_ult")
    assert [candidate.id for candidate in candidates] == ["088_aud", "133_aud", "226_aud"]
    for candidate in candidates:
        with pytest.raises(InputError, match=r"has no \d+_aud.ult"):
            candidate.reader.open(candidate, 56)

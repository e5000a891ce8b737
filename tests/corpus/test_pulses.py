"""Synchronisation pulses: made-up signals with known onsets, and two real files."""

import warnings

import numpy as np
import pytest
import soundfile

from wav2uti.corpus.fan import FanGeometry
from wav2uti.corpus.formats import pulses as module
from wav2uti.corpus.formats.param import Metadata, read_metadata
from wav2uti.corpus.formats.pulses import FEW, frame_times, read_pulses
from wav2uti.errors import InputError

METADATA = Metadata(FanGeometry(64, 842, 210, 0.025, 10.525), rate=81.512, first_time=0.97, true_scale=True)
CAMERA = 0.24 + np.arange(20) / 60
ULTRASOUND = np.concatenate(([0.97], 0.97 + 0.0164 + np.arange(149) / 81.55))


def write_sync(path, level=1.0, noise=0.0):
    """Pulses as TaL's: the camera's down, then up; the ultrasound's up, for 47 samples, with a slow edge."""
    samples = np.random.default_rng(0).normal(0, noise, 3 * 48_000) if noise else np.zeros(3 * 48_000)
    camera, ultrasound = (np.rint(times * 48_000).astype(int) for times in (CAMERA, ULTRASOUND))
    for onset in camera:
        samples[onset : onset + 24] -= np.linspace(0.42, 0.1, 24)
        samples[onset + 24 : onset + 80] += np.linspace(0.38, 0, 56)
    for onset in ultrasound:
        samples[onset : onset + 47] += np.linspace(0.22, 0.4, 47)
        samples[onset] *= 0.6
        samples[onset + 47 : onset + 90] += np.linspace(0.2, 0, 43)
    soundfile.write(path, level * samples, 48_000, format="WAV", subtype="PCM_16")
    return np.concatenate((camera, ultrasound)) / 48_000


@pytest.mark.parametrize(("level", "noise"), [(1, 0), (1, 0.005), (0.1, 0.005), (1, 0.01)])
def test_onsets_are_found_to_the_sample(tmp_path, level, noise):
    written = write_sync(tmp_path / "a.sync", level, noise)
    np.testing.assert_allclose(read_pulses(tmp_path / "a.sync"), written, atol=1.01 / 48_000)


def test_onsets_do_not_depend_on_blocks(tmp_path, monkeypatch):
    write_sync(tmp_path / "a.sync", noise=0.001)
    whole = read_pulses(tmp_path / "a.sync")
    monkeypatch.setattr(module, "_BLOCK", 997)
    np.testing.assert_array_equal(read_pulses(tmp_path / "a.sync"), whole)


def test_a_file_without_pulses_has_none(tmp_path):
    soundfile.write(tmp_path / "a.sync", np.full(48_000, 0.2), 48_000, format="WAV")
    assert len(read_pulses(tmp_path / "a.sync")) == 0
    soundfile.write(tmp_path / "a.sync", np.full(48_000, np.nan), 48_000, format="WAV", subtype="FLOAT")
    assert len(read_pulses(tmp_path / "a.sync")) == 0


@pytest.mark.parametrize("content", [b"", b"RIFF", bytes(range(256)) * 9])
def test_no_sound_is_a_sentence(tmp_path, content):
    (tmp_path / "a.sync").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.sync cannot be read as a wav.*remove it"):
        read_pulses(tmp_path / "a.sync")


@pytest.mark.parametrize("more", [-FEW, -1, 0, 1, FEW])
def test_times_are_the_pulses_and_go_on_at_the_rate(tmp_path, more):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        times = frame_times(np.concatenate((CAMERA, ULTRASOUND)), METADATA, 150 + more, tmp_path)
    assert len(times) == 150 + more
    np.testing.assert_array_equal(times[:150], ULTRASOUND[: 150 + more])
    np.testing.assert_allclose(times[150:], ULTRASOUND[-1] + np.arange(1, more + 1) / 81.512)


def test_a_disturbance_between_pulses_is_left_out(tmp_path):
    pulses = np.sort(np.concatenate((CAMERA, ULTRASOUND, [ULTRASOUND[7] + 0.004])))
    np.testing.assert_array_equal(frame_times(pulses, METADATA, 150, tmp_path), ULTRASOUND)


@pytest.mark.parametrize(
    ("pulses", "reason"),
    [
        (np.zeros(0), "holds no pulses at the stated 81.512 frames"),
        (CAMERA, "holds no pulses"),
        (np.concatenate((CAMERA, ULTRASOUND + 0.007)), "first ultrasound pulse at 0.9770 s, not at the stated 0.9700"),
        (np.concatenate((CAMERA, ULTRASOUND[: -FEW - 1])), "has 139 ultrasound pulses for 150 frames"),
    ],
)
def test_pulses_that_do_not_agree_are_not_taken(tmp_path, pulses, reason):
    with pytest.warns(UserWarning, match=reason) as caught:
        times = frame_times(pulses, METADATA, 150, tmp_path / "a.sync")
    np.testing.assert_array_equal(times, 0.97 + np.arange(150) / 81.512)
    (warning,) = caught
    assert str(warning.message).startswith(str(tmp_path / "a.sync"))
    assert str(warning.message).endswith(".")


@pytest.mark.parametrize(("name", "count"), [("088_aud", 368), ("133_aud", 473)])
def test_first_real_pulse_is_the_stated_time(shared, name, count):
    folder = shared / "tal_without_ult"
    metadata = read_metadata(folder / f"{name}.param")
    times = frame_times(read_pulses(folder / f"{name}.sync"), metadata, count, folder / f"{name}.sync")
    assert abs(times[0] - metadata.first_time) * 48_000 <= 1
    # Found another way: the signal is quiet before the ultrasound begins, and rises above 0.1 once a frame.
    samples, rate = soundfile.read(folder / f"{name}.sync")
    quiet = int(0.9 * rate)
    rises = quiet + 1 + np.flatnonzero((samples[quiet + 1 :] > 0.1) & (samples[quiet:-1] <= 0.1))
    rises = rises[np.diff(rises, prepend=0) > 200]
    assert len(rises) == count
    np.testing.assert_allclose(times, rises / rate, atol=1.01 / rate)
    # The train was chosen by its rate, not by the stated time.
    elsewhere = Metadata(metadata.geometry, metadata.rate, 0.3, metadata.true_scale)
    with pytest.warns(UserWarning, match=f"first ultrasound pulse at {metadata.first_time:.4f} s"):
        frame_times(read_pulses(folder / f"{name}.sync"), elsewhere, count, folder / f"{name}.sync")

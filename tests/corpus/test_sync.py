"""Times, pictures and sound on one clock, by closed forms."""

import numpy as np
import pytest

from wav2uti.clock import samples_at
from wav2uti.corpus.sync import cut_audio, interpolate, interpolate_values, output_times


def test_positive_offset_starts_at_the_first_frame():
    times = output_times(0.5 + np.arange(100) / 100, 1 / 100, 10.0)
    assert times[0] == 0.5
    assert len(times) == 60  # one second of picture
    np.testing.assert_allclose(np.diff(times), 1 / 60, atol=1e-12)


def test_negative_offset_drops_the_frames_before_the_sound():
    times = output_times(-0.25 + np.arange(100) / 100, 1 / 100, 10.0)
    assert times[0] == 0.0
    assert len(times) == 45  # 0.75 s are left


def test_picture_that_outlasts_the_sound_is_cut():
    assert len(output_times(np.arange(1000) / 100, 1 / 100, 2.0)) == 120


def test_sound_that_outlasts_the_picture_is_cut():
    assert len(output_times(np.arange(50) / 50, 1 / 50, 99.0)) == 60


@pytest.mark.parametrize("first", [3.0, 2.999])
def test_no_common_frame_is_empty(first):
    assert len(output_times(first + np.arange(10) / 100, 1 / 100, 3.0)) == 0


def test_an_hour_does_not_drift():
    times = output_times(np.arange(60 * 3600) / 60, 1 / 60, 3600.0)
    assert len(times) == 60 * 3600
    assert abs(times[-1] - (3600 - 1 / 60)) < 1e-9


def test_interpolation_is_exact_for_a_picture_linear_in_time():
    frame_times = np.arange(50) / 25
    frames = np.broadcast_to(4 * np.arange(50)[:, None, None], (50, 2, 3)).astype(np.uint8)
    at = np.arange(117) / 60  # more than one block
    result = interpolate(frames, frame_times, at)
    assert result.shape == (117, 2, 3)
    np.testing.assert_array_equal(result[:, 0, 0], np.rint(100 * at))


def test_interpolation_at_raw_times_gives_the_raw_frames():
    frames = np.random.default_rng(0).integers(0, 256, (7, 4, 5), dtype=np.uint8)
    np.testing.assert_array_equal(interpolate(frames, np.arange(7) / 7, np.arange(7) / 7), frames)


def test_picture_stands_still_outside_the_raw_frames():
    frames = np.array([[10], [20]], dtype=np.uint8)
    np.testing.assert_array_equal(interpolate(frames, [1.0, 2.0], [0.0, 1.0, 2.0, 5.0])[:, 0], [10, 10, 20, 20])


def test_uneven_times_weigh_by_time_not_by_index():
    frames = np.array([[0], [100], [200]], dtype=np.uint8)
    np.testing.assert_array_equal(interpolate(frames, [0.0, 0.1, 1.1], [0.05, 0.6])[:, 0], [50, 150])


def test_values_agree_with_numpy():
    rng = np.random.default_rng(1)
    times, at = np.sort(rng.random(20)), rng.random(100)
    values = rng.standard_normal((20, 3))
    expected = np.stack([np.interp(at, times, column) for column in values.T], axis=1)
    np.testing.assert_allclose(interpolate_values(values, times, at), expected, atol=1e-12)


@pytest.mark.parametrize("rate", [16_000, 22_050, 48_000])
def test_sound_is_cut_to_within_half_a_sample(rate):
    start, frames, pitch = 0.50731, 31, 440.0
    samples = np.sin(2 * np.pi * pitch * np.arange(2 * rate) / rate).astype(np.float32)
    sound = cut_audio(samples, rate, start, frames)
    assert sound.dtype == np.float32
    assert sound.shape == (samples_at(frames),)
    expected = np.sin(2 * np.pi * pitch * (start + np.arange(len(sound)) / 16_000))
    middle = slice(200, None)  # past the edge of the resampling filter; the end is no edge
    assert np.abs(sound - expected)[middle].max() < 2 * np.pi * pitch * 0.5 / rate + 2e-3


def test_sound_short_by_a_sample_is_padded():
    sound = cut_audio(np.full(16_000 - 1, 0.5, dtype=np.float32), 16_000, 0.0, 60)
    assert len(sound) == 16_000
    np.testing.assert_array_equal(sound[-2:], np.float32([0.5, 0.0]))

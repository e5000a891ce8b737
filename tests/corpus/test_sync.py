"""Times, pictures and sound on one clock, by closed forms."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import ArrayLike
from scipy.signal import resample_poly

from wav2uti.clock import FPS, samples_at
from wav2uti.corpus.raw import Block, Picture, RawRecording
from wav2uti.corpus.recording import Interval
from wav2uti.corpus.sound import ArraySound
from wav2uti.corpus.sync import Synchronised, cut_sound, interpolate, interpolate_values, read_whole
from wav2uti.errors import InputError


class Given(Picture):
    """A frame of one pixel at each of the given times, in blocks of a given length."""

    kind = "given"

    def __init__(self, times: ArrayLike, frames: ArrayLike | None = None, block: int = 7, period: float | None = None):
        self.times = np.asarray(times, dtype=np.float64)
        grey = np.zeros(len(self.times)) if frames is None else np.asarray(frames)
        self.grey = grey.astype(np.uint8).reshape(-1, 1, 1)
        self.block, self.period = block, period

    def blocks(self) -> Iterator[Block]:
        for start in range(0, len(self.times), self.block):
            part = slice(start, start + self.block)
            yield self.times[part], self.grey[part]

    def draw(self, frames: np.ndarray) -> np.ndarray:
        return frames


def raw(picture: Picture, seconds: float, rate: int = 8000, **fields: object) -> RawRecording:
    sound = ArraySound(np.full(round(seconds * rate), 0.1, dtype=np.float32), rate)
    return RawRecording(id="r", picture=picture, sound=sound, speaker="ann", source="r.ult", **fields)


def run(picture: Picture, seconds: float) -> Synchronised:
    synchronised = Synchronised(raw(picture, seconds))
    drawn = sum(len(block) for block in synchronised.frames())
    assert drawn == synchronised.count == len(synchronised.times)
    return synchronised


def test_positive_offset_starts_at_the_first_frame():
    times = run(Given(0.5 + np.arange(100) / 100), 10.0).times
    assert times[0] == 0.5
    assert len(times) == 60  # one second of picture
    np.testing.assert_allclose(np.diff(times), 1 / 60, atol=1e-12)


def test_negative_offset_drops_the_frames_before_the_sound():
    times = run(Given(-0.25 + np.arange(100) / 100), 10.0).times
    assert times[0] == 0.0
    assert len(times) == 45  # 0.75 s are left


def test_picture_that_outlasts_the_sound_is_cut():
    assert run(Given(np.arange(1000) / 100), 2.0).count == 120


def test_sound_that_outlasts_the_picture_is_cut():
    assert run(Given(np.arange(50) / 50), 99.0).count == 60


def test_the_last_frame_lasts_its_period():
    assert run(Given([0.0, 0.5], period=0.25), 99.0).count == 45
    assert run(Given([0.0, 0.5]), 99.0).count == 60  # the median distance is half a second


@pytest.mark.parametrize("first", [3.0, 2.999, -0.2])
def test_no_common_frame_is_a_sentence(first):
    with pytest.raises(InputError, match=r"r\.ult: picture and sound do not overlap \(picture from"):
        run(Given(first + np.arange(10) / 100), 3.0)
    with pytest.raises(InputError, match="no picture"):
        run(Given([]), 3.0)


def test_an_hour_does_not_drift():
    synchronised = run(Given(np.arange(60 * 3600) / 60, block=5000), 3600.0)
    assert synchronised.count == 60 * 3600
    assert abs(synchronised.times[-1] - (3600 - 1 / 60)) < 1e-9


@pytest.mark.parametrize("block", [1, 2, 7, 1000])
@pytest.mark.parametrize("rate", [11.0, 60.0, 121.5])
def test_blocks_change_nothing(block, rate):
    rng = np.random.default_rng(0)
    times = 0.1 + np.sort(rng.uniform(0, 2, round(2 * rate)))
    grey = rng.integers(0, 256, len(times))
    recording = read_whole(raw(Given(times, grey, block), 1.9))
    expected = interpolate(grey.astype(np.uint8).reshape(-1, 1, 1), times, times[0] + np.arange(999) / 60)
    np.testing.assert_array_equal(recording.frames, expected[: len(recording.frames)])
    period = float(np.median(np.diff(times)))
    assert len(recording.frames) == int((min(times[-1] + period, 1.9) - times[0] + 1 / 16000) * 60)


def test_labels_move_with_the_start_and_are_cut():
    words = (
        Interval("before", 0.0, 0.4),
        Interval("across", 0.4, 0.7),
        Interval("in", 0.7, 0.9),
        Interval("after", 2, 3),
    )
    recording = read_whole(raw(Given(0.5 + np.arange(100) / 100), 10.0, words=words))
    assert [word.label for word in recording.words] == ["across", "in"]
    np.testing.assert_allclose([(w.start, w.end) for w in recording.words], [(0.0, 0.2), (0.2, 0.4)])


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


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_sound_is_cut_to_within_half_a_sample(rate):
    start, frames, pitch = 0.50731, 31, 440.0
    samples = np.sin(2 * np.pi * pitch * np.arange(2 * rate) / rate).astype(np.float32)
    sound = np.concatenate(list(cut_sound(ArraySound(samples, rate), start, frames)))
    assert sound.dtype == np.float32
    assert sound.shape == (samples_at(frames),)
    expected = np.sin(2 * np.pi * pitch * (start + np.arange(len(sound)) / 16_000))
    # Neither end is an edge: the sound goes on before and after.
    assert np.abs(sound - expected).max() < 2 * np.pi * pitch * 0.5 / rate + 2e-3


def test_blocks_of_sound_join_without_a_seam():
    rate, seconds = 22_050, 40
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, seconds * rate).astype(np.float32)
    blocks = list(cut_sound(ArraySound(samples, rate), 0.0, seconds * FPS))
    assert len(blocks) > 2
    # scipy's own resampling of the whole, with its own filter: the same to within the two filters' transition bands.
    whole = resample_poly(samples.astype(np.float64), 320, 441, window=("kaiser", 9.0))
    seam = len(blocks[0])
    joined = np.concatenate(blocks)
    error = joined - whole[: len(joined)]
    assert np.abs(error[seam - 300 : seam + 300]).std() < 1.2 * error[2000:-2000].std()
    pieces = np.concatenate(list(cut_sound(ArraySound(samples, rate), seam / 16_000, 60)))
    np.testing.assert_allclose(pieces, joined[seam : seam + 16_000], atol=2e-5)


def test_sound_short_by_a_sample_is_padded():
    samples = np.full(16_000 - 1, 0.5, dtype=np.float32)
    (sound,) = cut_sound(ArraySound(samples, 16_000), 0.0, 60)
    assert len(sound) == 16_000
    np.testing.assert_array_equal(sound[-2:], np.float32([0.5, 0.0]))

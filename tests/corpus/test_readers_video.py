"""Videos: made-up ones whose grey tells the time, and real ones."""

import warnings
from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile

from wav2uti.clock import samples_at
from wav2uti.corpus.crop import fit_square
from wav2uti.corpus.readers import VideoReader, find_recordings
from wav2uti.errors import InputError

RATE = 22_050
# A plain grey that changes by a level or not at all is "repeated" to the reader.
pytestmark = pytest.mark.filterwarnings("ignore:.*distinct frames")


def write_video(path, times, sound_start=None, seconds=1.0, shape=(24, 32), pictures=None):
    """Lossless video whose grey is 100 times the time of its frame, with a sine of 440 Hz from `sound_start` on."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=60)
        video.width, video.height, video.pix_fmt = shape[1], shape[0], "gray"
        video.time_base = video.codec_context.time_base = Fraction(1, 1000)
        audio = container.add_stream("pcm_s16le", rate=RATE, layout="mono") if sound_start is not None else None
        if audio is not None:
            samples = np.sin(2 * np.pi * 440 * (sound_start + np.arange(int(seconds * RATE)) / RATE)) / 2
            frame = av.AudioFrame.from_ndarray(np.int16(samples * 32767)[None], format="s16", layout="mono")
            frame.rate, frame.pts, frame.time_base = RATE, round(sound_start * RATE), Fraction(1, RATE)
            for packet in audio.encode(frame):
                container.mux(packet)
        for index, time in enumerate(times):
            grey = np.full(shape, round(100 * time), dtype=np.uint8) if pictures is None else pictures[index]
            picture = av.VideoFrame.from_ndarray(grey, format="gray")
            picture.pts, picture.time_base = round(time * 1000), Fraction(1, 1000)
            for packet in video.encode(picture):
                container.mux(packet)
        for stream in (video, *([audio] if audio is not None else [])):
            for packet in stream.encode(None):
                container.mux(packet)
    return path


def noise(count, shape=(24, 32)):
    return np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)


def read_only(source, reader=None, size=32):
    (candidate,) = (reader or VideoReader()).find(source)
    return candidate.reader.read(candidate, size)


def tone(start, count):
    return np.sin(2 * np.pi * 440 * (start + np.arange(count) / 16_000)) / 2


@pytest.mark.parametrize(("first", "sound_start"), [(0.19, 0.0), (0.0, 0.1), (0.008, 0.0)])
def test_time_stamps_decide_not_rates(tmp_path, first, sound_start):
    times = first + np.arange(80) * 0.01
    write_video(tmp_path / "a.mkv", times, sound_start)
    recording = read_only(tmp_path)
    start = max(first, sound_start)  # on the container's clock
    assert len(recording.frames) == int((times[-1] + 0.01 - start) * 60 + 1e-6)
    seen = recording.frames[:, 16, 16]
    np.testing.assert_allclose(seen, 100 * (start + np.arange(len(seen)) / 60), atol=1.6)
    assert np.abs(recording.audio - tone(start, len(recording.audio)))[200:].max() < 0.04


def test_uneven_time_stamps(tmp_path):
    times = np.round(np.cumsum(np.random.default_rng(2).uniform(0.006, 0.02, 70)), 3)
    write_video(tmp_path / "a.mkv", times, 0.0)
    seen = read_only(tmp_path).frames[:, 16, 16]
    np.testing.assert_allclose(seen, 100 * (times[0] + np.arange(len(seen)) / 60), atol=1.6)


@pytest.mark.parametrize("offset", [0.0, 0.2, -0.2])
def test_wav_beside_a_silent_video(tmp_path, offset):
    write_video(tmp_path / "a.mkv", 0.05 + np.arange(80) * 0.01)  # the first frame is taken to stand at 0
    soundfile.write(tmp_path / "a.wav", tone(0.0, 16_000), 16_000)
    (tmp_path / "a.txt").write_bytes("今天天气很好".encode("gbk"))
    recording = read_only(tmp_path, VideoReader(offset=offset))
    start = max(offset, 0.0)
    assert len(recording.frames) == int((0.8 + offset - start) * 60 + 1e-6)
    seen = recording.frames[:, 16, 16]
    np.testing.assert_allclose(seen, 5 + 100 * (start - offset + np.arange(len(seen)) / 60), atol=1.6)
    assert np.abs(recording.audio - tone(start, len(recording.audio)))[200:].max() < 0.01
    assert recording.text == "今天天气很好"


def test_crop_and_mirror(tmp_path):
    pictures = noise(20, (40, 60))
    write_video(tmp_path / "a.mkv", np.arange(20) / 60, 0.0, shape=(40, 60), pictures=pictures)
    recording = read_only(tmp_path, VideoReader(crop=(10, 5, 24, 24), hflip=True), size=24)
    np.testing.assert_array_equal(recording.frames[0], pictures[0][5:29, 10:34][:, ::-1])
    with pytest.raises(InputError, match="60 x 40"):
        read_only(tmp_path, VideoReader(crop=(40, 5, 24, 24)))
    with pytest.raises(InputError, match="four numbers"):
        VideoReader(crop=(0, 0, 0, 5))


def test_few_distinct_frames_warn(tmp_path):
    write_video(tmp_path / "a.mkv", np.arange(60) / 60, 0.0, pictures=np.repeat(noise(30), 2, axis=0))
    with pytest.warns(UserWarning, match=r"29\.\d distinct frames a second"):
        read_only(tmp_path)
    write_video(tmp_path / "a.mkv", np.arange(60) / 60, 0.0, pictures=noise(60))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_only(tmp_path)


def test_lips_videos_are_no_ultrasound(tmp_path):
    for name in ("001.mp4", "lips_001.avi"):
        (tmp_path / name).write_bytes(b"any")
    (tmp_path / "001.ult").write_bytes(b"")
    lips = {candidate.id: candidate for candidate in VideoReader().find(tmp_path)}
    assert list(lips) == ["lips_001"]
    with pytest.raises(InputError, match="of the lips"):
        lips["lips_001"].reader.read(lips["lips_001"], 32)
    with pytest.raises(InputError, match="beside raw ultrasound"):
        read_only(tmp_path / "001.mp4")


@pytest.mark.parametrize("content", [b"", b"RIFF" + bytes(100), bytes(range(256)) * 50])
def test_corrupt_video_is_a_sentence(tmp_path, content):
    (tmp_path / "bad.avi").write_bytes(content)
    soundfile.write(tmp_path / "bad.wav", np.zeros(16_000), 16_000)
    with pytest.raises(InputError, match=r"bad\.avi .*copy it again") as caught:
        read_only(tmp_path)
    assert "\n" not in str(caught.value)


def test_sound_alone_or_one_picture_is_no_video(tmp_path):
    write_video(tmp_path / "one.mkv", [0.0], 0.0)
    with pytest.raises(InputError, match="1 readable frames"):
        read_only(tmp_path)


def test_sound_before_the_picture_only(tmp_path):
    write_video(tmp_path / "a.mkv", 2.0 + np.arange(30) * 0.01, 0.0, seconds=1.0)
    with pytest.raises(InputError, match="do not overlap"):
        read_only(tmp_path)


def test_two_videos_of_one_name_get_their_endings(tmp_path):
    for name in ("a.avi", "a.mp4", "b.mkv"):
        (tmp_path / name).write_bytes(b"any")
    assert [candidate.id for candidate in find_recordings(tmp_path)] == ["a.avi", "a.mp4", "b"]


def test_fit_square_keeps_means_and_shape():
    picture = noise(1, (48, 96))[0]
    square = fit_square(picture, 24)
    np.testing.assert_array_equal(square[:6], 0)
    np.testing.assert_array_equal(square[18:], 0)
    blocks = picture.reshape(12, 4, 24, 4).mean(axis=(1, 3))  # by hand; PIL rounds twice
    np.testing.assert_allclose(square[6:18], blocks, atol=1)
    np.testing.assert_array_equal(fit_square(picture[:, :48], 48), picture[:, :48])
    assert (fit_square(np.full((10, 20), 9, dtype=np.uint8), 40) > 0).sum() == 20 * 40
    assert (fit_square(np.full((20, 20), 9, dtype=np.uint8), 40, pixel_aspect=0.5) > 0).sum() == 20 * 40


def test_aaa_video_has_four_with_sound_and_names_three_without(shared):
    candidates = {candidate.id: candidate for candidate in find_recordings(shared / "aaa_video")}
    with_sound = {"05TD1M001", "Ultrax_TD_001", "Ultrax_TD_002", "Ultrax_TD_003"}
    assert set(candidates) == with_sound | {"ArticulateAnonymized_11", "video10", "lips_TalFile158"}
    for name, reason in (
        ("ArticulateAnonymized_11", "has no sound.*put a wav of the same name beside it"),
        ("video10", "has no sound.*put a wav of the same name beside it"),
        ("lips_TalFile158", "video of the lips"),
    ):
        with pytest.raises(InputError, match=reason):
            candidates[name].reader.read(candidates[name], 56)


def test_real_avis_are_read_without_a_warning(shared):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recording = read_only(shared / "aaa_video/Ultrax_TD_001.avi", size=56)
    assert np.abs(recording.audio).max() > 0.1


def test_a_real_avi_starts_one_frame_late(shared):
    """601 frames, each 8.231 ms, the first at one period; the sound has 109032 samples and ends first."""
    recording = read_only(shared / "aaa_video/Ultrax_TD_003.avi", size=56)
    end = min(602 * 0.008231, 109_032 / 22_050)
    assert len(recording.frames) == int((end - 0.008231) * 60) == 296
    assert len(recording.audio) == samples_at(296)
    assert recording.frames.max() > 150
    assert recording.frames[:, :10].max() < 30  # black above the fan
    assert recording.mm_per_pixel is None

"""Pictures and sound of video files: where the ultrasound is found in them, and that they are read as a stream."""

import tempfile
import tracemalloc
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from made_up_video import RATE, noise, tone, write_video

from wav2uti.corpus.formats.video import VideoPicture, first_time, open_sound
from wav2uti.corpus.given import Given
from wav2uti.corpus.raw import RawRecording
from wav2uti.corpus.readers.video import VideoReader
from wav2uti.corpus.sound import ArraySound
from wav2uti.corpus.sync import Synchronised
from wav2uti.errors import InputError

SCREEN = (120, 160)


def disc_on_screen(count, radius=12):
    """A screen with a menu and a clock face that stands still; a disc goes round (60, 70) at a distance of 20."""
    still = noise(1, SCREEN)[0] // 4
    still[:14] = np.random.default_rng(3).choice([20, 230], (14, 160))
    rows, columns = np.indices(SCREEN)
    for angle in np.arange(count) / count * 2 * np.pi:
        x, y = 60 + 20 * np.cos(angle), 70 + 20 * np.sin(angle)
        yield np.where((columns - x) ** 2 + (rows - y) ** 2 <= radius**2, 200, still).astype(np.uint8)


def whole(picture):
    times, frames = zip(*picture.blocks(), strict=True)
    return np.concatenate(times), np.concatenate(frames)


def test_frames_come_in_blocks_and_again(tmp_path):
    pictures = noise(150, (32, 32))
    write_video(tmp_path / "a.mkv", 0.5 + np.arange(150) / 100, (), (32, 32), pictures)
    picture = VideoPicture(tmp_path / "a.mkv", 32, None, False, 0.25)
    assert picture.kind == "32 x 32 video"
    assert [len(times) for times, _ in picture.blocks()] == [64, 64, 22]
    times, frames = whole(picture)
    np.testing.assert_allclose(times, 0.75 + np.arange(150) / 100)
    np.testing.assert_array_equal(frames, pictures)
    assert picture.draw(frames) is frames
    assert first_time(tmp_path / "a.mkv") == 0.5


def test_second_pictures_for_one_moment_are_dropped(tmp_path):
    write_video(tmp_path / "a.mkv", [0, 0.01, 0.01, 0.02, 0.02], (), pictures=(noise(5)[i] for i in range(5)))
    times, frames = whole(VideoPicture(tmp_path / "a.mkv", 32, None, False, 0.0))
    np.testing.assert_allclose(times, [0, 0.01, 0.02])
    np.testing.assert_array_equal(frames[:, 4:28], noise(5)[[0, 1, 3]])


def test_luma_of_colour_video_is_stretched(tmp_path):
    """A video in the usual colours keeps black at 16 and white at 235."""
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=60)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
        for luma in (16, 125, 235):
            frame = av.VideoFrame.from_ndarray(np.full((24, 16), luma, dtype=np.uint8), format="yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    _, frames = whole(VideoPicture(tmp_path / "a.mkv", 16, None, False, 0.0))
    assert frames[:, 8, 8].tolist() == [0, 127, 255]


def test_auto_finds_the_disc_on_a_screen(tmp_path):
    write_video(tmp_path / "a.mkv", np.arange(120) / 60, (), SCREEN, disc_on_screen(120))
    crop = VideoPicture(tmp_path / "a.mkv", 64, "auto", False, 0.0).crop
    np.testing.assert_allclose(crop, (60 - 32, 70 - 32, 65, 65), atol=2)


def test_auto_needs_something_that_moves(tmp_path):
    write_video(tmp_path / "a.mkv", np.arange(60) / 60, (), SCREEN, [next(disc_on_screen(1))] * 60)
    with pytest.raises(InputError, match=r"Nothing moves in .*a\.mkv: .*--crop x,y,width,height"):
        VideoPicture(tmp_path / "a.mkv", 64, "auto", False, 0.0)


def test_composite_gives_the_fan_alone(shared):
    """Neither the text and the spectrogram above it nor the lips beside it, and no paper around it."""
    path = shared / "tal_composite_video/70ms-003_cal_light_theme.mp4"
    (candidate,) = VideoReader().find(path)
    crop = (20, 286, 376, 238)
    raw = candidate.reader.open(replace(candidate, given=Given(crop=crop)), 112)
    frames = np.concatenate(list(Synchronised(raw).frames()))
    assert len(frames) == 298
    brightest = frames.max(axis=0)
    rows, columns = np.indices(brightest.shape)
    # The sector as it stands on the paper: apex, sides and radii read off the drawing.
    angle = np.degrees(np.arctan2(columns - 56.0, 103.0 - rows))
    radius = np.hypot(columns - 56.0, 103.0 - rows)
    inside = (np.abs(angle) < 50) & (radius > 10) & (radius < 82)
    assert not brightest[~inside].any()
    assert (brightest[inside] > 20).mean() > 0.5
    assert frames[0].max() > 60


def test_auto_on_a_composite_names_both_regions(shared):
    with pytest.raises(InputError, match=r"\(40\d,2\d\d,3\d\d,2\d\d and \d+,2\d\d,2\d\d,2\d\d\): .*--crop"):
        VideoPicture(shared / "tal_composite_video/70ms-003_cal_light_theme.mp4", 112, "auto", False, 0.0)


def test_sound_keeps_its_time_over_holes(tmp_path):
    write_video(tmp_path / "a.mkv", [0, 0.5], [(0.1, 0.6), (0.9, 1.3)])
    sound, start = open_sound(tmp_path / "a.mkv")
    assert (sound.rate, round(sound.seconds, 3), start) == (RATE, 1.2, 0.1)
    samples, wanted = sound.read(0, 2 * RATE), tone(0.1, round(1.2 * RATE), RATE)
    wanted[round(0.5 * RATE) : round(0.8 * RATE)] = 0
    np.testing.assert_allclose(samples, wanted, atol=0.05)  # time stamps to the millisecond
    assert isinstance(sound.samples, np.memmap)


def test_no_sound_is_none(tmp_path):
    write_video(tmp_path / "a.mkv", [0, 0.5])
    assert open_sound(tmp_path / "a.mkv") is None


@pytest.mark.parametrize(
    ("stretches", "loudness", "sentence"),
    [
        ([(0.0, 0.1), (30_000.0, 30_000.1)], 1.0, "longer than 6 hours"),
        ([(0.0, 0.1)], np.nan, "NaN or infinite"),
    ],
)
def test_unusable_sound_is_a_sentence(tmp_path, stretches, loudness, sentence):
    write_video(tmp_path / "a.mkv", [0, 0.5], stretches, loudness=loudness)
    with pytest.raises(InputError, match=rf"The sound of .*a\.mkv .*{sentence}"):
        open_sound(tmp_path / "a.mkv")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_full_disk_is_a_sentence(tmp_path, monkeypatch):
    write_video(tmp_path / "a.mkv", [0, 0.5], [(0.0, 1.0)])
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda buffering: open("/dev/full", "r+b", buffering))  # noqa: PTH123, SIM115
    with pytest.raises(InputError, match=r"no room in .* for the sound of .*a\.mkv: .*TMPDIR"):
        open_sound(tmp_path / "a.mkv")


def peak(work):
    """Bytes of Python and numpy at the worst moment."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_of_the_picture_does_not_grow(tmp_path):
    def read(path, count, crop):
        picture = VideoPicture(path, 64, crop, False, 0.0)
        sound = ArraySound(np.zeros(2 * count, dtype=np.float32), 120)
        return sum(map(len, Synchronised(RawRecording(id="a", picture=picture, sound=sound, speaker="s")).frames()))

    peaks = {}
    for count in (200, 1000):
        path = write_video(tmp_path / f"{count}.mkv", np.arange(count) / 60, (), SCREEN, disc_on_screen(count))
        for crop in (None, "auto"):
            peaks[count, crop] = peak(lambda path=path, count=count, crop=crop: read(path, count, crop))
    for crop in (None, "auto"):
        assert peaks[1000, crop] < 1.1 * peaks[200, crop]


def test_memory_of_the_sound_does_not_grow(tmp_path):
    peaks = []
    for seconds in (100, 500):
        path = write_video(tmp_path / f"{seconds}.mkv", [0, 0.5], [(at, at + 10) for at in range(0, seconds, 10)])
        peaks.append(peak(lambda path=path: open_sound(path)))
    assert peaks[1] < 1.1 * peaks[0]


@pytest.mark.parametrize("seed", range(20))
def test_broken_bytes_are_a_sentence(tmp_path, seed):
    """Cut off or overwritten anywhere, a video is read or refused."""
    rng = np.random.default_rng(seed)
    path = write_video(tmp_path / "a.mkv", np.arange(30) / 60, [(0.0, 0.5)])
    content = bytearray(path.read_bytes())
    if seed % 4 == 0:
        del content[rng.integers(len(content)) :]
    else:
        span = len(content) if seed % 2 else 600
        for place in rng.integers(0, span, 20):
            content[place] = rng.integers(256)
    path.write_bytes(bytes(content))
    (candidate,) = VideoReader().find(path)
    sentence = path.name
    try:
        assert len(candidate.reader.read(candidate, 16).frames)
    except InputError as error:
        sentence = str(error)
    assert "a.mkv" in sentence
    assert "\n" not in sentence

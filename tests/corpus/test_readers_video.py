"""Reading videos: made-up ones whose grey tells the time, and real ones."""

import csv
import pickle
import warnings
from dataclasses import replace

import av
import numpy as np
import pytest
import soundfile
from made_up_video import noise, tone, write_video

from wav2uti.clock import FPS, samples_at
from wav2uti.corpus.formats.video import VideoPicture
from wav2uti.corpus.given import Given
from wav2uti.corpus.readers.aaa_video import AAAVideoReader
from wav2uti.corpus.readers.video import VideoReader
from wav2uti.corpus.recording import Interval
from wav2uti.corpus.sync import Synchronised
from wav2uti.errors import InputError

SOUND = [(0.0, 1.0)]
WITH_SOUND = ("05TD1M001", "Ultrax_TD_001", "Ultrax_TD_002", "Ultrax_TD_003")


def only(source, reader=None, **given):
    (candidate,) = (reader or VideoReader()).find(source)
    return replace(candidate, given=Given(**given))


def read_only(source, size=32, **given):
    candidate = only(source, **given)
    return candidate.reader.read(candidate, size)


@pytest.mark.parametrize(("first", "sound_start"), [(0.19, 0.0), (0.0, 0.1), (0.008, 0.0)])
def test_time_stamps_decide_not_rates(tmp_path, first, sound_start):
    times = first + np.arange(80) * 0.01
    write_video(tmp_path / "a.mkv", times, [(sound_start, sound_start + 1)])
    recording = read_only(tmp_path)
    start = max(first, sound_start)  # on the container's clock
    assert len(recording.frames) == int((times[-1] + 0.01 - start) * 60 + 1e-6)
    seen = recording.frames[:, 16, 16]
    np.testing.assert_allclose(seen, 100 * (start + np.arange(len(seen)) / 60), atol=1.6)
    assert np.abs(recording.audio - tone(start, len(recording.audio)))[200:].max() < 0.04


def test_uneven_time_stamps(tmp_path):
    times = np.round(np.cumsum(np.random.default_rng(2).uniform(0.006, 0.02, 70)), 3)
    write_video(tmp_path / "a.mkv", times, SOUND)
    seen = read_only(tmp_path).frames[:, 16, 16]
    np.testing.assert_allclose(seen, 100 * (times[0] + np.arange(len(seen)) / 60), atol=1.6)


@pytest.mark.parametrize("offset", [None, 0.2, -0.2])
def test_wav_beside_a_silent_video(tmp_path, offset):
    write_video(tmp_path / "a.mkv", 0.05 + np.arange(80) * 0.01)  # the first frame is taken to stand at 0
    soundfile.write(tmp_path / "a.wav", tone(0.0, 16_000), 16_000)
    (tmp_path / "a.txt").write_bytes("今天天气很好".encode("gbk"))
    recording = read_only(tmp_path, offset=offset)
    offset = offset or 0.0
    start = max(offset, 0.0)
    assert len(recording.frames) == int((0.8 + offset - start) * 60 + 1e-6)
    seen = recording.frames[:, 16, 16]
    np.testing.assert_allclose(seen, 5 + 100 * (start - offset + np.arange(len(seen)) / 60), atol=1.6)
    assert np.abs(recording.audio - tone(start, len(recording.audio)))[200:].max() < 0.01
    assert recording.text == "今天天气很好"


def test_own_sound_goes_before_the_wav_beside_but_not_before_a_named_one(tmp_path):
    write_video(tmp_path / "a.mkv", 0.2 + np.arange(60) * 0.01, SOUND)
    for name in ("a.wav", "named.wav"):
        soundfile.write(tmp_path / name, np.full(16_000, 0.25), 16_000)
    recording = read_only(tmp_path / "a.mkv")
    assert abs(int(recording.frames[0, 16, 16]) - 20) <= 1
    assert np.abs(recording.audio - tone(0.2, len(recording.audio)))[200:].max() < 0.01
    candidate = only(tmp_path / "a.mkv")
    named = replace(candidate, files={**candidate.files, "sound": tmp_path / "named.wav"})
    raw = named.reader.open(named, 32)
    np.testing.assert_array_equal(raw.sound.read(0, 9), 0.25)
    assert next(raw.picture.blocks())[0][0] == 0


def test_files_beside_and_what_the_user_says(tmp_path):
    folder = tmp_path / "07F"
    folder.mkdir()
    write_video(folder / "a.mkv", np.arange(60) / 60, [(0.1, 1.0)])
    (folder / "a.txt").write_text("a gap\n", encoding="utf-8")
    (folder / "a.TextGrid").write_text(
        '"ooTextFile" "TextGrid" 0 0.9 <exists> 1 "IntervalTier" "words" 0 0.9 2 0 0.1 "" 0.1 0.5 "gap"'
    )
    candidate = only(tmp_path)
    assert list(candidate.files) == ["video", "prompt", "textgrid"]
    recording = candidate.reader.read(candidate, 32)
    assert (recording.speaker, recording.text, recording.language) == ("07F", "a gap", "")
    assert recording.words == (Interval("gap", 0.1, 0.5),)
    said = read_only(tmp_path, speaker="S1", task="word", text="", language="en", split="test")
    assert (said.speaker, said.task, said.text, said.language, said.split) == ("S1", "word", "", "en", "test")
    assert pickle.loads(pickle.dumps(candidate)).files == candidate.files


def test_crop_and_mirror(tmp_path):
    pictures = noise(20, (40, 60))
    write_video(tmp_path / "a.mkv", np.arange(20) / 60, SOUND, (40, 60), pictures)
    recording = read_only(tmp_path, 24, crop=(10, 5, 24, 24), hflip=True)
    np.testing.assert_array_equal(recording.frames[0], pictures[0][5:29, 10:34][:, ::-1])
    with pytest.raises(InputError, match="60 x 40"):
        read_only(tmp_path, crop=(40, 5, 24, 24))


def test_lips_videos_are_no_ultrasound(tmp_path):
    for name in ("001.mp4", "lips_001.avi"):
        (tmp_path / name).write_bytes(b"any")
    (tmp_path / "001.ult").write_bytes(b"")
    lips = only(tmp_path)
    assert lips.id == "lips_001"
    with pytest.raises(InputError, match="of the lips"):
        lips.reader.open(lips, 32)
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
    write_video(tmp_path / "one.mkv", [0.0], SOUND)
    with pytest.raises(InputError, match="1 readable frames"):
        read_only(tmp_path)
    soundfile.write(tmp_path / "one.wav", tone(0, 16_000), 16_000)
    (tmp_path / "one.mkv").write_bytes((tmp_path / "one.wav").read_bytes())
    with pytest.raises(InputError, match="no picture in it"):
        read_only(tmp_path)


def test_sound_before_the_picture_only(tmp_path):
    write_video(tmp_path / "a.mkv", 2.0 + np.arange(30) * 0.01, SOUND)
    with pytest.raises(InputError, match="do not overlap"):
        read_only(tmp_path)


def test_aaa_video_takes_avi_only(shared):
    candidates = {candidate.id: candidate for candidate in AAAVideoReader().find(shared)}
    assert set(candidates) == {*WITH_SOUND, "ArticulateAnonymized_11", "video10", "lips_TalFile158"}
    for name, reason in (
        ("ArticulateAnonymized_11", "has no sound.*put a wav of the same name beside it"),
        ("video10", "has no sound.*put a wav of the same name beside it"),
        ("lips_TalFile158", "video of the lips"),
    ):
        with pytest.raises(InputError, match=reason):
            candidates[name].reader.open(candidates[name], 56)


def test_a_real_avi_starts_one_frame_late(shared):
    """601 frames, each 8.231 ms, the first at one period; the sound has 109032 samples and ends first."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recording = read_only(shared / "aaa_video/Ultrax_TD_003.avi", 56)
    end = min(602 * 0.008231, 109_032 / 22_050)
    assert len(recording.frames) == int((end - 0.008231) * 60) == 296
    assert len(recording.audio) == samples_at(296)
    assert np.abs(recording.audio).max() > 0.1
    assert recording.frames.max() > 150
    assert recording.frames[:, :10].max() < 30  # black above the fan
    assert recording.mm_per_pixel is None


def labelled_tongue(path):
    """Hand labels as DeepLabCut writes them: frame, x and y in pixels of each visible point of the tongue."""
    with path.open(newline="", encoding="utf-8") as file:
        _, parts, _, *rows = csv.reader(file)
    for row in rows:
        frame = int(row[0].rpartition("img")[2].removesuffix(".png"))
        for column in range(1, len(row), 2):
            if parts[column].startswith("tongue") and row[column]:
                yield frame, float(row[column]), float(row[column + 1])


@pytest.mark.parametrize("name", WITH_SOUND)
def test_durations_and_labelled_tongues_of_real_avis(shared, name):
    """The frame nearest in time to a labelled one is bright where the label says the tongue is."""
    path = shared / f"aaa_video/{name}.avi"
    with av.open(str(path)) as container:
        stamps = [frame.time for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        sounds = [(frame.time, frame.time + frame.samples / frame.sample_rate) for frame in container.decode(audio=0)]
    overlap = min(stamps[-1] + 0.008231, sounds[-1][1]) - max(stamps[0], sounds[0][0])
    candidate = only(path, AAAVideoReader())
    raw = candidate.reader.open(candidate, 112)
    synchronised = Synchronised(raw)
    frames = np.concatenate(list(synchronised.frames()))
    assert abs(len(frames) / FPS - overlap) <= 1 / FPS
    brighter = []
    for frame, x, y in labelled_tongue(shared / f"aaa_video/labels/{name}.CollectedData_AW.csv"):
        picture = frames[round((synchronised.raw_times[frame] - synchronised.start) * FPS)]
        column, row = (round(float(value)) for value in raw.picture.fit.to_pixels(x, y))
        brighter.append(picture[row, column] > picture.mean())
    assert len(brighter) >= 200
    assert np.mean(brighter) >= 0.9


@pytest.mark.parametrize("name", WITH_SOUND)
def test_auto_holds_the_labelled_tongues(shared, name):
    crop = VideoPicture(shared / f"aaa_video/{name}.avi", 112, "auto", False, 0.0).crop
    _, x, y = np.array(list(labelled_tongue(shared / f"aaa_video/labels/{name}.CollectedData_AW.csv"))).T
    assert crop[0] <= x.min()
    assert x.max() <= crop[0] + crop[2]
    assert crop[1] <= y.min()
    assert y.max() <= crop[1] + crop[3]
    assert crop[3] < 200  # of 240: the fan, not the black around it

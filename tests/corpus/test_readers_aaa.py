"""AAA recordings: real ones by the rules, made-up ones by closed forms and for every mistake."""

import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from raw_ultrasound import write_metadata, write_recording

from wav2uti.clock import samples_at
from wav2uti.corpus.fan import draw_fan
from wav2uti.corpus.formats.param import read_metadata
from wav2uti.corpus.formats.splines import CONFIDENT, contour_of, read_splines
from wav2uti.corpus.given import Given
from wav2uti.corpus.readers.aaa import AAAReader
from wav2uti.corpus.readers.tal import TaLReader
from wav2uti.corpus.readers.ultrasuite import UltraSuiteReader
from wav2uti.errors import InputError


def read_only(source, size=32, reader=None, given=None):
    (candidate,) = (reader or AAAReader()).find(source)
    return candidate.reader.read(replace(candidate, given=given or Given()), size)


@pytest.mark.parametrize("offset", [0.25, -0.2])
def test_picture_and_sound_keep_their_clock(tmp_path, offset):
    write_recording(tmp_path, TimeInSecsOfFirstFrame=str(offset), metadata="{}US.txt")
    recording = read_only(tmp_path)
    start = max(offset, 0.0)
    assert len(recording.frames) == round(60 * (offset + 1.0 - start))
    middle = recording.frames[:, 12, 16]
    np.testing.assert_allclose(middle, 100 * (start + np.arange(len(middle)) / 60), atol=1.01)
    expected = np.sin(2 * np.pi * 440 * (start + np.arange(len(recording.audio)) / 16_000)) / 2
    assert np.abs(recording.audio - expected)[200:].max() < 0.04  # half a sample of 440 Hz at 22.05 kHz


def test_scale_is_stated_unless_it_is_ultrasuites_nominal_one(tmp_path):
    write_recording(tmp_path / "a")
    write_recording(tmp_path / "b", metadata="{}.param", PixelsPerMm="10.000")
    true = read_only(tmp_path / "a", 40)
    # R = 20 samples / 0.5 per mm = 40 mm, half field 0.35 rad: the width 2 R sin(0.35) is less than the height.
    assert true.mm_per_pixel == pytest.approx(max(80 * math.sin(0.35), 40 - 8 * math.cos(0.35)) / 40)
    nominal = read_only(tmp_path / "b", 40, UltraSuiteReader())
    assert nominal.mm_per_pixel is None
    np.testing.assert_array_equal(nominal.frames, true.frames)  # the fan's shape needs no millimetres


def test_files_in_capitals_and_track0(tmp_path):
    write_recording(tmp_path)
    for old, new in (("001.ult", "001.ULT"), ("001US.txt", "001US.TXT"), ("001.wav", "001_Track0.wav")):
        (tmp_path / old).rename(tmp_path / new)
    assert len(read_only(tmp_path).frames) == 60


def test_prompt_that_ends_like_metadata_is_none(tmp_path):
    write_recording(tmp_path, name="status")
    (tmp_path / "virus.txt").write_text("virus\n")
    (tmp_path / "status.txt").write_text("status\n1/2/2019 12:35:56 PM\n07F, \n")
    recording = read_only(tmp_path)
    assert (recording.id, recording.text, recording.speaker) == ("status", "status", "07F")


def test_every_mistake_is_one_sentence(tmp_path):
    def sentence(folder):
        with pytest.raises(InputError) as caught:
            read_only(tmp_path / folder)
        message = str(caught.value)
        assert "001" in message
        assert message.endswith(".")
        assert "\n" not in message
        return message

    ult = write_recording(tmp_path / "size")
    ult.write_bytes(ult.read_bytes()[:-1])
    assert "no whole number of frames of 8 x 16" in sentence("size")
    write_recording(tmp_path / "empty").write_bytes(b"")
    assert "empty" in sentence("empty")
    write_recording(tmp_path / "key", FramesPerSec=None, Angle=None)
    assert "does not state Angle, FramesPerSec" in sentence("key")
    write_recording(tmp_path / "late", TimeInSecsOfFirstFrame="2.5")
    assert "do not overlap" in sentence("late")
    ult = write_recording(tmp_path / "no_wav")
    ult.with_suffix(".wav").unlink()
    assert "001_Track0.wav" in sentence("no_wav")
    ult = write_recording(tmp_path / "no_metadata")
    ult.with_name("001US.txt").unlink()
    assert "neither 001.param nor 001US.txt" in sentence("no_metadata")
    write_recording(tmp_path / "no_ult").unlink()
    assert "no 001.ult" in sentence("no_ult")
    ult = write_recording(tmp_path / "nan")
    soundfile.write(ult.with_suffix(".wav"), np.full(22_050, np.nan, dtype=np.float32), 22_050, subtype="FLOAT")
    assert "NaN" in sentence("nan")
    ult = write_recording(tmp_path / "splines")
    for count in (42, 0, -1, 10**30):
        ult.with_name("001_splines.csv").write_text(f"head\nP1\t1/1/2015\t0.25\ta\t{count}\t1.0\n")
        assert "001_splines.csv" in sentence("splines")
    ult = write_recording(tmp_path / "textgrid")
    ult.with_suffix(".TextGrid").write_text("nothing")
    assert "001.TextGrid" in sentence("textgrid")


def test_a_file_that_shrinks_is_a_sentence(tmp_path):
    ult = write_recording(tmp_path)
    (candidate,) = AAAReader().find(tmp_path)
    raw = AAAReader().open(candidate, 16)
    ult.write_bytes(ult.read_bytes()[:-5])
    with pytest.raises(InputError, match="became shorter"):
        list(raw.picture.blocks())


def test_what_the_user_says_goes_first(tmp_path):
    ult = write_recording(tmp_path)
    ult.with_suffix(".txt").write_text("status\n1/2/2019 12:35:56 PM\n07F, \n")
    given = Given(speaker="anna", task="word", text="stratus", language="en", split="val", offset=0.1)
    plain, recording = read_only(tmp_path), read_only(tmp_path, given=given)
    assert (plain.speaker, plain.task, plain.text, plain.language, plain.split) == ("07F", "other", "status", "", "")
    found = (recording.speaker, recording.task, recording.text, recording.language, recording.split)
    assert found == ("anna", "word", "stratus", "en", "val")
    # The first frame now stands a tenth of a second later in the sound, and the picture is the same.
    np.testing.assert_array_equal(recording.frames, plain.frames)
    later = slice(200, len(plain.audio) - 1600)
    np.testing.assert_allclose(recording.audio[later], plain.audio[1600:][later], atol=0.04)


def test_layouts_share_a_mixed_folder_out(tmp_path):
    write_recording(tmp_path / "a", "us")
    write_recording(tmp_path / "a", "bare").with_name("bareUS.txt").unlink()
    write_recording(tmp_path / "a", "plain", metadata="{}.param")
    write_recording(tmp_path / "a", "both", metadata="{}.param")
    write_metadata(tmp_path / "a" / "bothUS.txt")
    write_recording(tmp_path / "a", "only", metadata="{}.param").unlink()
    write_recording(tmp_path / "b", "synced", metadata="{}.param").with_suffix(".sync").write_bytes(b"")
    write_recording(tmp_path / "b", "beside", metadata="{}.param")
    write_recording(tmp_path / "b", "exported")
    write_recording(tmp_path / "b", "._copy")
    readers = AAAReader(), UltraSuiteReader(), TaLReader()
    assert [[c.id for c in reader.find(tmp_path)] for reader in readers] == [
        ["bare", "us", "exported"],
        ["both", "only", "plain"],
        ["beside", "synced"],
    ]
    # One file finds what the folder finds, whichever file of the recording it is.
    for reader in readers:
        for candidate in reader.find(tmp_path):
            for role in {"ultrasound", "metadata"} & candidate.files.keys():
                found = [(r.name, c.id, c.files) for r in readers for c in r.find(candidate.files[role])]
                assert found == [(reader.name, candidate.id, candidate.files)]


def write_splines(path, times, radius, angle, confidence):
    rows = ["Client\tDate\tTime\tPrompt\tn\tR\tAngle\tConfidence"]
    for time in times:
        cells = [f"{value:.4f}" for value in (*radius, *angle)] + [str(value) for value in confidence]
        rows.append("\t".join(["P1", "1/1/2015", f"{time:.4f}", "a", str(len(radius)), *cells]))
    path.write_text("\n".join(rows) + "\n")


def test_contour_only_where_splines_cover_every_frame(tmp_path):
    ult = write_recording(tmp_path)
    times = 0.25 + np.arange(100) / 100
    points = ([20.0, 21, 22, 23], [0.3, 0.1, -0.1, -0.3], [100, 90, 80, 5])
    write_splines(ult.with_name("001_splines.csv"), times, *points)
    contour = read_only(tmp_path).contour
    assert contour.shape == (60, 3, 2)  # the fourth point is not confident
    geometry = read_metadata(ult.with_name("001US.txt")).geometry
    x, y = geometry.to_pixels([22.0, 21, 20], [-0.1, 0.1, 0.3], 32)  # from left to right
    np.testing.assert_allclose(contour[30], np.stack([x, y], axis=1), atol=1e-3)
    # Splines belong to the frames: they move with them.
    np.testing.assert_allclose(read_only(tmp_path, given=Given(offset=0.1)).contour, contour, atol=1e-3)
    write_splines(ult.with_name("001_splines.csv"), times[:50], *points)
    assert read_only(tmp_path).contour is None


def test_a_hole_in_the_splines_leaves_no_contour(tmp_path):
    geometry = read_metadata(write_recording(tmp_path).with_name("001US.txt")).geometry
    path, points = tmp_path / "001_splines.csv", ([20.0, 21, 22], [0.3, 0.1, -0.1], [100, 90, 80])
    at = np.arange(10) / 60
    for times, covered in (
        (np.arange(20) / 100, True),
        ([0.0, 0.08, 0.12, 0.16], False),  # 0.0333 is more than 0.02 from both neighbours
        ([0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14], True),
        ([0.03, 0.05, 0.07, 0.09, 0.11, 0.13], False),  # the first frame
    ):
        write_splines(path, times, *points)
        assert (contour_of(read_splines(path), at, 0.02, geometry, 32) is not None) == covered


def test_file009_is_cut_where_its_wav_ends(shared):
    """250 raw frames from 1.01619 s at 122.541 Hz would last until 3.0563 s, but the wav ends at 2.9256 s."""
    folder = shared / "aaa_patkit/tongue_data_1_1"
    recording = read_only(folder, 56)
    assert (folder / "File009.ult").stat().st_size == 250 * 63 * 256
    sound = soundfile.info(folder / "File009.wav")
    last = 1.01619 + 249 / 122.541 + 1 / 122.541
    assert sound.frames / sound.samplerate < last
    # (2.9256 - 1.01619) * 60 = 114.56: the 115th frame would end after the wav.
    frames = math.floor((sound.frames / sound.samplerate - 1.01619) * 60)
    assert len(recording.frames) == frames == 114
    assert len(recording.audio) == samples_at(frames)
    assert (recording.text, recording.speaker, recording.contour) == ("na", "Pertti", None)
    assert recording.mm_per_pixel == pytest.approx(2 * 90 * math.sin(0.038 * 31) / 56)


def test_file009_sound_is_the_wavs(shared):
    folder = shared / "aaa_patkit/tongue_data_1_1"
    samples, rate = soundfile.read(folder / "File009.wav", dtype="float32")
    recording = read_only(folder, 16)
    at = 1.01619 + np.arange(len(recording.audio)) / 16_000
    direct = np.interp(at, np.arange(len(samples)) / rate, samples)
    lags = range(-5, 6)
    inner = slice(100, -100)
    scores = [np.corrcoef(np.roll(recording.audio, lag)[inner], direct[inner])[0, 1] for lag in lags]
    assert lags[int(np.argmax(scores))] == 0
    assert max(scores) > 0.98


def test_file156_contour_lies_on_bright_pixels(shared):
    recording = read_only(shared / "aaa_patkit/spline_test_token2", 112)
    # The wav ends at 2.0898 s: floor((2.0898 - 0.59569) * 60) = 89 frames, and 183 splines reach to 2.0869 s.
    assert recording.frames.shape == (89, 112, 112)
    assert recording.contour.shape[0] == 89
    assert (np.diff(recording.contour[:, :, 0], axis=1) > 0).mean() > 0.9  # from left to right


def test_orientation_of_the_fan(shared):
    """Under AAA's own splines the picture is at least twice as bright as under the mirrored ones."""
    folder, size = shared / "aaa_patkit/spline_test_token2", 448
    metadata = read_metadata(folder / "File156US.txt")
    splines = read_splines(folder / "File156_splines.csv")
    assert splines.radius.shape == (183, 42)
    raw = np.fromfile(folder / "File156.ult", dtype=np.uint8).reshape(-1, 63, 256)
    index = np.rint((splines.times - metadata.first_time) * metadata.rate).astype(int)
    assert (index[0], index[-1]) == (0, 183)
    images = draw_fan(raw[index], metadata.geometry, size)

    def brightness(sign):
        x, y = metadata.geometry.to_pixels(splines.radius, sign * splines.angle, size)
        frame, point = np.nonzero(splines.confidence >= CONFIDENT)
        return images[frame, np.rint(y[frame, point]).astype(int), np.rint(x[frame, point]).astype(int)].mean()

    assert brightness(1) >= 2 * brightness(-1)
    assert brightness(1) == pytest.approx(40, abs=3)  # formats.md: 42 and more, 19 to 20 mirrored
    assert brightness(-1) == pytest.approx(19.5, abs=1.5)


def test_reading_writes_nothing(shared, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(shared / "aaa_patkit/tongue_data_1_1", copy)
    before = sorted(copy.iterdir())
    read_only(copy, 16)
    assert sorted(copy.iterdir()) == before

"""Tables: every way of writing one, every mistake in one, what their rows read, and what they add to a corpus."""

import pickle
import time
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile

from wav2uti.corpus.formats.table import read_table
from wav2uti.corpus.given import Given
from wav2uti.corpus.readers.table import TableReader, about_candidates
from wav2uti.corpus.readers.video import VideoReader
from wav2uti.errors import InputError

PARAM = """NumVectors=8
PixPerVector=16
ZeroOffset=4
BitsPerPixel=8
Angle=0.1
PixelsPerMm=0.5
FramesPerSec=100
TimeInSecsOfFirstFrame=0
"""
# A plain grey that changes by a level or not at all is "repeated" to the quality checks.
pytestmark = pytest.mark.filterwarnings("ignore:.*distinct frames")


def table(folder, text, name="recordings.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def write_sine(path, hertz, seconds=1.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.sin(2 * np.pi * hertz * np.arange(int(seconds * 16_000)) / 16_000) / 2, 16_000)
    return path


def write_ult(folder, name, metadata="{}.param"):
    """A second of raw ultrasound whose grey is 100 times the time, without its sound."""
    folder.mkdir(parents=True, exist_ok=True)
    grey = np.arange(100, dtype=np.uint8)
    np.broadcast_to(grey[:, None, None], (100, 8, 16)).tofile(folder / f"{name}.ult")
    (folder / metadata.format(name)).write_text(PARAM)
    return folder / f"{name}.ult"


def write_video(path, first=0.0, hertz=None):
    """A second of video whose grey is 100 times the time after its first frame; a sine as its sound, if wanted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=100)
        video.width, video.height, video.pix_fmt = 32, 24, "gray"
        video.time_base = video.codec_context.time_base = Fraction(1, 1000)
        audio = container.add_stream("pcm_s16le", rate=16_000, layout="mono") if hertz else None
        if audio is not None:
            samples = np.sin(2 * np.pi * hertz * np.arange(16_000) / 16_000) / 2
            frame = av.AudioFrame.from_ndarray(np.int16(samples * 32767)[None], format="s16", layout="mono")
            frame.rate, frame.pts, frame.time_base = 16_000, 0, Fraction(1, 16_000)
            container.mux(audio.encode(frame))
        for index in range(100):
            picture = av.VideoFrame.from_ndarray(np.full((24, 32), index, dtype=np.uint8), format="gray")
            picture.pts, picture.time_base = round(first * 1000) + 10 * index, Fraction(1, 1000)
            container.mux(video.encode(picture))
        for stream in (video, *([audio] if audio is not None else [])):
            container.mux(stream.encode(None))
    return path


def pitch(recording):
    """Hertz of the loudest partial."""
    spectrum = np.abs(np.fft.rfft(recording.audio))
    return round(int(spectrum.argmax()) * 16_000 / len(recording.audio) / 10) * 10


def read(candidate):
    return candidate.reader.read(candidate, 32)


def test_every_column(tmp_path):
    path = table(
        tmp_path,
        "ID,Video,metadata,audio,text,speaker,task,language,split,offset,crop,hflip,textgrid\n"
        'r1,s1\\a.avi,,/data/a.wav,"good  morning, ""you""",S1,stn,en-GB,dev,"-0,25","1, 2,30,40",yes,s1/a.TextGrid\n'
        "\n ,, \n"
        'r2,b.avi,,,"two\nlines",,V,,eval,1e-1,AUTO,0,\n'
        "r3,,,,,,,,,,,,\n",
    )
    first, second, third = read_table(path)
    assert (first.line, first.id, first.table) == (2, "r1", path)
    assert {role: str(file) for role, file in first.files.items()} == {
        "video": f"{tmp_path}/s1/a.avi",
        "sound": "/data/a.wav",
        "textgrid": f"{tmp_path}/s1/a.TextGrid",
    }
    assert first.given == Given(
        speaker="S1",
        task="sentence",
        text='good morning, "you"',
        language="en-GB",
        split="val",
        offset=-0.25,
        crop=(1, 2, 30, 40),
        hflip=True,
    )
    assert (second.line, second.id) == (5, "r2")
    assert second.given == Given(task="vowel", text="two lines", split="test", offset=0.1, crop="auto", hflip=False)
    assert (third.line, third.files, third.given) == (7, {}, Given())


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_delimiters_and_encodings(tmp_path, delimiter, encoding, newline):
    text = '"speaker";ult;crop;text\nS1;a.ult;"1;2;3;4";舌头在动\nS2;b.ult;auto;\n'
    path = table(tmp_path, text.replace(";", delimiter).replace("\n", newline), encoding=encoding)
    if delimiter == "\t":  # blanks part the numbers of a crop
        path = table(tmp_path, path.read_bytes().decode(encoding).replace('"1\t2\t3\t4"', "1 2 3 4"), encoding=encoding)
    rows = read_table(path)
    assert [row.given.speaker for row in rows] == ["S1", "S2"]
    assert rows[0].given.text == "舌头在动"
    assert rows[0].given.crop == (1, 2, 3, 4)
    assert [list(row.files) for row in rows] == [["ultrasound"]] * 2


def test_latin_and_an_empty_last_column(tmp_path):
    path = table(tmp_path, "id;text;\nr1;été;\n", encoding="iso-8859-15")
    assert read_table(path)[0].given.text == "été"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has no rows"),
        ("id,text\n\n", "has no rows"),
        ("id,sex\nr1,M\n", "unknown column 'sex' in its header: the columns are id, video, ult, metadata, audio"),
        ("a.avi,S1\nb.avi,S2\n", "unknown column 'a.avi'"),
        ("text,speaker\nhi,S1\n", "neither a column video nor ult nor id"),
        ("id,id\nr1,r1\n", "column 'id' twice"),
        ("id,text\nr1,good, morning\n", "'morning' in line 2 under no column"),
        ("id,text\n,hi\n", "names no video, ult or id in line 2"),
        ("video,ult\na.avi,a.ult\n", "a video and an ult in line 2"),
        ("id,text\nr1,a\nr2,\nr1,b\n", "id 'r1' in the lines 2 and 4"),
        ("id,offset\nr1,0\nr2,soon\n", "'soon' in line 3, column offset: give seconds"),
        ("id,offset\nr1,nan\n", "'nan' in line 2, column offset"),
        ("id,offset\nr1,1e9\n", "'1e9' in line 2, column offset"),
        ("id,crop\nr1,1 2 3\n", "'1 2 3' in line 2, column crop: give x, y, width and height"),
        ("id,crop\nr1,1 2 0 4\n", "column crop"),
        ("id,crop\nr1,-1 2 3 4\n", "column crop"),
        ("id,hflip\nr1,maybe\n", "column hflip: give yes or no"),
        ("id,task\nr1,singing\n", "column task: give vowel, word, sentence or other"),
        ("id,split\nr1,half\n", "column split: give train, val or test"),
        ("id,language\nr1,Chinese\n", "column language: give a language tag"),
        ("id\na/b\n", "column id: give a name without a slash"),
        ("id\n.a\n", "column id"),
        ("video\na\u200bb.avi\n", "column video: give the path of a file"),
        ("video\n" + "a" * 300 + "\n", "column video: give the path of a file"),
        ('id,text\nr1,"never closed\nr2,b\n', "from line 2 on"),
        ('id,text\nr1,"closed"too early\n', "from line 2 on"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, text, sentence):
    path = table(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read_table(path)
    message = str(caught.value)
    assert str(path) in message
    assert sentence in message
    assert message.endswith(".")
    assert "\n" not in message
    with pytest.raises(InputError, match="cannot be read"):
        read_table(tmp_path / "other.csv")


def test_two_megabytes_take_a_second_not_hours(tmp_path):
    rows = "".join(f'r{n},s/{n}.avi,"good morning, {n}",S{n % 50},stn,"0,{n % 9}",1 2 3 4\n' for n in range(30_000))
    hostile = {
        "two megabytes": "id,video,text,speaker,task,offset,crop\n" + rows,
        "delimiters": "id\n" + ",\n" * 300_000,
        "quotes": '"' * 600_000,
        "a crop": 'id,crop\nr,"' + "1 " * 60_000 + '"\n',
        "an open quote": 'id,text\nr,"' + "a\n" * 300_000,
    }
    for name, text in hostile.items():
        path = table(tmp_path, text)
        start = time.perf_counter()
        try:
            assert len(read_table(path)) == 30_000
        except InputError:
            assert name != "two megabytes"
        assert time.perf_counter() - start < 6, name


def test_rows_of_every_kind_are_read(tmp_path):
    write_ult(tmp_path / "u", "a")
    write_sine(tmp_path / "sounds" / "x.wav", 300)
    write_ult(tmp_path / "aaa", "b", "other.txt")
    write_sine(tmp_path / "aaa" / "b.wav", 500)
    (tmp_path / "aaa" / "b.txt").write_text("a prompt\n1/2/2019\nS9\n")
    write_video(tmp_path / "v" / "c.mkv", hertz=700)
    write_video(tmp_path / "v" / "d.mkv", hertz=700)
    path = table(
        tmp_path,
        "id,ult,video,metadata,audio,speaker,text\n"
        "first,u/a.ult,,,sounds/x.wav,S1,\n"
        ",aaa/b.ult,,aaa/other.txt,,,\n"
        ",,v/c.mkv,,,S2,hello\n"
        ",,v/d.mkv,,sounds/x.wav,S3,\n",
    )
    assert [candidate.id for candidate in TableReader().find(path)] == ["first", "b", "c", "d"]
    candidates = pickle.loads(pickle.dumps(TableReader().find(tmp_path)))  # as sent to another process
    recordings = [read(candidate) for candidate in candidates]
    assert [pitch(recording) for recording in recordings] == [300, 500, 700, 300]
    assert [recording.speaker for recording in recordings] == ["S1", "S9", "S2", "S3"]
    assert [recording.text for recording in recordings] == ["", "a prompt", "hello", ""]
    assert [len(recording.frames) for recording in recordings] == [60] * 4
    for recording in recordings:
        row = 12 if recording.id in ("first", "b") else 16
        np.testing.assert_allclose(recording.frames[:, row, 16], 100 * np.arange(60) / 60, atol=1.6)


@pytest.mark.parametrize(("first", "offset"), [(0.0, 0.0), (0.19, 0.0), (0.19, 0.3), (0.0, -0.2)])
def test_a_sound_of_its_own_begins_with_the_video_but_for_the_offset(tmp_path, first, offset):
    write_video(tmp_path / "a.mkv", first, hertz=700)
    write_sine(tmp_path / "b.wav", 300, seconds=2.0)
    table(tmp_path, f"video,audio,speaker,offset\na.mkv,b.wav,S1,{offset}\n")
    (candidate,) = TableReader().find(tmp_path)
    recording = read(candidate)
    assert pitch(recording) == 300
    start = max(offset, 0.0)  # on the sound's clock
    expected = np.clip(100 * (start + np.arange(len(recording.frames)) / 60 - offset), 0, 99)
    np.testing.assert_allclose(recording.frames[:, 16, 16], expected, atol=1.6)
    sine = np.sin(2 * np.pi * 300 * (start + np.arange(len(recording.audio)) / 16_000)) / 2
    np.testing.assert_allclose(recording.audio[200:-200], sine[200:-200], atol=0.01)


def test_a_missing_file_names_its_line(tmp_path):
    write_video(tmp_path / "a.mkv", hertz=700)
    path = table(tmp_path, "video,audio\na.mkv,\nb.mkv,\na.mkv,c.wav\n")
    good, *bad = TableReader().find(path)
    assert read(good).id == "a"
    for candidate, name, line in zip(bad, ("b.mkv", "c.wav"), (3, 4), strict=True):
        assert all(file.is_file() for file in candidate.files.values())
        with pytest.raises(InputError) as caught:
            pickle.loads(pickle.dumps(candidate)).reader.open(candidate, 32)
        assert str(caught.value) == (
            f"There is no file {tmp_path / name}, which line {line} of {path} names: correct the path."
        )


def test_which_table_counts(tmp_path):
    assert TableReader().find(tmp_path) == []
    write_video(tmp_path / "a.mkv", hertz=700)
    table(tmp_path, "video\na.mkv\n", "other.csv")
    assert TableReader().find(tmp_path) == []
    assert [candidate.id for candidate in TableReader().find(tmp_path / "other.csv")] == ["a"]
    assert TableReader().find(tmp_path / "a.mkv") == []
    table(tmp_path, "id,video\nx,a.mkv\ny,\n", "Recordings.CSV")
    assert [candidate.id for candidate in TableReader().find(tmp_path)] == ["x"]  # a row with an id alone is for others
    table(tmp_path, "video\na.mkv\n", "recordings.tsv")
    with pytest.raises(InputError, match=r"holds Recordings.CSV and recordings.tsv: name one"):
        TableReader().find(tmp_path)


def test_a_table_about_recordings_found_elsewhere(tmp_path):
    for name in ("a", "b", "c"):
        write_video(tmp_path / "v" / f"{name}.mkv", hertz=700)
    write_sine(tmp_path / "b.wav", 300)
    given = Given(speaker="everyone", language="de")
    found = [replace(candidate, given=given) for candidate in VideoReader().find(tmp_path / "v")]
    rows = read_table(table(tmp_path, "id,video,speaker,audio\na,,S1,\n,v/../v/b.mkv,S2,b.wav\n", "about.csv"))
    said = about_candidates(rows, found)
    assert [candidate.id for candidate in said] == ["a", "b", "c"]
    assert [candidate.given.speaker for candidate in said] == ["S1", "S2", "everyone"]
    assert {candidate.given.language for candidate in said} == {"de"}
    assert [pitch(read(candidate)) for candidate in said] == [700, 300, 700]
    assert [candidate.given.speaker for candidate in found] == ["everyone"] * 3


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("id\na\nz\n", "No recording was found for 'z' in line 3 of"),
        ("video\nz.mkv\n", "z.mkv' in line 2 of"),
        ("id,audio\na,z.wav\n", "There is no file .*z.wav, which line 2 of"),
        ("id,video\na,\n,a.mkv\n", "Both line 2 of .* and line 3 speak of 'a': keep one"),
    ],
)
def test_a_row_about_nothing_is_refused(tmp_path, text, sentence):
    write_video(tmp_path / "a.mkv", hertz=700)
    found = VideoReader().find(tmp_path)
    with pytest.raises(InputError, match=sentence) as caught:
        about_candidates(read_table(table(tmp_path, text, "about.csv")), found)
    assert str(tmp_path) in str(caught.value)

"""mp4 files, read back with PyAV."""

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from wav2uti.clock import samples_at
from wav2uti.errors import InputError
from wav2uti.video.reference_frame import read_reference
from wav2uti.video.write import caption_strip, write_mp4


def ramp(frames: int, height: int = 64, width: int = 64) -> NDArray[np.uint8]:
    """Frames that are even grey, brighter from one to the next."""
    levels = np.linspace(20, 235, frames).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None], (frames, height, width)).copy()


@pytest.mark.parametrize("count", [1, 7, 61, 120])
def test_both_streams_last_as_long_as_the_frames(tmp_path: Path, count: int) -> None:
    path = tmp_path / "tongue.mp4"
    write_mp4(path, ramp(count), np.zeros(samples_at(count) + 500, dtype=np.float32))
    with av.open(str(path)) as container:
        for stream in container.streams:
            assert stream.start_time == 0
            assert stream.duration is not None
            assert float(stream.duration * stream.time_base) == pytest.approx(count / 60, abs=1.5e-3)
        assert container.streams.video[0].frames == count
        assert container.streams.video[0].average_rate == 60
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


def test_grey_levels_and_times_survive(tmp_path: Path) -> None:
    path = tmp_path / "tongue.mp4"
    write_mp4(path, ramp(30))
    with av.open(str(path)) as container:
        assert not container.streams.audio
        decoded = [(frame.time, frame.to_ndarray(format="gray")) for frame in container.decode(video=0)]
    assert [time for time, _ in decoded] == pytest.approx([index / 60 for index in range(30)])
    levels = [picture.mean() for _, picture in decoded]
    np.testing.assert_allclose(levels, ramp(30).mean(axis=(1, 2)), atol=2.0)


def test_a_click_in_the_sound_stands_at_its_frame(tmp_path: Path) -> None:
    path = tmp_path / "tongue.mp4"
    audio = np.zeros(samples_at(150), dtype=np.float32)
    audio[samples_at(90) : samples_at(90) + 16] = 0.9
    write_mp4(path, ramp(150), audio)
    with av.open(str(path)) as container:
        pieces = [(piece.time, piece.to_ndarray().ravel()) for piece in container.decode(audio=0)]
    times = np.concatenate([time + np.arange(len(piece)) / 16000 for time, piece in pieces])
    loudest = np.abs(np.concatenate([piece for _, piece in pieces])).argmax()
    assert times[loudest] == pytest.approx(1.5, abs=2e-3)


@pytest.mark.parametrize(
    ("size", "expected"), [((64, 64), (448, 448)), ((63, 65), (504, 520)), ((449, 601), (450, 602))]
)
def test_small_pictures_are_enlarged_to_even_sizes(
    tmp_path: Path, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    path = tmp_path / "tongue.mp4"
    write_mp4(path, ramp(2, *size))
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert (video.height, video.width) == expected


def test_the_caption_stands_below_the_picture_and_in_the_metadata(tmp_path: Path) -> None:
    path = tmp_path / "tongue.mp4"
    caption = "SIMULATED TRAINING DATA"
    write_mp4(path, np.zeros((2, 64, 64), dtype=np.uint8), caption=caption, title="a tongue")
    with av.open(str(path)) as container:
        assert container.metadata["title"] == "a tongue"
        assert container.metadata["comment"] == caption
        picture = next(container.decode(video=0)).to_ndarray(format="gray")
    assert picture.shape[0] > 448
    assert picture.shape[0] % 2 == 0
    assert picture[:440].max() < 10  # nothing over the tongue
    assert picture[448:].max() > 150  # the words
    many = caption_strip(caption * 10, 448)
    assert many.shape[0] > caption_strip(caption, 448).shape[0]  # a long one takes more lines
    assert caption_strip("", 448).shape == (0, 448)


def test_the_index_is_in_front_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_mp4(tmp_path / "new" / "tongue.mp4", ramp(5))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["tongue.mp4"]
    content = (tmp_path / "new" / "tongue.mp4").read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="frames must be"):
        write_mp4(tmp_path / "x.mp4", ramp(0))
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        write_mp4(tmp_path / "file" / "x.mp4", ramp(2))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_reference_frame_is_read_from_a_picture(tmp_path: Path) -> None:
    Image.new("RGB", (200, 100), (90, 90, 90)).save(tmp_path / "frame.jpg")
    frame = read_reference(tmp_path / "frame.jpg", 64)
    assert frame.shape == (64, 64)
    assert frame.dtype == np.uint8
    np.testing.assert_allclose(frame, 90, atol=1)
    with pytest.raises(InputError, match="there is no such file"):
        read_reference(tmp_path / "absent.png", 64)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(InputError, match="cannot be read as a picture"):
        read_reference(tmp_path / "text.png", 64)

"""Videos beside each other in one mp4, read back with PyAV."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media_files import halves, shrunk
from numpy.typing import NDArray

from wav2uti.errors import InputError
from wav2uti.video.side_by_side import beside, write_side_by_side


def slope(level: int, frames: int = 5, size: int = 16) -> NDArray[np.uint8]:
    """Frames that are brighter to the right, and from one to the next."""
    levels = level + 5 * np.arange(size) + 9 * np.arange(frames)[:, None, None]
    return np.broadcast_to(levels, (frames, size, size)).astype(np.uint8)


def test_each_half_is_its_video(tmp_path: Path) -> None:
    one, other = slope(20), slope(120)
    write_side_by_side(tmp_path / "both.mp4", [("real", one), ("generated", other)], Fraction(15, 2), "SIMULATED", "t")
    for half, frames in zip(halves(tmp_path / "both.mp4"), (one, other), strict=True):
        assert np.abs(shrunk(half, 16) - frames).mean() < 6
    with av.open(str(tmp_path / "both.mp4")) as container:
        assert container.streams.video[0].average_rate == Fraction(15, 2)
        assert (container.metadata["comment"], container.metadata["title"]) == ("SIMULATED", "t")
    assert [path.name for path in tmp_path.iterdir()] == ["both.mp4"]


def test_the_labels_stand_below_their_own_video() -> None:
    (picture,) = beside([("", slope(20, 1)), ("generated", slope(120, 1))])
    below = picture[448:]
    assert len(below) > 20
    assert below[:, 456:].max() > 150
    assert below[:, :448].max() == below[:, :448].min() < 50  # no word


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    for videos in ([], [("a", slope(0)), ("b", slope(0, 4))], [("a", slope(0)[:0])]):
        with pytest.raises(InputError, match="frames \\(T, H, W\\) of one shape"):
            write_side_by_side(tmp_path / "both.mp4", videos)
    assert not list(tmp_path.iterdir())

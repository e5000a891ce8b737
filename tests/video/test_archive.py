"""Frames in .npz files, written and read in parts."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from wav2uti.errors import InputError
from wav2uti.video.archive import frames_of, opened_npz


def noise(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, 5, 7), dtype=np.uint8)


def test_parts_are_the_file_that_numpy_would_write(tmp_path: Path) -> None:
    frames = noise(150)
    path = tmp_path / "new" / "x.npz"
    with opened_npz(path, frames.shape, fps=60, note="made up") as file:
        assert not path.exists()
        for part in np.split(frames, [1, 1, 60, 149]):
            file.add(part)
    np.savez_compressed(tmp_path / "numpy.npz", frames=frames, fps=60, note="made up")
    with np.load(path, allow_pickle=False) as ours, np.load(tmp_path / "numpy.npz") as theirs:
        assert ours.files == theirs.files
        for name in theirs.files:
            assert ours[name].dtype == theirs[name].dtype
            np.testing.assert_array_equal(ours[name], theirs[name])
    np.testing.assert_array_equal(np.concatenate(list(frames_of(path))), frames)
    assert [entry.name for entry in path.parent.iterdir()] == ["x.npz"]


@pytest.mark.parametrize(("count", "mistake"), [(3, None), (4, KeyboardInterrupt)])
def test_a_file_that_is_not_whole_is_none(tmp_path: Path, count: int, mistake: type[BaseException] | None) -> None:
    def write() -> None:
        with opened_npz(tmp_path / "x.npz", (4, 5, 7)) as file:
            file.add(noise(count))
            if mistake is not None:
                raise mistake

    with pytest.raises(mistake or ValueError, match=None if mistake else "3 frames were added to a file of 4"):
        write()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"), opened_npz(tmp_path / "file" / "x.npz", (4, 5, 7)):
        pass

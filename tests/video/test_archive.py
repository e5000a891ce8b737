"""Archives of frames and more, written and read in parts: the same in .npz and .h5."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from wav2uti.errors import InputError
from wav2uti.video import archive as module
from wav2uti.video.archive import opened_archive


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def contents(path: Path) -> Iterator[tuple[str, Any]]:
    """Arrays and single values by name, as a user reads them."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            yield from ((name, file[name]) for name in file.files)
    else:
        with h5py.File(path) as file:
            yield from ((name, array[()]) for name, array in file.items())
            yield from file.attrs.items()


@pytest.mark.parametrize("ending", ["npz", "h5"])
def test_parts_are_what_is_read_of_all_at_once(tmp_path: Path, ending: str) -> None:
    frames, samples = noise(150, 5, 7), noise(3, 150, 5, 7)
    mean, path = samples.mean(1, dtype=np.float32), tmp_path / "new" / f"x.{ending}"
    with opened_archive(path, 150) as file:
        assert not path.exists()
        for part in np.split(np.arange(150), [1, 1, 60, 149]):
            file.add("frames", frames[part])
            for k in range(3):
                file.add("samples", samples[k, part], k)
        file.add("mean", np.repeat(mean[:1], 150, axis=0))
        file.about(fps=60, note="made up", seeds=np.arange(3), origin=np.array([1.5, 2.5]))
        np.testing.assert_array_equal(np.concatenate(list(file.parts("frames"))), frames)
        np.testing.assert_array_equal(np.concatenate(list(file.parts("samples", 2))), samples[2])
    expected = {
        "frames": frames, "samples": samples, "mean": np.repeat(mean[:1], 150, axis=0), "fps": 60, "note": "made up",
        "seeds": np.arange(3), "origin": np.array([1.5, 2.5]),
    }  # fmt: skip
    found = dict(contents(path))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
        if isinstance(value, np.ndarray):
            assert found[name].dtype == value.dtype, name
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_samples_longer_than_memory_are_copied_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sample of more than a few MB by itself: the order in the file is that of the array."""
    monkeypatch.setattr(module, "_AT_MOST", 16)
    samples = noise(2, 130, 3, 4)
    with opened_archive(tmp_path / "x.npz", 130) as file:
        for k in range(2):
            file.add("samples", samples[k], k)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npz")["samples"], samples)


@pytest.mark.parametrize("ending", ["npz", "h5"])
@pytest.mark.parametrize(
    ("count", "mistake", "said"),
    [(3, None, "3 frames were added to a file of 4"), (5, None, "more than 4"), (4, KeyboardInterrupt, None)],
)
def test_a_file_that_is_not_whole_is_none(
    tmp_path: Path, ending: str, count: int, mistake: type[BaseException] | None, said: str | None
) -> None:
    def write() -> None:
        with opened_archive(tmp_path / f"x.{ending}", 4) as file:
            file.add("frames", noise(count, 5, 7))
            if mistake is not None:
                raise mistake

    with pytest.raises(mistake or ValueError, match=said):
        write()
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"), opened_archive(tmp_path / "file" / "x.npz", 4):
        pass
    with pytest.raises(InputError, match=r"neither \.npz nor \.h5"), opened_archive(tmp_path / "x.mat", 4):
        pass

    def full(*_: object, **__: object) -> None:
        raise RuntimeError("Unable to synchronously flush (file write failed)")  # as HDF5 says it

    monkeypatch.setattr(h5py.Group, "create_dataset", full)
    with pytest.raises(InputError, match="No space left"), opened_archive(tmp_path / "x.h5", 4) as file:
        file.add("frames", noise(4, 5, 7))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    # What the drawing itself raises stays what it is.
    monkeypatch.undo()
    with pytest.raises(RuntimeError, match="out of memory"), opened_archive(tmp_path / "x.h5", 4):
        raise RuntimeError("CUDA out of memory")

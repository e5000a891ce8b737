"""One recording to a part: whole or not at all, in constant memory, with the words for what goes wrong."""

import resource
import shutil
import tracemalloc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wav2uti.corpus.raw import Block, Picture, RawRecording
from wav2uti.corpus.sound import Sound, SoundFacts
from wav2uti.errors import InputError, OutOfSpace
from wav2uti.prepare.make import Recipe, Work, examine, make_part
from wav2uti.prepare.part import Part, part_name, read_part
from wav2uti.speech.acoustic import LogMel
from wav2uti.speech.textual import CharacterCodes

RECIPE = Recipe(16, LogMel(), CharacterCodes())


class Endless(Sound):
    """A hum, never held whole."""

    rate = 22_050

    def __init__(self, seconds: float) -> None:
        self.facts = SoundFacts(round(seconds * self.rate), 0.1, 0.0, 0.0, "hum")

    def read(self, first: int, last: int) -> np.ndarray:
        at = np.arange(first, min(last, self.facts.samples))
        return np.float32(0.1) * np.sin(2 * np.pi * 100 * at / self.rate, dtype=np.float32)


@dataclass
class Grey(Picture):
    """Frames of one grey, 100 a second."""

    seconds: float
    kind = "grey"

    def blocks(self) -> Iterator[Block]:
        for start in range(0, round(100 * self.seconds), 200):
            number = start + np.arange(200)
            yield number / 100, np.broadcast_to((number % 251)[:, None, None], (200, 16, 16)).astype(np.uint8)

    def draw(self, frames: np.ndarray) -> np.ndarray:
        return frames


@dataclass(frozen=True)
class Made(Work):
    seconds: float
    error: Exception | None = None
    id: str = "hum"

    def open(self, size: int) -> RawRecording:
        if self.error:
            raise self.error
        return RawRecording(
            id=self.id, picture=Grey(self.seconds), sound=Endless(self.seconds), speaker="ann", text="hum", source="hum"
        )

    def origin(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def is_made_from(self, origin: Mapping[str, Any]) -> bool:
        return origin == self.origin()


def test_a_part_holds_the_recording(tmp_path: Path) -> None:
    report = make_part(Made(4.0), RECIPE, tmp_path)
    part = read_part(tmp_path / part_name("hum"))
    assert part is not None
    assert part.report == report
    assert part.origin == {"seconds": 4.0}
    assert (report.frames, report.kind, report.sound_rate, report.speaker) == (240, "grey", 22_050, "ann")
    assert {name: array.shape for name, array in part.arrays.items()} == {
        "frames": (240, 16, 16),
        "audio": (64_000,),
        "acoustic/logmel": (240, 80),
        "text/characters64": (3, 64),
    }
    assert report.bytes == sum(array.nbytes for array in part.arrays.values())
    np.testing.assert_allclose(part.arrays["frames"][120:140][:, 3, 3], 200 + np.arange(20) / 0.6, atol=0.51)
    sound = part.arrays["audio"][0:64_000].astype(np.float32) / 32768
    np.testing.assert_allclose(part.arrays["acoustic/logmel"][0:240], LogMel().encode(sound, 240), rtol=2e-3, atol=2e-3)
    assert [path.name for path in tmp_path.iterdir()] == [part_name("hum")]


def test_a_dry_run_gives_the_same_report_and_no_file(tmp_path: Path) -> None:
    report = make_part(Made(4.0), RECIPE, tmp_path)
    looked = examine(Made(4.0), 16)
    assert (looked.frames, looked.quality, looked.bytes) == (report.frames, report.quality, 0)


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    peaks = []
    for seconds in (60.0, 360.0):
        make_part(Made(seconds), RECIPE, tmp_path)  # the first time: caches
        shutil.rmtree(tmp_path / part_name("hum"))
        tracemalloc.start()
        make_part(Made(seconds), RECIPE, tmp_path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        shutil.rmtree(tmp_path / part_name("hum"))
    assert peaks[1] < 1.1 * peaks[0]


def test_a_part_that_is_cut_or_odd_is_none(tmp_path: Path) -> None:
    make_part(Made(1.0), RECIPE, tmp_path)
    folder = tmp_path / part_name("hum")
    assert read_part(tmp_path / "nothing") is None
    frames = (folder / "frames").read_bytes()
    (folder / "frames").write_bytes(frames[:-1])
    assert read_part(folder) is None
    (folder / "frames").write_bytes(frames)
    assert read_part(folder) is not None
    (folder / "about.json").write_text("{}")
    assert read_part(folder) is None


def test_what_goes_wrong_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no sound"):
        make_part(Made(1.0, InputError("a.avi has no sound")), RECIPE, tmp_path)
    denied = PermissionError(13, "Permission denied", "a.ult")
    with pytest.raises(InputError, match=r"a\.ult cannot be read \(Permission denied\): check the file"):
        make_part(Made(1.0, denied), RECIPE, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_no_fault_of_the_recording(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
    try:
        with pytest.raises(OutOfSpace, match=r"cannot be written .*free space or choose another folder"):
            make_part(Made(4.0), RECIPE, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_two_processes_may_make_the_same_part(tmp_path: Path) -> None:
    path = tmp_path / part_name("hum")
    report = examine(Made(1.0), 16)
    with Part(path) as first, Part(path) as second:
        for part in (first, second):
            part.append("frames", np.zeros((3, 2, 2), np.uint8))
            part.finish(RECIPE.as_json(), report, {})
    assert read_part(path) is not None
    assert [p.name for p in tmp_path.iterdir()] == [path.name]

"""Which sound files paths, folders and patterns stand for, and that no results overwrite others."""

import os
from pathlib import Path, PurePath

import pytest

from wav2uti.errors import InputError
from wav2uti.video.sounds import find_sounds


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    sounds = "rec/x.wav rec/day1/x.wav rec/day2/x.WAV rec/day2/y.flac other/x.wav other/x.flac"
    others = "rec/day2/y.txt rec/.hidden/x.wav rec/day1/._x.wav other/notes.csv"
    for name in f"{sounds} {others}".split():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def results(given: list[str | Path]) -> list[str]:
    return [str(sound.folder / sound.name) for sound in find_sounds([str(one) for one in given])]


def test_a_folder_is_searched_below_and_keeps_its_folders(tree: Path) -> None:
    sounds = find_sounds([str(tree / "rec")])
    assert [sound.path for sound in sounds] == [
        tree / "rec" / name for name in ("day1/x.wav", "day2/x.WAV", "day2/y.flac", "x.wav")
    ]
    assert [sound.folder / sound.name for sound in sounds] == [
        PurePath(name) for name in ("day1/x", "day2/x", "day2/y", "x")
    ]


def test_a_pattern_keeps_the_folders_that_it_leaves_open(tree: Path) -> None:
    assert results([f"{tree}/rec/*/x.*"]) == ["day1/x", "day2/x"]
    assert results([f"{tree}/rec/**/y.flac"]) == ["day2/y"]
    assert results([f"{tree}/rec/day[2]/x.*"]) == ["day2/x"]
    with pytest.raises(InputError, match=r"No file matches .*z\*\.wav: check the pattern"):
        find_sounds([f"{tree}/rec/z*.wav"])
    with pytest.raises(InputError, match="No file matches"):  # a folder alone is no sound
        find_sounds([f"{tree}/re*"])


def test_single_files_lie_side_by_side_whatever_their_names(tree: Path) -> None:
    odd = tree / "rec" / "a[1]*.raw"
    odd.touch()
    assert results([odd, tree / "rec/day1/x.wav", tree / "absent.wav"]) == ["a[1]*", "x", "absent"]


def test_each_file_once(tree: Path) -> None:
    (tree / "link.wav").symlink_to(tree / "rec/x.wav")
    given = [tree / "rec/x.wav", tree / "rec/../rec/x.wav", tree / "link.wav", f"{tree}/rec/x.*"]
    assert results(given) == ["x"]


def test_results_never_overwrite_each_other(tree: Path) -> None:
    assert results([tree / "rec/day1/x.wav", tree / "rec/day2/x.WAV"]) == ["day1/x", "day2/x"]
    assert results([tree / "other/x.wav", tree / "other/x.flac"]) == ["x.wav", "x.flac"]
    assert results([tree / "rec", tree / "other/x.wav"])[-2:] == ["rec/x", "other/x"]
    # One that is named as what another one's results are called.
    for name in ("x.spread.wav", "x_splines.wav", "x.truth.wav"):
        (tree / "other" / name).touch()
    names = results([tree / "other/x.wav", *(tree / "other" / f"x{end}.wav" for end in (".spread", "_splines"))])
    assert len(set(names)) == 3
    assert names[0] != "x"


@pytest.mark.skipif(os.name == "nt", reason="such two files cannot be there")
def test_names_that_only_case_tells_apart(tree: Path) -> None:
    (tree / "other" / "X.wav").touch()
    names = results([tree / "other/x.wav", tree / "other/X.wav"])
    assert len({name.casefold() for name in names}) == 2


def test_a_folder_without_sound_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no sound file in .* or below it: they end in \.wav"):
        find_sounds([str(tmp_path)])

"""Names from outside: whatever they are, no file leaves its folder and no line becomes two."""

from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest

from wav2uti.errors import InputError, OutOfSpace
from wav2uti.names import file_name, printable, recording_id

pytest.importorskip("hypothesis")
from hypothesis import example, given
from hypothesis import strategies as st

AWKWARD = [
    "..",
    ".",
    "",
    "../../etc/passwd",
    "/etc/passwd",
    "..\\..\\boot.ini",
    "C:\\windows\\x",
    "C:",
    "a:stream",
    "\\\\server\\share",
    "-rf",
    "--output=x",
    "~root",
    ".hidden",
    "nul",
    "COM1.x",
    "a\0b",
    "a\nb",
    "a\x1b[2Jb",
    "\u202egnp.exe",
    "\udcff",
    "a" * 300,
    "é" * 200,
    "妈" * 100,
    " a",
    "a ",
    "a.",
    "<script>",
    "a|b*?",
]
GOOD = ["s01_u000", "good morning", "é妈", "a.b-c", "S1 (2)", "a" * 160]


def stays(name: str) -> None:
    assert PurePosixPath(name).name == name
    assert PureWindowsPath(name).name == name
    assert PureWindowsPath(f"{name}.mp4").drive == ""
    assert not PureWindowsPath(f"{name}.mp4").is_reserved()
    assert name[0] not in "-.~ "
    assert name == printable(name)
    assert len(f".{name}.truth.mp4.part".encode()) <= 255


@given(st.text() | st.sampled_from(AWKWARD))
@example("a/b")
def test_the_name_of_a_file_stays_in_its_folder(text: str) -> None:
    stays(file_name(text))
    assert file_name(file_name(text)) == file_name(text)
    made = recording_id(text)
    assert made == recording_id(made) == printable(made)
    assert "/" not in made
    assert not made.startswith(".")


def test_other_names_are_other_files_and_good_ones_stay() -> None:
    assert [file_name(name) for name in GOOD] == GOOD
    assert [recording_id(name) for name in GOOD] == GOOD
    made = [file_name(name) for name in [*AWKWARD, *GOOD]]
    assert len(set(made)) == len(made)
    for name in AWKWARD:
        assert file_name(name) != name


def test_awkward_names_can_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    for name in AWKWARD:
        (folder / f"{file_name(name)}.truth.mp4").touch()
    assert len(list(folder.iterdir())) == len(AWKWARD)
    assert [path.name for path in tmp_path.rglob("*") if path.is_dir()] == ["a", "b"]


def test_a_sentence_is_one_line_and_no_terminal_obeys_it() -> None:
    error = InputError("There is no file a\nb\x1b[2J\r\udcff: check it.")
    assert str(error) == r"There is no file a\nb\x1b[2J\r\udcff: check it."
    assert str(InputError(str(error))) == str(error)


@pytest.mark.parametrize("kind", [InputError, OutOfSpace])
def test_the_sentence_of_a_worker_comes_without_its_traceback(kind: type[InputError]) -> None:
    """As torch's DataLoader makes it: the class is called with a traceback."""
    utils = pytest.importorskip("torch._utils")
    try:
        raise kind("The file a\nb is broken: copy it again.")
    except InputError:
        wrapped = utils.ExceptionWrapper(where="in DataLoader worker process 0")
    with pytest.raises(kind) as caught:
        wrapped.reraise()
    assert str(caught.value) == r"The file a\nb is broken: copy it again."

"""What paths tell: the paper's names, other laboratories' codes, folders of a split, and mistaken patterns."""

import pickle
from pathlib import Path, PureWindowsPath

import pytest

from wav2uti.corpus.formats.names import NamePattern, split_of, split_word, task_word
from wav2uti.corpus.given import Given
from wav2uti.errors import InputError


def test_the_papers_names():
    pattern = NamePattern(r"(?P<speaker>speaker\d+)_[MF]_s\d+_(?P<task>[a-z]+)\d+")
    given = pattern.given(Path("data/speaker00054_M_s1_stn00144.avi"))
    assert given == Given(speaker="speaker00054", task="sentence")
    assert pattern.given("data/notes.avi") == Given()
    assert pickle.loads(pickle.dumps(pattern)).given("speaker1_F_s2_vow3").task == "vowel"


def test_folders_count_and_a_group_may_take_no_part():
    pattern = NamePattern(r"(?P<split>\w+)/(?:(?P<language>[a-z]{2})/)?(?P<speaker>\w*)/[^/]+$")
    assert pattern.given("dev/zh/S1/a.avi") == Given(split="val", language="zh", speaker="S1")
    assert pattern.given(PureWindowsPath("TRAIN\\S2\\a.avi")) == Given(split="train", speaker="S2")
    assert pattern.given("part7/S2/a.avi") == Given(speaker="S2")  # a split of no known name is not said


@pytest.mark.parametrize(
    ("codes", "task"),
    [
        ("vowel vow v V Vowels", "vowel"),
        ("word wrd w wd WORD", "word"),
        ("sentence stn sen sent s STN", "sentence"),
        ("other swallow xyz", "other"),
    ],
)
def test_tasks(codes, task):
    assert {task_word(code) for code in codes.split()} == {task}


def test_splits():
    assert [split_word(word) for word in ("train", "Dev", "valid", "validation", "eval", "TEST", "x", "")] == [
        "train",
        "val",
        "val",
        "val",
        "test",
        "test",
        "",
        "",
    ]
    assert split_of(Path("train/S1/test.avi")) == "train"
    assert split_of(Path("test/S1/val/a.avi")) == "val"  # the nearest
    assert split_of(Path("test.avi")) == split_of(Path("testing_room/a.avi")) == ""


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("(", "is no regular expression"),
        ("(?P<speaker>a{99999999999})", "is no regular expression"),
        (r"(?P<speaker>\d+)(?P<sex>[MF])", "unknown group 'sex'"),
        (r"(\d+)", "names nothing"),
        ("", "names nothing"),
    ],
)
def test_a_mistaken_pattern_is_one_sentence(pattern, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        NamePattern(pattern)
    assert "(?P<speaker>...), (?P<task>...), (?P<split>...), (?P<language>...)." in str(caught.value)
    assert "\n" not in str(caught.value)

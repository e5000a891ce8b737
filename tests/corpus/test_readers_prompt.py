"""Prompt files in their encodings, and the rules for speaker and task."""

import pytest

from wav2uti.corpus.formats.prompt import Prompt, decode, read_prompt, speaker_of, task_of


def test_prompt_files(tmp_path):
    def prompt(content):
        (tmp_path / "p.txt").write_bytes(content)
        return read_prompt(tmp_path / "p.txt")

    assert prompt(b"001   gap\n16/01/2015 14:39:09\n") == Prompt("gap", "")
    assert prompt(b"wir fussen\r\n5/22/2019 12:35:56 PM\r\nP07_S2_B06,") == Prompt("wir fussen", "P07_S2_B06")
    assert prompt(b"      water swallow\n29/04/2015 11:32:35\nPertti, ") == Prompt("water swallow", "Pertti")
    assert prompt(b"12 apples\n") == Prompt("12 apples")
    assert prompt(b"one line\nand another\n") == Prompt("one line and another")
    assert prompt(b"") == Prompt()
    assert read_prompt(None) == Prompt()


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("今天天气很好", "utf-8"),
        ("今天天气很好", "gbk"),
        ("他说 hello 了", "gbk"),
        ("die Füße über Köln", "iso-8859-15"),
        ("pää ääni", "iso-8859-15"),
        ("naïve café", "utf-8"),
    ],
)
def test_encodings(text, encoding):
    assert decode(text.encode(encoding)) == text


def test_speaker_rule(tmp_path):
    def speaker(path, line=""):
        return speaker_of(tmp_path / path, Prompt("", line))

    assert speaker("x/y.ult", "UPX_01F_BL2") == "UPX_01F"
    assert speaker("x/y.ult", "P07_S2_B06") == "P07"
    assert speaker("x/y.ult", "Pertti") == "Pertti"
    assert speaker("x/speaker00054_M_s1_stn00144.avi") == "speaker00054"
    assert speaker("x/07F-028A.ult") == "07F"
    assert speaker("uxssd/01M/Post/003A.ult") == "01M"
    assert speaker("TaL80/core/01fi/088_aud.ult") == "01fi"
    assert speaker("TaL1/day2/088_aud.ult") == "TaL1"
    assert speaker("clinic/anna/001.ult") == "anna"


def test_task_by_name(tmp_path):
    assert task_of(tmp_path / "speaker00054_M_s1_stn00144.avi") == "sentence"
    assert task_of(tmp_path / "File156.ult") == "other"

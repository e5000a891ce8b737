"""Speech with what lies beside it: prompt files and TextGrids, as corpora have them."""

import os
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile

from wav2uti.corpus.formats.textgrid import write_textgrid
from wav2uti.corpus.recording import Interval
from wav2uti.errors import InputError
from wav2uti.video.given import from_shards, from_sound

WORDS = (Interval("say", 0.1, 0.2), Interval("ah", 0.2, 0.4))


def sound(path: Path, seconds: float = 0.5) -> Path:
    soundfile.write(path, np.full(round(16000 * seconds), 0.1), 16000)
    return path


def test_alone(tmp_path: Path) -> None:
    path = sound(tmp_path / "x.wav")
    os.utime(path, (1e9, 1e9))
    speech = from_sound(path)
    assert (speech.name, speech.text, speech.words, speech.textgrid) == ("x", None, (), None)
    assert len(speech.audio) == 8000
    assert speech.recorded == datetime.fromtimestamp(1e9)
    assert from_sound(path, "x.wav", "given").name == "x.wav"


def test_the_text_given_then_the_prompt_then_the_words(tmp_path: Path) -> None:
    path = sound(tmp_path / "x.wav")
    write_textgrid(tmp_path / "x.TextGrid", 0.5, {"words": WORDS, "phones": [Interval("s", 0.1, 0.15)]})
    speech = from_sound(path)
    assert speech.text == "say ah"
    assert speech.words == WORDS
    assert [phone.label for phone in speech.phones] == ["s"]
    assert speech.textgrid == (tmp_path / "x.TextGrid").read_bytes()
    (tmp_path / "x.txt").write_text("007  say ah now\n16/01/2015 14:39:09\nann\n")
    assert from_sound(path).text == "say ah now"
    speech = from_sound(path, text="what I say")
    assert speech.text == "what I say"
    assert speech.words == WORDS


def test_another_textgrid_goes_before_the_one_beside(tmp_path: Path) -> None:
    path = sound(tmp_path / "x.wav")
    (tmp_path / "x.TextGrid").write_text("broken")
    write_textgrid(tmp_path / "y.TextGrid", 0.5, {"words": WORDS})
    assert from_sound(path, textgrid=tmp_path / "y.TextGrid").words == WORDS
    with pytest.raises(InputError, match=r"x\.TextGrid is broken"):
        from_sound(path)
    with pytest.raises(InputError, match="no such file"):
        from_sound(path, textgrid=tmp_path / "z.TextGrid")


def test_aaas_names(tmp_path: Path) -> None:
    """The sound of `File1.txt` is called `File1_Track0.wav`."""
    path = sound(tmp_path / "File1_Track0.wav")
    (tmp_path / "File1.txt").write_text("gap")
    write_textgrid(tmp_path / "File1.TextGrid", 0.5, {"words": WORDS})
    speech = from_sound(path)
    assert (speech.text, speech.words) == ("gap", WORDS)


def test_a_real_recording(shared: Path) -> None:
    speech = from_sound(next(shared.rglob("aaa_patkit/**/File156.wav")))
    assert speech.text == "gap"
    assert speech.textgrid is not None


def test_a_recording_of_a_corpus(simulated: Path) -> None:
    speech = from_shards(simulated, "s01_u000")
    assert speech.simulated
    assert speech.mm_per_pixel == pytest.approx(90 / 16)
    assert speech.words
    assert speech.phones
    assert speech.text == " ".join(word.label for word in speech.words)
    with pytest.raises(InputError, match="no recording 's09_u000'"):
        from_shards(simulated, "s09_u000")

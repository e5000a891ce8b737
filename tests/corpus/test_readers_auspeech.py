"""The paper's corpus: what its names and its texts say."""

import numpy as np
import pytest
import soundfile
from made_up_video import tone, write_video

from wav2uti.corpus.readers.auspeech import AUSpeechReader

NAME = "speaker00054_M_s1_stn00144"


@pytest.mark.parametrize(
    ("name", "task"), [(NAME, "sentence"), ("speaker00007_F_s2_wrd00001", "other"), ("speaker7_F_s12_v3", "other")]
)
def test_names_and_texts(tmp_path, name, task):
    write_video(tmp_path / f"{name}.mkv", np.arange(30) / 60)
    soundfile.write(tmp_path / f"{name}.wav", tone(0.0, 16_000), 16_000)
    (tmp_path / f"{name}.txt").write_bytes("今天天气很好。\r\n".encode("gbk"))
    (candidate,) = AUSpeechReader().find(tmp_path)
    assert list(candidate.files) == ["video", "sound", "prompt"]
    recording = candidate.reader.read(candidate, 16)
    assert recording.id == name
    assert recording.speaker == name.partition("_")[0]
    assert (recording.task, recording.text, recording.language) == (task, "今天天气很好。", "zh")
    assert len(recording.frames) == 30


@pytest.mark.parametrize("name", ["speaker00054", "tongue_M_s1_stn00144", f"{NAME}_copy", "lips_001"])
def test_other_names_are_left_to_other_readers(tmp_path, name):
    (tmp_path / f"{name}.mp4").write_bytes(b"any")
    assert AUSpeechReader().find(tmp_path) == []

"""The model of sound and text (A+T) from end to end with trained weights: Whisper hears and writes, BERT reads."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import fit_debug

from wav2uti.cli import main
from wav2uti.corpus.shards import Shard, find_shards

pytestmark = pytest.mark.slow


def test_real_recordings_and_sentences(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whisper, bert = shared / "weights" / "whisper-tiny.en", shared / "weights" / "minilm-l6-bert"
    corpus = tmp_path / "corpus"
    for source in ("aaa_patkit", "aaa_video"):
        command = ["prepare", str(shared / source), str(corpus), "--size=16", "--workers=1", "--language=en"]
        encoders = ["--acoustic=WhisperEncoder", f"--acoustic.model={whisper}", "--text=Bert", f"--text.model={bert}"]
        assert main([*command, *encoders, "--transcriber=Transcriber", f"--transcriber.model={whisper}"]) == 0
    stored = {id: Shard(path) for path in find_shards(corpus) for id in Shard(path).ids}
    assert len(stored) == 6
    told, heard = stored["File156"], stored["Ultrax_TD_002"]
    assert told.info("File156").text == "gap"
    assert told.text_times("File156", "minilm-l6-bert") is not None  # by its TextGrid
    assert len(heard.info("Ultrax_TD_002").text.split()) > 3  # nobody gave its text
    assert len(heard.words("Ultrax_TD_002")) > 3
    assert heard.acoustic("Ultrax_TD_002", "whisper-tiny.en").shape == (766, 384)

    run = fit_debug(corpus, tmp_path / "runs", "--data.text_times=true")
    sentence = next((shared / "speech").glob("*0880.wav"))
    out = tmp_path / "out"
    arguments = ["predict", "--audio", str(sentence), "--ckpt_path", str(run.checkpoint), "--output", str(out)]
    assert main([*arguments, "--steps=2", "--guidance.scale=1", "--device=cpu"]) == 0
    frames = np.load(out / f"{sentence.stem}.npz")["frames"]
    with av.open(str(out / f"{sentence.stem}.mp4")) as container:
        assert container.streams.video[0].frames == len(frames)
    assert frames.shape[1:] == (16, 16)
    assert abs(len(frames) / 60 - 2.99) < 0.1
    capsys.readouterr()
    assert main(["inspect", str(corpus), "Ultrax_TD_002", "--out", str(tmp_path / "sheet.png")]) == 0
    assert json.dumps("whisper-tiny.en")[1:-1] in capsys.readouterr().out

"""Whisper: the real whisper-tiny.en on read sentences, silence, languages, and the cutting into pieces."""

import json
import pickle
import re
import shutil
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from wav2uti.corpus.formats.video import open_sound
from wav2uti.errors import InputError
from wav2uti.speech.audio import read_speech, to_16k
from wav2uti.speech.pieces import active, pieces, warp
from wav2uti.speech.transcribe import Transcriber, Transcript, build_transcriber


@pytest.fixture(scope="module")
def tiny(shared: Path) -> Transcriber:
    folder = shared / "weights" / "whisper-tiny.en"
    if not folder.is_dir():
        pytest.skip("no ../shared/data/weights/whisper-tiny.en")
    return Transcriber(str(folder))


@pytest.fixture(scope="module")
def sentences(shared: Path) -> dict[str, tuple[NDArray[np.float32], str]]:
    """Sound and text of each read sentence."""
    lines = (shared / "speech" / "transcription.txt").read_text().splitlines()
    found = (re.fullmatch(r"<s> (.*) </s> \((.*)\)", line.strip()) for line in lines if line.strip())
    return {m[2]: (read_speech(shared / "speech" / f"{m[2]}.wav"), m[1]) for m in found if m}


@pytest.fixture(scope="module")
def transcripts(tiny: Transcriber, sentences: dict[str, tuple[NDArray[np.float32], str]]) -> dict[str, Transcript]:
    return {name: tiny.transcribe(audio) for name, (audio, _) in sentences.items()}


def normal(text: str) -> list[str]:
    """Words in lower case without punctuation; "Mr." is how one writes "mister"."""
    return re.sub(r"[^a-z]+", " ", text.lower()).replace("mr ", "mister ").split()


def edits(a: list[str], b: list[str]) -> int:
    """Levenshtein distance."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        previous, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (x != y))
    return row[-1]


@pytest.mark.slow
def test_word_error_rate_of_the_read_sentences(
    transcripts: dict[str, Transcript], sentences: dict[str, tuple[NDArray[np.float32], str]]
) -> None:
    assert len(transcripts) == 5
    wrong = sum(edits(normal(text), normal(transcripts[name].text)) for name, (_, text) in sentences.items())
    assert wrong / sum(len(normal(text)) for _, text in sentences.values()) <= 0.05
    assert {transcript.language for transcript in transcripts.values()} == {"en"}


@pytest.mark.slow
def test_word_times_are_plausible(
    transcripts: dict[str, Transcript], sentences: dict[str, tuple[NDArray[np.float32], str]]
) -> None:
    for name, (audio, _) in sentences.items():
        transcript = transcripts[name]
        assert normal(" ".join(word.label for word in transcript.words)) == normal(transcript.text)
        starts = np.array([word.start for word in transcript.words])
        ends = np.array([word.end for word in transcript.words])
        assert (np.diff(starts) >= 0).all()
        assert (ends > starts).all()
        assert (ends[:-1] <= starts[1:] + 0.021).all()
        assert ends[-1] <= len(audio) / 16000
        loud = np.flatnonzero(np.abs(audio) > 0.05 * np.abs(audio).max()) / 16000
        assert abs(starts[0] - loud[0]) < 0.3
        assert abs(ends[-1] - loud[-1]) < 0.5


@pytest.mark.slow
def test_a_recording_with_pauses(tiny: Transcriber, sentences: dict[str, tuple[NDArray[np.float32], str]]) -> None:
    (one, _), (two, _) = list(sentences.values())[1], list(sentences.values())[4]
    silence = np.zeros(40 * 16000, dtype=np.float32)
    transcript = tiny.transcribe(np.concatenate([silence, one, silence, two]))
    assert transcript.text.endswith("He might even have been made amiable himself.")
    second = 80 + len(one) / 16000
    assert 40 <= transcript.words[0].start < 40.3
    assert second - 0.02 <= transcript.words[-8].start < second + 0.3
    assert transcript.words[-8].label == "He"


@pytest.mark.slow
def test_words_after_pauses_are_heard(tiny: Transcriber, shared: Path) -> None:
    """A child reads single words, 0.9 s apart at the most; without segment times Whisper ends after the first."""
    opened = open_sound(shared / "aaa_video" / "Ultrax_TD_002.avi")
    assert opened is not None
    sound, _ = opened
    transcript = tiny.transcribe(to_16k(sound.read(0, sound.facts.samples), sound.rate))
    assert {"off", "go", "spider"} <= set(normal(transcript.text))  # the first words and the last
    assert transcript.words[-1].end > 11.5


def test_ten_minutes_of_silence_take_no_time(tiny: Transcriber) -> None:
    noise = np.random.default_rng(0).normal(0, 1e-4, 600 * 16000).astype(np.float32)
    started = time.process_time()
    for audio in (noise, np.zeros_like(noise), np.zeros(0, np.float32), noise[:100]):
        with pytest.warns(UserWarning, match="transcript is empty"):
            assert tiny.transcribe(audio) == Transcript("", "en", ())
    assert time.process_time() - started < 5


@pytest.mark.slow
def test_noise_and_tones_are_no_words(tiny: Transcriber) -> None:
    for audio in (np.random.default_rng(0).normal(0, 0.1, 80000), 0.3 * np.sin(0.2 * np.arange(80000))):
        with pytest.warns(UserWarning, match="transcript is empty"):
            assert tiny.transcribe(audio.astype(np.float32)).words == ()


@pytest.mark.slow
def test_the_result_does_not_depend_on_the_rest_of_the_program(
    tiny: Transcriber, sentences: dict[str, tuple[NDArray[np.float32], str]], transcripts: dict[str, Transcript]
) -> None:
    name, (audio, _) = next(iter(sentences.items()))
    again = pickle.loads(pickle.dumps(tiny))
    assert len(pickle.dumps(tiny)) < 2000
    assert again.transcribe(audio) == transcripts[name]
    rebuilt = build_transcriber(tiny.spec())
    assert rebuilt.spec() == tiny.spec()


@pytest.mark.slow
def test_named_alignment_heads_are_used(
    tiny: Transcriber,
    sentences: dict[str, tuple[NDArray[np.float32], str]],
    transcripts: dict[str, Transcript],
    tmp_path: Path,
) -> None:
    folder = tmp_path / "whisper-tiny.en"
    shutil.copytree(tiny.model, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    (folder / "model.safetensors").symlink_to(Path(tiny.model).resolve() / "model.safetensors")
    config = json.loads((folder / "generation_config.json").read_text())
    config["alignment_heads"] = [[1, 0], [2, 0], [2, 5], [3, 0], [3, 1], [3, 2], [3, 3], [3, 4]]  # of OpenAI
    (folder / "generation_config.json").write_text(json.dumps(config))
    name, (audio, _) = next(iter(sentences.items()))
    words = Transcriber(str(folder)).transcribe(audio).words
    differences = [abs(a.start - b.start) for a, b in zip(words, transcripts[name].words, strict=True)]
    assert 0 < max(differences) < 0.3


def test_a_language_that_the_model_lacks(tiny: Transcriber, shared: Path) -> None:
    with pytest.raises(InputError, match=r"whisper-tiny\.en knows English only, not the language 'zh'"):
        Transcriber(tiny.model, language="zh").transcribe(np.zeros(16000, np.float32))
    with pytest.raises(InputError, match="is a bert model"):
        Transcriber(str(shared / "weights" / "minilm-l6-bert")).transcribe(np.zeros(16000, np.float32))
    with pytest.raises(InputError, match="huggingface-cli download nobody/nothing"):
        Transcriber("nobody/nothing").transcribe(np.zeros(16000, np.float32))
    for language in ("en", "English", "en-GB"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert Transcriber(tiny.model, language).transcribe(np.zeros(16000, np.float32)).language == "en"


def test_a_multilingual_model_detects_or_takes_a_language(tiny: Transcriber, tmp_path: Path) -> None:
    """Random weights with a vocabulary of two languages: what is said means nothing, the path is the real one."""
    import torch
    from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

    torch.manual_seed(0)
    folder = tmp_path / "many"
    config = WhisperConfig(
        vocab_size=51865, d_model=16, encoder_layers=1, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_target_positions=64,
        bos_token_id=50257, eos_token_id=50257, pad_token_id=50257, decoder_start_token_id=50258,
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        bos_token_id=50257, eos_token_id=50257, pad_token_id=50257, decoder_start_token_id=50258, max_length=64,
        is_multilingual=True, no_timestamps_token_id=50363, lang_to_id={"<|en|>": 50259, "<|zh|>": 50260},
        task_to_id={"transcribe": 50359, "translate": 50358},
    )  # fmt: skip
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"):
        shutil.copy(Path(tiny.model) / name, folder / name)
    audio = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert Transcriber(str(folder)).transcribe(audio).language in ("en", "zh", "")
        assert Transcriber(str(folder), "zh-CN").transcribe(audio).language == "zh"
    with pytest.raises(InputError, match="does not know the language 'fr'"):
        Transcriber(str(folder), "fr").transcribe(audio)


def test_pieces_are_short_and_hold_all_the_sound() -> None:
    random = np.random.default_rng(0)
    audio = random.normal(0, 0.1, 100 * 16000).astype(np.float32)
    audio[24 * 16000 : 25 * 16000] = 0  # the first cut belongs here
    audio[50 * 16000 : 60 * 16000] = 0
    audio[55 * 16000] = 0.9  # a click
    cuts = list(pieces(audio, active(audio)))
    assert all(0 < last - first <= 30 * 16000 for first, last in cuts)
    covered = np.zeros(len(audio), dtype=bool)
    for first, last in cuts:
        assert not covered[first:last].any()
        covered[first:last] = True
    silent = np.abs(audio) == 0
    silent[55 * 16000] = True
    assert (covered | silent).all()
    assert not covered[52 * 16000 : 58 * 16000].any()
    assert 24 * 16000 <= cuts[0][1] <= 25 * 16000


def test_warping_finds_the_cheapest_path() -> None:
    random = np.random.default_rng(0)
    cost = random.normal(size=(4, 7))

    def cheapest(row: int, column: int) -> float:
        if row < 0 or column < 0:
            return np.inf
        before = [cheapest(row - 1, column - 1), cheapest(row - 1, column), cheapest(row, column - 1)]
        return cost[row, column] + (0.0 if row == column == 0 else min(before))

    entries = warp(cost).astype(int)
    assert entries[0] == 0
    assert (np.diff(entries) >= 0).all()
    # Within the path, the columns between two entries belong to the row that was entered, the next may be shared.
    ends = [*entries[1:], 6]
    options = [
        sum(cost[r, entries[r] : ends[r] + (1 if r == 3 else s)].sum() for r, s in enumerate((a, b, c, 0)))
        for a in (0, 1) for b in (0, 1) for c in (0, 1)
    ]  # fmt: skip
    assert min(abs(total - cheapest(3, 6)) for total in options) < 1e-9


def test_specs() -> None:
    transcriber = Transcriber("a/b", language="zh", revision="0" * 40)
    assert build_transcriber(transcriber.spec()).spec() == transcriber.spec()
    for spec in ({}, {"class": "Other"}, {"class": "Transcriber", "args": {"colour": 1}}):
        with pytest.raises(InputError, match="describes no transcriber"):
            build_transcriber(spec)

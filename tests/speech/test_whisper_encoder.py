"""Whisper's encoder: where its outputs stand, its windows of 30 s, batches, and the real tiny.en."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from wav2uti.errors import InputError
from wav2uti.speech.acoustic import WhisperEncoder, build_acoustic
from wav2uti.speech.audio import read_speech


def noise(samples: int, seed: int = 0) -> NDArray[np.float32]:
    """White noise at -20 dBFS."""
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Whisper with windows of 3 s, whose encoder has 2 layers."""
    import torch
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "tiny-whisper"
    config = WhisperConfig(
        vocab_size=20, num_mel_bins=40, d_model=16, encoder_layers=2, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_source_positions=150,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1, suppress_tokens=None,
        begin_suppress_tokens=None,
    )  # fmt: skip
    WhisperModel(config).half().save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=40, chunk_length=3).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def real(shared: Path) -> str:
    return str(shared / "weights" / "whisper-tiny.en")


@pytest.fixture(scope="module")
def speech(shared: Path) -> NDArray[np.float32]:
    """24.7 s of an audiobook."""
    return np.concatenate([read_speech(path) for path in sorted((shared / "speech").glob("*.wav"))])


def test_whisper_stands_at_the_frame_of_a_click(tiny: Path) -> None:
    encoder = WhisperEncoder(str(tiny), layers="all")
    assert (encoder.layers, encoder.width) == (3, 48)
    room = noise(16000 * 8)
    before = encoder.encode(room, 480)
    for frame in (0, 17, 150, 231, 333, 478):  # windows meet at 2.16 s, 3.64 s and so on
        click = room.copy()
        click[round(frame * 800 / 3)] += 2
        moved = np.linalg.norm((encoder.encode(click, 480) - before).reshape(480, 3, 16), axis=2)
        assert np.abs(moved.argmax(axis=0) - frame).max() <= 1


def test_whisper_gives_the_hidden_states_of_its_window(tiny: Path) -> None:
    import torch
    from transformers import WhisperFeatureExtractor, WhisperModel

    audio = noise(32000)
    model = WhisperModel.from_pretrained(tiny, dtype=torch.float32).get_encoder().eval()
    features = WhisperFeatureExtractor.from_pretrained(tiny)(audio, sampling_rate=16000, return_tensors="pt")
    with torch.inference_mode():
        result = model(features["input_features"], output_hidden_states=True)
    embedded = WhisperEncoder(str(tiny), layers=[-1, 1]).encode(audio, 120)
    for k, states in enumerate((result.last_hidden_state[0], result.hidden_states[1][0])):
        outputs = states.numpy()[:100]
        expected = [np.interp(np.arange(120) * 50 / 60, np.arange(100), column) for column in outputs.T]
        np.testing.assert_allclose(embedded[:, 16 * k : 16 * k + 16], np.stack(expected, axis=1), atol=1e-5)


@pytest.mark.parametrize("seconds", [0.0, 0.01, 2.99, 3.0, 3.01, 9.3])
def test_whisper_reads_any_length_and_streams(tiny: Path, seconds: float) -> None:
    frames = round(60 * seconds)
    audio = noise(round(16000 * seconds))
    encoder = WhisperEncoder(str(tiny))
    embedded = encoder.encode(audio, frames)
    assert embedded.shape == (frames, 16)
    assert np.isfinite(embedded).all()
    blocks = list(encoder.encode_blocks(audio, frames))
    np.testing.assert_array_equal(np.concatenate([np.zeros((0, 16), np.float32), *blocks]), embedded)


def test_whisper_gives_the_same_in_a_batch(tiny: Path) -> None:
    encoder = WhisperEncoder(str(tiny), layers="all")
    lengths = [0.3, 7.0, 2.0, 0.0, 3.0]
    audios, frames = [noise(round(16000 * s), seed=round(s)) for s in lengths], [round(60 * s) for s in lengths]
    for audio, count, embedded in zip(audios, frames, encoder.encode_batch(audios, frames), strict=True):
        np.testing.assert_allclose(embedded, encoder.encode(audio, count), atol=1e-5)


def test_mistakes_about_whisper_are_one_sentence(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(InputError, match="bert model: give a Whisper"):
        _ = WhisperEncoder(str(tmp_path)).width
    with pytest.raises(InputError, match="no layer 3"):
        WhisperEncoder(str(tiny), layer=3).encode(noise(16000), 60)
    (tmp_path / "config.json").write_text((tiny / "config.json").read_text())
    text = (tiny / "preprocessor_config.json").read_text()
    (tmp_path / "preprocessor_config.json").write_text(text.replace('"chunk_length": 3', '"chunk_length": 30'))
    with pytest.raises(InputError, match="does not go with its encoder"):
        WhisperEncoder(str(tmp_path)).encode(noise(16000), 60)
    encoder = WhisperEncoder("openai/whisper-large-v3", layers="all")
    again = build_acoustic(encoder.spec())
    assert again.spec() == {"class": "WhisperEncoder", "args": {"model": "openai/whisper-large-v3", "layers": "all"}}
    assert again.name == "whisper-large-v3-layers-all"


def test_the_real_whisper_stands_at_the_frame_of_a_click(real: str, speech: NDArray[np.float32]) -> None:
    # In the midst of speech: in a quiet room a click also moves the deeper layers far away from it.
    encoder = WhisperEncoder(real, layers="all")
    frames = 60 * 24
    before = encoder.encode(speech, frames)
    assert encoder.width == 5 * 384
    for frame in (200, 611, 1203):
        click = speech.copy()
        click[round(frame * 800 / 3)] += 0.5
        moved = np.linalg.norm((encoder.encode(click, frames) - before).reshape(frames, 5, 384), axis=2)
        assert np.abs(moved.argmax(axis=0) - frame).max() <= 1


def test_the_real_whisper_at_another_place_of_its_window(real: str, speech: NDArray[np.float32]) -> None:
    # Whisper adds the place in the window to every vector, so a seam between windows cannot be invisible. What is
    # bounded is how far the same sound moves when its window starts 4 s later: by 0.88 of the length of the output,
    # by 0.27 of the state before it, which is also still nearest to itself among all moments of the minute.
    encoder, shift = WhisperEncoder(real, layers=[-1, -2]), 4
    minute = np.tile(speech, 3)[: 60 * 16000]
    whole = encoder.encode(minute, 3600)[60 * shift :].reshape(-1, 2, 384)
    later = encoder.encode(minute[16000 * shift :], 3600 - 60 * shift).reshape(-1, 2, 384)
    moved = np.linalg.norm(later - whole, axis=2) / np.sqrt(np.square(whole).sum(axis=2).mean(axis=0))
    assert (np.median(moved, axis=0) < [1.0, 0.35]).all()
    assert (np.quantile(moved, 0.95, axis=0) < [1.2, 0.45]).all()
    units = [values[:, 1] - values[:, 1].mean(axis=0) for values in (later, whole)]
    units = [values / np.linalg.norm(values, axis=1, keepdims=True) for values in units]
    away = (units[0][::10] @ units[1].T).argmax(axis=1) - 10 * np.arange(336)
    period = len(speech) * 60 / 16000  # the same words come again
    assert np.mean(np.abs(away - period * np.round(away / period)) <= 3) > 0.95

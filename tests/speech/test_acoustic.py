"""Acoustic encoders: alignment with the video clock, level, weights from a folder, and their mistakes."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from wav2uti.clock import samples_at
from wav2uti.errors import InputError
from wav2uti.speech import acoustic
from wav2uti.speech.acoustic import LogMel, Wav2Vec2, build_acoustic, mel_filters, speech_level


def noise(samples: int, seed: int = 0) -> NDArray[np.float32]:
    """White noise at -20 dBFS."""
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


@pytest.fixture(scope="module")
def tiny_wav2vec2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random wav2vec 2.0 of 2 layers and the receptive field of the real one."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "tiny-wav2vec2"
    config = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, conv_dim=(8,) * 7,
        num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, feat_extract_norm="layer",
    )  # fmt: skip
    Wav2Vec2Model(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder


def test_mel_filters_cover_every_band() -> None:
    assert (mel_filters(80, 513).max(axis=0) > 0.3).all()  # no band falls between two bins


def test_log_mel_of_a_click_stands_at_its_frame() -> None:
    for frame in (0, 7, 599):
        click = np.zeros(samples_at(600), dtype=np.float32)
        click[round(frame * 800 / 3)] = 0.9
        features = LogMel().encode(click, 600).mean(axis=1)
        assert features.argmax() == frame
        others = np.delete(features, frame)
        assert features[frame] > others.max() + 0.05


def test_log_mel_finds_the_band_of_a_sine() -> None:
    wave = 0.1 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000).astype(np.float32)
    band = LogMel().encode(wave, 60)[30].argmax()
    assert mel_filters(80, 513)[64].argmax() == band  # bin 64 of 1024 at 16 kHz is 1000 Hz


def test_log_mel_of_a_part_is_that_part_of_the_whole() -> None:
    audio = noise(samples_at(6000))
    whole = LogMel().encode(audio, 6000)  # more frames than one block
    part = LogMel().encode(audio[samples_at(4200) : samples_at(4500)], 300)
    # Apart from the gain, which is one number per recording and the same here within the noise of its estimate.
    np.testing.assert_allclose(part[1:-1], whole[4201:4499], atol=0.02)
    assert whole.dtype == np.float32


@pytest.mark.parametrize("gain", [0.05, 0.3, 3.0])
def test_log_mel_does_not_depend_on_the_microphone_level(gain: float) -> None:
    np.testing.assert_allclose(LogMel().encode(gain * noise(16000), 60), LogMel().encode(noise(16000), 60), atol=1e-4)


def test_speech_level_ignores_silence() -> None:
    speech = noise(32000)
    room = noise(320000, seed=1) / 100
    assert speech_level(speech) == pytest.approx(0.1, rel=0.02)
    assert speech_level(np.concatenate([room, speech, room])) == pytest.approx(0.1, rel=0.02)
    assert speech_level(np.zeros(16000, dtype=np.float32)) == pytest.approx(1e-3)
    assert speech_level(np.zeros(0, dtype=np.float32)) == pytest.approx(1e-3)


def test_log_mel_of_speech_is_about_standard_normal(shared: Path) -> None:
    from wav2uti.clock import frames_in
    from wav2uti.speech.audio import read_speech

    recordings = [read_speech(path) for path in sorted((shared / "speech").glob("*.wav"))]
    values = np.concatenate([LogMel().encode(audio, frames_in(len(audio))) for audio in recordings])
    assert abs(values.mean()) < 0.3
    assert 0.7 < values.std() < 1.3


@pytest.mark.parametrize("frames", [0, 1, 100])
def test_log_mel_shapes(frames: int) -> None:
    assert LogMel(40).encode(noise(16000), frames).shape == (frames, 40)
    assert np.isfinite(LogMel().encode(np.zeros(10, dtype=np.float32), frames)).all()


def test_wav2vec2_width_comes_without_the_weights(tiny_wav2vec2: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((tiny_wav2vec2 / "config.json").read_text())
    assert Wav2Vec2(str(tmp_path)).width == 16
    encoder = Wav2Vec2(str(tiny_wav2vec2), layer=1)
    assert encoder.name == "tiny-wav2vec2-layer1"
    assert encoder.encode(noise(16000), 60).shape == (60, 16)


def test_wav2vec2_interpolates_between_receptive_field_centres(
    tiny_wav2vec2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = Wav2Vec2(str(tiny_wav2vec2))
    # The model is replaced by one whose output j is the time of its centre, in video frames.
    monkeypatch.setattr(
        Wav2Vec2,
        "_states",
        lambda self, inputs, sounds: [
            (199.5 + 320 * np.arange((len(window) - 400) // 320 + 1, dtype=np.float32)[:, None]) * (60 / 16000)
            for window in inputs
        ],
    )
    times = encoder.encode(noise(16000), 60)[:, 0]
    np.testing.assert_allclose(times[1:-2], np.arange(1, 58), atol=1e-4)
    assert times[0] == pytest.approx(199.5 * 60 / 16000)  # held before the first centre and after the last


def test_wav2vec2_is_moved_at_the_frame_of_a_click(tiny_wav2vec2: Path) -> None:
    audio = noise(32000)
    encoder = Wav2Vec2(str(tiny_wav2vec2), layer=0)  # behind the convolutions, where nothing looks far
    before = encoder.encode(audio, 120)
    for frame in (20, 61, 100):
        changed = audio.copy()
        centre = round(frame * 800 / 3)
        changed[centre - 40 : centre + 40] *= -1  # keeps mean and variance nearly as they were
        moved = np.abs(encoder.encode(changed, 120) - before).sum(axis=1)
        middle = np.average(np.arange(120), weights=np.where(moved > 0.05 * moved.max(), moved, 0))
        assert abs(middle - frame) <= 1.0


def test_wav2vec2_in_windows_agrees_with_one_pass(tiny_wav2vec2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audio = noise(64000)
    # Behind the convolutions the embedding of a moment does not depend on the window around it.
    encoder = Wav2Vec2(str(tiny_wav2vec2), layer=0)
    whole = encoder.encode(audio, 240)
    monkeypatch.setattr(acoustic.Wav2Vec2, "_KEPT", 50)
    monkeypatch.setattr(acoustic.Wav2Vec2, "_CONTEXT", 10)
    np.testing.assert_allclose(encoder.encode(audio, 240), whole, atol=1e-4)


def test_wav2vec2_reads_very_short_sounds(tiny_wav2vec2: Path) -> None:
    assert Wav2Vec2(str(tiny_wav2vec2)).encode(noise(100), 1).shape == (1, 16)
    assert Wav2Vec2(str(tiny_wav2vec2)).encode(noise(100), 0).shape == (0, 16)


def test_mistakes_about_models_are_one_sentence(tiny_wav2vec2: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model folder"):
        _ = Wav2Vec2(str(tmp_path / "absent")).width
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no complete pretrained model"):
        _ = Wav2Vec2(str(tmp_path / "empty")).width
    with pytest.raises(InputError, match="huggingface-cli download nobody/nothing"):
        _ = Wav2Vec2("nobody/nothing").width
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(InputError, match="bert model without"):
        _ = Wav2Vec2(str(tmp_path)).width
    with pytest.raises(InputError, match="no layer 9"):
        Wav2Vec2(str(tiny_wav2vec2), layer=9).encode(noise(16000), 60)


def test_specs_rebuild_the_encoder() -> None:
    for encoder in (LogMel(40), Wav2Vec2("a/b", layer=3)):
        again = build_acoustic(encoder.spec(), device="cpu")
        assert again.spec() == encoder.spec()
        assert again.name == encoder.name
    for spec in ({"class": "Other"}, {}, {"class": "LogMel", "args": {"colour": 1}}):
        with pytest.raises(InputError, match="describes no acoustic encoder"):
            build_acoustic(spec)


def test_old_specs_are_accepted() -> None:
    encoder = build_acoustic({"class": "Wav2Vec2", "args": {"model": "a/b", "layer": 3}}, device="cuda:1")
    assert encoder.spec() == {"class": "Wav2Vec2", "args": {"model": "a/b", "layer": 3}}
    assert (encoder.name, encoder.layers, encoder.device) == ("b-layer3", 1, "cuda:1")


FAMILIES = ["wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech"]


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of random models of each family, trained with masks; the sound is not normalised, so it acts locally."""
    import torch
    from transformers import AutoConfig, AutoModel, Wav2Vec2FeatureExtractor

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / str(request.param)
    config = AutoConfig.for_model(
        request.param, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        conv_dim=(8,) * 7, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, conv_pos_kernel_size=3,
        feat_extract_norm="layer", do_stable_layer_norm=True,
    )  # fmt: skip
    AutoModel.from_config(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True).save_pretrained(folder)
    return folder


def relative(some: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    """Largest distance between two rows, relative to the root mean square length of a row."""
    return float(np.linalg.norm(some - others, axis=1).max() / np.sqrt(np.square(others).sum(axis=1).mean()))


def test_every_family_stands_at_the_frame_of_a_click(family: Path) -> None:
    encoder = Wav2Vec2(str(family), layers="all")
    assert (encoder.layers, encoder.width) == (3, 48)
    room = noise(64000) / 10
    before = encoder.encode(room, 240)
    for frame in (3, 20, 61, 118, 233):
        click = room.copy()
        click[round(frame * 800 / 3)] += 0.5
        moved = np.abs(encoder.encode(click, 240) - before).reshape(240, 3, 16).sum(axis=2)
        assert np.abs(moved.argmax(axis=0) - frame).max() <= 1  # in each of the three states


def test_every_family_gives_its_hidden_states(family: Path) -> None:
    import torch
    from transformers import AutoModel

    audio = noise(16000)
    several = Wav2Vec2(str(family), layers=[2, 0, -2])
    embedded = several.encode(audio, 60)
    for k, layer in enumerate((-1, 0, 1)):
        np.testing.assert_array_equal(
            embedded[:, 16 * k : 16 * k + 16], Wav2Vec2(str(family), layer=layer).encode(audio, 60)
        )
    with torch.inference_mode():
        model = AutoModel.from_pretrained(family).eval()
        result = model(torch.from_numpy(audio)[None], output_hidden_states=True)
    centres, places = 199.5 + 320 * np.arange(49), np.arange(60) * 800 / 3
    for k, states in enumerate((result.last_hidden_state, result.hidden_states[0], result.hidden_states[1])):
        expected = np.stack([np.interp(places, centres, column) for column in states[0].numpy().T], axis=1)
        np.testing.assert_allclose(embedded[:, 16 * k : 16 * k + 16], expected, atol=1e-4)


@pytest.mark.parametrize("seconds", [(1.0, 1.0, 1.0), (2.5, 0.9, 2.3, 0.05, 1.0, 0.0)])
def test_every_family_gives_the_same_in_a_batch(family: Path, seconds: tuple[float, ...]) -> None:
    encoder = Wav2Vec2(str(family), layers="all")
    audios = [noise(round(16000 * s), seed=k) for k, s in enumerate(seconds)]
    frames = [round(60 * s) for s in seconds]
    together = encoder.encode_batch(audios, frames)
    for audio, count, embedded in zip(audios, frames, together, strict=True):
        alone = encoder.encode(audio, count)
        assert embedded.shape == alone.shape == (count, 48)
        assert count == 0 or relative(embedded, alone) < 1e-4
    assert encoder.encode_batch([], []) == []


def test_what_is_alike_is_run_together(family: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, runs = Wav2Vec2(str(family)), []
    run = Wav2Vec2._states
    monkeypatch.setattr(
        Wav2Vec2, "_states", lambda self, inputs, sounds: (runs.append(len(inputs)), run(self, inputs, sounds))[1]
    )
    encoder.encode_batch([noise(16000), noise(8000), noise(15000), noise(16000)], [60, 30, 56, 60])
    # data2vec-audio's five convolutions of positions would carry the padding inwards: only equal lengths.
    assert runs == ([1, 1, 2] if "data2vec" in family.name else [1, 3])


class OnePass(Wav2Vec2):
    """Everything in one window."""

    _KEPT = 10**6


@pytest.mark.parametrize("norm", ["layer", "group"])
def test_a_minute_in_windows_is_the_minute_in_one_pass(tmp_path: Path, norm: str) -> None:
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, conv_dim=(8,) * 7,
        num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, feat_extract_norm=norm,
    )  # fmt: skip
    Wav2Vec2Model(config).save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    from_transformers = Wav2Vec2Model.from_pretrained(tmp_path).eval()
    loud = np.repeat(np.random.default_rng(1).uniform(0.1, 2, 60), 16000).astype(np.float32)  # no level is a window's
    audio = loud * noise(60 * 16000)
    encoder = Wav2Vec2(str(tmp_path), layers="all")
    whole = OnePass(str(tmp_path), layers="all").encode(audio, 3600)
    for part in range(3):
        state = slice(16 * part, 16 * part + 16)
        assert relative(encoder.encode(audio, 3600)[:, state], whole[:, state]) < 1e-2
    # One pass is the model as transformers runs it, whose GroupNorm is ours over the recording.
    scaled = Wav2Vec2FeatureExtractor()(audio, sampling_rate=16000, return_tensors="pt")["input_values"]
    with torch.inference_mode():
        states = from_transformers(scaled).last_hidden_state[0].numpy()
    centres, places = 199.5 + 320 * np.arange(len(states)), np.arange(3600) * 800 / 3
    expected = np.stack([np.interp(places, centres, column) for column in states.T], axis=1)
    np.testing.assert_allclose(whole[:, 32:], expected, atol=1e-3)


class Recorder:
    """Sound that tells how much of it was read at once."""

    def __init__(self, audio: NDArray[np.float32]) -> None:
        self.audio, self.largest = audio, 0

    def __len__(self) -> int:
        return len(self.audio)

    def __getitem__(self, part: slice, /) -> NDArray[np.float32]:
        piece = self.audio[part]
        self.largest = max(self.largest, len(piece))
        return piece


def test_wav2vec2_reads_a_long_sound_in_windows(tiny_wav2vec2: Path) -> None:
    audio = np.tile(noise(16000 * 10), 13)
    encoder, sound = Wav2Vec2(str(tiny_wav2vec2), layer=0), Recorder(audio)
    blocks = list(encoder.encode_blocks(sound, 7800))
    assert sound.largest <= 60 * 16000 < len(audio)
    assert len(blocks) > 3
    np.testing.assert_array_equal(np.concatenate(blocks), encoder.encode(audio, 7800))


def test_the_level_is_the_feature_extractors(tiny_wav2vec2: Path) -> None:
    audio = (0.3 + 0.2 * noise(16000 * 70)).astype(np.float32)
    encoder = Wav2Vec2(str(tiny_wav2vec2))
    expected = encoder._extractor(np.pad(audio, (0, 16000)), sampling_rate=16000)["input_values"][0]
    sound = encoder._open(Recorder(audio), 71 * 60)
    read = sound.read(0, sound.outputs)
    np.testing.assert_allclose(read, expected[: len(read)], atol=1e-5)


def test_windows_keep_every_output_once_with_context() -> None:
    from wav2uti.speech.acoustic.base import windows

    for outputs in (1, 11, 12, 13, 20, 21, 22, 23, 99, 100, 101):
        plan = windows(outputs, kept=8, context=2)
        assert [k for w in plan for k in range(w.start, w.stop)] == list(range(outputs))
        for window in plan:
            assert window.last - window.first == min(12, outputs)
            assert window.first == 0 or window.start - window.first >= 2
            assert window.last == outputs or window.last - window.stop >= 2


def test_mistakes_about_layers_are_one_sentence(tiny_wav2vec2: Path) -> None:
    with pytest.raises(InputError, match="no layer 3"):
        _ = Wav2Vec2(str(tiny_wav2vec2), layers=[0, 3]).width
    for wrong in ({"layers": []}, {"layers": [0], "layer": 1}):
        with pytest.raises(InputError, match="`layers` alone"):
            build_acoustic({"class": "Wav2Vec2", "args": {"model": "a/b", **wrong}})
    assert Wav2Vec2("a/b", layers=[0, -1]).name == "b-layers-0.-1"
    assert Wav2Vec2("a/b", layers="all").spec() == {"class": "Wav2Vec2", "args": {"model": "a/b", "layers": "all"}}

"""Reading and resampling sound, on files that the tests write."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from wav2uti.errors import InputError
from wav2uti.speech import audio
from wav2uti.speech.audio import check_header, mono_blocks, opened_sound, read_speech, resampled, to_16k


def sine(rate: int, seconds: float = 1.0, frequency: float = 440.0, amplitude: float = 0.5) -> np.ndarray:
    """A sine that starts at phase 0, float32."""
    return (amplitude * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def read_audio(path: Path) -> tuple[np.ndarray, int]:
    """All samples at the file's own rate."""
    with opened_sound(path) as file:
        check_header(file, path)
        return np.concatenate(list(mono_blocks(file, path))), file.samplerate


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 32000, 44100, 44101, 48000, 96000, 192000])
@pytest.mark.parametrize("frequency", [100.0, 3000.0])
def test_resampling_keeps_a_sine_sample_by_sample(rate: int, frequency: float) -> None:
    resampled = to_16k(sine(rate, frequency=frequency), rate)
    middle = slice(1600, -1600)  # the filter meets the ends of the signal outside
    np.testing.assert_allclose(resampled[middle], sine(16000, frequency=frequency)[middle], atol=3e-4)


@pytest.mark.parametrize("rate", [11025, 44100, 44101, 48000, 48001])
@pytest.mark.parametrize("count", [1, 2, 1000, 12345])
def test_length_is_the_rounded_one(rate: int, count: int) -> None:
    resampled = to_16k(np.ones(count, dtype=np.float32), rate)
    assert resampled.dtype == np.float32
    assert len(resampled) == int(np.floor(count * 16000 / rate + 0.5))


def test_what_lies_above_the_new_nyquist_does_not_fold_down() -> None:
    assert np.abs(to_16k(sine(48000, frequency=9000.0), 48000)[800:-800]).max() < 1e-4  # would appear at 7 kHz


def test_7_khz_passes() -> None:
    resampled = to_16k(sine(48000, frequency=7000.0), 48000)[800:-800]
    assert np.sqrt(2) * resampled.std() == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize(
    ("suffix", "subtype", "tolerance"),
    [
        ("wav", "PCM_16", 1e-4),
        ("wav", "PCM_24", 1e-6),
        ("wav", "PCM_U8", 1e-2),
        ("wav", "FLOAT", 0.0),
        ("wav", "DOUBLE", 1e-7),
        ("wav", "ULAW", 3e-2),
        ("flac", "PCM_24", 1e-6),
        ("aiff", "PCM_16", 1e-4),
        ("ogg", "VORBIS", 3e-2),
    ],
)
def test_formats(tmp_path: Path, suffix: str, subtype: str, tolerance: float) -> None:
    path = tmp_path / f"speech.{suffix}"
    soundfile.write(path, sine(44100), 44100, subtype=subtype)
    samples, rate = read_audio(path)
    assert rate == 44100
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples[2000:-2000], sine(44100)[2000:-2000], atol=tolerance)


def test_mp3_keeps_frequency_and_amplitude(tmp_path: Path) -> None:
    path = tmp_path / "speech.mp3"
    soundfile.write(path, sine(44100), 44100)
    speech = read_speech(path)
    spectrum = np.abs(np.fft.rfft(speech[:16000]))
    assert abs(int(spectrum.argmax()) - 440) <= 1
    assert speech[2000:14000].max() == pytest.approx(0.5, abs=0.02)


def test_channels_are_averaged(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([sine(16000), np.zeros(16000)], axis=1), 16000, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(path)[0], sine(16000) / 2, atol=1e-7)


def test_reading_in_blocks_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, sine(16000), 16000, subtype="FLOAT")
    monkeypatch.setattr(audio, "BLOCK", 999)
    np.testing.assert_array_equal(read_audio(path)[0], sine(16000))


@pytest.mark.parametrize("rate", [4000, 11025, 16000, 44100, 44101, 48000, 191_999])
@pytest.mark.parametrize("count", [1, 700, 60_001])
def test_blocks_are_resampled_without_a_seam(rate: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the sound is cut, every sample is that of the whole, to the last bit."""
    monkeypatch.setattr(audio, "_STEP", 777)
    rng = np.random.default_rng(0)
    sound = rng.uniform(-1, 1, count).astype(np.float32)
    places = np.sort(rng.integers(0, count, 5))
    got = [np.zeros(0, np.float32), *resampled((part for part in np.split(sound, places) if len(part)), rate)]
    np.testing.assert_array_equal(np.concatenate(got), to_16k(sound, rate))


def test_above_full_scale_is_scaled_down(tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    soundfile.write(path, 4 * sine(16000), 16000, subtype="FLOAT")
    assert np.abs(read_speech(path)).max() == pytest.approx(1.0)


def test_silence_warns_and_is_read(tmp_path: Path) -> None:
    path = tmp_path / "silent.wav"
    soundfile.write(path, np.zeros(1600), 16000)
    with pytest.warns(UserWarning, match="silent"):
        assert len(read_speech(path)) == 1600


def test_mistakes_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def problem(name: str) -> str:
        with pytest.raises(InputError) as caught:
            read_speech(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "there is no such file" in problem("absent.wav")
    (tmp_path / "folder.wav").mkdir()
    assert "folder" in problem("folder.wav")
    (tmp_path / "empty.wav").touch()
    assert "0 bytes" in problem("empty.wav")
    (tmp_path / "text.wav").write_text("This is a letter, not a sound.\n" * 20)
    assert "cannot be read as sound" in problem("text.wav")
    (tmp_path / "bytes.raw").write_bytes(bytes(1000))
    assert "cannot be read as sound" in problem("bytes.raw")
    soundfile.write(tmp_path / "header.wav", np.zeros(0), 16000)
    assert "no samples" in problem("header.wav")
    for value in (np.nan, np.inf):
        samples = sine(16000)
        samples[8000] = value
        soundfile.write(tmp_path / "nan.wav", samples, 16000, subtype="FLOAT")
        assert "at 0.500 s" in problem("nan.wav")
    soundfile.write(tmp_path / "slow.wav", np.ones(100), 100)
    assert "100 Hz" in problem("slow.wav")
    monkeypatch.setattr(audio, "MAX_HOURS", 0.5 / 3600)
    soundfile.write(tmp_path / "long.wav", sine(16000), 16000)
    assert "cut it into shorter files" in problem("long.wav")
    soundfile.write(tmp_path / "long.mp3", sine(16000), 16000)
    assert "longer than" in problem("long.mp3")  # only what is really read counts


def test_an_unusable_rate_is_refused() -> None:
    with pytest.raises(InputError, match="outside"):
        to_16k(sine(16000), 10**9)

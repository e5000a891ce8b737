"""Sound in pieces: the same samples and figures as read at once."""

import numpy as np
import pytest
import soundfile

from wav2uti.corpus import sound
from wav2uti.corpus.sound import ArraySound, FileSound, look_through


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_pieces_are_those_of_the_whole(tmp_path, channels, subtype):
    samples = np.random.default_rng(0).uniform(-1.5, 1.5, (5000, channels))
    soundfile.write(tmp_path / "a.wav", samples, 22_050, subtype=subtype)
    stored, rate = soundfile.read(tmp_path / "a.wav", always_2d=True)
    whole = stored.mean(axis=1) / max(np.abs(stored.mean(axis=1)).max(), 1)
    piecewise = FileSound(tmp_path / "a.wav")
    assert (piecewise.rate, piecewise.facts.samples) == (rate, 5000)
    assert piecewise.seconds == 5000 / 22_050
    np.testing.assert_allclose(piecewise.read(100, 300), whole[100:300], atol=1e-7)
    np.testing.assert_allclose(piecewise.read(4990, 9000), whole[4990:], atol=1e-7)
    assert len(piecewise.read(6000, 7000)) == 0


def test_figures_of_a_known_sound(monkeypatch):
    samples = np.zeros(10_000, dtype=np.float32)  # 25 stretches of 400
    samples[4000:4400] = 0.5
    samples[4800] = -1.0
    facts = ArraySound(samples, 8000).facts
    assert facts.samples == 10_000
    assert facts.peak == 1.0
    assert facts.clipped == 1 / 10_000
    assert facts.silent == 23 / 25
    monkeypatch.setattr(sound, "BLOCK", 333)
    assert ArraySound(samples, 8000).facts == facts
    assert look_through([np.zeros(0, np.float32)], 8000).samples == 0


def test_the_digest_knows_samples_not_files(tmp_path):
    samples = np.int16(np.random.default_rng(0).uniform(-9999, 9999, 3000))
    soundfile.write(tmp_path / "a.wav", samples, 16_000)
    soundfile.write(tmp_path / "b.flac", samples, 16_000)
    soundfile.write(tmp_path / "c.wav", samples[::-1], 16_000)
    a, b, c = (FileSound(tmp_path / name).facts.digest for name in ("a.wav", "b.flac", "c.wav"))
    assert a == b != c

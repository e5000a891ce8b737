"""The simulated corpus as a whole: determinism, synchrony, honesty of its labels."""

from dataclasses import fields

import numpy as np
import pytest

from wav2uti.clock import samples_at
from wav2uti.corpus.recording import Recording
from wav2uti.corpus.simulate import simulate_recording
from wav2uti.corpus.simulate.articulation import articulate, plan, smooth
from wav2uti.corpus.simulate.inventory import CONSONANTS, FINALS, FORMANTS, INITIALS, VOWELS, Syllable, draw_utterance
from wav2uti.corpus.simulate.speakers import draw_speaker
from wav2uti.corpus.simulate.synthesis import speak


@pytest.fixture(scope="module")
def corpus() -> list[Recording]:
    return [simulate_recording(speaker, utterance, size=32, seed=0) for speaker in range(2) for utterance in range(4)]


def assert_same(first: Recording, second: Recording) -> None:
    for field in fields(Recording):
        a, b = getattr(first, field.name), getattr(second, field.name)
        assert np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b, field.name


def test_order_and_labels(corpus: list[Recording]) -> None:
    assert [r.id for r in corpus] == [f"s{s:02d}_u{u:03d}" for s in range(2) for u in range(4)]
    for recording in corpus:
        assert recording.simulated
        assert "simulated" in recording.source
        assert recording.speaker == recording.id.split("_")[0]
        assert recording.language == "zh-Latn-pinyin"
        assert recording.mm_per_pixel == pytest.approx(90 / 32)
        assert recording.reference is not None
        assert recording.reference.any()


def test_sound_and_picture_are_in_step(corpus: list[Recording]) -> None:
    for recording in corpus:
        assert len(recording.audio) == samples_at(len(recording.frames))
        assert 0.69 < recording.duration < 3.02
        assert recording.phones[0].start == 0
        assert recording.phones[-1].end == pytest.approx(recording.duration)
        assert all(a.end == b.start for a, b in zip(recording.phones, recording.phones[1:], strict=False))


def test_the_voice_sounds_while_vowels_are_spoken(corpus: list[Recording]) -> None:
    for recording in corpus:

        def level(phone: object, recording: Recording = recording) -> float:
            part = recording.audio[int(phone.start * 16_000) : int(phone.end * 16_000)]  # type: ignore[attr-defined]
            return float(np.sqrt((part**2).mean()))

        vowels = [level(p) for p in recording.phones if p.label in VOWELS]
        assert np.median(vowels) > 5 * level(recording.phones[0])


def test_contours_are_in_the_picture_and_move(corpus: list[Recording]) -> None:
    for recording in corpus:
        contour = recording.contour
        assert contour is not None
        assert contour.shape == (len(recording.frames), 50, 2)
        assert np.isfinite(contour).all()
        assert contour.min() > -1
        assert contour.max() < 32
        assert np.ptp(contour[..., 1], axis=0).max() > 0.5
        # From the root on the left to the tip on the right.
        assert (contour[:, -1, 0] > contour[:, 0, 0] + 5).all()


def test_text_and_phones_say_the_same(corpus: list[Recording]) -> None:
    for recording in corpus:
        spoken = [p.label for p in recording.phones if p.label != "sil"]
        syllables = recording.text.split(" ")
        assert all(s[-1] in "1234" for s in syllables)
        for syllable in syllables:
            initial = next((i for i in sorted(INITIALS, key=len, reverse=True) if syllable.startswith(i)), "")
            if initial:
                assert spoken.pop(0) == initial
            while spoken and spoken[0] in VOWELS:
                spoken.pop(0)
                if syllable[0] not in INITIALS and spoken and spoken[0] in VOWELS:
                    continue
            if syllable[:-1].endswith(("n", "ng")):
                assert spoken.pop(0) == ("ng" if syllable[:-1].endswith("ng") else "n")
        assert spoken == []


def test_each_syllable_is_a_word_with_the_times_of_its_phones(corpus: list[Recording]) -> None:
    for recording in corpus:
        assert " ".join(word.label for word in recording.words) == recording.text
        spoken = [phone for phone in recording.phones if phone.label != "sil"]
        assert (recording.words[0].start, recording.words[-1].end) == (spoken[0].start, spoken[-1].end)
        assert all(a.end == b.start for a, b in zip(recording.words, recording.words[1:], strict=False))
        for word in recording.words:
            within = [phone for phone in spoken if word.start <= phone.start and phone.end <= word.end]
            assert (within[0].start, within[-1].end) == (word.start, word.end)
            # Its first phone is its initial, where it has one.
            initial = next((i for i in sorted(INITIALS, key=len, reverse=True) if word.label.startswith(i)), "")
            assert within[0].label == initial or not initial
            assert len(within) >= 2 or not initial
        assert sum(word.start <= p.start < word.end for word in recording.words for p in spoken) == len(spoken)


def test_the_same_seed_gives_the_same_bits(corpus: list[Recording]) -> None:
    assert_same(corpus[1], simulate_recording(0, 1, size=32, seed=0))
    assert not np.array_equal(simulate_recording(0, 0, size=32, seed=1).audio, corpus[0].audio)


def test_the_inventory_is_complete() -> None:
    assert len(INITIALS) == 21
    assert len(FINALS) == 23
    assert set(FORMANTS) <= set(VOWELS)
    drawn = [draw_utterance(np.random.default_rng(k)) for k in range(300)]
    tasks = [task for task, _ in drawn]
    assert 30 < tasks.count("vowel") < 95
    assert 30 < tasks.count("word") < 95
    phones = {phone for _, syllables in drawn for s in syllables for phone in s.phones}
    assert phones == set(VOWELS) | set(CONSONANTS)
    assert {s.tone for _, syllables in drawn for s in syllables} == {1, 2, 3, 4}


def test_smoothing_keeps_a_constant_and_is_centred_on_a_step() -> None:
    assert smooth(np.full((300, 2), 3.0), 0.0135) == pytest.approx(3.0)
    step = smooth((np.arange(600) >= 300).astype(float), 0.0135)
    # The mean delay is taken out: the centre of gravity of the change lies on the step.
    assert np.diff(step) @ np.arange(1, 600) == pytest.approx(300, abs=1.5)


def test_a_stop_closes_the_tract_and_a_vowel_does_not() -> None:
    speaker = draw_speaker(0, 0)
    syllables = (Syllable("t", "a", 1), Syllable("k", "e", 4))
    score = plan(syllables, "word", speaker, np.random.default_rng(0))
    movement = articulate(score, speaker, np.random.default_rng(1))
    sound = speak(movement, speaker, np.random.default_rng(2))
    from wav2uti.corpus.simulate.maeda import wall_position

    gap = (wall_position(speaker.anatomy) - movement.tongue).min(axis=1)
    for segment in score.segments:
        middle = int(600 * (segment.start + segment.end) / 2)
        if segment.label in ("t", "k"):
            assert gap[middle] < 0.03
        elif segment.label in VOWELS:
            assert gap[middle] > 0.1
    closure = sound[int(16_000 * (score.segments[1].start + 0.025)) : int(16_000 * (score.segments[1].end - 0.03))]
    assert np.abs(closure).max() < 0.15 * np.abs(sound).max()


def test_other_speckle_keeps_the_movement_and_the_sound(corpus):
    other = simulate_recording(0, 1, size=32, seed=0, speckle=1)
    same = corpus[1]
    np.testing.assert_array_equal(other.contour, same.contour)
    np.testing.assert_array_equal(other.audio, same.audio)
    assert "speckle 1" in other.source
    difference = np.abs(other.frames.astype(float) - same.frames)
    moved = np.abs(corpus[2].frames[: len(same.frames)].astype(float) - same.frames[: len(corpus[2].frames)])
    assert 0 < difference.mean() < moved.mean()

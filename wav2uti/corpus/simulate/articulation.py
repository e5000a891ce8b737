"""From syllables to movements: step targets smoothed by a critically damped filter (target approximation).

Everything moves on a clock of 600 Hz, which both the acoustics (200 Hz, every third sample) and the picture (60 Hz,
every tenth) divide: sound and picture are exactly in step, and frame k shows the instant k / 60 s.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from wav2uti.clock import FPS
from wav2uti.corpus.recording import Interval, Task
from wav2uti.corpus.simulate.inventory import CONSONANTS, FRONT, FRONTED, VOWELS, Consonant, Syllable
from wav2uti.corpus.simulate.maeda import LINES, PARAMETERS, tongue_position, wall_position
from wav2uti.corpus.simulate.speakers import Speaker

Array = NDArray[np.float64]

RATE = 600  # Hz
PER_FRAME = RATE // FPS
BODY_TAU, GESTURE_TAU, VOICE_TAU = 0.0135, 0.009, 0.004  # s
PRESSURE = 8_000.0  # below the glottis while speaking, dyn/cm^2
SHORTEST, LONGEST = 0.7, 3.0  # s
_OVERLAP = 0.016  # s by which a gesture begins before its phone and ends after it
_TONES = {1: (4.0, 4.0, 4.0), 2: (-1.0, 0.5, 4.5), 3: (-2.0, -5.0, -3.0), 4: (5.0, 2.0, -4.5)}  # semitones
_NUCLEUS = 0.2  # s
_VARIATION = 0.12  # of a target from one phone to the next, in standard deviations of the parameters


@dataclass(frozen=True, slots=True)
class Segment:
    """A phone with its times in seconds; `syllable` is its place in the utterance, -1 for silence."""

    label: str
    start: float
    end: float
    syllable: int = -1

    @property
    def consonant(self) -> Consonant | None:
        """Its gesture, None for a vowel or silence."""
        return CONSONANTS.get(self.label)


@dataclass(frozen=True)
class Score:
    """Phones from the first to the last moment of a recording of `frames` video frames."""

    segments: tuple[Segment, ...]
    syllables: tuple[Syllable, ...]
    frames: int

    @property
    def phones(self) -> tuple[Interval, ...]:
        """As a recording carries them."""
        return tuple(Interval(s.label, s.start, s.end) for s in self.segments)

    @property
    def words(self) -> tuple[Interval, ...]:
        """One for each spoken syllable: its pinyin, from the start of its first phone to the end of its last."""
        spoken = [[s for s in self.segments if s.syllable == k] for k in range(len(self.syllables))]
        return tuple(
            Interval(syllable.pinyin, phones[0].start, phones[-1].end)
            for syllable, phones in zip(self.syllables, spoken, strict=True)
        )


def plan(syllables: tuple[Syllable, ...], task: Task, speaker: Speaker, rng: np.random.Generator) -> Score:
    """Times of the phones: consonants by kind, vowels sharing a nucleus, the last syllable longer, silence around."""
    labels: list[tuple[str, int]] = []
    lengths: list[float] = []
    slow = 1.5 if task == "vowel" else 1.0
    for k, syllable in enumerate(syllables):
        last = 1.25 if k == len(syllables) - 1 else 1.0
        nucleus = _NUCLEUS * (0.75 if syllable.coda else 1.0) * slow * last * rng.uniform(0.85, 1.2)
        for phone in syllable.phones:
            labels.append((phone, k))
            if phone in CONSONANTS:
                lengths.append(CONSONANTS[phone].hold * rng.uniform(0.85, 1.15) / speaker.rate)
            else:
                # A diphthong takes a little longer than a vowel.
                share = (0.85 + 0.15 * len(syllable.vowels)) / len(syllable.vowels)
                lengths.append(nucleus * share / speaker.rate)
    before, after = rng.uniform(0.14, 0.24, size=2)
    spoken = np.array(lengths)
    spoken *= min(1.0, (LONGEST - before - after) / spoken.sum())
    after += max(0.0, SHORTEST - spoken.sum() - before - after)
    frames = int(np.ceil((spoken.sum() + before + after) * FPS - 1e-9))
    edges = before + np.concatenate([[0.0], np.cumsum(spoken)])
    segments = [Segment("sil", 0.0, float(edges[0]))]
    segments += [
        Segment(label, float(start), float(end), k)
        for (label, k), start, end in zip(labels, edges[:-1], edges[1:], strict=True)
    ]
    segments.append(Segment("sil", float(edges[-1]), frames / FPS))
    return Score(tuple(segments), syllables, frames)


@dataclass(frozen=True, eq=False)
class Movement:
    """Articulation at 600 Hz, N = 10 samples a video frame.

    Attributes:
        parameters: Maeda's, shape (N, 7).
        tongue: positions along the grid lines with the consonants' gestures, shape (N, 25), before contact.
        lip_closure: 0 to 1. port: opening of the velum in cm^2. glottis: opening besides voicing in cm^2.
        voice: amplitude of voicing, 0 to 1. pressure: below the glottis, dyn/cm^2. semitones: pitch. Shape (N,).
    """

    parameters: Array
    tongue: Array
    lip_closure: Array
    port: Array
    glottis: Array
    voice: Array
    pressure: Array
    semitones: Array

    def at(self, index: slice) -> "Movement":
        """The movement at some of its samples."""
        return Movement(**{name: track[index] for name, track in vars(self).items()})


def smooth(track: Array, tau: float) -> Array:
    """Fourth-order gamma kernel with time constant tau along axis 0, its mean delay (about 4 tau) taken out again."""
    pole = np.exp(-1.0 / (RATE * tau))
    delay = round(4 * pole / (1.0 - pole))
    start = track[:1]
    padded = np.concatenate([track, np.repeat(track[-1:], delay, axis=0)]) - start
    for _ in range(4):
        padded = lfilter([1.0 - pole], [1.0, -pole], padded, axis=0)
    smoothed: Array = padded[delay:] + start
    return smoothed


def rest(speaker: Speaker) -> Array:
    """The speaker's parameters at rest, shape (7,): schwa."""
    return speaker.target(VOWELS["@"])


def _targets(score: Score, speaker: Speaker, rng: np.random.Generator) -> list[Array]:
    """Parameters of each segment: a vowel's own; a consonant's lie between its syllable's vowel and rest."""
    neutral = rest(speaker)
    found = []
    for segment in score.segments:
        variation = rng.normal(0.0, _VARIATION, PARAMETERS)
        if segment.syllable < 0:
            found.append(neutral + 0.5 * variation)
            continue
        vowels = score.syllables[segment.syllable].vowels
        if segment.consonant is None:
            found.append(speaker.target(VOWELS[segment.label]) + variation)
        else:
            initial = segment.label == score.syllables[segment.syllable].initial
            near = speaker.target(VOWELS[vowels[0] if initial else vowels[-1]])
            found.append(0.65 * near + 0.35 * neutral + 0.5 * variation)
    return found


def articulate(score: Score, speaker: Speaker, rng: np.random.Generator) -> Movement:
    """All movements of an utterance."""
    count = score.frames * PER_FRAME
    time = np.arange(count) / RATE

    def during(start: float, end: float) -> Array:
        return ((time >= start) & (time < end)).astype(np.float64)

    steps = np.empty((count, PARAMETERS))
    for segment, target in zip(score.segments, _targets(score, speaker, rng), strict=True):
        steps[time >= segment.start] = target
    parameters = smooth(steps, BODY_TAU)

    tongue = tongue_position(parameters)
    wall = wall_position(speaker.anatomy)
    lines = np.arange(LINES)
    lips, velum, glottis = np.zeros(count), np.zeros(count), np.zeros(count)
    voice = np.zeros(count)
    for segment in score.segments:
        start, end, consonant = segment.start, segment.end, segment.consonant
        if segment.syllable < 0:
            continue
        if consonant is None:
            np.maximum(voice, during(start, end), out=voice)
            continue
        np.maximum(voice, consonant.voicing * during(start, end), out=voice)
        if consonant.nasal:
            np.maximum(velum, during(start - 0.03, end + 0.03), out=velum)
        if consonant.glottis:
            np.maximum(glottis, consonant.glottis * during(start, end + consonant.aspiration), out=glottis)
        if consonant.lips:
            np.maximum(lips, consonant.lips * during(start - _OVERLAP, end + _OVERLAP), out=lips)
        if consonant.line is not None:
            vowels = score.syllables[segment.syllable].vowels
            line = consonant.line + (FRONTED if segment.label in "kgh" and vowels[0] in FRONT else 0.0)
            activation = smooth(during(start - _OVERLAP, end + _OVERLAP), GESTURE_TAU)
            gap = np.full(count, consonant.gap)
            if consonant.affricate:
                released = smooth(during(start + consonant.affricate * (end - start), np.inf), GESTURE_TAU)
                gap = -0.05 + released * (consonant.gap + 0.05)
            lower = int(line)
            share = line - lower
            here = (1 - share) * tongue[:, lower] + share * tongue[:, lower + 1]
            there = (1 - share) * wall[lower] + share * wall[lower + 1]
            reach = activation * (there - gap - here)
            tongue = tongue + reach[:, None] * np.exp(-0.5 * ((lines - line) / consonant.width) ** 2)
    # Voicing waits for the glottis to close again after an aspirated release.
    voice = np.where(glottis > 0, 0.0, voice)
    spoken = during(score.segments[0].end - 0.03, score.segments[-1].start + 0.03)
    return Movement(
        parameters=parameters,
        tongue=tongue,
        lip_closure=np.clip(1.06 * smooth(lips, GESTURE_TAU), 0.0, 1.0),
        port=0.5 * smooth(velum, BODY_TAU),
        glottis=smooth(glottis, VOICE_TAU),
        voice=smooth(voice, VOICE_TAU),
        pressure=PRESSURE * smooth(spoken, GESTURE_TAU),
        semitones=_pitch(score, time),
    )


def _pitch(score: Score, time: Array) -> Array:
    """Tones over the vowels and codas of each syllable, with a slow fall over the utterance; semitones."""
    at, height = [], []
    for k, syllable in enumerate(score.syllables):
        own = [s for s in score.segments if s.syllable == k and s.label != syllable.initial]
        start, end = own[0].start, own[-1].end
        at += [start, (start + end) / 2, end - 1e-3]
        height += list(_TONES[syllable.tone])
    return smooth(np.interp(time, at, height), BODY_TAU) - 1.5 * time

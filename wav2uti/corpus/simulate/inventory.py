"""What the simulated speakers say: a Mandarin-like inventory of pinyin syllables, their phones and utterances.

21 initials and the zero onset, 23 finals, 4 tones. The vowels are targets of Maeda's model; the consonants are
gestures: a displacement of the tongue toward the wall around one grid line, of the lips, the velum and the glottis.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wav2uti.corpus.recording import Task
from wav2uti.corpus.simulate.maeda import vowel

# The targets of maeda.json fitted again on the acoustics of this package (Nelder-Mead on F1 and F2, kept near the
# published ones); the rest are taken as they stand there. v = ü, ih = zi, ir = zhi, E = ê, @ = schwa, A = back a.
_REFITTED = {
    "a": (-2.71, 2.17, -1.52, -0.23, 1.19, -0.06, -0.03),
    "o": (-0.75, 3.21, 1.36, -1.19, -0.4, 0.52, -0.02),
    "e": (0.09, 1.64, 1.92, -1.23, 0.27, -0.4, 0.0),
    "i": (0.43, -1.69, 1.03, -1.46, 0.24, -0.85, -0.13),
    "u": (0.42, 2.3, 2.53, -1.44, -0.95, 0.97, -0.01),
    "v": (0.73, -1.51, 0.71, -1.08, -0.48, 0.66, 0.06),
    "ih": (1.29, 2.13, -2.2, 1.52, 0.66, -0.64, -0.5),
    "ir": (0.26, 0.23, 0.13, 0.79, -0.74, -0.22, -0.06),
}
VOWELS: dict[str, NDArray[np.float64]] = {name: np.array(target) for name, target in _REFITTED.items()} | {
    name: vowel(name) for name in ("E", "@", "A")
}
FORMANTS = {  # Hz, F1 and F2 of Maeda's tract, which the targets give within 5 %
    "a": (760, 1220),
    "o": (500, 850),
    "e": (480, 1180),
    "i": (290, 2250),
    "u": (330, 680),
    "v": (280, 1950),
    "ih": (380, 1350),
    "ir": (380, 1600),
}
FRONT = frozenset("ivE")


_APICAL, _DENTAL, _RETROFLEX, _PALATAL, _VELAR = 22.6, 23.4, 20.8, 19.0, 12.8  # grid lines
_TIP, _BODY = 2.4, 3.0  # grid lines: the tip moves alone, the body as a whole


@dataclass(frozen=True, slots=True)
class Consonant:
    """A gesture.

    Attributes:
        line: grid line of the constriction of the tongue, or None.
        gap: width left open there in model units; negative for a closure.
        width: standard deviation of the displacement in grid lines.
        lips: 0 (as the vowel has them) to 1 (closed).
        hold: duration in seconds.
        glottis: area of the open glottis in cm^2 while it is held; 0 for a voiced consonant.
        aspiration: how long the glottis stays open after the release, in seconds.
        voicing: amplitude of the voice while it is held, 0 to 1.
        nasal: whether the velum is open.
        affricate: share of `hold` after which a closure opens to the gap of a fricative; 0 for none.
    """

    line: float | None = None
    gap: float = -0.05
    width: float = _TIP
    lips: float = 0.0
    hold: float = 0.08
    glottis: float = 0.0
    aspiration: float = 0.0
    voicing: float = 0.0
    nasal: bool = False
    affricate: float = 0.0


def _stop(line: float | None, aspirated: bool, lips: float = 0.0) -> Consonant:
    width = _BODY if line == _VELAR else _TIP
    return Consonant(line, width=width, lips=lips, hold=0.08, glottis=0.22, aspiration=0.065 if aspirated else 0.006)


def _fricative(line: float, voiced: bool = False) -> Consonant:
    hold, glottis, voicing = (0.075, 0.0, 0.7) if voiced else (0.115, 0.28, 0.0)
    width = _BODY if line == _PALATAL else _TIP
    return Consonant(line, gap=0.32 if voiced else 0.26, width=width, hold=hold, glottis=glottis, voicing=voicing)


def _affricate(line: float, aspirated: bool) -> Consonant:
    hold, aspiration = (0.14, 0.045) if aspirated else (0.11, 0.006)
    width = _BODY if line == _PALATAL else _TIP
    return Consonant(line, gap=0.26, width=width, hold=hold, glottis=0.25, aspiration=aspiration, affricate=0.5)


FRONTED = 2.5  # grid lines that a velar moves forward before a front vowel

CONSONANTS = {
    "b": _stop(None, False, lips=1.0),
    "p": _stop(None, True, lips=1.0),
    "m": Consonant(lips=1.0, hold=0.075, voicing=0.8, nasal=True),
    "f": Consonant(lips=0.9, hold=0.1, glottis=0.28),
    "d": _stop(_APICAL, False),
    "t": _stop(_APICAL, True),
    "n": Consonant(_APICAL, hold=0.07, voicing=0.8, nasal=True),
    "l": Consonant(_APICAL, gap=0.45, width=2.0, hold=0.065, voicing=0.85),
    "g": _stop(_VELAR, False),
    "k": _stop(_VELAR, True),
    "h": Consonant(_VELAR, gap=0.4, width=_BODY, hold=0.095, glottis=0.25),
    "j": _affricate(_PALATAL, False),
    "q": _affricate(_PALATAL, True),
    "x": _fricative(_PALATAL),
    "zh": _affricate(_RETROFLEX, False),
    "ch": _affricate(_RETROFLEX, True),
    "sh": _fricative(_RETROFLEX),
    "r": _fricative(_RETROFLEX, voiced=True),
    "z": _affricate(_DENTAL, False),
    "c": _affricate(_DENTAL, True),
    "s": _fricative(_DENTAL),
    "ng": Consonant(_VELAR, width=_BODY, hold=0.08, voicing=0.8, nasal=True),
}
INITIALS = tuple(name for name in CONSONANTS if name != "ng")

# Final -> its vowel targets and its nasal coda.
FINALS: dict[str, tuple[tuple[str, ...], str]] = {
    "a": (("a",), ""),
    "o": (("u", "o"), ""),
    "e": (("e",), ""),
    "ai": (("a", "i"), ""),
    "ei": (("E", "i"), ""),
    "ao": (("A", "u"), ""),
    "ou": (("o", "u"), ""),
    "an": (("a",), "n"),
    "en": (("@",), "n"),
    "ang": (("A",), "ng"),
    "eng": (("@",), "ng"),
    "ong": (("u",), "ng"),
    "i": (("i",), ""),
    "ie": (("i", "E"), ""),
    "iao": (("i", "A", "u"), ""),
    "iu": (("i", "o", "u"), ""),
    "in": (("i",), "n"),
    "ing": (("i",), "ng"),
    "u": (("u",), ""),
    "uo": (("u", "o"), ""),
    "ui": (("u", "E", "i"), ""),
    "un": (("u", "@"), "n"),
    "ü": (("v",), ""),
}
_SPELLED_ALONE = {
    "i": "yi",
    "ie": "ye",
    "iao": "yao",
    "iu": "you",
    "in": "yin",
    "ing": "ying",
    "u": "wu",
    "uo": "wo",
    "ui": "wei",
    "un": "wen",
    "ü": "yu",
}
_COMBINES = {
    "b p m": "a o ai ei ao an en ang eng i ie iao in ing u",
    "f": "a o ei ou an en ang eng u",
    "d t": "a e ai ao ou an ang eng ong i ie iao ing u uo ui un",
    "n l": "a ai ei ao ou an ang eng ong i ie iao iu in ing u uo ü",
    "g k h": "a e ai ei ao ou an en ang eng ong u uo ui un",
    "j q x": "i ie iao iu in ing ü",
    "zh ch sh": "a e ai ao ou an en ang eng i u uo ui un",
    "r": "e ao ou an en ang eng ong i u uo ui un",
    "z c s": "a e ai ao ou an en ang eng ong i u uo ui un",
    "": "a e ai ao ou an en ang i ie iao iu in ing u uo ui un ü",
}
SIMPLE = ("a", "o", "e", "i", "u", "ü")


@dataclass(frozen=True, slots=True)
class Syllable:
    """An initial ("" for the zero onset), a final and a tone from 1 to 4."""

    initial: str
    final: str
    tone: int

    @property
    def pinyin(self) -> str:
        """Spelling with a tone digit, such as "gen4".

        >>> Syllable("", "ui", 4).pinyin, Syllable("j", "ü", 2).pinyin, Syllable("l", "ü", 3).pinyin
        ('wei4', 'ju2', 'lü3')
        """
        spelled = self.initial + self.final
        if not self.initial:
            spelled = _SPELLED_ALONE.get(self.final, self.final)
        elif self.final == "ü" and self.initial in ("j", "q", "x"):
            spelled = self.initial + "u"
        return f"{spelled}{self.tone}"

    @property
    def vowels(self) -> tuple[str, ...]:
        """Vowel targets, with the apical vowels of "zi" and "zhi"."""
        if self.final == "i" and self.initial in ("z", "c", "s"):
            return ("ih",)
        if self.final == "i" and self.initial in ("zh", "ch", "sh", "r"):
            return ("ir",)
        return FINALS[self.final][0]

    @property
    def coda(self) -> str:
        """ "n", "ng" or ""."""
        return FINALS[self.final][1]

    @property
    def phones(self) -> tuple[str, ...]:
        """Initial, vowel targets and coda.

        >>> Syllable("g", "en", 4).phones
        ('g', '@', 'n')
        """
        return tuple(p for p in (self.initial, *self.vowels, self.coda) if p)


_PAIRS = tuple((i, f) for group, finals in _COMBINES.items() for i in (group.split() or [""]) for f in finals.split())


def draw_utterance(rng: np.random.Generator) -> tuple[Task, tuple[Syllable, ...]]:
    """A task (a fifth vowels, a fifth words, the rest sentences) and its syllables."""
    task: Task = ("vowel", "word", "sentence", "sentence", "sentence")[rng.integers(5)]
    if task == "vowel":
        finals = [SIMPLE[k] for k in rng.integers(len(SIMPLE), size=rng.integers(1, 3))]
        return task, tuple(Syllable("", final, int(rng.integers(1, 5))) for final in finals)
    count = 2 if task == "word" else int(rng.integers(4, 8))
    drawn = rng.integers(len(_PAIRS), size=count)
    return task, tuple(Syllable(_PAIRS[k][0], _PAIRS[k][1], int(rng.integers(1, 5))) for k in drawn)

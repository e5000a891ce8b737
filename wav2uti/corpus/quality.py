"""Quality checks of a recording while it is read, and of a corpus as a whole: figures, and sentences for the user."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wav2uti.clock import FPS
from wav2uti.corpus.raw import Block
from wav2uti.corpus.sound import SoundFacts
from wav2uti.corpus.sync import Synchronised

FEW_FRAMES = 40.0  # distinct frames a second below which fast movements are lost
CLIPPED = 1.0e-3  # share of samples at full scale; a short burst of a healthy recording stays far below
SILENT = 0.98  # share of 50 ms stretches below -60 dBFS; the silence around a word leaves more than this
SHORT = 0.5  # of the longer stream, both together must cover
BESIDE = 0.1  # share of what moves that may lie beside the ultrasound
_SAME = 1  # grey levels; a repeated frame of a video may differ by the rounding of its compression


@dataclass(frozen=True, slots=True)
class Quality:
    """Figures of one recording.

    Attributes:
        raw_rate: raw frames a second.
        distinct_rate: raw frames a second that differ from the one before.
        picture: first and last moment of the picture in s on the clock of the sound.
        sound_seconds: length of the sound.
        kept_seconds: length of what both have in common.
        clipped, silent, peak, sound_digest: as in `SoundFacts`.
        beside: share of what moves that lies beside the largest moving region; None where there is nothing but the fan.
    """

    raw_rate: float
    distinct_rate: float
    picture: list[float]
    sound_seconds: float
    kept_seconds: float
    clipped: float
    silent: float
    peak: float
    sound_digest: str
    beside: float | None

    def warnings(self) -> list[str]:
        """One sentence for each figure that is out of bounds."""
        found = []
        if self.distinct_rate < FEW_FRAMES:
            found.append(
                f"it shows only {self.distinct_rate:.1f} distinct frames a second (60 are drawn by interpolation): "
                "record at a higher rate if you can"
            )
        if self.silent >= SILENT:
            found.append(
                f"its sound is below -60 dBFS for {self.silent:.0%} of the time: check the microphone and the channel"
            )
        if self.clipped > CLIPPED:
            found.append(f"{self.clipped:.1%} of its sound is clipped: record at a lower level")
        length = max(self.picture[1] - max(self.picture[0], 0.0), self.sound_seconds)
        if self.kept_seconds < SHORT * length:
            found.append(
                f"picture ({self.picture[0]:.2f} to {self.picture[1]:.2f} s) and sound (0 to {self.sound_seconds:.2f} "
                f"s) share only {self.kept_seconds:.2f} s: check that both belong together, and the time offset"
            )
        if self.beside is not None and self.beside > BESIDE:
            found.append(
                f"{self.beside:.0%} of what moves in it lies beside the largest moving region: give --crop, or "
                "--crop auto, to keep the ultrasound alone"
            )
        return found

    def as_json(self) -> dict[str, object]:
        """All figures and the warnings, as a shard keeps them."""
        return asdict(self) | {"warnings": self.warnings()}


class QualityMeter:
    """Watches the frames of one recording go by."""

    def __init__(self) -> None:
        self._last: NDArray[np.uint8] | None = None
        self._changes = 0

    def see(self, block: Block) -> None:
        """Count the distinct ones of raw frames."""
        frames = block[1]
        before = frames[:-1] if self._last is None else np.concatenate((self._last[None], frames[:-1]))
        after = frames[len(frames) - len(before) :]
        for a, b in zip(before, after, strict=True):
            self._changes += bool((np.maximum(a, b) - np.minimum(a, b)).max() > _SAME)
        self._last = frames[-1].copy()

    def quality(self, synchronised: Synchronised, sound: SoundFacts) -> Quality:
        """Figures, once all frames have gone by."""
        beside = synchronised.raw.picture.motion_beside()
        times, rate = synchronised.raw_times, synchronised.raw.sound.rate
        length = float(times[-1] - times[0])
        return Quality(
            raw_rate=round((len(times) - 1) / length, 3) if length > 0 else 0.0,
            distinct_rate=round(self._changes / length, 3) if length > 0 else 0.0,
            picture=[round(float(times[0]), 6), round(float(times[-1]) + synchronised.period, 6)],
            sound_seconds=round(sound.samples / rate, 6),
            kept_seconds=round(synchronised.count / FPS, 6),
            clipped=round(sound.clipped, 6),
            silent=round(sound.silent, 4),
            peak=round(sound.peak, 6),
            sound_digest=sound.digest,
            beside=None if beside is None else round(beside, 4),
        )


class Described(Protocol):
    """What a whole corpus is checked by."""

    @property
    def id(self) -> str: ...
    @property
    def speaker(self) -> str: ...
    @property
    def split(self) -> str: ...
    @property
    def sound_digest(self) -> str: ...


def corpus_warnings(recordings: Iterable[Described]) -> list[str]:
    """Sentences on recordings with the same sound, and on speakers in more than one split."""
    by_sound: dict[str, list[str]] = {}
    splits: dict[str, set[str]] = {}
    for recording in recordings:
        if recording.sound_digest:
            by_sound.setdefault(recording.sound_digest, []).append(recording.id)
        if recording.split:
            splits.setdefault(recording.speaker, set()).add(recording.split)
    found = [
        f"{_listed(sorted(ids))} have the same sound: one recording may be there twice, leave out all but one"
        for ids in by_sound.values()
        if len(ids) > 1
    ]
    leaking = sorted(speaker for speaker, of in splits.items() if len(of) > 1)
    if leaking:
        found.append(
            f"{_listed(leaking)} {'is' if len(leaking) == 1 else 'are'} in more than one split: a score on speakers "
            "that were trained on says nothing about new ones"
        )
    return sorted(found)


def _listed(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")

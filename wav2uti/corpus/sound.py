"""The sound of a recording, read in pieces at its own rate: a file is looked through once and never held whole."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wav2uti.errors import InputError
from wav2uti.speech.audio import BLOCK, SILENCE, check_header, mono_blocks, next_mono, opened_sound

FULL_SCALE = 0.999  # amplitude from which a sample counts as clipped


@dataclass(frozen=True, slots=True)
class SoundFacts:
    """What one look through a sound tells.

    Attributes:
        samples: their number.
        peak: greatest amplitude, before anything is scaled.
        clipped: share of samples at full scale.
        silent: share of the 50 ms stretches whose peak is under -60 dBFS.
        digest: of all samples; equal sounds have equal ones, whatever their files are called.
    """

    samples: int
    peak: float
    clipped: float
    silent: float
    digest: str


class Sound(ABC):
    """Sound of one channel, whose first sample stands at time 0.

    Attributes:
        rate: samples a second.
        facts: what a look through all samples told.
    """

    rate: int
    facts: SoundFacts

    @property
    def seconds(self) -> float:
        """Length in s."""
        return self.facts.samples / self.rate

    @abstractmethod
    def read(self, first: int, last: int) -> NDArray[np.float32]:
        """Samples [first, last), float32 in [-1, 1]; fewer where the sound ends, 0 <= first."""


class FileSound(Sound):
    """A sound file of any format that libsndfile knows; its channels are averaged.

    Floating-point files above full scale are scaled down to a peak of 1.

    Raises:
        InputError: as `read_speech`, already when the object is made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with opened_sound(path) as file:
            check_header(file, path)
            self.rate = int(file.samplerate)
            self.facts = look_through(mono_blocks(file, path), self.rate)

    def read(self, first: int, last: int) -> NDArray[np.float32]:
        with opened_sound(self.path) as file:
            file.seek(min(first, self.facts.samples))
            wanted = max(min(last, self.facts.samples) - first, 0)
            mono = np.empty(wanted, dtype=np.float32)
            done = 0
            while done < wanted:
                block = next_mono(file, wanted - done)
                if len(block) == 0:
                    raise InputError(f"The sound file {self.path} became shorter while it was read: copy it again.")
                mono[done : done + len(block)] = block
                done += len(block)
        return mono / np.float32(self.facts.peak) if self.facts.peak > 1 else mono


class ArraySound(Sound):
    """Samples that are there already, as an array or a memory map: float32 (N,) in [-1, 1]."""

    def __init__(self, samples: NDArray[np.float32], rate: int) -> None:
        self.samples, self.rate = samples, rate
        blocks = (np.asarray(samples[start : start + BLOCK]) for start in range(0, len(samples), BLOCK))
        self.facts = look_through(blocks, rate)

    def read(self, first: int, last: int) -> NDArray[np.float32]:
        return np.array(self.samples[first:last], dtype=np.float32)


def look_through(blocks: Iterable[NDArray[np.float32]], rate: int) -> SoundFacts:
    """Facts of a sound given in blocks."""
    digest = hashlib.blake2b(digest_size=16)
    stretch = max(rate // 20, 1)
    rest = np.zeros(0, dtype=np.float32)  # what is left of the last stretch
    samples = clipped = silent = stretches = 0
    peak = 0.0
    for block in blocks:
        digest.update(block.tobytes())
        amplitude = np.abs(block)
        samples += len(block)
        peak = max(peak, float(amplitude.max(initial=0.0)))
        clipped += int((amplitude >= FULL_SCALE).sum())
        amplitude = np.concatenate((rest, amplitude))
        whole = len(amplitude) // stretch
        silent += int((amplitude[: whole * stretch].reshape(whole, stretch).max(axis=1, initial=0.0) < SILENCE).sum())
        stretches += whole
        rest = amplitude[whole * stretch :]
    if len(rest):
        silent += int(rest.max() < SILENCE)
        stretches += 1
    return SoundFacts(samples, peak, clipped / max(samples, 1), silent / max(stretches, 1), digest.hexdigest())

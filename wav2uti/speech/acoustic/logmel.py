"""Log mel spectrum at the video frames, and the level of speech."""

from collections.abc import Iterator
from functools import cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from wav2uti.clock import SAMPLE_RATE
from wav2uti.errors import InputError
from wav2uti.speech.acoustic.base import AcousticEncoder, Samples, frame_places


class LogMel(AcousticEncoder):
    """Log mel spectrum in a 25 ms Hann window centred on each video frame; needs no weights.

    A hop of 800/3 samples is no integer, so the windows are gathered at the frames' instants, rounded to a sample.

    The level of a recording depends on its microphone, so it is brought to -20 dBFS over its speech first (see
    `speech_level`). That single gain is all that a frame takes from the rest of its file: the log energies are then
    shifted and scaled by constants (measured on an audiobook and on TaL and AAA sessions; speech has a mean near 0
    and a standard deviation near 1, silence stands at -1.2).
    """

    MEAN: ClassVar[float] = -9.0
    STD: ClassVar[float] = 4.0
    LEVEL: ClassVar[float] = 0.1  # root mean square of the speech after the gain: -20 dBFS
    FLOOR: ClassVar[float] = 1.0e-6  # added to the band energies: hides a quiet room's noise, not a weak fricative

    _WINDOW = 400  # 25 ms
    _FFT = 1024  # bins of 15.6 Hz: with fewer, the lowest of 80 bands would hold none
    _BLOCK = 1024  # frames transformed at a time: the memory needed does not grow with the recording

    def __init__(self, bands: int = 80) -> None:
        if not 1 <= bands <= 128:
            raise InputError(f"A mel spectrum of {bands} bands is outside 1 to 128: set `bands` within.")
        self.bands = bands

    @property
    def name(self) -> str:
        return "logmel" if self.bands == 80 else f"logmel{self.bands}"

    @property
    def width(self) -> int:
        return self.bands

    def spec(self) -> dict[str, Any]:
        return {"class": "LogMel", "args": {"bands": self.bands}}

    def encode(self, audio: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
        blocks = list(self.encode_blocks(audio, frames))
        return np.concatenate(blocks) if blocks else np.zeros((0, self.bands), dtype=np.float32)

    def encode_blocks(self, audio: Samples, frames: int) -> Iterator[NDArray[np.float32]]:
        starts = np.rint(frame_places(frames) - (self._WINDOW - 1) / 2).astype(np.int64)
        hann = np.hanning(self._WINDOW + 1)[:-1].astype(np.float32)  # periodic
        hann /= np.sqrt(np.sum(hann**2))  # white noise of variance v then has v in every bin
        hann *= self.LEVEL / speech_level(audio)
        filters = mel_filters(self.bands, self._FFT // 2 + 1)
        for first in range(0, frames, self._BLOCK):
            chosen = starts[first : first + self._BLOCK]
            # Silence on both sides makes the first and the last window whole.
            piece = np.zeros(chosen[-1] - chosen[0] + self._WINDOW, dtype=np.float32)
            lead = max(-int(chosen[0]), 0)
            sound = audio[chosen[0] + lead : max(chosen[-1] + self._WINDOW, 0)]
            piece[lead : lead + len(sound)] = sound
            windows = np.lib.stride_tricks.sliding_window_view(piece, self._WINDOW)[chosen - chosen[0]]
            spectrum = np.fft.rfft(windows * hann, self._FFT)
            energy = np.square(np.abs(spectrum)).astype(np.float32) @ filters
            features: NDArray[np.float32] = (np.log(energy + self.FLOOR) - self.MEAN) / self.STD
            yield features


def speech_level(audio: Samples) -> float:
    """Root mean square amplitude of the part of a recording that is not silent; at least 0.001 (-60 dBFS).

    Gated like the loudness of ITU-R BS.1770 (an absolute gate, then one 10 dB below the mean of what passed it), in
    blocks of 50 ms and without its weighting filter. How much silence surrounds the speech does not matter.
    """
    block, silence = SAMPLE_RATE // 20, 1.0e-3
    powers = []
    for start in range(0, len(audio), 1000 * block):
        piece = audio[start : start + 1000 * block]
        padded = np.zeros(-(-len(piece) // block) * block, dtype=np.float32)
        padded[: len(piece)] = piece
        powers.append(np.square(padded.reshape(-1, block)).mean(axis=1, dtype=np.float64))
    power = np.concatenate([np.zeros(0), *powers])
    power = power[power > silence**2]
    if power.size == 0:
        return silence
    return float(np.sqrt(power[power > power.mean() / 10].mean()))


@cache
def mel_filters(bands: int, bins: int, low: float = 50.0, high: float = 7600.0) -> NDArray[np.float32]:
    """Triangular filters evenly spaced on the HTK mel scale, each with a peak of 1; float32 (bins, bands).

    7600 Hz leaves out the edge of the resampling filter.
    """
    from torchaudio.functional import melscale_fbanks  # seconds to import: here, not at the head

    filters: NDArray[np.float32] = melscale_fbanks(bins, low, high, bands, SAMPLE_RATE).numpy()
    return filters

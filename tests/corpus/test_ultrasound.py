"""Long recordings of raw ultrasound: no drift over an hour, no memory for their length."""

import tracemalloc

import numpy as np
import pytest
import soundfile
from raw_ultrasound import write_metadata

from wav2uti.clock import SAMPLE_RATE
from wav2uti.corpus.readers.aaa import AAAReader
from wav2uti.corpus.sync import Synchronised

RATE, FIRST = 81.512, 0.31234


def write_long(folder, seconds, sound_rate=16_000, ramp=None, click=None):
    """Black 4 x 32 scanlines that turn white over the 25 frames from `ramp` on, and 8-bit silence with a click."""
    folder.mkdir()
    grey = np.zeros(int(seconds * RATE), dtype=np.uint8)
    if ramp is not None:
        grey[ramp:] = np.minimum(10 * np.arange(len(grey) - ramp), 250)
    np.broadcast_to(grey[:, None], (len(grey), 128)).tofile(folder / "long.ult")
    shape = {"NumVectors": "4", "PixPerVector": "32", "Angle": "0.3"}
    write_metadata(folder / "longUS.txt", **shape, FramesPerSec=str(RATE), TimeInSecsOfFirstFrame=str(FIRST))
    with soundfile.SoundFile(folder / "long.wav", "w", sound_rate, 1, "PCM_U8") as file:
        for _ in range(int(seconds) + 2):
            file.write(np.zeros(sound_rate, dtype=np.int16))
        if click is not None:
            file.seek(click)
            file.write(np.full(1, 30_000, dtype=np.int16))
    (candidate,) = AAAReader().find(folder)
    return Synchronised(AAAReader().open(candidate, 8))


@pytest.mark.parametrize(
    "sound_rate", [16_000, *(pytest.param(rate, marks=pytest.mark.slow) for rate in (8_000, 22_050))]
)
def test_an_hour_ends_where_it_should(tmp_path, sound_rate):
    ramp, click = int(3599 * RATE), int(3599.4 * sound_rate)
    synchronised = write_long(tmp_path / "hour", 3600, sound_rate, ramp, click)
    grey = np.concatenate([frames[:, 4, 4] for frames in synchronised.frames()]).astype(float)
    frames = int(int(3600 * RATE) / RATE * 60)
    assert len(grey) == synchronised.count == frames

    # Picture: within the ramp the grey tells the time, to within half a grey or 0.6 ms.
    inside = np.flatnonzero((grey > 0) & (grey < 250))
    assert len(inside) > 15
    shown = FIRST + (ramp + grey[inside] / 10) / RATE
    np.testing.assert_allclose(shown, FIRST + inside / 60, atol=1e-3)

    # Sound: its length, and the click to within a sample of the file.
    position = peak = length = 0
    for block in synchronised.audio():
        if (highest := np.abs(block).max()) > peak:
            position, peak = length + int(np.abs(block).argmax()), highest
        length += len(block)
    assert abs(length - frames * SAMPLE_RATE / 60) <= 1
    assert peak > 0.3
    assert FIRST + position / SAMPLE_RATE == pytest.approx(click / sound_rate, abs=1 / sound_rate)


def test_memory_does_not_grow_with_length(tmp_path):
    def peak(name, minutes):
        synchronised = write_long(tmp_path / name, 60 * minutes)
        tracemalloc.start()
        for _ in synchronised.frames():
            pass
        for _ in synchronised.audio():
            pass
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak("first", 2)  # fills the caches
    # Only the times of the raw frames are kept, 8 bytes a frame; the file holds 128 bytes a frame.
    assert peak("long", 20) < peak("short", 2) + 16 * 18 * 60 * RATE

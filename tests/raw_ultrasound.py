"""Made-up recordings of raw ultrasound, and their metadata."""

import numpy as np
import soundfile

KEYS = {
    "NumVectors": "8",
    "PixPerVector": "16",
    "ZeroOffset": "4",
    "BitsPerPixel": "8",
    "Angle": "0,1",
    "Kind": "0",
    "PixelsPerMm": "0,5",
    "FramesPerSec": "100,000",
    "TimeInSecsOfFirstFrame": "0,25000",
}


def write_metadata(path, **changes):
    """`KEYS` with changes; None leaves a key out."""
    keys = {**KEYS, **changes}
    path.write_text("".join(f"{key}={value}\r\n" for key, value in reversed(keys.items()) if value is not None))


def write_recording(folder, name="001", frames=100, seconds=2.0, rate=22_050, metadata="{}US.txt", **changes):
    """An .ult whose grey is 100 times the time of its frame, and a sine of 440 Hz."""
    folder.mkdir(parents=True, exist_ok=True)
    first = float(changes.get("TimeInSecsOfFirstFrame", "0.25"))
    grey = np.clip(100 * (first + np.arange(frames) / 100), 0, 255)
    raw = np.broadcast_to(np.rint(grey).astype(np.uint8)[:, None, None], (frames, 8, 16))
    raw.tofile(folder / f"{name}.ult")
    write_metadata(folder / metadata.format(name), **changes)
    soundfile.write(folder / f"{name}.wav", np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate) / 2, rate)
    return folder / f"{name}.ult"

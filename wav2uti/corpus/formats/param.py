"""Metadata of raw ultrasound: `name.param` (UltraSuite, TaL) or `nameUS.txt` (AAA), Key=Value lines in any order."""

import math
from dataclasses import dataclass
from pathlib import Path

from wav2uti.corpus.fan import FanGeometry
from wav2uti.corpus.formats.prompt import decode
from wav2uti.errors import InputError
from wav2uti.files import content_of

MOST_SAMPLES = 1 << 19  # of a frame: ten times TaL's; 64 frames as float32 take 128 MB
NOMINAL_PIXELS_PER_MM = 10.0
_LARGEST = 1 << 20  # bytes; real files have 160
_LIMITS = {
    "NumVectors": (2, 4096),
    "PixPerVector": (2, 65_536),
    "ZeroOffset": (0, 65_536),
    "BitsPerPixel": (1, 64),
    "Angle": (1.0e-6, math.inf),  # its upper limit follows from the number of scanlines
    "PixelsPerMm": (1.0e-3, 1.0e4),
    "FramesPerSec": (1, 1.0e4),
    "TimeInSecsOfFirstFrame": (-1.0e6, 1.0e6),
}
_WHOLE = ("NumVectors", "PixPerVector")


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a metadata file says of its `.ult`.

    Attributes:
        geometry: of the probe.
        rate: raw frames a second.
        first_time: time of raw frame 0 in s on the clock of the sound; negative where the ultrasound leads.
        true_scale: False where `PixelsPerMm` is the 10.000 that UltraSuite writes whatever the depth: its 412 samples
            would be 41 mm, and the probe saw 80.
    """

    geometry: FanGeometry
    rate: float
    first_time: float
    true_scale: bool


def read_metadata(path: Path) -> Metadata:
    """Read a metadata file; decimal commas and other lines are allowed.

    Raises:
        InputError: no such file, a key is missing or its value cannot be.
    """
    text = decode(content_of(path, _LARGEST))
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    texts = {key.strip(): value.strip() for key, value in found.items()}
    if missing := [key for key in _LIMITS if key not in texts]:
        raise InputError(f"{path} does not state {', '.join(missing)}: export the recording again from AAA.")
    values = {}
    for key, (lowest, highest) in _LIMITS.items():
        try:
            values[key] = float(texts[key].replace(",", "."))
        except ValueError:
            values[key] = math.nan
        possible = lowest <= values[key] <= highest and math.isfinite(values[key])
        if not possible or (key in _WHOLE and not values[key].is_integer()):
            raise InputError(
                f"{path} states {key}={texts[key]:.40}, which cannot be: correct the line or export it again."
            )
    if values["BitsPerPixel"] != 8:
        raise InputError(f"{path} states BitsPerPixel={texts['BitsPerPixel']}: only 8 bits can be read, export it so.")
    geometry = FanGeometry(
        vectors=int(values["NumVectors"]),
        pixels=int(values["PixPerVector"]),
        zero_offset=values["ZeroOffset"],
        angle=values["Angle"],
        pixels_per_mm=values["PixelsPerMm"],
    )
    if geometry.vectors * geometry.pixels > MOST_SAMPLES:
        raise InputError(
            f"{path} states {geometry.vectors} scanlines of {geometry.pixels} samples, more than any probe gives: "
            "correct NumVectors and PixPerVector, or export it again."
        )
    if geometry.half_field > math.pi:
        raise InputError(
            f"{path} states {geometry.vectors} scanlines {geometry.angle:g} radians apart, more than a full circle: "
            "correct Angle, which must be in radians, or export it again."
        )
    return Metadata(
        geometry,
        rate=values["FramesPerSec"],
        first_time=values["TimeInSecsOfFirstFrame"],
        true_scale=abs(values["PixelsPerMm"] - NOMINAL_PIXELS_PER_MM) > 1.0e-6,
    )


def states_geometry(path: Path) -> bool:
    """Whether a file is metadata by its content: a prompt for "status" is called `status.txt` too."""
    with path.open("rb") as file:
        return b"NumVectors" in file.read(4096)

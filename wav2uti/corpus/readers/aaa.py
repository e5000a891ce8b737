"""Raw ultrasound of Articulate Assistant Advanced (AAA), as exported and as UltraSuite and TaL distribute it.

    name.ult                          uint8 without a header, in C order (frame, vector, pixel)
    name.param or nameUS.txt          Key=Value lines
    name.wav or name_Track0.wav       sound, whose clock is the recording's
    name.txt                          prompt, date, speaker (optional file)
    name_splines.csv                  tongue splines (optional file)

Raw frame i stands at TimeInSecsOfFirstFrame + i / FramesPerSec on the clock of the sound.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wav2uti.corpus.fan import FanGeometry, draw_fan
from wav2uti.corpus.readers.base import Candidate, Reader, beside, files_in, shared_times
from wav2uti.corpus.readers.prompt import decode, read_prompt, speaker_of, task_of
from wav2uti.corpus.readers.splines import contour_of, read_splines
from wav2uti.corpus.recording import Recording
from wav2uti.corpus.sync import cut_audio, interpolate
from wav2uti.errors import InputError
from wav2uti.speech.audio import read_audio

NOMINAL_PIXELS_PER_MM = 10.0
_BLOCK = 256  # output frames made at a time: raw frames of a long recording never stand in memory together
_METADATA_SUFFIXES = (".param", "us.txt")
_KEYS = (
    "NumVectors",
    "PixPerVector",
    "ZeroOffset",
    "BitsPerPixel",
    "Angle",
    "PixelsPerMm",
    "FramesPerSec",
    "TimeInSecsOfFirstFrame",
)


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
    """Read `name.param` or `nameUS.txt`: Key=Value lines in any order; decimal commas and other lines are allowed.

    Raises:
        InputError: a key is missing or its value cannot be.
    """
    found = dict(line.split("=", 1) for line in decode(path.read_bytes()).splitlines() if "=" in line)
    texts = {key.strip(): value.strip() for key, value in found.items()}
    if missing := [key for key in _KEYS if key not in texts]:
        raise InputError(f"{path} does not state {', '.join(missing)}: export the recording again from AAA.")
    values = {}
    for key in _KEYS:
        try:
            values[key] = float(texts[key].replace(",", "."))
        except ValueError:
            values[key] = math.nan
        # Only the time of the first frame may be negative, and only it and the offset may be zero.
        lowest = {"TimeInSecsOfFirstFrame": -math.inf, "ZeroOffset": 0.0}.get(key, 1.0e-9)
        if not (lowest <= values[key] and math.isfinite(values[key])):
            raise InputError(f"{path} states {key}={texts[key]}, which cannot be: correct the line or export it again.")
    if values["BitsPerPixel"] != 8:
        raise InputError(f"{path} states BitsPerPixel={texts['BitsPerPixel']}: only 8 bits can be read, export it so.")
    geometry = FanGeometry(
        vectors=int(values["NumVectors"]),
        pixels=int(values["PixPerVector"]),
        zero_offset=values["ZeroOffset"],
        angle=values["Angle"],
        pixels_per_mm=values["PixelsPerMm"],
    )
    if geometry.half_field > math.pi or min(geometry.vectors, geometry.pixels) < 2:
        raise InputError(
            f"{path} states {geometry.vectors} scanlines of {geometry.pixels} samples, {geometry.angle} radians apart, "
            "which is no fan: NumVectors and PixPerVector must be 2 or more and Angle must be in radians."
        )
    return Metadata(
        geometry,
        rate=values["FramesPerSec"],
        first_time=values["TimeInSecsOfFirstFrame"],
        true_scale=abs(values["PixelsPerMm"] - NOMINAL_PIXELS_PER_MM) > 1.0e-6,
    )


@dataclass(frozen=True)
class AAAReader(Reader):
    """Reader of `.ult` files with their metadata, sound and prompt."""

    name = "aaa"

    def find(self, source: Path) -> list[Candidate]:
        """A candidate for each `.ult`, and for each metadata file without one, so that the gap is reported."""
        found: dict[Path, dict[str, Path]] = {}
        for path in files_in(source, (".ult", *_METADATA_SUFFIXES)):
            if path.suffix.lower() == ".ult":
                stem = path.with_suffix("")
                found[stem] = {"ultrasound": path} | found.get(stem, {})
            elif _is_metadata(path):
                name = path.stem if path.suffix.lower() == ".param" else path.stem[:-2]
                stem = path.with_name(name)
                # One file may be the source itself: its other half is then looked for here.
                ultrasound = beside(path, f"{name}.ult")
                found[stem] = found.get(stem, {"ultrasound": ultrasound} if ultrasound else {}) | {"metadata": path}
        return [Candidate(stem.name, files, self) for stem, files in sorted(found.items())]

    def read(self, candidate: Candidate, size: int) -> Recording:
        """Read a recording.

        The scale in mm is stated unless it is nominal. The contour is there where splines cover every output frame.
        """
        path, name = candidate.path, candidate.path.stem
        if "ultrasound" not in candidate.files:
            name = name if path.suffix.lower() == ".param" else name[:-2]
            raise InputError(f"{path} has no {name}.ult beside it: copy the raw ultrasound there.")
        metadata_path = beside(path, f"{name}.param", f"{name}US.txt")
        if metadata_path is None:
            raise InputError(f"{path} has neither {name}.param nor {name}US.txt beside it: export it again from AAA.")
        sound_path = beside(path, f"{name}.wav", f"{name}_Track0.wav")
        if sound_path is None:
            raise InputError(f"{path} has neither {name}.wav nor {name}_Track0.wav beside it: copy its sound there.")
        metadata = read_metadata(metadata_path)
        raw = _read_ult(path, metadata.geometry, metadata_path)
        samples, rate = read_audio(sound_path)
        frame_times = metadata.first_time + np.arange(len(raw)) / metadata.rate
        times = shared_times(path, frame_times, 1 / metadata.rate, len(samples) / rate)
        frames = np.empty((len(times), size, size), dtype=np.uint8)
        for start in range(0, len(times), _BLOCK):
            part = slice(start, start + _BLOCK)
            frames[part] = draw_fan(interpolate(raw, frame_times, times[part]), metadata.geometry, size)
        splines_path = beside(path, f"{name}_splines.csv")
        contour = None
        if splines_path is not None and metadata.true_scale:
            splines = read_splines(splines_path)
            contour = contour_of(splines, times, 1 / metadata.rate, metadata.geometry, size)
        prompt = read_prompt(beside(path, f"{name}.txt"))
        return Recording(
            id=candidate.id,
            frames=frames,
            audio=cut_audio(samples, rate, times[0], len(times)),
            speaker=speaker_of(path, prompt),
            task=task_of(path),
            text=prompt.text,
            source=path.name,
            mm_per_pixel=metadata.geometry.mm_per_pixel(size) if metadata.true_scale else None,
            contour=contour,
        )


def _read_ult(path: Path, geometry: FanGeometry, metadata_path: Path) -> np.memmap:  # type: ignore[type-arg]
    """Raw frames uint8 (N, vectors, pixels) as a memory map."""
    size, frame = path.stat().st_size, geometry.vectors * geometry.pixels
    if size == 0:
        raise InputError(f"{path} is empty (0 bytes): copy it again.")
    if size % frame:
        raise InputError(
            f"{path} has {size} bytes, no whole number of frames of {geometry.vectors} x {geometry.pixels} as "
            f"{metadata_path.name} states them: copy both files again."
        )
    return np.memmap(path, dtype=np.uint8, mode="r", shape=(size // frame, geometry.vectors, geometry.pixels))


def _is_metadata(path: Path) -> bool:
    """Whether a file of that ending states a geometry: a prompt for "status" is `status.txt` too."""
    with path.open("rb") as file:
        return path.name.lower() not in _METADATA_SUFFIXES and b"NumVectors" in file.read(4096)

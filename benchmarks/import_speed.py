"""Seconds of corpus imported in a second: the readers against numpy and PyAV alone on the same files, in one run.

    python benchmarks/import_speed.py ../shared/data --output benchmarks/results/import_speed.json

Two floors for raw ultrasound, one for video, each in one process, from the page cache:

- "bytes": numpy reads the `.ult` and libsndfile the `.wav`, and nothing is made of them;
- "numpy alone": the least that gives the same product, 60 frames a second as a fan and 16 kHz sound: the nearest raw
  frame, the nearest sample for each pixel by one table made beforehand, the sound by linear interpolation;
- "PyAV alone": every frame decoded to a grey array at its own size, and the sound decoded.

"importer" is `Reader.read`: clock, interpolation in time, area averaging, polyphase resampling. "prepare" is all of
`wav2uti prepare` but its start: checks, log-mel embeddings, part and shard written to disk, one process.
Real recordings last seconds; raw ones are repeated to a minute, so that opening files does not count.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from av.video.reformatter import VideoReformatter
from measure import measure
from outcome import publish

from wav2uti.clock import FPS, SAMPLE_RATE
from wav2uti.corpus.formats.param import Metadata, read_metadata
from wav2uti.corpus.readers.base import Candidate
from wav2uti.corpus.readers.search import find_recordings
from wav2uti.prepare.executors import make_executor
from wav2uti.prepare.job import Job
from wav2uti.prepare.make import Recipe
from wav2uti.prepare.work import FromFiles
from wav2uti.speech.acoustic import LogMel
from wav2uti.speech.textual import CharacterCodes


def lengthened(source: Path, folder: Path, seconds: float) -> Path:
    """A copy of an AAA recording whose frames and sound are repeated; its ultrasound begins with the sound."""
    metadata = read_metadata(source.with_name(f"{source.stem}US.txt"))
    raw = np.fromfile(source, dtype=np.uint8)
    samples, rate = soundfile.read(source.with_suffix(".wav"), dtype="int16")
    frame = metadata.geometry.vectors * metadata.geometry.pixels
    copies = int(seconds * metadata.rate) * frame // len(raw) + 1
    np.tile(raw, copies).tofile(folder / source.name)
    soundfile.write(folder / f"{source.stem}.wav", np.tile(samples, int(seconds * rate) // len(samples) + 1), rate)
    text = source.with_name(f"{source.stem}US.txt").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("TimeInSecs")]
    (folder / f"{source.stem}US.txt").write_text("\n".join([*lines, "TimeInSecsOfFirstFrame=0"]))
    return folder / source.name


def read_bytes(path: Path) -> None:
    """The bytes of a raw recording and its sound."""
    np.fromfile(path, dtype=np.uint8)
    soundfile.read(path.with_suffix(".wav"), dtype="float32")


def fan_table(metadata: Metadata, size: int) -> np.ndarray:
    """Index of the nearest raw sample for each pixel of the fan, or the last index + 1 for black."""
    geometry = metadata.geometry
    rows, columns = np.mgrid[:size, :size]
    r, phi = geometry.to_polar(columns, rows, size)
    vector = np.rint((geometry.vectors - 1) / 2 + phi / geometry.angle).astype(int)
    pixel = np.rint(r * geometry.pixels_per_mm - geometry.zero_offset).astype(int)
    inside = (vector >= 0) & (vector < geometry.vectors) & (pixel >= 0) & (pixel < geometry.pixels)
    return np.where(inside, vector * geometry.pixels + pixel, geometry.vectors * geometry.pixels)


def numpy_alone(path: Path, metadata: Metadata, table: np.ndarray) -> None:
    """The least that gives 60 frames a second and 16 kHz."""
    frame = metadata.geometry.vectors * metadata.geometry.pixels
    raw = np.fromfile(path, dtype=np.uint8).reshape(-1, frame)
    samples, rate = soundfile.read(path.with_suffix(".wav"), dtype="float32")
    count = int(min(len(raw) / metadata.rate, len(samples) / rate) * FPS)
    nearest = np.minimum(np.rint(np.arange(count) / FPS * metadata.rate).astype(int), len(raw) - 1)
    padded = np.zeros((len(raw), frame + 1), dtype=np.uint8)
    padded[:, :frame] = raw
    padded[nearest][:, table.ravel()]
    wanted = np.arange(count * SAMPLE_RATE // FPS) / SAMPLE_RATE
    np.interp(wanted, np.arange(len(samples)) / rate, samples)


def pyav_alone(path: Path) -> None:
    """Every frame as a grey array, and the sound."""
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        to_grey = VideoReformatter()
        for frame in container.decode(video=0):
            to_grey.reformat(frame, format="gray").to_ndarray()
    with av.open(str(path)) as container:
        for block in container.decode(audio=0):
            block.to_ndarray()


def prepared(candidates: Sequence[Candidate], size: int) -> None:
    """Shards of the candidates in a folder that is removed."""
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nothing:  # noqa: PTH123
        job = Job(Path(folder) / "out", {"command": "prepare"}, Recipe(size, LogMel(), CharacterCodes()))
        said, sys.stdout = sys.stdout, nothing
        try:
            job.run([FromFiles(candidate) for candidate in candidates], make_executor("local", 1, None, 1), "")
        finally:
            sys.stdout = said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with aaa_patkit and aaa_video")
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--output", type=Path, help="JSON file for the result")
    args = parser.parse_args()

    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        source = args.data / "aaa_patkit" / "tongue_data_1_1" / "File009.ult"
        path = lengthened(source, Path(folder), 60.0)
        metadata = read_metadata(path.with_name(f"{path.stem}US.txt"))
        table = fan_table(metadata, args.size)
        (raw,) = find_recordings(path)
        seconds = len(raw.reader.read(raw, args.size).frames) / FPS
        result["ult"] = measure(
            {
                "bytes": lambda: read_bytes(path),
                "numpy alone": lambda: numpy_alone(path, metadata, table),
                "importer": lambda: raw.reader.read(raw, args.size),
                "prepare": lambda: prepared([raw], args.size),
            },
            seconds,
            args.repeats,
        )
    videos = [c for c in find_recordings(args.data / "aaa_video") if c.id in ("05TD1M001", "Ultrax_TD_002")]
    seconds = sum(len(video.reader.read(video, args.size).frames) for video in videos) / FPS
    result["video"] = measure(
        {
            "PyAV alone": lambda: [pyav_alone(video.path) for video in videos],
            "importer": lambda: [video.reader.read(video, args.size) for video in videos],
            "prepare": lambda: prepared(videos, args.size),
        },
        seconds,
        args.repeats,
    )
    ratios = {
        "ratio_ult": result["ult"]["numpy alone"] / result["ult"]["importer"],
        "ratio_ult_to_bytes": result["ult"]["bytes"] / result["ult"]["importer"],
        "ratio_video": result["video"]["PyAV alone"] / result["video"]["importer"],
    }
    report = {
        "what": "seconds of corpus imported in a second; ratios are time of the importer over time of the floor",
        "seconds_per_second": result,
        **{name: round(ratio, 2) for name, ratio in ratios.items()},
        "size": args.size,
        "repeats": args.repeats,
    }
    publish(report, args.output)


if __name__ == "__main__":
    main()

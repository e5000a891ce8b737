"""How near the tongue tracker comes: to the exact contours of SIMULATED frames, and to hand-labelled real ones.

    python benchmarks/tracker.py ../shared/data/aaa_video --output benchmarks/results/tracker.json

The folder holds AAA videos and `labels/NAME.*.csv`, DeepLabCut tables of tongue points. Some of these recordings were
looked at while the tracker's settings were found (see `wav2uti.metrics.contour`): each is given by itself. The
simulated speakers are of a seed that no other benchmark has.
"""

import argparse
import csv
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from outcome import publish

from wav2uti.corpus.formats.video import VideoPicture
from wav2uti.corpus.simulate import simulate_recording
from wav2uti.errors import InputError
from wav2uti.metrics.contour import find_fan, track
from wav2uti.metrics.contour_scores import distances_to_curve

SEED = 11
CLOSE = 0.03  # of the picture's width
AROUND = 5  # frames before and after a labelled one that are tracked with it


def labelled_shares(folder: Path, size: int, crop: Literal["auto"] | None) -> dict[str, Any]:
    """For each recording, in what share of its labelled frames the points lie close to the tracked curve."""
    shares: dict[str, Any] = {}
    close: list[bool] = []
    for table in sorted((folder / "labels").glob("*.csv")):
        name = table.name.partition(".")[0]
        try:
            picture = VideoPicture(folder / f"{name}.avi", size, crop, False, 0.0)
        except InputError as error:
            shares[name] = str(error)
            continue
        frames = np.concatenate([picture.draw(raw) for _, raw in picture.blocks()])
        fan = find_fan(frames)
        left, top, *_ = picture.crop
        with table.open(newline="", encoding="utf-8") as file:
            _, parts, _, *rows = csv.reader(file)
        own = []
        for row in rows:
            frame = int(row[0].rpartition("img")[2].removesuffix(".png"))
            columns = [c for c in range(1, len(row), 2) if parts[c].startswith("tongue") and row[c]]
            points = np.array([[float(row[c]) - left, float(row[c + 1]) - top] for c in columns])
            points = np.array([picture.fit.to_pixels(x, y) for x, y in points], dtype=float)
            first = max(frame - AROUND, 0)
            curve = track(frames[first : frame + AROUND + 1], fan)[frame - first]
            own.append(bool(distances_to_curve(points, curve).mean() <= CLOSE * size))
        shares[name] = round(float(np.mean(own)), 3)
        close += own
    return {"all": round(float(np.mean(close)), 3), "frames": len(close), **shares}


def simulated_errors(speakers: range, size: int) -> dict[str, float]:
    """Mean distance of the exact contour's points from the tracked curve, in pixels, for each speaker and over all."""
    errors: dict[str, NDArray[np.float64]] = {}
    for speaker in speakers:
        recording = simulate_recording(speaker, 0, size, SEED)
        assert recording.contour is not None
        tracked = track(recording.frames)
        errors[recording.speaker] = np.array(
            [distances_to_curve(e, t).mean() for e, t in zip(recording.contour, tracked, strict=True)]
        )
    means = {name: round(float(values.mean()), 3) for name, values in errors.items()}
    return {"all": round(float(np.concatenate(list(errors.values())).mean()), 3), **means}


def main() -> None:
    """Track, compare, publish."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the labelled videos")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--output", type=Path, help="JSON file for the result")
    args = parser.parse_args()
    publish(
        {
            "what": f"share of labelled frames whose points are on average within {CLOSE:.0%} of the picture's width "
            "of the tracked curve; mean distance of exact contours from it in pixels, SIMULATED",
            "labelled": {
                "whole picture": labelled_shares(args.folder, args.size, None),
                "crop auto": labelled_shares(args.folder, args.size, "auto"),
            },
            "simulated": simulated_errors(range(10), args.size),
            "size": args.size,
        },
        args.output,
    )


if __name__ == "__main__":
    main()

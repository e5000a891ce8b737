"""The tongue in drawn frames: tracked in each sample, their mean, and the files of contours that are made of it.

The scale in mm is the corpus's own; where the probe sits is found in the frames, as the tracker finds it: on simulated
frames of 32 to 112 pixels within 0.5 pixels across and 1.5 along the height.
"""

import warnings
from collections.abc import Iterator
from datetime import datetime
from itertools import chain
from pathlib import Path

import numpy as np

from wav2uti.clock import FPS, seconds_at
from wav2uti.corpus.formats.splines import Splines, fan_lines, splines_on, write_splines
from wav2uti.metrics.contour import Fan, any_fan, track_parts
from wav2uti.metrics.contour_scores import radii_at, write_contour_csv
from wav2uti.metrics.mean_contour import darker_beyond, mean_contours
from wav2uti.video.archive import Archive


def track_samples(archive: Archive, samples: int, fan: Fan) -> None:
    """Track the tongue in all samples of an archive and add the contours to it: read and written in parts."""
    if samples == 1:
        for curves in track_parts(archive.parts("frames"), fan):
            archive.add("contour", curves)
        return
    tracks = [track_parts(archive.parts("samples", k), fan) for k in range(samples)]
    for several in zip(*tracks, strict=True):
        for k, curves in enumerate(several):
            archive.add("contours", curves, k)
        contour, spread = mean_contours(np.stack(several), fan)
        archive.add("contour", contour)
        archive.add("contour_spread", spread)


def write_csv(path: Path, archive: Archive, samples: int, source: str) -> None:
    """Write the contour of an archive as NAME.csv, with its spread where there are several samples.

    Each row says in the column `source` what the frames are.
    """
    spreads = None if samples == 1 else chain.from_iterable(archive.parts("contour_spread"))
    write_contour_csv(path, chain.from_iterable(archive.parts("contour")), FPS, spreads, source)


def write_aaa(
    path: Path,
    archive: Archive,
    samples: int,
    fan: Fan,
    mm_per_pixel: float | None,
    client: str,
    prompt: str,
    recorded: datetime,
) -> bool:
    """Write the contour of an archive as AAA exports it, in mm and radians from the centre of the probe's curvature.

    The fan's lines run from its right edge to its left one. The confidence of a point is the share of the eight places
    3 to 10 mm beyond it, away from the probe, that are darker, in per cent: 100 is a clear line, 50 chance, 0 no tongue
    on this line of the fan. With several samples it is that of their mean contour in their mean frame, which is blurred
    where they disagree.

    Returns:
        Whether it was written. A warning says why not: the scale is not known, or no fan or no tongue was found.
    """
    height, width = archive.file["frames"].shape[1:]
    reason = ""
    if mm_per_pixel is None:
        reason = "the model does not know the size of a pixel in mm; give it with --mm_per_pixel"
    elif fan == any_fan(height, width):
        reason = "no fan stands out in the frames, so the place of the probe is unknown"
    elif not write_splines(path, _splines(archive, samples, fan, mm_per_pixel), client, prompt, recorded):
        path.unlink()
        reason = "no tongue was found in the frames"
    if reason:
        warnings.warn(f"the contour was not written as AAA's splines: {reason}.", stacklevel=2)
    return not reason


def _splines(archive: Archive, samples: int, fan: Fan, mm_per_pixel: float) -> Iterator[Splines]:
    angles = fan_lines(fan.left, fan.right)
    done = 0
    for frames, contour in zip(
        archive.parts("frames" if samples == 1 else "mean"), archive.parts("contour"), strict=True
    ):
        radii = radii_at(contour.astype(np.float64), (fan.x, fan.y), angles)
        shares = darker_beyond(frames, radii, angles, fan, mm_per_pixel)
        times = np.array([seconds_at(done + k) for k in range(len(frames))])
        yield splines_on(angles, radii * mm_per_pixel, 100 * shares, times)
        done += len(frames)

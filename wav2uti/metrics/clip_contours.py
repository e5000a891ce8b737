"""Contours of clips, and the scores and levels of each recording that come from them."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wav2uti.metrics.contour import find_fan, track
from wav2uti.metrics.contour_scores import scores_of

Points = NDArray[np.float32]  # (T, K, 2) in pixels, NaN where there is no tongue


class Contours(NamedTuple):
    """Tongue contours of a clip; points (x, y) in pixels."""

    generated: Points  # tracked
    real: Points  # tracked
    exact: Points | None  # of the corpus
    mm_per_pixel: float | None


def track_both(
    generated: NDArray[np.uint8], real: NDArray[np.uint8], exact: Points | None, mm_per_pixel: float | None
) -> Contours:
    """Track generated and real frames (T, H, W) by one tracker in one fan, that of the real frames."""
    fan = find_fan(real)
    return Contours(track(generated, fan), track(real, fan), exact, mm_per_pixel)


def score_contours(
    recordings: Mapping[str, Sequence[Contours]], speakers: Mapping[str, str | None]
) -> dict[str, dict[str, float]]:
    """Scores and levels of each recording: the mean over the frames of its clips in which a tongue was found.

    Names are those of `contour_scores.scores_of`, against the tracked contour of the real frames; `contour_*_exact` and
    `contour_*_exact_centred` are against the exact one. The levels `contour_*_of_real` hold the tracked contour of the
    real frames against the exact one, the error of the tracker alone. Lengths are in mm where every clip has a scale,
    else all in pixels. Centring is by speaker.

    Raises:
        ValueError: no tongue was found in any clip.
    """
    clips = [(id, contours) for id, group in recordings.items() for contours in group]
    scaled = all(contours.mm_per_pixel is not None for _, contours in clips)

    def score(pairs: Sequence[tuple[str, Points, Points, float | None]]) -> list[dict[str, float]]:
        who = [speakers[id] for id, *_ in pairs]
        scales = [scale if scaled else None for *_, scale in pairs]
        return scores_of([pair[1] for pair in pairs], [pair[2] for pair in pairs], who, scales)

    values: dict[str, dict[str, list[tuple[float, int]]]] = {id: {} for id in recordings}

    def collect(id: str, name: str, value: float, frames: int) -> None:
        if math.isfinite(value):
            values[id].setdefault(name, []).append((value, frames))

    for (id, c), scores in zip(
        clips, score([(id, c.generated, c.real, c.mm_per_pixel) for id, c in clips]), strict=True
    ):
        for name, value in scores.items():
            collect(id, name, value, len(c.real))
    exact = [(id, c, c.exact) for id, c in clips if c.exact is not None]
    for suffix, tracked in (("", "generated"), ("_of_real", "real")):
        scored = score([(id, getattr(c, tracked), truth, c.mm_per_pixel) for id, c, truth in exact])
        for (id, c, _), scores in zip(exact, scored, strict=True):
            for name, value in scores.items():
                if name.startswith("contour"):
                    centred = name.endswith("_centred")
                    known = f"{name.removesuffix('_centred')}_exact{'_centred' if centred else ''}{suffix}"
                    collect(id, known, value, len(c.real))
    if not any(values.values()):
        raise ValueError("No tongue was found in the frames, so there is no contour to compare.")
    return {
        id: {
            name: math.fsum(value * frames for value, frames in found) / sum(frames for _, frames in found)
            for name, found in named.items()
        }
        for id, named in values.items()
    }

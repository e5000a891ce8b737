"""The same clips in all runs, for Fig. 2 and the videos."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wav2uti.report.runs import Run, Samples


class Clip(NamedTuple):
    """A clip of the test set, uint8 (T, H, W) each."""

    recording: str
    progress: float  # of its first frame in the recording, in [0, 1]
    real: NDArray[np.uint8]
    generated: dict[str, NDArray[np.uint8]]  # by the name of the run
    simulated: bool  # whether the corpus, and with it `real`, is

    @property
    def rows(self) -> list[tuple[str, NDArray[np.uint8]]]:
        """The corpus's frames and the runs', each with its name: simulated ones are not called real."""
        return [(truth_label(self.simulated), self.real), *self.generated.items()]


def truth_label(simulated: bool | None) -> str:
    """What the frames of a corpus are called beside generated ones."""
    return "simulated" if simulated else "real"


def matched(runs: Sequence[Run], samples: Mapping[int, Samples]) -> tuple[list[Clip], list[str]]:
    """The clips that all runs kept, and warnings.

    Args:
        runs: of the report.
        samples: by the number of the run, of those that kept clips.

    Returns:
        Clips in the order of the first run, the real frames at the highest resolution; and sentences.
    """
    warnings = [
        f"{run.name} ({run.folder}) has no samples.npz, so Fig. 2 and the videos leave it out."
        for number, run in enumerate(runs)
        if number not in samples
    ]
    if not samples:
        return [], warnings
    places = {number: dict(zip(kept.places, range(len(kept.places)), strict=True)) for number, kept in samples.items()}
    sharpest = max(samples, key=lambda number: samples[number].real.shape[2:])
    common = [place for place in next(iter(places.values())) if all(place in found for found in places.values())]
    if not common:
        return [], [*warnings, "The runs kept no clip in common in samples.npz, so there is no Fig. 2 and no video."]
    several = len({run.metrics.resolution for run in runs}) > 1
    clips, other = [], set()
    for place in common:
        found = {number: samples[number].real[places[number][place]] for number in samples}
        real = found[sharpest]
        other |= {n for n, frames in found.items() if frames.shape == real.shape and np.any(frames != real)}
        generated = {
            label(runs[number], several): samples[number].generated[places[number][place]] for number in samples
        }
        clips.append(Clip(*place, real, generated, bool(runs[sharpest].metrics.simulated)))
    warnings += [
        f"{runs[number].name} was tested on other real frames than {runs[sharpest].name} under the same names of "
        "recordings: their scores cannot be compared."
        for number in sorted(other)
    ]
    return clips, warnings


def label(run: Run, several: bool) -> str:
    """What to call a run where there may be several resolutions."""
    height, width = run.metrics.resolution
    return f"{run.name} {height}×{width}" if several else run.name


def liveliest(clips: Sequence[Clip]) -> Clip:
    """The clip whose real frames move most: chosen without a look at what was generated."""
    return max(clips, key=lambda clip: motion(clip.real))


def motion(frames: NDArray[np.uint8]) -> float:
    """Mean absolute difference of neighbouring frames (T, H, W); 0 for a single frame."""
    return float(np.abs(np.diff(frames.astype(np.float32), axis=0)).mean()) if len(frames) > 1 else 0.0

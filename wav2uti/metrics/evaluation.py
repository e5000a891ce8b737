"""`Evaluation`: clips in, every score with its interval out; knows nothing of Lightning or of shards.

Whatever is costly is done clip by clip, where the clip was drawn: scores of the clip, features of its generated and
its real frames, contours tracked in both. These are small, so processes can exchange them, and a clip's figures do
not depend on the clips beside it. `result` then computes the scores of the whole set once.
"""

import hashlib
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from wav2uti.clock import FPS
from wav2uti.metrics.bootstrap import mean_interval
from wav2uti.metrics.clip_contours import Contours, score_contours, track_both
from wav2uti.metrics.scorers import Scorers
from wav2uti.metrics.set_scores import SET_SCORES, real_halves, score_set

Frames = NDArray[np.uint8]
T = TypeVar("T")


class ClipPlace(NamedTuple):
    """Which clip: no two clips of a test share both."""

    recording: str
    progress: float  # of its first frame, in [0, 1]


@dataclass(frozen=True)
class ScoredClip:
    """What is kept of a clip: plain numbers and small arrays, so that processes can exchange them."""

    speaker: str | None
    frames: int
    size: tuple[int, int]
    scores: dict[str, float]
    features: dict[str, tuple[NDArray[Any], NDArray[Any]]] = field(default_factory=dict)  # generated, real: (N, D)
    contours: Contours | None = None


class Evaluation:
    """Scores generated clips against the real ones.

    Scores of clips are averaged over the frames of a recording, then over recordings.

    Args:
        scorers: what scores, and what is missing (see `scorers.find_scorers`).
        keep: clips whose frames are kept for looking at, spread over the recordings.
    """

    def __init__(self, scorers: Scorers, keep: int = 8) -> None:
        self.scorers = scorers
        self.keep = keep
        self.clips: dict[ClipPlace, ScoredClip] = {}
        self.samples: dict[ClipPlace, tuple[Frames, Frames]] = {}  # generated, real
        self.missing = dict(scorers.missing)
        self.seconds: dict[str, float] = {}

    @torch.no_grad()
    def add(
        self,
        place: ClipPlace,
        speaker: str | None,
        generated: Frames,
        real: Frames,
        contour: NDArray[np.float32] | None = None,
        mm_per_pixel: float | None = None,
    ) -> None:
        """Score a clip; one that is there already, as a distributed sampler repeats it, is passed over.

        Args:
            place: of the clip.
            speaker: who spoke, where it is known.
            generated, real: uint8 (T, H, W).
            contour: the exact contour of the real frames in pixels (T, K, 2), where the corpus has it.
            mm_per_pixel: size of a pixel, where it is known.
        """
        if place in self.clips:
            return
        pair = torch.from_numpy(generated), torch.from_numpy(real)
        scores: dict[str, float] = {}
        features: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}
        contours = None
        for name, score in self.scorers.clip.items():
            with self._attempt(name):
                scores[name] = float(score(*pair))
        for kind, extract in self.scorers.features.items():
            with self._attempt(*(name for name in self.scorers.sets if SET_SCORES[name].features == kind)):
                features[kind] = (extract(pair[0], False).numpy(), extract(pair[1], True).numpy())
        if self.scorers.contour:
            with self._attempt("contour"):
                contours = track_both(generated, real, contour, mm_per_pixel)
        height, width = real.shape[1:]
        self.clips[place] = ScoredClip(speaker, len(real), (height, width), scores, features, contours)
        self.samples[place] = (generated, real)
        self.samples = {kept: self.samples[kept] for kept in spread(self.samples, self.keep)}

    def gather(self) -> None:
        """Give every process the clips of all, in the order of their places; alone it only sorts them.

        Every process must call it. Which process drew a clip leaves no trace in the result, nor does a second copy.
        """
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            parts: list[Any] = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(parts, (self.clips, self.samples, self.missing, self.seconds))
            self.seconds = {}
            for clips, samples, missing, seconds in parts:
                self.clips |= clips
                self.samples |= samples
                self.missing |= missing
                for name, spent in seconds.items():
                    self._spend(name, spent)
        self.clips = dict(sorted(self.clips.items()))
        self.samples = {place: self.samples[place] for place in sorted(spread(self.samples, self.keep))}

    def result(self) -> dict[str, Any]:
        """Scores, intervals and what they rest on, in plain JSON types; after `gather`, of at least one clip.

        "levels" sets the scores in proportion: see `set_scores.real_halves` and `clip_contours.score_contours`. A score
        computed from one recording has no interval, nor one of a set from fewer than four; see `bootstrap`.
        "seconds" are the work of all processes together; those of the networks stand with the first score that uses
        them, those of the tracker under "contour".
        """
        recordings = by_recording(self.clips)
        if contours := _grouped({place: clip.contours for place, clip in self.clips.items() if clip.contours}):
            speakers = {place.recording: clip.speaker for place, clip in self.clips.items()}
            with self._attempt("contour"):
                for recording, values in score_contours(contours, speakers).items():
                    recordings[recording] |= values
        scores: dict[str, float] = {}
        intervals: dict[str, tuple[float, float]] = {}
        for name in dict.fromkeys(name for values in recordings.values() for name in values):
            values_of = [values[name] for values in recordings.values() if name in values]
            scores[name] = fmean(values_of)
            if len(values_of) > 1:
                intervals[name] = mean_interval(values_of)
        levels = {name: scores.pop(name) for name in list(scores) if name.endswith("_of_real")}
        for name in self.scorers.sets:
            if name in self.missing:
                continue
            with self._attempt(name):
                pairs = _grouped({p: clip.features[SET_SCORES[name].features] for p, clip in self.clips.items()})
                generated, real = (
                    [np.concatenate([pair[side] for pair in group]) for group in pairs.values()] for side in (0, 1)
                )
                scores[name], interval = score_set(name, generated, real)
                if interval is not None:
                    intervals[name] = interval
                if name == "fvd":
                    levels |= real_halves(real)
        frames = [clip.frames for clip in self.clips.values()]
        return {
            "scores": {name: score for name, score in scores.items() if name not in self.missing},
            "intervals": {name: list(intervals[name]) for name in scores if name in intervals},
            "levels": levels,
            "missing": self.missing,
            "clips": len(frames),
            "recordings": len(recordings),
            "speakers": len({clip.speaker for clip in self.clips.values()} - {None}) or None,
            "frames": sum(frames),
            "frames_per_clip": max(frames),
            "frame_rate": FPS,
            "frame_step": 1,
            "resolution": list(next(iter(self.clips.values())).size),
            "weights": dict(self.scorers.weights),
            "seconds": {name: round(seconds, 3) for name, seconds in self.seconds.items()},
            "per_recording": {
                recording: {name: value for name, value in values.items() if name in scores}
                for recording, values in recordings.items()
            },
        }

    @contextmanager
    def _attempt(self, *names: str) -> Iterator[None]:
        """Time a score; one that refuses the clips, for their size say, is left out with its reason."""
        start = time.perf_counter()
        try:
            yield
        except ValueError as error:
            self.missing |= dict.fromkeys(names, str(error))
        self._spend(names[0], time.perf_counter() - start)

    def _spend(self, name: str, seconds: float) -> None:
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds


def by_recording(clips: Mapping[ClipPlace, ScoredClip]) -> dict[str, dict[str, float]]:
    """Scores of each recording: the mean over the frames of its clips.

    >>> first, second = ScoredClip(None, 2, (8, 8), {"rmse": 1.0}), ScoredClip(None, 1, (8, 8), {"rmse": 4.0})
    >>> by_recording({ClipPlace("a", 0.1): first, ClipPlace("a", 0.7): second})
    {'a': {'rmse': 2.0}}
    """
    return {
        recording: {
            name: math.fsum(clip.frames * clip.scores[name] for clip in group) / sum(clip.frames for clip in group)
            for name in group[0].scores
            if all(name in clip.scores for clip in group)  # it may have refused a clip
        }
        for recording, group in _grouped(clips).items()
    }


def spread(places: Iterable[ClipPlace], count: int) -> list[ClipPlace]:
    """At most `count` of some clips, from as many recordings as possible: one of each, then a second of each, ...

    The order is that of a hash. Chosen from a part and then from several parts' choices, it is the same choice as from
    all at once, so nobody needs to hold all the clips.

    >>> spread([ClipPlace("a", 0.1), ClipPlace("a", 0.6), ClipPlace("b", 0.3)], 2)
    [ClipPlace(recording='a', progress=0.1), ClipPlace(recording='b', progress=0.3)]
    """

    def mixed(*key: object) -> bytes:
        return hashlib.sha256(repr(key).encode()).digest()

    def name(place: ClipPlace) -> bytes:
        return mixed(place.recording, round(place.progress, 6))  # in float32 and in float64

    ranked = []
    for recording, group in _grouped({place: place for place in places}).items():
        ranked += [(rank, mixed(recording), place) for rank, place in enumerate(sorted(group, key=name))]
    return [place for *_, place in sorted(ranked)[:count]]


def _grouped(values: Mapping[ClipPlace, T]) -> dict[str, list[T]]:
    """What belongs to clips, by recording."""
    groups: dict[str, list[T]] = {}
    for place, value in values.items():
        groups.setdefault(place.recording, []).append(value)
    return groups

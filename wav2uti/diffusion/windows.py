"""Recordings longer than a training clip: overlapping windows, denoised together and blended at every step.

The clip that a sampler solves for is the whole recording; only the denoiser sees windows. Where two overlap, their
estimates are blended by a ramp at every call (Bar-Tal et al. 2023, MultiDiffusion), so that neighbours agree long
before the picture is clear and no seam is left.

A window's next estimate depends only on the recording around it, so the recording need not be in memory as a whole.
It is cut into segments, one a window: window i sees segment i and the beginning of segment i + 1. Each segment runs its
own plan (see `solvers`) and goes on as soon as the one or two windows that see it have answered. Early segments so run
ahead of late ones, like a wave that goes through the recording: memory depends on the calls that a segment needs, not
on how long the recording is, and the first frames are finished long before the last ones are begun. The frames are
those that the whole recording at once would have given.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

import torch
from torch import Tensor

from wav2uti.diffusion.sampler import Denoise, Sampler
from wav2uti.diffusion.seeds import derived_generator
from wav2uti.diffusion.solvers import Plan

C = TypeVar("C")


@dataclass(frozen=True)
class Windows:
    """`count` windows of `length` frames, each beginning `hop` frames after the one before.

    They cover `frames`, and up to `hop - 1` frames beyond: of those the estimates are thrown away.
    """

    frames: int
    length: int
    hop: int
    count: int

    def places(self, window: int) -> Tensor:
        """The frames (length,) that a window sees; in place of those beyond the recording its last one."""
        return (window * self.hop + torch.arange(self.length)).clamp(max=self.frames - 1)

    @property
    def overlap(self) -> int:
        """Frames that a window shares with the next."""
        return self.length - self.hop


def split(frames: int, clip: int, overlap: int) -> Windows:
    """Cover a recording with windows of `clip` frames that share `overlap`, at most half a clip; a short one with one.

    >>> split(41, 16, 8), split(10, 16, 8)
    (Windows(frames=41, length=16, hop=8, count=5), Windows(frames=10, length=10, hop=10, count=1))
    """
    if not 0 <= overlap <= clip // 2:
        raise ValueError(f"an overlap of {overlap} frames is more than half of windows of {clip}")
    if frames <= clip:
        return Windows(frames, frames, frames, 1)
    hop = clip - overlap
    return Windows(frames, clip, hop, -(-(frames - clip) // hop) + 1)


def ramp(overlap: int) -> Tensor:
    """Weight of a window in the frames that it shares with the one before; that one has the rest. (overlap,).

    A squared sine: an even ramp leaves a fifth of the weight to the edge frames of windows that share 4, and the frames
    where windows begin and end then differed from their neighbours by 8 % more than others do (with this one, 1 %).

    >>> [round(weight, 3) for weight in ramp(3).tolist()]
    [0.067, 0.5, 0.933]
    """
    places = (torch.arange(overlap, dtype=torch.float32) + 0.5) / max(overlap, 1)
    return (places * (math.pi / 2)).sin().square()


@torch.no_grad()
def stream(
    sampler: Sampler,
    bind: Callable[[list[C]], Denoise],
    conditions: Iterable[C],
    windows: Windows,
    size: tuple[int, int],
    seed: int = 0,
    at_once: int = 8,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
    center: Callable[[C], Tensor] = lambda condition: torch.zeros(()),
) -> Iterator[Tensor]:
    """Draw a recording of any length and yield its frames in order, (n, H, W) float32 with `windows.frames` in all.

    Args:
        sampler: its plan runs once a segment.
        bind: makes the `denoise(x, sigma)` of a batch of windows from their conditions, which may be of any type.
        conditions: of each window, in order; asked for when the wave reaches it and forgotten behind it.
        windows: from `split`.
        size: height and width of the frames.
        seed: of the noise; a segment's depends on it and on the segment's place, not on the recording's length.
        at_once: windows in one call of the denoiser, at most; memory grows with it.
        progress: called after each call with the number of estimates of windows done and to be done.
        center: what the noise of a window begins around, of its condition: a number or a clip (1, 1, length, H, W).
    """
    wave = Wave(sampler, iter(conditions), windows, size, seed, device, center)
    done, frames = 0, 0
    for place in range(windows.count):
        while wave.segments.get(place) is None or wave.segments[place].result is None:
            ready = wave.ready(at_once)
            while len(ready) < at_once and wave.begun < windows.count:
                wave.begin()
                ready = wave.ready(at_once)
            wave.answer(ready, bind)
            done += len(ready)
            if progress is not None:
                progress(done, windows.count * sampler.calls)
        result = wave.forget(place)[0, 0, : windows.frames - frames]
        frames += len(result)
        if len(result):
            yield result


class Segment:
    """The part of a recording from the beginning of a window to that of the next, in the midst of its plan.

    Attributes:
        ask: what its plan waits for.
        answers: how many it has had.
        answer: what is known of the present one, like `ask.x`.
        missing: windows that have not given their part of it.
        result: the finished frames, or None before.
    """

    def __init__(self, plan: Plan, windows: int) -> None:
        self.plan = plan
        self.windows = windows
        self.ask = next(plan)
        self.answers = 0
        self.result: Tensor | None = None
        self.wait()

    def wait(self) -> None:
        """For all parts of the next answer."""
        self.missing = self.windows
        self.answer = torch.zeros_like(self.ask.x)

    def add(self, estimate: Tensor, frames: slice) -> None:
        """Take a window's part of the answer, already weighted, for some of the frames; go on if it was the last."""
        self.answer[:, :, frames] += estimate
        self.missing -= 1
        if self.missing:
            return
        self.answers += 1
        try:
            self.ask = self.plan.send(self.answer)
        except StopIteration as finished:
            self.result = finished.value
        else:
            self.wait()


@dataclass
class Window(Generic[C]):
    """A window on the wave: what its denoiser is told, and how many estimates it has given."""

    condition: C
    estimates: int = 0


class Wave(Generic[C]):
    """The segments and windows that are being worked on; see `stream` for the arguments."""

    def __init__(
        self,
        sampler: Sampler,
        conditions: Iterator[C],
        windows: Windows,
        size: tuple[int, int],
        seed: int,
        device: torch.device | str,
        center: Callable[[C], Tensor],
    ) -> None:
        self.sampler = sampler
        self.center = center
        self.conditions = conditions
        self.shape = windows
        self.size = size
        self.seed = seed
        self.device = device
        self.ramp = ramp(windows.overlap).view(-1, 1, 1).to(device)
        self.last = windows.count - 1
        self.segments: dict[int, Segment] = {}
        self.windows: dict[int, Window[C]] = {}
        self.begun = 0

    def begin(self) -> None:
        """Let the next segment in, and the window that begins with it."""
        place = self.begun
        frames = self.shape.length if place == self.last else self.shape.hop
        generator = derived_generator(self.seed, place)

        def draw() -> Tensor:
            return torch.randn(1, 1, frames, *self.size, generator=generator).to(self.device)

        condition = next(self.conditions)
        center = self.center(condition)
        if center.ndim:  # a clip as long as the window
            center = center[:, :, :frames]
        plan = self.sampler.plan(center + self.sampler.sigmas[0] * draw(), draw)
        self.segments[place] = Segment(plan, windows=1 if place == 0 else 2)
        self.windows[place] = Window(condition)
        self.begun += 1

    def seen(self, place: int) -> list[Segment]:
        """The segments that a window sees."""
        return [self.segments[i] for i in (place, place + 1) if i <= self.last]

    def ready(self, most: int) -> list[int]:
        """Windows all of whose segments wait for their next estimate, those that are ahead first."""
        found = (
            place
            for place, window in self.windows.items()
            # A window also sees the beginning of the next segment.
            if min(place + 1, self.last) in self.segments
            and all(s.result is None and s.answers == window.estimates for s in self.seen(place))
        )
        return list(islice(found, most))

    def answer(self, places: list[int], bind: Callable[[list[C]], Denoise]) -> None:
        """One call of the denoiser for some windows, and what it means for the segments that they see."""
        overlap = self.shape.overlap
        clips = [
            torch.cat([first.ask.x, *(following.ask.x[:, :, :overlap] for following in others)], dim=2)
            for first, *others in map(self.seen, places)
        ]
        sigma = torch.tensor([self.segments[place].ask.sigma for place in places], device=self.device)
        denoise = bind([self.windows[place].condition for place in places])
        for place, estimate in zip(places, denoise(torch.cat(clips), sigma).split(1), strict=True):
            self.windows[place].estimates += 1
            if place > 0:
                estimate[:, :, :overlap] *= self.ramp
            first, *others = self.seen(place)
            frames = first.ask.x.shape[2]
            first.add(estimate[:, :, :frames], slice(None))
            for following in others:
                following.add(estimate[:, :, frames:] * (1 - self.ramp), slice(overlap))

    def forget(self, place: int) -> Tensor:
        """Let a finished segment and its window out: (1, 1, n, H, W)."""
        del self.windows[place]
        result = self.segments.pop(place).result
        assert result is not None
        return result


class Reel:
    """Frames out of an iterator of parts, by their places; what lies before the places last asked for is forgotten.

    Args:
        parts: (n, H, W) each, in order.
    """

    def __init__(self, parts: Iterator[Tensor]) -> None:
        self.parts = parts
        self.first = 0
        self.held: Tensor | None = None

    def frames(self, places: Tensor) -> Tensor:
        """The frames (K, H, W) at rising `places` (K,), none before those asked for earlier."""
        first, last = int(places[0]), int(places[-1])
        while self.held is None or self.first + len(self.held) <= last:
            part = next(self.parts)
            self.held = part if self.held is None else torch.cat([self.held, part])
            # Forgotten at once: who asks for every tenth frame does not keep the others.
            gone = min(max(first - self.first, 0), len(self.held))
            self.held, self.first = self.held[gone:], self.first + gone
        return self.held[places.to(self.held.device) - self.first]

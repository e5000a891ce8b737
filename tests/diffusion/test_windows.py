"""Windows over long recordings: full cover, exact blending, no seam, the same frames as from the whole at once."""

import pytest
import torch

from wav2uti.diffusion.sampler import Consistency, DPMSolver, Euler, Sampler, StochasticHeun
from wav2uti.diffusion.seeds import derived_generator
from wav2uti.diffusion.solvers import Plan
from wav2uti.diffusion.windows import Windows, ramp, split, stream

SIZE = (3, 2)


def starts(windows: Windows) -> list[int]:
    return [i * windows.hop for i in range(windows.count)]


def padded(windows: Windows) -> int:
    return starts(windows)[-1] + windows.length


@pytest.mark.parametrize("overlap", [0, 5, 8])
@pytest.mark.parametrize("frames", [1, 15, 16, 17, 40, 41, 333])
def test_every_frame_is_covered_and_little_is_thrown_away(frames: int, overlap: int) -> None:
    windows = split(frames, 16, overlap)
    seen = torch.zeros(padded(windows))
    for start in starts(windows):
        seen[start : start + windows.length] += 1
    assert (seen > 0).all()
    assert frames <= padded(windows) < frames + windows.hop
    assert windows.count == 1 or windows.overlap == overlap


def test_more_than_half_a_window_cannot_be_shared() -> None:
    with pytest.raises(ValueError, match="half"):
        split(40, 16, 9)


def neighbours(x: torch.Tensor, sigma: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """A denoiser that looks at neighbouring frames, and at a window's own condition: every frame of it matters."""
    s = sigma.view(-1, 1, 1, 1, 1)
    around = torch.stack([x.roll(k, dims=2) for k in range(5)]).mean(dim=0)
    return torch.tanh(around / (1 + s)) + offset.view(-1, 1, 1, 1, 1)


def whole(sampler: Sampler, windows: Windows, offsets: torch.Tensor) -> torch.Tensor:
    """The plain way: one plan for the whole recording, all windows at every call."""
    generators = [derived_generator(7, i) for i in range(windows.count)]

    def draw() -> torch.Tensor:
        lengths = [windows.hop] * (windows.count - 1) + [windows.length]
        return torch.cat(
            [torch.randn(1, 1, n, *SIZE, generator=g) for n, g in zip(lengths, generators, strict=True)], dim=2
        )

    weights = torch.ones(windows.count, windows.length)
    weights[1:, : windows.overlap] = ramp(windows.overlap)
    weights[:-1, windows.hop :] = 1 - ramp(windows.overlap)
    plan: Plan = sampler.plan(sampler.sigmas[0] * draw(), draw)
    ask = next(plan)
    while True:
        blended = torch.zeros_like(ask.x)
        for start, offset, weight in zip(starts(windows), offsets, weights, strict=True):
            frames = slice(start, start + windows.length)
            estimate = neighbours(ask.x[:, :, frames], torch.tensor([ask.sigma]), offset)
            blended[:, :, frames] += estimate * weight.view(-1, 1, 1)
        try:
            ask = plan.send(blended)
        except StopIteration as finished:
            video: torch.Tensor = finished.value[0, 0, : windows.frames]
            return video


@pytest.mark.parametrize(
    "sampler",
    [StochasticHeun(steps=4), Euler(steps=3), DPMSolver(steps=5, eta=1.0), Consistency(steps=2)],
    ids=lambda sampler: type(sampler).__name__,
)
@pytest.mark.parametrize(("frames", "overlap", "at_once"), [(3, 2, 1), (9, 2, 3), (40, 4, 1), (61, 4, 5), (61, 0, 100)])
def test_the_wave_gives_what_the_whole_recording_at_once_gives(
    sampler: Sampler, frames: int, overlap: int, at_once: int
) -> None:
    windows = split(frames, 8, overlap)
    offsets = torch.randn(windows.count, generator=torch.Generator().manual_seed(1))
    batches, seen = [], []

    def bind(conditions: list[torch.Tensor]):  # type: ignore[no-untyped-def]
        batches.append(len(conditions))
        return lambda x, sigma: neighbours(x, sigma, torch.stack(conditions))

    parts = list(
        stream(sampler, bind, offsets, windows, SIZE, 7, at_once, progress=lambda *done: seen.append(done))  # type: ignore[arg-type]
    )
    assert torch.allclose(torch.cat(parts), whole(sampler, windows, offsets), atol=1e-5)
    assert max(batches) <= at_once
    assert sum(batches) == windows.count * sampler.calls
    assert seen[-1] == (windows.count * sampler.calls,) * 2


def test_calls_are_full_and_memory_does_not_grow_with_the_recording() -> None:
    """Of a long recording few segments are open at a time, and nearly every call has as many windows as it may."""

    def most_open(frames: int) -> int:
        windows = split(frames, 8, 4)
        batches: list[int] = []
        asked = finished = most = 0

        def conditions():  # type: ignore[no-untyped-def]
            nonlocal asked, most
            for i in range(windows.count):
                asked += 1
                most = max(most, asked - finished)
                yield torch.tensor(float(i))

        def bind(given: list[torch.Tensor]):  # type: ignore[no-untyped-def]
            batches.append(len(given))
            return lambda x, sigma: neighbours(x, sigma, torch.stack(given))

        for _ in stream(StochasticHeun(steps=10), bind, conditions(), windows, SIZE, at_once=4):
            finished += 1
        assert sum(batches) / len(batches) > 0.9 * 4
        return most

    assert most_open(1600) == most_open(400) <= 2 * 19


def test_the_first_frames_do_not_depend_on_how_long_the_recording_is() -> None:
    """Beyond the reach of the steps: a seed gives the beginning of a recording the same noise in any length."""
    drawn = []
    for frames in (100, 164):
        windows = split(frames, 8, 4)
        offsets = torch.zeros(windows.count)
        parts = stream(Euler(steps=2), lambda o: lambda x, s: neighbours(x, s, torch.stack(o)), offsets, windows, SIZE)
        drawn.append(torch.cat(list(parts)))
    assert torch.allclose(drawn[0][:60], drawn[1][:60], atol=1e-6)


def test_noise_begins_around_the_center_of_each_window() -> None:
    """A number, or a clip as long as the window, of which a segment takes its own frames."""
    windows = split(61, 8, 4)
    clip = torch.arange(80.0).view(1, 1, -1, 1, 1).expand(1, 1, -1, *SIZE)
    conditions = [clip[:, :, windows.places(i)] for i in range(windows.count)]

    def bind(given: list[torch.Tensor]):  # type: ignore[no-untyped-def]
        return lambda x, sigma: x

    noise = torch.cat(list(stream(Euler(steps=1), bind, conditions, windows, SIZE)))
    moved = torch.cat(list(stream(Euler(steps=1), bind, conditions, windows, SIZE, center=lambda one: one)))
    torch.testing.assert_close(moved - noise, clip[0, 0, :61].clamp(max=60), atol=1e-3, rtol=0)
    number = torch.cat(
        list(stream(Euler(steps=1), bind, conditions, windows, SIZE, center=lambda one: torch.tensor(-0.9)))
    )
    torch.testing.assert_close(number - noise, torch.full_like(noise, -0.9), atol=1e-3, rtol=0)


def test_no_seam() -> None:
    """Windows that disagree by a constant are joined by a ramp, never by a step."""
    windows = split(64, 16, 8)
    values = torch.arange(windows.count, dtype=torch.float32)

    def bind(given: list[torch.Tensor]):  # type: ignore[no-untyped-def]
        return lambda x, sigma: torch.zeros_like(x) + torch.stack(given).view(-1, 1, 1, 1, 1)

    joined = torch.cat(list(stream(Euler(steps=1), bind, values, windows, (1, 1)))).flatten()
    assert joined.diff().abs().max() < 0.25  # a hard join would step by 1
    assert joined[0] == 0
    assert joined[-1] == values[-1]

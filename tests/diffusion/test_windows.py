"""Windows over long recordings: full cover, exact blending, no seam."""

import pytest
import torch

from wav2uti.condition.condition import Condition
from wav2uti.diffusion.windows import blend_weights, split, windowed


@pytest.mark.parametrize("frames", [1, 15, 16, 17, 40, 41, 333])
def test_every_frame_is_covered_and_neighbours_overlap(frames: int) -> None:
    windows = split(frames, 16, 8)
    seen = torch.zeros(frames)
    for start in windows.starts:
        seen[start : start + windows.length] += 1
    assert (seen > 0).all()
    assert windows.starts[-1] + windows.length == frames
    overlaps = [a + windows.length - b for a, b in zip(windows.starts, windows.starts[1:], strict=False)]
    assert all(overlap >= 8 for overlap in overlaps)


def test_a_local_denoiser_is_unchanged_by_windows() -> None:
    """Where D looks at single frames, the windows must give exactly what one call would."""
    cond = Condition(torch.randn(1, 50, 3), torch.randn(1, 1, 4, 4))

    def bind(part: Condition):  # type: ignore[no-untyped-def]
        return lambda x, sigma: x * sigma.view(-1, 1, 1, 1, 1) + part.frames.mean(-1)[:, None, :, None, None]

    x, sigma = torch.randn(1, 1, 50, 4, 4), torch.tensor([0.7])
    for at_once in (1, 3, 100):
        denoise = windowed(bind, cond, split(50, 16, 8), at_once)
        assert torch.allclose(denoise(x, sigma), bind(cond)(x, sigma), atol=1e-5)


def test_no_seam() -> None:
    """Windows that disagree by a constant are joined by a ramp, never by a step."""
    cond = Condition(torch.zeros(1, 64, 1))
    windows = split(64, 16, 8)
    values = torch.arange(len(windows.starts), dtype=torch.float32)

    def bind(part: Condition):  # type: ignore[no-untyped-def]
        return lambda x, sigma: torch.zeros_like(x) + values.view(-1, 1, 1, 1, 1)

    joined = windowed(bind, cond, windows, 100)(torch.zeros(1, 1, 64, 1, 1), torch.ones(1)).flatten()
    assert joined.diff().abs().max() < 0.25  # a hard join would step by 1
    assert joined[0] == 0
    assert joined[-1] == values[-1]


def test_weights_rise_from_the_edges() -> None:
    assert blend_weights(5).tolist() == [1, 2, 3, 2, 1]

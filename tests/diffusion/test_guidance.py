import pytest
import torch

from wav2uti.condition.condition import Condition
from wav2uti.diffusion.guidance import Guidance, guided, thresholded
from wav2uti.diffusion.sampler import StochasticHeun

B, T, W, H = 3, 4, 5, 6


class Recorder:
    """A denoiser that answers with the mean of its condition, and counts what it is asked."""

    def __init__(self):
        self.batches = []

    def __call__(self, x, sigma, cond):
        self.batches.append(len(x))
        assert sigma.shape == (len(x),)
        value = cond.frames.mean((1, 2))
        if cond.reference is not None:
            value = value + cond.reference.mean((1, 2, 3))
        return torch.zeros_like(x) + value.view(-1, 1, 1, 1, 1) + 0.1 * sigma.view(-1, 1, 1, 1, 1)


def conditions(reference=True):
    frames = torch.randn(B, T, W)
    return (
        Condition(frames, torch.randn(B, 1, H, H) if reference else None),
        Condition(torch.zeros(B, T, W), torch.ones(B, 1, H, H) if reference else None),
    )


@pytest.mark.parametrize("reference", [True, False])
@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0, 0.5])
def test_it_is_the_formula(scale, reference):
    cond, null = conditions(reference)
    denoiser, x, sigma = Recorder(), torch.randn(B, 1, T, H, H), torch.tensor([0.1, 1.0, 10.0])
    d_cond, d_null = denoiser(x, sigma, cond), denoiser(x, sigma, null)
    torch.testing.assert_close(
        guided(denoiser, cond, null, Guidance(scale))(x, sigma), d_null + scale * (d_cond - d_null)
    )


@pytest.mark.parametrize(("scale", "batches"), [(0.0, [B]), (1.0, [B]), (3.0, [2 * B])])
def test_one_call_of_the_network_whatever_the_scale(scale, batches):
    denoiser = Recorder()
    guided(denoiser, *conditions(), Guidance(scale))(torch.randn(B, 1, T, H, H), torch.ones(B))
    assert denoiser.batches == batches


def three_conditions(reference):
    cond, null = conditions(reference)
    return cond, null, cond._replace(frames=torch.randn(B, T, W))


@pytest.mark.parametrize("reference", [True, False])
@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("text_scale", [None, 0.0, 1.0, 1.5, 3.0])
def test_two_scales_are_the_formula(scale, text_scale, reference):
    cond, null, audio = three_conditions(reference)
    denoiser, x, sigma = Recorder(), torch.randn(B, 1, T, H, H), torch.tensor([0.1, 1.0, 10.0])
    d_both, d_null, d_audio = (denoiser(x, sigma, c) for c in (cond, null, audio))
    expected = d_null + scale * (d_audio - d_null) + (scale if text_scale is None else text_scale) * (d_both - d_audio)
    drawn = guided(denoiser, cond, null, Guidance(scale, text_scale), audio)(x, sigma)
    torch.testing.assert_close(drawn, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("scale", "text_scale", "evaluations"),
    [(3.0, 2.0, 3), (3.0, 3.0, 2), (3.0, None, 2), (1.0, 1.0, 1), (1.0, 2.0, 2), (3.0, 0.0, 2), (0.0, 0.0, 1),
     (1.0, 0.0, 1), (0.0, 2.0, 3)],
)  # fmt: skip
def test_no_condition_without_weight_is_evaluated(scale, text_scale, evaluations):
    denoiser = Recorder()
    cond, null, audio = three_conditions(True)
    guided(denoiser, cond, null, Guidance(scale, text_scale), audio)(torch.randn(B, 1, T, H, H), torch.ones(B))
    assert denoiser.batches == [evaluations * B]


def test_samplers_take_it():
    cond, null = conditions()
    denoise = guided(lambda x, sigma, c: torch.zeros_like(x), cond, null, Guidance(3.0))
    clip = StochasticHeun(steps=3).draw(denoise, (B, 1, T, H, H), torch.Generator().manual_seed(0))
    torch.testing.assert_close(clip, torch.zeros_like(clip), rtol=0, atol=1e-4)

import pytest
import torch

from wav2uti.condition.condition import Condition
from wav2uti.diffusion.guidance import Guidance, guided
from wav2uti.diffusion.sampler import StochasticHeun
from wav2uti.errors import InputError

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


def dependent(x, sigma, cond):
    """A denoiser that depends on its noisy clip, its level and its condition."""
    return 0.3 * x + cond.frames.mean((1, 2)).view(-1, 1, 1, 1, 1) / (1 + sigma.view(-1, 1, 1, 1, 1))


@pytest.mark.parametrize("weak", [False, True])
def test_an_interval_guides_only_the_clips_inside_it(weak):
    """Also where one batch holds clips inside and outside, as a wave of windows does."""
    cond, null = conditions()
    bound = (lambda x, sigma: dependent(x, sigma, null)) if weak else None
    x, sigma = torch.randn(B, 1, T, H, H), torch.tensor([0.1, 1.0, 10.0])
    everywhere = guided(dependent, cond, null, Guidance(3.0), weak=bound)
    within = guided(dependent, cond, null, Guidance(3.0, interval=(0.5, 5.0)), weak=bound)
    drawn = within(x, sigma)
    torch.testing.assert_close(drawn[1], everywhere(x, sigma)[1])
    torch.testing.assert_close(drawn[[0, 2]], dependent(x, sigma, cond)[[0, 2]])
    for level, expected in ((1.0, everywhere), (10.0, lambda x, s: dependent(x, s, cond))):
        torch.testing.assert_close(within(x, torch.full((B,), level)), expected(x, torch.full((B,), level)))


def test_outside_of_the_interval_nothing_is_evaluated_twice():
    denoiser = Recorder()
    guided(denoiser, *conditions(), Guidance(3.0, interval=(0.5, 5.0)))(
        torch.randn(B, 1, T, H, H), torch.tensor([0.1, 1.0, 10.0])
    )
    assert sorted(denoiser.batches) == [2, 2]


@pytest.mark.parametrize("scale", [0.0, 1.0, 2.5])
def test_autoguidance_is_the_formula(scale):
    cond, null = conditions()
    x, sigma = torch.randn(B, 1, T, H, H), torch.tensor([0.1, 1.0, 10.0])
    asked = []

    def weak(x, sigma):
        asked.append(len(x))
        return x.square()

    drawn = guided(dependent, cond, null, Guidance(scale), weak=weak)(x, sigma)
    torch.testing.assert_close(drawn, x.square() + scale * (dependent(x, sigma, cond) - x.square()))
    assert asked == ([] if scale == 1 else [B])


def test_thresholding_draws_only_large_estimates_back():
    cond, null = conditions()
    clips = torch.stack(
        [torch.linspace(-0.9, 0.9, T * H * H), torch.linspace(-3, 3, T * H * H), torch.zeros(T * H * H)]
    )
    clips = clips.view(B, 1, T, H, H)
    drawn = guided(lambda x, sigma, c: clips, cond, null, Guidance(1.0, threshold=0.9))(clips, torch.ones(B))
    torch.testing.assert_close(drawn[[0, 2]], clips[[0, 2]])
    largest = torch.quantile(clips[1].abs(), 0.9)
    torch.testing.assert_close(drawn[1], clips[1].clamp(-largest, largest) / largest)
    assert drawn.abs().max() <= 1


def test_impossible_guidance_is_refused():
    for options, said in (
        ({"interval": (5.0, 1.0)}, "smaller first"),
        ({"threshold": 1.5}, "share"),
        ({"weak": "a.ckpt", "text_scale": 2.0}, "no meaning"),
    ):
        with pytest.raises(InputError, match=said):
            Guidance(**options)


def test_samplers_take_it():
    cond, null = conditions()
    denoise = guided(lambda x, sigma, c: torch.zeros_like(x), cond, null, Guidance(3.0))
    clip = StochasticHeun(steps=3).draw(denoise, (B, 1, T, H, H), torch.Generator().manual_seed(0))
    torch.testing.assert_close(clip, torch.zeros_like(clip), rtol=0, atol=1e-4)

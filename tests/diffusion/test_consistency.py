"""Against the exact consistency function of Gaussian data: f(x; sigma) = m + s (x - m) / sqrt(s^2 + sigma^2)."""

import pytest
import torch
from torch import nn

from wav2uti.diffusion.consistency import ConsistencyLoss, Pairs, energy_score
from wav2uti.diffusion.denoiser import Denoiser
from wav2uti.diffusion.sampler import Consistency
from wav2uti.diffusion.schedule import LogNormalSigma
from wav2uti.errors import InputError

MEAN, STD = -0.9, 0.2


class Scaled(nn.Module):
    """F(u) = gain(sigma) u. On Gaussian data gain 0 is the denoiser and (sqrt(s^2 + sigma^2) - s) / sigma f."""

    def __init__(self, gain):
        super().__init__()
        self.gain = gain
        self.calls = []

    def forward(self, u, c_noise, cond):
        self.calls.append((u.detach(), c_noise, torch.is_grad_enabled()))
        return self.gain(c_noise).view(-1, 1, 1, 1, 1) * u


def exact_gain(c_noise):
    sigma = (4 * c_noise).exp()
    return ((STD**2 + sigma**2).sqrt() - STD) / sigma


class Learnt(nn.Module):
    """A gain that is linear in three curves which rise from 0 to 1; 0 (the denoiser's) before training."""

    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(3))

    def forward(self, c_noise):
        sigma = (4 * c_noise).exp()[:, None]
        return sigma / (sigma + STD * torch.tensor([0.3, 1.0, 3.0])) @ self.weights


class At:
    """Always the same noise levels."""

    def __init__(self, *sigma):
        self.sigma = torch.tensor(sigma)

    def __call__(self, batch, generator=None):
        return self.sigma


def clips(batch, generator=None, size=(1, 1, 4, 4)):
    return MEAN + STD * torch.randn(batch, *size, generator=generator)


def exact():
    return Denoiser(Scaled(exact_gain), STD, MEAN)


@pytest.mark.parametrize("sigma", [0.002, 0.1, 1.0, 80.0])
def test_the_preconditioning_holds_the_exact_function(sigma):
    x = clips(4)
    shrunk = MEAN + STD * (x - MEAN) / (STD**2 + sigma**2) ** 0.5
    torch.testing.assert_close(exact()(x, torch.full((4,), sigma), None), shrunk)


def test_partners_of_a_level():
    t = torch.tensor([0.0, 0.5, 5.0, 1e4])
    pairs = Pairs(q=2, k=8, b=1)
    assert torch.equal(pairs.partner(t, 0), torch.zeros(4))  # a denoiser is trained
    # q^a (1 - r/t) = 1 + 8 sigmoid(-t)
    apart = 1 + 8 / (1 + t.double().exp())
    for stage in (1, 4, 8):
        torch.testing.assert_close(pairs.partner(t, stage).double(), t * (1 - apart / 2**stage).clamp(min=0))
    assert pairs.partner(t, 1).tolist() == pytest.approx([0, 0, 5 * (0.5 - 4 / (1 + 148.4131591)), 5000])
    ratios = torch.stack([pairs.partner(t[1:], stage) / t[1:] for stage in range(12)])
    assert (ratios.diff(dim=0) >= 0).all()
    assert ratios[-1].min() > 0.99


def test_stages_follow_the_steps():
    pairs = Pairs(first=2, interval=10, last=4)
    assert [pairs.stage(step) for step in (0, 9, 10, 20, 99)] == [2, 2, 3, 4, 4]


@pytest.mark.parametrize("wrong", [{"q": 1.0}, {"first": 3, "last": 2}, {"interval": 0}, {"k": -1.0}])
def test_pairs_that_do_not_come_together_are_refused(wrong):
    with pytest.raises(InputError, match="pairs"):
        Pairs(**wrong)


def test_c_must_be_positive():
    with pytest.raises(InputError, match="c must be"):
        ConsistencyLoss(c=0.0)


def test_both_levels_have_the_same_clip_and_noise():
    net = Scaled(lambda c_noise: 0.3 + 0 * c_noise)
    denoiser, y = Denoiser(net, STD, MEAN), clips(3)
    loss = ConsistencyLoss(At(0.1, 1.0, 20.0), Pairs(first=5))
    loss(denoiser, y, None, torch.Generator().manual_seed(0))
    (low, low_noise, low_grad), (high, high_noise, high_grad) = net.calls
    assert (low_grad, high_grad) == (False, True)
    noises = []
    for u, c_noise in ((low, low_noise), (high, high_noise)):
        sigma = (4 * c_noise).exp().view(-1, 1, 1, 1, 1)
        noises.append((u * (sigma**2 + STD**2).sqrt() + MEAN - y) / sigma)
    torch.testing.assert_close(*noises, rtol=0, atol=1e-4)
    # In units of data of standard deviation 0.5, as ECT's constants are.
    t = torch.tensor([0.1, 1.0, 20.0]) * 0.5 / STD
    torch.testing.assert_close((4 * low_noise).exp(), Pairs().partner(t, 5) * STD / 0.5)


def test_the_loss_is_the_metric_over_the_distance():
    gain, c, sigma = 0.3, 0.01, torch.tensor([0.1, 1.0, 20.0], dtype=torch.float64)
    denoiser = Denoiser(Scaled(lambda c_noise: gain + 0 * c_noise), STD, MEAN)
    y = clips(3, torch.Generator().manual_seed(0))
    loss = ConsistencyLoss(At(*sigma.tolist()), Pairs(first=4), c)
    result = loss(denoiser, y, None, torch.Generator().manual_seed(5))
    noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(5)).double()

    def f(level):
        level = level.view(-1, 1, 1, 1, 1)
        z, total = y.double() - MEAN + level * noise, STD**2 + level**2
        return STD**2 / total * z + level * STD / total * gain * z

    t = 0.5 / STD * sigma
    r = t * (1 - (1 + 8 / (1 + t.exp())) / 16).clamp(min=0)
    squared = (0.5 / STD * (f(sigma) - f(r * STD / 0.5))).square().flatten(1).mean(1)
    torch.testing.assert_close(result.loss.double(), ((squared + c**2).sqrt() - c) / (t - r), rtol=1e-3, atol=0)
    loss.c = None
    squares = loss(denoiser, y, None, torch.Generator().manual_seed(5))
    torch.testing.assert_close(squares.loss.double(), squared / (t - r), rtol=1e-3, atol=0)
    assert torch.equal(result.sigma, sigma.float())


def test_units_do_not_matter():
    """The same data and levels, five times as large, make the same loss."""
    y, losses = clips(4), []
    for unit in (1.0, 5.0):
        denoiser = Denoiser(Scaled(lambda c_noise: 0.3 + 0 * c_noise), STD * unit, MEAN * unit)
        loss = ConsistencyLoss(At(*(unit * s for s in (0.02, 0.1, 1.0, 20.0))), Pairs(first=3))
        losses.append(loss(denoiser, y * unit, None, torch.Generator().manual_seed(0)).loss)
    torch.testing.assert_close(*losses)


def test_the_first_stage_trains_a_denoiser():
    net = Scaled(lambda c_noise: 0 * c_noise)
    denoiser, y = Denoiser(net, STD, MEAN), clips(2)
    loss = ConsistencyLoss(At(0.1, 3.0), Pairs(first=0), c=None)
    result = loss(denoiser, y, None, torch.Generator().manual_seed(0))
    assert len(net.calls) == 1  # nobody is asked at level 0
    x = y + torch.tensor([0.1, 3.0]).view(-1, 1, 1, 1, 1) * torch.randn(
        y.shape, generator=torch.Generator().manual_seed(0)
    )
    error = (denoiser(x, result.sigma, None) - y).square().flatten(1).mean(1)
    torch.testing.assert_close(result.loss, error * 0.5 / STD / result.sigma)


def test_a_partner_at_level_0_is_the_clip_itself():
    net = Scaled(exact_gain)
    denoiser, y = Denoiser(net, STD, MEAN), clips(2)
    loss = ConsistencyLoss(At(0.05, 20.0), Pairs(first=1), c=None)  # at stage 1 only high levels have a partner
    target = loss.target(denoiser, y, torch.tensor([0.0, 10.0]), torch.randn(y.shape), None)
    assert torch.equal(target[0], y[0])
    assert not torch.equal(target[1], y[1])
    assert torch.isfinite(loss(denoiser, y, None).loss).all()


def test_no_gradient_flows_through_the_lower_level():
    gains = []

    def gain(c_noise):
        gains.append(torch.full_like(c_noise, 0.3, requires_grad=True))
        return gains[-1]

    denoiser = Denoiser(Scaled(gain), STD, MEAN)
    ConsistencyLoss(At(1.0, 2.0), Pairs(first=4))(denoiser, clips(2), None).loss.sum().backward()
    lower, upper = gains
    assert lower.grad is None
    assert upper.grad.abs().min() > 0


def test_gradients_survive_autocast():
    class Linear(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(4, 4)

        def forward(self, u, c_noise, cond):
            return self.inner(u)

    net = Linear()
    with torch.autocast("cpu", torch.bfloat16):
        ConsistencyLoss(At(1.0, 2.0), Pairs(first=4))(Denoiser(net, STD, MEAN), clips(2), None).loss.sum().backward()
    assert net.inner.weight.grad.abs().max() > 0


def test_what_is_dropped_at_random_is_dropped_at_both_levels():
    class Dropping(nn.Module):
        def __init__(self):
            super().__init__()
            self.masks = []

        def forward(self, u, c_noise, cond):
            self.masks.append(torch.rand_like(u) < 0.5)
            return u * self.masks[-1]

    net = Dropping()
    ConsistencyLoss(At(1.0, 2.0), Pairs(first=4))(Denoiser(net, STD, MEAN), clips(2), None)
    assert torch.equal(*net.masks)


def drift(denoiser, sigma, stage, batch=400_000):
    """Mean of (f(x_sigma) - f(x_rho)) (x_sigma - m) / (t - r): what pulls a gain up or down, 0 where f is right."""
    y = clips(batch, torch.Generator().manual_seed(0), (1, 1, 1, 1))
    noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    t = torch.full((batch,), sigma * 0.5 / STD)
    rho = Pairs().partner(t, stage) * STD / 0.5
    target = ConsistencyLoss().target(denoiser, y, rho, noise, None)
    x = y + sigma * noise
    difference = denoiser(x, torch.full((batch,), sigma), None) - target
    return float((difference * (x - MEAN)).mean() / ((sigma - rho[0]) * (STD**2 + sigma**2) ** 0.5))


def test_the_exact_function_is_left_alone_as_the_levels_come_together():
    """E[n | x] is the slope of the trajectory, along which f does not change; D does."""
    pulls = [abs(drift(exact(), 0.3, stage)) for stage in (2, 4, 6)]
    assert pulls[0] > 2 * pulls[1] > 4 * pulls[2]
    denoiser = Denoiser(Scaled(lambda c_noise: 0 * c_noise), STD, MEAN)
    assert abs(drift(denoiser, 0.3, 6)) > 10 * pulls[2]


@pytest.mark.parametrize(("stage", "share"), [(2, 0.62), (4, 0.94), (6, 0.985), (8, 0.996)])
def test_the_last_stage_decides_what_can_be_reached(stage, share):
    """The gain A of z for which the squared loss of a stage is least: A(sigma) E z^2 = A(rho) E z_rho z."""
    sigma = torch.tensor([20.0], dtype=torch.float64)
    reached = (STD**2 + sigma**2).sqrt() / STD  # over the exact gain
    while sigma > 1e-9:
        rho = Pairs().partner(sigma * 0.5 / STD, stage) * STD / 0.5
        reached, sigma = reached * (STD**2 + sigma * rho) / (STD**2 + sigma**2), rho
    assert reached.item() == pytest.approx(share, abs=0.005)


def test_a_tuned_denoiser_becomes_the_exact_function():
    torch.manual_seed(0)
    net = Scaled(Learnt())
    denoiser = Denoiser(net, STD, MEAN)
    sampler, shape = Consistency(1, sigma_max=20.0), (2000, 1, 1, 4, 4)
    before = sampler.draw(lambda x, sigma: denoiser(x, sigma, None), shape, torch.Generator().manual_seed(0))
    assert before.std().item() == pytest.approx(STD**2 / 20, rel=0.05)  # the denoiser draws the mean
    pairs = Pairs(first=1, interval=120, last=6)
    loss = ConsistencyLoss(LogNormalSigma(-1.0, 2.0), pairs)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=800)
    for step in range(800):
        loss.stage = pairs.stage(step)
        optimizer.zero_grad()
        loss(denoiser, clips(256), None).loss.mean().backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        c_noise = torch.tensor([0.05, 0.2, 1.0, 5.0, 20.0]).log() / 4
        torch.testing.assert_close(net.gain(c_noise), exact_gain(c_noise), rtol=0, atol=0.06)
    for steps in (1, 2, 4):
        net.calls.clear()
        drawn = sampler.with_steps(steps).draw(
            lambda x, sigma: denoiser(x, sigma, None), shape, torch.Generator().manual_seed(1)
        )
        assert drawn.std().item() == pytest.approx(STD, rel=0.08)
        assert len(net.calls) == steps


def test_the_energy_score_is_least_for_the_true_distribution():
    generator = torch.Generator().manual_seed(0)
    y, centre = torch.randn(2000, 64, generator=generator), torch.zeros(2000, 64)
    scores = {
        width: energy_score(*(centre + width * torch.randn(2, 2000, 64, generator=generator)), y).mean().item()
        for width in (0.0, 0.5, 1.0, 2.0)
    }
    assert min(scores, key=scores.get) == 1.0
    assert scores[0.0] == pytest.approx(1.0, abs=0.02)  # always the mean
    assert scores[1.0] == pytest.approx(2**-0.5, abs=0.02)
    assert energy_score(y, y, y).abs().max() == 0

"""Random numbers of training depend on the clip's number alone, however clips are batched."""

import pytest
import torch

from wav2uti.diffusion.noise import noise
from wav2uti.diffusion.schedule import LogNormalSigma
from wav2uti.tasks.draws import Draws

SHAPE = (1, 2, 3, 3)


def all_numbers(draws: Draws, distribution: LogNormalSigma) -> torch.Tensor:
    """Everything that is drawn for each clip, (B, n)."""
    drawn = noise((len(draws.numbers), *SHAPE), draws.generators("noise")).flatten(1)
    return torch.cat([draws.levels(distribution)[:, None], draws.chances(3).T, drawn], dim=1)


@pytest.mark.parametrize("stratified", [True, False])
def test_a_batch_in_parts_draws_what_it_draws_as_a_whole(stratified: bool) -> None:
    distribution = LogNormalSigma(stratified=stratified)
    whole = all_numbers(Draws(7, range(8, 16), 8), distribution)
    for numbers in ([8, 10, 12, 14], [9, 11, 13, 15], [8, 9], [15]):
        part = all_numbers(Draws(7, numbers, 8), distribution)
        assert torch.equal(part, whole[[number - 8 for number in numbers]])
    assert len(whole.unique()) == whole.numel()  # no clip has another one's numbers


def test_another_seed_draws_other_numbers() -> None:
    one, other = (all_numbers(Draws(seed, range(4), 4), LogNormalSigma()) for seed in (0, 1))
    assert not (one == other).any()
    assert Draws(0, [3], 4).seed_of_batch != Draws(1, [3], 4).seed_of_batch != Draws(1, [4], 4).seed_of_batch


def test_levels_of_a_step_are_stratified() -> None:
    distribution = LogNormalSigma(0.0, 1.0)
    for step in range(20):
        levels = torch.cat([Draws(0, [step * 16 + k], 16).levels(distribution) for k in range(16)])
        parts = torch.special.ndtr(levels.double().log()) * 16
        assert sorted(parts.floor().long().tolist()) == list(range(16))


def test_levels_have_the_distribution_that_was_asked_for() -> None:
    levels = Draws(0, range(4000), 4).levels(LogNormalSigma(-0.8, 1.4)).log()
    assert levels.mean().item() == pytest.approx(-0.8, abs=0.02)
    assert levels.std().item() == pytest.approx(1.4, abs=0.02)

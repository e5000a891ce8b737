"""The average of the weights."""

import lightning.pytorch as pl
import pytest
import torch
from torch import nn

from wav2uti.errors import InputError
from wav2uti.training.average import Average


class Module(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, -2.0]))
        self.frozen = nn.Parameter(torch.tensor(0.1), requires_grad=False)
        self.register_buffer("mean", torch.tensor(0.3))


def begun(decay: float) -> tuple[Average, Module]:
    average, module = Average(decay), Module()
    average.setup(pl.Trainer(logger=False, accelerator="cpu", enable_checkpointing=False), module, "fit")
    assert average._average_model is not None
    average._average_model.update_parameters(module)  # the first takes the weights over
    return average, module


def test_it_is_the_closed_form() -> None:
    average, module = begun(0.75)
    assert average._average_model is not None
    expected = module.weight.detach().clone()
    for step in range(1, 6):
        module.weight.data = torch.tensor([1.0, -2.0]) * step
        average._average_model.update_parameters(module)
        expected = 0.75 * expected + 0.25 * module.weight.detach()
    (found,) = (p for p in average._average_model.module.parameters() if p.requires_grad)
    torch.testing.assert_close(found.detach(), expected)
    apart = (expected - module.weight.detach()).norm() / module.weight.detach().norm()
    assert average.distance(module) == pytest.approx(apart.item())


def test_what_is_not_trained_is_never_rounded() -> None:
    average, module = begun(0.9999)
    assert average._average_model is not None
    for _ in range(1000):
        average._average_model.update_parameters(module)
    kept = average._average_model.module
    assert kept.frozen.item() == module.frozen.item()
    assert kept.mean.item() == module.mean.item()


def test_a_decay_of_one_is_refused() -> None:
    with pytest.raises(InputError, match="below 1"):
        Average(1.0)

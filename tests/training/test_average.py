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
    average.on_train_start(pl.Trainer(logger=False, accelerator="cpu", enable_checkpointing=False), module)
    average.update(module)  # the first takes the weights over
    return average, module


def test_it_is_the_closed_form() -> None:
    average, module = begun(0.75)
    expected = module.weight.detach().clone()
    for step in range(1, 6):
        module.weight.data = torch.tensor([1.0, -2.0]) * step
        average.update(module)
        expected = 0.75 * expected + 0.25 * module.weight.detach()
    torch.testing.assert_close(average.average["weight"], expected)
    apart = (expected - module.weight.detach()).norm() / module.weight.detach().norm()
    assert average.distance(module) == pytest.approx(apart.item())


def test_what_does_not_change_is_never_rounded() -> None:
    average, module = begun(0.9999)
    for _ in range(1000):
        average.update(module)
    assert torch.equal(average.average["weight"], module.weight)
    assert set(average.average) == {"weight"}  # neither what is frozen nor statistics


def test_validation_has_the_average_and_training_its_weights_back() -> None:
    average, module = begun(0.5)
    trainer = pl.Trainer(logger=False, accelerator="cpu", enable_checkpointing=False)
    trainer.state.fn = "fit"  # type: ignore[assignment]
    module.weight.data = torch.tensor([3.0, 2.0])
    average.update(module)
    average.on_validation_epoch_start(trainer, module)
    assert module.weight.tolist() == [2.0, 0.0]
    checkpoint = {"state_dict": module.state_dict()}
    average.on_save_checkpoint(trainer, module, checkpoint)
    assert checkpoint["state_dict"]["weight"].tolist() == [2.0, 0.0]
    assert checkpoint["current_model_state"]["weight"].tolist() == [3.0, 2.0]
    average.on_validation_epoch_end(trainer, module)
    assert module.weight.tolist() == [3.0, 2.0]
    checkpoint = {"state_dict": module.state_dict()}
    average.on_save_checkpoint(trainer, module, checkpoint)
    assert checkpoint["state_dict"]["weight"].tolist() == [2.0, 0.0]
    assert checkpoint["current_model_state"]["weight"].tolist() == [3.0, 2.0]


def test_a_decay_of_one_is_refused() -> None:
    with pytest.raises(InputError, match="below 1"):
        Average(1.0)

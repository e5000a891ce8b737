"""The last checkpoint is that of the last step, however the training ends and whatever was saved before."""

import json
from pathlib import Path

import pytest
import torch
from conftest import Run, fit_debug


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("steps", [4, 5])
def test_the_last_step_is_saved(average: bool, steps: int, simulated: Path, tmp_path: Path) -> None:
    saving = {
        "class_path": "Checkpointing",
        "init_args": {"every_n_train_steps": 2, "save_last": True, "enable_version_counter": False},
    }
    callbacks = [saving, *([{"class_path": "Average", "init_args": {"decay": 0.5}}] if average else [])]
    options = (f"--trainer.callbacks={json.dumps(callbacks)}", f"--trainer.max_steps={steps}")
    run = fit_debug(simulated, tmp_path, *options)
    state = torch.load(run.checkpoint, weights_only=True)
    assert state["global_step"] == steps
    if average:  # the weights and their average, not the average twice
        raw, mean = state["current_model_state"], state["state_dict"]
        assert any(not torch.equal(raw[name], mean[name]) for name in raw)


def test_a_run_ended_by_its_epochs_is_saved(simulated: Path, tmp_path: Path) -> None:
    options = ("--trainer.max_steps=-1", "--trainer.max_epochs=2", "--trainer.limit_train_batches=3")
    run: Run = fit_debug(simulated, tmp_path, *options)
    state = torch.load(run.checkpoint, weights_only=True)
    assert state["global_step"] == 6
    raw, mean = state["current_model_state"], state["state_dict"]
    assert any(not torch.equal(raw[name], mean[name]) for name in raw)

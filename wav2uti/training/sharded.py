"""`Sharded`: networks too large for one GPU, their weights and the optimizer's state spread over all (FSDP2)."""

import warnings
from pathlib import Path
from typing import Any

from lightning.pytorch.strategies import ModelParallelStrategy, StrategyRegistry
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict, set_optimizer_state_dict

from wav2uti.tasks.checkpoint import read_checkpoint
from wav2uti.training.average import trained


class Sharded(ModelParallelStrategy):
    """Each process keeps its share of every weight, fetches the rest of a block when it is computed, and forgets it.

    It is Lightning's strategy for PyTorch's `fully_shard`, all processes along the one axis of data; what is sharded, a
    task says (`Task.configure_model`). Checkpoints are whole: one file as of any other training, collected by the first
    process.
    """

    def __init__(self) -> None:
        super().__init__(data_parallel_size=1, tensor_parallel_size=1, save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        """All processes, which are known now, share the data."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        # What a block gives is never changed in place: torch warns in case it were.
        warnings.filterwarnings("ignore", message="FSDP2-wrapped module")
        super().setup_environment()

    def load_checkpoint(self, checkpoint_path: str | Path, weights_only: bool | None = None) -> dict[str, Any]:
        """Weights and optimizer of a checkpoint of any strategy, of which each process takes its share; and the rest.

        Lightning's own mixes up the optimizer's state of a training that was not sharded: its convolutions lie
        channels-last.
        """
        checkpoint = read_checkpoint(Path(self.broadcast(checkpoint_path)))
        assert self.model is not None
        whole = StateDictOptions(full_state_dict=True)
        set_model_state_dict(self.model, checkpoint.pop("state_dict"), options=whole)
        names = list(trained(self.model))
        for optimizer, state in zip(self.optimizers, checkpoint.get("optimizer_states", []), strict=False):
            set_optimizer_state_dict(self.model, optimizer, _by_name(state, names), options=whole)
        return checkpoint


def _by_name(state: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """An optimizer's state whose parameters are numbered, with their names."""
    return {
        "state": {
            names[number]: {name: value.contiguous() for name, value in values.items()}
            for number, values in state["state"].items()
        },
        "param_groups": [
            {**group, "params": [names[number] for number in group["params"]]} for group in state["param_groups"]
        ],
    }


# `trainer.strategy: sharded`, since a text in that place is taken for a registered name.
StrategyRegistry.register("sharded", Sharded, description=str(Sharded.__doc__).splitlines()[0])

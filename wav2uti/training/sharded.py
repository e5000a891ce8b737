"""`Sharded`: networks too large for one GPU, their weights and the optimizer's state spread over all (FSDP2)."""

import warnings

from lightning.pytorch.strategies import ModelParallelStrategy, StrategyRegistry


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


# `trainer.strategy: sharded`, since a text in that place is taken for a registered name.
StrategyRegistry.register("sharded", Sharded, description=str(Sharded.__doc__).splitlines()[0])

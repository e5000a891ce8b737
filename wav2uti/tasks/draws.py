"""Random numbers of training: a function of a seed and of the number of the clip, so that nothing has to be stored.

The n-th clip that a training takes has the same noise level, noise and dropped conditions whether one process takes it
or four, in one batch or in several whose gradients are added, and whether the training was stopped in between or not.
"""

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from wav2uti.diffusion.schedule import LogNormalSigma
from wav2uti.diffusion.seeds import derived_generator, derived_seed


class Draws:
    """Random numbers of the clips of one batch.

    Args:
        seed: of the training.
        numbers: of the clips (B,): how many the training, over all its processes, took before each.
        together: clips that make one step of the optimizer, over all processes and all batches whose gradients are
            added.
        device: where `generators` draw; the other numbers are drawn on the CPU and moved there.
    """

    def __init__(self, seed: int, numbers: Sequence[int], together: int, device: torch.device | str = "cpu") -> None:
        self.seed = seed
        self.numbers = list(numbers)
        self.together = together
        self.device = torch.device(device)

    @property
    def seed_of_batch(self) -> int:
        """A seed for what draws from torch's global generator, such as dropout; another one on each process."""
        return derived_seed(self.seed, "batch", self.numbers[0])

    def generators(self, use: str) -> list[torch.Generator]:
        """A generator for each clip, on the device: no noise has to be brought there."""
        return [derived_generator(self.seed, use, number, device=self.device) for number in self.numbers]

    def chances(self, count: int) -> Tensor:
        """(count, B) numbers, uniform from 0 to 1."""
        rows = [torch.rand(count, generator=derived_generator(self.seed, "chances", n)) for n in self.numbers]
        return torch.stack(rows, dim=1).to(self.device, non_blocking=True)

    def levels(self, distribution: LogNormalSigma) -> Tensor:
        """Noise levels (B,) on the CPU; stratified over the clips of one step of the optimizer, where asked for.

        Of the N clips of a step each has a level from another one of the N equally likely parts of the distribution.
        """
        uniform = [
            torch.rand((), generator=derived_generator(self.seed, "level", n), dtype=torch.float64)
            for n in self.numbers
        ]
        return distribution.quantile(
            torch.stack(
                [
                    (self._part(number) + u) / self.together if distribution.stratified else u
                    for number, u in zip(self.numbers, uniform, strict=True)
                ]
            )
        )

    def _part(self, number: int) -> int:
        step, place = divmod(number, self.together)
        return int(self._parts[step][place])

    @cached_property
    def _parts(self) -> dict[int, Tensor]:
        """For each step that the clips belong to, which part each of its clips has."""
        return {
            step: torch.randperm(self.together, generator=derived_generator(self.seed, "parts", step))
            for step in {number // self.together for number in self.numbers}
        }

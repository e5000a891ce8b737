"""Standard normal noise, from one random number generator or from one for each clip of a batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

# One generator for a batch, or one for each of its clips, whose noise then does not depend on its neighbours. Those of
# the CPU give the same numbers for every device; those of a GPU do not keep it waiting. None: torch's global one.
Generators = torch.Generator | Sequence[torch.Generator] | None


def noise(shape: Sequence[int], generator: Generators) -> Tensor:
    """Standard normal noise (B, ...) from one generator or from one for each of the B clips, on their device."""
    if generator is None:
        return torch.randn(tuple(shape))
    if isinstance(generator, torch.Generator):
        return torch.randn(tuple(shape), generator=generator, device=generator.device)
    if len(generator) != shape[0]:
        raise ValueError(f"{len(generator)} generators do not fit {shape[0]} clips")
    return torch.stack([torch.randn(tuple(shape[1:]), generator=one, device=one.device) for one in generator])


def noise_like(y: Tensor, generator: Generators) -> Tensor:
    """The same in the shape of y and on its device, float32; without a generator from that device's global one."""
    return torch.randn_like(y, dtype=torch.float32) if generator is None else noise(y.shape, generator).to(y.device)

"""The time-aware 3D U-Net F (Fig. 1c of the paper), factorised into space and time."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from wav2uti.condition.condition import Condition
from wav2uti.diffusion.blocks import (
    PLACE_CHANNELS,
    Block,
    GroupNorm,
    SpaceTimeAttention,
    SpatialConv,
    Upsample,
    fourier_features,
    join,
    place_features,
    to_clip,
    to_pictures,
)
from wav2uti.errors import InputError
from wav2uti.options import check_counts


class Shape(NamedTuple):
    """Base width, widths of the levels over it, and residual blocks a level."""

    channels: int
    multipliers: tuple[int, ...]
    blocks: int


PRESETS = {
    "paper": Shape(128, (1, 2, 4), 2),  # 67.7 M parameters in the authors' scripts
    "small": Shape(64, (1, 2, 3), 1),
    "tiny": Shape(32, (1, 2), 1),
}


class UNet(nn.Module):
    """F(c_in x; c_noise, cond): the network inside the denoiser.

    Any size of frame that halves `len(multipliers) - 1` times after the patches, and any number of frames.

    Args:
        cond_width: width W of the fused condition.
        reference: whether the speaker's reference frame is given, as one more input channel.
        draft: whether a blurred clip to begin from is given, as one more input channel.
        low: whether the clip of the cascade's earlier stage is given, as one more input channel, beside how much noise
            is in it; the task says so where it is a later stage.
        preset: `paper`, `small` or `tiny`: the shape of the network, of which the next three may differ.
        channels: base width (128 in the paper's model).
        multipliers: width of each level over the base width.
        blocks: residual blocks a level.
        patch: side of the squares of pixels folded into channels before the first convolution; 2 makes the network
            four times as cheap for a picture of the same size.
        attention: whether the lowest level attends over space, time and condition.
        checkpointing: compute the blocks' insides again in the backward pass instead of keeping them: less memory
            for about a third more time.
    """

    def __init__(
        self,
        cond_width: int,
        reference: bool = False,
        draft: bool = False,
        low: bool = False,
        preset: Literal["paper", "small", "tiny"] = "paper",
        channels: int | None = None,
        multipliers: tuple[int, ...] | None = None,
        blocks: int | None = None,
        patch: int = 1,
        attention: bool = True,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        shape = PRESETS[preset]
        channels = shape.channels if channels is None else channels
        multipliers = shape.multipliers if multipliers is None else multipliers
        blocks = shape.blocks if blocks is None else blocks
        check_counts(1, **{"net.channels": channels, "net.blocks": blocks, "net.patch": patch})
        check_counts(1, **{"the number of net.multipliers": len(multipliers)})
        check_counts(1, **{f"net.multipliers[{level}]": multiplier for level, multiplier in enumerate(multipliers)})
        if channels % 2:
            raise InputError(f"net.channels must be even, not {channels}.")
        self.reference = reference
        self.draft = draft
        self.low = low
        self.patch = patch
        self.checkpointing = checkpointing
        self.channels = channels
        self.factor = patch * 2 ** (len(multipliers) - 1)
        emb = 4 * channels
        self.noise = nn.Sequential(nn.Linear(channels, emb), nn.SiLU(), nn.Linear(emb, emb))
        self.cond = nn.Linear(cond_width, emb)
        if low:
            self.low_noise = nn.Sequential(nn.Linear(channels, emb), nn.SiLU(), nn.Linear(emb, emb))
        self.to_blocks = nn.SiLU()

        width = channels
        self.first = SpatialConv((1 + reference + draft + low) * patch * patch + PLACE_CHANNELS, width)
        skips = [width]
        self.down = nn.ModuleList()
        for level, multiplier in enumerate(multipliers):
            if level:
                self.down.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
                skips.append(width)
            for _ in range(blocks):
                self.down.append(Block(width, channels * multiplier, emb))
                width = channels * multiplier
                skips.append(width)
        self.middle1 = Block(width, width, emb)
        self.attention = SpaceTimeAttention(width, emb) if attention else None
        self.middle2 = Block(width, width, emb)
        # Both halves of what a block of the way up sees then weigh alike; training may change it.
        self.skip_scales = nn.Parameter(torch.full((len(skips),), 0.5**0.5))
        self.up = nn.ModuleList()
        for level, multiplier in reversed(list(enumerate(multipliers))):
            for _ in range(blocks + 1):
                self.up.append(Block(width + skips.pop(), channels * multiplier, emb))
                width = channels * multiplier
            if level:
                self.up.append(Upsample(width))
        self.last_norm = GroupNorm(width)
        self.last = SpatialConv(width, patch * patch)
        # The network begins as F = 0: D = c_skip x, the best guess without learning.
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, c_noise: Tensor, cond: Condition) -> Tensor:
        """`x` (B, 1, T, H, W), `c_noise` (B,), `cond` with frames (B, T, W) -> F, shaped like `x`.

        Clips in channels_last_3d memory, which is how F returns, are not copied.
        """
        *_, frames, height, width = x.shape
        if height % self.factor or width % self.factor:
            raise InputError(
                f"Frames of {height}x{width} do not divide by {self.factor}, as this U-Net needs: choose fewer "
                "net.multipliers, a smaller net.patch, or another size."
            )
        emb = self.noise(fourier_features(c_noise, self.channels))[:, None] + self.cond(cond.frames)
        if self.low:
            if cond.low is None or cond.low_log_snr is None:
                raise ValueError("this U-Net was made with low=True and got no clip of an earlier stage")
            # In the unit of c_noise: a quarter of the logarithm of the noise's share over the clip's.
            emb = emb + self.low_noise(fourier_features(cond.low_log_snr / -8, self.channels))[:, None]
        emb = self.to_blocks(emb)
        rows = emb.flatten(0, 1)

        pictures = to_pictures(x)
        if self.reference:
            if cond.reference is None:
                raise ValueError("this U-Net was made with reference=True and got no reference frame")
            reference = cond.reference[:, None].expand(-1, frames, -1, -1, -1).flatten(0, 1)
            pictures = torch.cat([pictures, reference.to(pictures.dtype)], dim=1)
        if self.draft:
            if cond.draft is None:
                raise ValueError("this U-Net was made with draft=True and got no draft")
            pictures = torch.cat([pictures, to_pictures(cond.draft).to(pictures.dtype)], dim=1)
        if self.low and cond.low is not None:
            pictures = torch.cat([pictures, cond.low.transpose(1, 2).flatten(0, 1).to(pictures.dtype)], dim=1)
        hidden = functional.pixel_unshuffle(pictures, self.patch)

        places = place_features(height // self.patch, width // self.patch, x.device).to(hidden.dtype)
        places = places.expand(len(hidden), -1, -1, -1)
        hidden = self.first(torch.cat([hidden, places], dim=1).contiguous(memory_format=torch.channels_last))
        skips = [hidden]
        for layer in self.down:
            hidden = self.run(layer, hidden, rows, frames) if isinstance(layer, Block) else layer(hidden)
            skips.append(hidden)
        hidden = self.run(self.middle1, hidden, rows, frames)
        if self.attention is not None:
            hidden = self.attention(hidden, emb)
        hidden = self.run(self.middle2, hidden, rows, frames)
        for layer in self.up:
            if isinstance(layer, Block):
                skip = skips.pop()
                hidden = self.run(layer, join(hidden, skip, self.skip_scales[len(skips)]), rows, frames)
            else:
                hidden = layer(hidden)
        hidden = self.last(self.last_norm.silu(hidden))
        return to_clip(functional.pixel_shuffle(hidden, self.patch), frames)

    def run(self, block: Block, x: Tensor, emb: Tensor, frames: int) -> Tensor:
        """One block, its inside kept for the backward pass or computed again there."""
        if self.checkpointing and torch.is_grad_enabled():
            again: Tensor = checkpoint(block, x, emb, frames, use_reentrant=False)
            return again
        hidden: Tensor = block(x, emb, frames)
        return hidden

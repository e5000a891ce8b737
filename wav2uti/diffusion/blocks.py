"""The layers of the time-aware U-Net.

Inside the network a clip is a stack of pictures, (B*T, C, H, W) in channels-last memory: spatial convolutions see
single frames, and time is a layer of its own ((1,3,3) and (3,1,1) instead of 3x3x3). Factorised this way they run two
to three times as fast as full 3D convolutions on CPUs, and single frames share every spatial weight with clips.

A clip (B, C, T, H, W) in channels_last_3d memory is that stack already: `to_pictures` and `to_clip` copy nothing.

On CPUs, what lies between the convolutions is bound by memory: it runs in pieces that stay in the cache, in float32
whatever the autocast, and computes again in the backward pass what is cheaper to compute than to keep. On GPUs, and
where torch.compile or torch.export see the network, the plain layers run instead.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional


def to_pictures(clip: Tensor) -> Tensor:
    """(B, C, T, H, W) -> (B*T, C, H, W); a view of a clip in channels_last_3d memory, or of one channel."""
    return clip.transpose(1, 2).flatten(0, 1)


def to_clip(pictures: Tensor, frames: int) -> Tensor:
    """(B*T, C, H, W) -> (B, C, T, H, W); always a view. `frames` is T."""
    return pictures.unflatten(0, (-1, frames)).transpose(1, 2)


def _by_pieces(x: Tensor) -> bool:
    """Whether the layers below do their own work on x, instead of PyTorch's plain ones."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def fourier_features(c_noise: Tensor, width: int) -> Tensor:
    """Sines and cosines of c_noise = ln(sigma)/4, in fp32 whatever the autocast: (B,) -> (B, width)."""
    frequencies = torch.logspace(0, 2, width // 2, base=10.0, device=c_noise.device) * (math.pi / 4)
    angles = c_noise.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


# Channels of `place_features`: sines and cosines of both coordinates at three wavelengths.
PLACE_CHANNELS = 12


def place_features(height: int, width: int, device: torch.device) -> Tensor:
    """Where a pixel lies in the picture: (1, 12, H, W), float32, wavelengths of 4, 2 and 1 picture sides.

    A fan does not move: the condition says where in it the tongue is, and scale and shift alone, which act on all
    pixels alike, can only say so relative to features of place.
    """
    y = (torch.arange(height, device=device) + 0.5) / height
    x = (torch.arange(width, device=device) + 0.5) / width
    waves = torch.tensor([0.25, 0.5, 1.0], device=device) * 2 * math.pi
    rows = (waves[:, None] * y)[:, :, None].expand(-1, -1, width)
    columns = (waves[:, None] * x)[:, None, :].expand(-1, height, -1)
    return torch.cat([rows.sin(), rows.cos(), columns.sin(), columns.cos()])[None]


class GroupNorm(nn.GroupNorm):
    """Group normalisation with groups of at least 8 channels, and what follows it everywhere: scale, shift, SiLU."""

    def __init__(self, channels: int) -> None:
        super().__init__(max(1, math.gcd(32, channels // 8)), channels)

    def silu(self, x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
        """silu(scale * norm(x) + shift): `x` (N, C, H, W), scale and shift (N, C) or both None -> like `x`."""
        if not _by_pieces(x):
            hidden = self(x)
            if scale is not None and shift is not None:
                hidden = torch.addcmul(shift[:, :, None, None], hidden, scale[:, :, None, None])
            return functional.silu(hidden)
        x = x.contiguous(memory_format=torch.channels_last)
        out: Tensor = _NormSilu.apply(x, self.weight, self.bias, scale, shift, self.num_groups, self.eps)
        return out


# Elements of a piece: a few float32 buffers of it stay in the last-level cache.
PIECE = 2**19


class _NormSilu(torch.autograd.Function):
    """`GroupNorm.silu` that keeps nothing but its inputs and the groups' statistics for the backward pass.

    PyTorch's own layers keep two more tensors of the size of x, and their backward pass in bf16 takes about five
    times as long as this one.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        scale: Tensor | None,
        shift: Tensor | None,
        groups: int,
        eps: float,
    ) -> Tensor:
        n, channels, height, width = x.shape
        exact = torch.promote_types(x.dtype, torch.float32)
        gamma, beta = weight.to(exact), bias.to(exact)
        by = None if scale is None else scale.to(exact)[:, :, None, None]
        to = None if shift is None else shift.to(exact)[:, :, None, None]
        out = torch.empty_like(x)
        means, rstds = x.new_empty(2, n, groups, dtype=exact)
        for piece in _pieces(x):
            part = x[piece].to(exact)
            normed, means[piece], rstds[piece] = torch.native_group_norm(
                part, gamma, beta, len(part), channels, height * width, groups, eps
            )
            if by is not None and to is not None:
                torch.addcmul(to[piece], normed, by[piece], out=normed)
            out[piece] = functional.silu(normed, inplace=True)
        ctx.save_for_backward(x, weight, bias, scale, shift, means, rstds)
        return out

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight, bias, scale, shift, means, rstds = ctx.saved_tensors
        n, channels, height, width = x.shape
        groups = means.shape[1]
        size = channels // groups
        # The layer as one affine map of each picture's channels, z = slope * x + offset, and y = silu(z).
        mean, rstd = (s.repeat_interleave(size, dim=1) for s in (means, rstds))
        norm_slope = rstd * weight
        norm_offset = bias - mean * norm_slope
        slope, offset = norm_slope, norm_offset
        if scale is not None:
            slope, offset = norm_slope * scale, norm_offset * scale + shift

        grad = grad.contiguous(memory_format=torch.channels_last)
        grad_x = torch.empty_like(x)
        grad_sum, product_sum = torch.empty(2, n, channels, dtype=means.dtype)
        for piece in _pieces(x):
            part = x[piece].to(means.dtype)
            wide = (slice(None), slice(None), None, None)
            z = torch.addcmul(offset[piece][wide], part, slope[piece][wide])
            torch.ops.aten.silu_backward.grad_input(grad[piece].to(means.dtype), z, grad_input=z)
            buffer = z * part
            grad_sum[piece], product_sum[piece] = z.sum((2, 3)), buffer.sum((2, 3))
            # Through the groups' mean and deviation: grad_x = slope * z + along * x + flat.
            totals = [
                (sums[piece] * slope[piece]).unflatten(1, (groups, size)).sum(2) / (size * height * width)
                for sums in (product_sum, grad_sum)
            ]
            along = (totals[1] * means[piece] - totals[0]) * rstds[piece] ** 2
            flat = -along * means[piece] - totals[1]
            along, flat = (s.repeat_interleave(size, dim=1)[wide] for s in (along, flat))
            torch.addcmul(flat, part, along, out=buffer)
            grad_x[piece] = buffer.addcmul_(z, slope[piece][wide])

        normed_sum = rstd * (product_sum - mean * grad_sum)
        by = 1 if scale is None else scale
        return (
            grad_x,
            (normed_sum * by).sum(0),
            (grad_sum * by).sum(0),
            None if scale is None else normed_sum * weight + grad_sum * bias,
            None if scale is None else grad_sum,
            None,
            None,
        )


def _pieces(x: Tensor) -> list[slice]:
    """Slices of whole pictures that hold about `PIECE` elements each."""
    step = max(1, PIECE // max(1, x[0].numel()))
    return [slice(start, start + step) for start in range(0, len(x), step)]


def join(hidden: Tensor, skip: Tensor, scale: Tensor) -> Tensor:
    """Channels of `hidden` (N, C, H, W) and of scale * `skip` (N, S, H, W) -> (N, C + S, H, W); scale a number."""
    if not _by_pieces(hidden) or hidden.dtype != skip.dtype:
        return torch.cat([hidden, scale.to(skip.dtype) * skip], dim=1)
    out: Tensor = _Join.apply(hidden, skip, scale)
    return out


class _Join(torch.autograd.Function):
    """`join` that writes the scaled skip where it belongs, and hands both gradients on in channels-last memory."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, skip: Tensor, scale: Tensor) -> Tensor:
        n, channels, height, width = hidden.shape
        out = hidden.new_empty(n, height, width, channels + skip.shape[1]).permute(0, 3, 1, 2)
        out[:, :channels] = hidden
        torch.mul(skip, scale.to(skip.dtype), out=out[:, channels:])
        ctx.save_for_backward(skip, scale)
        return out

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        skip, scale = ctx.saved_tensors
        channels = grad.shape[1] - skip.shape[1]
        of_hidden, of_skip = (
            part.contiguous(memory_format=torch.channels_last) for part in (grad[:, :channels], grad[:, channels:])
        )
        exact = torch.promote_types(skip.dtype, torch.float32)
        of_scale = torch.stack(
            [(of_skip[piece].to(exact) * skip[piece].to(exact)).sum() for piece in _pieces(skip)]
        ).sum()
        return of_hidden, of_skip.mul_(scale.to(skip.dtype)), of_scale


class SpatialConv(nn.Conv2d):
    """3x3 convolution of single frames."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__(channels, out, 3, padding=1)


class Upsample(nn.Module):
    """Nearest-neighbour doubling, then a 3x3 convolution; computed as one transposed convolution.

    Each of the doubled pixels sees only 2x2 different ones: 16 weights, sums of the 9, for every 4 pixels instead
    of 36.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = SpatialConv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, 2H, 2W)."""
        kernel = self.conv.weight
        for axis in (2, 3):
            first, second, third = kernel.unbind(axis)
            kernel = torch.stack([third, second + third, first + second, first], axis)
        return functional.conv_transpose2d(x, kernel.transpose(0, 1), self.conv.bias, stride=2, padding=1)


class TemporalConv(nn.Module):
    """Residual convolution over time, kernel 3, of every pixel's own history.

    Starts as the identity (zero weights), so that a network trained on single frames keeps its pictures.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = GroupNorm(channels)
        self.weight = nn.Parameter(torch.zeros(3, channels, channels))

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """(B*T, C, H, W) -> the same; `frames` is T."""
        if frames == 1:
            return x
        # Channels-last, a clip is a picture too, of T rows of H*W pixels: no copy, and the library's fastest path.
        out = functional.conv2d(
            _time_by_place(self.norm.silu(x), frames), self.weight.permute(2, 1, 0)[..., None], padding=(1, 0)
        )
        out += _time_by_place(x, frames)
        return out.permute(0, 2, 3, 1).reshape(-1, *x.shape[2:], x.shape[1]).permute(0, 3, 1, 2)


def _time_by_place(x: Tensor, frames: int) -> Tensor:
    """(B*T, C, H, W) -> (B, C, T, H*W), a view of channels-last memory."""
    n, channels, height, width = x.shape
    return x.permute(0, 2, 3, 1).reshape(n // frames, frames, height * width, channels).permute(0, 3, 1, 2)


class Block(nn.Module):
    """Residual block: two spatial convolutions, a step through time between them, scale and shift by the condition.

    Args:
        channels: channels in.
        out: channels out.
        cond: width of the per-frame embedding (noise level and condition).
    """

    def __init__(self, channels: int, out: int, cond: int) -> None:
        super().__init__()
        self.norm1 = GroupNorm(channels)
        self.conv1 = SpatialConv(channels, out)
        self.scale_shift = nn.Linear(cond, 2 * out)
        self.norm2 = GroupNorm(out)
        self.conv2 = SpatialConv(out, out)
        self.temporal = TemporalConv(out)
        self.skip = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.scale_shift.bias)

    def forward(self, x: Tensor, emb: Tensor, frames: int) -> Tensor:
        """`x` (B*T, C, H, W), `emb` (B*T, cond) -> (B*T, out, H, W)."""
        hidden = self.conv1(self.norm1.silu(x))
        scale, shift = self.scale_shift(emb).chunk(2, dim=1)
        hidden = self.conv2(self.norm2.silu(hidden, scale + 1, shift))
        hidden += self.skip(x)
        out: Tensor = self.temporal(hidden, frames)
        return out


class Attention(nn.Module):
    """Multi-head self-attention over rows, with optional keys and values from a condition."""

    def __init__(self, channels: int, heads: int, cond: int | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels if cond is None else cond, 2 * channels)
        self.out = nn.Linear(channels, channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, rows: Tensor, cond: Tensor | None = None) -> Tensor:
        """`rows` (N, L, C), `cond` (N, M, cond) -> (N, L, C)."""
        normed = self.norm(rows)
        q = self.query(normed).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = (
            x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for x in self.key_value(normed if cond is None else cond).chunk(2, dim=-1)
        )
        if rows.device.type == "cpu":  # the fused kernel of CPUs takes two to six times as long in bf16
            with torch.autocast("cpu", enabled=False):
                attended = functional.scaled_dot_product_attention(q.float(), k.float(), v.float())
        else:
            attended = functional.scaled_dot_product_attention(q, k, v)
        return rows + self.out(attended.transpose(1, 2).flatten(2).to(q.dtype))


class SpaceTimeAttention(nn.Module):
    """Attention of the lowest level: within a frame, along time at every place, and over the condition's frames.

    Factorised: all pixels of all frames at once would be 11,760 tokens at 112x112.
    """

    def __init__(self, channels: int, cond: int, head_width: int = 32) -> None:
        super().__init__()
        heads = max(1, channels // head_width)
        self.space = Attention(channels, heads)
        self.time = Attention(channels, heads)
        self.cross = Attention(channels, heads, cond)

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        """`x` (B*T, C, H, W), `cond` (B, T, cond) -> like `x`."""
        n, channels, height, width = x.shape
        batch, frames, _ = cond.shape
        rows = self.space(x.permute(0, 2, 3, 1).reshape(n, height * width, channels))
        # The whole clip's condition is open to every pixel of every frame.
        rows = self.cross(rows.reshape(batch, frames * height * width, channels), cond)
        if frames > 1:
            rows = rows.reshape(batch, frames, height * width, channels).transpose(1, 2)
            rows = self.time(rows.reshape(batch * height * width, frames, channels))
            rows = rows.reshape(batch, height * width, frames, channels).transpose(1, 2)
        return rows.reshape(n, height, width, channels).permute(0, 3, 1, 2)

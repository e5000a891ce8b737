"""Fusion of sound and text into one condition vector a frame (the paper's f_c, Fig. 1b).

Acoustic frames are the queries, text tokens the keys and values: every frame of the picture asks the text where in
the utterance it is. Without text (the paper's "A") it is the same module with the attention left out.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from wav2uti.errors import InputError
from wav2uti.options import check_counts, check_shares


class Fusion(nn.Module):
    """Cross-attention of acoustic frames over text tokens, then a little context in time.

    The context layers are convolutions over a few neighbouring frames: features without context of their own
    (log-mel) need it for coarticulation, and they cost next to nothing beside the U-Net.

    Args:
        acoustic_width: width of the acoustic embeddings, D_a; a multiple of `acoustic_layers`.
        text_width: width of the text embeddings, D_t; None for a model of sound alone ("A").
        acoustic_layers: hidden layers of the acoustic encoder that stand side by side in an embedding. More than one
            are summed first with learnt weights (see `LayerMix`).
        width: width W of the condition.
        heads: attention heads.
        context: convolutional layers over time after the attention.
        kernel: frames that one context layer sees.
        dropout: share of the condition's channels zeroed in training.
    """

    def __init__(
        self,
        acoustic_width: int,
        text_width: int | None = None,
        acoustic_layers: int = 1,
        width: int = 256,
        heads: int = 8,
        context: int = 2,
        kernel: int = 7,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_counts(1, **{"fusion.width": width, "fusion.heads": heads, "fusion.kernel": kernel})
        check_counts(0, **{"fusion.context": context})
        check_shares(**{"fusion.dropout": dropout})
        if kernel % 2 == 0:
            raise InputError(f"fusion.kernel must be odd, as many frames before as after, not {kernel}.")
        self.width = width
        self.mix = LayerMix(acoustic_width, acoustic_layers) if acoustic_layers > 1 else None
        mixed = acoustic_width // acoustic_layers
        self.acoustic = nn.Sequential(nn.Linear(mixed, width), nn.SiLU(), nn.Linear(width, width))
        self.attention = TextAttention(text_width, width, heads) if text_width is not None else None
        self.context = nn.Sequential(*(ContextLayer(width, kernel) for _ in range(context)))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        # What stands in for the condition where it is dropped (classifier-free guidance).
        self.null = nn.Parameter(torch.zeros(width))

    def forward(
        self,
        acoustic: Tensor,
        text: Tensor | None,
        text_mask: Tensor | None,
        progress: Tensor,
        text_places: Tensor | None = None,
    ) -> Tensor:
        """Fuse a batch.

        Args:
            acoustic: (B, T, D_a), at the frame times.
            text: (B, L, D_t), or None for clips without text: a model with text then attends to no token.
            text_mask: (B, L), True where a token is real, or None.
            progress: (B, T), where in its recording each frame stands: 0 to 1, beyond it outside.
            text_places: (B, L), where in its recording each token stands, on the same scale; None spreads the real
                tokens evenly over the recording.

        Returns:
            (B, T, W).
        """
        hidden = self.acoustic(acoustic if self.mix is None else self.mix(acoustic))
        if self.attention is not None:
            if text is None or text_mask is None:
                text, text_places = hidden.new_zeros(len(hidden), 0, self.attention.token.in_features), None
                text_mask = torch.zeros(len(hidden), 0, dtype=torch.bool, device=hidden.device)
            hidden = hidden + self.attention(hidden, text, text_mask, progress, text_places)
        return self.dropout(self.norm(self.context(hidden)))

    def drop(self, fused: Tensor, dropped: Tensor) -> Tensor:
        """Replace the condition of some clips by the learnt null vector; `dropped` is (B,) of bool."""
        return torch.where(dropped[:, None, None], self.null.to(fused.dtype), fused)

    def null_like(self, fused: Tensor) -> Tensor:
        """The null condition in the shape of `fused`."""
        return self.null.to(fused.dtype).expand_as(fused)


class LayerMix(nn.Module):
    """A learnt weighted sum of an encoder's layers, as in SUPERB (Yang et al. 2021, Sec. 3.1).

    The weights are the softmax of a learnt vector and begin equal. Each layer is normalised first, without a learnt
    scale: the layers of a transformer differ in size, and a weight shall say what a layer is worth.

    Args:
        width: width of the layers side by side.
        layers: how many there are.
    """

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        if width % layers:
            raise InputError(
                f"The acoustic embeddings' width {width} is no multiple of their {layers} layers: embed them again."
            )
        self.layers = layers
        self.scores = nn.Parameter(torch.zeros(layers))

    def forward(self, acoustic: Tensor) -> Tensor:
        """(B, T, layers * D) -> (B, T, D)."""
        stacked = acoustic.unflatten(-1, (self.layers, -1))
        normalised = functional.layer_norm(stacked, stacked.shape[-1:])
        return torch.einsum("btld,l->btd", normalised, self.scores.softmax(dim=0).to(normalised.dtype))


class NullAcoustic(nn.Module):
    """A learnt vector in place of the acoustic embeddings of clips whose sound is dropped."""

    def __init__(self, width: int) -> None:
        super().__init__()
        # Not zero: a `LayerMix` would divide its first gradient by the norm's epsilon.
        self.vector = nn.Parameter(torch.randn(width))

    def forward(self, acoustic: Tensor, dropped: Tensor) -> Tensor:
        """`acoustic` (B, T, D_a) with the vector in each frame of the clips where `dropped` (B,) is true."""
        return torch.where(dropped[:, None, None], self.vector.to(acoustic.dtype), acoustic)


class TextAttention(nn.Module):
    """Attention of frames over tokens, padding masked; both sides carry where in the utterance they stand.

    Each head also looks near a frame's own place first: its logits fall with the square of the distance between frame
    and token, in tokens, so that the width means the same in a word and in a long reading. The widths are learnt.

    Frames are attended for in blocks: ten minutes of reading, 36,000 frames and some thousand tokens, would otherwise
    take gigabytes for the logits alone.
    """

    NARROWEST, WIDEST = 0.5, 8.0  # tokens: standard deviations of the heads' windows to begin with
    NOTHING = -2.0  # logit of no token, so that a token at hand comes before it
    BLOCK = 2**20  # logits at a time, of all clips and heads: 4 MiB as float32

    def __init__(self, text_width: int, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise InputError(f"fusion.width ({width}) is no multiple of fusion.heads ({heads}): change one of them.")
        self.heads = heads
        self.query_norm = nn.LayerNorm(width)
        self.token = nn.Linear(text_width, width)
        self.position = nn.Linear(width, width)
        self.token_norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        # An extra token that is always there: a recording without text attends to it and to nothing else.
        self.nothing = nn.Parameter(torch.zeros(1, 1, width))
        self.sharpness = nn.Parameter(-torch.linspace(math.log(self.NARROWEST), math.log(self.WIDEST), heads))

    def forward(
        self, frames: Tensor, text: Tensor, mask: Tensor, progress: Tensor, places: Tensor | None = None
    ) -> Tensor:
        """`frames` (B, T, W), `text` (B, L, D_t), `mask`, `places` (B, L), `progress` (B, T) -> (B, T, W)."""
        batch, length = mask.shape
        width = frames.shape[-1]
        if places is None:
            # A token's place is its middle among the real tokens, on the same scale [0, 1] as the frames' progress.
            count = mask.sum(dim=1, keepdim=True).clamp(min=1)
            places = (torch.arange(length, device=mask.device) + 0.5) / count
        tokens = self.token(text) + self.position(sinusoids(places, width).to(text.dtype))
        tokens = torch.cat([self.nothing.expand(batch, 1, width), self.token_norm(tokens)], dim=1)
        queries = self.query_norm(frames) + self.position(sinusoids(progress, width).to(frames.dtype))
        q, k, v = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, x in ((self.query, queries), (self.key, tokens), (self.value, tokens))
        )
        rows = max(1, self.BLOCK // (batch * self.heads * (length + 1)))
        attended = [
            functional.scaled_dot_product_attention(some, k, v, attn_mask=self.near(place, places, mask).to(some.dtype))
            for some, place in zip(q.split(rows, dim=2), progress.split(rows, dim=1), strict=True)
        ]
        return self.out(torch.cat(attended, dim=2).transpose(1, 2).flatten(2))

    def near(self, progress: Tensor, places: Tensor, mask: Tensor) -> Tensor:
        """What is added to the logits, (B, heads, T, 1 + L): the first one of no token, then those of the tokens."""
        count = mask.sum(dim=1).clamp(min=1)
        distance = (progress[:, :, None] - places[:, None, :]) * count[:, None, None]
        near = -0.5 * (distance[:, None] * self.sharpness.exp()[:, None, None]).square()
        near = near.masked_fill(~mask[:, None, None, :], -math.inf)
        return functional.pad(near, (1, 0), value=self.NOTHING)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # No choice of the widths makes the old module of the new one: its "no token" had no logit of its own, NOTHING.
        if f"{prefix}query.weight" in state_dict and f"{prefix}sharpness" not in state_dict:
            raise InputError(
                "The checkpoint's model with text is of an earlier wav2uti, whose attention knew no distance "
                f"({prefix}sharpness is missing): train it again, or use the earlier version."
            )
        super()._load_from_state_dict(state_dict, prefix, *args)


class ContextLayer(nn.Module):
    """Residual block over neighbouring frames: depthwise convolution in time, then a gated mix of channels."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.time = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.mix = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, W) -> (B, T, W)."""
        hidden = self.time(self.norm(x).transpose(1, 2)).transpose(1, 2)
        return x + self.out(functional.glu(self.mix(hidden), dim=-1))


def sinusoids(places: Tensor, width: int, finest: float = 0.01) -> Tensor:
    """Sinusoidal encoding of places in [0, 1]: (...,) -> (..., width), float32, wavelengths from 4 to `finest`."""
    scale = torch.linspace(math.log(2 * math.pi / 4), math.log(2 * math.pi / finest), width // 2, device=places.device)
    angles = places.float()[..., None] * scale.exp()
    return torch.cat([angles.sin(), angles.cos()], dim=-1)

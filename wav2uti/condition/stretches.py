"""The condition of a recording of any length, fused a stretch at a time: memory does not grow with the recording."""

from collections.abc import Iterator

from torch import Tensor

from wav2uti.condition.fusion import ContextLayer, Fusion

STRETCH = 1024  # frames that are fused together


def reach(fusion: Fusion) -> int:
    """How many frames to each side a frame's condition depends on: those that the context layers see."""
    return sum(layer.time.kernel_size[0] // 2 for layer in fusion.context if isinstance(layer, ContextLayer))


def fused_stretches(
    fusion: Fusion,
    first: int,
    last: int,
    acoustic: Tensor,
    text: Tensor | None,
    text_mask: Tensor | None,
    progress: Tensor,
    text_places: Tensor | None = None,
) -> Iterator[Tensor]:
    """The condition of the frames [first, last) of a recording, in parts (n, W); see `Fusion.forward` for the others.

    Each stretch is fused with as many of its neighbours' frames as it depends on, so that the parts are what the whole
    recording at once would have given, but for rounding.
    """
    beside = reach(fusion)
    for start in range(first, last, STRETCH):
        stop = min(start + STRETCH, last)
        begin, end = max(start - beside, 0), stop + beside
        fused = fusion(acoustic[:, begin:end], text, text_mask, progress[:, begin:end], text_places)
        yield fused[0, start - begin : stop - begin]

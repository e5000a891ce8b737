"""`Batch`: what every task gets, whatever made it."""

from typing import NotRequired, TypedDict

import torch
from torch import Tensor

from wav2uti.diffusion.seeds import derived_generator


class Batch(TypedDict):
    """Clips in one tensor a field.

    Attributes:
        ids: names of the recordings, B of them.
        frames: (B, 1, T, H, W) float32 in [-1, 1].
        acoustic: (B, T + 2 C, D_a), at the frame times. The C frames before and after the clip are context: how the
            tongue moves depends on the sounds around, and a clip is shorter than a syllable.
        progress: (B, T + 2 C), where in the recording each frame stands: 0 to 1, beyond it outside.
        text: (B, L, D_t), padded with zeros to the longest text of the batch; L may be 0.
        text_mask: (B, L) bool, True where a token is real.
        text_places: (B, L), where in the recording each token stands, on the scale of `progress`; 0 in the padding.
        reference: (B, 1, H, W) in [-1, 1].
        speakers: who speaks, B names; for the scores of a test.
        contour: (B, T, K, 2), the exact tongue contour in pixels; for the scores, where all recordings have one.
        mm_per_pixel: (B,), NaN where the scale of a recording is not known; for the scores.
    """

    ids: list[str]
    frames: Tensor
    acoustic: Tensor
    progress: Tensor
    text: NotRequired[Tensor]
    text_mask: NotRequired[Tensor]
    text_places: NotRequired[Tensor]
    reference: NotRequired[Tensor]
    speakers: NotRequired[list[str]]
    contour: NotRequired[Tensor]
    mm_per_pixel: NotRequired[Tensor]


def without_text(batch: Batch, clips: Tensor | None = None) -> Batch:
    """The same with no token to attend to in some clips, (B,) bool, or in all of them."""
    if "text_mask" not in batch:
        return batch
    mask = batch["text_mask"]
    return {**batch, "text_mask": torch.zeros_like(mask) if clips is None else mask & ~clips[:, None]}


def clip_generators(batch: Batch, seed: int, *use: str) -> list[torch.Generator]:
    """Random numbers of each clip: its picture depends neither on its batch nor on the number of processes.

    use: what they are for, where that is not the sampler.
    """
    places = batch["progress"][:, 0].tolist()
    return [derived_generator(seed, *use, id, f"{place:.6f}") for id, place in zip(batch["ids"], places, strict=True)]

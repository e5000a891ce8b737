"""`Clip`, what the data set gives, and `collate`, which makes a `Batch` of several."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from wav2uti.data.transport import Sent, arrived
from wav2uti.tasks.batch import Batch


class Known(NamedTuple):
    """What is known of a clip besides what a model is told.

    Attributes:
        speaker: who speaks.
        contour: (T, K, 2), the exact tongue contour in pixels, or None where the corpus has none.
        mm_per_pixel: scale of the picture, or None where it is not known.
    """

    speaker: str
    contour: Tensor | None = None
    mm_per_pixel: float | None = None


class Clip(NamedTuple):
    """One clip of one recording.

    Attributes:
        id: name of the recording.
        frames: (1, T, H, W): uint8 as they are stored, or float32 in [-1, 1] where they were resized.
        acoustic: (T + 2 C, D_a), at the frame times, with C frames of context on both sides.
        progress: (T + 2 C,), where in the recording the middle of each frame stands: 0 to 1, beyond it outside.
        text: float32 (L, D_t), the tokens of the whole utterance, or None where the data use no text.
        text_places: (L,), where in the recording each token stands, on the same scale; always beside `text`.
        reference: (1, H, W) in [-1, 1], a frame of the speaker, or None where the data use none.
        known: what scores ask about the clip beyond its frames, or None outside of a test.
    """

    id: str
    frames: Tensor
    acoustic: Tensor
    progress: Tensor
    text: Tensor | None = None
    text_places: Tensor | None = None
    reference: Tensor | None = None
    known: Known | None = None


def collate(clips: Sequence[Clip]) -> Batch:
    """Stack clips, which all have or all lack text and reference; pad the texts and mask the padding.

    Frames become float32 in [-1, 1] here, those of a worker where they arrive.
    """
    batch: dict[str, Any] = {
        "ids": [clip.id for clip in clips],
        "frames": torch.stack([clip.frames for clip in clips]),
        "acoustic": torch.stack([clip.acoustic for clip in clips]),
        "progress": torch.stack([clip.progress for clip in clips]),
    }
    texts = [clip.text for clip in clips if clip.text is not None]
    if texts:
        lengths = torch.tensor([len(text) for text in texts])
        batch["text"] = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True)
        batch["text_mask"] = torch.arange(int(lengths.max())) < lengths[:, None]
        places = [clip.text_places for clip in clips if clip.text_places is not None]
        batch["text_places"] = torch.nn.utils.rnn.pad_sequence(places, batch_first=True)
    references = [clip.reference for clip in clips if clip.reference is not None]
    if references:
        batch["reference"] = torch.stack(references)
    known = [clip.known for clip in clips if clip.known is not None]
    if known:
        batch["speakers"] = [k.speaker for k in known]
        batch["mm_per_pixel"] = torch.tensor([math.nan if k.mm_per_pixel is None else k.mm_per_pixel for k in known])
        contours = [k.contour for k in known if k.contour is not None]
        if len(contours) == len(known):
            batch["contour"] = torch.stack(contours)
    return cast(Batch, arrived(batch) if get_worker_info() is None else Sent(batch))

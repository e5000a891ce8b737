"""What a diffusion model is told of each window of a long recording, made as the windows are asked for."""

from collections.abc import Iterator
from itertools import repeat
from typing import TYPE_CHECKING

from torch import Tensor

from wav2uti.condition.condition import Condition
from wav2uti.condition.stretches import fused_stretches
from wav2uti.diffusion.guidance import Told
from wav2uti.diffusion.windows import Reel, Windows
from wav2uti.errors import InputError
from wav2uti.tasks.batch import Batch, without_text

if TYPE_CHECKING:
    from wav2uti.tasks.diffusion import DiffusionTask


def told_windows(
    task: "DiffusionTask", batch: Batch, windows: Windows, low: Iterator[Tensor] | None, seed: int
) -> Iterator[Told]:
    """All conditions of each window of a whole recording, in order.

    low: for a later stage of a cascade the frames of the stage before, see `DiffusionTask.stream`.

    Raises:
        InputError: where a later stage is given none.
    """
    told: Iterator[Told] = map(
        Told,
        window_conditions(task, batch, windows),
        window_conditions(task, batch, windows, text=False) if task.guides_text else repeat(None),
        repeat(None) if task.weak is None else window_conditions(task.weak, batch, windows),
    )
    if task.earlier is None:
        return told
    if low is None:
        side = task.earlier.low.size
        raise InputError(
            f"This model is a later stage of a cascade and draws on the frames of one of {side}x{side}: "
            "give the checkpoints of all stages, first to last."
        )
    parts = (part.to(task.device) for part in low)
    seen = task.earlier.of_windows(parts, windows, task.augmentation, seed)
    return (one.seeing(one.whole._replace(**clip._asdict())) for one, clip in zip(told, seen, strict=True))


def window_conditions(task: "DiffusionTask", batch: Batch, windows: Windows, text: bool = True) -> Iterator[Condition]:
    """The condition of each window of a whole recording, in order.

    It is fused across the windows, so that none lacks its neighbours' sound, and forgotten behind them.
    """
    context = task.facts["acoustic_context"]
    read = batch if text else without_text(batch)
    sound, words = (read["acoustic"], read.get("text"), read.get("text_mask")), read.get("text_places")
    fused = Reel(fused_stretches(task.fusion, context, context + windows.frames, *sound, read["progress"], words))
    drafts = None
    if task.draft is not None:
        drafts = Reel(task.draft.eval().draw_long(read, context, windows))
    for window in range(windows.count):
        places = windows.places(window)
        draft = None if drafts is None else drafts.frames(places)[None, None].float().clamp(-1, 1)
        yield Condition(fused.frames(places)[None], batch.get("reference"), draft)

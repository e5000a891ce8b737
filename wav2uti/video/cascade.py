"""A cascade of trained stages as one model: each draws on the frames of the one before, as they come."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from wav2uti.clock import FPS
from wav2uti.diffusion.cascade import LowResolution, shrink
from wav2uti.diffusion.seeds import derived_seed
from wav2uti.errors import InputError
from wav2uti.tasks.base import Progress, Task, check_encoders
from wav2uti.tasks.diffusion import DiffusionTask


class Cascade(Task):
    """Stages that draw one after the other; to who draws with it, a task like any other. It is not trained as a whole.

    Its facts are those of the last stage, with the text and the reference frame that any of them takes.

    Args:
        stages: first to last. The first may be any task, such as a regression; each later one is a `DiffusionTask`
            whose `low` is what the one before draws. The last one draws 60 frames a second.
        names: what sentences call them, such as the files they come from.

    Raises:
        InputError: where they do not fit together.
    """

    def __init__(self, stages: Sequence[Task], names: Sequence[str] | None = None) -> None:
        check_stages(stages, names or [f"stage {k + 1}" for k in range(len(stages))])
        last = stages[-1].facts
        texts = [stage.facts for stage in stages if stage.facts["text"] is not None]
        facts = last | {
            "text": texts[-1]["text"] if texts else None,
            "text_times": any(facts.get("text_times") for facts in texts),
            "reference": any(stage.facts["reference"] for stage in stages),
            "simulated": any(stage.facts["simulated"] for stage in stages),
        }
        super().__init__(facts, torch.optim.Adam, None)
        self.members = nn.ModuleList(stages)
        self.eval()

    @property
    def stages(self) -> list[Task]:
        """First to last."""
        return [cast(Task, stage) for stage in self.members]

    def describe(self) -> dict[str, Any]:
        """Of every stage, first to last."""
        described = [stage.describe() for stage in self.stages]
        for later in described[1:]:
            later["low"] = later["low"] | {"of": "the stage before"}
        return {"task": type(self).__name__, "stages": described}

    @torch.no_grad()
    def stream(
        self,
        acoustic: Tensor,
        text: Tensor | None,
        reference: Tensor | None,
        seed: int = 0,
        progress: Progress | None = None,
        text_places: Tensor | None = None,
    ) -> Iterator[Tensor]:
        """See `Task.stream`; all stages draw side by side, none further ahead than the next one needs.

        `reference` is of the last stage's size. `progress` counts pixels, of all stages together.
        """
        size = self.facts["size"]
        if reference is not None and tuple(reference.shape) != (size, size):
            raise InputError(f"The reference frame is {tuple(reference.shape)}, the model draws {size}x{size}.")
        meter = Meter(progress, [len(acoustic) * s.facts["size"] ** 2 // frame_step(s) for s in self.stages])
        low: Iterator[Tensor] | None = None
        for k, stage in enumerate(self.stages):
            facts = stage.facts
            reads = facts["text"] is not None
            given: dict[str, Any] = {
                "acoustic": acoustic[:: frame_step(stage)],
                "text": text if reads else None,
                "reference": shrink(reference[None], facts["size"])[0]
                if reference is not None and facts["reference"]
                else None,
                # Noise of its own: two stages of one size would else begin from the same.
                "seed": seed if k == 0 else derived_seed(seed, f"stage {k}"),
                "progress": None if progress is None else meter.of(k),
                "text_places": text_places if reads and facts.get("text_times") else None,
            }
            low = stage.stream(**given) if low is None else cast(DiffusionTask, stage).stream(**given, low=low)
        assert low is not None
        yield from low


class Meter:
    """Progress of all stages in one: each reports its own, `progress` hears their sum in parts of its weight."""

    def __init__(self, progress: Progress | None, weights: Sequence[int]) -> None:
        self.progress = progress
        self.weights = weights
        self.done = [0] * len(weights)

    def of(self, stage: int) -> Progress:
        """What a stage calls."""

        def report(done: int, total: int) -> None:
            self.done[stage] = self.weights[stage] * done // total
            if self.progress is not None:
                self.progress(sum(self.done), sum(self.weights))

        return report


def from_checkpoints(paths: Sequence[str | Path]) -> Task:
    """The model of a checkpoint, or the cascade of several, first to last.

    Raises:
        InputError: where a file is missing, broken or no checkpoint of this project, or they do not fit together.
    """
    if not paths:
        raise InputError("No checkpoint was given.")
    stages = [Task.from_checkpoint(path) for path in paths]
    cascade = Cascade(stages, [str(path) for path in paths])
    return cascade if len(stages) > 1 else stages[0]


def diffusions(task: Task) -> list[DiffusionTask]:
    """The diffusion models in a task, whose sampler and guidance can be set: itself, or stages of a cascade."""
    return [t for t in (task.stages if isinstance(task, Cascade) else [task]) if isinstance(t, DiffusionTask)]


def frame_step(task: Task) -> int:
    """It draws every so many of the 60 frames a second; checkpoints of earlier versions do not say: all of them."""
    step: int = task.facts.get("frame_step", 1)
    return step


def check_stages(stages: Sequence[Task], names: Sequence[str]) -> None:
    """Raise an InputError where stages do not make a cascade that draws 60 frames a second.

    names: what the sentence calls each.
    """
    before: LowResolution | None = None
    for k, (stage, name) in enumerate(zip(stages, names, strict=True)):
        earlier = stage.earlier if isinstance(stage, DiffusionTask) else None
        wanted = None if earlier is None else earlier.low
        if wanted != before:
            place = f"is to follow {names[k - 1]}, which draws {_words(before)}" if before else "is to be the first"
            draws_on = f"draws on frames of {_words(wanted)}" if wanted else "draws on no earlier stage"
            raise InputError(
                f"{name} {place}, but {draws_on}: give the checkpoints of a cascade first to last, none left out."
            )
        before = LowResolution(stage.facts["size"], frame_step(stage))
    for (one, name), (other, other_name) in combinations(zip(stages, names, strict=True), 2):
        check_hearing(one, other, name, other_name)
    if before is not None and before.frame_step > 1:
        raise InputError(
            f"{names[-1]} draws {_words(before)}: a later stage that makes {FPS} of them is missing after it."
        )


def check_hearing(one: Task, other: Task, name: str, other_name: str) -> None:
    """Raise an InputError where two stages hear other embeddings, or both read and read other ones."""
    facts, others = one.facts, other.facts
    if facts["text"] is None or others["text"] is None:
        facts, others = facts | {"text": None}, others | {"text": None}
    try:
        check_encoders(name, facts, others)
    except InputError as error:
        raise InputError(
            f"{name} and {other_name} were trained with different encoders and cannot be stages of one cascade: "
            "train them on the same embeddings."
        ) from error


def _words(low: LowResolution) -> str:
    """The frames of a stage in a sentence."""
    return f"{low.size}x{low.size} at {FPS / low.frame_step:g} frames a second"

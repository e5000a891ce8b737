"""`RegressionTask`: pictures in one call, trained on the squared error: the DNN baseline and the diffusion's draft."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from wav2uti.baseline.dnn import Dnn
from wav2uti.baseline.regressor import Regressor
from wav2uti.condition import reference as speaker_reference
from wav2uti.condition.condition import Condition
from wav2uti.condition.fusion import Fusion
from wav2uti.diffusion.windows import Windows, ramp, split
from wav2uti.errors import InputError
from wav2uti.options import check_counts, check_shares
from wav2uti.tasks.base import Progress, Task
from wav2uti.tasks.batch import Batch, without_text

FusionFactory = Callable[[int, int | None, int], Fusion]
RegressorFactory = Callable[[int, int, bool], Regressor]


class Regression(nn.Module):
    """A regressor and what it hears: the acoustic embeddings themselves, or sound and text fused.

    Args:
        facts: of the data; see `Task`.
        net: builds the regressor from the width of what it hears, the size of the frames and whether there is a
            reference frame.
        fusion: builds the fusion from the widths of the acoustic and the textual embeddings and the number of layers
            in an acoustic one; without it the regressor hears the acoustic embeddings and reads no text.
    """

    def __init__(self, facts: dict[str, Any], net: RegressorFactory = Dnn, fusion: FusionFactory | None = None) -> None:
        super().__init__()
        text = facts["text"]
        acoustic = facts["acoustic"]
        self.fusion = None
        width = acoustic["width"]
        if fusion is not None:
            self.fusion = fusion(width, text["width"] if text else None, acoustic.get("layers", 1))
            width = self.fusion.width
        self.reads_text = self.fusion is not None and text is not None
        self.reference = facts["reference"]
        self.net = net(width, facts["size"], facts["reference"])

    def forward(self, batch: Batch) -> Tensor:
        """(B, 1, T, H, W) for a batch whose `acoustic` has T frames and its context on both sides."""
        context = (batch["acoustic"].shape[1] - batch["frames"].shape[2]) // 2
        return self.draw(batch, context)

    def draw(self, batch: Batch, context: int) -> Tensor:
        """The same for a batch that need not hold `frames`: as many are drawn as its sound has within the context."""
        heard = batch["acoustic"]
        if self.fusion is not None:
            heard = self.fusion(
                heard, batch.get("text"), batch.get("text_mask"), batch["progress"], batch.get("text_places")
            )
        return self.net(Condition(heard, batch.get("reference") if self.reference else None), context)

    def draw_long(self, batch: Batch, context: int, windows: Windows) -> Iterator[Tensor]:
        """One recording of any length, in parts (n, H, W): in windows as long as training clips, blended."""
        weights = ramp(windows.overlap)[:, None, None].to(batch["acoustic"].device)
        around = torch.arange(windows.length + 2 * context)
        tail: Tensor | None = None
        for window in range(windows.count):
            begun = window * windows.hop
            heard = (begun + around).clamp(max=batch["acoustic"].shape[1] - 1)
            part: Batch = {**batch, "acoustic": batch["acoustic"][:, heard], "progress": batch["progress"][:, heard]}
            drawn = self.draw(part, context)[0, 0]
            if tail is not None:
                drawn[: windows.overlap] = weights * drawn[: windows.overlap] + tail
            last = window == windows.count - 1
            yield drawn[: windows.frames - begun] if last else drawn[: windows.hop]
            tail = (1 - weights) * drawn[windows.hop :]


class RegressionTask(Task):
    """A model that draws the mean picture: the paper's DNN baseline, or the draft that a diffusion model begins from.

    Args:
        facts: linked from the data; see `Task`.
        regression: what draws, and what it hears.
        drop_reference: share of the training clips without their reference frame.
        drop_text: share of the training clips whose text is dropped.
        overlap: frames that neighbouring windows share where a recording is longer than a training clip.
        start_from: checkpoint of the same network whose weights training begins with; not stored in the checkpoint.
        optimizer: called with the parameters.
        lr_scheduler: called with the optimizer; stepped after every batch.
    """

    def __init__(
        self,
        facts: dict[str, Any],
        regression: Callable[[dict[str, Any]], Regression] = Regression,
        drop_reference: float = 0.0,
        drop_text: float = 0.0,
        overlap: int = 8,
        start_from: str | None = None,
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(facts, optimizer, lr_scheduler)
        self.save_hyperparameters(ignore=["overlap", "start_from"])
        check_shares(drop_reference=drop_reference, drop_text=drop_text)
        check_counts(0, overlap=overlap)
        self.regression = regression(facts)
        self.drop_reference = drop_reference
        self.drop_text = drop_text
        self.overlap = overlap
        if start_from is not None:
            self.copy_weights(start_from)

    def describe(self) -> dict[str, Any]:
        """The network, and whether it reads text."""
        return {
            "task": type(self).__name__,
            "network": type(self.regression.net).__name__,
            "text": self.regression.reads_text,
            "reference": self.facts["reference"],
        }

    def on_fit_start(self) -> None:
        """Let the regressor look at frames of the training recordings, if it wants any."""
        wanted = self.regression.net.frames_to_fit
        if not wanted:
            return
        frames: list[Tensor] = []
        for batch in self.training_batches():
            frames.append(batch["frames"][:, 0, 0].clone())  # not a view, which would keep the whole clips
            if sum(map(len, frames)) >= wanted:
                break
        self.regression.net.fit_to(torch.cat(frames)[:wanted])

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Squared error in units of the frames' variance; reference and text dropped at random."""
        reference, text = self.draws(batch).chances(2)
        seen: Batch = {**without_text(batch, text < self.drop_text)}
        if "reference" in batch:
            seen["reference"] = speaker_reference.drop(batch["reference"], reference < self.drop_reference)
        error = self.error(seen)
        self.clip_loss = error.detach()
        self.log("train/loss", error.mean(), prog_bar=True, batch_size=len(batch["ids"]), sync_dist=True)
        return error.mean()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """The same with everything given."""
        self.log("val/loss", self.error(batch).mean(), prog_bar=True, batch_size=len(batch["ids"]), sync_dist=True)

    def error(self, batch: Batch) -> Tensor:
        """Mean squared error of each clip (B,) over the variance of the training frames; 1 for a mean grey."""
        difference = self.regression(batch).float() - batch["frames"]
        return difference.square().flatten(1).mean(1) / self.facts["frame_std"] ** 2

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Draw the clips of a batch; the scoring callback compares them with the real ones."""
        return {"generated": self.regression(batch).float().clamp(-1, 1)}

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
        """See `Task.stream`; there is nothing random in it, and `seed` has no effect."""
        clip = self.facts["clip_frames"]
        batch = whole_recording(self.facts, acoustic, text, reference, text_places, self.device)
        windows = split(len(acoustic), clip, min(self.overlap, clip // 2))
        parts = self.regression.draw_long(batch, self.facts["acoustic_context"], windows)
        for done, part in enumerate(parts, start=1):
            if progress is not None:
                progress(done, windows.count)
            yield part.clamp(-1, 1)


def whole_recording(
    facts: dict[str, Any],
    acoustic: Tensor,
    text: Tensor | None,
    reference: Tensor | None,
    text_places: Tensor | None,
    device: torch.device,
) -> Batch:
    """A batch of one whole recording, without its frames: the arguments of `Task.generate` with their context.

    Raises:
        InputError: where the reference frame is not of the model's size.
    """
    size, context, frames = facts["size"], facts["acoustic_context"], len(acoustic)
    if reference is not None and tuple(reference.shape) != (size, size):
        raise InputError(f"The reference frame is {tuple(reference.shape)}, the model draws {size}x{size}.")
    # The sound goes on beyond both ends as at the ends, as it does in training.
    heard = torch.arange(-context, frames + context)
    batch: dict[str, Any] = {
        "ids": ["recording"],
        "acoustic": acoustic[heard.clamp(0, frames - 1)][None].to(device),
        "progress": ((heard + 0.5) / frames)[None].to(device),
    }
    if text is not None:
        batch["text"] = text[None].to(device)
        batch["text_mask"] = torch.ones(batch["text"].shape[:2], dtype=torch.bool, device=device)
        if text_places is not None:
            batch["text_places"] = text_places[None].to(device)
    if facts["reference"]:
        given = speaker_reference.absent(1, (size, size)) if reference is None else reference[None, None]
        batch["reference"] = given.to(device)
    return batch  # type: ignore[return-value]

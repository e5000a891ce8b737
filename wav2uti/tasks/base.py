"""What every LightningModule of the project has in common."""

import json
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import lightning.pytorch as pl
import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable, instantiate_module
from torch import Tensor
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from wav2uti.errors import InputError
from wav2uti.options import check_numbers
from wav2uti.speech.hub import model_name
from wav2uti.tasks.batch import Batch
from wav2uti.tasks.checkpoint import read_checkpoint
from wav2uti.tasks.draws import Draws

T = TypeVar("T", bound="Task")

# Clips over which the noise levels of validation are stratified, however many are in a batch.
VALIDATED_TOGETHER = 16

# Called after each network call or step with (done, total); serves progress bars.
Progress = Callable[[int, int], None]


class Task(pl.LightningModule):
    """A model with its optimizer, built from YAML and rebuilt from its checkpoint.

    Args:
        facts: what the training corpus says of itself (`ClipData.facts`): size of the frames, embeddings and their
            widths, mean and standard deviation of the frames. It travels in the checkpoint, so that prediction needs
            no config.
        optimizer: called with the parameters.
        lr_scheduler: called with the optimizer; stepped after every batch.
    """

    facts: dict[str, Any]

    def __init__(
        self, facts: dict[str, Any], optimizer: OptimizerCallable, lr_scheduler: LRSchedulerCallable | None
    ) -> None:
        super().__init__()
        self.facts = facts
        self.make_optimizer = optimizer
        self.make_lr_scheduler = lr_scheduler
        self.seed = torch.initial_seed()  # of `draws`: that of seed_everything, on all processes
        # Of the last batch that was trained on: the loss of each clip (B,), and where there is one its noise level.
        self.clip_loss: Tensor | None = None
        self.clip_sigma: Tensor | None = None
        self.validated = 0  # clips of this validation, by this process
        self.drawn = 0  # batches of training without a Trainer

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """How this task generates, for `metrics.json`: plain JSON types."""

    @abstractmethod
    def stream(
        self,
        acoustic: Tensor,
        text: Tensor | None,
        reference: Tensor | None,
        seed: int = 0,
        progress: Progress | None = None,
        text_places: Tensor | None = None,
    ) -> Iterator[Tensor]:
        """One recording of any length, from `acoustic` (T, D_a), `text` (L, D_t) and `reference` (H, W).

        Yields its frames in [-1, 1] in order, in parts (n, H, W) that add up to T frames; memory does not grow with T.
        `text_places` (L,) says where in the recording each token stands, 0 to 1; None spreads them evenly.
        """

    def generate(
        self,
        acoustic: Tensor,
        text: Tensor | None,
        reference: Tensor | None,
        seed: int = 0,
        progress: Progress | None = None,
        text_places: Tensor | None = None,
    ) -> Tensor:
        """The same at once: (T, H, W)."""
        return torch.cat(list(self.stream(acoustic, text, reference, seed, progress, text_places)))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse the weights of a model that heard or read other embeddings, or drew other frames.

        Raises:
            InputError: where the facts of the data are not those of the checkpoint.
        """
        self.seed = checkpoint.get("seed", self.seed)
        trained = checkpoint.get("hyper_parameters", {}).get("facts")
        if trained is not None:
            check_encoders("The checkpoint", trained, self.facts)
            check_frames(trained, self.facts)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The seed of the training's random numbers goes along: all the rest of them follows from the batches done."""
        checkpoint["seed"] = self.seed

    def draws(self, batch: Batch) -> Draws:
        """Random numbers for a batch of training; without a Trainer those of the next batch at each call."""
        clips = len(batch["ids"])
        if self._trainer is None:
            self.drawn += 1
            return self._draws(self.seed, (self.drawn - 1) * clips, clips, clips)
        together = clips * self._trainer.world_size * self._trainer.accumulate_grad_batches
        return self._draws(self.seed, self._trainer.fit_loop.total_batch_idx * clips, clips, together)

    def validation_draws(self, batch: Batch, batch_idx: int) -> Draws:
        """Random numbers for a batch of validation: the same each time, on one process or on many."""
        done = self.validated if batch_idx else 0
        self.validated = done + len(batch["ids"])
        return self._draws(0, done, len(batch["ids"]), VALIDATED_TOGETHER)

    def _draws(self, seed: int, done: int, clips: int, together: int) -> Draws:
        """For clips of this process before which it took so many; all processes take them by turns."""
        processes, rank = self._processes
        return Draws(seed, [(done + k) * processes + rank for k in range(clips)], together, self.device)

    @property
    def _processes(self) -> tuple[int, int]:
        """How many there are, and which of them this is."""
        return (self._trainer.world_size, self._trainer.global_rank) if self._trainer else (1, 0)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Dropout and whatever else a network draws for itself is the same when a training goes on, too."""
        torch.manual_seed(self.draws(batch).seed_of_batch)

    def sharded_modules(self) -> Iterator[torch.nn.Module]:
        """What `training.sharded` spreads over the processes: modules that are called, the inner ones first."""
        yield from ()

    def configure_model(self) -> None:
        """Spread the network over the processes, where their strategy asks for it."""
        if self.device_mesh is None:
            return
        mesh = self.device_mesh["data_parallel"]
        for module in self.sharded_modules():
            if any(isinstance(parameter, DTensor) for parameter in module.parameters(recurse=False)):
                continue  # by an earlier call
            for parameter in module.parameters():
                if not isinstance(parameter, DTensor):  # weights lie channels-last, which cannot be cut
                    parameter.data = parameter.data.contiguous()
            fully_shard(module, mesh=mesh)

    def configure_optimizers(self) -> Any:
        """The optimizer and, stepped after every batch, its learning rate schedule."""
        try:
            optimizer: Optimizer = self.make_optimizer(self.trained_parameters())
            scheduler = None if self.make_lr_scheduler is None else self.make_lr_scheduler(optimizer)
        except (ValueError, TypeError, IndexError, ZeroDivisionError) as error:
            raise InputError(
                f"The optimizer or its lr_scheduler refuses its options ({' '.join(str(error).split())}): correct them "
                "in model.init_args."
            ) from error
        for group in optimizer.param_groups:  # torch refuses negative ones, and takes an infinite one
            rates = {name: group[name] for name in ("lr", "eps", "weight_decay") if name in group}
            check_numbers(0, **{name: float(value) for name, value in rates.items()})
        if scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def training_batches(self) -> Iterator[Batch]:
        """Batches of one epoch of training, on this device, to be looked at before the first step.

        The same ones on every process: they are not shared out.
        """
        loader = self.trainer.datamodule.whole_train_dataloader()  # type: ignore[attr-defined]
        return (self.transfer_batch_to_device(batch, self.device, 0) for batch in loader)

    def trained_parameters(self) -> Iterable[torch.nn.Parameter]:
        """The parameters that the optimizer sees."""
        return (p for p in self.parameters() if p.requires_grad)

    def copy_weights(self, path: str | Path) -> None:
        """Take over the weights of a checkpoint of the same network; optimizer and steps begin anew.

        The buffers too: mean and standard deviation of the frames stay those that the weights were trained with.

        Raises:
            InputError: where the file is no checkpoint, or one of another network or of other encoders.
        """
        path = Path(path)
        checkpoint = read_checkpoint(path, mmap=True)
        if (trained := checkpoint["hyper_parameters"].get("facts")) is not None:
            check_encoders(str(path), trained, self.facts)
        try:
            self.load_state_dict(checkpoint["state_dict"])
        except RuntimeError as error:
            raise InputError(
                f"{path} holds the weights of another network ({' '.join(str(error).split())[:200]}); "
                "give the same options of fusion and net as it was trained with."
            ) from error

    @staticmethod
    def from_checkpoint(path: str | Path) -> "Task":
        """The task of a checkpoint, of whichever subclass wrote it, on the CPU and ready to generate.

        Raises:
            InputError: where the file is missing, broken or no checkpoint of this project.
        """
        path = Path(path)
        checkpoint = read_checkpoint(path, mmap=True)
        options = {name: value for name, value in checkpoint["hyper_parameters"].items() if name != "_instantiator"}
        try:
            # As load_from_checkpoint does, which reads files only.
            task = instantiate_module(Task, options)  # type: ignore[type-abstract]
            task.on_load_checkpoint(checkpoint)
            task.load_state_dict(checkpoint["state_dict"])
        except Exception as error:  # torch, jsonargparse and the classes themselves each raise their own
            cause = " ".join(str(error).split())[:200]
            raise InputError(
                f"{path} is no checkpoint that this version of wav2uti can read ({type(error).__name__}: {cause}); "
                "give the .ckpt file of a `wav2uti fit` run."
            ) from error
        return task.eval()


def trained_task(path: str | Path, kind: type[T], facts: dict[str, Any], use: str) -> T:
    """A trained task that serves another one: of the same data, on the CPU.

    Args:
        path: its checkpoint.
        kind: of task.
        facts: of the other one's data.
        use: the beginning of a sentence that goes on with the kind's name.

    Raises:
        InputError: where it is of another kind, heard or read other embeddings or drew other frames.
    """
    task = Task.from_checkpoint(path)
    if not isinstance(task, kind):
        raise InputError(f"{path} holds a {type(task).__name__}; {use} {kind.__name__}.")
    check_encoders(str(path), task.facts, facts)
    check_frames(task.facts, facts)
    return task


def check_encoders(model: str, trained: dict[str, Any], given: dict[str, Any]) -> None:
    """Raise an InputError where a model's encoders are not those of the data.

    Args:
        model: what the sentence calls the model.
        trained: facts of the data that it was trained on.
        given: facts of the data that it is to be used on.
    """
    for kind in ("acoustic", "text"):
        one, other = trained[kind], given[kind]
        if _same(one, other):
            continue
        # Where the names do not tell them apart, their settings do.
        full = one is not None and other is not None and one["name"] == other["name"]
        if one is None:
            remedy = f"set data.{kind} to none"
        else:
            remedy = f"name {one['name']} as data.{kind}, or add its embeddings with `wav2uti embed`"
        raise InputError(
            f"{model} was trained with {_words(kind, one, full)} and the data are set to {_words(kind, other, full)}: "
            f"{remedy}, or train a model on these data."
        )


def check_frames(trained: dict[str, Any], given: dict[str, Any]) -> None:
    """Raise an InputError where a model's frames are not those of the data; see `check_encoders`."""
    if trained["size"] != given["size"]:
        raise InputError(
            f"The checkpoint draws frames of {trained['size']}x{trained['size']} and the data give "
            f"{given['size']}x{given['size']}: prepare the recordings with --size {trained['size']}, set data.size if "
            "theirs are larger, or train a model on these data."
        )
    # Checkpoints of earlier versions do not state the frame step: they have all frames.
    if trained.get("frame_step", 1) != given.get("frame_step", 1):
        raise InputError(
            f"The checkpoint draws one frame in {trained.get('frame_step', 1)} and the data give one in "
            f"{given.get('frame_step', 1)}: set data.frame_step to {trained.get('frame_step', 1)}."
        )
    if trained["reference"] != given["reference"]:
        wanted = "speaker" if trained["reference"] else "none"
        raise InputError(
            f"The checkpoint was trained {'with' if trained['reference'] else 'without'} a reference frame of the "
            f"speaker: set data.reference to {wanted}."
        )


def _same(one: dict[str, Any] | None, other: dict[str, Any] | None) -> bool:
    """Whether two entries of the facts are of the same encoder. A revision that only one of them states may be it."""
    if one is None or other is None:
        return one is other
    first, second = _essence(one), _essence(other)
    if not ("revision" in first["args"] and "revision" in second["args"]):
        first["args"].pop("revision", None)
        second["args"].pop("revision", None)
    return first == second


def _essence(encoder: dict[str, Any]) -> dict[str, Any]:
    """What decides an encoder's embeddings, from its entry in the facts.

    The folder that a model lay in does not, nor who transcribed. An entry of an earlier version states no layers,
    and no arguments that were not there yet: they stand at None.
    """
    spec = encoder["spec"]
    args = {name: value for name, value in spec.get("args", {}).items() if value is not None}
    if "model" in args:
        args["model"] = model_name(args["model"])
    return {
        "name": encoder["name"],
        "width": encoder["width"],
        "layers": encoder.get("layers", 1),
        "class": spec.get("class"),
        "args": args,
    }


def _words(kind: str, encoder: dict[str, Any] | None, full: bool) -> str:
    """An encoder in a sentence."""
    if encoder is None:
        return f"no {kind} encoder"
    settings = f" with {json.dumps(encoder['spec'])}" if full else ""
    return f"the {kind} encoder {encoder['name']} (width {encoder['width']}){settings}"

"""`wav2uti fit`, `validate` and `test`: LightningCLI over a `Task` and `ClipData`."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, cast

import lightning.pytorch as pl
import torch
from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.exceptions import SIGTERMException

# Imported for their short names in YAML: jsonargparse knows the subclasses of what has been imported.
import wav2uti.metrics.scoring
import wav2uti.tasks.consistency
import wav2uti.tasks.diffusion
import wav2uti.tasks.regression
import wav2uti.training.average
import wav2uti.training.dashboards
import wav2uti.training.gallery
import wav2uti.training.log
import wav2uti.training.sharded
import wav2uti.training.watch  # noqa: F401
from wav2uti.config_files import check_configs, with_shipped
from wav2uti.data.module import ClipData
from wav2uti.errors import InputError, Terminated, unwrapped
from wav2uti.options import check_counts, check_numbers, check_shares
from wav2uti.tasks.allowed import classes_named, trust
from wav2uti.tasks.base import Task
from wav2uti.tasks.checkpoint import CheckpointFile, check_checkpoint, read_checkpoint
from wav2uti.tasks.located import located
from wav2uti.training.checkpointing import Checkpointing, newest_whole
from wav2uti.training.config import SavedConfig

DEFAULTS = Path(__file__).with_name("defaults.yaml")


def fit(args: Sequence[str]) -> None:
    """Train a model."""
    _run("fit", args)


def validate(args: Sequence[str]) -> None:
    """Loss of a checkpoint on the validation speakers."""
    _run("validate", args)


def test(args: Sequence[str]) -> None:
    """Score a checkpoint on the test speakers."""
    _run("test", args)


def _run(command: str, args: Sequence[str]) -> None:
    # The caller has taken our command's name off sys.argv already: args is the command line.
    args = with_shipped(args)
    check_configs(args)
    warnings.filterwarnings("ignore", message="LightningCLI's args parameter")
    try:
        CLI(args=[command, *args])
    except SIGTERMException as end:
        raise Terminated("ended by SIGTERM; the same command with --ckpt_path last goes on with it.") from end


class Parser(LightningArgumentParser):
    """Says what is wrong in one sentence; Lightning's parser prints its two hundred options before it."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise what is wrong as the user's mistake, on one line."""
        raise InputError(" ".join(message.split()).rstrip(".") + "; see --help for the options.") from ex


class CLI(LightningCLI):
    """LightningCLI with the project's classes, its defaults and one link: what the data says of itself."""

    def __init__(self, args: list[str]) -> None:
        options = {"default_config_files": [str(DEFAULTS)], "allow_abbrev": False}
        super().__init__(
            model_class=Task,
            parser_class=Parser,
            datamodule_class=ClipData,
            subclass_mode_model=True,
            seed_everything_default=0,
            auto_configure_optimizers=False,
            # Only training has a folder of its own for it.
            save_config_callback=SavedConfig if args[0] == "fit" else None,
            save_config_kwargs={"overwrite": True},
            parser_kwargs={"prog": "wav2uti", **dict.fromkeys(self.subcommands(), options)},
            args=args,
        )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """The commands that need a Trainer; `predict` needs none (see `wav2uti.video.predict`).

        Without the option `weights_only`: nothing else is ever read (`checkpoint.CheckpointFile`).
        """
        return {name: LightningCLI.subcommands()[name] | {"weights_only"} for name in ("fit", "validate", "test")}

    def _parse_ckpt_path(self) -> None:
        """Lightning passes over a path that is no file, and a file that is no checkpoint ends in a traceback."""
        command = self.config.subcommand
        # What the config of this very command names, its user trusts.
        trust(*classes_named(self.config[command].as_dict()))
        path = self.config[command].get("ckpt_path")
        if path == "last" and command == "fit":
            go_on_in_the_newest_folder(self.config[command].trainer.logger)
        if path is None or path in ("best", "last", "hpc", "registry"):
            return
        path = located(path)
        self.config[command].ckpt_path = str(path)
        check_checkpoint(path)
        if not path.is_dir():
            super()._parse_ckpt_path()
            return
        if command == "fit":
            raise InputError(
                f"{path} is an exported model, which has no optimizer to go on with: begin a new training with its "
                "weights by --model.init_args.start_from."
            )
        options = dict(read_checkpoint(path)["hyper_parameters"])
        model = {"class_path": options.pop("_class_path"), "dict_kwargs": options}
        self.config = self.parser.parse_object({command: {"model": model}}, self.config)

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        """`fit --ckpt_path last` goes on from the newest checkpoint that is whole, or begins where there is none."""
        given = super()._prepare_subcommand_kwargs(subcommand)
        if subcommand == "fit" and given.get("ckpt_path") == "last":
            savers = [c for c in cast(Any, self.trainer).callbacks if isinstance(c, Checkpointing)]
            given["ckpt_path"] = newest_whole(savers[0].folder(self.trainer)) if savers else None
            warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
            rank_zero_info(
                f"Training goes on from {given['ckpt_path'] or 'its beginning: there is no checkpoint yet'}."
            )
        return given

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Trainer, data, and a model that a checkpoint may supply instead of the config."""
        parser.add_lightning_class_args(pl.Trainer, "trainer")
        parser.add_lightning_class_args(Task, "model", subclass_mode=True, required=False)
        parser.add_lightning_class_args(ClipData, "data")

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The corpus's facts go to the model: no width or statistic is typed twice."""
        parser.link_arguments("data.facts", "model.init_args.facts", apply_on="instantiate")

    def instantiate_classes(self) -> None:
        """See `errors.unwrapped`. What torch and Lightning refuse is a mistake in the config, too."""
        try:
            with unwrapped():
                super().instantiate_classes()
        except InputError:
            raise
        except (ValueError, TypeError, RuntimeError, ZeroDivisionError, MisconfigurationException) as error:
            reason = " ".join(str(error).split())[:300].rstrip(".")
            raise InputError(f"These options do not work ({reason}): correct the config.") from error

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """A Trainer that reads checkpoints by `CheckpointFile`, whatever else it is given."""
        plugins = self._get(self.config_init, "trainer").get("plugins") or []
        plugins = plugins if isinstance(plugins, list) else [plugins]
        return super().instantiate_trainer(plugins=[*plugins, CheckpointFile()], **kwargs)

    def before_instantiate_classes(self) -> None:
        """A missing model or checkpoint is the user's mistake; Lightning would show a traceback."""
        config = self.config[self.subcommand]
        ckpt_path = config.get("ckpt_path")
        if config.get("model") is None and ckpt_path is not None:
            raise InputError(f"{ckpt_path} holds no model of wav2uti; give the .ckpt file of a `wav2uti fit` run.")
        if config.get("model") is None:
            raise InputError("No model was given: add --config configs/NAME.yaml, or --ckpt_path of a trained one.")
        if self.subcommand != "fit" and ckpt_path is None:
            raise InputError(f"`wav2uti {self.subcommand}` needs --ckpt_path: the .ckpt file of a `wav2uti fit` run.")
        _check_trainer(config["trainer"])
        _tell_of_slow_precision(config["trainer"])


def _check_trainer(options: Namespace) -> None:
    """Raise an InputError for numbers that Lightning takes without a word and then trains nonsense with."""
    check_numbers(0, **{"trainer.gradient_clip_val": options.gradient_clip_val})
    check_counts(1, **{"trainer.accumulate_grad_batches": options.accumulate_grad_batches})
    check_counts(0, **{"trainer.log_every_n_steps": options.log_every_n_steps})
    for callback in options.callbacks or []:
        given = callback.get("init_args") or {}
        if given.get("decay") is not None:
            check_shares(**{f"{callback.class_path.rpartition('.')[2]}.decay": given["decay"]})


def _tell_of_slow_precision(options: Namespace) -> None:
    """A processor without instructions for bfloat16 imitates them: a step then takes about three times as long."""
    on_cpu = options.accelerator == "cpu" or (options.accelerator == "auto" and not torch.accelerator.is_available())
    if not on_cpu or not str(options.precision).startswith("bf16") or not hasattr(torch.cpu, "get_capabilities"):
        return
    able = torch.cpu.get_capabilities()
    if able.get("architecture") == "x86_64" and not (able.get("avx512_bf16") or able.get("amx_bf16")):
        warnings.warn(
            f"this processor has no instructions for {options.precision} and imitates them: --trainer.precision "
            "32-true is about three times as fast here.",
            stacklevel=2,
        )


def go_on_in_the_newest_folder(logger: Any) -> None:
    """Where a logger's config leaves the version open, make it that of the run that was saved last, if there is one."""
    given = getattr(logger, "init_args", None)
    if given is None or given.get("save_dir") is None or given.get("name") is None or given.get("version") is not None:
        return
    saved = (Path(given.save_dir) / given.name).glob("*/checkpoints/*.ckpt")
    newest = max(saved, key=lambda path: path.stat().st_mtime, default=None)
    if newest is not None:
        given.version = newest.parent.parent.name

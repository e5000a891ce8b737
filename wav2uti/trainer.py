"""`wav2uti fit`, `validate` and `test`: LightningCLI over a `Task` and `ClipData`."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import lightning.pytorch as pl
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback

# Imported for their short names in YAML: jsonargparse knows the subclasses of what has been imported.
import wav2uti.checkpointing
import wav2uti.metrics.scoring
import wav2uti.tasks.consistency
import wav2uti.tasks.diffusion
import wav2uti.tasks.regression  # noqa: F401
from wav2uti.config_files import check_configs
from wav2uti.data.module import ClipData
from wav2uti.errors import InputError, unwrapped
from wav2uti.tasks.base import Task
from wav2uti.tasks.checkpoint import check_checkpoint

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
    check_configs(args)
    warnings.filterwarnings("ignore", message="LightningCLI's args parameter")
    CLI(args=[command, *args])


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
            save_config_callback=SaveConfigCallback if args[0] == "fit" else None,
            save_config_kwargs={"overwrite": True},
            parser_kwargs={"prog": "wav2uti", **dict.fromkeys(self.subcommands(), options)},
            args=args,
        )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """The commands that need a Trainer; `predict` needs none (see `wav2uti.video.predict`)."""
        return {name: LightningCLI.subcommands()[name] for name in ("fit", "validate", "test")}

    def _parse_ckpt_path(self) -> None:
        """Lightning passes over a path that is no file, and a file that is no checkpoint ends in a traceback."""
        path = self.config[self.config.subcommand].get("ckpt_path")
        if path is not None and path not in ("best", "last", "hpc", "registry"):
            check_checkpoint(Path(path))
        super()._parse_ckpt_path()

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Trainer, data, and a model that a checkpoint may supply instead of the config."""
        parser.add_lightning_class_args(pl.Trainer, "trainer")
        parser.add_lightning_class_args(Task, "model", subclass_mode=True, required=False)
        parser.add_lightning_class_args(ClipData, "data")

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The corpus's facts go to the model: no width or statistic is typed twice."""
        parser.link_arguments("data.facts", "model.init_args.facts", apply_on="instantiate")

    def instantiate_classes(self) -> None:
        """See `errors.unwrapped`."""
        with unwrapped():
            super().instantiate_classes()

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

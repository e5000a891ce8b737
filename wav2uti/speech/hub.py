"""Pretrained transformers models by hub id or local folder, with one plain sentence when one cannot be had."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from wav2uti.errors import InputError

T = TypeVar("T")


class WithoutWeights:
    """Pickles without what its cached properties hold, so that a model travels to another process as its name."""

    def __getstate__(self) -> dict[str, Any]:
        return {
            name: value
            for name, value in vars(self).items()
            if not isinstance(getattr(type(self), name, None), cached_property)
        }


def model_name(model: str) -> str:
    """Last part of a hub id or of a folder's path, which names the embeddings in a shard.

    >>> model_name("facebook/wav2vec2-large-xlsr-53"), model_name("/weights/bert/")
    ('wav2vec2-large-xlsr-53', 'bert')
    """
    return model.replace(os.sep, "/").rstrip("/").rsplit("/", 1)[-1]


def load_pretrained(from_pretrained: Callable[..., T], model: str, **options: Any) -> T:
    """Call `from_pretrained` on a local folder, on the hub's cache, or on the hub, in this order.

    The cache comes before the hub because a hub that cannot be reached costs half a minute of retries.

    Raises:
        InputError: the folder does not exist or lacks a file, or the hub has no such model or cannot be reached.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        try:
            with _quiet():
                return from_pretrained(str(folder), local_files_only=True, **options)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"The folder {folder} holds no complete pretrained model ({_first_line(error)}): "
                f"download all files of the model, for instance with `hf download ID --local-dir {folder}`."
            ) from error
    if _is_path(model):
        raise InputError(f"There is no model folder {folder}: check the path, or give the id of a model on the hub.")
    try:
        with _quiet():
            return from_pretrained(model, local_files_only=True, **options)
    except (OSError, ValueError):
        pass  # not in the cache, or not all of it
    try:
        with _quiet(bars=True):
            return from_pretrained(model, **options)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"The model {model} is not a local folder and could not be had from the Hugging Face hub: "
            f"where there is a network run `huggingface-cli download {model}` (`hf download {model}` in newer "
            f"versions), or give a local folder with its files."
        ) from error


def _is_path(model: str) -> bool:
    """Whether a name can only be a path: a hub id is `name` or `owner/name`."""
    parts = model.replace(os.sep, "/").split("/")
    return len(parts) > 2 or parts[0] in ("", ".", "..") or parts[0].startswith("~")


@contextmanager
def _quiet(bars: bool = False) -> Iterator[None]:
    """Silence the loading report: unused pre-training heads are expected here, and no reason to worry a user.

    `bars` keeps the progress bars, for what may be a download of a gigabyte.
    """
    import transformers

    logging: Any = transformers.utils.logging  # its functions carry no types
    verbosity, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if not bars:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()


def _first_line(error: Exception) -> str:
    """The first line of a long message, without its full stop."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")

"""Pretrained transformers models by hub id or local folder, with one plain sentence when one cannot be had.

Nothing that is loaded here can run code: weights come from safetensors files or, where a model has none, from a
pickle read with weights_only=True, which is torch's reader that knows tensors and plain containers and refuses any
other object (transformers 5 passes it by default; it is given here all the same); trust_remote_code=False keeps
transformers from the Python files of a repository, which it would otherwise ask about in a terminal; and a config that
names a repository of compiled kernels, which transformers would download and run, is refused.
"""

import json
import os
import pickle
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from wav2uti.errors import InputError
from wav2uti.files import content_of
from wav2uti.hub import is_path, resolved_commit

T = TypeVar("T")

_MOST_CONFIG = 1 << 20  # bytes of a config.json
# By a part of the name of a number in it: how large models have it, many times over.
_MOST = {"layers": 1_000, "heads": 1_000, "size": 10_000_000, "dim": 1_000_000, "positions": 10_000_000}


class WithoutWeights:
    """Pickles without what its cached properties hold, so that a model travels to another process as its name."""

    def __getstate__(self) -> dict[str, Any]:
        return {
            name: value
            for name, value in vars(self).items()
            if not isinstance(getattr(type(self), name, None), cached_property)
        }


class Pretrained(WithoutWeights):
    """Something made of one pretrained model, which stays the same model from its first use on.

    Args:
        model: hub id or local folder.
        revision: branch, tag or commit of a hub model; the hub's main branch by default.
    """

    def __init__(self, model: str, revision: str | None = None) -> None:
        self.model, self.revision = model, revision
        self._commit: str | None = None  # survives pickling: another process loads the very same weights

    @property
    def pinned(self) -> str | None:
        """The commit that `revision` stands for, as soon as it is known; a local folder has none."""
        if self._commit is None:
            self._commit = resolved_commit(self.model, self.revision)
        return self._commit or self.revision

    def _pinned_args(self) -> dict[str, str]:
        """Model and revision as the arguments of a spec."""
        return {"model": self.model} | ({} if self.pinned is None else {"revision": self.pinned})

    def _load(self, from_pretrained: Callable[..., T], **options: Any) -> T:
        if "weights_only" in options:
            check_kernels(self.model, self.pinned)
        loaded = load_pretrained(from_pretrained, self.model, revision=self.pinned, **options)
        if "weights_only" in options and not has_safetensors(self.model, self.pinned):
            warnings.warn(
                f"the weights of the model {self.model} are a pickle, of which tensors alone were read: "
                "prefer a copy of the model with a model.safetensors file.",
                stacklevel=2,
            )
        return loaded

    def _load_weights(self, from_pretrained: Callable[..., Any], **options: Any) -> Any:
        """A model with its weights as float32, ready to run.

        Raises:
            InputError: what `load_pretrained` raises, or a weight of the model is in none of its files.
        """
        import torch

        model, found = self._load(
            from_pretrained, dtype=torch.float32, weights_only=True, output_loading_info=True, **options
        )
        # Used in pre-training only, and left out of some files.
        missing = sorted(key for key in found["missing_keys"] if not key.endswith("masked_spec_embed"))
        if missing:
            raise InputError(
                f"The files of the model {self.model} lack {len(missing)} of its weights, {missing[0]} for one: "
                f"give a model whose files are of the type that its config.json names."
            )
        return model.eval()


def model_name(model: str) -> str:
    """Last part of a hub id or of a folder's path, which names the embeddings in a shard.

    >>> model_name("facebook/wav2vec2-large-xlsr-53"), model_name("/weights/bert/")
    ('wav2vec2-large-xlsr-53', 'bert')
    """
    name = model.replace(os.sep, "/").rstrip("/").rsplit("/", 1)[-1]
    return Path(model).resolve().name if name in ("", ".", "..", "~") else name


def check_kernels(model: str, revision: str | None = None) -> None:
    """Raise an InputError where a model's config names compiled code of a hub repository for one of its parts."""
    from transformers import PreTrainedConfig

    config, _ = load_pretrained(PreTrainedConfig.get_config_dict, model, revision=revision)
    for name, value in _settings(config):
        if "_implementation" in name and "/" in str(value):
            raise InputError(
                f"The config.json of the model {model} names {str(value)[:80]!r} as its {name.strip('_')}, compiled "
                "code that would be downloaded and run: give a model without it, or take it out of config.json."
            )


def has_safetensors(model: str, revision: str | None = None) -> bool:
    """Whether a model that was loaded has its weights as safetensors, which transformers then prefers."""
    names = ("model.safetensors", "model.safetensors.index.json")
    folder = Path(model).expanduser()
    if folder.is_dir():
        return any((folder / name).is_file() for name in names)
    from huggingface_hub import try_to_load_from_cache

    return any(isinstance(try_to_load_from_cache(model, name, revision=revision), str) for name in names)


def _settings(config: Any) -> Iterator[tuple[str, Any]]:
    """Every name and value in a config, those of its parts included."""
    for name, value in config.items():
        yield str(name), value
        if isinstance(value, dict):
            yield from _settings(value)


def load_pretrained(from_pretrained: Callable[..., T], model: str, revision: str | None = None, **options: Any) -> T:
    """Call `from_pretrained` on a local folder, on the hub's cache, or on the hub, in this order.

    The cache comes before the hub because a hub that cannot be reached costs half a minute of retries; with
    HF_HUB_OFFLINE=1 the hub is not asked at all.

    Args:
        from_pretrained: of a class of transformers.
        model: hub id or local folder.
        revision: branch, tag or commit of a hub model; a local folder has none.
        options: further arguments of `from_pretrained`.

    Raises:
        InputError: the folder does not exist, lacks a file or holds a broken one; the hub has no such model or cannot
            be reached; the weights are a pickle of more than tensors.
    """
    options["trust_remote_code"] = False
    # Else a model without safetensors has a service of the hub convert it, and later loads take that copy.
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    folder = Path(model).expanduser()
    if folder.is_dir():
        try:
            _check_config(folder / "config.json")
            with quiet():
                return from_pretrained(str(folder), local_files_only=True, **options)
        except pickle.UnpicklingError as error:
            raise _refused(str(folder)) from error
        except Exception as error:  # the parsers of broken files raise errors of many kinds
            raise InputError(
                f"The folder {folder} holds no complete pretrained model ({_first_line(error)}): "
                f"download all files of the model, for instance with `hf download ID --local-dir {folder}`."
            ) from error
    if is_path(model):
        raise InputError(f"There is no model folder {folder}: check the path, or give the id of a model on the hub.")
    if revision is not None:
        options["revision"] = revision
    try:
        with quiet():
            return from_pretrained(model, local_files_only=True, **options)
    except pickle.UnpicklingError as error:
        raise _refused(model) from error
    except (OSError, ValueError):
        pass  # not in the cache, or not all of it
    try:
        with quiet(bars=True):
            return from_pretrained(model, **options)
    except pickle.UnpicklingError as error:
        raise _refused(model) from error
    except Exception as error:  # what the network, the hub and the parsers raise has no common class
        at = "" if revision is None else f" --revision {revision}"
        raise InputError(
            f"The model {model}{f' at revision {revision}' if revision else ''} is not a local folder and could not be "
            f"had from the Hugging Face hub: where there is a network run `huggingface-cli download {model}{at}` "
            f"(`hf download {model}{at}` in newer versions), or give a local folder with its files."
        ) from error


def _check_config(path: Path) -> None:
    """Raise a ValueError where a config states a network that no memory has room for, before it is built."""
    if not path.is_file():
        return  # what reads it says so
    config = json.loads(content_of(path, _MOST_CONFIG))
    for name, value in config.items() if isinstance(config, dict) else ():
        most = next((limit for part, limit in _MOST.items() if part in name), None)
        if most is not None and isinstance(value, int | float) and not abs(value) <= most:
            raise ValueError(f"config.json states {name} {value:.6g}" if abs(value) < 1e300 else f"{name} is no number")


def _refused(model: str) -> InputError:
    return InputError(
        f"The weights of the model {model} are a pickle with more than tensors in it and were not read, "
        f"because such a file can run any program: give a copy of the model with a model.safetensors file."
    )


@contextmanager
def quiet(bars: bool = False) -> Iterator[None]:
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
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300].rstrip(".")

"""Config files before LightningCLI reads them: what it would answer with a traceback, or with hours, is told here."""

import difflib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from wav2uti.errors import InputError
from wav2uti.files import content_of
from wav2uti.shipped import shipped_configs

MOST_BYTES = 1 << 20
MOST_VALUES = 100_000  # of a config whose aliases are written out; a run's own has 500


def with_shipped(args: Sequence[str]) -> list[str]:
    """A command line where `--config a_t_64` is the file of the shipped config.

    So is configs/a_t_64.yaml where there is no such file, so that the lines of the documentation work from any folder.

    Raises:
        InputError: it names neither a file nor a shipped config.
    """
    found = list(args)
    for place, argument in enumerate(args):
        name, equals, value = argument.partition("=")
        if name not in ("--config", "-c"):
            continue
        if equals:
            found[place] = f"{name}={_path_of(value)}"
        elif place + 1 < len(args):
            found[place + 1] = _path_of(args[place + 1])
    return found


def _path_of(value: str) -> str:
    """What --config gets for a value: the file, or where there is none of that name the shipped config."""
    looks_like_a_name = re.fullmatch(r"[\w./-]+", value) is not None
    if not looks_like_a_name or (os.path.exists(value) and not os.path.isdir(value)):  # noqa: PTH110, PTH112 (never raise)
        return value
    shipped = shipped_configs()
    name = value.removeprefix("configs/").removesuffix(".yaml")
    if name not in shipped:
        close = difflib.get_close_matches(name, shipped, n=3) or ["a_t_64", "simulated"]
        raise InputError(
            f"There is no config {value}: give a YAML file, or the name of one that comes with wav2uti, such as "
            f"{' or '.join(close)}."
        )
    return str(shipped[name])


def check_configs(args: Sequence[str]) -> None:
    """Check the files that are named by --config.

    Raises:
        InputError: a file that is no YAML in UTF-8, or that its aliases make endless: ten lines can stand for 10^9.
    """
    for path in _named(args):
        if os.path.isfile(path):  # noqa: PTH113 (never raises); LightningCLI says what else is wrong
            read_config(path)


def _named(args: Sequence[str]) -> Iterator[Path]:
    """Values of `--config FILE` and `--config=FILE`."""
    for place, argument in enumerate(args):
        name, equals, value = argument.partition("=")
        if name in ("--config", "-c"):
            yield from [Path(value)] if equals else map(Path, args[place + 1 : place + 2])


def read_config(path: Path) -> Any:
    """What a YAML file says; see `check_configs`."""
    try:
        text = content_of(path, MOST_BYTES).decode("utf-8-sig")
        if (node := yaml.compose(text, yaml.SafeLoader)) is not None and _size(node, {}) > MOST_VALUES:
            raise InputError(f"{path} stands for more than {MOST_VALUES} values by its aliases: write out fewer.")
        return yaml.safe_load(text)
    except InputError:
        raise
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise InputError(f"{path} is no config ({reason}): give YAML in UTF-8, such as configs/debug.yaml.") from error


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """Values in a node, those of an alias as often as it stands there."""
    if id(node) not in known:
        known[id(node)] = MOST_VALUES  # an alias of what it stands in has no end
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        known[id(node)] = 1 if isinstance(node, yaml.ScalarNode) else 1 + sum(_size(part, known) for part in parts)
    return known[id(node)]

"""What can be completed, from the signatures of all commands: `make completion` writes it to options.json.

Collecting it imports everything, which takes ten seconds; a shell that starts must not wait for them.
"""

import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from wav2uti.cli import COMMANDS, LIGHTNING, described, function_of

FILE = Path(__file__).with_name("options.json")
DEEPEST = 3  # classes in classes: --model.init_args.net.init_args.channels has two
HELP = {"help": "list all options", "nargs": 0}
Options = dict[str, dict[str, Any]]


def collect() -> dict[str, Options]:
    """For each command its options and arguments by name: `help`, and what may follow as `choices` or `complete`."""
    return {name: _of_lightning(name) if name in LIGHTNING else _of_function(name) for name in COMMANDS}


def write() -> None:
    """Write what `collect` finds to options.json."""
    FILE.write_text(json.dumps(collect(), indent=0, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


def _of_function(name: str) -> Options:
    command = COMMANDS[name]
    function = function_of(command)
    found: Options = {"--help": HELP}
    for parameter, hint in _parameters(function):
        needed = inspect.signature(function).parameters[parameter].default is inspect.Parameter.empty
        by_place = needed or parameter in command.optional
        about = _about(hint, described(function, parameter))
        if by_place:
            found[parameter] = about | {"nargs": "+" if get_origin(hint) is list else None if needed else "?"}
        else:
            found[f"--{parameter}"] = about
            found |= _inside(f"--{parameter}", hint, "")
    return found


def _of_lightning(name: str) -> Options:
    """Of a command of LightningCLI: those of the Trainer, of the data, and of all our models."""
    import lightning.pytorch as pl

    import wav2uti.trainer  # noqa: F401 (it brings all models along)
    from wav2uti.data.module import ClipData
    from wav2uti.tasks.base import Task

    found: Options = {
        "--config": {"help": "YAML file, or the name of a config that comes with wav2uti", "complete": "config"},
        "--ckpt_path": {"help": "checkpoint, exported folder, or name of a model", "complete": "file"},
        "--seed_everything": {"help": "seed of all random numbers"},
        "--print_config": {"help": "print the whole config and exit", "nargs": 0},
        "--help": HELP,
        "--model": _about(Task, "what is trained"),
    }
    for prefix, owner in (("trainer", pl.Trainer), ("data", ClipData)):
        for parameter, hint in _parameters(_made_by(owner)):
            found[f"--{prefix}.{parameter}"] = _about(hint, described(owner, parameter))
    if name != "fit":
        found["--verbose"] = {"help": "print the results", "choices": ["true", "false"]}
    logger = {f"--trainer.logger.init_args.{part}": {"help": ""} for part in ("save_dir", "name", "version")}
    return found | logger | _inside("--model", Task, ".init_args")


def _inside(option: str, hint: Any, between: str, depth: int = 1) -> Options:
    """The options of the classes that may stand at an option."""
    found: Options = {}
    for one in _classes(hint):
        for parameter, inner in _parameters(_made_by(one)):
            if parameter == "facts":
                continue  # they come from the data
            name = f"{option}{between}.{parameter}"
            about = _about(inner, described(one, parameter))
            known = found.get(name, {}).get("choices", [])
            found[name] = {**about, **({"choices": sorted({*known, *about["choices"]})} if "choices" in about else {})}
            if depth < DEEPEST:
                found |= _inside(name, inner, between if _has_subclasses(inner) else "", depth + 1)
    return found


def _about(hint: Any, help: str) -> dict[str, Any]:
    parts = list(_flat(hint))
    about: dict[str, Any] = {"help": help[:100]}
    choices = [str(value) for part in parts if get_origin(part) is Literal for value in get_args(part)]
    choices += ["true", "false"] if bool in parts else []
    choices += [one.__name__ for one in _classes(hint)] if _has_subclasses(hint) else []
    if choices:
        about["choices"] = sorted(set(choices))
    elif Path in parts or list[Path] in parts:
        about["complete"] = "file"
    return about


def _classes(hint: Any) -> list[type]:
    """Our own classes that may stand where a type is asked for."""
    found: dict[str, type] = {}
    for part in _flat(hint):
        if isinstance(part, type) and part.__module__.startswith("wav2uti."):
            for one in (part, *_subclasses(part)):
                lacks = any(getattr(value, "__isabstractmethod__", False) for value in vars(one).values())
                if not lacks and one.__module__.startswith("wav2uti."):
                    found.setdefault(one.__name__, one)
    return list(found.values())


def _has_subclasses(hint: Any) -> bool:
    return len(_classes(hint)) > 1


def _subclasses(one: type) -> Iterator[type]:
    below: list[type] = one.__subclasses__()
    for sub in below:
        yield sub
        yield from _subclasses(sub)


def _made_by(one: type) -> Callable[..., Any]:
    made: Callable[..., Any] = getattr(one, "__init__")  # noqa: B009 (mypy)
    return made


def _parameters(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    try:
        hints = get_type_hints(function)
    except (NameError, TypeError):  # of torch and Lightning, which name some types for the type checker only
        hints = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name != "self" and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            yield name, hints.get(name)


def _flat(hint: Any) -> Iterator[Any]:
    """A type, or the members of a union; `type[...]` is one, whose classes are not made from options."""
    members = [part for part in get_args(hint) if part is not NoneType]
    if get_origin(hint) in (None, Literal, list, dict, tuple, type) or not members:
        yield hint
    elif get_origin(hint) is not Callable:
        for part in members:
            yield from _flat(part)


if __name__ == "__main__":
    write()

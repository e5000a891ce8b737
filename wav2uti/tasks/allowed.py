"""What a checkpoint may name.

Its hyper-parameters are the options of a config, and whoever rebuilds a model from them imports every module that
they name and calls what they name in it: `net: {class_path: os.system, init_args: {command: ...}}` runs a program,
though no pickle is involved. So they are looked at before anything is imported; `trusted` says which may be named.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from wav2uti.errors import InputError
from wav2uti.trusted import OWN, VARIABLE, is_trusted, is_within, path_of, trust, trusted_class

__all__ = ["check_named", "classes_named", "trust"]

INSTANTIATORS = (None, "lightning.pytorch.cli.instantiate_module", "pytorch_lightning.cli.instantiate_module")


def classes_named(config: Any) -> Iterator[str]:
    """Every `class_path` in a config, however deep."""
    if isinstance(config, Mapping):
        if isinstance(path := config.get("class_path"), str):
            yield path
        for value in config.values():
            yield from classes_named(value)
    elif isinstance(config, list | tuple):
        for value in config:
            yield from classes_named(value)


def check_named(source: str | Path, options: Any) -> None:
    """Raise an InputError where hyper-parameters name what no checkpoint may name; nothing foreign is imported.

    Beside class paths only texts are allowed that the class itself lists (a `Literal`) or has as a default: where a
    class or a function is expected, jsonargparse takes a text for its import path or for a file with more options.

    Args:
        source: what the sentence calls the checkpoint.
        options: its hyper-parameters, as `save_hyperparameters` leaves them.
    """
    if not isinstance(options, Mapping) or "_class_path" not in options:
        raise InputError(f"{source} names no model of wav2uti; give the .ckpt file of a `wav2uti fit` run.")
    if options.get("_instantiator") not in INSTANTIATORS:
        raise _refusal(source, options["_instantiator"])
    model = _class(source, options["_class_path"])
    for name, value in options.items():
        if name == "facts":
            _check_facts(source, value)
        elif name not in ("_class_path", "_instantiator"):
            _check(source, f"model.init_args.{name}", value, _parameters([model]).get(name))


class _Parameter:
    """What a constructor says of one of its parameters."""

    def __init__(self, hint: Any, default: Any, foreign: bool) -> None:
        self.hint, self.default = hint, default
        self.foreign = foreign  # of a class that the user trusts, not of ours

    def takes(self, text: str) -> bool:
        """Whether a text may stand here."""
        flat = list(_flat(self.hint))
        listed = any(get_origin(part) is Literal and text in get_args(part) for part in flat)
        return listed or (isinstance(self.default, str) and self.default == text) or (self.foreign and str in flat)

    @property
    def classes(self) -> list[type]:
        """Classes whose options may stand here without their name, as those of a dataclass do."""
        return [part for part in _flat(self.hint) if isinstance(part, type) and is_trusted(path_of(part))]


def _check(source: str | Path, place: str, value: Any, parameter: _Parameter | None) -> None:
    if value is None or isinstance(value, bool | int | float):
        return
    if isinstance(value, str):
        if parameter is None or not parameter.takes(value):
            raise InputError(
                f"{source} gives the text {value[:80]!r} as {place}, where none belongs, and was not loaded, because "
                "such a text can be the name of any program: get the file from its authors again."
            )
    elif isinstance(value, list | tuple):
        for part in value:
            _check(source, place, part, parameter)
    elif isinstance(value, dict):
        _check_options(source, place, value, parameter)
    else:
        raise InputError(f"{source} holds a {type(value).__name__} as {place}: get the file from its authors again.")


def _check_options(source: str | Path, place: str, value: dict[Any, Any], parameter: _Parameter | None) -> None:
    """A class with its options, or the options alone where the class is plain."""
    if "class_path" in value:
        if unknown := set(value) - {"class_path", "init_args", "dict_kwargs"}:
            raise _odd_name(source, place, min(unknown, key=str))
        parameters = _parameters([_class(source, value["class_path"])])
        given = [(k, v) for part in ("init_args", "dict_kwargs") for k, v in (value.get(part) or {}).items()]
    else:
        parameters = _parameters(parameter.classes if parameter else [])
        given = list(value.items())
    for name, part in given:
        if not (isinstance(name, str) and name.isidentifier()):
            raise _odd_name(source, place, name)  # jsonargparse reads a.b as the option b of a
        _check(source, f"{place}.{name}", part, parameters.get(name))


def _check_facts(source: str | Path, value: Any) -> None:
    """Facts are plain values; a class in them would be built as well."""
    if isinstance(value, dict):
        for name, part in value.items():
            if not (isinstance(name, str) and name.isidentifier()) or name == "class_path":
                raise _odd_name(source, "facts", name)
            _check_facts(source, part)
    elif isinstance(value, list | tuple):
        for part in value:
            _check_facts(source, part)
    elif isinstance(value, str):
        if "class_path" in value:
            raise _odd_name(source, "facts", value)
    elif not (value is None or isinstance(value, bool | int | float)):
        raise InputError(f"{source} holds a {type(value).__name__} in its facts: get the file from its authors again.")


def _class(source: str | Path, path: Any) -> type:
    """The class that an import path names, if it may be named; its module is imported only then."""
    found = trusted_class(path)
    if found is None:
        raise _refusal(source, path)
    return found


def _parameters(classes: list[type]) -> dict[str, _Parameter]:
    """The parameters of constructors, those that `**options` pass on to a base class included."""
    found: dict[str, _Parameter] = {}
    for base in (base for one in classes for base in reversed(one.__mro__)):
        init = vars(base).get("__init__")
        if init is None or base is object:
            continue
        hints: dict[str, Any] = {}
        with suppress(NameError, TypeError):  # torch names some types for the type checker only
            hints = get_type_hints(init)
        foreign = not is_within(path_of(base), OWN)
        with suppress(ValueError, TypeError):
            for name, parameter in inspect.signature(init).parameters.items():
                found[name] = _Parameter(hints.get(name), parameter.default, foreign)
    return found


def _flat(hint: Any) -> Iterator[Any]:
    """A type and the members of a union or the items of a list, but not what a callable takes or returns."""
    yield hint
    if get_origin(hint) not in (Literal, Callable):
        for part in get_args(hint):
            yield from _flat(part)


def _refusal(source: str | Path, path: Any) -> InputError:
    return InputError(
        f"{source} names {str(path)[:80]!r}, which is no class of wav2uti or torch.optim, and was not loaded, because "
        f"a checkpoint could run any program so: where you trust it, set {VARIABLE} to the name of its package."
    )


def _odd_name(source: str | Path, place: str, name: Any) -> InputError:
    return InputError(
        f"{source} holds {str(name)[:80]!r} in {place}, where it does not belong, and was not loaded: "
        "get the file from its authors again."
    )

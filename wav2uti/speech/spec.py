"""Encoders from what shards and checkpoints say of them: a class of ours by its name, a user's by its import path."""

from collections.abc import Mapping
from typing import Any, TypeVar

from wav2uti.errors import InputError
from wav2uti.trusted import VARIABLE, trusted_class

T = TypeVar("T")


def built(spec: Any, ours: Mapping[str, type[T]], base: type[T], what: str) -> T:
    """The object that a spec {"class", "args"} describes.

    Args:
        spec: as the `spec` method of the object gave it.
        ours: classes of this package by name.
        base: what a user's class must be derived from.
        what: what the sentence of an error calls it.

    Raises:
        InputError: another class than these, one that the user has not said he trusts, or other arguments than its.
    """
    name = spec.get("class") if isinstance(spec, Mapping) else None
    if isinstance(name, str) and "." in name:
        found = trusted_class(name)
        if found is None or not issubclass(found, base):
            raise InputError(
                f"The {what} {name[:80]!r} is not of wav2uti, and was not loaded, because a file could run any program "
                f"so: where you trust it, set {VARIABLE}={name.partition('.')[0][:80]} and put its module on "
                "PYTHONPATH."
            )
        chosen: type[T] = found
    elif isinstance(name, str) and name in ours:
        chosen = ours[name]
    else:
        raise InputError(f"{spec!r} describes no {what}: give a class of {', '.join(ours)} with its arguments.")
    try:
        return chosen(**spec.get("args", {}))
    except TypeError as error:
        raise InputError(
            f"{spec!r} describes no {what}: give a class of {', '.join(ours)} with its arguments."
        ) from error

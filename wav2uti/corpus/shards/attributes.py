"""Attributes of a shard that cannot change unnoticed: text of fixed length, and a digest over all of a group's.

HDF5 keeps text of variable length in a heap that has no checksum: a flipped bit there changes a word or the name of a
speaker silently, and in some places makes the library loop for ever. Text of fixed length lies in the object's header,
whose metadata carries checksums. What is larger than 64 KiB lies beside it without one, and an attribute that is gone
leaves no trace: the digest finds both.
"""

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import h5py
import numpy as np

from wav2uti.errors import InputError

DIGEST = "digest"  # attribute of a group: 16 bytes of BLAKE2b over its others, in hexadecimal

Plain = str | bool | int | float


def write_attributes(group: Any, attributes: Mapping[str, Any]) -> None:
    """Set the attributes of a group, in the place of all that it has, and their digest.

    Args:
        group: of an HDF5 file open for writing.
        attributes: text, bool, int and float.

    Raises:
        InputError: a text holds a NUL character, which would end it.
    """
    plain = {name: _plain(name, value) for name, value in attributes.items() if name != DIGEST}
    for name in list(group.attrs):
        del group.attrs[name]
    for name, value in (plain | {DIGEST: digest_of(plain)}).items():
        if isinstance(value, str):
            if "\0" in value:
                raise InputError(f"{name} of {group.name} holds a NUL character: take it out of the text.")
            encoded = value.encode()
            # HDF5 has no text of length 0; the one NUL that fills the place is not read back.
            group.attrs.create(name, np.array(encoded, h5py.string_dtype("utf-8", max(len(encoded), 1))))
        else:
            group.attrs[name] = value


def read_attributes(group: Any, digested: bool) -> dict[str, Plain]:
    """The attributes of a group without their digest.

    Args:
        group: of an open HDF5 file.
        digested: they must have a digest; schema version 1 had none.

    Raises:
        ValueError: they are not those that were written.
    """
    plain = {name: _plain(name, value) for name, value in group.attrs.items()}
    digest = plain.pop(DIGEST, None)
    if digest is None and digested:
        raise ValueError("the digest of its attributes is missing")
    if digest is not None and digest != digest_of(plain):
        raise ValueError("its attributes are not those that were written")
    return plain


def text_in(attributes: Mapping[str, Any], name: str) -> str:
    """An attribute that must be text. Raises KeyError where it is missing, ValueError where it is something else."""
    value = attributes[name]
    if not isinstance(value, str):
        raise ValueError(f"its attribute {name} is a {type(value).__name__}, no text")
    return value


def digest_of(attributes: Mapping[str, Plain]) -> str:
    """Digest of attributes; their order does not matter, their types do."""
    return blake2b(json.dumps(attributes, sort_keys=True).encode(), digest_size=16).hexdigest()


def size_of(attributes: Mapping[str, Any]) -> int:
    """Bytes that attributes take in a file, at most: the heap of a group's attributes doubles as it grows."""
    return 3 * sum(len(str(value).encode()) for value in attributes.values())


def _plain(name: str, value: Any) -> Plain:
    if isinstance(value, np.generic) and not isinstance(value, bytes):
        value = value.item()
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, str | bool | int | float):
        return value
    raise ValueError(f"its attribute {name} is a {type(value).__name__}, neither text nor a number")

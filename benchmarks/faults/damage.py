"""Faults in the bytes of a file, each a function of the whole content and a random generator."""

import random
from collections.abc import Callable

Damage = Callable[[bytes, random.Random], bytes]

BLOCK = 4096  # of a file system


def flip_one(content: bytes, rng: random.Random) -> bytes:
    """One byte gets another value."""
    return _flipped(content, rng, 1)


def flip_several(content: bytes, rng: random.Random) -> bytes:
    """2 to 8 bytes get other values, anywhere."""
    return _flipped(content, rng, rng.randint(2, 8))


def flip_neighbours(content: bytes, rng: random.Random) -> bytes:
    """2 to 8 bytes in a row get other values."""
    count = rng.randint(2, 8)
    place = rng.randrange(len(content) - count)
    return content[:place] + rng.randbytes(count) + content[place + count :]


def zero_block(content: bytes, rng: random.Random) -> bytes:
    """A block of the file system is lost and reads as zeros."""
    place = rng.randrange(0, max(len(content) // BLOCK, 1)) * BLOCK
    lost = content[place : place + BLOCK]
    return content[:place] + bytes(len(lost)) + content[place + BLOCK :]


def truncate(content: bytes, rng: random.Random) -> bytes:
    """The end is missing."""
    return content[: rng.randrange(1, len(content))]


def append(content: bytes, rng: random.Random) -> bytes:
    """Bytes follow the end."""
    return content + rng.randbytes(rng.randint(1, 2 * BLOCK))


def empty(content: bytes, rng: random.Random) -> bytes:
    """Nothing is left."""
    return b""


BYTEWISE: tuple[Damage, ...] = (flip_one, flip_several, flip_neighbours, zero_block, truncate, append)


def _flipped(content: bytes, rng: random.Random, count: int) -> bytes:
    changed = bytearray(content)
    for place in rng.sample(range(len(content)), count):
        changed[place] ^= rng.randint(1, 255)
    return bytes(changed)

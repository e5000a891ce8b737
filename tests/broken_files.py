"""Broken files, made by chance, and what every reader owes them: a valid result or one sentence, in time and in bounds.

A file is a small valid one after one to three changes, or nothing but random bytes or letters.
"""

import re
import resource
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from wav2uti.errors import InputError

SECONDS = 2.0  # of work that one example may take, many times what the slowest does
HANG = 30.0  # s on the clock after which an example is stopped, busy or waiting
MEGABYTES = 1024  # of address space that one example may take beside what the process has

LETTERS = "aé你\"'<>!=;,\t\r\n \x00.-+019"
NUMBERS = [
    "0",
    "-1",
    "1e999",
    "-1e308",
    "nan",
    "inf",
    "-inf",
    "1e-300",
    "4294967297",
    "1000000000000000000",
    "9" * 400,
    "9" * 5000,
    "0,5",
    "1.5.2",
    "+",
    "٣",
    "null",
    "true",
    '"1"',
    "[]",
]
_WHOLE = [0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF]
_SNIPPETS = [b"\x00", b"\xff" * 8, b"\r\n", b"\xef\xbb\xbf", b"[" * 5000, b'{"a":' * 2000, b"\xed\xa0\x80", b"../" * 20]


@st.composite
def changed(draw: st.DrawFn, valid: bytes) -> bytes:
    """A valid file after one to three changes."""
    content = valid
    for _ in range(draw(st.integers(1, 3))):
        content = draw(st.sampled_from(_CHANGES))(draw, content)
    return content


def _cut(draw: st.DrawFn, content: bytes) -> bytes:
    at = draw(st.integers(0, len(content)))
    return content[:at] if draw(st.booleans()) else content[at:]


def _byte(draw: st.DrawFn, content: bytes) -> bytes:
    at = draw(st.integers(0, len(content)))
    return content[:at] + bytes([draw(st.integers(0, 255))]) + content[at + 1 :]


def _bit(draw: st.DrawFn, content: bytes) -> bytes:
    at = draw(st.integers(0, max(8 * len(content) - 1, 0)))
    return content[: at // 8] + bytes([content[at // 8] ^ 1 << at % 8]) + content[at // 8 + 1 :] if content else b""


def _insert(draw: st.DrawFn, content: bytes) -> bytes:
    at = draw(st.integers(0, len(content)))
    return content[:at] + draw(st.binary(max_size=20) | st.sampled_from(_SNIPPETS)) + content[at:]


def _repeat(draw: st.DrawFn, content: bytes) -> bytes:
    at, length = draw(st.integers(0, len(content))), draw(st.integers(1, 40))
    return content[:at] + content[at : at + length] * draw(st.sampled_from([2, 10, 300])) + content[at:]


def _field(draw: st.DrawFn, content: bytes) -> bytes:
    """A whole number of the file, which may be a size, becomes one that it should not be; mostly in the header."""
    size = draw(st.sampled_from([1, 2, 4, 8]))
    at = draw(st.integers(0, min(len(content), 200)) | st.integers(0, len(content)))
    value = draw(st.sampled_from(_WHOLE)) % 256**size
    return content[:at] + value.to_bytes(size, draw(st.sampled_from(["little", "big"]))) + content[at + size :]


def _line(draw: st.DrawFn, content: bytes) -> bytes:
    if not (lines := content.splitlines(keepends=True)):
        return content
    one, other = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    how = draw(st.sampled_from(["swap", "double", "drop"]))
    if how == "swap":
        lines[one], lines[other] = lines[other], lines[one]
    lines[one : one + 1] = lines[one : one + 1] * {"swap": 1, "double": 2, "drop": 0}[how]
    return b"".join(lines)


def _number(draw: st.DrawFn, content: bytes) -> bytes:
    if not (found := list(re.finditer(rb"-?\d+(?:[.,]\d+)?", content))):
        return content
    match = draw(st.sampled_from(found))
    return content[: match.start()] + draw(st.sampled_from(NUMBERS)).encode() + content[match.end() :]


def _encoding(draw: st.DrawFn, content: bytes) -> bytes:
    text = content.decode("utf-8", errors="replace")
    return text.encode(draw(st.sampled_from(["utf-16", "gb18030", "utf-8-sig"])), errors="replace")


_CHANGES = [_cut, _byte, _byte, _bit, _insert, _repeat, _field, _line, _number, _number, _encoding]


def broken(*valid: bytes) -> st.SearchStrategy[bytes]:
    """One of some valid files, changed, or random bytes or letters."""
    noise = st.one_of(st.binary(max_size=300), st.text(LETTERS, max_size=100).map(str.encode))
    return st.one_of(*(changed(content) for content in valid), *(changed(content) for content in valid), noise)


class Broken(AssertionError):
    """A reader did what none may do."""


def outcome(read: Callable[[Path, Any], object], folder: Path, content: Any, refusals: tuple[type, ...] = ()) -> str:
    """ "read" or "refused", as a reader has it.

    Args:
        read: writes the content into the folder, reads it and checks what came of it.
        folder: an empty one of its own.
        content: the broken file.
        refusals: exceptions with a sentence, beside `InputError`.

    Raises:
        Broken: any other exception, no sentence, too much time or memory, or a file outside of the folder.
    """
    before = _names(folder.parent) | _names(Path())
    start = time.process_time()
    told = "read"
    with warnings.catch_warnings(), _limits():
        warnings.simplefilter("error")  # numpy's, of values that should have been refused
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        try:
            read(folder, content)
        except (InputError, *refusals) as error:
            told = "refused"
            check_sentence(error)
        except MemoryError as error:
            raise Broken(f"more than {MEGABYTES} MB were asked for") from error
    if time.process_time() - start > SECONDS:
        raise Broken(f"it took {time.process_time() - start:.1f} s")
    if _names(folder.parent) | _names(Path()) != before:
        raise Broken("a file was made outside of the folder")
    return told


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".hypothesis", "__pycache__"}


def check_sentence(error: BaseException) -> None:
    """Raise `Broken` where a message is no sentence of one line, or hides that the memory was full."""
    message = str(error)
    if not message.endswith(".") or any(ord(character) < 32 for character in message) or len(message) > 3000:
        raise Broken(f"no sentence: {message[:300]!r}") from error
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError) or "alloc" in str(cause):
            raise Broken(f"more than {MEGABYTES} MB were asked for: {message}") from error
        cause = cause.__cause__


def check(
    read: Callable[[Path, Any], object],
    strategy: st.SearchStrategy[Any],
    folder: Path,
    examples: int,
    random: int | None = None,
    refusals: tuple[type, ...] = (),
    counts: dict[str, int] | None = None,
) -> None:
    """Read so many broken files, the same ones each time or those of a random seed; the first that is wrong raises."""

    @settings(
        max_examples=examples,
        derandomize=random is None,
        database=None,
        deadline=None,
        phases=[Phase.generate] if counts is not None else [Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(strategy)
    def holds(content: Any) -> None:
        told = outcome(read, folder, content, refusals)
        if counts is not None:
            counts[told] = counts.get(told, 0) + 1

    (holds if random is None else seed(random)(holds))()


@contextmanager
def _limits() -> Iterator[None]:
    """Bounds of clock time and of memory for what runs within; only where the system can tell the memory."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Broken(f"it did not end within {HANG:g} s")

    status = Path("/proc/self/statm")
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if status.exists():
        now = int(status.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + MEGABYTES * 2**20, hard))
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, HANG)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


Readers = Mapping[str, tuple[Callable[[Path, Any], object], st.SearchStrategy[Any]]]

"""What becomes of an injected fault, found out in a child process: a crash of a library ends only that."""

import os
import select
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from wav2uti.errors import InputError

DETECTED = "detected"  # an InputError: one sentence that names the file
SURVIVED = "survived"  # all that is read equals what is read without the fault
SILENT = "silent"  # something else is read, and nothing said
TRACEBACK = "traceback"  # another exception, or an InputError that is no sentence or does not name the file
CRASH = "crash"  # the process ended by a signal
HANG = "hang"  # no answer within the time limit
BAD = (SILENT, TRACEBACK, CRASH, HANG)

LIMIT = 20.0  # s for an answer; an undisturbed one takes less than a tenth of a second


@dataclass
class Tally:
    """Outcomes by kind of fault, and what the bad ones were."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)

    def add(self, kind: str, outcome: str, about: str = "") -> None:
        """Count one injection."""
        self.counts.setdefault(kind, Counter())[outcome] += 1
        if outcome in BAD:
            self.bad.append(f"{kind}: {outcome}: {about}")

    @property
    def injections(self) -> int:
        """Of all kinds."""
        return sum(sum(counts.values()) for counts in self.counts.values())

    def report(self) -> dict[str, Any]:
        """Plain JSON types."""
        totals = sum(self.counts.values(), Counter())
        return {
            "injections": self.injections,
            "outcomes": {name: totals[name] for name in (DETECTED, SURVIVED, *BAD)},
            "by_kind": {kind: dict(counts) for kind, counts in self.counts.items()},
            "bad": self.bad[:40],
        }


def told(error: InputError, names: str) -> tuple[str, str]:
    """The outcome of an InputError: one sentence that names the file is what a user can use."""
    sentence = str(error)
    if "\n" in sentence or not sentence.endswith(".") or names not in sentence:
        return TRACEBACK, f"no sentence about {names}: {sentence!r}"
    return DETECTED, sentence


def outcome_of(read: Callable[[], Any], expected: Any, names: str) -> tuple[str, str]:
    """Call `read` here and now: the outcome and, unless it survived, what was said.

    Args:
        read: gives what there is to be read; compared with == and by type.
        expected: what it gives without the fault.
        names: a part of the file's name.
    """
    try:
        found = read()
    except InputError as error:
        return told(error, names)
    except Exception as error:
        return TRACEBACK, f"{type(error).__name__}: {error}"
    return (SURVIVED, "") if found == expected else (SILENT, _difference(found, expected))


def in_child(work: Callable[[], tuple[str, str]], limit: float = LIMIT) -> tuple[str, str]:
    """The same from a forked process, with crashes and hangs told apart."""
    receive, send = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(receive)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        try:
            answer = "\0".join(work())
        except BaseException as error:
            answer = f"{TRACEBACK}\0{type(error).__name__}: {error}"
        os.write(send, answer.encode(errors="replace")[:4000])
        os._exit(0)
    os.close(send)
    try:
        ready, _, _ = select.select([receive], [], [], limit)
        if not ready:
            os.kill(process, signal.SIGKILL)
        answer = os.read(receive, 4096).decode(errors="replace") if ready else ""
    finally:
        os.close(receive)
        _, status = os.waitpid(process, 0)
    if not ready:
        return HANG, f"no answer in {limit:g} s"
    if not answer:
        return CRASH, f"ended with {os.waitstatus_to_exitcode(status)}"
    outcome, _, about = answer.partition("\0")
    return outcome, about


def _difference(found: Any, expected: Any) -> str:
    if isinstance(found, dict) and isinstance(expected, dict):
        names = [str(name) for name in {*found, *expected} if found.get(name) != expected.get(name)]
        return f"other values of {', '.join(sorted(names))[:200]}"
    return "other values"

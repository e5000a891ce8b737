"""An extension of griffe, which reads the docstrings for the reference: two ways of writing that it does not know.

Examples (`>>> ...`) stand without a heading, and Markdown would take them for quotations. Parameters that one sentence
describes stand together (`words, phones: ...`), and griffe would look for one of that name.
"""

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^( *)>>> .*\n(?:\1.*\S.*\n?)*", re.M)
TOGETHER = re.compile(r"^( +)(\w+(?:, \w+)+): (.+(?:\n\1 +.+)*)", re.M)


class Docstrings(griffe.Extension):
    """Fences examples, and gives each parameter its own line."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = rewritten(obj.docstring.value)


def rewritten(docstring: str) -> str:
    """The docstring in Markdown and Google style."""
    head, heading, sections = docstring.partition("\nArgs:\n")
    if not heading:
        head, heading, sections = docstring.partition("\nAttributes:\n")
    return EXAMPLE.sub(_fenced, head) + heading + TOGETHER.sub(_apart, EXAMPLE.sub(_fenced, sections))


def _fenced(match: re.Match[str]) -> str:
    example = match[0].rstrip("\n")
    return f"{match[1]}```pycon\n{example}\n{match[1]}```\n"


def _apart(match: re.Match[str]) -> str:
    return "\n".join(f"{match[1]}{name.strip()}: {match[3]}" for name in match[2].split(","))

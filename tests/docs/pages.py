"""The code blocks of the documentation's pages, and what each asks of the tests.

A block of `sh` or `python` is run, in the order of the page. One that cannot be run here says so in a comment right
before it, which readers of the site do not see:

    <!-- check: run with OPTIONS, because ... -->   run, with OPTIONS behind its only command of wav2uti
    <!-- check: parse, because ... -->              its commands are read by the program's own parsers, and not run
    <!-- check: syntax, because ... -->             only the shell reads it; none of its commands is wav2uti's

A block with `title="NAME"` is a file, which is written before what follows is run. Blocks in `text` are what a program
prints or what a file looks like, and may hold no command.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from conftest import REPOSITORY
from markdown_it import MarkdownIt
from markdown_it.token import Token

MARK = re.compile(r"<!-- check: (?:(?P<how>parse|syntax)|run with (?P<options>.+?)), because (?P<why>.+?) -->", re.S)
PROGRAMS = "wav2uti|make|pip|python3?|git|export|cd|dask|torchrun|sbatch|rsync|wandb|tensorboard"
COMMAND = re.compile(rf"^\s*(?:\$ )?(?:{PROGRAMS}) [-\w./]", re.M)


@dataclass(frozen=True)
class Block:
    """A code block of a page.

    Attributes:
        page: below the repository.
        line: of its first line, from 1.
        language: behind the fence; empty for an indented block.
        title: name of the file that it is, or empty.
        text: its lines.
        how: "run", "parse" or "syntax".
        options: behind its command when it is run here.
    """

    page: str
    line: int
    language: str
    title: str
    text: str
    how: str
    options: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


class BadPage(AssertionError):
    """A page that the tests cannot take as it is."""


def pages() -> list[Path]:
    """Every page of the site and every other page of the repository that shows commands."""
    others = ("README.md", "SECURITY.md", "data/README.md")
    return sorted([*(REPOSITORY / "docs").rglob("*.md"), *(REPOSITORY / name for name in others)])


def blocks(path: Path, text: str | None = None) -> Iterator[Block]:
    """The code blocks of a page in their order.

    Raises:
        BadPage: a mark that is none, or that no block follows.
    """
    page = str(path.relative_to(REPOSITORY)) if path.is_relative_to(REPOSITORY) else path.name
    mark: re.Match[str] | None = None
    for token in MarkdownIt("commonmark").parse(path.read_text() if text is None else text):
        line = (token.map or [0])[0] + 1
        if token.type == "html_block" and "check:" in token.content:
            if mark is not None or (mark := MARK.fullmatch(token.content.strip())) is None:
                raise BadPage(f"{page}:{line}: this is no mark, or the one before it belongs to no block")
        elif token.type in ("fence", "code_block"):
            yield _block(page, line, token, mark)
            mark = None
        elif mark is not None:
            raise BadPage(f"{page}:{line}: no block follows the mark before this line")
    if mark is not None:
        raise BadPage(f"{page}: no block follows its last mark")


def _block(page: str, line: int, token: Token, mark: re.Match[str] | None) -> Block:
    language, _, rest = token.info.strip().partition(" ")
    title = re.search(r'title="([^"]+)"', rest)
    how = (mark["how"] or "run") if mark else "run"
    return Block(
        page, line, language, title[1] if title else "", token.content, how, (mark["options"] or "") if mark else ""
    )

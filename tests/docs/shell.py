"""Commands of a shell block: taken apart, and read by the parsers of the programs that they call."""

import functools
import importlib
import shlex
import subprocess
import tomllib
from collections.abc import Callable, Iterator

import pytest
from conftest import REPOSITORY

from wav2uti.cli import COMMANDS, LIGHTNING, main

KEYWORDS = {"do", "then", "else", "if", "while", "until", "!", "(", "{"}
ENDS = {"|", "||", "&&", ";", "&", ")", "}"}


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command of a block, without assignments before it, redirections and keywords of the shell.

    >>> [words for words in commands("A=1 wav2uti fit \\\\\\n  --config x  # why\\nfor i in 1 2; do make demo; done")]
    [['wav2uti', 'fit', '--config', 'x'], ['for', 'i', 'in', '1', '2'], ['make', 'demo'], ['done']]
    """
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;()")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word in ENDS or set(word) <= set("|&;()"):
                if words:
                    yield words
                words = []
            elif words or not (word in KEYWORDS or _is_assignment(word)):
                words.append(word if words else word.removeprefix(".venv/bin/"))


def _is_assignment(word: str) -> bool:
    return "=" in word and word.partition("=")[0].isidentifier()


def check(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the program that a command calls read its options; nothing is done.

    Raises an AssertionError where the program does not know them, or is none that can be asked.
    """
    match words:
        case ["wav2uti", *arguments]:
            check_wav2uti(arguments, monkeypatch)
        case ["make", *targets]:
            for target in targets:
                if "=" not in target:
                    make = ["make", "--dry-run", "--always-make", target]
                    subprocess.run(make, cwd=REPOSITORY, check=True, capture_output=True)
        case ["pip", "install", *packages]:
            known = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
            for package in packages:
                if "[" in package:
                    wanted = package.partition("[")[2].partition("]")[0].split(",")
                    assert set(wanted) <= known.keys(), f"there is no extra {wanted} of {package}"
        case ["python", script, *_] if script.endswith(".py"):
            assert (REPOSITORY / script).is_file(), f"there is no {script}"
        case ["torchrun", *options]:
            check(["wav2uti", *options[options.index("wav2uti") + 1 :]], monkeypatch)
        case ["source", ".venv/bin/activate"] | ["git", "clone", *_] | ["cd", _] | ["dask" | "rsync" | "wandb", *_]:
            pass  # there is nothing in them that could become wrong by a change of ours
        case ["sbatch", script, *configs]:
            assert all((REPOSITORY / path).is_file() for path in [script, *configs])
        case _:
            raise AssertionError(f"no test can read the command {words[0]!r}: mark its block `syntax`, with the reason")


def check_wav2uti(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a command of wav2uti read its options as it does when it is run, and stop before it works."""
    monkeypatch.chdir(REPOSITORY)  # where configs/ lies
    name = next((word for word in arguments if not word.startswith("-")), "")
    assert name in COMMANDS or "--help" in arguments or "--version" in arguments, f"no command {name!r}"
    if not {"--help", "--version"} & set(arguments):
        if name in LIGHTNING:
            arguments = [*arguments, "--print_config"]
        else:
            path, _, function = COMMANDS[name].function.partition(":")
            module = importlib.import_module(path)
            monkeypatch.setattr(module, function, _idle(getattr(module, function)))
    try:
        status = main(arguments)
    except SystemExit as stop:
        status = int(stop.code or 0)
    assert status == 0, f"wav2uti does not take {shlex.join(arguments)}"


def _idle(function: Callable[..., None]) -> Callable[..., None]:
    """The same signature and docstring, and nothing is done."""

    @functools.wraps(function)
    def idle(**_: object) -> None:
        return None

    return idle

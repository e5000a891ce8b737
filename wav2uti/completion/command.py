"""The command `wav2uti completion`: a script that lets a shell complete commands and options by itself."""

import argparse
import json
from pathlib import Path
from typing import Any, Literal

from wav2uti.shipped import shipped_configs

OPTIONS = Path(__file__).with_name("options.json")


def completion(shell: Literal["bash", "zsh", "fish"]) -> None:
    """Print what lets a shell complete commands and options with the tab key.

    bash: `wav2uti completion bash > ~/.local/share/bash-completion/completions/wav2uti`;
    zsh: `wav2uti completion zsh > FOLDER_IN_FPATH/_wav2uti`;
    fish: `wav2uti completion fish > ~/.config/fish/completions/wav2uti.fish`.
    The script asks wav2uti nothing: make it again after an update.

    Args:
        shell: bash, zsh or fish.
    """
    import shtab

    print(shtab.complete(_parser(), shell))


def _parser() -> argparse.ArgumentParser:
    """A parser that parses nothing: it tells shtab what there is."""
    from wav2uti.cli import COMMANDS

    parser = argparse.ArgumentParser(prog="wav2uti")
    parser.add_argument("--version", action="store_true", help="show the version and exit")
    commands = parser.add_subparsers(dest="command")
    known = json.loads(OPTIONS.read_text(encoding="utf-8"))
    for name, command in COMMANDS.items():
        sub = commands.add_parser(name, help=command.summary, add_help=False)
        for option, about in sorted(known.get(name, {}).items(), key=lambda item: item[0].startswith("-")):
            _add(sub, option, about)
    return parser


def _add(parser: argparse.ArgumentParser, option: str, about: dict[str, Any]) -> None:
    given: dict[str, Any] = {"help": about["help"].replace("%", "%%")}
    if about.get("nargs") == 0:
        given["action"] = "store_true"
    else:
        given |= {"nargs": about.get("nargs"), "choices": about.get("choices")}
    action = parser.add_argument(option, **given)
    if complete := {"file": _files, "config": _configs}.get(about.get("complete", "")):
        action.complete = complete()  # type: ignore[attr-defined] # the attribute that shtab reads


def _files() -> Any:
    import shtab

    return shtab.FILE


def _configs() -> dict[str, Any]:
    """Files, and the names of the configs that come with the package."""
    names = " ".join(shipped_configs())
    function = f'_wav2uti_configs() {{ compgen -f -- "$1"; compgen -W "{names}" -- "$1"; }}'
    return {
        "bash": "_wav2uti_configs",
        "zsh": f"{{compadd -- {names}; _files}}",
        "fish": f'(__fish_complete_path (commandline -ct); string split " " "{names}")',
        "preamble": {"bash": function},
    }

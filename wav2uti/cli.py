"""The command line: `wav2uti COMMAND ...`.

Each command is one function; its signature and docstring are its options and its help. Modules are imported only when
their command is called: Lightning alone takes seconds to import, and `wav2uti --help` must not wait for it.
"""

import argparse
import importlib
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from wav2uti.errors import InputError, Terminated, unwrapped
from wav2uti.names import printable


class Command(NamedTuple):
    """Where a command lives and the line that `--help` shows."""

    function: str  # module:function
    summary: str
    optional: tuple[str, ...] = ()  # parameters that may be given by position and may be left out


COMMANDS = {
    "simulate": Command("wav2uti.prepare.commands:simulate", "make the simulated corpus: shards with known tongues"),
    "prepare": Command("wav2uti.prepare.commands:prepare", "turn recordings into shards, with embeddings", ("out",)),
    "embed": Command("wav2uti.prepare.embed:embed", "add embeddings of other encoders to shards"),
    "inspect": Command("wav2uti.video.inspection:inspect", "facts of a shard, and a picture of a recording", ("id",)),
    "verify": Command("wav2uti.prepare.verify:verify", "read all of a corpus's shards, and list what is damaged"),
    "fit": Command("wav2uti.trainer:fit", "train a model, from a YAML in configs/"),
    "validate": Command("wav2uti.trainer:validate", "loss of a checkpoint on the validation speakers"),
    "test": Command("wav2uti.trainer:test", "draw the test speakers' clips and score them: metrics.json"),
    "report": Command("wav2uti.report.commands:report", "compare tested runs: tables, figures and a page with videos"),
    "score": Command("wav2uti.data.score:score", "score shards of generated recordings against the real ones"),
    "export": Command("wav2uti.report.export:export", "write a trained model as safetensors, with a model card"),
    "push": Command("wav2uti.report.push:push", "publish a trained model on the Hugging Face hub, or in a folder"),
    "predict": Command("wav2uti.video.predict:predict", "draw the tongue for a recording of speech: an mp4 with sound"),
    "app": Command("wav2uti.app.serve:app", "serve a web page that draws the tongue for speech, on this machine"),
    "completion": Command("wav2uti.completion.command:completion", "let bash, zsh or fish complete with the tab key"),
}
# These hand their arguments to LightningCLI, which has a parser of its own.
LIGHTNING = ("fit", "validate", "test")


def main(args: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. A user's mistake is one sentence on stderr and status 2."""
    # Before torch is loaded: threads that wait by spinning take the cores from those that work. With two busy cores a
    # training step took 8 s instead of 1.3 s.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    arguments = list(sys.argv[1:] if args is None else args)
    parser = argparse.ArgumentParser(
        prog="wav2uti",
        description="Speech to ultrasound tongue imaging video.",
        epilog="`wav2uti COMMAND --help` lists the options of a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        commands.add_parser(name, help=command.summary, add_help=False)
    chosen = parser.parse_args(arguments[:1]).command
    warnings.showwarning = _one_line_warning
    try:
        function = function_of(COMMANDS[chosen])
        if chosen in LIGHTNING:
            function(arguments[1:])
        else:
            _call(function, chosen, arguments[1:], COMMANDS[chosen].optional)
    except InputError as error:
        print(f"wav2uti {chosen}: {error}", file=sys.stderr)
        return error.status
    except Terminated as end:
        print(f"wav2uti {chosen}: {end}", file=sys.stderr)
        return 143  # 128 + SIGTERM, as shells have it
    except BrokenPipeError:  # `wav2uti inspect ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print(f"wav2uti {chosen}: interrupted.", file=sys.stderr)
        return 130
    return 0


class _Version(argparse.Action):
    """Looks the version up when it is asked for."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="show the version and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        import wav2uti

        print(f"wav2uti {wav2uti.__version__}")
        parser.exit()


def function_of(command: Command) -> Callable[..., None]:
    """What runs a command; its module is imported now."""
    module, name = command.function.split(":")
    function: Callable[..., None] = getattr(importlib.import_module(module), name)
    return function


def _call(function: Callable[..., None], name: str, arguments: list[str], optional: tuple[str, ...]) -> None:
    """Parse the arguments by the function's signature and call it."""
    from jsonargparse import ArgumentParser  # here: 0.1 s that the other commands need not pay

    parser = ArgumentParser(prog=f"wav2uti {name}", allow_abbrev=False, description=_summary(function))
    types = get_type_hints(function)
    needed = [p.name for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    # jsonargparse reads a list from one argument, as JSON; here it is several arguments.
    several = {name: element for name, kind in types.items() if (element := _element(kind)) is not None}
    parser.add_function_arguments(function, as_positional=True, skip={*optional, *several})
    for parameter, element in several.items():
        flag = parameter if parameter in needed else f"--{parameter}"
        parser.add_argument(flag, nargs="+", type=element, help=described(function, parameter).replace("%", "%%"))
    for parameter in optional:
        parser.add_argument(parameter, nargs="?", type=types[parameter], help=described(function, parameter))
    for argument in arguments:
        if "\0" in argument or any("\ud800" <= character <= "\udfff" for character in argument):
            raise InputError(f"The argument {argument} is no text in UTF-8: rename the file, or give another text.")
    given = [_underscored(argument) for argument in arguments]
    for place, argument in enumerate(given):
        is_switch = types.get(argument[2:]) is bool and argument.startswith("--")
        if is_switch and given[place + 1 : place + 2] not in (["true"], ["false"]):
            given[place] += "=true"
    with unwrapped():
        options = parser.instantiate_classes(parser.parse_args(given)).as_dict()
    function(**options)


def _element(kind: Any) -> Any:
    """Of a list, or a list or None, the type of its elements; None for any other type."""
    lists = [one for one in (kind, *get_args(kind)) if get_origin(one) is list]
    return get_args(lists[0])[0] if lists else None


def _summary(function: Callable[..., None]) -> str:
    """What the docstring says before the parameters, after its first line, which stands over the options."""
    from docstring_parser import parse

    return " ".join((parse(function.__doc__ or "").long_description or "").split())


def described(function: Callable[..., Any], parameter: str) -> str:
    """What the docstring of a function or a class says of a parameter."""
    from docstring_parser import parse  # jsonargparse reads those of the other parameters with it

    found = (about.description for about in parse(function.__doc__ or "").params if about.arg_name == parameter)
    return " ".join((next(found, None) or "").split())


def _underscored(argument: str) -> str:
    """`--dry-run` as `--dry_run`: both are accepted."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return "--" + name[2:].replace("-", "_") + equals + value


def _one_line_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """Our own warnings are for the user and read like a sentence; those of libraries are not for him."""
    if category is UserWarning:
        print(f"wav2uti: warning: {printable(str(message))}", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())

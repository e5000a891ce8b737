"""Faults in configs, through the command line up to the first batch: no step is trained."""

import contextlib
import io
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

import wav2uti.trainer
from faults.outcomes import DETECTED, SILENT, SURVIVED, TRACEBACK, Tally, in_child
from wav2uti.cli import main

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
LIMIT = 120.0  # s: building a command line and a network takes a few
LINE = re.compile(r"^( *)([a-z_+]+): +([^#\n]+?)( *#.*)?$")

# What a config is run with here; its own lines of these are left alone.
FIXED = {
    "trainer.accelerator": "cpu",
    "trainer.devices": "1",
    "trainer.strategy": "auto",
    "trainer.precision": "32-true",
    "trainer.logger": "false",
    "data.num_workers": "0",
    "data.test_speakers": "1",
    "data.val_speakers": "1",
}
UNTOUCHED = {name.rpartition(".")[2] for name in FIXED} | {"save_dir", "name", "shards", "version"}
# Where a negative number, or a word for a number or a name, says something.
NEGATIVE = {"max_steps", "max_epochs", "p_mean", "limit_val_batches", "limit_test_batches", "patience", "monitor"}
WORDS = {"monitor", "acoustic", "text", "class_path", "filename"}


def inject(
    corpus: Path, work: Path, count: int, rng: random.Random, tally: Tally, names: Sequence[str] | None = None
) -> None:
    """So many faults of each kind, in configs that are well without them: those of these names, or all."""
    path = work / "config.yaml"
    contents = []
    for config in sorted(CONFIGS.glob("*.yaml")):
        if names is not None and config.stem not in names:
            continue
        path.write_text(config.read_text())
        if in_child(lambda: _examine(path, corpus, ""), LIMIT)[0] == SURVIVED:  # not those that change another one
            contents.append(config.read_text())
    if not contents:
        raise RuntimeError("no config is well")
    for kind, change in KINDS.items():
        for _ in range(count):
            changed, about, suspect = change(rng.choice(contents), rng)
            path.write_bytes(changed)
            outcome, said = in_child(lambda suspect=suspect: _examine(path, corpus, suspect), LIMIT)
            tally.add(f"config, {kind}", outcome, f"{about}: {said}")
    path.unlink()
    tally.add("config, missing file", *in_child(lambda: _examine(path, corpus, "it is not there"), LIMIT))


def _examine(path: Path, corpus: Path, suspect: str) -> tuple[str, str]:
    """Run `fit` up to its first batch. A config that is taken must say what is then done.

    Args:
        path: of the config.
        corpus: folder of shards.
        suspect: why it must not be taken; empty where it may.
    """
    taken: dict[str, Any] = {}

    def stop(cli: Any, subcommand: str) -> None:
        taken.update(cli.config[subcommand].as_dict())
        cli.model.configure_optimizers()
        cli.datamodule.setup("fit")
        next(iter(cli.datamodule.train_dataloader()))

    wav2uti.trainer.CLI._run_subcommand = stop  # type: ignore[method-assign]
    fixed = FIXED | {"data.shards": str(corpus)}
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        status = main(["fit", f"--config={path}", *(f"--{name}={value}" for name, value in fixed.items())])
    sentence = said.getvalue().strip().splitlines()[-1:]
    if status == 2 and sentence and sentence[0].startswith("wav2uti fit: ") and sentence[0].endswith("."):
        return DETECTED, sentence[0]
    if status != 0:
        return TRACEBACK, f"status {status}, {sentence}"
    if suspect:
        return SILENT, suspect
    others = [name for name, value in _leaves(yaml.safe_load(path.read_text())) if not _holds(taken, name, value)]
    return (SILENT, f"not done as it says: {others}") if others else (SURVIVED, "")


def _leaves(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """What a YAML says, by place; lists are leaves."""
    if isinstance(value, dict):
        for name, entry in value.items():
            yield from _leaves(entry, (*place, name))
    else:
        yield place, value


def _holds(taken: dict[str, Any], place: tuple[str, ...], value: Any) -> bool:
    """Whether the options that were taken have a value, where it can be compared without knowing its class."""
    if place[-1] in UNTOUCHED or place[-1] == "class_path" or isinstance(value, list) or "logger" in place:
        return True
    found: Any = taken
    for name in place:
        found = found.get(name, {}) if isinstance(found, dict) else {}
    return bool(found == value or str(found) == str(value))


def _choose(content: str, rng: random.Random, number: bool = False) -> tuple[list[str], int, re.Match[str]]:
    """A line "key: value" of a config, at random."""
    lines = content.splitlines()
    matches = [(place, LINE.match(line)) for place, line in enumerate(lines)]
    fit = [(place, match) for place, match in matches if match and match[2] not in UNTOUCHED]
    if number:
        fit = [(place, match) for place, match in fit if re.fullmatch(r"[-+.\de]+", match[3])]
    place, match = rng.choice(fit)
    return lines, place, match


Changed = tuple[bytes, str, str]


def _with(lines: list[str], place: int, line: str | None, suspect: str) -> Changed:
    about = f"{lines[place].strip()!r} -> {line.strip() if line is not None else None!r}"
    new = [*lines[:place], *([] if line is None else [line]), *lines[place + 1 :]]
    return ("\n".join(new) + "\n").encode(), about, suspect and f"{about} {suspect}"


def _misspelt(content: str, rng: random.Random) -> Changed:
    lines, place, match = _choose(content, rng)
    key = match[2]
    letter = rng.randrange(len(key))
    wrong = key[:letter] + key[letter + 1 :] if rng.random() < 0.5 else key[:letter] + "q" + key[letter:]
    return _with(lines, place, f"{match[1]}{wrong}: {match[3]}", "a key that is not known")


def _text_for_value(content: str, rng: random.Random) -> Changed:
    lines, place, match = _choose(content, rng)
    value = rng.choice(["abc", "[1, x]", "{a: 1}", "'12 a'"])
    suspect = "" if match[2] in WORDS and value in ("abc", "'12 a'") else "a value of another type"
    return _with(lines, place, f"{match[1]}{match[2]}: {value}", suspect)


def _negative(content: str, rng: random.Random) -> Changed:
    lines, place, match = _choose(content, rng, number=True)
    line = f"{match[1]}{match[2]}: -{rng.choice(['1', '2.5', '1.0e-3'])}"
    return _with(lines, place, line, "" if match[2] in NEGATIVE else "a negative number")


def _not_a_number(content: str, rng: random.Random) -> Changed:
    lines, place, match = _choose(content, rng, number=True)
    return _with(lines, place, f"{match[1]}{match[2]}: {rng.choice(['.nan', '.inf', '-.inf'])}", "no number")


def _too_much(content: str, rng: random.Random) -> Changed:
    """A share above 1, where there are some; else a line gone."""
    lines = content.splitlines()
    shares = [k for k, line in enumerate(lines) if re.match(r" *(decay|dropout|drop_\w+|augmentation): ", line)]
    if not shares:
        return _deleted(content, rng)
    place = rng.choice(shares)
    return _with(lines, place, f"{lines[place].split(':')[0]}: {rng.choice(['1.5', '2', '-0.1'])}", "no share")


def _deleted(content: str, rng: random.Random) -> Changed:
    lines, place, _ = _choose(content, rng)
    return _with(lines, place, None, "")


def _class(content: str, rng: random.Random) -> Changed:
    lines = content.splitlines()
    place = rng.choice([k for k, line in enumerate(lines) if "class_path:" in line and "CSVLogger" not in line])
    return _with(lines, place, lines[place].rstrip() + "x", "a class that does not exist")


def _tabs(content: str, rng: random.Random) -> Changed:
    lines, place, match = _choose(content, rng)
    while not match[1]:
        lines, place, match = _choose(content, rng)
    return _with(lines, place, "\t" * (len(match[1]) // 2) + lines[place].strip(), "a tab")


def _garbage(content: str, rng: random.Random) -> Changed:
    place = rng.randrange(len(content))
    noise = bytes([0, 0xFF]) + rng.randbytes(rng.randint(1, 40))
    return content[:place].encode() + noise + content[place:].encode(), f"noise at {place}", "noise"


KINDS = {
    "misspelt key": _misspelt,
    "value of another type": _text_for_value,
    "negative number": _negative,
    "NaN or infinite": _not_a_number,
    "no share": _too_much,
    "deleted line": _deleted,
    "wrong class": _class,
    "tab": _tabs,
    "binary noise": _garbage,
}

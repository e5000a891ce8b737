"""Every command of the documentation does what its page says: run where it can be, read by its parser where not."""

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import REPOSITORY, SHARED
from pages import COMMAND, BadPage, Block, blocks, pages
from raw_ultrasound import write_recording
from shell import check, commands

from wav2uti.cli import COMMANDS, LIGHTNING

TUTORIAL = REPOSITORY / "docs" / "tutorial" / "index.md"
# The front page shows commands with made-up names of files; the pages behind it run the same ones.
READ_ONLY = {"README.md", "SECURITY.md"}
FILES = {"yaml", "csv", "python", "sh"}  # languages of blocks that may be a file


def blocks_of(path: Path) -> list[Block]:
    """The blocks of a page as the tests take them."""
    found = list(blocks(path))
    if path.name in READ_ONLY:
        commands_only = [block for block in found if block.language in ("sh", "python") or COMMAND.search(block.text)]
        return [Block(**vars(block) | {"how": "parse"}) for block in commands_only]
    return found


def page_ids(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


@pytest.mark.parametrize("path", pages(), ids=page_ids)
def test_no_block_is_left_out(path: Path) -> None:
    for block in blocks_of(path):
        runs = block.how == "run" and not block.title
        if path.name in READ_ONLY or block.text.startswith("--8<-- "):  # a file of the repository, shown
            continue
        assert block.language in {"sh", "python", "text", *FILES}, f"{block.place}: a block needs its language"
        if block.language == "text":
            assert not COMMAND.search(block.text), f"{block.place}: a command in a block of text is never run"
            assert block.how == "run", f"{block.place}: text is not run, so its mark says nothing"
        elif block.language not in ("sh", "python"):
            assert block.title, f"{block.place}: a file needs its name, title=..., so that a command can read it"
        calls = [words for words in commands(block.text) if words[0] == "wav2uti"] if block.language == "sh" else []
        if block.how == "syntax":
            assert not calls, f"{block.place}: commands of wav2uti can be parsed"
        if block.options:
            assert runs, block.place
            assert len(calls) == 1, f"{block.place}: options to shorten are for a block of one command"


def test_a_page_that_hides_a_command_is_refused() -> None:
    """What the test above rests on: bad marks and indented blocks are seen."""
    indented = list(blocks(TUTORIAL, "Text.\n\n    wav2uti fit\n"))
    assert [(block.language, block.how) for block in indented] == [("", "run")]
    fence = "```sh\nwav2uti fit\n```\n"
    for mark in ("<!-- check: no -->", "<!-- check: parse -->", "<!-- check: parse, because -->"):
        with pytest.raises(BadPage):
            list(blocks(TUTORIAL, f"{mark}\n\n{fence}"))
    with pytest.raises(BadPage):
        list(blocks(TUTORIAL, f"<!-- check: parse, because of four GPUs -->\n\nWords between.\n\n{fence}"))
    (marked,) = blocks(TUTORIAL, f"<!-- check: run with --size 16, because of time -->\n{fence}")
    assert (marked.how, marked.options, marked.line) == ("run", "--size 16", 2)


@pytest.mark.parametrize("path", pages(), ids=page_ids)
def test_what_is_not_run_is_understood(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for block in blocks_of(path):
        if block.language == "sh":
            subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
        if block.how == "parse" and block.language == "python":
            tree = ast.parse(block.text)
            imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
            exec(compile(ast.Module(imports, []), block.place, "exec"), {})
        elif block.how == "parse":
            for words in commands(block.text):
                with monkeypatch.context() as patch:
                    try:
                        check(words, patch)
                    except Exception as error:
                        raise AssertionError(f"{block.place}: {shlex.join(words)}") from error


@pytest.mark.parametrize(
    "command",
    [
        "wav2uti fit --config configs/debug.yaml --data.shardz data/mine",
        "wav2uti fit --config configs/debug.yaml --model.init_args.sampler.init_args.stepz 3",
        "wav2uti fit --config configs/gone.yaml",
        "wav2uti predict --audio x.wav --sampler DPMSolver --sampler.stepz 3",
        "wav2uti predictt --audio x.wav",
        "make gone",
        "pip install 'wav2uti[gone]'",
        "python benchmarks/gone.py",
        "someprogram --option",
    ],
)
def test_what_is_wrong_in_a_command_is_seen(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `parse` rests on: a renamed option, config, target or extra fails."""
    (words,) = commands(command)
    with pytest.raises((AssertionError, subprocess.CalledProcessError)):
        check(words, monkeypatch)


def test_every_command_is_in_the_reference() -> None:
    text = (REPOSITORY / "docs" / "reference" / "commands.md").read_text()
    for name, command in COMMANDS.items():
        assert f"`{name}`" in text, name
        if name not in LIGHTNING:
            path = command.function.replace(":", ".")
            assert f"::: {path}\n" in text
            assert f"[`{name}`](#{path})" in text


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PATH in which `wav2uti` and `python` are those of this checkout."""
    folder = tmp_path_factory.mktemp("bin")
    for name, call in {"wav2uti": "-P -m wav2uti", "python": ""}.items():  # -P: as installed, not from this folder
        path = folder / name
        path.write_text(
            f'#!/bin/sh\nexport PYTHONPATH="{REPOSITORY}${{PYTHONPATH:+:$PYTHONPATH}}"\n'
            f'exec {shlex.quote(sys.executable)} {call} "$@"\n'
        )
        path.chmod(0o755)
    return folder


def script(found: Sequence[Block], given: dict[str, str]) -> str:
    """One script of bash that does what the blocks say, with some of the page's variables set to other values."""
    lines, unset = ["set -euo pipefail"], set(given)
    for number, block in enumerate(found):
        if block.how != "run" or block.language == "text" or block.text.startswith("--8<-- "):
            continue
        lines.append(f"echo '@@@ {block.place}' >&2")
        name = block.title or (f"block_{number}.py" if block.language == "python" else "")
        if name:
            lines += [f"cat > {shlex.quote(name)} <<'END OF FILE'", block.text.rstrip("\n"), "END OF FILE"]
            lines += [f"python {name}"] if not block.title else []
            continue
        text = block.text.rstrip("\n")
        for variable, value in given.items():
            text, count = re.subn(rf"^{variable}=.*$", f"{variable}={shlex.quote(value)}", text, flags=re.M)
            unset -= {variable} if count else set()
        lines.append(f"{text} {block.options}" if block.options else text)
    assert not unset, f"the page sets no {unset}"
    return "\n".join(lines) + "\n"


def follow(path: Path, folder: Path, programs: Path, given: dict[str, str] | None = None) -> str:
    """Do what a page says in a folder; returns all that was printed."""
    for part in ("configs", "wav2uti"):  # of the clone that the folder stands for
        if not (folder / part).exists():
            (folder / part).symlink_to(REPOSITORY / part)
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(folder),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "LANG": "C.UTF-8",
    }
    done = subprocess.run(
        ["bash", "-c", script(blocks_of(path), given or {})],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, f"{path} stopped here:\n{done.stdout[-4000:]}"
    return done.stdout


@pytest.fixture(scope="session")
def tutored(tmp_path_factory: pytest.TempPathFactory, programs: Path, speech: str) -> Path:
    """The folder that the tutorial leaves behind, from which the how-to pages go on."""
    folder = tmp_path_factory.mktemp("tutorial")
    follow(TUTORIAL, folder, programs, {"SPEECH": speech})
    return folder


@pytest.fixture
def folder(tutored: Path, tmp_path: Path) -> Path:
    """The same for one page alone."""
    copy = tmp_path / "work"
    shutil.copytree(tutored, copy, symlinks=True, copy_function=os.link)
    return copy


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A sound file of a reader's own, a second long: real speech beside the checkout, else a tone."""
    path = tmp_path_factory.mktemp("speech") / "speech.wav"
    found = sorted((SHARED / "speech").glob("*.wav")) if SHARED.is_dir() else []
    if found:
        sound, rate = soundfile.read(found[0])
    else:
        sound, rate = np.sin(np.arange(22_050) / 20) / 2, 22_050
    soundfile.write(path, sound[:rate], rate)
    return str(path)


@pytest.mark.slow
def test_the_tutorial(tutored: Path) -> None:
    assert list((tutored / "predictions").glob("*.mp4"))
    assert (tutored / "report" / "report.html").is_file()


@pytest.fixture(scope="session")
def aaa_corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of made-up AAA recordings of two speakers, and the real one where it lies beside the checkout."""
    made_up = tmp_path_factory.mktemp("aaa")
    for speaker in ("ann", "ben"):
        write_recording(made_up / speaker, "File001")
    real = SHARED / "aaa_patkit"
    return {"made up": made_up} | ({"real": real} if real.is_dir() else {})


@pytest.mark.slow
@pytest.mark.parametrize("which", ["made up", "real"])
def test_an_aaa_corpus(which: str, aaa_corpora: dict[str, Path], tmp_path: Path, programs: Path) -> None:
    """All lines of the page, with nothing changed but the two paths at its top."""
    if which not in aaa_corpora:
        pytest.skip("no real recordings beside this checkout")
    recordings = aaa_corpora[which]
    speech = sorted(recordings.rglob("*.wav"))[0]
    page = REPOSITORY / "docs" / "how-to" / "aaa.md"
    said = follow(page, tmp_path, programs, {"RECORDINGS": str(recordings), "SPEECH": str(speech)})
    assert "2 recordings written" in said
    assert "0 left out" in said
    assert "all is as it was written" in said
    assert len(list(tmp_path.glob("*.png"))) == 2  # the sheet of inspect, and the reference frame
    assert (tmp_path / "predictions" / f"{speech.stem}.mp4").is_file()
    assert (tmp_path / "runs" / "debug" / "trial" / "metrics.json").is_file()
    assert (tmp_path / "report" / "report.html").is_file()


@pytest.fixture
def tal_corpus(shared: Path, tmp_path: Path) -> Path:
    """Two speakers with the real files of TaL; only the scanlines, which are not there, are made up."""
    core = tmp_path / "TaL80" / "core"
    for speaker, name, frames in (("01fi", "088_aud", 365), ("02fe", "133_aud", 465)):
        folder = core / speaker
        folder.mkdir(parents=True)
        for ending in ("param", "wav", "sync", "txt", "mp4"):
            (folder / f"{name}.{ending}").symlink_to(shared / "tal_without_ult" / f"{name}.{ending}")
        rng = np.random.default_rng(frames)
        rng.integers(0, 256, (frames, 64, 842), dtype=np.uint8).tofile(folder / f"{name}.ult")
    return core


@pytest.mark.slow
def test_tal(tal_corpus: Path, shared: Path, tmp_path: Path, programs: Path) -> None:
    page = REPOSITORY / "docs" / "how-to" / "tal.md"
    work = tmp_path / "work"
    work.mkdir()
    composites = shared / "tal_composite_video"
    said = follow(page, work, programs, {"TAL": str(tal_corpus), "COMPOSITES": str(composites)})
    assert "Layout tal" in said
    assert "2 recordings written" in said
    assert "2 speakers" in said
    assert "1 recordings written (298 frames" in said


def runs(path: Path) -> bool:
    """Whether a page has something to run that the tests above do not run already."""
    own = {TUTORIAL, *(REPOSITORY / "docs" / "how-to" / name for name in ("aaa.md", "tal.md"))}
    found = blocks_of(path)
    return path not in own and any(b.how == "run" and b.language in ("sh", "python") and not b.title for b in found)


# Variables at the top of a page that stand for what only its reader has.
OF_THE_READER = {"docs/how-to/draw.md": "SPEECH"}


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in pages() if runs(path)], ids=page_ids)
def test_a_page_can_be_followed(path: Path, folder: Path, programs: Path, speech: str) -> None:
    variable = OF_THE_READER.get(page_ids(path))
    follow(path, folder, programs, {variable: speech} if variable else {})

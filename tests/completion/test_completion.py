"""Completion in the shells themselves: what they offer, and that it is what the commands take."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from wav2uti.cli import COMMANDS, LIGHTNING, main
from wav2uti.completion.collect import FILE


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the script of each shell, written by the command in processes of their own."""
    folder = tmp_path_factory.mktemp("completion")
    for shell in ("bash", "zsh", "fish"):
        done = subprocess.run(
            [sys.executable, "-m", "wav2uti", "completion", shell], capture_output=True, text=True, check=True
        )
        (folder / shell).write_text(done.stdout)
    return folder


def offered(scripts: Path, folder: Path, *words: str) -> list[str]:
    """What bash offers where the last of the words is being written."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    code = (
        f"source {scripts / 'bash'}\n"
        'COMP_WORDS=(wav2uti "$@"); COMP_CWORD=$#; COMP_TYPE=9\n'
        "function=$(complete -p wav2uti | sed 's/.*-F \\([^ ]*\\).*/\\1/')\n"
        '$function wav2uti "${COMP_WORDS[COMP_CWORD]}"\n'
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run([bash, "-c", code, "bash", *words], capture_output=True, text=True, check=True, cwd=folder)
    assert not done.stderr
    return done.stdout.split()


def test_what_bash_offers(scripts: Path, tmp_path: Path) -> None:
    (tmp_path / "speech.wav").touch()
    (tmp_path / "mine.yaml").touch()
    assert set(offered(scripts, tmp_path, "")) >= set(COMMANDS)
    assert set(offered(scripts, tmp_path, "pre")) == {"prepare", "predict"}
    assert offered(scripts, tmp_path, "predict", "--audi") == ["--audio"]
    assert offered(scripts, tmp_path, "predict", "--audio", "sp") == ["speech.wav"]
    assert set(offered(scripts, tmp_path, "predict", "--sampler", "")) >= {"DPMSolver", "StochasticHeun", "Euler"}
    assert offered(scripts, tmp_path, "predict", "--audio", "speech.wav", "--sampler.st") == ["--sampler.steps"]
    assert offered(scripts, tmp_path, "push", "--priv") == ["--private"]
    fit = offered(scripts, tmp_path, "fit", "--")
    assert {"--config", "--data.shards", "--trainer.max_steps", "--model.init_args.start_from"} <= set(fit)
    assert {"DiffusionTask", "RegressionTask"} <= set(offered(scripts, tmp_path, "fit", "--model", ""))
    assert set(offered(scripts, tmp_path, "fit", "--config", "")) >= {"a_t_64", "trainer/cpu", "mine.yaml"}
    assert offered(scripts, tmp_path, "completion", "z") == ["zsh"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_can_read_its_script(scripts: Path, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell}")
    done = subprocess.run([shell, "-n", scripts / shell], capture_output=True, text=True, check=True)
    assert not done.stderr
    assert "a_t_64" in (scripts / shell).read_text()


def test_fish_offers_the_same(scripts: Path, tmp_path: Path) -> None:
    if (fish := shutil.which("fish")) is None:
        pytest.skip("no fish")
    code = f"source {scripts / 'fish'}; complete --do-complete 'wav2uti predict --sampler.st'"
    done = subprocess.run([fish, "--no-config", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.split("\t")[0].strip() == "--sampler.steps"


def test_it_is_fast(scripts: Path, tmp_path: Path) -> None:
    """A shell must not wait: neither for the script nor for an answer."""
    code = (
        "import sys\nfrom wav2uti.cli import main\nmain(['completion', 'bash'])\n"
        "print([m for m in ('torch', 'lightning', 'numpy', 'transformers') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    took = []
    for _ in range(3):
        start = time.perf_counter()
        offered(scripts, tmp_path, "fit", "--data.")
        took.append(time.perf_counter() - start)
    assert min(took) < 1


def without_lightnings(known: dict[str, Any]) -> dict[str, Any]:
    """Without what another version of Lightning may have otherwise."""
    return {name: {o: a for o, a in options.items() if "--trainer." not in o} for name, options in known.items()}


@pytest.mark.slow
def test_it_is_up_to_date() -> None:
    """In a process of its own: which classes are offered depends on what has been imported."""
    program = "import json; from wav2uti.completion.collect import collect; print(json.dumps(collect()))"
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    found = json.loads(output.splitlines()[-1])
    assert without_lightnings(json.loads(FILE.read_text())) == without_lightnings(found), "run `make completion`"


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "completion"])
def test_the_commands_take_what_is_offered(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Options of a command as its own help lists them, found by another way than what is offered."""
    known = json.loads(FILE.read_text())[command]
    with pytest.raises(SystemExit):
        main([command, "--help"])
    said = capsys.readouterr().out
    plain = [option for option in known if option.startswith("--") and "." not in option]
    assert plain
    for option in plain:
        assert option in said
    if command in LIGHTNING:
        for option in ("--data.shards", "--trainer.max_steps"):
            assert option in said
            assert option in known

"""Wheel and sdist: what is in them, that both ways to a wheel give the same, that it runs where there is no tree."""

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from conftest import REPOSITORY
from packaging.version import Version

import wav2uti

TAGGED = "v9.8.7"


def ran(*command: str | Path, cwd: Path, **environment: str) -> str:
    """What a program said; in the environment there is no sign of the tree."""
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=cwd, env=clean | environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the repository, those that are not committed yet too, as a repository with a tag."""
    if not (REPOSITORY / ".git").exists():
        pytest.skip("no git repository: an sdist cannot say what is to be in it")
    folder = tmp_path_factory.mktemp("tree")
    names = ran("git", "ls-files", "-co", "--exclude-standard", cwd=REPOSITORY).splitlines()
    for name in names:
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((REPOSITORY / name).read_bytes())
    who = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    for command in (("init", "-q"), ("add", "-A"), (*who, "commit", "-qm", "all"), ("tag", TAGGED)):
        ran("git", *command, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def built(tree: Path) -> dict[str, Path]:
    """The sdist, the wheel made of it, and the wheel made of the tree."""
    build = (sys.executable, "-m", "build", "--no-isolation")
    ran(*build, "--outdir", tree / "dist", cwd=tree)
    ran(*build, "--wheel", "--outdir", tree / "direct", cwd=tree)
    (sdist,), (wheel,) = (tree / "dist").glob("*.tar.gz"), (tree / "dist").glob("*.whl")
    (direct,) = (tree / "direct").glob("*.whl")
    return {"sdist": sdist, "wheel": wheel, "direct": direct}


def contents(wheel: Path) -> dict[str, int]:
    """Checksums of a wheel's files by name, without the list of them, which holds the same."""
    with zipfile.ZipFile(wheel) as archive:
        return {file.filename: file.CRC for file in archive.infolist() if not file.filename.endswith("RECORD")}


@pytest.mark.slow
def test_the_wheel_is_the_tree(tree: Path, built: dict[str, Path]) -> None:
    """Every file of the package and every config, and no other."""
    tracked = ran("git", "ls-files", "wav2uti", "configs", cwd=tree).splitlines()
    wanted = {name if name.startswith("wav2uti/") else f"wav2uti/{name}" for name in tracked}
    found = {name for name in contents(built["wheel"]) if ".dist-info/" not in name}
    assert found == wanted
    assert {"wav2uti/defaults.yaml", "wav2uti/py.typed", "wav2uti/configs/trainer/slurm.sh"} <= found


@pytest.mark.slow
def test_a_wheel_of_the_sdist_is_that_of_the_tree(tree: Path, built: dict[str, Path]) -> None:
    assert contents(built["wheel"]) == contents(built["direct"])
    with tarfile.open(built["sdist"]) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert set(ran("git", "ls-files", cwd=tree).splitlines()) <= names  # tests and documentation, too
    assert built["wheel"].stat().st_size < 20 * 2**20
    assert built["sdist"].stat().st_size < 40 * 2**20


@pytest.mark.slow
def test_it_runs_where_there_is_no_tree(built: dict[str, Path], tmp_path: Path) -> None:
    """In an environment that has the packages of this one, but no wav2uti other than the wheel."""
    ran(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    site = Path(ran(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    # A path in a .pth file is searched, but the .pth files there, of which one is the editable wav2uti, are not read.
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "--quiet")
    ran(*pip, "--force-reinstall", built["wheel"], cwd=tmp_path)
    command = tmp_path / "venv" / "bin" / "wav2uti"
    where = ran(python, "-c", "import wav2uti; print(wav2uti.__file__)", cwd=tmp_path).strip()
    assert Path(where).is_relative_to(site)
    assert ran(command, "--version", cwd=tmp_path) == f"wav2uti {TAGGED[1:]}\n"
    assert ran(python, "-m", "wav2uti", "--version", cwd=tmp_path) == f"wav2uti {TAGGED[1:]}\n"
    assert "a_t_64" in ran(command, "completion", "bash", cwd=tmp_path)
    ran(command, "simulate", "corpus", "--speakers=3", "--utterances=2", "--size=16", "--workers=1", cwd=tmp_path)
    options = ("--data.shards=corpus", "--trainer.max_steps=1", "--trainer.logger.init_args.version=v")
    ran(command, "fit", "--config", "debug", *options, cwd=tmp_path)
    checkpoint = tmp_path / "runs" / "debug" / "v" / "checkpoints" / "last.ckpt"
    ran(command, "push", checkpoint, "./model", "--license=mit", cwd=tmp_path)
    spoken = ("--shards=corpus", "--recording=s00_u000", "--ckpt_path=./model", "--steps=1")
    ran(command, "predict", *spoken, cwd=tmp_path)
    assert (tmp_path / "predictions" / "s00_u000.mp4").stat().st_size > 1000


@pytest.mark.slow
def test_a_checkout_between_two_tags(tree: Path) -> None:
    """Its version is above the tag before it, and below the next release; without git it is unknown, and none."""
    code = "import setuptools_scm; print(setuptools_scm.get_version())"
    who = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    ran("git", *who, "commit", "--allow-empty", "-qm", "more", cwd=tree)
    try:
        version = Version(ran(sys.executable, "-c", code, cwd=tree).strip())
    finally:
        ran("git", "reset", "-q", "--hard", TAGGED, cwd=tree)
    assert Version("9.8.7") < version < Version("9.8.8")


def test_the_changelog_is_of_this_version() -> None:
    """Its newest heading is this version or the one that comes, and headings go down."""
    text = (REPOSITORY / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## (\S+) \((unreleased|\d{4}-\d\d-\d\d)\)$", text, re.MULTILINE)
    versions = [Version(version) for version, _ in headings]
    assert versions
    assert versions == sorted(set(versions), reverse=True)
    assert all(date != "unreleased" for _, date in headings[1:])
    if "unknown" not in wav2uti.__version__:
        assert versions[0] >= Version(Version(wav2uti.__version__).base_version)

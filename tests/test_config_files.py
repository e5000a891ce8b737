"""Config files that are none: one sentence, at once."""

import time
from pathlib import Path

import pytest

from wav2uti.cli import main
from wav2uti.config_files import check_configs, with_shipped
from wav2uti.errors import InputError
from wav2uti.shipped import shipped_configs

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))
LAUGH = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(8)
)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_those_of_the_repository_are_configs(path: Path) -> None:
    check_configs([f"--config={path}"])
    check_configs(["--config", str(path)])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (LAUGH.encode(), "stands for more than 100000 values"),
        (b"a: &a [*a]\n", "stands for more than 100000 values"),
        (b"a: &a {b: *a}\n", "stands for more than 100000 values"),
        (b"\xff\xfe\x00", "is no config"),
        (b"seed_everything: 1" + b"0" * 5000 + b"\n", "is no config"),
        (b"a: " + b"[" * 3000, "is no config"),
        (b"a: \0", "is no config"),
        (b"a: !!python/object/apply:os.system ['true']\n", "is no config"),
    ],
)
def test_what_is_none_is_said_at_once(
    content: bytes, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    start = time.process_time()
    for args in ([f"--config={tmp_path / 'a.yaml'}"], ["--config", str(tmp_path / "a.yaml")]):
        with pytest.raises(InputError, match=sentence):
            check_configs(args)
    assert time.process_time() - start < 20  # not hours


def test_fit_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text(LAUGH)
    assert main(["fit", f"--config={tmp_path / 'a.yaml'}"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_shipped_config_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From anywhere; a file of the user's own goes before it."""
    configs = CONFIGS[0].parent
    shipped = shipped_configs()
    assert shipped["trainer/cpu"] == configs / "trainer" / "cpu.yaml"
    assert sorted(shipped.values()) == sorted(configs.rglob("*.yaml"))
    monkeypatch.chdir(tmp_path)
    for name in ("a_t_64", "a_t_64.yaml", "configs/a_t_64.yaml"):
        path = str(configs / "a_t_64.yaml")
        assert with_shipped(["--config", name, "--x=1"]) == ["--config", path, "--x=1"]
        assert with_shipped([f"--config={name}", f"-c={name}"]) == [f"--config={path}", f"-c={path}"]
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "a_t_64.yaml").write_text("a: 1")
    assert with_shipped(["--config", "configs/a_t_64.yaml"]) == ["--config", "configs/a_t_64.yaml"]
    assert with_shipped(["--config", "a_t_64"]) == ["--config", str(configs / "a_t_64.yaml")]
    for odd in ("{a: 1}", str(tmp_path / "configs" / "a_t_64.yaml")):
        assert with_shipped(["--config", odd]) == ["--config", odd]
    assert with_shipped(["--config"]) == ["--config"]


def test_a_config_that_is_nowhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--config", "a_t_46"]) == 2
    assert "There is no config a_t_46: give a YAML file, or the name of one" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"such as .*a_t_64 or"):
        with_shipped(["--config=configs/a_t_65.yaml"])
    with pytest.raises(InputError, match="There is no config"):
        with_shipped([f"--config={tmp_path}"])

"""Encoders of the user's own: built from a file only where he has said that he trusts their package."""

from pathlib import Path

import pytest

from wav2uti.errors import InputError
from wav2uti.speech.acoustic import build_acoustic
from wav2uti.speech.textual import build_textual

OWN = """
from pathlib import Path
from wav2uti.speech.acoustic import LogMel
from wav2uti.speech.textual import CharacterCodes
Path(__file__).with_name("imported").touch()
class Heard(LogMel):
    pass
class Read(CharacterCodes):
    pass
class Neither:
    pass
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A module of its own for each test, with a trace of being imported."""
    name = f"own_{request.node.name}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_a_class_of_the_users_is_built_where_it_is_trusted(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAV2UTI_TRUST", module)
    heard = build_acoustic({"class": f"{module}.Heard", "args": {"bands": 40}}, device="cuda:1")
    assert (type(heard).__name__, heard.width, heard.device) == ("Heard", 40, "cuda:1")
    assert type(build_textual({"class": f"{module}.Read"})).__name__ == "Read"
    for build, name in ((build_acoustic, "Read"), (build_textual, "Heard"), (build_acoustic, "Neither")):
        with pytest.raises(InputError, match="not of wav2uti"):
            build({"class": f"{module}.{name}"})


def test_a_class_that_is_not_trusted_is_not_even_imported(module: str, tmp_path: Path) -> None:
    for build in (build_acoustic, build_textual):
        with pytest.raises(InputError, match=f"set WAV2UTI_TRUST={module}"):
            build({"class": f"{module}.Heard"})
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize("name", ["os.system", "subprocess.Popen", "wav2uti.__main__.main", "wav2uti.names.re"])
def test_programs_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="any program"):
        build_acoustic({"class": name, "args": {"command": "true"}})

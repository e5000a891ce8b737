"""The command `wav2uti app`: how it begins, and what its user may have got wrong."""

import socket
from pathlib import Path

import pytest

from wav2uti.app import serve
from wav2uti.cli import main
from wav2uti.errors import InputError


def test_without_gradio_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serve, "find_spec", lambda name: None)
    assert main(["app"]) == 2
    assert capsys.readouterr().err == (
        "wav2uti app: The web page needs Gradio, which is not installed: pip install 'wav2uti[app]'.\n"
    )


def test_a_port_that_is_taken_is_told_and_nothing_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(serve, "find_spec", lambda name: object())
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["app", "--port", str(port)]) == 2
    assert f"127.0.0.1:{port} cannot be listened on" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("host", "port"), [("no.such.host.invalid", 0), ("127.0.0.1", 70_000), ("127.0.0.1", -1)])
def test_an_address_that_is_none_is_told(host: str, port: int) -> None:
    with pytest.raises(InputError, match="cannot be listened on"):
        serve._listening(host, port)


def test_a_limit_of_nothing_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["app", "--max_seconds", "0"]) == 2
    assert "max_seconds must be a finite number above 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("192.168.1.2", False), ("laboratory.example", False)],
)  # fmt: skip
def test_who_can_reach_an_address(host: str, local: bool) -> None:
    assert serve._is_local(host) is local

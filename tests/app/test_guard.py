"""What stands between the network and Gradio."""

import asyncio
from typing import Any

import pytest

pytest.importorskip("starlette")

from starlette.responses import PlainTextResponse

from wav2uti.app.guard import COOKIE, ENVELOPE, Guard, owner_of

LOCAL = {"127.0.0.1", "localhost", "[::1]"}


def ask(path: str, method: str = "GET", hosts: set[str] | None = LOCAL, **headers: str) -> tuple[int, dict[str, str]]:
    """Status and headers that the guard gives, in front of something that always answers."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = {"host": "127.0.0.1:7860"} | {name.replace("_", "-"): value for name, value in headers.items()}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    asyncio.run(Guard(PlainTextResponse("here"), hosts, 1000)(scope, receive, send))
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}


@pytest.mark.parametrize(
    "path",
    ["/", "/player.js", "/results/abc/1/a%20b.mp4", "/assets/index.js", "/gradio_api/queue/join", "/gradio_api/upload",
     "/gradio_api/heartbeat/abc123", "/gradio_api/file=/tmp/x/uploads/a.wav"],
)  # fmt: skip
def test_what_the_page_asks_for_is_let_through(path: str) -> None:
    assert ask(path)[0] == 200


@pytest.mark.parametrize(
    "path",
    ["/gradio_api/proxy=https://example.org/x", "/gradio_api/file=http://169.254.169.254/latest", "/monitoring",
     "/gradio_api/monitoring/summary", "/gradio_api/process_recording", "/gradio_api/component_server",
     "/gradio_api/mcp/sse", "/docs", "/login", "/gradio_api/stream/x", "/gradio_api/call/draw", "//example.org/"],
)  # fmt: skip
def test_what_it_needs_not_is_not_there(path: str) -> None:
    assert ask(path)[0] == 404


def test_a_page_elsewhere_cannot_ask_under_its_own_name() -> None:
    assert ask("/", host="evil.example:7860")[0] == 421
    assert ask("/", host="localhost:7860")[0] == 200
    assert ask("/", hosts=None, host="laboratory.example")[0] == 200


def test_too_much_is_refused_before_it_is_read() -> None:
    assert ask("/gradio_api/upload", "POST", content_length="500000000")[0] == 413
    assert ask("/gradio_api/upload", "POST", content_length=str(1000 + ENVELOPE))[0] == 200
    assert ask("/gradio_api/upload", "POST", transfer_encoding="chunked")[0] == 411


def test_the_browser_is_told_to_ask_nobody_else() -> None:
    policy = ask("/")[1]["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy


def test_a_browser_gets_a_name_once() -> None:
    cookie = ask("/")[1]["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    own = cookie.split(";")[0]
    assert len(owner_of(own)) >= 20
    assert "set-cookie" not in ask("/", cookie=own)[1]
    assert ask("/")[1]["set-cookie"] != cookie


@pytest.mark.parametrize(
    "cookies", ["", "other=1", f"{COOKIE}=", f"{COOKIE}=short", f"{COOKIE}=../../../../etc/passwd", "\x00;="]
)
def test_no_name_is_made_of_nonsense(cookies: str) -> None:
    assert owner_of(cookies) == ""

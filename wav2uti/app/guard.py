"""What stands between the network and Gradio: who may ask, for what, and how much may be sent.

Gradio is made for sharing: it fetches addresses for whoever asks, trims recordings with a program, reports how it is
used. This page needs none of it, so only what it needs is let through.
"""

import re
import secrets
from http.cookies import SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "wav2uti"
ENVELOPE = 1 << 16  # bytes of a request around the file in it
_OWN = re.compile(r"[\w-]{20,64}")
# What the page asks for. Of Gradio's own: not its proxy, its fetching of addresses, its dashboards, its API pages.
ALLOWED = re.compile(
    r"/|/(?:assets|static|theme\.css|favicon\.ico|config|results|player\.js|svelte|manifest\.json)(?:[/?].*)?"
    r"|/gradio_api/(?:queue/(?:join|data)|upload|upload_progress|heartbeat/[\w-]+|file=/.*|cancel|info|startup-events"
    r"|reset/?|run/[\w-]+)"
)
# The page itself may ask nobody but its server, whatever a library of it would like.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; "
    "connect-src 'self' data: blob:; object-src 'none'; frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)


class Guard:
    """ASGI middleware.

    Args:
        app: what is guarded.
        hosts: names under which the page may be asked for; None for any. A page elsewhere that has its own name point
            to this machine cannot speak for the user then.
        most: bytes that one uploaded file may have.
    """

    def __init__(self, app: ASGIApp, hosts: set[str] | None, most: int) -> None:
        self.app = app
        self.hosts = hosts
        self.most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refused = self._refused(scope, headers)
        if refused is not None:
            await refused(scope, receive, send)
            return
        own = owner_of(headers.get("cookie", ""))
        fresh = None if own else secrets.token_urlsafe(24)

        async def answered(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                answer["Content-Security-Policy"] = POLICY
                answer["X-Content-Type-Options"] = "nosniff"
                answer["Referrer-Policy"] = "no-referrer"
                if fresh and scope["path"] == "/":
                    answer.append("Set-Cookie", f"{COOKIE}={fresh}; HttpOnly; SameSite=Strict; Path=/")
            await send(message)

        await self.app(scope, receive, answered)

    def _refused(self, scope: Scope, headers: Headers) -> PlainTextResponse | None:
        host = headers.get("host", "").rsplit(":", 1)[0]
        if self.hosts is not None and host not in self.hosts:
            return PlainTextResponse(f"This page is not served as {host}: give its name with --host.", 421)
        if not ALLOWED.fullmatch(scope["path"]):
            return PlainTextResponse("There is no such page.", 404)
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return None
        length = headers.get("content-length", "")
        if not length.isdigit():
            return PlainTextResponse("Say how long it is (Content-Length).", 411)
        if int(length) > self.most + ENVELOPE:
            return PlainTextResponse(f"A file may have {self.most / 2**20:g} MB.", 413)
        return None


def owner_of(cookies: str) -> str:
    """Who asks, by the header Cookie; empty for nobody known."""
    try:
        morsel = SimpleCookie(cookies).get(COOKIE)
    except Exception:  # whatever somebody else's cookies hold
        return ""
    return morsel.value if morsel is not None and _OWN.fullmatch(morsel.value) else ""

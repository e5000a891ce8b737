"""The page with its files, as an application for a web server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import gradio as gr
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, PlainTextResponse, Response

from wav2uti.app.desk import Desk
from wav2uti.app.guard import Guard, owner_of
from wav2uti.app.page import LOOK, page, script

SWEEP = 60.0  # seconds between two looks for files whose time is over


def site(desk: Desk, hosts: set[str] | None) -> FastAPI:
    """Page, player, and results for who made them, behind the guard.

    Args:
        desk: takes what is asked.
        hosts: names under which the page may be asked for; None for any.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async def sweep() -> None:
            while True:
                await asyncio.sleep(SWEEP)
                await asyncio.to_thread(desk.store.sweep)

        sweeping = asyncio.create_task(sweep())
        yield
        sweeping.cancel()

    server = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    server.add_middleware(Guard, hosts=hosts, most=desk.limits.bytes)

    @server.get("/results/{token}/{name:path}")
    def result(token: str, name: str, request: Request) -> Response:
        path = desk.store.find(token, name, owner_of(request.headers.get("cookie", "")))
        if path is None:
            return PlainTextResponse("There is no such file, or no longer.", 404)
        return FileResponse(path, headers={"Cache-Control": "private, no-store"})

    @server.get("/player.js")
    def player() -> Response:
        return FileResponse(script(), media_type="text/javascript", headers={"Cache-Control": "no-cache"})

    blocks = page(desk)
    blocks.queue(max_size=4 * (desk.limits.waiting + 2))
    mounted: FastAPI = gr.mount_gradio_app(
        server,
        blocks,
        path="/",
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=desk.limits.bytes,
        ssr_mode=False,
        mcp_server=False,
        enable_monitoring=False,
        pwa=False,
        **LOOK,
    )
    return mounted

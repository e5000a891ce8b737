"""The command `wav2uti app`: the web page, for this machine alone unless told otherwise."""

import ipaddress
import logging
import os
import signal
import socket
import warnings
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from wav2uti.app.desk import Desk
from wav2uti.app.limits import Limits
from wav2uti.app.models import Models
from wav2uti.app.store import Store
from wav2uti.app.worker import Worker, studio
from wav2uti.errors import InputError, Terminated

if TYPE_CHECKING:
    from fastapi import FastAPI

ENDING = (signal.SIGINT, signal.SIGTERM)
# Gradio reports its use, keeps histories and may offer the page to other programs: none of it here.
QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_RUN_HISTORY": "False",
    "GRADIO_MCP_SERVER": "False",
    "GRADIO_SSR_MODE": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def app(
    ckpt_path: list[str] | None = None,
    host: str = "127.0.0.1",
    port: int = 7860,
    device: str = "auto",
    max_seconds: float = 60.0,
    max_megabytes: float = 50.0,
    max_minutes: float = 10.0,
    max_waiting: int = 16,
) -> None:
    """Serve the web page: record or give speech, and watch the tongue over its waveform and spectrogram.

    It offers the checkpoints under runs/, exported folders there and here, the shipped model, and those of --ckpt_path.
    Nothing leaves this machine, and nobody else reaches the page, unless --host says so. What users give and what is
    drawn for them lies in a private temporary folder, for an hour at most.

    Args:
        ckpt_path: models that are offered first, each as `wav2uti predict --ckpt_path` takes it.
        host: address to listen on; 0.0.0.0 lets everybody in the network use the page, without a password.
        port: to listen on; 0 for any that is free.
        device: cpu, cuda or auto.
        max_seconds: of sound in one drawing.
        max_megabytes: of one uploaded file.
        max_minutes: that one drawing may take.
        max_waiting: drawings that may wait for others to end.
    """
    limits = Limits(max_seconds, max_megabytes, max_minutes, max_waiting)
    if find_spec("gradio") is None:
        raise InputError("The web page needs Gradio, which is not installed: pip install 'wav2uti[app]'.")
    models = Models(ckpt_path or [])
    first = models.found()[0]
    with _listening(host, port) as listener:
        store = Store()
        worker = Worker(partial(studio, device), max_waiting)
        try:
            os.environ.update(QUIET, GRADIO_TEMP_DIR=str(store.uploads))  # before Gradio is imported: it looks once
            from wav2uti.app.site import site

            own = {"127.0.0.1", "localhost", "[::1]", host} if _is_local(host) else None
            application = site(Desk(models, worker, store, limits), own)
            worker.warm(first.paths)
            name = f"[{host}]" if ":" in host else host
            print(f"wav2uti app: http://{name}:{listener.getsockname()[1]} (Ctrl+C ends it)", flush=True)
            if own is None:
                warnings.warn(f"everybody who reaches {host} can use this page, without a password.", stacklevel=1)
            _run(application, listener)
        finally:
            worker.close()
            store.close()


def _run(application: "FastAPI", listener: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        KeyboardInterrupt, Terminated: then.
    """
    import uvicorn

    # Pages that are open never end their requests by themselves, so they are ended after this many seconds.
    server = uvicorn.Server(uvicorn.Config(application, log_level="warning", timeout_graceful_shutdown=1))
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s")
    logging.getLogger("uvicorn.error").addFilter(
        lambda _: not server.should_exit
    )  # of their ends there is no need to tell
    received: list[int] = []
    # The server ends by these too, and then raises them again: raised in its midst they would be an error of its own.
    before = {number: signal.signal(number, lambda got, _: received.append(got)) for number in ENDING}
    try:
        server.run([listener])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if signal.SIGTERM in received:
        raise Terminated("ended.")
    raise KeyboardInterrupt


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"{host}:{port} cannot be listened on ({reason}): give another --port, or --port 0 for any that is free."
        ) from error
    return listener


def _is_local(host: str) -> bool:
    """Only this machine reaches it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

"""A server of a folder on 127.0.0.1 that answers requests for parts of a file, as object stores do."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any


class Served:
    """A running server: its address, the answers it gave, and how many more it is to refuse."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.parts = 0
        self.bytes = 0
        self.refuse = 0


@contextmanager
def served(folder: Path, ranges: bool = True) -> Iterator[Served]:
    """Serve a folder while the block runs."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            path = Path(self.translate_path(self.path))
            if asked is None or not ranges or not path.is_file():
                super().do_GET()
                return
            if state.refuse:
                state.refuse -= 1
                self.send_error(503)
                return
            first, last = int(asked[1]), int(asked[2])
            with path.open("rb") as file:
                file.seek(first)
                part = file.read(last - first + 1)
            state.parts += 1
            state.bytes += len(part)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{path.stat().st_size}")
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            self.wfile.write(part)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state = Served(f"http://127.0.0.1:{server.server_address[1]}")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

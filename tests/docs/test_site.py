"""The documentation site: built without a warning, found by its search, and shown without any other machine."""

import functools
import http.server
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from conftest import REPOSITORY

pytest.importorskip("mkdocs", reason="the extra `docs` is not installed")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    # Not --quiet: it hides the warnings from --strict, too.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Fetched(HTMLParser):
    """Addresses that a browser fetches by itself to show a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "link" and given.get("rel") not in ("canonical", "prev", "next"):
            self.addresses.append(given.get("href") or "")
        elif tag != "a":
            self.addresses += [value for name, value in given.items() if name in ("src", "srcset", "poster") and value]


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for path in pages:
        fetched = Fetched()
        fetched.feed(path.read_text())
        assert fetched.addresses
        assert not [address for address in fetched.addresses if re.match(r"(?:https?:)?//", address)], path
    for path in site.rglob("*.css"):
        assert not re.search(r"""(?:url\(|@import)\s*["']?(?:https?:)?//""", path.read_text()), path


def test_docstrings_read_well(site: Path) -> None:
    """Examples are code, and parameters that share a sentence stand apart (docs/docstrings.py)."""
    drawing = (site / "reference" / "drawing" / "index.html").read_text()
    assert "<blockquote>" not in drawing
    assert re.search(r'<span class="gp">&gt;&gt;&gt; </span><span class="n">churn', drawing)
    options = drawing.partition('id="wav2uti.diffusion.sampler.DPMSolver"')[2].partition("<h")[0]
    assert [options.count(f"<code>{name}</code>") for name in ("steps", "sigma_min", "rho", "eta")] == [1, 1, 1, 1]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_in_a_browser(address: str) -> None:
    """No request leaves the machine, no script fails, and the search finds a word of a page."""
    playwright = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no chromium")
    with playwright.sync_playwright() as run:
        browser = run.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        asked: list[str] = []
        wrong: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        for path in ("", "how-to/aaa/", "reference/drawing/", "explanation/scores/"):
            page.goto(address + path, wait_until="networkidle")
        page.keyboard.press("/")  # the search
        page.keyboard.type("velocity")
        page.wait_for_selector(".md-search-result__link", timeout=60_000)
        browser.close()
    assert asked
    assert not [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert not wrong

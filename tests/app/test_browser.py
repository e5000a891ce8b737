"""The page in a real browser: Chromium, driven by Playwright; skipped where one of them is absent."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from conftest import REPOSITORY, Run

pytest.importorskip("gradio")
playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = next((found for name in ("chromium", "chromium-browser") if (found := shutil.which(name))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium (apt-get install chromium)"),
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for the drawing process in /proc"),
]

PATIENCE = 120_000  # ms for whatever a busy machine has to do
MEGABYTES = 5
NAMES = ("first", "second")  # of two models
SECONDS = 1.0  # of the speech
FRAMES = 60
SPEECH = "#sound input[type=file]"


@dataclass
class Server:
    """A page that is served."""

    address: str
    process: "subprocess.Popen[str]"
    temporary: Path
    log: Path

    @property
    def workers(self) -> list[int]:
        """Processes that draw for it."""
        found = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True).stdout.split()
        return [pid for pid in map(int, found) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@dataclass
class User:
    """A browser of its own, and what it complained of and asked for."""

    page: Any
    errors: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def give(self, speech: Path, steps: int = 2) -> "User":
        """Upload speech and choose the steps."""
        self.page.set_input_files(SPEECH, str(speech))
        self.page.wait_for_selector(
            "#sound [data-testid=waveform-x], #sound .timestamps, #sound audio", state="attached"
        )
        return self.steps(steps)

    def steps(self, steps: int) -> "User":
        """Choose the steps."""
        if not self.page.locator("#how input[type=number]").first.is_visible():
            self.page.click("#how button")
        self.page.locator("#how input[type=number]").first.fill(str(steps))
        self.page.keyboard.press("Tab")
        return self

    def draw(self) -> "User":
        """Press the button and wait for what comes of it."""
        # The note and the result that are there may be an earlier drawing's: it is over when they are others.
        state = (
            "(() => { const at = (place) => document.querySelector(place);"
            "const note = at('#status .uti-note')?.innerText ?? ''; return {"
            "busy: !at('#stop').disabled || /Looking|Waiting|Loading|Drawing with|Following/.test(note), "
            "shown: note + (at('uti-player')?.dataset.play ?? '') }; })()"
        )
        before = self.page.evaluate(state)["shown"]
        self.page.click("#draw")
        self.page.wait_for_function(
            f"before => {{ const now = {state}; return !now.busy && now.shown !== before; }}",
            arg=before,
            timeout=PATIENCE,
        )
        return self

    @property
    def refusal(self) -> str:
        return str(self.page.inner_text(".uti-wrong", timeout=PATIENCE))

    @property
    def videos(self) -> list[dict[str, Any]]:
        """What each video of the player is at."""
        assert self.page.locator(".uti-wrong").all_inner_texts() == []
        return list(
            self.page.locator("uti-player video").evaluate_all(
                "all => all.map(v => ({time: v.currentTime, seconds: v.duration, width: v.videoWidth, "
                "paused: v.paused, src: v.src, wrong: v.error && v.error.message}))"
            )
        )

    @property
    def cursor(self) -> float:
        """Where the cursor stands, as a share of the time."""
        style = self.page.locator("uti-player .cursor").get_attribute("style")
        found = re.search(r"left: ([\d.]+)%", style)
        assert found
        return float(found[1]) / 100


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of something like a vowel whose pitch falls."""
    path = tmp_path_factory.mktemp("speech") / "a vowel.wav"
    time = np.arange(round(SECONDS * 16_000)) / 16_000
    phase = 2 * np.pi * np.cumsum(140 - 40 * time) / 16_000
    sound = sum(np.sin(k * phase) / k for k in range(1, 30)) * np.sin(np.pi * time / SECONDS)
    soundfile.write(path, 0.3 * sound, 16_000)
    return path


@pytest.fixture(scope="module")
def server(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`wav2uti app` with two models, as a user starts it."""
    place = tmp_path_factory.mktemp("served")
    temporary = tmp_path_factory.mktemp("temporary")
    for name in NAMES:
        folder = place / "runs" / name / "version_0" / "checkpoints"
        folder.mkdir(parents=True)
        shutil.copy(run.checkpoint, folder / "last.ckpt")
    log = place / "log.txt"
    command = [
        sys.executable,
        "-m",
        "wav2uti.cli",
        "app",
        "--port=0",
        f"--max_megabytes={MEGABYTES}",
        "--max_seconds=20",
        "--ckpt_path",
        *(f"runs/{name}/version_0/checkpoints/last.ckpt" for name in NAMES),
    ]
    with log.open("w") as out:
        environment = os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": str(REPOSITORY)}
        process = subprocess.Popen(command, cwd=place, env=environment, stdout=out, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + PATIENCE / 1000
    while not (found := re.search(r"http://\S+", log.read_text())) and time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        time.sleep(0.2)
    assert found, log.read_text()
    yield Server(found[0], process, temporary, log)
    process.send_signal(signal.SIGTERM)
    process.wait(20)
    assert [path.name for path in temporary.iterdir() if path.name.startswith("wav2uti-app")] == []
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=quiet)
        yield browser
        browser.close()


@pytest.fixture
def user(server: Server, browser: Any) -> Iterator[Callable[..., User]]:
    """Opens the page for one more user."""
    contexts = []

    def open(width: int = 1280, height: int = 900) -> User:
        context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        one = User(page)
        page.on("console", lambda message: message.type == "error" and one.errors.append(message.text))
        page.on("pageerror", lambda error: one.errors.append(str(error)))
        page.on("request", lambda request: one.asked.append(request.url))
        page.goto(server.address)
        page.wait_for_selector("#about .uti-about")
        return one

    yield open
    for context in contexts:
        context.close()


def test_speech_becomes_a_tongue_that_is_watched_and_downloaded(
    user: Callable[..., User], speech: Path, server: Server, tmp_path: Path
) -> None:
    one = user().give(speech).draw()
    page = one.page
    assert "SIMULATED" in page.inner_text("#about")
    assert "SIMULATED" in page.inner_text("#result .uti-simulated")
    page.wait_for_function("document.querySelector('uti-player').shadowRoot.querySelector('video').readyState >= 2")
    (video,) = one.videos
    assert video["wrong"] is None
    assert video["seconds"] == pytest.approx(SECONDS, abs=0.05)
    assert video["width"] >= 448
    assert (video["time"], one.cursor) == (0, 0)

    # It plays, and the cursor follows it.
    page.click("uti-player button[data-value='0.25']")
    page.click("uti-player button.play")
    page.wait_for_function("document.querySelector('uti-player').shadowRoot.querySelector('video').currentTime > 0.05")
    page.click("uti-player button.play")
    (video,) = one.videos
    assert video["paused"]
    assert one.cursor == pytest.approx(video["time"] / SECONDS, abs=0.01)
    assert 0.05 < video["time"] < SECONDS

    # A click on the spectrogram goes there, an arrow key to the next frame.
    box = page.locator("uti-player .spectrogram").bounding_box()
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 20)
    assert one.videos[0]["time"] == pytest.approx(0.5 * SECONDS, abs=0.01)
    assert "frame 31 of 60" in page.inner_text("uti-player .time")
    page.keyboard.press("ArrowRight")
    assert "frame 32 of 60" in page.inner_text("uti-player .time")
    assert one.cursor == pytest.approx(31.5 / 60, abs=0.01)

    # The contour lies over it, until it is switched off.
    count = (
        "(() => { const c = document.querySelector('uti-player').shadowRoot.querySelector('canvas');"
        " const { data } = c.getContext('2d').getImageData(0, 0, c.width, c.height);"
        " return data.filter((value, place) => place % 4 === 3 && value > 0).length; })()"
    )
    assert page.evaluate(count) > 50
    page.click("uti-player button.contour")
    assert page.evaluate(count) == 0

    # Everything that was made can be had.
    links = page.locator(".uti-files li a")
    files = {}
    for number in range(links.count()):
        with page.expect_download() as download:
            links.nth(number).click()
        files[download.value.suggested_filename] = tmp_path / download.value.suggested_filename
        download.value.save_as(files[download.value.suggested_filename])
    assert {"a vowel.mp4", "a vowel.png", "a vowel.npz", "a vowel.csv"} <= set(files)
    with av.open(str(files["a vowel.mp4"])) as container:
        assert sum(1 for _ in container.decode(video=0)) == FRAMES
        assert "SIMULATED" in container.metadata["comment"]
    with np.load(files["a vowel.npz"]) as archive:
        assert archive["frames"].shape == (FRAMES, 16, 16)
    assert files["a vowel.csv"].read_text().startswith("frame,time,x,y")
    with page.expect_download() as download:
        page.click("a.uti-all")
    download.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.testzip() is None
        assert set(archive.namelist()) == set(files)

    assert one.errors == []
    foreign = [url for url in one.asked if not url.startswith((server.address, "data:", "blob:"))]
    assert [url for url in foreign if not url.startswith(f"blob:{server.address}")] == []


def test_what_is_no_sound_is_told_in_one_sentence(user: Callable[..., User], speech: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_text("This is no sound.\n" * 100)
    one = user()
    one.page.set_input_files(SPEECH, str(bad))
    one.page.wait_for_timeout(1000)
    one.draw()
    assert re.fullmatch(
        r"bad\.wav cannot be read as sound \(.*\): give wav, flac, mp3 or ogg, for instance .*", one.refusal
    )
    assert "Traceback" not in one.page.content()
    one.page.click("#sound button[aria-label=Clear]")
    one.give(speech).draw()
    assert one.videos


def test_without_speech_nothing_is_drawn(user: Callable[..., User]) -> None:
    assert user().draw().refusal == "There is no speech yet: record some, or give a sound file."


def test_a_recording_that_is_too_long_is_refused(user: Callable[..., User], tmp_path: Path) -> None:
    long = tmp_path / "long.wav"
    soundfile.write(long, np.zeros(30 * 8000), 8000)
    assert "longer than 20 s" in user().give(long).draw().refusal


def test_a_picture_that_is_none_is_told(user: Callable[..., User], speech: Path, tmp_path: Path) -> None:
    picture = tmp_path / "frame.png"
    picture.write_text("no picture")
    one = user().give(speech)
    one.page.set_input_files("#reference input[type=file]", str(picture))
    one.page.wait_for_selector("#reference .file-preview")
    assert one.draw().refusal == "frame.png cannot be read as a picture: give a PNG or JPEG of one ultrasound frame."


def test_two_users_at_once_get_their_own(user: Callable[..., User], speech: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.wav"
    soundfile.write(other, soundfile.read(speech)[0][:8000], 16_000)
    one, two = user().give(speech), user().give(other)
    one.page.click("#draw")
    two.page.click("#draw")
    for each, seconds in ((one, SECONDS), (two, 0.5)):
        each.page.wait_for_selector("uti-player", timeout=PATIENCE)
        each.page.wait_for_function(
            "document.querySelector('uti-player').shadowRoot.querySelector('video').readyState >= 1"
        )
        assert each.videos[0]["seconds"] == pytest.approx(seconds, abs=0.05)
    assert one.videos[0]["src"] != two.videos[0]["src"]
    assert one.page.request.get(one.videos[0]["src"]).status == 200
    assert two.page.request.get(one.videos[0]["src"]).status == 404
    assert one.page.request.get(two.videos[0]["src"]).status == 404


def test_the_page_survives_a_killed_drawing(user: Callable[..., User], speech: Path, server: Server) -> None:
    one = user().give(speech, steps=256)
    one.page.click("#draw")
    one.page.wait_for_selector("#status progress[value]:not([value='0.0'])", timeout=PATIENCE)
    (worker,) = server.workers
    os.kill(worker, signal.SIGKILL)
    assert one.refusal.startswith("The drawing process was ended from outside")
    one.steps(2).draw()
    assert len(one.videos) == 1
    assert server.workers != [worker]


def test_a_drawing_is_stopped_by_its_button(user: Callable[..., User], speech: Path) -> None:
    one = user().give(speech, steps=256)
    one.page.click("#draw")
    one.page.wait_for_selector("#status progress[value]:not([value='0.0'])", timeout=PATIENCE)
    one.page.click("#stop")
    one.page.wait_for_selector("#draw:not([disabled])", timeout=10_000)
    assert one.page.inner_text("#status .uti-note") == "Stopped."
    one.steps(2).draw()
    assert len(one.videos) == 1


def test_a_page_that_is_closed_holds_up_nobody(user: Callable[..., User], speech: Path) -> None:
    one, two = user().give(speech, steps=256), user().give(speech)
    one.page.click("#draw")
    one.page.wait_for_selector("#status progress[value]:not([value='0.0'])", timeout=PATIENCE)
    two.page.click("#draw")
    two.page.wait_for_selector("text=1 job comes before yours", timeout=PATIENCE)
    one.page.close()
    two.page.wait_for_selector("uti-player", timeout=PATIENCE)


def test_half_a_gigabyte_is_refused_and_the_page_goes_on(
    user: Callable[..., User], speech: Path, server: Server, tmp_path: Path
) -> None:
    large = tmp_path / "large.wav"
    with large.open("wb") as file:
        file.truncate(500_000_000)
    one = user()
    one.page.set_input_files(SPEECH, str(large))
    sentence = one.page.locator("text=exceed the maximum allowed size").first
    sentence.wait_for(timeout=PATIENCE)
    assert re.fullmatch(
        rf'File\(s\) exceed the maximum allowed size of {MEGABYTES}(\.0)? Mb: "large.wav"', sentence.inner_text()
    )
    # And where the browser does not look at it: the server does, before it has read it.
    answer = subprocess.run(
        [
            "curl",
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "-F",
            f"files=@{large}",
            f"{server.address}/gradio_api/upload",
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.stdout == "413"
    kept = [path for path in server.temporary.rglob("*") if path.is_file() and path.stat().st_size > 1e6]
    assert kept == []
    one.page.click("#sound button[aria-label=Clear]")
    one.give(speech).draw()
    assert len(one.videos) == 1


def test_two_models_are_compared_in_step(user: Callable[..., User], speech: Path, tmp_path: Path) -> None:
    one = user().give(speech)
    page = one.page
    chosen = page.input_value("#model input")
    page.click("#other input")
    assert "first" in chosen
    page.locator("#other [role=option]", has_text="second").click()
    one.draw()
    assert len(one.videos) == 2
    page.wait_for_function(
        "[...document.querySelector('uti-player').shadowRoot.querySelectorAll('video')].every(v => v.readyState >= 2)"
    )
    assert len(one.videos) == 2
    assert len({video["src"] for video in one.videos}) == 2
    page.click("uti-player button[data-value='0.25']")
    page.click("uti-player button.play")
    page.wait_for_function("document.querySelector('uti-player').shadowRoot.querySelector('video').currentTime > 0.1")
    page.click("uti-player button.play")
    page.wait_for_timeout(300)
    first, second = one.videos
    assert first["time"] > 0.1
    assert second["time"] == pytest.approx(first["time"], abs=1 / 60)
    assert page.locator("uti-player video").evaluate_all("all => all.map(v => v.muted)") == [False, True]
    with page.expect_download() as download:
        page.click("a.uti-all")
    download.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert len({name.split("/")[0] for name in archive.namelist()}) == 2
    assert one.errors == []


def test_several_samples_show_their_spread(user: Callable[..., User], speech: Path) -> None:
    one = user().give(speech)
    one.page.locator("#how input[type=number]").nth(2).fill("2")
    one.page.keyboard.press("Tab")
    one.draw()
    one.page.click("uti-player button[data-value=spread]")
    assert one.videos[0]["src"].endswith(".spread.mp4")
    one.page.wait_for_function("document.querySelector('uti-player').shadowRoot.querySelector('video').readyState >= 2")
    assert one.videos[0]["width"] > 800


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_of_a_telephone(user: Callable[..., User], speech: Path, scheme: str) -> None:
    one = user(390, 844)
    one.page.emulate_media(color_scheme=scheme)
    assert one.page.evaluate("document.documentElement.scrollWidth") <= 390
    one.give(speech).draw()
    assert one.page.evaluate("document.documentElement.scrollWidth") <= 390
    box = one.page.locator("uti-player").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390

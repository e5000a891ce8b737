"""Files of the page's users: in a private folder, each found only by who made it, none for longer than needed."""

import secrets
import shutil
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "wav2uti-app-"
KEEP = 3600.0  # seconds from the making of a file to its end
AFTER = 300.0  # seconds that results outlive their page: a telephone that sleeps looks like one that has left
EACH = 8  # results that one user may have at a time; the oldest goes first


@dataclass
class Result:
    """Where the files of one drawing lie.

    Attributes:
        token: its part of the address, which nobody can guess.
        folder: of the files.
        owner: the cookie of who may fetch them.
        session: the page that asked for them.
        made: time of the monotonic clock.
        until: when it goes.
    """

    token: str
    folder: Path
    owner: str
    session: str
    made: float = field(default_factory=time.monotonic)
    until: float = field(default_factory=lambda: time.monotonic() + KEEP)


class Store:
    """A folder under the system's folder for temporary files that no other user of the machine can look into.

    Attributes:
        uploads: where Gradio puts what it receives.
    """

    def __init__(self, place: Path | None = None) -> None:
        root = Path(place or tempfile.gettempdir())
        _remove_orphans(root)
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))  # mode 0700
        # Whoever holds it is alive: a server that was killed leaves its folder to the next one.
        self._alive = FileLock(self.folder / ".lock")
        self._alive.acquire()
        self.uploads = self.folder / "uploads"
        self.uploads.mkdir()
        self._results: dict[str, Result] = {}
        self._changing = threading.Lock()

    def new(self, owner: str, session: str) -> Result:
        """A place for the files of one drawing; the oldest ones of an owner with too many go."""
        token = secrets.token_urlsafe(24)
        result = Result(token, self.folder / token, owner, session)
        result.folder.mkdir()
        with self._changing:
            self._results[token] = result
            own = sorted((r for r in self._results.values() if r.owner == owner), key=lambda r: r.made)
        for old in own[:-EACH]:
            self.remove(old)
        return result

    def find(self, token: str, name: str, owner: str) -> Path | None:
        """A file of a result, for its owner; None for anybody else and for what is not there."""
        result = self._results.get(token)
        if result is None or not owner or not secrets.compare_digest(result.owner.encode(), owner.encode()):
            return None
        path = (result.folder / name).resolve()
        return path if path.is_relative_to(result.folder.resolve()) and path.is_file() else None

    def remove(self, result: Result) -> None:
        """Delete a result."""
        with self._changing:
            self._results.pop(result.token, None)
        shutil.rmtree(result.folder, ignore_errors=True)

    def ended(self, session: str) -> None:
        """A page was closed: its results go soon."""
        for result in list(self._results.values()):
            if result.session == session:
                result.until = min(result.until, time.monotonic() + AFTER)

    def sweep(self, ahead: float = 0.0) -> None:
        """Delete what has had its time, uploads too; `ahead` seconds before it is over."""
        for result in list(self._results.values()):
            if result.until <= time.monotonic() + ahead:
                self.remove(result)
        for path in self.uploads.rglob("*"):
            with suppress(OSError):  # it went meanwhile, or is a folder with something in it
                if path.stat().st_mtime + KEEP <= time.time() + ahead:
                    path.rmdir() if path.is_dir() else path.unlink()

    def close(self) -> None:
        """Delete everything."""
        self._alive.release()
        shutil.rmtree(self.folder, ignore_errors=True)


def _remove_orphans(root: Path) -> None:
    """Delete what servers left that were killed."""
    for folder in root.glob(f"{PREFIX}*"):
        lock = folder / ".lock"
        with suppress(OSError, Timeout):
            if not lock.is_file():  # another user's, or one that begins just now
                continue
            with FileLock(lock, timeout=0):
                shutil.rmtree(folder, ignore_errors=True)

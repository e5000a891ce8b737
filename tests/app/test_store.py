"""Files of the page's users: who finds them, and when they go."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from wav2uti.app.store import AFTER, EACH, KEEP, PREFIX, Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.close()


def test_a_file_is_found_by_its_owner_alone(store: Store) -> None:
    result = store.new("ann", "page 1")
    (result.folder / "a.mp4").write_bytes(b"video")
    assert store.find(result.token, "a.mp4", "ann") == result.folder / "a.mp4"
    for owner in ("bob", "", "ann "):
        assert store.find(result.token, "a.mp4", owner) is None
    assert store.find("x" * 32, "a.mp4", "ann") is None


def test_nobody_without_a_name_owns_anything(store: Store) -> None:
    result = store.new("", "page 1")
    (result.folder / "a.mp4").write_bytes(b"video")
    assert store.find(result.token, "a.mp4", "") is None


def test_no_name_leads_out_of_a_result(store: Store) -> None:
    result, other = store.new("ann", "page 1"), store.new("bob", "page 2")
    (other.folder / "a.mp4").write_bytes(b"video")
    (result.folder / "link").symlink_to(other.folder / "a.mp4")
    for name in (f"../{other.token}/a.mp4", "../.lock", "link", "/etc/passwd", ".", ""):
        assert store.find(result.token, name, "ann") is None


def test_other_users_of_the_machine_cannot_look_in(store: Store) -> None:
    assert store.folder.stat().st_mode & 0o077 == 0


def test_results_go_in_an_hour_or_soon_after_their_page_was_closed(store: Store) -> None:
    first, second = store.new("ann", "page 1"), store.new("ann", "page 2")
    store.ended("page 2")
    store.sweep()
    assert first.folder.exists()
    assert second.folder.exists()
    store.sweep(ahead=AFTER + 1)
    assert first.folder.exists()
    assert not second.folder.exists()
    store.sweep(ahead=KEEP + 1)
    assert not first.folder.exists()
    assert store.find(first.token, "a.mp4", "ann") is None


def test_uploads_go_in_an_hour(store: Store) -> None:
    folder = store.uploads / "digest"
    folder.mkdir()
    old, fresh = folder / "old.wav", folder / "fresh.wav"
    for path in (old, fresh):
        path.write_bytes(b"sound")
    os.utime(old, (time.time() - KEEP - 1,) * 2)
    store.sweep()
    assert [path.name for path in folder.iterdir()] == ["fresh.wav"]


def test_the_oldest_results_of_a_user_make_room(store: Store) -> None:
    results = [store.new("ann", "page 1") for _ in range(EACH + 2)]
    other = store.new("bob", "page 2")
    assert [result.folder.exists() for result in results] == [False] * 2 + [True] * EACH
    assert other.folder.exists()


def test_everything_goes_when_the_server_ends(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (store.new("ann", "page 1").folder / "a.mp4").write_bytes(b"video")
    store.close()
    assert list(tmp_path.iterdir()) == []


def test_a_server_tidies_up_after_one_that_was_killed_and_not_after_one_that_lives(tmp_path: Path) -> None:
    living = Store(tmp_path)
    dead = tmp_path / f"{PREFIX}dead"
    dead.mkdir()
    (dead / ".lock").touch()
    beginning = tmp_path / f"{PREFIX}beginning"
    beginning.mkdir()
    store = Store(tmp_path)
    assert not dead.exists()
    assert living.folder.exists()
    assert beginning.exists()
    store.close()
    living.close()

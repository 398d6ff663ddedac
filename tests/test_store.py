"""`store.py`: no lost update, no half record, and one named error for whatever may go wrong."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_sessions import store as store_module
from jupyter_sessions.errors import CorruptRecord, SessionError, SessionNotFound, StoreError
from jupyter_sessions.record import dump
from jupyter_sessions.session import Session
from jupyter_sessions.store import SessionStore, private_directory, write_atomically

from .core import a_session

WRITER = Path(__file__).parent / "drivers" / "store_writer.py"


@pytest.fixture
def store(tmp_path: Path) -> SessionStore:
    return SessionStore(tmp_path / "jupyter_sessions")


def more(session: Session) -> Session:
    return replace(session, wanted_attempt=session.wanted_attempt + 1)


def record(store: SessionStore, session: Session) -> Path:
    return store.directory(session.id) / "session.json"


def names(directory: Path) -> list[str]:
    return sorted(p.name for p in directory.iterdir())


def writer(store: SessionStore, session: Session, *what: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(WRITER), str(store.root), session.id, *what]
    return subprocess.Popen(command, cwd=WRITER.parents[2])


# Verbs ------------------------------------------------------------------------------------------


def test_a_session_is_created_read_changed_listed_and_deleted(store: SessionStore) -> None:
    assert store.list() == ([], [])
    session = store.create(a_session())
    assert store.read(session.id) == session
    changed = store.update(session.id, more)
    assert changed == more(session) == store.read(session.id)
    assert SessionStore(store.root).list() == ([changed], [])
    store.delete(session.id)
    store.delete(session.id)
    assert store.list() == ([], [])
    assert names(store.root / "sessions") == []
    for verb in (store.read, lambda i: store.update(i, more)):
        with pytest.raises(SessionNotFound):
            verb(session.id)


def test_the_list_begins_with_the_oldest(store: SessionStore) -> None:
    sessions = [
        store.create(a_session(created=a_session().created.replace(day=d))) for d in (3, 1, 2)
    ]
    assert store.list()[0] == [sessions[1], sessions[2], sessions[0]]


def test_an_update_that_changes_nothing_writes_nothing(store: SessionStore) -> None:
    session = store.create(a_session())
    before = record(store, session).stat()
    store.update(session.id, lambda s: replace(s))
    assert record(store, session).stat() == before


def test_an_update_that_fails_changes_nothing(store: SessionStore) -> None:
    session = store.create(a_session())
    with pytest.raises(ZeroDivisionError):
        store.update(session.id, lambda s: replace(s, wanted_attempt=1 // 0))
    assert store.read(session.id) == session
    assert store.update(session.id, more) == more(session)  # the lock is free again


def test_what_another_process_wrote_is_seen(store: SessionStore) -> None:
    session = store.create(a_session())
    assert store.read(session.id) is store.read(session.id)
    SessionStore(store.root).update(session.id, more)
    assert store.read(session.id) == more(session)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", ".lock", "a\0b", "\ud800", "é", "a" * 300, "a\n", "-a"]
)
def test_what_is_no_id_is_no_session_and_touches_no_file(store: SessionStore, name: str) -> None:
    store.create(a_session())
    before = sorted(store.root.rglob("*"))
    for verb in (store.read, lambda i: store.update(i, more), store.delete):
        with pytest.raises(SessionNotFound):
            verb(name)
    assert sorted(store.root.rglob("*")) == before


def test_files_that_are_not_ours_are_no_sessions(store: SessionStore) -> None:
    session = store.create(a_session())
    (store.root / "sessions" / ".DS_Store").write_text("x")
    (store.root / "sessions" / "notes").write_text("x")
    (store.root / "sessions" / "lost+found").mkdir()
    (store.root / "sessions" / "empty").mkdir()  # one that is being created
    assert store.list() == ([session], [])


def test_what_a_crashed_delete_left_goes_with_the_next(store: SessionStore) -> None:
    session = store.create(a_session())
    (store.root / "sessions" / ".trash-abc" / "1").mkdir(parents=True)
    store.delete(session.id)
    assert names(store.root / "sessions") == []


# The lock, and what a crash leaves --------------------------------------------------------------


def test_threads_and_processes_lose_no_update(store: SessionStore) -> None:
    session = store.create(a_session())
    processes = [writer(store, session, "count", "15") for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: store.update(session.id, more), range(60)))
    assert [p.wait() for p in processes] == [0] * 4
    assert store.read(session.id).wanted_attempt == 1 + 60 + 4 * 15


def test_an_update_never_starts_from_the_cache(store: SessionStore) -> None:
    session = store.create(a_session())
    store.read(session.id)
    path = record(store, session)
    before = path.stat()
    text = path.read_text().replace('"wanted_attempt": 1', '"wanted_attempt": 5')
    path.write_text(text)  # same inode, same size,
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # and the clock has not moved
    assert store.update(session.id, more).wanted_attempt == 6


@pytest.mark.parametrize(
    "where", ["in the middle of the text", "before the sync", "before the rename"]
)
def test_a_writer_killed_in_mid_write_leaves_the_old_record(
    store: SessionStore, where: str
) -> None:
    session = store.create(a_session())
    assert writer(store, session, "die", where).wait() == -signal.SIGKILL
    assert SessionStore(store.root).list() == ([session], [])
    assert store.update(session.id, more) == more(session)  # its lock went with it


def test_a_delete_during_an_update_is_not_found(store: SessionStore) -> None:
    session = store.create(a_session())

    def change(session: Session) -> Session:
        store.delete(session.id)
        return more(session)

    with pytest.raises(SessionNotFound):
        store.update(session.id, change)
    assert store.list() == ([], [])


# Records that cannot be read --------------------------------------------------------------------

GOOD = dump(a_session(id="other"))
CORRUPT = {
    "empty": b"",
    "truncated": json.dumps(GOOD).encode()[:99],
    "not an object": b"[1]",
    "another object": b'{"a": 1}',
    "newer": json.dumps({**GOOD, "version": 2}).encode(),
    "wrong type": json.dumps({**GOOD, "attempt": 5}).encode(),
    "a number out of all bounds": json.dumps({**GOOD, "timeout": 10**400}).encode(),
    "a time out of all bounds": json.dumps(
        {**GOOD, "created": "0001-01-01T00:00:00+14:00"}
    ).encode(),
    "an endless port": b'{"version": 1, "attempt": {"created": "2026-01-02", "address":'
    b' {"host": "", "port": Infinity}}}',
    "of another session": json.dumps(GOOD).encode(),
    "binary": bytes(range(256)),
    "deep": b"[" * 200_000,
    "zeros": b"\0" * 4096,
}


@pytest.mark.parametrize("content", CORRUPT.values(), ids=CORRUPT)
def test_a_corrupt_record_is_one_named_error_and_the_others_go_on(
    store: SessionStore, content: bytes
) -> None:
    good, bad = store.create(a_session()), store.create(a_session())
    record(store, bad).write_bytes(content)
    sessions, unreadable = store.list()
    assert sessions == [good]
    assert [u.id for u in unreadable] == [bad.id]
    assert str(record(store, bad)) in unreadable[0].message
    for verb in (store.read, lambda i: store.update(i, more)):
        with pytest.raises(CorruptRecord, match=bad.id):
            verb(bad.id)
    assert record(store, bad).read_bytes() == content
    assert store.update(good.id, more) == more(good)
    store.delete(bad.id)
    assert store.list()[1] == []


def test_a_record_that_is_a_directory_is_one_named_error(store: SessionStore) -> None:
    good, bad = store.create(a_session()), store.create(a_session())
    record(store, bad).unlink()
    record(store, bad).mkdir()
    sessions, unreadable = store.list()
    assert (sessions, [u.id for u in unreadable]) == ([good], [bad.id])


# Who may see it ---------------------------------------------------------------------------------


def modes(root: Path) -> set[str]:
    return {oct(stat.S_IMODE(p.lstat().st_mode)) for p in [root, *root.rglob("*")]}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_the_user_can_read_it(store: SessionStore, umask: int) -> None:
    before = os.umask(umask)
    try:
        session = store.create(a_session())
        store.update(session.id, more)
        store.state_directory(session.id)
    finally:
        os.umask(before)
    assert modes(store.root) == {"0o700", "0o600"}
    assert modes(record(store, session)) == {"0o600"}


def test_a_directory_that_others_could_enter_is_closed(store: SessionStore) -> None:
    store.root.mkdir(mode=0o755)
    store.create(a_session())
    assert stat.S_IMODE(store.root.stat().st_mode) == 0o700


def test_a_link_or_a_file_in_its_place_is_refused(store: SessionStore, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    store.root.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="not a directory"):
        store.create(a_session())
    store.root.unlink()
    store.root.write_text("")
    with pytest.raises(StoreError, match="not a directory"):
        store.create(a_session())
    assert names(tmp_path / "elsewhere") == []


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a directory away")
def test_a_directory_of_somebody_else_is_refused(store: SessionStore) -> None:
    store.root.mkdir()
    os.chown(store.root, 12345, 12345)
    with pytest.raises(StoreError, match="belongs to user 12345") as caught:
        store.create(a_session())
    assert caught.value.reason == "unsafe_directory"


# Disks ------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or not sys.platform.startswith("linux"):
        pytest.skip("needs root on Linux, to mount a small disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    made = subprocess.run(mount, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"mounts are not permitted here: {made.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path) -> Path:
    path = disk / "ballast"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return path


@pytest.mark.root
def test_a_full_disk_is_a_clear_error_and_loses_nothing(small_disk: Path) -> None:
    store = SessionStore(small_disk / "js")
    sessions = [store.create(a_session()) for _ in range(3)]
    ballast = fill(small_disk)
    with pytest.raises(StoreError, match="the disk is full: free some space"):
        store.update(sessions[0].id, lambda s: replace(s, name="x" * 5000))
    with pytest.raises(StoreError, match="the disk is full: free some space"):
        store.create(a_session())
    assert SessionStore(store.root).list() == (store.list()[0], [])
    assert {s.id for s in store.list()[0]} == {s.id for s in sessions}
    assert names(store.root / "sessions") == sorted(s.id for s in sessions)
    store.delete(sessions[2].id)  # that needs no room
    ballast.unlink()
    assert store.update(sessions[0].id, more) == more(sessions[0])


@pytest.mark.root
def test_a_read_only_disk_can_be_read(small_disk: Path) -> None:
    store = SessionStore(small_disk / "js")
    session = store.create(a_session())
    store.update(session.id, more)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert SessionStore(store.root).list() == ([more(session)], [])
    for verb in (
        lambda: store.create(a_session()),
        lambda: store.update(session.id, more),
        lambda: store.delete(session.id),
    ):
        with pytest.raises(StoreError, match="read-only"):
            verb()
    assert SessionStore(store.root).list() == ([more(session)], [])


def test_a_store_that_vanishes_is_empty(store: SessionStore) -> None:
    session = store.create(a_session())
    shutil.rmtree(store.root)
    assert store.list() == ([], [])
    with pytest.raises(SessionNotFound):
        store.update(session.id, more)
    assert store.create(session) == session


def test_an_id_is_given_once(store: SessionStore) -> None:
    session = store.create(a_session())
    with pytest.raises(StoreError, match="exists"):
        store.create(replace(session, name="another"))
    assert store.read(session.id) == session


def test_a_failed_write_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomically(tmp_path / "taken", "x")
    assert names(tmp_path) == ["taken"]


def test_a_directory_below_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SessionError, match="Cannot use"):
        private_directory(tmp_path / "file" / "js")


def test_what_is_not_as_it_was_thought_is_not_deleted(store: SessionStore) -> None:
    session = store.create(a_session())
    store.delete(session.id, lambda s: s.wanted_attempt == 2)
    assert store.read(session.id) == session
    store.update(session.id, more)
    store.delete(session.id, lambda s: s.wanted_attempt == 2)
    store.delete(session.id, lambda s: True)
    assert names(store.root / "sessions") == []


def test_a_lock_that_is_never_given_back_is_a_clear_error(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "LOCK_SECONDS", 0.1)
    session = store.create(a_session())
    with (store.directory(session.id) / ".lock").open("w") as halted:
        fcntl.flock(halted, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="Another process has held"):
            store.update(session.id, more)
    assert store.update(session.id, more) == more(session)

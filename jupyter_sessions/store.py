"""The session store: a directory per session, shared by all Jupyter servers of one user.

::

    <data dir>/jupyter_sessions/          0700, ours
      owners/<server>.json                who is alive (ownership.py)
      preferences/<app>.json              what people chose before (preferences.py)
      trusted/<key>.json                  which apps of projects may run (trust.py)
      sessions/<id>/
        session.json                      the record: written under .lock, by rename
        .lock
        secrets.json                      0600, the app's secrets (secrets.py)
        state/                            what the app keeps over restarts of the session
        app/                              a project's app, as it was trusted
        <attempt>/                        what the spawner and the runner keep (see runner)

Not a database: homes are often on NFS or Lustre, where SQLite's locks do not hold and where a
rename is atomic. All methods block for the time of a few system calls; the manager calls them in
a thread.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .errors import CorruptRecord, SessionNotFound, StoreError
from .record import dump, load
from .session import Session

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
"""What the id of a session looks like, and the name of its directory."""
LOCK_SECONDS = 10.0
"""Seconds to wait for another process that writes the same record."""
REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "your quota is used up: free some space",
    errno.EROFS: "it is on a read-only file system",
    errno.EACCES: "this user may not write there",
    errno.EPERM: "this user may not write there",
    errno.ENOLCK: "its file system has no locks: set JUPYTER_DATA_DIR to one that has",
}


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A session whose record cannot be read, and why."""

    id: str
    message: str


@contextlib.contextmanager
def store_errors(what: str, path: Path) -> Iterator[None]:
    """Turn an OSError within into a `StoreError` that says what to do."""
    try:
        yield
    except OSError as error:
        why = REMEDIES.get(error.errno or 0, error.strerror or str(error))
        raise StoreError(f"Cannot {what} {path}: {why}.") from error


def private_directory(path: Path) -> Path:
    """`path` as a directory that only this user can enter, made if need be.

    Raises
    ------
    StoreError
        If it is a link, is not a directory, or belongs to somebody else: on a machine that people
        share, another user may have put it there first.
    """
    with store_errors("use", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        info = path.lstat()
        if not stat.S_ISDIR(info.st_mode):
            raise StoreError(f"{path} is not a directory: move it away.", reason="unsafe_directory")
        if info.st_uid != os.geteuid():
            raise StoreError(
                f"{path} belongs to user {info.st_uid}, not to you: set JUPYTER_DATA_DIR to a"
                " directory of your own.",
                reason="unsafe_directory",
            )
        if stat.S_IMODE(info.st_mode) != 0o700:
            path.chmod(0o700)
    return path


def write_atomically(path: Path, content: str) -> None:
    """Replace `path` by `content` (mode 0600), so that a reader sees the old or the new, whole."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    with contextlib.suppress(OSError):  # it is there; some file systems cannot sync a directory
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


class SessionStore:
    """Sessions on disk.

    Parameters
    ----------
    root
        The ``jupyter_sessions`` directory. Made by the first use, mode 0700.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        # A record is only ever replaced by rename, so a new inode or mtime is a new record.
        self._cache: dict[str, tuple[tuple[int, int, int], Session]] = {}

    @property
    def _sessions(self) -> Path:
        return self.root / "sessions"

    def directory(self, session_id: str) -> Path:
        """Where everything of one session is kept.

        Raises
        ------
        SessionNotFound
            If that cannot be an id: ids come from URLs, and must not lead anywhere else.
        """
        if not ID.fullmatch(session_id):
            raise SessionNotFound(session_id)
        return self._sessions / session_id

    def attempt_directory(self, session_id: str, attempt: int) -> Path:
        """Where the spawner and the runner keep what belongs to one attempt."""
        return self.directory(session_id) / str(attempt)

    def begin_attempt(self, session_id: str, attempt: int) -> None:
        """Make an attempt's directory, wherever it will run: `attempts` tells of it from then on.

        Called before anything is started, so that what runs can be found without the record.

        Raises
        ------
        SessionNotFound
            If the session was deleted.
        """
        if not self.directory(session_id).is_dir():
            raise SessionNotFound(session_id)
        private_directory(self.attempt_directory(session_id, attempt))

    def attempts(self, session_id: str) -> list[int]:
        """The numbers of the attempts that have a directory."""
        try:
            names = os.listdir(self.directory(session_id))  # noqa: PTH208 - names are all we need
        except OSError:
            return []
        return sorted(int(name) for name in names if name.isascii() and name.isdecimal())

    def drop_attempts(self, session_id: str, before: int) -> None:
        """Remove what attempts with a number below `before` have left, their logs included."""
        for number in self.attempts(session_id):
            if number < before:
                shutil.rmtree(self.attempt_directory(session_id, number), ignore_errors=True)

    def state_directory(self, session_id: str) -> Path:
        """Where the app may keep what is to outlive a restart of the session.

        Raises
        ------
        SessionNotFound
            If the session was deleted: this must not bring its directory back.
        """
        if not self.directory(session_id).is_dir():
            raise SessionNotFound(session_id)
        return private_directory(self.directory(session_id) / "state")

    def app_directory(self, session_id: str) -> Path:
        """Where a session keeps its app, if that is not kept elsewhere."""
        return self.directory(session_id) / "app"

    def create(self, session: Session, write_app: Callable[[Path], None] | None = None) -> Session:
        """Record a new session.

        Parameters
        ----------
        write_app
            Makes the session's `app_directory`, before anybody can see the session.

        Raises
        ------
        StoreError
            If it cannot be written; nothing of it is left then.
        """
        private_directory(self.root)
        private_directory(self._sessions)
        directory = self.directory(session.id)
        with store_errors("create", directory):
            directory.mkdir(mode=0o700)
            try:
                if write_app is not None:
                    write_app(self.app_directory(session.id))
                write_atomically(directory / "session.json", _text(session))
            except BaseException:
                shutil.rmtree(directory, ignore_errors=True)
                raise
        return session

    def read(self, session_id: str) -> Session:
        """The session as it is on disk.

        Raises
        ------
        SessionNotFound, CorruptRecord, StoreError
        """
        return self._read(session_id, self._cache.get(session_id))

    def _read(
        self, session_id: str, cached: tuple[tuple[int, int, int], Session] | None = None
    ) -> Session:
        path = self.directory(session_id) / "session.json"
        with store_errors("read", path):
            try:
                info = path.stat()
                key = (info.st_ino, info.st_mtime_ns, info.st_size)
                if cached is not None and cached[0] == key:
                    return cached[1]
                content = path.read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                self._cache.pop(session_id, None)
                raise SessionNotFound(session_id) from None
        try:
            session = load(json.loads(content))
            if session.id != session_id:
                raise ValueError(f"id: it is the record of {session.id!r}")
        except (ValueError, KeyError, OverflowError, RecursionError) as error:
            raise CorruptRecord(
                f"The record of session {session_id} cannot be read ({path}: {error})."
                f" Mend it, or `jupyter sessions rm {session_id}` to stop what still runs of it"
                " and forget it."
            ) from None
        self._cache[session_id] = (key, session)
        return session

    def update(self, session_id: str, change: Callable[[Session], Session]) -> Session:
        """Apply `change` to the session as it is now, and keep the result.

        Other servers and the CLI write too: `change` gets the latest record, under a lock that
        they all take, and must not block.

        Raises
        ------
        SessionNotFound, CorruptRecord, StoreError
            The record is as it was before then.
        """
        directory = self.directory(session_id)
        with self._locked(session_id):
            # Not from the cache: two writes within a tick of the file system's clock look alike.
            before = self._read(session_id)
            after = change(before)
            if after != before:
                after = replace(after, revision=before.revision + 1)
                with store_errors("write", directory):
                    try:
                        write_atomically(directory / "session.json", _text(after))
                    except FileNotFoundError:  # deleted meanwhile
                        raise SessionNotFound(session_id) from None
            return after

    def list(self) -> tuple[list[Session], list[Unreadable]]:
        """All sessions, oldest first, and those whose record cannot be read."""
        sessions, unreadable = [], []
        try:
            with store_errors("read", self._sessions):
                names = sorted(os.listdir(self._sessions))  # noqa: PTH208 - names are all we need
        except StoreError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return [], []
            raise
        for name in names:
            try:
                sessions.append(self.read(name))
            except SessionNotFound:
                # Deleted meanwhile, being created (its record is written a moment later), or
                # none of our files.
                continue
            except (CorruptRecord, StoreError) as error:
                unreadable.append(Unreadable(name, error.message))
        for gone in set(self._cache) - set(names):  # copied: other threads change it
            self._cache.pop(gone, None)
        sessions.sort(key=lambda s: s.created)
        return sessions, unreadable

    def delete(self, session_id: str, only_if: Callable[[Session], bool] | None = None) -> None:
        """Forget a session and all its files. Harmless if there is none.

        Parameters
        ----------
        only_if
            Asked about the record as it is now, under its lock; all stays if it says no. Without
            it, the record need not be readable.
        """
        if only_if is None:
            self._discard(session_id)
            return
        with contextlib.suppress(SessionNotFound), self._locked(session_id):
            if only_if(self._read(session_id)):
                self._discard(session_id)

    def _discard(self, session_id: str) -> None:
        directory = self.directory(session_id)
        with store_errors("delete", directory), contextlib.suppress(FileNotFoundError):
            directory.rename(self._sessions / f".trash-{session_id}")
        self._cache.pop(session_id, None)
        for trash in self._sessions.glob(".trash-*"):  # and what a crash left
            shutil.rmtree(trash, ignore_errors=True)

    @contextlib.contextmanager
    def _locked(self, session_id: str) -> Iterator[None]:
        path = self.directory(session_id) / ".lock"
        with store_errors("lock", path):
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except (FileNotFoundError, NotADirectoryError):
                raise SessionNotFound(session_id) from None
        try:
            with store_errors("lock", path):
                lock(descriptor, path)
            yield
        finally:
            os.close(descriptor)


def lock(descriptor: int, path: Path) -> None:
    """Lock the open file `path`, but not at any price: whoever holds it may be halted, or its file
    server away.

    Raises
    ------
    StoreError
        If somebody has held it for `LOCK_SECONDS`.
    """
    end, pause = time.monotonic() + LOCK_SECONDS, 0.001
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > end:
                raise StoreError(
                    f"Another process has held {path} for {LOCK_SECONDS:g} s: end it, if it hangs."
                ) from None
        time.sleep(pause)
        pause = min(2 * pause, 0.05)


def _text(session: Session) -> str:
    record: dict[str, Any] = dump(session)
    return json.dumps(record, indent=1) + "\n"  # ASCII: paths may have bytes that are not UTF-8

"""A folder as it was at one moment: read once, so that what is looked at is what is kept.

A project's folder belongs to whoever writes into the project. `read_snapshot` opens each thing in
it by its parent's descriptor, follows no link, and takes nothing but regular files and folders; the
digest is of the very bytes that `Snapshot.write` writes out again.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePosixPath

LARGEST_FOLDER = 10 * 1024 * 1024
"""Bytes that all files of the folder may have."""
MOST_FILES = 500
MOST_ENTRIES = 2000
"""Names that the folder and those in it may have, whatever they are."""
DEEPEST_FOLDER = 12
MADE_BY_TOOLS = frozenset({"__pycache__", ".ipynb_checkpoints"})
"""Folders that come and go by themselves: they are neither looked at nor kept."""
FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class NotSafe(ValueError):
    """A folder holds what cannot be taken along; the message names it, and says what to do."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of a folder.

    Parameters
    ----------
    path
        Relative to the folder, with slashes.
    """

    path: str
    content: bytes
    executable: bool = False


@dataclass(frozen=True)
class Snapshot:
    """The files of a folder, in the order of their paths."""

    files: tuple[File, ...]

    def get(self, path: str) -> bytes | None:
        """The content of the file `path`; None if there is none."""
        return next((f.content for f in self.files if f.path == path), None)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all paths, contents and permissions to execute, in hexadecimal digits."""
        whole = hashlib.sha256(b"jupyter_sessions folder 1\n")
        for file in self.files:
            # Of fixed length each: no two folders have the same bytes in here.
            for part in (os.fsencode(file.path), b"x" if file.executable else b"-", file.content):
                whole.update(hashlib.sha256(part).digest())
        return whole.hexdigest()

    def write(self, directory: Path) -> None:
        """Make `directory` with these files, for this user alone: folders 0700, files 0600 or 0700.

        Raises
        ------
        OSError
            FileExistsError if there is such a directory.
        """
        directory.mkdir(mode=0o700)
        for file in self.files:
            path = directory / file.path
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(
                path,
                os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
                0o700 if file.executable else 0o600,
            )
            with os.fdopen(descriptor, "wb") as writer:
                writer.write(file.content)


def read_snapshot(folder: Path, place: tuple[str, ...]) -> Snapshot:
    """The folder at `place` below `folder`. Blocks while it reads: call it in a thread.

    Parameters
    ----------
    folder
        May be reached through links.
    place
        The names of the folders below it, none of which may be a link.

    Raises
    ------
    NotSafe
        For links out of the folder, devices, and too much of anything.
    OSError
    """
    reading = _Reading()
    with contextlib.ExitStack() as stack:
        at = stack.enter_context(_opened(str(folder), None, os.O_RDONLY | os.O_CLOEXEC))
        for name in place:
            at = stack.enter_context(_folder(name, at, name))
        reading.folder(at, PurePosixPath(), 0)
    return reading.snapshot()


@contextlib.contextmanager
def _opened(name: str, parent: int | None, flags: int = FLAGS) -> Iterator[int]:
    descriptor = os.open(name, flags, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _folder(name: str, parent: int, shown: str) -> Iterator[int]:
    try:
        with _opened(name, parent, FLAGS | os.O_DIRECTORY) as descriptor:
            yield descriptor
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and _is_link(name, parent):
            raise NotSafe(f"{shown} is a link: put the folder itself there") from None
        raise


def _is_link(name: str, parent: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except OSError:
        return False


class _Reading:
    """One look at a folder, and how much of it has been seen."""

    def __init__(self) -> None:
        self._files: dict[str, File] = {}
        self._links: dict[str, str] = {}
        self._entries = 0
        self._left = LARGEST_FOLDER

    def folder(self, descriptor: int, path: PurePosixPath, depth: int) -> None:
        if depth > DEEPEST_FOLDER:
            raise NotSafe(f"{path} is nested deeper than {DEEPEST_FOLDER} folders")
        with os.scandir(descriptor) as entries:  # and not all of them: there may be millions
            names = sorted(e.name for e in islice(entries, MOST_ENTRIES + 1))
        self._entries += len(names)
        if self._entries > MOST_ENTRIES:
            raise NotSafe(f"it has more than {MOST_ENTRIES} files and folders")
        for name in names:
            here = path / name
            mode = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                if name not in MADE_BY_TOOLS:
                    with _folder(name, descriptor, str(here)) as below:
                        self.folder(below, here, depth + 1)
            elif stat.S_ISLNK(mode):
                self._links[str(here)] = os.readlink(name, dir_fd=descriptor)
            elif stat.S_ISREG(mode):
                self._file(name, descriptor, here)
            else:
                raise NotSafe(
                    f"{here} is a {_kind(mode)}: only files and folders can be taken along"
                )

    def _file(self, name: str, parent: int, path: PurePosixPath) -> None:
        with _opened(name, parent) as descriptor:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):  # it was one a moment ago
                raise NotSafe(
                    f"{path} is a {_kind(mode)}: only files and folders can be taken along"
                )
            content = b""
            while part := os.read(descriptor, self._left + 1 - len(content)):
                content += part
                if len(content) > self._left:
                    raise NotSafe(f"its files have more than {LARGEST_FOLDER} bytes, with {path}")
        self._left -= len(content)
        self._keep(File(str(path), content, bool(mode & stat.S_IXUSR)))

    def _keep(self, file: File) -> None:
        if len(self._files) >= MOST_FILES:
            raise NotSafe(f"it has more than {MOST_FILES} files")
        self._files[file.path] = file

    def snapshot(self) -> Snapshot:
        """All that was read; a link to one of the files is a copy of it."""
        for path, target in self._links.items():
            file = self._files.get(_inside(path, target))
            if file is None or file.path in self._links:
                shown = target if len(target) < 200 else f"{target[:200]}…"
                raise NotSafe(f"{path} is a link to {shown}, which is no file of this folder")
            self._left -= len(file.content)
            if self._left < 0:
                raise NotSafe(f"its files have more than {LARGEST_FOLDER} bytes, with {path}")
            self._keep(File(path, file.content, file.executable))
        return Snapshot(tuple(sorted(self._files.values(), key=lambda f: f.path)))


def _inside(path: str, target: str) -> str:
    """The path in the folder that the link `path` leads to; empty if it leads out of it.

    Names are resolved as they are written, which is what a link means as long as no folder on
    the way is a link: and none that was read is.
    """
    found = list(PurePosixPath(path).parent.parts)
    for step in () if target.startswith("/") else target.split("/"):
        if step == "..":
            if not found:
                return ""
            found.pop()
        elif step not in ("", "."):
            found.append(step)
    return "" if target.startswith("/") else "/".join(found)


def _kind(mode: int) -> str:
    kinds = {stat.S_IFIFO: "named pipe", stat.S_IFSOCK: "socket"}
    return kinds.get(stat.S_IFMT(mode), "device")

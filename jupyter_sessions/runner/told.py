"""What the app tells of itself, in a file."""

import contextlib
import json
import os
import re
import stat
import time
from typing import Any, Callable, Dict, List, Optional, Set, Tuple
from urllib import parse

from .files import Json

MAX_STATUS = 64 * 1024  # bytes of a status file
MAX_TEXT, MAX_TITLE, MAX_PATH, MAX_LINKS = 1000, 100, 2000, 20  # characters in it, and links


def below(path: str) -> str:
    """`path`, percent-encoded, as it can be appended to a session's URL.

    A slash at its beginning is left out.

    Raises
    ------
    ValueError
        If it could lead out of there; the message is the second half of a sentence.
    """
    if len(path) > MAX_PATH:
        raise ValueError(f"is longer than {MAX_PATH} characters")
    if "\\" in path or any(ord(c) < 32 or 127 <= ord(c) < 160 for c in path):
        raise ValueError("has a backslash or a control character")
    path = parse.quote(path, safe="%/:?#[]@!$&'()*+,;=-._~", errors="replace")
    plain = path.partition("?")[0].partition("#")[0]
    if "//" in plain:
        raise ValueError("has two slashes in a row")
    plain = plain[1:] if plain.startswith("/") else plain
    segments = [parse.unquote(segment) for segment in plain.split("/")]
    if re.match("[A-Za-z][A-Za-z0-9+.-]*:", segments[0]):
        raise ValueError("has a scheme: it is a path below the session's URL")
    # Some servers decode before they split: an encoded slash may hide two dots.
    if any(part in (".", "..") for segment in segments for part in re.split(r"[/\\]", segment)):
        raise ValueError("has . or .. in it")
    return path[1:] if path.startswith("/") else path


def _text(given: Any, most: int) -> str:
    if not isinstance(given, str):
        raise ValueError("is not text")
    value = " ".join("".join(c if c.isprintable() else " " for c in given).split())
    return value if len(value) <= most else value[: most - 1] + "\u2026"


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is not true or false")
    return value


def _port(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 65536:
        raise ValueError("is not a port from 1 to 65535")
    return value


def _path(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("is not text")
    return below(value)


def _links(value: Any) -> List[Json]:
    if not isinstance(value, list):
        raise ValueError("is not a list")
    if len(value) > MAX_LINKS:
        raise ValueError(f"has more than {MAX_LINKS} links")
    links = []
    for link in value:
        if not isinstance(link, dict) or "path" not in link:
            raise ValueError("has a link that is not an object with `title` and `path`")
        path = _path(link["path"])
        links.append({"title": _text(link.get("title") or path, MAX_TITLE), "path": path})
    return links


TOLD: Dict[str, Callable[[Any], Any]] = {
    "message": lambda value: _text(value, MAX_TEXT),
    "ready": _flag,
    "failed": lambda value: _text(value, MAX_TEXT),
    "port": _port,
    "open_path": _path,
    "links": _links,
}
"""The keys of a status file, and what reads their values."""


def read_told(data: Json) -> Tuple[Json, List[str]]:
    """What of the content of a status file is in order, and sentences about what is not.

    Called by the runner for what the app wrote, and again by spawners for what `poll` answered:
    it comes from a machine where anybody may have had a hand in it.

    Parameters
    ----------
    data
        All keys are optional. ``message``: a sentence for people. ``ready``: false for as long as
        the app is not to be used. ``failed``: why it cannot go on. ``port``: where it listens.
        ``open_path``: where it is opened, below its URL. ``links``: ``[{title, path}]``, further
        places below its URL. Null is like absent.
    """
    told, problems = {}, []  # type: Json, List[str]
    for key, value in data.items():
        if key not in TOLD:
            problems.append(f"it has an unknown key {_text(str(key), 40)!r}")
        elif value is not None:
            try:
                told[key] = TOLD[key](value)
            except ValueError as error:
                problems.append(f"{key} {error}")
    return told, problems


class StatusFile:
    """What an app, or a script beside it, tells in ``status.json``.

    People write it with ``echo``: it may be seen half written, and then what was told before
    still counts. It is read only if it is a file of the user's own, and not by way of a link.

    Parameters
    ----------
    say
        Called with a sentence about what is wrong with it, once for each.
    """

    def __init__(self, directory: str, say: Callable[[str], None]) -> None:
        self.path = os.path.join(directory, "status.json")
        self.told: Json = {}
        """What was in order when it was last read."""
        self._say = say
        self._seen: Optional[Tuple[int, int, int]] = None
        self._fresh = False
        self._said: Set[str] = set()

    def begin(self) -> None:
        """Forget what an app that was started before has told."""
        with contextlib.suppress(OSError):
            os.unlink(self.path)
        self.told, self._seen = {}, None

    def look(self) -> None:
        """Read it again, if it may be another one than before."""
        try:
            # Not to wait for a writer if it is a pipe.
            fd = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            self.told, self._seen = {}, None
            return
        except OSError as error:
            self._complain(f"it cannot be read: {error.strerror}")
            return
        with os.fdopen(fd, "rb") as file:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
                self._complain("it is not a regular file of yours")
                return
            seen = (found.st_mtime_ns, found.st_ino, found.st_size)
            if seen == self._seen and not self._fresh:
                return
            # Two writes within a tick of the file system's clock look alike.
            self._fresh = abs(time.time() - found.st_mtime) < 2.0
            try:
                content = file.read(MAX_STATUS + 1)
            except OSError:
                return
        settled, self._seen = seen == self._seen, seen
        if len(content) > MAX_STATUS:
            self._complain(f"it is larger than {MAX_STATUS} bytes")
            return
        try:
            data = json.loads(content.decode("utf-8"))
            if not isinstance(data, dict):
                raise ValueError("not a JSON object")
        except (ValueError, RecursionError):
            if settled:  # and not just half written
                self._complain("it is not a JSON object")
            self._fresh = True
            return
        self.told, problems = read_told(data)
        for problem in problems:
            self._complain(problem)

    def _complain(self, problem: str) -> None:
        if problem not in self._said and len(self._said) < 20:
            self._said.add(problem)
            self._say(f"The status file is ignored in part: {problem}.")

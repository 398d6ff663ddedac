"""Serve one folder over HTTP on a Unix socket, to read and to download. Standard library only.

Nothing outside the folder is ever served, whatever the path says and wherever symbolic links
point, unless ``--follow-links`` allows the links. All links are relative, so any prefix works.

The folder's own pages would share Jupyter's origin: a script in a downloaded report could use
Jupyter as the person who opened it. ``--pages`` says what they may do; see `PAGE_POLICIES`.
"""

from __future__ import annotations

import argparse
import base64
import email.utils
import hashlib
import html
import mimetypes
import os
import re
import signal
import socketserver
import stat
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import BinaryIO, ClassVar, NamedTuple

IDLE = 300
"""Seconds that a kept-alive connection may idle."""

PAGE_POLICIES: Mapping[str, str] = {
    # As Jupyter serves files: scripts run, with an origin of their own that no cookie goes with.
    "isolated": "sandbox allow-scripts allow-popups allow-modals allow-downloads",
    # The page may use the styles, pictures and fonts beside it, but nothing acts.
    "static": (
        "sandbox allow-same-origin allow-popups allow-downloads; default-src 'none'; "
        "img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
        "media-src 'self' data: blob:; form-action 'none'; base-uri 'self'"
    ),
    # The person said that these pages may do in Jupyter what they themselves may do.
    "trusted": "",
}

ACTIVE_TYPES = re.compile(r"text/html|.*[/+]xml|text/xsl")
"""Types of which a browser runs scripts when it shows them."""

STYLE = """
:root { color-scheme: light dark; --text: #1f2328; --dim: #59636e; --line: #d8dee4;
  --back: #ffffff; --link: #0757b8; --hover: #f3f5f7 }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --dim: #9aa4af;
  --line: #30363d; --back: #14171c; --link: #6cb0ff; --hover: #1c2128 } }
body { margin: 0 auto; max-width: 68rem; padding: 1.5rem 1rem 4rem; background: var(--back);
  color: var(--text); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif }
a { color: var(--link); text-decoration: none }
a:hover, a:focus-visible { text-decoration: underline }
h1 { font-size: 1.15rem; font-weight: 600; margin: 0 0 1rem; overflow-wrap: anywhere }
h1 span { color: var(--dim); font-weight: 400; padding: 0 .35rem }
table { border-collapse: collapse; width: 100% }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--line); text-align: left }
th { font-weight: 500; white-space: nowrap }
th a { color: var(--dim) }
th[aria-sort] a { color: var(--text) }
tbody tr:hover { background: var(--hover) }
td.name { width: 100%; overflow-wrap: anywhere }
bdi { white-space: pre-wrap }
td.folder a { font-weight: 600 }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
.when { white-space: nowrap; color: var(--dim); font-variant-numeric: tabular-nums }
.dim { color: var(--dim) }
@media (max-width: 36rem) { .when { display: none } }
"""

OWN_POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'"
)
"""For the pages made here, which need one style sheet and nothing else."""

SORTS = ("name", "size", "modified")


class Refused(Exception):
    """The request gets no file but this status and this sentence."""

    def __init__(self, status: HTTPStatus, sentence: str, **headers: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def missing() -> Refused:
    """One answer for what is absent, hidden and outside: it tells nothing about what there is."""
    return Refused(HTTPStatus.NOT_FOUND, "There is no such file or folder here.")


class Entry(NamedTuple):
    """A line of the listing."""

    name: str
    is_folder: bool
    size: int
    modified: float
    served: bool
    """False for links that lead outside, pipes, sockets and devices: shown, not opened."""


@dataclass(frozen=True)
class Folder:
    """The part of the file system that may be read."""

    root: str
    hidden: bool = False
    follow_links: bool = False

    def open(self, raw_path: str) -> BinaryIO | str:
        """The file at the path of a URL, open for reading, or the path of a folder.

        Raises
        ------
        Refused
            If it is not there, or not to be served.
        """
        path = self._path(raw_path)
        try:
            if not self.contains(os.path.realpath(path)):
                raise missing()
            # Nothing may happen to pipes and terminals that are opened by mistake.
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except PermissionError:
            sentence = "You may not read this."
            raise Refused(HTTPStatus.FORBIDDEN, sentence) from None
        except (OSError, ValueError):
            raise missing() from None
        try:
            # Asked of the open file too: between the look and the open a link may have changed.
            if not self.contains(_path_of(handle) or os.path.realpath(path)):
                raise missing()
            mode = os.fstat(handle).st_mode
            if stat.S_ISREG(mode):
                return os.fdopen(handle, "rb")
            if stat.S_ISDIR(mode):
                os.close(handle)
                return path
            raise missing()
        except Refused:
            os.close(handle)
            raise

    def contains(self, real_path: str) -> bool:
        """Whether a path without symbolic links lies in the folder, or need not."""
        return (
            self.follow_links
            or real_path == self.root
            or real_path.startswith(self.root.rstrip("/") + "/")
        )

    def entries(self, path: str) -> Iterable[Entry]:
        """What is in the folder at `path`, in no order."""
        with os.scandir(path) as found:
            for item in found:
                if item.name.startswith(".") and not self.hidden:
                    continue
                try:
                    info = item.stat()
                except OSError:  # a link to nowhere, or a file gone meanwhile
                    with suppress(OSError):
                        info = item.stat(follow_symlinks=False)
                        yield Entry(item.name, False, info.st_size, info.st_mtime, False)
                    continue
                is_folder = stat.S_ISDIR(info.st_mode)
                inside = not item.is_symlink() or self.contains(os.path.realpath(item.path))
                served = inside and (is_folder or stat.S_ISREG(info.st_mode))
                yield Entry(item.name, is_folder, info.st_size, info.st_mtime, served)

    def _path(self, raw_path: str) -> str:
        """The file system's path for a URL's path, as written, still with its escapes."""
        parts = []
        segments = raw_path.split("/")[1:]
        for index, segment in enumerate(segments):
            # Bytes, not characters: file names need not be UTF-8. Split first, decode after, so
            # that an escaped slash is a strange name and not a way to somewhere else.
            name = os.fsdecode(urllib.parse.unquote_to_bytes(segment.encode("latin-1")))
            if not name and index == len(segments) - 1:
                continue
            hidden = name.startswith(".") and not self.hidden
            if not name or name in {".", ".."} or "/" in name or "\0" in name or hidden:
                raise missing()
            parts.append(name)
        return os.path.join(self.root, *parts)  # noqa: PTH118 - pathlib would rewrite names


def _path_of(handle: int) -> str | None:
    """Where an open file really is; None where the system does not tell."""
    if sys.platform == "darwin":
        import fcntl

        return os.fsdecode(fcntl.fcntl(handle, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0"))
    try:
        return os.readlink(f"/proc/self/fd/{handle}")  # noqa: PTH115
    except OSError:
        return None


class Handler(BaseHTTPRequestHandler):
    """GET and HEAD on one folder."""

    protocol_version = "HTTP/1.1"
    server_version = "jupyter-sessions-files"
    sys_version = ""
    timeout = IDLE
    rbufsize = 64 * 1024

    methods: ClassVar[str] = "GET, HEAD"

    def __init__(
        self, *args: object, folder: Folder, pages: str = "isolated", index: bool = False
    ) -> None:
        self.folder = folder
        self.pages = pages
        self.index = index
        super().__init__(*args)  # type: ignore[arg-type]  # handles the whole connection

    def do_GET(self) -> None:
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # a body that nobody reads is not the next request
        path, _, query = self.path.partition("?")
        if path == "/" and (wanted := self._wanted(query)):
            self._redirect("./" + wanted, "")
            return
        try:
            found = self.folder.open(path)
            if not isinstance(found, str):
                with found:
                    if path.endswith("/"):
                        raise missing()
                    self._send_file(found, path)
            elif not path.endswith("/"):
                self._redirect("./" + path.rpartition("/")[2] + "/", query)
            elif self.index and (page := self._index_page(path)) is not None:
                with page:
                    self._send_file(page, path + "index.html")
            else:
                self._send_page(HTTPStatus.OK, self._listing(found, path, query))
        except Refused as refusal:
            self._send_error_page(refusal)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            self.close_connection = True

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        self.close_connection = True
        sentence = "This folder can only be read."
        self._send_error_page(Refused(HTTPStatus.METHOD_NOT_ALLOWED, sentence, Allow=self.methods))

    do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_POST  # noqa: N815

    # Answers

    def _send_file(self, file: BinaryIO, path: str) -> None:
        info = os.fstat(file.fileno())
        etag = f'"{info.st_ino:x}-{info.st_mtime_ns:x}-{info.st_size:x}"'
        headers = {
            "Last-Modified": email.utils.formatdate(info.st_mtime, usegmt=True),
            "ETag": etag,
            "Cache-Control": "private, no-cache",
            "Accept-Ranges": "bytes",
        }
        if self._is_unchanged(etag, info.st_mtime):
            self._start(HTTPStatus.NOT_MODIFIED, headers)
            return
        content_type = content_type_of(path, file)
        headers["Content-Type"] = content_type
        if ACTIVE_TYPES.match(content_type) and (policy := PAGE_POLICIES[self.pages]):
            headers["Content-Security-Policy"] = policy
        start, stop = 0, info.st_size
        status = HTTPStatus.OK
        if self._wants_range(etag, info.st_mtime):
            span = parse_range(self.headers["Range"], info.st_size)
            if span is not None:
                start, stop = span
                status = HTTPStatus.PARTIAL_CONTENT
                headers["Content-Range"] = f"bytes {start}-{stop - 1}/{info.st_size}"
        headers["Content-Length"] = str(stop - start)
        self._start(status, headers)
        if self.command != "HEAD" and stop > start:
            sent = self.connection.sendfile(file, start, stop - start)
            if sent != stop - start:  # the file shrank under our feet: say so by breaking off
                self.close_connection = True

    def _is_unchanged(self, etag: str, modified: float) -> bool:
        if (known := self.headers.get("If-None-Match")) is not None:
            tags = [tag.strip().removeprefix("W/") for tag in known.split(",")]
            return etag in tags or "*" in tags
        since = _parse_date(self.headers.get("If-Modified-Since"))
        return since is not None and int(modified) <= since

    def _wants_range(self, etag: str, modified: float) -> bool:
        if "Range" not in self.headers or self.command != "GET":
            return False
        if (condition := self.headers.get("If-Range")) is None:
            return True
        return condition.strip() == etag or _parse_date(condition) == int(modified)

    def _wanted(self, query: str) -> str:
        """Where the file is that ``?open=<path>`` asks for; empty if it is not in the folder.

        The path is the file system's, as the person saw it: its folders may be links.
        """
        found = urllib.parse.parse_qs(query, errors="surrogateescape").get("open", [""])[0]
        if not found.startswith("/") or "\0" in found:
            return ""
        parent, name = os.path.split(found)
        inside = Path(os.path.realpath(parent))
        if not name or not inside.is_relative_to(self.folder.root):
            return ""
        parts = [*inside.relative_to(self.folder.root).parts, name]
        if any(part.startswith(".") and not self.folder.hidden for part in parts) or name == "..":
            return ""
        return "/".join(urllib.parse.quote(os.fsencode(part), safe="") for part in parts)

    def _index_page(self, path: str) -> BinaryIO | None:
        with suppress(Refused):
            page = self.folder.open(path + "index.html")
            return None if isinstance(page, str) else page
        return None

    def _redirect(self, location: str, query: str) -> None:
        headers = {"Location": location + (f"?{query}" if query else ""), "Content-Length": "0"}
        self._start(HTTPStatus.FOUND, headers)

    def _send_page(
        self, status: HTTPStatus, page: str, headers: Mapping[str, str] | None = None
    ) -> None:
        body = page.encode("utf-8", "replace")
        self._start(
            status,
            {
                "Content-Type": "text/html; charset=utf-8",
                "Content-Length": str(len(body)),
                "Content-Security-Policy": OWN_POLICY,
                "Cache-Control": "no-store",
                **(headers or {}),
            },
        )
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_error_page(self, refusal: Refused) -> None:
        title = f"{refusal.status.value} {refusal.status.phrase}"
        body = f"<h1>{title}</h1><p>{html.escape(refusal.sentence)}</p>"
        self._send_page(refusal.status, _page(title, body), refusal.headers)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server itself refuses: bad requests and unknown methods."""
        self.close_connection = True
        status = HTTPStatus(code)
        if not hasattr(self, "command") or self.command is None:
            self.command = ""
        self._send_error_page(Refused(status, message or status.description))

    def _start(self, status: HTTPStatus, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "same-origin")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    # The listing

    def _listing(self, directory: str, path: str, query: str) -> str:
        asked = urllib.parse.parse_qs(query)
        key = asked.get("sort", ["name"])[0]
        key = key if key in SORTS else "name"
        descending = asked.get("order", ["asc"])[0] == "desc"
        try:
            entries = sorted(self.folder.entries(directory), key=lambda entry: _order(entry, key))
        except PermissionError:
            raise Refused(HTTPStatus.FORBIDDEN, "You may not read this folder.") from None
        except OSError:
            raise missing() from None
        if descending:
            entries.reverse()
        entries.sort(key=lambda entry: not entry.is_folder)  # folders first, either way

        crumbs, title = self._breadcrumbs(path)
        columns = "".join(_column(name, key, descending) for name in SORTS)
        keep = f"?sort={key}&order={'desc' if descending else 'asc'}" if query else ""
        rows = "".join(_row(entry, keep) for entry in entries)
        if path != "/":
            up = f'<td class="name folder"><a href="../{html.escape(keep)}">↑ Up</a></td>'
            rows = f"<tr>{up}<td></td><td class=when></td><td></td></tr>{rows}"
        empty = "" if entries else '<p class="dim">This folder is empty.</p>'
        return _page(
            title,
            f"<h1>{crumbs}</h1><table><thead><tr>{columns}<th></th></tr></thead>"
            f"<tbody>{rows}</tbody></table>{empty}",
        )

    def _breadcrumbs(self, path: str) -> tuple[str, str]:
        root = os.path.basename(self.folder.root) or "/"  # noqa: PTH119
        names = [root] + [
            os.fsdecode(urllib.parse.unquote_to_bytes(part.encode("latin-1")))
            for part in path.strip("/").split("/")
            if part
        ]
        crumbs = [
            f'<a href="{"../" * above or "./"}"><bdi>{_text(name)}</bdi></a>'
            if (above := len(names) - 1 - index)
            else f"<bdi>{_text(name)}</bdi>"
            for index, name in enumerate(names)
        ]
        return "<span>/</span>".join(crumbs), html.unescape(_text(names[-1]))

    # Logging

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing: a line per request tells nobody anything."""

    def address_string(self) -> str:
        return "client"  # a Unix socket's peer has no address


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """A thread per connection."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """The one range of bytes that is asked for, as start and stop; None to send everything.

    Raises
    ------
    Refused
        If the file has no such bytes.
    """
    match = re.fullmatch(r"\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*", header, re.ASCII)
    if match is None or match.group(1, 2) == ("", ""):
        return None  # several ranges, or another unit: answering with the whole is allowed
    first, last = match.groups()
    if first:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < int(first):
            return None
    else:
        start, stop = max(size - int(last), 0), size
    if start >= stop:
        sentence = "The file has no such bytes."
        status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        raise Refused(status, sentence, Content_Range=f"bytes */{size}")
    return start, stop


def content_type_of(path: str, file: BinaryIO) -> str:
    """By the name's ending; what that does not tell is text if it looks like text."""
    name = urllib.parse.unquote(path.rpartition("/")[2])
    guess, encoding = mimetypes.guess_type(name, strict=False)
    if encoding is not None:  # an archive is downloaded as it is, not unpacked on the way
        return f"application/{encoding}"
    if guess is None:
        head = os.pread(file.fileno(), 4096, 0)
        guess = "text/plain" if _looks_like_text(head) else "application/octet-stream"
    if guess.startswith("text/") or guess in {"application/json", "application/javascript"}:
        return f"{guess}; charset=utf-8"
    return guess


def _looks_like_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3  # a character that the 4096th byte cut in two
    return True


def _parse_date(value: str | None) -> int | None:
    try:
        return int(email.utils.parsedate_to_datetime(value or "").timestamp())
    except (ValueError, TypeError, OverflowError):
        return None


def _order(entry: Entry, key: str) -> tuple[float | str, str]:
    name = entry.name.casefold()
    if key == "size":
        return (0 if entry.is_folder else entry.size, name)
    if key == "modified":
        return (entry.modified, name)
    return (name, entry.name)


def _column(name: str, sorted_by: str, descending: bool) -> str:
    current = name == sorted_by
    order = "asc" if not current or descending else "desc"
    mark = ("↓" if descending else "↑") if current else ""
    sort = f' aria-sort="{"descending" if descending else "ascending"}"' if current else ""
    kind = {"size": "number", "modified": "when"}.get(name, "")
    link = f'<a href="?sort={name}&amp;order={order}">{name.title()} {mark}</a>'
    return f'<th class="{kind}" scope="col"{sort}>{link}</th>'


def _row(entry: Entry, keep: str) -> str:
    shown = f"<bdi>{_text(entry.name)}</bdi>" + ("/" if entry.is_folder else "")
    # The leading "./" keeps a name such as "javascript:…" a name.
    link = html.escape("./" + urllib.parse.quote(os.fsencode(entry.name)))
    download = ""
    if not entry.served:
        reason = "a link that leads out of the folder or nowhere, or not a plain file"
        shown = f'<span class="dim" title="{reason}">{shown}</span>'
    elif entry.is_folder:
        shown = f'<a href="{link}/{html.escape(keep)}">{shown}</a>'
    else:
        shown = f'<a href="{link}">{shown}</a>'
        label = f'aria-label="Download {_text(entry.name)}" title="Download"'
        download = f'<a href="{link}" download {label}>⤓</a>'
    size = "" if entry.is_folder else _human_size(entry.size)
    moment = time.localtime(entry.modified)
    when = f"{time.strftime('%Y-%m-%d %H:%M', moment)}"
    kind = "name folder" if entry.is_folder else "name"
    return (
        f'<tr><td class="{kind}">{shown}</td>'
        f'<td class="number" title="{entry.size} bytes">{size}</td>'
        f'<td class="when">{when}</td><td>{download}</td></tr>'
    )


def _human_size(size: float) -> str:
    if size < 1024:
        return f"{size} B"
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        size /= 1024
        if size < 1024 or unit == "TiB":
            break
    return f"{size:.1f} {unit}"


def _text(name: str) -> str:
    """A file's name for a page: escaped, and what is not UTF-8 shown as unknown characters."""
    return html.escape(os.fsencode(name).decode("utf-8", "replace"))


def _page(title: str, body: str) -> str:
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>"
        f"<body>{body}</body></html>"
    )


def main() -> None:
    def boolean(value: str) -> bool:
        return {"true": True, "false": False}[value.lower()]

    parser = argparse.ArgumentParser(description="Serve a folder over HTTP on a Unix socket.")
    parser.add_argument("--socket", required=True, type=Path)
    parser.add_argument("--directory", required=True, type=Path)
    parser.add_argument("--hidden", type=boolean, default=False, metavar="true|false")
    parser.add_argument("--follow-links", type=boolean, default=False, metavar="true|false")
    parser.add_argument("--index", type=boolean, default=False, metavar="true|false")
    parser.add_argument("--pages", choices=sorted(PAGE_POLICIES), default="isolated")
    given = parser.parse_args()

    root = os.path.realpath(given.directory.expanduser())
    if not os.path.isdir(root):  # noqa: PTH112 - a path as the system has it
        sys.exit(f"{given.directory} is not a folder, or it may not be read.")
    folder = Folder(root, given.hidden, given.follow_links)
    handler = partial(Handler, folder=folder, pages=given.pages, index=given.index)

    given.socket.unlink(missing_ok=True)
    previous = os.umask(0o177)  # the socket is born 0600
    with Server(os.fspath(given.socket), handler) as server:
        os.umask(previous)

        def stop(*_: object) -> None:
            # From a thread of its own: it waits for the loop that the signal interrupted.
            threading.Thread(target=server.shutdown).start()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        sys.stderr.write(f"Serving {root}\n")
        try:
            server.serve_forever()
        finally:
            given.socket.unlink(missing_ok=True)


if __name__ == "__main__":
    main()

"""What is put on a host over SSH: our own code, and folders of apps."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from .. import runner
from ..errors import SpawnerError
from . import remote

LARGEST_APP = 32 * 1024 * 1024
"""Bytes of an app's folder; more than that is data, and no part of a definition."""

# The first line of its input is this program, for whatever Python there is: the oldest too.
PLACE_PROGRAM = """
import json, os, stat, sys
payload = json.loads(stream.read().decode("utf-8"))
def answer(content):
    sys.stdout.write(payload["mark"] + json.dumps(content) + "\\n")
version = ".".join(str(part) for part in sys.version_info[:3])
if sys.version_info < (3, 6):
    answer({"old": version})
else:
    base = os.path.abspath(os.path.expanduser(payload["directory"]))
    folder = os.path.join(base, payload["name"])
    os.umask(0o077)
    made = []
    try:
        os.makedirs(folder, 0o700, exist_ok=True)
        found = os.lstat(base)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise OSError(None, "it is not a directory of yours")
        for path in (base, folder):
            os.chmod(path, 0o700)
        for name, content in payload["files"].items():
            path = os.path.join(folder, *name.split("/"))
            if not os.path.exists(path):
                os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
                temporary = path + "." + payload["mark"].strip(":")
                made += [temporary, path]
                fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(fd, "w", encoding="utf-8") as file:
                    file.write(content)
                os.rename(temporary, path)
        os.utime(folder, None)
        answer({"base": base, "code": folder, "home": os.path.expanduser("~"), "version": version})
    except OSError as error:
        for path in reversed(made):  # a part is of no use, and takes the room that is missing
            if os.path.exists(path):
                os.unlink(path)
        answer({"unusable": base, "why": error.strerror or str(error)})
"""
LOADER = (
    'import sys; stream = getattr(sys.stdin, "buffer", sys.stdin); exec(eval(stream.readline()))'
)


@cache
def code() -> tuple[str, dict[str, str]]:
    """The files that run there, and a name that stands for their content."""
    contents = {**runner.sources(), "remote.py": Path(remote.__file__).read_bytes()}
    files = {name: content.decode() for name, content in contents.items()}
    digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    return f"code-{digest[:12]}", files


def read_folder(folder: Path) -> list[list[Any]]:
    """The files of an app's folder: path, mode, content in Base64."""
    files: list[list[Any]] = []
    total = 0
    try:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if "__pycache__" in name.parts or not path.is_file():
                continue
            content = path.read_bytes()
            total += len(content)
            if total > LARGEST_APP:
                raise SpawnerError(
                    f"The app's folder {folder} is larger than {LARGEST_APP // 2**20} MiB: keep"
                    " data elsewhere, it is sent to the host."
                )
            mode = path.stat().st_mode & 0o777
            files.append([name.as_posix(), mode, base64.b64encode(content).decode()])
    except OSError as error:
        raise SpawnerError(f"The app's folder cannot be read: {error}.") from error
    return files

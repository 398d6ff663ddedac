"""Small files, each there as a whole or not at all; and the lock of an attempt."""

import contextlib
import errno
import fcntl
import json
import os
import stat
from typing import Any, Dict, Optional

from .errors import RunnerError

Json = Dict[str, Any]


def read_json(path: str) -> Json:
    """The object in the file `path`. Raises OSError, or ValueError if it holds anything else."""
    with open(path, "rb") as file:
        data = json.loads(file.read().decode("utf-8"))
    if not isinstance(data, dict):
        raise ValueError("not a JSON object")
    return data


def write_json(path: str, data: Json, exclusive: bool = False, keep: bool = True) -> None:
    """Put `data` into the file `path`, mode 0600, all at once.

    Raises FileExistsError if `exclusive` and there is such a file already. Without `keep` it need
    not outlive a crash of the machine.
    """
    write_file(path, json.dumps(data, indent=1 if keep else None).encode(), exclusive, keep)


def write_file(path: str, data: bytes, exclusive: bool = False, keep: bool = True) -> None:
    """Put `data` into the file `path`: see `write_json`."""
    temporary = f"{path}.{os.urandom(6).hex()}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            if keep:
                os.fsync(file.fileno())
        if exclusive:
            _link(temporary, path)
        else:
            os.rename(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _link(source: str, target: str) -> None:
    """Rename `source` unless `target` exists; plain rename() would replace it."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: the lock alone has to do
        if os.path.lexists(target):
            raise FileExistsError(target) from None
        os.rename(source, target)


def touch(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))


def make_directory(directory: str) -> None:
    """Make `directory` with mode 0700, unless it is there. Raises RunnerError if it is not ours."""
    with contextlib.suppress(FileExistsError):
        os.makedirs(directory, 0o700)
    found = os.lstat(directory)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise RunnerError(f"{directory} is not a directory of yours.")
    if found.st_mode & 0o077:
        os.chmod(directory, 0o700)


class Lock:
    """The attempt's ``lock`` file. `held` is None where the file system has no locks."""

    def __init__(self, directory: str) -> None:
        self._fd = os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
        self.held: Optional[bool] = True
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.held = False if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else None

    def release(self) -> None:
        os.close(self._fd)

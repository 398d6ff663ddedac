"""Sockets of this machine: who listens where."""

import contextlib
import os
import socket
import struct
from typing import Any, List, NamedTuple


def bind_unix(path: str) -> socket.socket:
    """A Unix socket bound to `path`; what was there before is removed. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(path)
        os.chmod(path, 0o600)
    except OSError:
        bound.close()
        raise
    return bound


def unix_listens(path: str) -> bool:
    """Whether somebody listens at the Unix socket `path`."""
    if not os.path.exists(path):
        return False
    with contextlib.suppress(OSError), open("/proc/net/unix", "rb") as file:
        for line in file:
            values = line.rstrip(b"\n").split(None, 7)
            if values[7:] == [os.fsencode(path)]:
                return values[3] == b"00010000"
    # Not on Linux, in another network namespace, or bound by another name. This does disturb some
    # apps: they take it for a client, and one may serve only one, or fall over when it goes.
    return connects(socket.AF_UNIX, path)


def own_file(path: str) -> bool:
    """Whether `path` is ours. A fixed one may be where others can put theirs."""
    try:
        return os.stat(path).st_uid == os.geteuid()
    except OSError:
        return False


def connects(family: int, address: Any) -> bool:
    """Whether a connection to `address` is accepted."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(address)
        except BlockingIOError:  # its queue is full, so there is one
            return True
        except OSError:
            return False
        return True


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class TcpSocket(NamedTuple):
    host: str
    listens: bool
    uid: int
    inode: str


def tcp_sockets(port: int) -> List[TcpSocket]:
    """The sockets of this machine that some process has open, with the local port `port`."""
    found = []
    for family, name in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
        try:
            with open(f"/proc/net/{name}") as file:
                lines = file.readlines()[1:]
        except OSError:
            continue
        for line in lines:
            values = line.split()
            address, _, number = values[1].partition(":")
            if int(number, 16) != port or values[9] == "0":
                continue
            # Words of 32 bits, each printed as a number of this machine's byte order.
            words = [int(address[i : i + 8], 16) for i in range(0, len(address), 8)]
            host = socket.inet_ntop(family, struct.pack(f"={len(words)}I", *words))
            host = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - compared
            found.append(TcpSocket(host, values[3] == "0A", int(values[7]), values[9]))
    return found


def holds(pids: List[int], inode: str) -> bool:
    """Whether one of `pids` has the socket `inode` open, or does not let us see that."""
    for pid in pids:
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(FileNotFoundError):
                    if os.readlink(f"/proc/{pid}/fd/{fd}") == f"socket:[{inode}]":
                        return True
        except PermissionError:
            return True
        except OSError:
            continue
    return False

"""Where the app listens: made before it starts, found out when it runs."""

import contextlib
import os
import socket
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

from .errors import StartError
from .files import Json
from .processes import PROC, Process
from .sockets import bind_unix, connects, free_port, holds, own_file, tcp_sockets, unix_listens

MAX_SOCKET_PATH = 100  # bytes; the kernels' limits are 108 and 104
TEMPORARY = "jupyter-sessions-"
"""How the directory is called that is made where the attempt's own has too long a name."""


class Endpoint:
    """The endpoint of one attempt's app."""

    def __init__(self, directory: str, launch: Json) -> None:
        self._directory = directory
        self._launch = launch
        self.port: Optional[int] = None
        self._socket: Optional[str] = None
        self.temporary: Optional[str] = None
        """A directory to remove at the end."""
        self.address: Optional[Json] = None
        """Where the app listens, once `look` has seen it."""

    def make(self, used: Set[str], fields: Dict[str, Any]) -> Optional[socket.socket]:
        """Add what the app needs of `used` to `fields`; return the socket that it inherits.

        Raises StartError.
        """
        self.address = None
        fixed_port, fixed_socket = self._launch.get("port"), self._launch.get("socket")
        if self._launch.get("reports_port"):
            self.port = None
            return None
        if fixed_port or "port" in used:
            fields["port"] = self.port = int(fixed_port) if fixed_port else free_port()
        if fixed_socket:
            fields["socket"] = self._socket = str(fixed_socket)
            return None
        if not used & {"socket", "fd"}:
            return None
        try:
            path, bound = self._bind_somewhere()
        except OSError as error:
            raise StartError(f"No Unix socket can be made: {error.strerror}.") from error
        fields["socket"] = self._socket = path
        if "fd" in used:
            bound.listen(128)
            fields["fd"] = bound.fileno()
            return bound
        bound.close()
        os.unlink(path)
        return None

    def _bind_somewhere(self) -> Tuple[str, socket.socket]:
        path = os.path.join(self._directory, "socket")
        if self.temporary is None and len(os.fsencode(path)) <= MAX_SOCKET_PATH:
            with contextlib.suppress(OSError):  # a file system without sockets
                return path, bind_unix(path)
        # Not first in XDG_RUNTIME_DIR: it goes away when the user logs out.
        for parent in ("/tmp", os.environ.get("XDG_RUNTIME_DIR")):  # noqa: S108 - mkdir, 0700
            if self.temporary is None and parent:
                place = os.path.join(parent, TEMPORARY + os.urandom(8).hex())
                with contextlib.suppress(OSError):
                    os.mkdir(place, 0o700)
                    self.temporary = place
        path = os.path.join(self.temporary or self._directory, "socket")
        return path, bind_unix(path)

    def look(self, told: Json, members: Callable[[], List[Process]]) -> Optional[bool]:
        """Whether the app listens: if so, `address` says where.

        Parameters
        ----------
        told
            What the app tells of itself: its port, if it picks one.
        members
            Gives the processes that belong to the app.

        Returns
        -------
        bool or None
            None if somebody else listens in its place.
        """
        if self._launch.get("reports_port"):
            self.port = told.get("port")
            if self.port is None:
                return False
        if self._socket is not None:
            self.address = {"scheme": "unix", "path": self._socket}
            return unix_listens(self._socket) and own_file(self._socket)
        if self.port is None:
            return True
        host = "127.0.0.1"
        if not PROC:
            self.address = {"scheme": "tcp", "host": host, "port": self.port}
            return connects(socket.AF_INET, (host, self.port))
        listening = [found for found in tcp_sockets(self.port) if found.listens]
        own = [found for found in listening if found.uid == os.geteuid()]
        pids = [found.pid for found in members()] if own else []
        hosts = [found.host for found in own if holds(pids, found.inode)]
        if listening and not hosts:
            return None
        if hosts and host not in hosts:  # some bind "localhost" to ::1 only
            host = hosts[0]
        self.address = {"scheme": "tcp", "host": host, "port": self.port}
        return bool(hosts)

    def is_port_taken(self) -> bool:
        """Whether some process has the app's port, now that the app has ended."""
        return self.port is not None and bool(tcp_sockets(self.port))


def remove_endpoint(directory: str, temporary: Optional[str]) -> None:
    """Remove an ended app's socket, and the directory that was made for it elsewhere."""
    with contextlib.suppress(OSError):
        os.unlink(os.path.join(directory, "socket"))
    if temporary and os.path.basename(temporary).startswith(TEMPORARY):
        with contextlib.suppress(OSError):
            for name in os.listdir(temporary):
                os.unlink(os.path.join(temporary, name))
            os.rmdir(temporary)

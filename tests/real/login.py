"""A login node in front of a cluster: a machine with an address on both networks, and sshd.

It is made of namespaces, and sees this machine's files, as do the nodes. What listens on this
machine can be told from what nodes can dial by its address.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .server import wait
from .slurm import Slurm

NAME = "login1"
BOOT = 'hostname "$0"; exec /usr/sbin/sshd -D -e -f "$1"'


class LoginNode:
    """Use `login_machine`."""

    def __init__(self, slurm: Slurm, folder: Path, env: dict[str, str]) -> None:
        self.slurm, self.folder = slurm, folder
        self.address = f"{slurm.net}.2"
        self._space, self._link = f"js{slurm.tag}login", f"v{slurm.tag}login"
        self._process: subprocess.Popen[bytes] | None = None
        for key in ("host_key", "user_key"):
            argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)]
            subprocess.run(argv, check=True)
        key = (folder / "host_key.pub").read_text()
        (folder / "known_hosts").write_text(f"{self.address} {key}")
        (folder / "ssh_config").write_text(
            f"Host login\n HostName {self.address}\n User root\n IdentitiesOnly yes\n"
            f" IdentityFile {folder}/user_key\n UserKnownHostsFile {folder}/known_hosts\n"
            " GlobalKnownHostsFile /dev/null\n"
        )
        self._env = {**slurm.env, **env}
        hosts = slurm.base / "hosts"
        if NAME not in hosts.read_text():  # nodes know it by its name
            with hosts.open("a") as file:
                file.write(f"{self.address} {NAME}\n")

    @property
    def host(self) -> dict[str, Any]:
        """The settings of a host over SSH."""
        return {
            "class": "ssh",
            "address": "login",
            "config_file": str(self.folder / "ssh_config"),
            "python": "/usr/bin/python3",
            "directory": str(self.folder / "there"),
        }

    def boot(self) -> None:
        self._ip("netns", "add", self._space)
        self._ip(
            *("link", "add", self._link, "type", "veth", "peer", "name", "eth0"),
            # Always the same: others remember whose the address was.
            *("address", "02:00:00:00:00:02", "netns", self._space),
        )
        self._ip("link", "set", self._link, "master", f"b{self.slurm.tag}", "up")
        inside = ("-n", self._space)
        self._ip(*inside, "addr", "add", f"{self.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            self._ip(*inside, "link", "set", device, "up")

    def start(self, **settings: str) -> None:
        """Start its SSH server, with `settings` of its own."""
        everything = {
            "ListenAddress": self.address,
            "HostKey": self.folder / "host_key",
            "PidFile": self.folder / "pid",
            "AuthorizedKeysFile": self.folder / "user_key.pub",
            "PermitRootLogin": "yes",
            "StrictModes": "no",
            "UsePAM": "no",
            "SetEnv": " ".join(f"{k}={v}" for k, v in self._env.items()),
            **settings,
        }
        config = self.folder / "sshd_config"
        config.write_text("".join(f"{key} {value}\n" for key, value in everything.items()))
        Path("/run/sshd").mkdir(exist_ok=True)
        inside = ["ip", "netns", "exec", self._space]
        with (self.folder / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*inside, "unshare", "--uts", "sh", "-c", BOOT, NAME, str(config)],
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        scan = ["ssh-keyscan", "-T", "2", self.address]
        wait(lambda: subprocess.run(scan, capture_output=True).stdout, 20, "sshd")

    def stop(self) -> None:
        """Its SSH server ends, and what runs through it."""
        self.kill_connections()
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    def down(self) -> None:
        self.stop()
        self._ip("netns", "del", self._space, check=False)
        self._ip("link", "del", self._link, check=False)

    def pids(self) -> list[int]:
        """All processes of that machine's network."""
        done = subprocess.run(
            ["ip", "netns", "pids", self._space], capture_output=True, text=True, check=True
        )
        return [int(pid) for pid in done.stdout.split()]

    def programs(self) -> list[str]:
        """The command lines of what runs there, but for its SSH server."""
        found = []
        for pid in self.pids():
            with contextlib.suppress(OSError):
                state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                if state != "Z" and "sshd" not in command:
                    found.append(command)
        return found

    def relays(self) -> list[str]:
        """Those of them that stand there for nodes; all others are there for a moment."""
        return [
            command for command in self.programs() if "exec(eval(stream.readline()))" in command
        ]

    def listeners(self) -> list[str]:
        """Where TCP is listened for there, but for its SSH server."""
        argv = ["ip", "netns", "exec", self._space, "ss", "-Htln"]
        told = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        found = [line.split()[3] for line in told.splitlines()]
        return [each for each in found if each != f"{self.address}:22"]

    def kill_connections(self) -> None:
        """Kill the processes of its SSH server that serve somebody, as an administrator might."""
        server = int((self.folder / "pid").read_text())
        for pid in self.pids():
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
                if pid != server and command.startswith(b"sshd:"):
                    os.kill(pid, signal.SIGKILL)

    def _ip(self, *argv: str, check: bool = True) -> None:
        done = subprocess.run(["ip", *argv], capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, (argv, done.stderr)


@contextmanager
def login_machine(slurm: Slurm, folder: Path, **env: str) -> Iterator[LoginNode]:
    """A login node of `slurm`, whose SSH server is not started yet. Leaves nothing behind.

    Parameters
    ----------
    folder
        For keys, configuration and what is kept there: short, and seen by the nodes.
    env
        What commands find in their environment there.
    """
    folder.mkdir(exist_ok=True)
    node = LoginNode(slurm, folder, env)
    try:
        node.boot()
        yield node
    finally:
        node.down()
        shutil.rmtree(folder, ignore_errors=True)

"""The nodes of a cluster, in this machine: with networks, processes and host names of their own.

They see the files of this machine, as on a cluster with a shared file system. Needs root.
"""

from __future__ import annotations

import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from .server import wait

BOOT = """\
set -e
hostname "$1"
mount --make-rprivate /
mount --bind "$2" /etc/hosts
eval "$3"
"""
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class Nodes:
    """They, on a network of their own.

    Parameters
    ----------
    base
        Where their files are kept.
    names
        What they are called.
    here
        What they call this machine.

    Attributes
    ----------
    net
        The first three numbers of the network; this machine is ``.1`` there.
    addresses
        By name.
    hosts
        The file with all names, as ``/etc/hosts``.
    """

    def __init__(self, base: Path, names: Sequence[str], here: Sequence[str] = ()) -> None:
        self.base = base
        self.net = _free_network()
        self.addresses = {name: f"{self.net}.{i}" for i, name in enumerate(names, 11)}
        self.hosts = base / "hosts"
        self._tag = secrets.token_hex(3)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        known = {"localhost": "127.0.0.1", **dict.fromkeys(here, f"{self.net}.1")}
        lines = (f"{address} {name}\n" for name, address in {**known, **self.addresses}.items())
        self.hosts.write_text("".join(lines))

    def up(self) -> None:
        """Make the network; `start` boots them."""
        bridge = f"b{self._tag}"
        _ip("link", "add", bridge, "type", "bridge")
        _ip("addr", "add", f"{self.net}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        for node, address in self.addresses.items():
            space, link = self.space(node), self._link(node)
            _ip("netns", "add", space)
            _ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space)
            _ip("link", "set", link, "master", bridge, "up")
            _ip("-n", space, "addr", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", space, "link", "set", "lo", "up")
            _ip("-n", space, "link", "set", "eth0", "up")

    def down(self) -> None:
        for node in self.addresses:
            self.kill(node)
            _ip("netns", "del", self.space(node), check=False)
            _ip("link", "del", self._link(node), check=False)
        _ip("link", "del", f"b{self._tag}", check=False)

    def start(self, node: str, daemon: str, env: Mapping[str, str]) -> None:
        """Boot one.

        Parameters
        ----------
        daemon
            Shell: what its first process does when its namespaces are there. It ends with that.
        env
            What it finds in its environment, besides a PATH.
        """
        namespaces = ["unshare", "--uts", "--ipc", "--mount", "--pid", "--fork", "--kill-child"]
        boot = ["--mount-proc", "bash", "-c", BOOT, "boot", node, str(self.hosts), daemon]
        with (self.base / f"{node}.out").open("ab") as out:
            self._processes[node] = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self.space(node)}", *namespaces, *boot],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={"PATH": PATH, "LANG": "C.UTF-8", **env},
                start_new_session=True,
            )

    def kill(self, node: str) -> None:
        """As a power failure would: every process of it is gone at once."""
        if process := self._processes.pop(node, None):
            process.send_signal(signal.SIGKILL)
            process.wait(20)

    def command(self, node: str, *argv: str) -> list[str]:
        """What runs `argv` on a node."""
        parent = self._processes[node].pid
        children = Path(f"/proc/{parent}/task/{parent}/children")
        leader = wait(lambda: children.read_text().split(), 10, f"{node}'s first process")[0]
        return ["nsenter", "-t", leader, "-n", "-u", "-m", "-p", "-i", "--", *argv]

    def on(self, node: str, *argv: str) -> str:
        """What a command says that is run on a node."""
        command = self.command(node, *argv)
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    @contextmanager
    def cut(self, node: str) -> Iterator[None]:
        """The cable of a node is out meanwhile."""
        _ip("link", "set", self._link(node), "down")
        try:
            yield
        finally:
            _ip("link", "set", self._link(node), "up")

    def space(self, node: str) -> str:
        """The name of a node's network namespace."""
        return f"js{self._tag}{node}"

    def _link(self, node: str) -> str:
        return f"v{self._tag}{node}"


@contextmanager
def sshd(nodes: Nodes, node: str) -> Iterator[list[str]]:
    """An SSH server on a node; the options of a client that may log in there."""
    folder = nodes.base / "ssh"
    folder.mkdir(mode=0o700)
    Path("/run/sshd").mkdir(exist_ok=True)
    for name in ("host", "user"):
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(keygen, check=True)
    shutil.copy(folder / "user.pub", folder / "authorized_keys")
    settings = {
        "ListenAddress": nodes.addresses[node],
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "authorized_keys",
        "PidFile": folder / "pid",
        "StrictModes": "no",
        "UsePAM": "no",
    }
    (folder / "sshd_config").write_text("".join(f"{k} {v}\n" for k, v in settings.items()))
    command = nodes.command(node, "/usr/sbin/sshd", "-D", "-f", str(folder / "sshd_config"))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    scan = ["ssh-keyscan", "-T", "2", nodes.addresses[node]]
    try:
        wait(lambda: subprocess.run(scan, capture_output=True).stdout, 20, "sshd")
        yield [
            f"IdentityFile={folder}/user",
            "IdentitiesOnly=yes",
            f"UserKnownHostsFile={folder}/known_hosts",
            "StrictHostKeyChecking=accept-new",
        ]
    finally:
        with suppress(subprocess.CalledProcessError):  # gone with its node
            nodes.on(node, "kill", (folder / "pid").read_text().strip())
        process.wait(20)
        shutil.rmtree(folder)


def _ip(*argv: str, check: bool = True) -> None:
    done = subprocess.run(["ip", *argv], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, (argv, done.stderr)


def _free_network() -> str:
    """The first three numbers of a network that nobody here uses."""
    taken = subprocess.run(["ip", "-4", "addr"], capture_output=True, text=True, check=True).stdout
    while True:
        net = f"10.77.{secrets.randbelow(250) + 1}"
        if f"{net}." not in taken:
            return net

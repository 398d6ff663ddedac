"""Another machine: a real SSH server with an address, processes, users and files of its own.

It is made of namespaces of the kernel, which takes root. Its user ``ada`` has another home and
other numbers than the one who runs the tests, and sees nothing of theirs.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from .server import BIN, wait

USER, UID = "ada", 4242
BOOT = """
set -e
hostname "$NAME"
mount --make-rprivate /
for file in passwd group shadow hosts; do mount --bind "$BASE/$file" "/etc/$file"; done
install -d -m 0755 /run/sshd
mount -t tmpfs -o mode=0755 tmpfs /opt
mkdir /opt/venv /opt/tools /opt/noVNC /opt/tests
mount --bind "$VENV" /opt/venv
[ -z "$TOOLS" ] || mount --bind "$TOOLS" /opt/tools
[ -z "$TOOLS" ] || mount --bind "$TOOLS/node_modules/@novnc/novnc" /opt/noVNC
mount -t tmpfs -o mode=0755 tmpfs /home
mount -t tmpfs -o mode=1777 tmpfs /tmp  # last: the project may be below it
install -d -m 0700 -o $UID_THERE -g $UID_THERE /home/ada /home/ada/work
cat > /home/ada/.bashrc <<'END'
echo "Welcome, unasked: {not json}"
PATH=$PATH:/opt/tools/bin
END
cp "$BASE/banner" /tmp/banner
exec /usr/sbin/sshd -D -e -f "$BASE/sshd_config"
"""
_numbers = itertools.count(os.getpid() % 200)


class FarMachine:
    """A machine ``far`` that the client's configuration `config` knows.

    Parameters
    ----------
    sshd
        Settings of its SSH server, over those it has anyway.
    behind
        The machine that its only cable leads to; this one, if None.
    """

    def __init__(
        self, *, sshd: Mapping[str, object] | None = None, behind: FarMachine | None = None
    ) -> None:
        number = next(_numbers) % 250
        self.name = f"jsf{os.getpid()}-{number}"
        self.address, self._mine = f"10.213.{number}.2", f"10.213.{number}.1"
        self._behind = behind
        self.base = Path(tempfile.mkdtemp(prefix="jsfar-", dir="/var/tmp"))
        self.base.chmod(0o755)
        self.config = self.base / "ssh_config"
        self.known_hosts = self.base / "known_hosts"
        self._write(sshd or {})
        self._network()
        self._boot()

    # Its files ------------------------------------------------------------------------------

    def _write(self, sshd: Mapping[str, object]) -> None:
        for key in ("host_key", "user_key"):
            self._do("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.base / key))
        (self.base / "passwd").write_text(
            f"{Path('/etc/passwd').read_text()}{USER}:x:{UID}:{UID}::/home/{USER}:/bin/bash\n"
        )
        (self.base / "group").write_text(f"{Path('/etc/group').read_text()}{USER}:x:{UID}:\n")
        # Not "!": without PAM that would be a locked account.
        (self.base / "shadow").write_text(f"root:*:::::::\n{USER}:*:::::::\n")
        (self.base / "hosts").write_text(f"127.0.0.1 localhost\n{self.address} {self.name}\n")
        (self.base / "banner").write_text("Authorised use only: {\n")
        shutil.copy(self.base / "user_key.pub", self.base / "authorized_keys")
        settings: dict[str, object] = {
            "Port": 22,
            "ListenAddress": self.address,
            "HostKey": self.base / "host_key",
            "PidFile": "/tmp/sshd.pid",
            "AuthorizedKeysFile": self.base / "authorized_keys",
            "Banner": "/tmp/banner",
            "StrictModes": "no",
            "UsePAM": "no",
            "PasswordAuthentication": "yes",
            "KbdInteractiveAuthentication": "no",
            "MaxSessions": 10,
            "MaxStartups": "100",
            "UseDNS": "no",
            **sshd,
        }
        text = "".join(f"{key} {value}\n" for key, value in settings.items())
        (self.base / "sshd_config").write_text(text)
        key = (self.base / "host_key.pub").read_text()
        self.known_hosts.write_text(f"{self.address} {key}")
        self.config.write_text(
            f"Host far\n  HostName {self.address}\n  User {USER}\n"
            f"  IdentityFile {self.base}/user_key\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {self.known_hosts}\n  GlobalKnownHostsFile /dev/null\n"
        )

    # Its life -------------------------------------------------------------------------------

    def _network(self) -> None:
        here, there = f"{self.name}a"[:15], f"{self.name}b"[:15]
        self._link = here
        self._do("ip", "netns", "add", self.name)
        self._do("ip", "link", "add", here, "type", "veth", "peer", "name", there)
        self._do("ip", "link", "set", there, "netns", self.name)
        self._ip = ["ip"]
        if self._behind is not None:
            self._do("ip", "link", "set", here, "netns", self._behind.name)
            self._ip += ["-n", self._behind.name]
        self._do(*self._ip, "addr", "add", f"{self._mine}/30", "dev", here)
        self._do(*self._ip, "link", "set", here, "up")
        inside = ("ip", "-n", self.name)
        self._do(*inside, "addr", "add", f"{self.address}/30", "dev", there)
        for device in ("lo", there):
            self._do(*inside, "link", "set", device, "up")

    def _boot(self) -> None:
        code_server = shutil.which("code-server", path=str(BIN))
        tools = Path(code_server).resolve().parents[1] if code_server else ""
        env = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "NAME": self.name,
            "BASE": str(self.base),
            "VENV": str(BIN.parent),
            "TOOLS": str(tools),
            "UID_THERE": str(UID),
        }
        command = ["nsenter", f"--net=/run/netns/{self.name}", "unshare", "--uts", "--ipc"]
        command += ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        self._log = (self.base / "log").open("ab")
        self._process = subprocess.Popen(
            [*command, "bash", "-c", BOOT],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        wait(self._answers, 20, f"sshd: see {self.base}/log")

    def _answers(self) -> bool:
        near = ["ip", "netns", "exec", self._behind.name] if self._behind is not None else []
        done = subprocess.run(
            [*near, "ssh-keyscan", "-T", "2", self.address], capture_output=True, check=False
        )
        return bool(done.stdout)

    @property
    def _init(self) -> int:
        """Its first process: the SSH server."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return int(children.read_text().split()[0])

    @property
    def gateway(self) -> str:
        """The address of this machine as that one knows it."""
        return self._mine

    def command(self, *argv: str) -> list[str]:
        """What runs `argv` there, as root."""
        return ["nsenter", "-t", str(self._init), "-n", "-u", "-m", "-p", "-i", "--", *argv]

    def command_of(self, user: str, *argv: str) -> list[str]:
        """What runs `argv` there, as `user`."""
        return self.command(
            "setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *argv
        )

    def run(self, *argv: str, check: bool = True) -> str:
        """What a command says that root runs there."""
        done = subprocess.run(
            self.command(*argv),
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def processes(self, marker: str) -> list[str]:
        """What runs there with `marker` in its environment."""
        script = (
            'grep -lz -- "$0" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3 | while read p; do'
        )
        script += (
            " grep -q 'State:.[ZX]' /proc/$p/status || tr '\\0' ' ' </proc/$p/cmdline; echo; done"
        )
        return [line for line in self.run("sh", "-c", script, marker).splitlines() if line.strip()]

    def write(self, path: str, text: str) -> None:
        """A file of the user's."""
        script = 'mkdir -p "$(dirname "$0")" && printf %s "$1" > "$0" && chown -R ada /home/ada'
        self.run("sh", "-c", script, path, text)

    def account(self, *, shell: str = "/bin/bash", home: str = f"/home/{USER}") -> None:
        """What the user's next login gets. The home is made."""
        path = self.base / "passwd"
        others = [line for line in path.read_text().splitlines() if not line.startswith(USER)]
        mine = f"{USER}:x:{UID}:{UID}::{home}:{shell}"
        # Into the same file: it is what that machine has in its place.
        path.write_text("\n".join([*others, mine]) + "\n")
        self.run("install", "-d", "-m", "0700", "-o", USER, home)

    def files(self, path: str) -> list[str]:
        return self.run("sh", "-c", 'ls -A "$0" 2>/dev/null || true', path).split()

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Its SSH server takes connections meanwhile, and answers nothing."""
        servers = self.run("pgrep", "-x", "sshd").split()
        # From outside: its first process takes no signals from within.
        pids = [self._init, *self._outside([pid for pid in servers if pid != "1"])]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def _outside(self, pids: list[str]) -> list[int]:
        """The numbers that processes of that machine have on this one."""
        found = []
        for path in Path("/proc").glob("[0-9]*/status"):
            with contextlib.suppress(OSError):
                lines = path.read_text().splitlines()
                numbers = next(line.split()[1:] for line in lines if line.startswith("NSpid:"))
                if numbers[-1] in pids and self._is_inside(path.parent):
                    found.append(int(path.parent.name))
        return found

    def _is_inside(self, process: Path) -> bool:
        here = Path(f"/proc/{self._init}/ns/pid").readlink()
        return (process / "ns" / "pid").readlink() == here

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """The cable is out meanwhile."""
        self._do(*self._ip, "link", "set", self._link, "down")
        try:
            yield
        finally:
            self._do(*self._ip, "link", "set", self._link, "up")

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(20)
        self._log.close()
        for command in (["netns", "del", self.name], ["link", "del", self._link]):
            subprocess.run(["ip", *command], check=False, capture_output=True)
        shutil.rmtree(self.base, ignore_errors=True)

    def _do(self, *argv: str) -> None:
        subprocess.run(argv, check=True, capture_output=True)

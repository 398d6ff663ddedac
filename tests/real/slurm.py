"""A real Slurm cluster in one machine: two nodes that are network, process and host namespaces.

Nothing outside of its own directory is touched: own munge key and socket, own ports, own bridge.
The nodes have their own addresses, loopback and host names; they see the same files, as on a
cluster with a shared file system. Needs root.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from .server import free_port, wait
from .slurmdbd import Accounting

SBIN = "/usr/sbin"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
CONFIGURATION = """\
ClusterName={name}
SlurmctldHost={host}({address})
SlurmctldPort={port}
SlurmdPort=6818
SlurmUser=slurm
AuthType=auth/munge
AuthInfo=socket={munge},cred_expire=5
CredType=cred/munge
StateSaveLocation={base}/state
SlurmdSpoolDir={base}/%n
SlurmctldPidFile={base}/state/pid
SlurmdPidFile={base}/%n/pid
SlurmctldLogFile={base}/state/log
SlurmdLogFile={base}/%n/log
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=10000,bf_interval=1,bf_min_age_reserve=0
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
GresTypes=gpu
SlurmdParameters=config_overrides
ReturnToService=2
MinJobAge=60
KillWait=3
CompleteWait=0
SlurmctldTimeout=30
SlurmdTimeout=20
DefMemPerCPU=100
NodeName=n1 NodeAddr={net}.11 CPUs={cpus} RealMemory=4000 Gres=gpu:a100:2 Feature=fast,big
NodeName=n2 NodeAddr={net}.12 CPUs={cpus} RealMemory=4000 Feature=fast
PartitionName=debug Nodes=n1,n2 Default=YES MaxTime=4:00:00 DefaultTime=10 PriorityTier=1
PartitionName=urgent Nodes=n1,n2 MaxTime=1:00:00 DefaultTime=10 PriorityTier=10
PartitionName=gpu Nodes=n1 MaxTime=2:00:00 DefaultTime=10 PriorityTier=1
"""
BOOT = """\
set -e
hostname "$1"
mount --make-rprivate /
mount --bind "$2/hosts" /etc/hosts
exec /usr/sbin/slurmd -D -c -f "$2/slurm.conf" >>"$2/$1/out" 2>&1
"""


class Slurm:
    """The cluster; `cluster` makes one.

    Attributes
    ----------
    conf
        Its ``slurm.conf``, for ``SLURM_CONF``.
    nodes
        The nodes' names, and their addresses.
    accounting
        Its slurmdbd, if it has one.
    """

    name = "tests"

    def __init__(self, cpus: int, accounting: bool, settings: Mapping[str, str]) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="js-slurm-", dir="/var/tmp"))
        self.base.chmod(0o755)
        self.tag = secrets.token_hex(3)
        self.net = _free_network()
        self.nodes = {"n1": f"{self.net}.11", "n2": f"{self.net}.12"}
        self.conf = self.base / "slurm.conf"
        self.munge = self.base / "munge" / "socket"
        self.port = free_port()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.accounting = Accounting(self) if accounting else None
        kept = {} if self.accounting is None else self.accounting.settings
        self._prepare(cpus, {**kept, **settings})

    @property
    def env(self) -> dict[str, str]:
        return {"SLURM_CONF": str(self.conf)}

    def run(self, *argv: str, check: bool = True) -> str:
        """What a command of Slurm's says."""
        done = subprocess.run(
            argv, env={**os.environ, **self.env}, capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, (argv, done.stdout, done.stderr)
        return done.stdout.strip()

    def command(self, node: str, *argv: str) -> list[str]:
        """What runs `argv` on a node."""
        leader = self._leader(node)
        return ["nsenter", "-t", str(leader), "-n", "-u", "-m", "-p", "-i", "--", *argv]

    def on(self, node: str, *argv: str) -> str:
        """What a command says that is run on a node."""
        command = self.command(node, *argv)
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    # Its parts ------------------------------------------------------------------------------

    def up(self) -> None:
        munged = [f"{SBIN}/munged", "-F", f"--socket={self.munge}", *self._munge_files()]
        self.start("munge", munged, user="munge")
        wait(self.munge.exists, 20, "munged")
        if self.accounting is not None:
            self.accounting.up()
        self.start_controller()
        for node in self.nodes:
            self.start_node(node)
        wait(self._all_idle, 60, f"the nodes: see {self.base}")

    def down(self) -> None:
        if self.controls():
            self.run("scancel", "--me", check=False)
        for node in self.nodes:
            self.kill_node(node)
            _ip("netns", "del", f"js{self.tag}{node}", check=False)
            _ip("link", "del", f"v{self.tag}{node}", check=False)
        self.stop_controller()
        if self.accounting is not None:
            self.accounting.down()
        self.end("munge", signal.SIGTERM)
        _ip("link", "del", f"b{self.tag}", check=False)
        shutil.rmtree(self.base, ignore_errors=True)

    def start_controller(self) -> None:
        self.start("controller", [f"{SBIN}/slurmctld", "-D", "-f", str(self.conf)], user="slurm")
        wait(self.controls, 30, f"slurmctld: see {self.base}/state/log")

    def stop_controller(self) -> None:
        self.end("controller", signal.SIGTERM)

    def controls(self) -> bool:
        """Whether slurmctld accepts connections."""
        return _listens(f"{self.net}.1", self.port)

    def start_node(self, node: str) -> None:
        namespaces = ["unshare", "--uts", "--ipc", "--mount", "--pid", "--fork", "--kill-child"]
        boot = ["--mount-proc", "sh", "-c", BOOT, "boot", node, str(self.base)]
        inside = ["nsenter", f"--net=/run/netns/js{self.tag}{node}", *namespaces, *boot]
        self.start(node, inside, session=True)

    def kill_node(self, node: str) -> None:
        """As a power failure would: every process of it is gone at once."""
        self.end(node, signal.SIGKILL)

    def _leader(self, node: str) -> int:
        parent = self._processes[node].pid
        children = Path(f"/proc/{parent}/task/{parent}/children")
        return int(wait(lambda: children.read_text().split(), 10, f"{node}'s first process")[0])

    def start(
        self,
        name: str,
        argv: list[str],
        *,
        user: str | None = None,
        session: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start one of its processes, known by `name` to `end`."""
        with (self.base / f"{name}.out").open("ab") as out:
            self._processes[name] = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**ENVIRONMENT, **self.env, **(env or {})},
                user=user,
                group=user,
                extra_groups=None if user is None else [],
                start_new_session=session,
            )

    def end(self, name: str, number: int) -> None:
        """End one of its processes with the signal `number`, if it runs."""
        process = self._processes.pop(name, None)
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)

    def _all_idle(self) -> bool:
        states = self.run("sinfo", "-h", "-N", "-p", "debug", "-o", "%t", check=False).split()
        return states == ["idle"] * len(self.nodes)

    def _munge_files(self) -> list[str]:
        place = self.munge.parent
        return [
            f"--key-file={place}/key",
            f"--pid-file={place}/pid",
            f"--log-file={place}/log",
            f"--seed-file={place}/seed",
        ]

    def _prepare(self, cpus: int, settings: Mapping[str, str]) -> None:
        for name, owner in {"munge": "munge", "state": "slurm", "n1": "root", "n2": "root"}.items():
            (self.base / name).mkdir(mode=0o755)
            shutil.chown(self.base / name, owner, None if owner == "root" else owner)
        key = self.munge.parent / "key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        shutil.chown(key, "munge", "munge")
        host = socket.gethostname().partition(".")[0]
        names = {"localhost": "127.0.0.1", host: f"{self.net}.1", **self.nodes}
        lines = "".join(f"{address} {name}\n" for name, address in names.items())
        (self.base / "hosts").write_text(lines)
        devices = "".join(
            f"NodeName=n1 Name=gpu Type=a100 File=/dev/{d}\n" for d in ("null", "zero")
        )
        (self.base / "gres.conf").write_text(devices)  # as many "GPUs", which nobody opens
        common = CONFIGURATION.format(
            name=self.name,
            host=host,
            address=f"{self.net}.1",
            net=self.net,
            port=self.port,
            munge=self.munge,
            base=self.base,
            cpus=cpus,
        )
        kept = [line for line in common.splitlines() if line.partition("=")[0] not in settings]
        changed = [f"{key}={value}" for key, value in settings.items()]
        self.conf.write_text("".join(f"{line}\n" for line in [*changed, *kept]))
        version = subprocess.run([f"{SBIN}/slurmd", "-V"], capture_output=True, check=True).stdout
        if b" 22." not in version:  # newer ones look for cgroups even if nothing is to use them
            (self.base / "cgroup.conf").write_text("CgroupPlugin=disabled\n")
        bridge = f"b{self.tag}"
        _ip("link", "add", bridge, "type", "bridge")
        _ip("addr", "add", f"{self.net}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        for node, address in self.nodes.items():
            space, link = f"js{self.tag}{node}", f"v{self.tag}{node}"
            _ip("netns", "add", space)
            _ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space)
            _ip("link", "set", link, "master", bridge, "up")
            _ip("-n", space, "addr", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", space, "link", "set", "lo", "up")
            _ip("-n", space, "link", "set", "eth0", "up")


@contextmanager
def cluster(cpus: int = 8, *, accounting: bool = False, **settings: str) -> Iterator[Slurm]:
    """A cluster that is up, and leaves nothing behind.

    Parameters
    ----------
    cpus
        Processors of each of its two nodes.
    accounting
        Whether it has slurmdbd.
    settings
        Lines of its slurm.conf, in place of those that it has otherwise.
    """
    slurm = Slurm(cpus, accounting, settings)
    try:
        slurm.up()
        yield slurm
    finally:
        slurm.down()


@contextmanager
def login_node(slurm: Slurm, folder: Path, **env: str) -> Iterator[dict[str, Any]]:
    """The settings of a host over SSH where Slurm's commands are, with the nodes' files.

    The nodes run SSH servers as well meanwhile, with the same keys, at the usual port.

    Parameters
    ----------
    folder
        For keys, configuration and what is kept there.
    env
        What commands find in their environment.
    """
    folder.mkdir(exist_ok=True)
    port = free_port()
    for key in ("host_key", "user_key"):
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)]
        subprocess.run(argv, check=True)
    key = (folder / "host_key.pub").read_text()
    addresses = list(slurm.nodes.values())
    known = "".join(f"{host} {key}" for host in (f"[127.0.0.1]:{port}", *addresses))
    (folder / "known_hosts").write_text(known)
    (folder / "ssh_config").write_text(
        f"Host login\n HostName 127.0.0.1\n Port {port}\n"
        f"Host *\n User root\n IdentitiesOnly yes\n"
        f" IdentityFile {folder}/user_key\n UserKnownHostsFile {folder}/known_hosts\n"
        " GlobalKnownHostsFile /dev/null\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        server = ["/usr/sbin/sshd", "-D", "-e", "-f"]
        places = {"login": ("127.0.0.1", port), **{n: (a, 22) for n, a in slurm.nodes.items()}}
        for name, (address, number) in places.items():
            settings = {
                "Port": number,
                "ListenAddress": address,
                "HostKey": folder / "host_key",
                "PidFile": folder / f"{name}.pid",
                "AuthorizedKeysFile": folder / "user_key.pub",
                "PermitRootLogin": "yes",
                "StrictModes": "no",
                "UsePAM": "no",
                "SetEnv": " ".join(f"{k}={v}" for k, v in {**slurm.env, **env}.items()),
            }
            config = folder / f"{name}.conf"
            config.write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
            argv = [*server, str(config)]
            log = stack.enter_context((folder / f"{name}.log").open("wb"))
            if name != "login":  # the network is all of a node that the way to it needs
                argv = ["ip", "netns", "exec", f"js{slurm.tag}{name}", *argv]
            process = stack.enter_context(subprocess.Popen(argv, stderr=log))
            stack.callback(process.terminate)
        for name, place in places.items():
            wait(partial(_listens, *place), 20, f"sshd of {name}: see {folder}")
        yield {
            "class": "ssh",
            "address": "login",
            "config_file": str(folder / "ssh_config"),
            "python": "/usr/bin/python3",
            "directory": str(folder / "there"),
        }


def _listens(address: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


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


if __name__ == "__main__":  # to look around: python -m tests.real.slurm [accounting]
    kept = "accounting" in sys.argv
    with contextlib.suppress(KeyboardInterrupt), cluster(accounting=kept) as made:
        print(f"export SLURM_CONF={made.conf}", flush=True)
        signal.pause()
    sys.exit(0)

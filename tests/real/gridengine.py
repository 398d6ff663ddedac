"""A real Grid Engine of two execution hosts that are other machines than the master's.

All is in a directory of its own: the system's cell, ``/etc/default`` and ``/var/lib/gridengine``
are left alone. The hosts are namespaces of this machine. Needs root.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from .nodes import Nodes
from .server import free_port, wait

PROGRAMS = "/usr/lib/gridengine"
SHARE = Path("/usr/share/gridengine")
ADMIN = "sgeadmin"
HOST = """\
hostname {host}
load_scaling NONE
complex_values NONE
user_lists NONE
xuser_lists NONE
projects NONE
xprojects NONE
usage_scaling NONE
report_variables NONE
"""
ENVIRONMENT = """\
pe_name {name}
slots 999
user_lists NONE
xuser_lists NONE
start_proc_args NONE
stop_proc_args NONE
allocation_rule {rule}
control_slaves FALSE
job_is_first_task TRUE
urgency_slots min
accounting_summary FALSE
qsort_args NONE
"""
QUEUE = {
    "qname": "all.q",
    "hostlist": "@allhosts",
    "seq_no": "0",
    "nsuspend": "1",
    "suspend_interval": "00:05:00",
    "priority": "0",
    "min_cpu_interval": "00:05:00",
    "processors": "UNDEFINED",
    "qtype": "BATCH INTERACTIVE",
    "pe_list": "smp mpi",
    "rerun": "FALSE",
    "shell": "/bin/sh",
    "shell_start_mode": "unix_behavior",
    "notify": "00:00:05",
    "initial_state": "default",
}
SHORT = {
    "qname": "short.q",
    "hostlist": "g1",
    "slots": "1,[g1=2]",
    "pe_list": "NONE",
    "h_rt": "01:00:00,[g1=00:30:00]",
    "h_vmem": "4G",
}
"""What is different in a queue for short jobs, which are on one host."""
NONE = (
    *("load_thresholds", "suspend_thresholds", "ckpt_list", "prolog", "epilog"),
    *("starter_method", "suspend_method", "resume_method", "terminate_method"),
    *("owner_list", "user_lists", "xuser_lists", "subordinate_list", "complex_values"),
    *("projects", "xprojects", "calendar"),
)
LIMITS = ["rt", "cpu", "fsize", "data", "stack", "core", "rss", "vmem"]
SETTINGS = {
    "load_report_time": "00:00:01",
    "reporting_params": "accounting=true reporting=false flush_time=00:00:01 joblog=false"
    " sharelog=00:00:00 accounting_flush_time=00:00:00",
    "min_uid": "0",
    "min_gid": "0",
    "mailer": "/bin/true",
    "administrator_mail": "none",
    "max_unheard": "00:00:10",
    "reschedule_unknown": "00:00:05",
}
SCHEDULER = {"schedule_interval": "0:0:1", "flush_submit_sec": "1", "flush_finish_sec": "1"}


HERE = """\
set -e
mount --make-rprivate /
mount --bind "$0" /etc/hosts
exec "$@"
"""
"""Runs a program that knows the hosts' names, which are not in this machine's own file."""
BOOT = """\
/usr/sbin/sge_execd
while :; do sleep 600 & wait; done
"""
"""What a host does: its first process stays, and buries whom it inherits."""


class GridEngine:
    """The cell; `cell` makes one.

    Attributes
    ----------
    nodes
        The execution hosts.
    env
        What its commands need in their environment.
    """

    def __init__(self, slots: int) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="js-ge-", dir="/var/tmp"))
        self.base.chmod(0o755)
        self.host = socket.gethostname().partition(".")[0]
        self.nodes = Nodes(self.base, ["g1", "g2"], here=[self.host])
        self._slots = slots
        self._common = self.base / "root" / "default" / "common"
        self.env = {
            "SGE_ROOT": str(self.base / "root"),
            "SGE_CELL": "default",
            "SGE_ARCH": "lx-amd64",
            "SGE_QMASTER_PORT": str(free_port()),
            "SGE_EXECD_PORT": str(free_port()),
        }

    def run(self, *argv: str, check: bool = True) -> str:
        """What a command of Grid Engine's says."""
        env = {**os.environ, **self.env}
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, (argv, done.stdout, done.stderr)
        return done.stdout.strip()

    def up(self) -> None:
        self._prepare()
        self.nodes.up()
        self.start_master()
        self._configure()
        for node in self.nodes.addresses:
            self.start_node(node)
        self.wait_until_up()

    def wait_until_up(self) -> None:
        """Wait until both hosts have told how they are."""
        wait(self._loaded, 60, f"sge_execd: see {self.base}/spool")

    def spool(self, kind: str) -> list[Path]:
        """What the hosts and the master keep of jobs: ``active_jobs`` or ``job_scripts``."""
        # Not by glob, which cannot stand that Grid Engine removes a folder meanwhile.
        return [
            Path(folder, name)
            for folder, _, names in os.walk(self.base / "spool")
            if Path(folder).name == kind
            for name in names
        ]

    def listening(self) -> dict[str, list[str]]:
        """Where something listens, by host."""
        command = ("ss", "-H", "-l", "-t", "-n")
        told = {node: self.nodes.on(node, *command) for node in self.nodes.addresses}
        return {
            node: sorted(line.split()[3] for line in text.splitlines())
            for node, text in told.items()
        }

    def temporary(self) -> list[str]:
        """The directories that are made for jobs, and go with them."""
        return [str(path) for path in (self.base / "tmp").iterdir()]

    @contextmanager
    def defaults(self, options: str) -> Iterator[None]:
        """Options of qsub as a `sge_request` file says them, the site's or a user's."""
        path = self._common / "sge_request"
        path.write_text(f"{options}\n")
        try:
            yield
        finally:
            path.unlink()

    def down(self) -> None:
        self.nodes.down()
        # The master would take ten seconds, for nothing that is kept.
        if pid := self._master():
            os.kill(pid, signal.SIGKILL)
            wait(lambda: not _lives(pid), 20, "the master's end")
        shutil.rmtree(self.base, ignore_errors=True)

    def start_node(self, node: str) -> None:
        # Jobs inherit what the daemon has.
        self.nodes.start(node, BOOT, {"LC_ALL": "C.UTF-8", **self.env})

    def start_master(self) -> None:
        self._here("/usr/sbin/sge_qmaster")
        wait(lambda: self.run("qconf", "-sh", check=False), 30, f"sge_qmaster: see {self.base}")

    def stop_master(self) -> None:
        pid = self._master()
        os.kill(pid, signal.SIGTERM)
        wait(lambda: not _lives(pid), 20, "the master's end")

    def _here(self, *argv: str) -> None:
        """Run a program on the master's machine that knows the hosts' names."""
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", HERE, str(self.nodes.hosts), *argv],
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (argv, done.stdout, done.stderr)

    def _master(self) -> int:
        """The pid of the master; 0 if it has not begun."""
        path = self.base / "spool" / "qmaster" / "qmaster.pid"
        return int(path.read_text()) if path.exists() else 0

    def _loaded(self) -> bool:
        lines = [line.split() for line in self.run("qhost", check=False).splitlines()]
        told = {line[0] for line in lines if line[4:] and "-" not in line[3:5]}
        return told >= self.nodes.addresses.keys()

    def _prepare(self) -> None:
        root, spool = self.base / "root", self.base / "spool"
        for kind in ("bin", "lib", "utilbin"):
            (root / kind).mkdir(parents=True)
            (root / kind / "lx-amd64").symlink_to(PROGRAMS)
        (root / "util").symlink_to(SHARE / "util")
        (root / "mpi").symlink_to(SHARE / "mpi")
        for place in ("qmaster/job_scripts", "db", "execd"):
            (spool / place).mkdir(parents=True)
        self._common.mkdir(parents=True)
        own = {"spooling_params": spool / "db", "qmaster_spool_dir": spool / "qmaster"}
        lines = (SHARE / "default-bootstrap").read_text().splitlines()
        (self._common / "bootstrap").write_text(_changed(lines, own))
        (self._common / "act_qmaster").write_text(f"{self.host}\n")
        # 127.0.0.1 is "localhost" when asked for its name: the same host.
        told = subprocess.run(["getent", "hosts", "127.0.0.1"], capture_output=True, text=True)
        names = dict.fromkeys([self.host, "localhost", *told.stdout.split()[1:]])
        (self._common / "host_aliases").write_text(" ".join(names) + "\n")
        for owned in (spool, root / "default"):
            subprocess.run(["chown", "-R", f"{ADMIN}:{ADMIN}", str(owned)], check=True)
        subprocess.run(
            [SHARE / "scripts" / "init_cluster", root, "default", spool / "db", ADMIN],
            env={**os.environ, **self.env},
            user=ADMIN,
            group=ADMIN,
            check=True,
            capture_output=True,
        )

    def _configure(self) -> None:
        settings = {**SETTINGS, "execd_spool_dir": self.base / "spool" / "execd"}
        lines = self.run("qconf", "-sconf").replace("\\\n", " ").splitlines()
        self._give("-Mconf", "global", _changed(lines, settings))
        scheduler = self.run("qconf", "-ssconf").splitlines()
        self._give("-Msconf", "scheduler", _changed(scheduler, SCHEDULER))
        self.run("qconf", "-am", "root", check=False)
        self.run("qconf", "-ah", self.host, check=False)
        self.run("qconf", "-as", self.host)
        for node in self.nodes.addresses:
            self._give("-Ae", "host", HOST.format(host=node))
        names = " ".join(self.nodes.addresses)
        self._give("-Ahgrp", "group", f"group_name @allhosts\nhostlist {names}\n")
        for name, rule in {"smp": "$pe_slots", "mpi": "$round_robin"}.items():
            self._give("-Ap", "pe", ENVIRONMENT.format(name=name, rule=rule))
        limits = {f"{kind}_{name}": "INFINITY" for kind in "sh" for name in LIMITS}
        (self.base / "tmp").mkdir(mode=0o777)
        own = {"slots": self._slots, "tmpdir": self.base / "tmp"}
        queue = {**QUEUE, **own, **dict.fromkeys(NONE, "NONE"), **limits}
        for each in (queue, queue | SHORT):
            self._give("-Aq", "queue", "".join(f"{k} {v}\n" for k, v in each.items()))

    def _give(self, option: str, name: str, content: str) -> None:
        path = self.base / name
        path.write_text(content)
        self._here("qconf", option, str(path))


@contextmanager
def cell(slots: int = 8) -> Iterator[GridEngine]:
    """A Grid Engine that is up, and leaves nothing behind."""
    engine = GridEngine(slots)
    try:
        engine.up()
        yield engine
    finally:
        engine.down()


def _changed(lines: list[str], settings: Mapping[str, object]) -> str:
    """Lines of names and values, some with another value."""
    kept = [line for line in lines if line.split(None, 1)[:1] != []]
    named = [(line.split(None, 1)[0], line) for line in kept]
    changed = [f"{name} {settings[name]}" if name in settings else line for name, line in named]
    return "\n".join(changed) + "\n"


def _lives(pid: int) -> bool:
    """Whether it does; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


if __name__ == "__main__":  # to look around: python -m tests.real.gridengine
    with suppress(KeyboardInterrupt), cell() as made:
        print(*(f"export {name}={value}" for name, value in made.env.items()), sep="\n", flush=True)
        signal.pause()
    sys.exit(0)

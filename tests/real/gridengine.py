"""A real Grid Engine of one host: master and execution daemon, in a directory of their own.

The system's own cell, ``/etc/default`` and ``/var/lib/gridengine`` are left alone. Needs root.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

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
pe_name smp
slots 999
user_lists NONE
xuser_lists NONE
start_proc_args NONE
stop_proc_args NONE
allocation_rule $pe_slots
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
    "pe_list": "smp",
    "rerun": "FALSE",
    "tmpdir": "/tmp",
    "shell": "/bin/sh",
    "shell_start_mode": "unix_behavior",
    "notify": "00:00:05",
    "initial_state": "default",
}
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
    "max_unheard": "00:00:30",
}
SCHEDULER = {"schedule_interval": "0:0:1", "flush_submit_sec": "1", "flush_finish_sec": "1"}


class GridEngine:
    """The cell; `cell` makes one."""

    def __init__(self, slots: int) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="js-ge-", dir="/var/tmp"))
        self.base.chmod(0o755)
        self.host = socket.gethostname().partition(".")[0]
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
        self.start_master()
        self._configure()
        # Jobs inherit what the daemon has: a clean environment.
        clean = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **self.env}
        subprocess.run(["/usr/sbin/sge_execd"], env=clean, check=True, capture_output=True)
        wait(self._loaded, 60, f"sge_execd: see {self.base}/spool")

    def down(self) -> None:
        self.run("qdel", "-f", "-u", "*", check=False)
        # The master would take ten seconds, for nothing that is kept.
        for name, number in (("execd", signal.SIGTERM), ("qmaster", signal.SIGKILL)):
            for pid in (pids := self._pids(name)):
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            wait(lambda: not any(map(_lives, pids)), 20, "Grid Engine's end")
        shutil.rmtree(self.base, ignore_errors=True)

    def start_master(self) -> None:
        env = {**os.environ, **self.env}
        subprocess.run(["/usr/sbin/sge_qmaster"], env=env, check=True, capture_output=True)
        wait(lambda: self.run("qconf", "-sh", check=False), 30, f"sge_qmaster: see {self.base}")

    def stop_master(self) -> None:
        pid = int((self.base / "spool" / "qmaster" / "qmaster.pid").read_text())
        os.kill(pid, signal.SIGTERM)
        wait(lambda: not _lives(pid), 20, "the master's end")

    def _pids(self, name: str) -> list[int]:
        files = (self.base / "spool").glob(f"**/{name}.pid")
        return [int(text) for file in files if (text := file.read_text().strip())]

    def _loaded(self) -> bool:
        lines = [line.split() for line in self.run("qhost", check=False).splitlines()]
        return any(line[0] == self.host and "-" not in line[3:5] for line in lines if line[4:])

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
        self._give("-Ae", "host", HOST.format(host=self.host))
        self._give("-Ahgrp", "group", f"group_name @allhosts\nhostlist {self.host}\n")
        self._give("-Ap", "pe", ENVIRONMENT)
        limits = {f"{kind}_{name}": "INFINITY" for kind in "sh" for name in LIMITS}
        queue = {**QUEUE, "slots": self._slots, **dict.fromkeys(NONE, "NONE"), **limits}
        self._give("-Aq", "queue", "".join(f"{k} {v}\n" for k, v in queue.items()))

    def _give(self, option: str, name: str, content: str) -> None:
        path = self.base / name
        path.write_text(content)
        self.run("qconf", option, str(path))


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

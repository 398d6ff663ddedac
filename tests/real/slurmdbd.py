"""Accounting for the tests' Slurm: a real slurmdbd, with a MariaDB of its own behind it.

Nothing outside of the cluster's directory is touched, and the database has no network at all.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from functools import partial
from typing import TYPE_CHECKING

from .server import free_port, wait

if TYPE_CHECKING:
    from .slurm import Slurm

SBIN = "/usr/sbin"
CONFIGURATION = """\
AuthType=auth/munge
AuthInfo=socket={munge}
DbdHost=localhost
DbdPort={port}
SlurmUser=slurm
PidFile={base}/slurmdbd.pid
LogFile={base}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageLoc=slurm_acct_db
StorageUser=slurm
StoragePass=x
"""
DATABASE = (
    "create database slurm_acct_db; create user slurm@localhost identified by 'x';"
    " grant all on slurm_acct_db.* to slurm@localhost"
)


class Accounting:
    """slurmdbd of one cluster.

    Parameters
    ----------
    slurm
        The cluster: runs the processes, and its munge proves who asks.
    """

    def __init__(self, slurm: Slurm) -> None:
        self._slurm = slurm
        self.base = slurm.base / "accounting"
        self.port = free_port()
        self._socket = self.base / "mysql" / "s"

    @property
    def settings(self) -> dict[str, str]:
        """What slurm.conf says about it."""
        return {
            "AccountingStorageType": "accounting_storage/slurmdbd",
            "AccountingStorageHost": "127.0.0.1",
            "AccountingStoragePort": str(self.port),
            "AccountingStoragePass": str(self._slurm.munge),
            "AccountingStorageEnforce": "associations,limits,qos",
        }

    def up(self) -> None:
        """Make the database, and begin to account for the cluster."""
        self.base.mkdir(mode=0o755)
        shutil.chown(self.base, "slurm", "slurm")
        data = self._socket.parent
        data.mkdir(mode=0o755)
        shutil.chown(data, "mysql", "mysql")
        install = ["mariadb-install-db", "--no-defaults", "--user=mysql", f"--datadir={data}"]
        install += ["--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run(install, check=True, capture_output=True)
        options = ["--no-defaults", f"--datadir={data}", f"--socket={self._socket}"]
        options += [f"--pid-file={data}/pid", "--skip-networking", "--innodb-buffer-pool-size=64M"]
        options += ["--innodb-lock-wait-timeout=900", "--innodb-flush-log-at-trx-commit=0"]
        self._slurm.start("database", [f"{SBIN}/mariadbd", *options], user="mysql")
        wait(partial(self._sql, "select 1"), 60, f"MariaDB: see {self._slurm.base}/database.out")
        assert self._sql(DATABASE)
        conf = self._slurm.conf.parent / "slurmdbd.conf"
        conf.write_text(
            CONFIGURATION.format(munge=self._slurm.munge, port=self.port, base=self.base)
        )
        shutil.chown(conf, "slurm", "slurm")
        conf.chmod(0o600)
        self.start()
        self.manage("add", "cluster", self._slurm.name)

    def start(self) -> None:
        """Start slurmdbd, and wait until it answers."""
        env = {"MYSQL_UNIX_PORT": str(self._socket)}
        self._slurm.start("slurmdbd", [f"{SBIN}/slurmdbd", "-D"], user="slurm", env=env)
        wait(self.answers, 60, f"slurmdbd: see {self.base}/slurmdbd.log")

    def stop(self) -> None:
        """End slurmdbd; the database goes on, as does Slurm."""
        self._slurm.end("slurmdbd", signal.SIGTERM)

    def down(self) -> None:
        self.stop()
        self._slurm.end("database", signal.SIGKILL)  # it has nothing to save

    def answers(self) -> bool:
        argv = ["sacctmgr", "-n", "show", "cluster"]
        env = {**os.environ, **self._slurm.env}
        return subprocess.run(argv, env=env, capture_output=True, check=False).returncode == 0

    def manage(self, *argv: str) -> str:
        """What a command of sacctmgr's says that asks nothing."""
        return self._slurm.run("sacctmgr", "-i", *argv)

    def _sql(self, statement: str) -> bool:
        argv = ["mariadb", "--no-defaults", "-S", str(self._socket), "-u", "root", "-e", statement]
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0

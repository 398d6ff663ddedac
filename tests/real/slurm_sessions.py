"""What the tests of sessions in a real Slurm share: its fixtures, and questions to its queue."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions.session import Session

from .batch import Counted
from .slurm import Slurm, cluster, login_node

QUICK = {"class": "slurm", "query_interval": 1, "poll_interval": 0.3}
PROGRAMS = ("sbatch", "squeue", "scancel", "sacct", "scontrol", "sinfo")
SMALL = {"memory": 0.05, "hours": 1}
OPEN = "PD,R,CG,CF,S"


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    """A cluster without accounting; a module that needs another one has its own."""
    with cluster() as made:
        yield made


@pytest.fixture
def configured(slurm: Slurm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slurm's commands speak with that cluster."""
    for name, value in slurm.env.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def counted(root: Path, monkeypatch: pytest.MonkeyPatch) -> Counted:
    """Slurm's commands, counted from now on."""
    made = Counted(root.parent / "bin", *PROGRAMS)
    monkeypatch.setenv("PATH", f"{made.folder}:{os.environ['PATH']}")
    return made


@pytest.fixture
def login(slurm: Slurm, short_path: Path) -> Iterator[dict[str, Any]]:
    """The settings of a login node."""
    with login_node(slurm, short_path) as settings:
        yield settings


def jobs(slurm: Slurm, session_id: str, states: str = "all") -> list[str]:
    """The ids of the jobs that carry a session's name."""
    lines = slurm.run("squeue", "-h", "-t", states, "-o", "%i %j").splitlines()
    return [line.split()[0] for line in lines if session_id in line]


async def gone(slurm: Slurm, session: Session) -> bool:
    """Whether nothing of it is left in the queue, a moment after its supervisor has gone."""
    async with asyncio.timeout(20):
        while jobs(slurm, session.id, OPEN):  # noqa: ASYNC110 - Slurm tells nobody
            await asyncio.sleep(0.2)
    return True

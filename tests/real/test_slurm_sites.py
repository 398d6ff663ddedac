"""What users and sites set up around Slurm's commands, and what must not mislead us."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions.manager import SessionManager
from jupyter_sessions.session import State

from ..managers import running, starts
from .batch import Counted, answer, begin, until, until_ended, until_running
from .slurm import Slurm, login_node
from .slurm_sessions import OPEN, QUICK, SMALL, gone, jobs

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("configured")]
FILTERS = {
    "SQUEUE_FORMAT": "%j",
    "SQUEUE_FORMAT2": "jobid",
    "SQUEUE_PARTITION": "gpu",
    "SQUEUE_STATES": "PENDING",
    "SQUEUE_ACCOUNT": "nobodys",
    "SQUEUE_NAMES": "other",
    "SCANCEL_INTERACTIVE": "true",
    "SCANCEL_PARTITION": "gpu",
    "SCANCEL_NAME": "other",
    "SINFO_PARTITION": "gpu",
    "SINFO_FORMAT": "%P",
    "SACCT_FORMAT": "jobid",
    "SLURM_TIME_FORMAT": "relative",
}
"""What people set for the commands that they type."""
STRUCTURE = {
    "SLURM_CLUSTERS": "nowhere",
    "SBATCH_CLUSTERS": "nowhere",
    "SBATCH_ARRAY_INX": "1-3",
    "SBATCH_WAIT": "1",
    "SBATCH_DEPENDENCY": "singleton",
}
"""What would make another kind of job of it."""
OUTER = {
    "SLURM_JOB_ID": "1",
    "SLURM_JOBID": "1",
    "SLURM_ARRAY_TASK_ID": "7",
    "SLURM_MEM_PER_CPU": "100",
    "SLURM_CPUS_PER_TASK": "3",
    "SLURM_GPUS": "2",
    "SLURM_STEP_ID": "0",
}
"""What a Jupyter has that is a job itself."""
MEANT = {"SBATCH_CONSTRAINT": "big"}
"""What counts where the form says nothing."""


@pytest.mark.parametrize("where", ["here", "login"])
async def test_variables_of_the_users_mislead_nobody(
    slurm: Slurm,
    root: Path,
    short_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    variables = {**FILTERS, **STRUCTURE, **OUTER, **MEANT}
    traits: dict[str, Any] = {**QUICK, "check_requirements": False}
    with login_node(slurm, short_path, **variables) as login, monkeypatch.context() as ours:
        for name, value in variables.items() if where == "here" else ():
            ours.setenv(name, value)
        hosts = {"login": login} if where == "login" else {}
        spawner = {**traits, "host": where} if hosts else traits
        spawners = {"hpc": spawner, "held": {**spawner, "extra": ["--hold"]}}
        async with running(root, hosts=hosts, spawners=spawners) as manager:
            partitions = await offered(manager, "hpc")
            assert partitions["enum"] == ["debug", "urgent", "gpu"]
            session = await begin(manager, "hpc", resources=SMALL, cwd="/")
            session = await until_running(manager, session)
            session = await until(manager, session, lambda s: s.attempt.ends is not None)
            assert session.attempt.handle is not None
            assert session.attempt.host == "n1", "the only one that is big"
            environment = (await answer(manager, session))["environment"]
            assert environment["SLURM_JOB_ID"] == session.attempt.handle["job"]
            assert environment["SLURM_CPUS_PER_TASK"] == "1"
            left = {"SLURM_MEM_PER_CPU", "SLURM_ARRAY_TASK_ID", "SLURM_GPUS"} & environment.keys()
            assert left == set()
            held = await begin(manager, "held", resources=SMALL, cwd="/")
            held = await until(manager, held, lambda s: "JobHeld" in s.attempt.message)
            for each in (held, session):
                await manager.stop(each.id)
                assert (await until_ended(manager, each)).state is State.STOPPED
    for name in variables:
        assert name not in os.environ
    for each in (held, session):
        assert await gone(slurm, each)
        assert len(jobs(slurm, each.id)) == 1


WRAPPERS = {
    "it greets": 'echo "Welcome, project 77"; echo 42; {real} "$@" && echo "7 hours are left"',
    "it says it in words": 'shift; exec {real} "$@"',  # --parsable comes first
    "it says nothing": '{real} "$@" >/dev/null',
    "it warns": 'echo "sbatch: error: munge temporarily slow" >&2; exec {real} "$@"',
    "it adds a cluster": 'printf "%s;tests\\n" "$({real} "$@")"',
}


@pytest.mark.parametrize("said", WRAPPERS)
async def test_a_sites_own_sbatch_may_say_what_it_likes(
    slurm: Slurm, root: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    wrap(root.parent / "bin", {"sbatch": WRAPPERS[said]}, monkeypatch)
    async with running(root, spawners={"hpc": QUICK}) as manager:
        session = await until_running(manager, await begin(manager, "hpc", resources=SMALL))
        assert session.attempt.handle is not None
        assert [session.attempt.handle["job"]] == jobs(slurm, session.id)
        assert len(starts(root, session)) == 1
        await manager.stop(session.id)
        await until_ended(manager, session)
        assert await gone(slurm, session)


async def test_an_sbatch_that_fails_after_it_submitted_leaves_no_job(
    slurm: Slurm, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = '{real} "$@"; echo "sbatch: error: the accounting hook has failed" >&2; exit 3'
    wrap(root.parent / "bin", {"sbatch": failing}, monkeypatch)
    async with running(root, spawners={"held": {**QUICK, "extra": ["--hold"]}}) as manager:
        session = await until_ended(manager, await begin(manager, "held", resources=SMALL))
        assert session.state is State.FAILED
        assert "the accounting hook has failed" in session.attempt.message
        assert jobs(slurm, session.id, OPEN) == []


async def test_warnings_of_the_others_are_not_answers(
    slurm: Slurm, root: Path, monkeypatch: pytest.MonkeyPatch, counted: Counted
) -> None:
    noisy = (
        'echo "{name}: error: slurm_persist_conn: Connection refused" >&2;'
        ' echo "Maintenance|on|Monday"; exec {real} "$@"'
    )
    programs = ("squeue", "scancel", "sinfo", "scontrol", "sacct")
    wrap(root.parent / "noisy", dict.fromkeys(programs, noisy), monkeypatch)
    async with running(root, spawners={"hpc": QUICK}) as manager:
        assert (await offered(manager, "hpc"))["enum"] == ["debug", "urgent", "gpu"]
        session = await until_running(manager, await begin(manager, "hpc", resources=SMALL))
        session = await until(manager, session, lambda s: s.attempt.ends is not None)
        assert session.attempt.unreachable_since is None
        slurm.run("scancel", *jobs(slurm, session.id))
        ended = await until_ended(manager, session)
        assert ended.attempt.reason == "cancelled"
        assert counted.calls("squeue") != []


async def offered(manager: SessionManager, spawner: str) -> dict[str, Any]:
    """What the form says of partitions, once Slurm has been asked."""
    place = manager.offers.spawner(spawner)
    async with asyncio.timeout(60):
        await place.host.home()  # as long as the login takes
        while True:
            assert await place.available() == ""
            partitions: dict[str, Any] = place.options_schema()["properties"]["partition"]
            if "enum" in partitions:
                return partitions
            await asyncio.sleep(0.1)


def wrap(folder: Path, programs: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Put scripts before Slurm's own commands, which they know as ``{real}``."""
    folder.mkdir()
    for name, body in programs.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{body.format(real=shutil.which(name), name=name)}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

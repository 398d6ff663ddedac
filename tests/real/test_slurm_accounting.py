"""Sessions in a real Slurm with accounting: slurmdbd, associations, QoS."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions.errors import InvalidRequest
from jupyter_sessions.manager import SessionManager
from jupyter_sessions.options import OptionSchema
from jupyter_sessions.session import Session, State

from ..managers import running
from ..processes import marked
from .batch import Counted, answer, begin, forms_of, until, until_ended, until_running
from .server import wait
from .slurm import Slurm, cluster
from .slurm_sessions import QUICK, SMALL, gone, jobs
from .slurmdbd import Accounting

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("configured")]
EATER = """
import pathlib, sys, time
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.1)
eaten = []
while True:
    eaten.append(bytearray(20 << 20))
    time.sleep(0.1)
"""
OPERATOR = "daemon"


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    """A cluster with accounting that forgets jobs at once, and with QoS that preempt."""
    with cluster(accounting=True, MinJobAge="2", PreemptType="preempt/qos") as made:
        manage = accounting(made).manage
        for name in ("physics", "teaching"):
            manage("add", "account", name, "Description=x", "Organization=x")
        manage("add", "qos", "high", "Priority=10", "Preempt=normal", "PreemptMode=cancel")
        manage("add", "qos", "low", "MaxWall=10")
        qos = "qos=normal,high"
        manage("add", "user", "root", "account=physics", qos, "defaultqos=normal")
        manage("modify", "user", "root", "set", "defaultaccount=physics")
        bound = ("partition=gpu", "qos=normal,low", "defaultqos=normal")
        manage("add", "user", "root", "account=teaching", *bound)
        manage("modify", "account", "teaching", "set", "GrpTRES=cpu=2", "MaxWall=30")
        manage("add", "user", OPERATOR, "account=physics", "adminlevel=operator")
        manage("add", "cluster", "elsewhere")
        manage("add", "account", "abroad", "cluster=elsewhere", "Description=x", "Organization=x")
        manage("add", "user", "root", "account=abroad", "cluster=elsewhere")
        yield made


def accounting(slurm: Slurm) -> Accounting:
    assert slurm.accounting is not None
    return slurm.accounting


async def form(manager: SessionManager, spawner: str) -> dict[str, Any]:
    """The schema of the form's resources, once Slurm has been asked."""
    forms = await forms_of(manager)
    assert forms[spawner]["available"], forms[spawner]["unavailable_reason"]
    schema: dict[str, Any] = forms[spawner]["options"]
    return schema


async def test_how_jobs_ended_is_known_when_slurm_has_forgotten_them(
    slurm: Slurm, root: Path, counted: Counted
) -> None:
    go = root.parent / "go"
    spawners = {
        "n1": {**QUICK, "extra": ["--nodelist=n1"]},
        "n2": {**QUICK, "extra": ["--nodelist=n2"]},
    }
    eater = {"title": "Eater", "command": ["{python}", "-c", EATER, str(go)], "ready": {}}
    traits: dict[str, Any] = {"spawners": spawners, "apps": {"eater": eater}}
    async with running(root, **traits) as manager:
        names = ("killed", "timeout", "cancelled", "ours")
        made = {name: await begin(manager, "n1", resources=SMALL) for name in names}
        made["eater"] = await manager.create({"app": "eater", "spawner": "n1", "resources": SMALL})
        made["preempted"] = await begin(manager, "n2", resources={**SMALL, "cpus": 6})
        made["node"] = await begin(manager, "n2", resources={**SMALL, "qos": "high"})
        for name, session in made.items():
            if name == "eater":
                await until(manager, session, lambda s: s.attempt.started is not None)
            else:
                made[name] = await until_running(manager, session)
    # Nobody looks while each of them ends.
    ids = {name: jobs(slurm, session.id)[0] for name, session in made.items()}
    go.touch()
    for pid in marked(made["killed"].id):
        os.kill(pid, signal.SIGKILL)
    for pid in marked(made["timeout"].id):
        os.kill(pid, signal.SIGSTOP)
    slurm.run("scontrol", "update", f"JobId={ids['timeout']}", "TimeLimit=1")
    slurm.run("scancel", ids["ours"])
    operator = ["setpriv", f"--reuid={OPERATOR}", "--regid=1", "--clear-groups"]
    env = {**os.environ, **slurm.env}
    # Not what counts: that lies where nobody else gets to.
    subprocess.run([*operator, "/usr/bin/scancel", ids["cancelled"]], env=env, check=True)
    urgent = ["sbatch", "--parsable", "-q", "high", "-w", "n2", "-c", "6", "--mem=50"]
    slurm.run(*urgent, "-o", "/dev/null", "--wrap", "sleep 1")
    await over(slurm, ids["preempted"])
    slurm.kill_node("n2")
    try:
        for job in ids.values():
            await over(slurm, job)
    finally:
        slurm.start_node("n2")
    async with running(root, **traits) as manager:
        told = {name: await until_over(manager, session) for name, session in made.items()}
        expected = {
            "killed": ("failed", "failed"),
            "timeout": ("walltime", "was ended: its time was up"),
            "cancelled": ("cancelled", f"was cancelled by {OPERATOR}"),
            "ours": ("cancelled", "was cancelled."),
            "eater": ("out_of_memory", "used more memory than it had asked for"),
            "preempted": ("preempted", "was preempted"),
            "node": ("node_failed", "its node failed"),
        }
        for name, (reason, sentence) in expected.items():
            ended = told[name].past[0] if told[name].past else told[name].attempt
            assert ended.reason == reason, (name, ended)
            assert sentence in ended.message, (name, ended)
            assert ended.message.startswith(f"Slurm job {ids[name]} "), (name, ended)
        assert counted.calls("sacct") != []
        for name in ("preempted", "node"):
            again = await until_running(manager, made[name], attempt=2)
            assert await answer(manager, again)
            await manager.stop(again.id)
            await until_ended(manager, again)


async def over(slurm: Slurm, job: str) -> None:
    """Wait until slurmctld knows nothing of a job."""
    async with asyncio.timeout(180):
        while slurm.run("scontrol", "show", "job", job, check=False):  # noqa: ASYNC110
            await asyncio.sleep(0.5)


async def until_over(manager: SessionManager, session: Session) -> Session:
    return await until(manager, session, lambda s: s.ended or s.attempt.number > 1)


async def test_the_form_has_what_accounting_grants(slurm: Slurm, root: Path) -> None:
    async with running(root, spawners={"hpc": QUICK}) as manager:
        schema = await form(manager, "hpc")
        properties = schema["properties"]
        assert properties["account"]["enum"] == ["physics", "root", "teaching"], (
            "no other cluster's"
        )
        assert "Empty for physics." in properties["account"]["description"]
        assert properties["qos"]["enum"] == ["high", "low", "normal"]
        assert properties["hours"]["maximum"] == 4
        options = OptionSchema(schema)
        # What an account is bound to, and the time that it or a QoS allows.
        values = options.check({"account": "teaching"}, "resources")
        assert (values["partition"], values["hours"]) == ("gpu", 0.5)
        assert options.check({"account": "physics"}, "resources")["hours"] == 4
        assert options.check({"qos": "low", "account": "teaching"}, "resources")["hours"] <= 1 / 6
        for wrong, field in (
            ({"account": "teaching", "partition": "debug"}, "partition"),
            ({"account": "teaching", "qos": "high"}, "qos"),
            ({"account": "teaching", "hours": 1}, "hours"),
            ({"qos": "low", "hours": 0.2}, "hours"),
            ({"account": "abroad"}, "account"),
        ):
            with pytest.raises(InvalidRequest) as refused:
                options.check(wrong, "resources")
            assert [e.field for e in refused.value.errors] == [f"resources.{field}"]
        asked = {"memory": 0.05, "account": "teaching"}
        session = await until_running(manager, await begin(manager, "hpc", resources=asked))
        (job,) = jobs(slurm, session.id)
        told = slurm.run("scontrol", "show", "job", job)
        assert "Account=teaching" in told
        assert "Partition=gpu" in told
        assert "TimeLimit=00:30:00" in told
        await manager.stop(session.id)
        await until_ended(manager, session)


async def test_a_limit_is_a_sentence(slurm: Slurm, root: Path) -> None:
    longer = {**QUICK, "directives": {"qos": False}, "extra": ["--qos=low", "-A", "teaching"]}
    refused = {**QUICK, "extra": ["--account=abroad"]}
    async with running(root, spawners={"hpc": QUICK, "low": longer, "none": refused}) as manager:
        asked = {"memory": 0.05, "account": "teaching", "partition": "gpu", "hours": 0.1}
        first = await until_running(
            manager, await begin(manager, "hpc", resources={**asked, "cpus": 2})
        )
        second = await begin(manager, "hpc", resources=asked)
        second = await until(manager, second, lambda s: "AssocGrpCpuLimit" in s.attempt.message)
        assert second.state is State.QUEUED
        assert second.attempt.reason == "assoc_grp_cpu_limit"
        sentence = "waits: its account may use no more processors now (AssocGrpCpuLimit)"
        assert sentence in second.attempt.message
        third = await begin(manager, "low", resources={**asked, "hours": 0.4})
        third = await until(manager, third, lambda s: "QOSMaxWall" in s.attempt.message)
        sentence = "it asks for more time than its QoS allows for one job, and does not start so"
        assert sentence in third.attempt.message
        none = await until_ended(manager, await begin(manager, "none", resources=SMALL))
        assert none.state is State.FAILED
        assert "Invalid account or account/partition combination" in none.attempt.message
        await manager.stop(first.id)
        await until_running(manager, second)  # as soon as there is room
        for session in (second, third):
            await manager.stop(session.id)
        for session in (first, second, third):
            await until_ended(manager, session)
            assert await gone(slurm, session)


async def test_a_session_preempted_by_a_qos_starts_again_at_its_url(
    slurm: Slurm, root: Path
) -> None:
    async with running(root, spawners={"hpc": {**QUICK, "extra": ["--nodelist=n1"]}}) as manager:
        session = await begin(manager, "hpc", resources={**SMALL, "cpus": 6, "qos": "normal"})
        session = await until_running(manager, session)
        url = manager.describe(session)["url"]
        urgent = ["sbatch", "--parsable", "-q", "high", "-w", "n1", "-c", "6", "--mem=50"]
        slurm.run(*urgent, "-o", "/dev/null", "--wrap", "sleep 3")
        again = await until_running(manager, session, attempt=2)
        assert again.past[0].reason == "preempted"
        assert "others needed its place" in again.past[0].message
        assert manager.describe(again)["url"] == url
        assert await answer(manager, again)
        await manager.stop(session.id)
        await until_ended(manager, session)
        assert await gone(slurm, session)


async def test_without_slurmdbd_nothing_changes(slurm: Slurm, root: Path) -> None:
    traits = {**QUICK, "choices_interval": 1}
    async with running(root, spawners={"before": traits}) as manager:
        known = (await form(manager, "before"))["properties"]
        session = await until_running(manager, await begin(manager, "before", resources=SMALL))
        accounting(slurm).stop()
        try:
            async with running(root, spawners={"before": traits}) as fresh:
                free = (await form(fresh, "before"))["properties"]["account"]
            assert "enum" not in free
            assert "accounting does not answer" in free["description"]
            async with asyncio.timeout(30):
                while True:
                    kept = (await form(manager, "before"))["properties"]["account"]
                    if "does not answer" in kept["description"]:
                        break
                    await asyncio.sleep(0.1)
            assert kept["enum"] == known["account"]["enum"]
            now = await manager.session(session.id)
            assert (now.state, now.attempt.unreachable_since) == (State.RUNNING, None)
            assert await answer(manager, now)
            late = await until_running(manager, await begin(manager, "before", resources=SMALL))
        finally:
            accounting(slurm).start()
        for each in (session, late):
            await manager.stop(each.id)
            await until_ended(manager, each)
    wait(lambda: not marked(session.id), 20, "its supervisor")


async def test_how_a_job_ended_is_not_made_up_while_slurmdbd_is_down(
    slurm: Slurm, root: Path
) -> None:
    async with running(root, spawners={"hpc": QUICK}) as manager:
        session = await until_running(manager, await begin(manager, "hpc", resources=SMALL))
    (job,) = jobs(slurm, session.id)
    accounting(slurm).stop()
    try:
        for pid in marked(session.id):
            os.kill(pid, signal.SIGKILL)
        await over(slurm, job)
        async with running(root, spawners={"hpc": QUICK}) as manager:
            now = await until(manager, session, lambda s: s.attempt.unreachable_since is not None)
            assert now.state is State.RUNNING
            accounting(slurm).start()
            ended = await until_ended(manager, session)
            assert (ended.attempt.reason, ended.state) == ("failed", State.FAILED)
    finally:
        if not accounting(slurm).answers():
            accounting(slurm).start()

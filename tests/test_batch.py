"""The pure parts of batch spawners: jobs and runners' files as reports, directives, scripts."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from traitlets import TraitError

from jupyter_sessions.errors import InvalidRequest, SpawnerError
from jupyter_sessions.hosts.local import LocalHost
from jupyter_sessions.options import OptionSchema
from jupyter_sessions.session import Report, Status
from jupyter_sessions.spawners import choices, script
from jupyter_sessions.spawners.choices import Choices, Offered, said
from jupyter_sessions.spawners.directives import clock, refusal
from jupyter_sessions.spawners.jobs import LAST_WORD, Job, Phase, margin_of, report_of
from jupyter_sessions.spawners.slurm import SlurmSpawner, arguments
from jupyter_sessions.spawners.slurm_choices import Accounting, choices_of, read_partitions
from jupyter_sessions.spawners.slurm_jobs import read_queue

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ADDRESS = {"scheme": "unix", "path": "/home/ada/socket"}
NOTHING: dict[str, Any] = {"status": "absent"}
BEGUN: dict[str, Any] = {"status": "unknown", "hostname": "n1", "ran": True}
STARTED = {**BEGUN, "started": NOW.timestamp()}
SERVES = {**STARTED, "address": ADDRESS}


def ended(reason: str, code: int | None = None, ago: float = 1, **more: Any) -> dict[str, Any]:
    end = {"reason": reason, "exit_code": code, "message": "Told.", "ended": NOW.timestamp() - ago}
    return {**SERVES, "status": "ended", "exit": end, **more}


def job(phase: Phase, **facts: Any) -> Job:
    return Job(id="12", phase=phase, **facts)


PENDING, RUNNING = (
    job(Phase.PENDING, reason="priority", message="waits: Priority"),
    job(Phase.RUNNING, host="n1"),
)
ENDING = job(Phase.ENDING)
DONE = job(Phase.ENDED, reason="completed", message="has ended")
FAILED = job(Phase.ENDED, reason="failed", message="failed")
CANCELLED = job(Phase.ENDED, reason="cancelled", message="was cancelled")
WALLTIME = job(Phase.ENDED, reason="walltime", message="was ended: its time was up")
PREEMPTED = job(Phase.ENDED, reason="preempted", message="was preempted", again=True)
GONE = job(Phase.GONE)


def told(job: Job | None, status: dict[str, Any], **more: Any) -> Report | None:
    return report_of("Slurm job 12", job, status, NOW, 60, **more)


@pytest.mark.parametrize(
    ("job", "status", "expected", "reason"),
    [
        # The scheduler does not answer: only what is written for good counts.
        (None, NOTHING, None, ""),
        (None, SERVES, None, ""),
        (None, ended("runner_lost"), None, ""),
        (None, ended("exited", 0), Status.ENDED, "exited"),
        # It waits, or was put back.
        (PENDING, NOTHING, Status.QUEUED, "priority"),
        (PENDING, SERVES, Status.ENDED, "requeued"),
        # It runs: time counts from the app's start, not from the job's.
        (RUNNING, NOTHING, Status.QUEUED, "starts"),
        (RUNNING, BEGUN, Status.QUEUED, "starts"),
        (RUNNING, STARTED, Status.STARTING, ""),
        (RUNNING, SERVES, Status.ALIVE, ""),
        (ENDING, SERVES, Status.ALIVE, ""),
        # Its runner has ended, and the scheduler does not say why yet.
        (RUNNING, ended("stopped"), Status.ALIVE, ""),
        (RUNNING, ended("exited", 3), Status.ALIVE, ""),
        (ENDING, ended("exited", 3), Status.ALIVE, ""),
        (RUNNING, ended("exited", 3, ago=11), Status.ENDED, "exited"),
        (ENDING, ended("stopped", ago=LAST_WORD + 1), Status.ENDED, "stopped"),
        (RUNNING, ended("stopped", asked=True), Status.ENDED, "stopped"),
        (RUNNING, ended("runner_lost"), None, ""),
        # It is over.
        (DONE, ended("exited", 3), Status.ENDED, "exited"),
        (FAILED, ended("exited", 3), Status.ENDED, "exited"),
        (FAILED, NOTHING, Status.ENDED, "failed"),
        (CANCELLED, ended("stopped", 0), Status.ENDED, "cancelled"),
        (WALLTIME, ended("stopped", 0), Status.ENDED, "walltime"),
        (PREEMPTED, SERVES, Status.ENDED, "preempted"),
        (GONE, ended("exited", 0), Status.ENDED, "exited"),
        (GONE, SERVES, Status.ENDED, "job_lost"),
        (GONE, ended("runner_lost"), Status.ENDED, "job_lost"),
    ],
)
def test_a_job_and_its_files_are_one_report(
    job: Job | None, status: dict[str, Any], expected: Status | None, reason: str
) -> None:
    report = told(job, status)
    assert (None if report is None else report.status) is expected
    if report is not None:
        assert report.reason == reason
        assert report.again == (reason in ("preempted", "requeued"))


def test_what_a_job_said_before_its_runner_began_is_old() -> None:
    report = told(PENDING, SERVES, fresh=False)
    assert report is not None
    assert report.status is Status.ALIVE


def test_people_are_told_when_it_is_expected_and_when_it_ends() -> None:
    soon = datetime.now(UTC) + timedelta(minutes=5)
    waits = told(job(Phase.PENDING, message="waits: Priority", expected=soon), NOTHING)
    assert waits is not None
    assert "Slurm job 12 waits: Priority; expected start " in waits.message
    assert waits.message.endswith(f"{soon.astimezone():%H:%M}")
    runs = told(job(Phase.RUNNING, ends=NOW + timedelta(hours=1)), SERVES)
    assert runs is not None
    assert runs.ends == NOW + timedelta(minutes=59)


def test_short_jobs_lose_a_tenth_of_their_time_at_the_most() -> None:
    assert margin_of(36000, 60) == 60
    assert margin_of(60, 60) == 6


def test_squeue_is_read_as_it_prints() -> None:
    lines = (
        "1|PENDING|AssocGrpCpuLimit|1767323045|N/A|n/a||js-1\n"
        "2|RUNNING|None|1767323045|1767326645|n7|n[7-8]|a|b\n"
        "3|COMPLETING|TimeLimit|2026-01-02T03:04:05|N/A||n7|x\n"
        "4|TIMEOUT|TimeLimit|N/A|N/A|n7|n7|\n"
        "5|BRAND_NEW|None|N/A|N/A|||x\n"
        "slurm: a warning\n"
    )
    told = list(read_queue(lines.encode()))
    assert [name for name, _ in told] == ["js-1", "a|b", "x", ""]
    found = {job.id: job for _, job in told}
    assert list(found) == ["1", "2", "3", "4"], "a state that nobody knows is not known"
    assert found["1"].reason == "assoc_grp_cpu_limit"
    assert found["1"].expected == NOW
    assert (found["2"].host, found["2"].ends) == ("n7", NOW + timedelta(hours=1))
    assert (found["3"].phase, found["3"].reason) == (Phase.ENDING, "walltime")
    assert (found["4"].phase, found["4"].reason) == (Phase.ENDED, "walltime")


def test_what_is_asked_of_slurm_are_arguments() -> None:
    values = {"partition": "gpu", "cpus": 4, "memory": 0.5, "gpus": 2, "gpu_type": "a100"}
    assert arguments({**values, "account": None, "seconds": 5400.5}) == [
        "--nodes=1",
        "--ntasks=1",
        "--partition=gpu",
        "--cpus-per-task=4",
        "--mem=512M",
        "--gres=gpu:a100:2",
        "--time=01:30:01",
    ]
    assert clock(90061) == "25:01:01"


def test_partitions_bound_what_may_be_asked() -> None:
    told = (
        "short*|up|30:00|64+|256000+|(null)|a\n"
        "gpu|up|1-12:00:00|32|128000|gpu:a100:4(S:0-1),gpu:h100:8|b\n"
        "off|down|infinite|8|1000|(null)|c\n"
    )
    choices = choices_of(read_partitions(told), Accounting())
    assert choices.schemas["partition"] == {"enum": ["short", "gpu"], "default": "short"}
    assert choices.schemas["gpu_type"] == {"enum": ["a100", "h100"]}
    spawner = SlurmSpawner(name="hpc", host=LocalHost())
    spawner._offered.choices = choices
    options = OptionSchema(spawner.options_schema())
    assert options.check({}, "resources")["hours"] == 0.5, "no default is over a limit"
    assert options.check({"partition": "gpu"}, "resources")["hours"] == 4
    with pytest.raises(InvalidRequest) as refused:
        options.check({"partition": "short", "hours": 1, "gpus": 1}, "resources")
    assert [e.field for e in refused.value.errors] == ["resources.gpus", "resources.hours"]


def test_directives_are_the_administrators() -> None:
    spawner = SlurmSpawner(name="hpc", host=LocalHost())
    spawner.fixed = {"account": "x"}
    spawner.directives = {
        "gpus": False,
        "hours": {"maximum": 2, "default": 1},
        "licenses": {"type": "string", "argument": "--licenses={}"},
        "quiet": {"type": "boolean", "argument": ["--quiet"]},
    }
    options = OptionSchema(spawner.options_schema())
    assert not {"account", "gpus"} & options.properties.keys()
    values = options.check({"licenses": "a:1", "quiet": True}, "resources")
    assert values["hours"] == 1
    assert spawner.arguments_of_own(values) == ["--licenses=a:1", "--quiet"]
    for wrong in ("-x", "a\nb", "a\n", " a"):
        with pytest.raises(InvalidRequest):
            options.check({"licenses": wrong}, "resources")
    with pytest.raises(TraitError, match="say what it"):
        spawner.directives = {"made_up": {"type": "string"}}


def test_a_job_takes_as_long_as_the_smaller_limit_says() -> None:
    spawner = SlurmSpawner(name="hpc", host=LocalHost())
    assert spawner._seconds({"hours": 2}, None) == 7200
    assert spawner._seconds({"hours": 2}, 3600) == 3660, "the session gets its whole hour"
    assert spawner._seconds({"hours": 1}, 7200) == 3600
    assert spawner._seconds({}, None) is None


def test_a_script_is_a_template_and_values_stay_values() -> None:
    command = ["python3", "/home/a b/runner.pyz", "supervise", "/home/a b/1"]
    names = {"name": "js-1", "directory": "/home/a b/1"}
    plain = script.fill(script.TEMPLATE, command, {}, names, "module load python").decode()
    assert plain.splitlines() == [
        "#!/bin/sh",
        "module load python",
        "exec python3 '/home/a b/runner.pyz' supervise '/home/a b/1'",
    ]
    own = "#!/bin/bash\n#SBATCH -p {partition} {gpus}\nf() {{ echo ${HOME}; }}\n{command}\n"
    filled = script.fill(own, ["run"], {"partition": "a", "gpus": None}, names).decode()
    assert filled == "#!/bin/bash\n#SBATCH -p a \nf() { echo ${HOME}; }\nrun\n"
    for value in ("a\n#SBATCH -A x", "$(id)", "a b", "`id`", "a\n", "-A"):
        with pytest.raises(SpawnerError, match="partition"):
            script.fill(own, ["run"], {"partition": value, "gpus": 1}, names)
    with pytest.raises(SpawnerError, match=r"no field \{queue\}"):
        script.fill("{command} {queue}", ["run"], {}, names)
    with pytest.raises(SpawnerError, match="has to have"):
        script.fill("run", ["run"], {}, names)


def test_a_refusal_is_the_schedulers_own_sentence() -> None:
    said = b"sbatch: error: QOSMaxSubmit\nsbatch: error: Batch job submission failed: No.\n"
    error = refusal("Slurm", "sbatch", said)
    assert error.message == "Slurm refused the job: QOSMaxSubmit Batch job submission failed: No."


def test_ages_are_for_people() -> None:
    assert [said(a) for a in (3, 200, 7300)] == [
        "",
        "As of 3 min ago.",
        "As of 2 h ago.",
    ]


async def test_choices_that_are_old_are_not_shown_if_there_are_fresh_ones_soon() -> None:
    answers: list[Choices] = []

    async def ask() -> Choices:
        answers.append(Choices({"partition": {"enum": [str(len(answers))]}}))
        return answers[-1]

    offered = Offered(ask, lambda: 0, logging.getLogger())
    for number in (1, 2):
        await offered.look()
        assert len(answers) == number
        assert offered.choices is answers[-1]


async def test_a_scheduler_that_is_slow_holds_up_no_form_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(choices, "FRESHER", 0.01)
    slow = asyncio.Event()
    first = Choices({"partition": {"enum": ["old"]}})

    async def ask() -> Choices:
        if offered.choices is not first:
            return first
        await slow.wait()
        return Choices()

    offered = Offered(ask, lambda: 0, logging.getLogger())
    await offered.look()
    await offered.look()
    assert offered.choices is first
    slow.set()
    await offered.look()
    assert offered.choices is not first

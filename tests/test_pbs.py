"""What qstat tells of jobs of OpenPBS and Torque: `spawners/qstat.py`, and arguments of qsub.

The texts have the form that the sources of their qstat give them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from jupyter_sessions.errors import InvalidRequest, SpawnerError, Unreachable
from jupyter_sessions.hosts.base import Completed
from jupyter_sessions.hosts.local import LocalHost
from jupyter_sessions.options import OptionSchema
from jupyter_sessions.session import Status
from jupyter_sessions.spawners.jobs import Job, Phase, report_of
from jupyter_sessions.spawners.pbs import PbsSpawner
from jupyter_sessions.spawners.qstat import read_job, read_jobs

OPENPBS = """\
Job Id: 7.pbs.example.org
    Job_Name = abcdefghjkmn-1
    Job_Owner = ada@login.example.org
    resources_used.cput = 00:00:01
    resources_used.walltime = 00:01:40
    job_state = R
    queue = workq
    ctime = Sat Nov 21 16:49:58 2026
    exec_host = n1/0*2+n2/0*2
    exec_vnode = (n1:ncpus=2:mem=1048576kb)+(n2:ncpus=2)
    Output_Path = login.example.org:/home/ada/.local/share/jupyter/jupyter_sess
\tions/sessions/abcdefghjkmn/1/job.log
    Resource_List.ncpus = 2
    Resource_List.select = 1:ncpus=2:mem=1024mb
    Resource_List.walltime = 01:00:00
    stime = Sat Nov 21 16:50:00 2026
    Variable_List = PBS_O_HOME=/home/ada,QUOTED="it's \\ odd",HEX=0x10,
\tNAN=nan,BASH_FUNC_module%%=() {  eval `x`;
    job_state = F
    job id
},PBS_O_HOST=login
    comment = Job run at Sat Nov 21 at 16:50 on (n1:ncpus=2:mem=1048576kb)+(n2:
\tncpus=2)
    run_count = 1

Job Id: 8[].pbs.example.org
    Job_Name = other
    job_state = B
    comment = Job Array Began at Sat Nov 21 at 16:50

"""
TORQUE = """\
Job Id: 12.torque
    Job_Name = abcdefghjkmn-1
    Job_Owner = ada@login
    resources_used.cput = 00:00:00
    resources_used.walltime = 00:01:40
    job_state = R
    queue = batch
    exec_host = n1/0-1
    mtime = Sat Nov 21 16:50:00 2026
    Resource_List.nodes = 1:ppn=2
    Resource_List.walltime = 01:00:00
    Variable_List = PBS_O_QUEUE=batch,PBS_O_HOME=/root,
\tPBS_O_WORKDIR=/root
    start_time = Sat Nov 21 16:50:00 2026
    Walltime.Remaining = 3500

"""
WRAPPERS = """\
Job Id:\t3
\tJob_Name = abcdefghjkmn-1
\tjob_state = C
\tqueue = debug
\texec_host = n1/1

"""
BEGUN = datetime(2026, 11, 21, 16, 50, tzinfo=UTC)


def test_folded_lines_are_one_value_and_values_are_no_lines_of_their_own() -> None:
    jobs = read_jobs(OPENPBS)
    assert jobs.keys() == {"7.pbs.example.org", "8[].pbs.example.org"}
    facts = jobs["7.pbs.example.org"]
    assert facts["Output_Path"].endswith("jupyter_sessions/sessions/abcdefghjkmn/1/job.log")
    assert facts["comment"].endswith("+(n2:ncpus=2)")
    assert facts["job_state"] == "R"


def test_times_are_utc_wherever_we_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its host may be in another zone than this server."""
    monkeypatch.setenv("TZ", "America/Los_Angeles")
    for output, dialect in ((OPENPBS, "openpbs"), (TORQUE, "torque")):
        job_id, facts = next(iter(read_jobs(output).items()))
        job = read_job(job_id, facts, dialect)
        assert job is not None
        assert (job.phase, job.host, job.started) == (Phase.RUNNING, "n1", BEGUN)
        assert job.ends is not None
        assert (job.ends - BEGUN).total_seconds() == 3600


def test_slurms_own_qstat_begins_lines_with_a_tab() -> None:
    ((job_id, facts),) = read_jobs(WRAPPERS).items()
    job = read_job(job_id, facts, "torque")
    assert job is not None
    assert (job_id, job.phase, job.reason, job.host) == ("3", Phase.ENDED, "completed", "n1")


ENDS = [
    # OpenPBS: job.h has what the negative ones are.
    ("openpbs", "F", {"Exit_status": "0"}, "completed", False),
    ("openpbs", "F", {"Exit_status": "3"}, "failed", False),
    ("openpbs", "F", {"Exit_status": "271"}, "cancelled", False),
    ("openpbs", "F", {"Exit_status": "265"}, "cancelled", False),
    ("openpbs", "F", {"Exit_status": "-29"}, "walltime", False),
    ("openpbs", "F", {"Exit_status": "-28"}, "over_limit", False),
    ("openpbs", "F", {"Exit_status": "-27"}, "out_of_memory", False),
    ("openpbs", "F", {"Exit_status": "-26"}, "out_of_memory", False),
    ("openpbs", "F", {"Exit_status": "-25"}, "over_limit", False),
    ("openpbs", "F", {"Exit_status": "-24"}, "over_limit", False),
    ("openpbs", "F", {"Exit_status": "-4"}, "node_failed", True),
    ("openpbs", "F", {"Exit_status": "-11"}, "node_failed", True),
    ("openpbs", "F", {"Exit_status": "-20"}, "node_failed", True),
    ("openpbs", "F", {"Exit_status": "-10"}, "failed", False),  # no such user on the node
    ("openpbs", "F", {"Exit_status": "-1"}, "failed", False),
    ("openpbs", "F", {"Exit_status": "-99"}, "failed", False),
    ("openpbs", "F", {}, "cancelled", False),
    ("openpbs", "M", {}, "moved", False),
    ("openpbs", "X", {"Exit_status": "0"}, "completed", False),
    # Torque counts otherwise.
    ("torque", "C", {"exit_status": "0"}, "completed", False),
    ("torque", "C", {"exit_status": "-10"}, "out_of_memory", False),
    ("torque", "C", {"exit_status": "-11"}, "walltime", False),
    ("torque", "C", {"exit_status": "-12"}, "over_limit", False),
    ("torque", "C", {"exit_status": "-4"}, "node_failed", True),
    ("torque", "C", {"exit_status": "271"}, "cancelled", False),
    ("torque", "C", {"exit_status": "-2"}, "failed", False),
]


@pytest.mark.parametrize(("dialect", "state", "facts", "reason", "again"), ENDS)
def test_each_end_has_its_reason(
    dialect: str, state: str, facts: Mapping[str, str], reason: str, again: bool
) -> None:
    job = read_job("1", {"job_state": state, **facts}, dialect)
    assert job is not None
    assert (job.phase, job.reason, job.again) == (Phase.ENDED, reason, again)


@pytest.mark.parametrize("code", ["271", "265"])
def test_killed_once_its_time_was_up_is_its_time(code: str) -> None:
    """Older ones say no more than that it was killed."""
    facts = {"job_state": "C", "exit_status": code, "Resource_List.walltime": "00:01:00"}
    late = read_job("1", {**facts, "resources_used.walltime": "00:01:00"}, "torque")
    early = read_job("1", {**facts, "resources_used.walltime": "00:00:59"}, "torque")
    assert late is not None
    assert early is not None
    assert (late.reason, early.reason) == ("walltime", "cancelled")


def test_what_waits_says_why() -> None:
    def told(state: str, **facts: str) -> Job:
        job = read_job("1", {"job_state": state, **facts}, "openpbs")
        assert job is not None
        return job

    waits = told("Q", comment="Not Running: Insufficient amount of resource: ncpus")
    assert (waits.phase, waits.reason) == (Phase.PENDING, "queued")
    assert waits.message == "waits: Insufficient amount of resource: ncpus"
    expected = told("Q", **{"estimated.start_time": "Sat Nov 21 16:50:00 2026"}).expected
    assert expected == BEGUN
    assert told("Q", **{"estimated.start_time": "UNKNOWN"}).expected is None
    assert (told("H").reason, told("H").phase) == ("held", Phase.PENDING)
    assert told("W").phase is told("T").phase is Phase.PENDING
    assert told("S").message == "is suspended"
    assert told("U").phase is told("B").phase is Phase.RUNNING
    assert told("E").phase is Phase.ENDING
    assert read_job("1", {"job_state": "Z"}, "openpbs") is None


def test_what_no_node_can_start_waits_for_nothing() -> None:
    facts = {"job_state": "H", "Hold_Types": "s", "run_count": "21", "Exit_status": "-3"}
    comment = {"comment": "job held, too many failed attempts to run"}
    job = read_job("9", {**facts, **comment}, "openpbs")
    assert job is not None
    assert job.phase is Phase.STUCK
    report = report_of("PBS job 9", job, {}, datetime.now(UTC), 60)
    assert report is not None
    assert (report.status, report.reason) == (Status.ENDED, "stuck")
    assert "too many failed attempts to run" in report.message


def test_a_stopped_session_is_over_once_pbs_has_brought_its_output() -> None:
    """Before that its files could be removed, and PBS would write to its user about it."""
    now = datetime.now(UTC)

    def told(phase: Phase, brings: bool = True, ago: float = 1) -> Status:
        end = {"reason": "stopped", "exit_code": 0, "ended": now.timestamp() - ago}
        status = {"status": "ended", "ran": True, "asked": True, "exit": end}
        job = Job(id="1", phase=phase, reason="completed" if phase is Phase.ENDED else "")
        report = report_of("PBS job 1", job, status, now, 60, brings_output=brings)
        assert report is not None
        return report.status

    assert told(Phase.RUNNING) is told(Phase.ENDING) is Status.ALIVE
    assert told(Phase.ENDED) is told(Phase.GONE) is Status.ENDED
    assert told(Phase.RUNNING, brings=False) is Status.ENDED
    assert told(Phase.ENDING, ago=60) is Status.ENDED, "not for ever"


# What is asked --------------------------------------------------------------------------------


class Answers(LocalHost):
    """A host whose commands say what they are told to; what is asked, is kept."""

    def __init__(self, *answers: tuple[int, str, str]) -> None:
        super().__init__()
        self.answers, self.asked = list(answers), list[list[str]]()
        self.env: Mapping[str, str | None] = {}

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout: float = 30,
        env: Mapping[str, str | None] | None = None,
    ) -> Completed:
        self.asked.append(list(argv))
        self.env = env or {}
        code, out, err = self.answers.pop(0)
        return Completed(code, out.encode(), err.encode())


def a_spawner(host: LocalHost, **traits: Any) -> PbsSpawner:
    return PbsSpawner(name="pbs", host=host, **traits)


FINISHED = (
    "qstat: 1.pbs Job has finished, use -x or -H to obtain historical job information\n"
    "qstat: Unknown Job Id 3.pbs\n"
)


async def test_one_question_and_a_second_for_those_that_have_finished() -> None:
    running = "Job Id: 2.pbs\n    job_state = R\n\n"
    over = "Job Id: 1.pbs\n    job_state = F\n    Exit_status = 271\n\n"
    host = Answers((153, running, FINISHED), (0, over, ""))
    jobs = await a_spawner(host).query(["1.pbs", "2.pbs", "3.pbs"])
    assert {i: job.phase for i, job in jobs.items()} == {
        "1.pbs": Phase.ENDED,
        "2.pbs": Phase.RUNNING,
        "3.pbs": Phase.GONE,
    }
    assert host.asked == [
        ["qstat", "-f", "1.pbs", "2.pbs", "3.pbs"],
        ["qstat", "-f", "-x", "1.pbs"],
    ]
    assert host.env["TZ"] == "UTC"


async def test_torques_word_for_a_job_that_it_does_not_know() -> None:
    host = Answers((153, "", "qstat: Unknown Job Id Error 1.torque.example.org\n"))
    jobs = await a_spawner(host, dialect="torque").query(["1.torque"])
    assert jobs["1.torque"].phase is Phase.GONE


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (255, "Connection refused\nqstat: cannot connect to server pbs (errno=111)"),
        (255, "Unknown Host.\nqstat: cannot connect to server pbs (errno=15010)"),
        (153, "qstat: cannot connect to server pbs (errno=15033) Batch protocol error"),
        (151, ""),
    ],
)
async def test_a_server_that_does_not_answer_says_nothing_of_jobs(code: int, said: str) -> None:
    with pytest.raises(Unreachable, match="PBS does not answer"):
        await a_spawner(Answers((code, "", said))).query(["1.pbs"])


async def test_one_job_that_cannot_be_asked_about_hides_no_other() -> None:
    """It was moved to a server that is down, say."""
    told = "Job Id: 1.pbs\n    job_state = R\n\n"
    said = "Connection refused\nqstat: cannot connect to server other (errno=111)"
    jobs = await a_spawner(Answers((255, told, said))).query(["1.pbs", "2.other"])
    assert jobs.keys() == {"1.pbs"}


async def test_a_job_is_found_without_history() -> None:
    """There ``qselect -x`` ends with 0."""
    none = (0, "", "qselect: job_history_enable is set to false\n")
    host = Answers((0, "5.pbs\n", ""), (0, "Job Id: 5.pbs\n    job_state = Q\n\n", ""))
    assert await a_spawner(host).named("abc-1") == ["5.pbs"]
    assert await a_spawner(Answers((0, "", ""), none)).named("abc-1") == []
    with pytest.raises(Unreachable):
        await a_spawner(Answers((111, "", "Connection refused"))).named("abc-1")
    with pytest.raises(Unreachable):
        await a_spawner(Answers((0, "", ""), (111, "", "Connection refused"))).named("abc-1")


@pytest.mark.parametrize(
    ("code", "said", "problem"),
    [
        (0, "", None),
        (35, "qdel: Job has finished 1.pbs", None),
        (153, "qdel: Unknown Job Id 1.pbs", None),
        (153, "qdel: Unknown Job Id Error 1.torque", None),
        (170, "qdel: Request invalid for state of job 1.pbs", None),
        (170, "qdel: Request invalid for state of job MSG=state is COMPLETE 1.torque", None),
        (111, "Connection refused\nCouldn't connect to cluster: pbs", Unreachable),
        (15, "qdel: Server could not connect to MOM 1.torque", Unreachable),
        (159, "qdel: Unauthorized Request  2.pbs\nqdel: Unknown Job Id 1.pbs", SpawnerError),
    ],
)
async def test_what_is_over_is_cancelled(code: int, said: str, problem: type | None) -> None:
    spawner = a_spawner(Answers((code, "", said)))
    if problem is None:
        await spawner.cancel(["1.pbs"])
        return
    with pytest.raises(SpawnerError) as raised:
        await spawner.cancel(["1.pbs", "2.pbs"])
    assert type(raised.value) is problem


async def test_resources_are_one_argument() -> None:
    """Some qsub take the last -l for the only one."""
    values = {"cpus": 2, "memory": 1, "gpus": 1, "seconds": 3600, "queue": "q", "account": "a"}
    spawner = a_spawner(LocalHost())
    names = ["-q", "q", "-A", "a", "-l"]
    assert spawner.arguments(values) == [
        *names,
        "select=1:ncpus=2:mem=1024mb:ngpus=1,walltime=01:00:00",
    ]
    spawner.dialect = "torque"
    assert spawner.arguments(values) == [
        *names,
        "nodes=1:ppn=2:gpus=1,mem=1024mb,walltime=01:00:00",
    ]
    assert spawner.arguments({}) == ["-l", "nodes=1:ppn=1"]


OWN = {
    "model": {"type": "string", "argument": ["-l", "model={}"]},
    "project": {"type": "string", "argument": ["-P", "{}"], "pattern": "^[a-z,]+$"},
    "kind": {"type": "string", "enum": ["a:b", "c"], "argument": "-lkind={}"},
    "host": {"type": "string", "argument": []},
}


@pytest.mark.parametrize("field", ["queue", "account", "model", "host"])
@pytest.mark.parametrize(
    "value",
    [
        "$(touch x)",
        "a\n#PBS -A x",
        "-A",
        "a,walltime=99:00:00",
        "a:ncpus=64",
        "a+1:ncpus=64",
        "q\n",
    ],
)
def test_no_option_is_more_than_its_value(field: str, value: str) -> None:
    spawner = a_spawner(
        LocalHost(),
        directives=OWN,
        script_template="#!/bin/sh\n#PBS -l host={host}\nexec {command}\n",
    )
    schema = OptionSchema(spawner.options_schema())
    if field in ("queue", "account") and value == "a+1:ncpus=64":
        value = "a:+"
    if field == "model" and value == "$(touch x)":
        return  # an argument of its own, whatever it looks like
    with pytest.raises(InvalidRequest) as refused:
        schema.check({field: value}, "resources")
    assert [error.field for error in refused.value.errors] == [f"resources.{field}"]


def test_what_an_administrator_allows_is_allowed() -> None:
    spawner = a_spawner(LocalHost(), directives=OWN)
    schema = OptionSchema(spawner.options_schema())
    schema.check({"project": "a,b", "kind": "a:b", "model": "fast one"}, "resources")


async def test_queues_are_those_that_take_jobs() -> None:
    told = """\
Queue: workq
    queue_type = Execution
    from_route_only = True
    enabled = True
    started = True

Queue: submit
    queue_type = Route
    enabled = True
    started = True

Queue: closed
    queue_type = Execution
    enabled = False

Queue: gpu
    queue_type = Execution
    enabled = True
    started = False

"""
    choices = await a_spawner(Answers((0, told, ""))).ask_choices()
    assert choices.schemas["queue"] == {"enum": ["submit", "gpu"]}


async def test_the_job_tells_what_its_output_has_and_the_app_its_own(
    tmp_path: Path,
) -> None:
    """PBS writes into the job's output why it killed it: that is not the app's log."""
    spawner = a_spawner(LocalHost())
    (tmp_path / "log").write_text("app: all is well\n")
    (tmp_path / "job.log").write_text("5.pbs Killed\nCgroup mem limit exceeded: anon 100\n")
    handle = {"directory": str(tmp_path), "job": "5.pbs", "name": "abc-1"}
    job = Job(id="5.pbs", phase=Phase.ENDED, reason="failed", message="failed with exit status 137")
    status = {"statuses": {str(tmp_path): {"status": "absent", "ran": True}}}
    with (
        mock.patch.object(LocalHost, "runner", return_value=status),
        mock.patch.object(PbsSpawner, "query", return_value={"5.pbs": job}),
    ):
        report = (await spawner.poll({"s": handle}))["s"]
    assert report.reason == "out_of_memory"
    log = b"".join([chunk async for chunk in spawner.logs(handle, lines=10, follow=False)])
    assert log == b"app: all is well\n"


async def test_what_a_job_wrote_while_it_was_asked_about_counts(tmp_path: Path) -> None:
    """Its files were looked at first, and it ended before the scheduler was asked."""
    spawner = a_spawner(LocalHost())
    path = str(tmp_path)
    end = {"reason": "exited", "exit_code": 3, "message": "Exited with 3.", "ended": 1.0}
    before = {"statuses": {path: {"status": "unknown", "ran": True}}}
    after = {"statuses": {path: {"status": "unknown", "ran": True, "exit": end}}}
    over = Job(id="5.pbs", phase=Phase.ENDED, reason="completed", message="has ended")
    with (
        mock.patch.object(LocalHost, "runner", side_effect=[before, after]),
        mock.patch.object(PbsSpawner, "query", return_value={"5.pbs": over}),
    ):
        handle = {"directory": path, "job": "5.pbs", "name": "abc-1"}
        report = (await spawner.poll({"s": handle}))["s"]
    assert (report.reason, report.exit_code) == ("exited", 3)

"""What Slurm's commands print, as it is understood; and a scheduler that does not answer."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from jupyter_sessions.errors import InvalidRequest, SpawnerError, Unreachable
from jupyter_sessions.hosts.base import Completed
from jupyter_sessions.hosts.local import LocalHost
from jupyter_sessions.options import OptionSchema
from jupyter_sessions.spawners.jobs import Phase
from jupyter_sessions.spawners.shared import Shared
from jupyter_sessions.spawners.silence import LONGEST, Silence
from jupyter_sessions.spawners.slurm import ACCOUNTING_PATIENCE, SUBMITTED, SlurmSpawner
from jupyter_sessions.spawners.slurm_choices import (
    Accounting,
    Association,
    choices_of,
    read_associations,
    read_partitions,
    read_qos,
)
from jupyter_sessions.spawners.slurm_jobs import ended_job, read_accounting, sentence_of

PARTITIONS = "debug*|up|4:00:00|8|4000|(null)|a\ngpu|up|2:00:00|8|4000|gpu:a100:2|b\n"
ASSOCIATIONS = "physics||high,normal|\nteaching|gpu|low,normal|00:30:00\nA banner|of the site\n"
QOS = "normal|\nhigh|\nlow|00:10:00\n"


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("Priority", "Priority"),
        ("AssocGrpCpuLimit", "its account may use no more processors now"),
        ("AssocGrpGRES", "its account may use no more GPUs or the like now"),
        ("AssocGrpCPUMinutesLimit", "its account may use no more processor time now"),
        ("AssocMaxJobsLimit", "its account gives you no more jobs now"),
        ("QOSMaxCpuPerUserLimit", "its QoS gives you no more processors now"),
        (
            "QOSMaxMemoryPerJob",
            "it asks for more memory than its QoS allows for one job, and does not start so",
        ),
        (
            "AssocMaxWallDurationPerJobLimit",
            "it asks for more time than its account allows for one job, and does not start so",
        ),
        ("BadConstraints", "no node has what it asks for"),
    ],
)
def test_a_limit_that_a_job_waits_for_is_a_sentence(reason: str, sentence: str) -> None:
    assert sentence_of(reason) == (sentence if reason == sentence else f"{sentence} ({reason})")


def test_accounting_tells_how_a_job_ended_and_who_cancelled_it() -> None:
    told = "1|COMPLETED\n2|CANCELLED by 1001\n3|RUNNING\n4|OUT_OF_MEMORY\n5|CANCELLED\nnotice\n"
    assert read_accounting(told) == {
        "1": ("COMPLETED", None),
        "2": ("CANCELLED", 1001),
        "3": ("RUNNING", None),
        "4": ("OUT_OF_MEMORY", None),
        "5": ("CANCELLED", None),
    }
    assert ended_job("2", "CANCELLED", "ops").message == "was cancelled by ops"


def test_the_choices_of_an_account_are_its_own() -> None:
    accounting = Accounting(read_associations(ASSOCIATIONS), read_qos(QOS), "physics")
    assert accounting.associations[1] == Association("teaching", "gpu", ("low", "normal"), 0.5)
    spawner = SlurmSpawner(name="hpc", host=LocalHost())
    spawner._offered.choices = choices_of(read_partitions(PARTITIONS), accounting)
    options = OptionSchema(spawner.options_schema())
    assert options.check({}, "resources")["hours"] == 4
    teaching = options.check({"account": "teaching"}, "resources")
    assert (teaching["partition"], teaching["hours"]) == ("gpu", 0.5)
    # The time of a QoS comes before that of an account, whichever is longer.
    assert options.check({"qos": "low"}, "resources")["hours"] == pytest.approx(1 / 6)
    for wrong in ({"partition": "debug"}, {"qos": "high"}, {"hours": 1}):
        with pytest.raises(InvalidRequest) as refused:
            options.check({"account": "teaching", **wrong}, "resources")
        assert [e.field for e in refused.value.errors] == [f"resources.{next(iter(wrong))}"]


def test_without_a_limit_of_its_own_an_account_bounds_nothing() -> None:
    free = Association("a", "", ("normal", "long"), 1)
    assert Accounting([free], {"normal": None, "long": 9}).hours([free]) == 9
    assert Accounting([free], {"normal": 0.5}).hours([free], "normal") == 0.5
    assert Accounting([Association("a", "", (), None)]).hours([free]) == 1
    assert Accounting([free, Association("a", "gpu", (), None)]).hours([]) is None


@pytest.mark.parametrize(
    ("said", "ids"),
    [
        (b"12\n", [b"12"]),
        (b"12;cluster\n", [b"12"]),
        (b"Submitted batch job 12\n", [b"12"]),
        (b"You have 7 hours\n12\nThanks\n", [b"12"]),
        (b"7\n12\n", [b"7", b"12"]),
        (b"", []),
    ],
)
def test_the_id_of_a_job_is_found_in_what_sbatch_says(said: bytes, ids: list[bytes]) -> None:
    assert SUBMITTED.findall(said) == ids


async def test_variables_can_be_taken_out_of_a_commands_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("SQUEUE_FORMAT", "SQUEUE_SORT", "SQUEUES"):
        monkeypatch.setenv(name, "x")
    done = await LocalHost().run(["env"], env={"SQUEUE_*": None, "OWN": "y"})
    names = {line.partition(b"=")[0] for line in done.stdout.splitlines()}
    assert {b"SQUEUES", b"OWN", b"PATH"} <= names
    assert not {b"SQUEUE_FORMAT", b"SQUEUE_SORT"} & names


async def test_a_silent_scheduler_is_asked_by_one_at_a_time_and_ever_more_rarely() -> None:
    now, asked, dead = 1000.0, 0, True

    async def question(answer: int) -> int:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        if dead:
            raise Unreachable("Slurm does not answer.")
        return answer

    spared = Silence(lambda: now)

    async def all_ask() -> list[int | BaseException]:
        return await asyncio.gather(
            *(spared.ask(question, n) for n in range(50)), return_exceptions=True
        )

    answers = await all_ask()
    assert asked == 50, "nobody knew"
    assert {str(a) for a in answers} == {"Slurm does not answer."}
    times = []
    for _ in range(300):
        now += 1
        before = asked
        assert all(isinstance(a, Unreachable) for a in await all_ask())
        assert asked - before <= 1
        if asked > before:
            times.append(now - 1000)
    assert times[:5] == [1, 3, 7, 15, 31], "each pause is twice as long as the one before"
    assert [later - earlier for earlier, later in pairwise(times[5:])] == [LONGEST] * 12
    dead = False
    now += LONGEST
    answers = await all_ask()
    assert answers.count(0) == 1, "one finds out for all"
    assert await all_ask() == list(range(50))


async def test_a_refusal_is_an_answer() -> None:
    async def refuses() -> None:
        raise SpawnerError("Invalid account.")

    async def fails() -> None:
        raise Unreachable("Slurm does not answer.")

    now = 0.0
    spared = Silence(lambda: now)
    with pytest.raises(Unreachable):
        await spared.ask(fails)
    now += 2
    for _ in range(2):
        with pytest.raises(SpawnerError, match="Invalid"):
            await spared.ask(refuses)


async def test_a_question_that_is_given_up_leaves_the_way_free() -> None:
    spared = Silence()
    spared._pause = 0.001
    waiting = asyncio.create_task(spared.ask(asyncio.sleep, 60))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    async with asyncio.timeout(5):
        while True:
            try:
                await spared.ask(asyncio.sleep, 0)
                break
            except Unreachable:
                await asyncio.sleep(0.001)


async def test_one_answer_is_for_all_who_asked_before_the_question() -> None:
    put, answered = 0, asyncio.Event()

    async def question() -> int:
        nonlocal put
        put += 1
        mine = put
        await answered.wait()
        return mine

    shared = Shared(question)
    early = [asyncio.create_task(shared.ask()) for _ in range(50)]
    while not put:  # noqa: ASYNC110 - it says when it was put by nothing else
        await asyncio.sleep(0)
    late = [asyncio.create_task(shared.ask()) for _ in range(50)]
    await asyncio.sleep(0)
    answered.set()
    assert await asyncio.gather(*early) == [1] * 50
    assert await asyncio.gather(*late) == [2] * 50, "the first was put before they asked"
    assert await shared.ask() == 3


async def test_what_nobody_waits_for_any_more_is_given_up() -> None:
    given_up = asyncio.Event()

    async def question() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            given_up.set()

    shared = Shared(question)
    asked = [asyncio.create_task(shared.ask()) for _ in range(2)]
    await asyncio.sleep(0.01)
    asked[0].cancel()
    await asyncio.sleep(0.01)
    assert not given_up.is_set(), "one waits still"
    asked[1].cancel()
    async with asyncio.timeout(5):
        await given_up.wait()
    # The next one is put as if nothing had been.
    again = asyncio.create_task(shared.ask())
    await asyncio.sleep(0.01)
    again.cancel()
    for task in (*asked, again):
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_what_a_question_raises_goes_to_all() -> None:
    async def fails() -> None:
        raise Unreachable("Slurm does not answer.")

    shared = Shared(fails)
    told = await asyncio.gather(*(shared.ask() for _ in range(3)), return_exceptions=True)
    assert [str(t) for t in told] == ["Slurm does not answer."] * 3


@pytest.mark.parametrize(
    ("sacct", "lost"),
    [
        # One that was away answers before slurmctld has told it of the jobs of that time.
        (Completed(0, b"", b""), False),
        (Completed(0, b"7|RUNNING\n", b""), False),
        (Completed(1, b"", b"sacct: error: Sending PersistInit msg: Connection refused"), False),
        (Completed(1, b"", b"Slurm accounting storage is disabled"), True),
    ],
)
async def test_a_job_that_is_not_seen_is_only_lost_where_nobody_else_could_know(
    sacct: Completed, lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawner = SlurmSpawner(name="hpc", host=LocalHost())
    said = {
        "squeue": Completed(0, b"", b""),
        "sacct": sacct,
        "scontrol": Completed(1, b"", b"slurm_load_jobs error: Invalid job id specified"),
    }

    async def run(argv: list[str], **_: object) -> Completed:
        return said[argv[0]]

    monkeypatch.setattr(spawner, "run", run)
    assert [job.phase for job in (await spawner.query(["7"])).values()] == [Phase.GONE] * lost
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + ACCOUNTING_PATIENCE + 1)
    assert [job.phase for job in (await spawner.query(["7"])).values()] == [Phase.GONE]

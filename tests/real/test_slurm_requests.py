"""What people ask of a real Slurm: what it offers, what it refuses, and that values stay values."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_sessions.errors import InvalidRequest
from jupyter_sessions.session import State

from ..managers import running
from .batch import Counted, answer, begin, forms_of, until_ended, until_running
from .slurm import Slurm
from .slurm_sessions import QUICK, SMALL, jobs

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("configured")]


async def test_what_slurm_refuses_is_said_in_its_words(slurm: Slurm, root: Path) -> None:
    wrong = {
        "nowhere": {**QUICK, "extra": ["--partition=none"]},
        "no python": {**QUICK, "python": "/no/python"},
        "set aside": {**QUICK, "fixed": {"reservation": "nobodys"}},
    }
    async with running(root, spawners=wrong) as manager:
        made = {name: await begin(manager, name, resources={}) for name in wrong}
        ended = {name: await until_ended(manager, session) for name, session in made.items()}
        for session in ended.values():
            assert session.state is State.FAILED
        told = {name: session.attempt.message for name, session in ended.items()}
        assert "invalid partition specified" in told["nowhere"]
        assert "reservation" in told["set aside"].lower()
        assert "failed before it could start the app" in told["no python"]
        log = b"".join([chunk async for chunk in manager.logs(made["no python"].id)])
        assert b"/no/python" in log


async def test_no_option_is_more_than_its_value(slurm: Slurm, root: Path, counted: Counted) -> None:
    """Neither a shell, nor a script, nor Slurm reads anything in what people type."""
    bad = [
        "$(touch x)",
        "a\n#SBATCH --wrap=id",
        "-A x",
        "a b;id",
        "`id`",
        "--wrap=id",
        "a\r",
        "debug\n",
    ]
    traits = {
        **QUICK,
        "directives": {
            "comment": {"type": "string", "argument": "--comment={}"},
            "feature": {"type": "string"} | {"argument": []},
        },
        "script_template": "#!/bin/sh\n# {feature} {partition}\n{prologue}\nexec {command}\n",
    }
    async with running(root, spawners={"hpc": traits}) as manager:
        fields = ["partition", "account", "qos", "constraint", "reservation", "gpu_type", "feature"]
        for field in fields:
            for value in bad:
                with pytest.raises(InvalidRequest) as refused:
                    await begin(manager, "hpc", resources={field: value})
                assert [e.field for e in refused.value.errors] == [f"resources.{field}"]
        for value in ("--wrap=id", "a\n#SBATCH", "a\rb", "a\n"):
            with pytest.raises(InvalidRequest):
                await begin(manager, "hpc", resources={"comment": value})
        odd = {"comment": "$(touch x) `id` #SBATCH -A none ;'\"", "partition": "debug"}
        words = ["$(touch x)", "two\nlines", "#SBATCH --wrap=id"]
        session = await begin(
            manager, "hpc", resources={**SMALL, **odd}, options={"words": words}, name="one"
        )
        session = await until_running(manager, session)
        (job,) = jobs(slurm, session.id)
        told = slurm.run("scontrol", "show", "job", job)
        assert f"Comment={odd['comment']}" in told
        assert list(root.parent.rglob("x")) == []
        pid = (await answer(manager, session))["pid"]
        argv = slurm.on(session.attempt.host, "cat", f"/proc/{pid}/cmdline").split("\0")
        assert argv[-4:-1] == words
        await manager.stop(session.id)
        await until_ended(manager, session)


async def test_the_form_offers_what_slurm_has(slurm: Slurm, root: Path) -> None:
    traits = {
        "all": QUICK,
        "few": {**QUICK, "partitions": ["gpu"], "fixed": {"account": "x"}, "directives": {
            "gpus": {"maximum": 1, "default": 1}, "reservation": False}},
    }  # fmt: skip
    async with running(root, spawners=traits) as manager:
        forms = await forms_of(manager)
        assert forms["all"]["available"], forms["all"]["unavailable_reason"]
        everything = forms["all"]["options"]["properties"]
        assert everything["partition"]["enum"] == ["debug", "urgent", "gpu"]
        assert everything["partition"]["default"] == "debug"
        assert everything["partition"]["x-choices-age"] >= 0
        assert everything["gpu_type"]["enum"] == ["a100"]
        assert (everything["cpus"]["maximum"], everything["gpus"]["maximum"]) == (8, 2)
        few = forms["few"]["options"]["properties"]
        assert few["partition"]["enum"] == ["gpu"]
        assert few["gpus"]["maximum"] == few["gpus"]["default"] == 1
        assert not {"account", "reservation"} & few.keys()
        with pytest.raises(InvalidRequest, match="hours") as refused:
            await begin(manager, "all", resources={"partition": "urgent", "hours": 3})
        assert refused.value.errors[0].field == "resources.hours"

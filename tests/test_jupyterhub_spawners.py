"""Spawner classes of JupyterHub as spawners of sessions: `spawners/jupyterhub.py`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

from jupyter_sessions.errors import SpawnerError
from jupyter_sessions.hosts.local import LocalHost
from jupyter_sessions.session import Status
from jupyter_sessions.spawners import jupyterhub
from jupyter_sessions.spawners.base import Spawner
from jupyter_sessions.spawners.jupyterhub import JupyterHubSpawner
from jupyter_sessions.testing import SpawnerContract

HERE = {"profile": "here"}
OLD = "ignore:Passing unrecognized arguments:DeprecationWarning"
"""What traitlets says of wrapspawner."""


def a_spawner(home: Path, **traits: Any) -> JupyterHubSpawner:
    return JupyterHubSpawner(
        **{
            "name": "hub",
            "host": LocalHost(),
            "spawner_class": "jupyterhub.spawner.SimpleLocalProcessSpawner",
            "spawner_config": {"home_dir_template": str(home)},
            "python": sys.executable,
            "poll_interval": 0.1,
            **traits,
        }
    )


class TestSimpleLocalProcess(SpawnerContract):
    @asynccontextmanager
    async def spawner(self) -> AsyncIterator[Spawner]:
        yield a_spawner(self.store / "home")


class TestThroughAGate(SpawnerContract):
    @asynccontextmanager
    async def spawner(self) -> AsyncIterator[Spawner]:
        yield a_spawner(self.store / "home", reach="direct", node_interface="lo")

    # What the gate does not change is tested above.
    test_what_people_type_reaches_the_app_as_data = None  # type: ignore[assignment]


@pytest.mark.filterwarnings(OLD)
class TestProfiles(SpawnerContract):
    """A class that wraps others: what runs is the child's, chosen by what people ask for."""

    resources = HERE

    @asynccontextmanager
    async def spawner(self) -> AsyncIterator[Spawner]:
        simple = "jupyterhub.spawner.SimpleLocalProcessSpawner"
        traits = {"home_dir_template": str(self.store / "home")}
        profiles = [
            ("There", "there", "batchspawner.TorqueSpawner", {}),
            ("Here", "here", simple, traits),
        ]
        yield a_spawner(
            self.store / "home",
            spawner_class="wrapspawner.ProfilesSpawner",
            spawner_config={"profiles": profiles},
            options={"properties": {"profile": {"enum": ["here"]}}},
        )


async def problem(**traits: Any) -> str:
    return await a_spawner(Path("/tmp"), **traits).available()


async def test_what_is_wrong_with_the_configuration_is_said() -> None:
    assert await problem() == ""
    assert "'nowhere.Nothing' cannot be loaded" in await problem(spawner_class="nowhere.Nothing")
    assert "not a spawner class" in await problem(spawner_class="pathlib.Path")
    assert "has no trait 'x'" in await problem(spawner_config={"x": 1})
    assert "ip" in await problem(spawner_config={"ip": 1})
    assert "cannot be read" in await problem(hub_config="/nowhere.py")
    assert await problem(spawner_class="simple") == "", "as in a hub's configuration"


async def test_without_jupyterhub_people_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jupyterhub", None)
    assert "jupyter_sessions[hub]" in await problem()


async def test_the_sites_own_configuration_counts(tmp_path: Path) -> None:
    (tmp_path / "hub.py").write_text(
        "c.SlurmSpawner.req_partition = 'tested'\nc.SlurmSpawner.req_qos = 'low'\n"
    )
    spawner = a_spawner(
        tmp_path,
        spawner_class="batchspawner.SlurmSpawner",
        hub_config=str(tmp_path / "hub.py"),
        config=Config({"SlurmSpawner": {"req_account": "jupyters"}}),
        spawner_config={"req_qos": "high"},
    )
    one = spawner._make({"session": "s", "options": {"a": 1}, "state": {"job_id": "7"}})
    assert (one.req_partition, one.req_account, one.req_qos) == ("tested", "jupyters", "high")
    assert one.job_id == "7"
    assert one.user_options == {"a": 1}
    assert one.exec_prefix == ""


def test_text_of_people_is_fit_for_a_script() -> None:
    options = {
        "properties": {
            "queue": {"type": "string"},
            "free": {"type": "string", "pattern": ".*"},
            "memory": {"type": "integer"},
        }
    }
    properties = a_spawner(Path("/tmp"), options=options).options_schema()["properties"]
    assert "$" not in properties["queue"]["pattern"].strip("^$")
    assert properties["free"]["pattern"] == ".*"
    assert "pattern" not in properties["memory"]


BROKEN = """
from jupyterhub.spawner import Spawner
class Broken(Spawner):
    async def start(self):
        raise RuntimeError("no such account: x")
    async def stop(self, now=False): pass
    async def poll(self): return 0
"""
OTHER = """
from jupyterhub.spawner import SimpleLocalProcessSpawner
class Other(SimpleLocalProcessSpawner):
    "Starts what it thinks right, as sudospawner does."
    async def start(self):
        self.cmd, self.args = ["sleep", "600"], []
        return await super().start()
"""
QUEUE = """
import asyncio, os
from jupyterhub.spawner import LocalProcessSpawner, Spawner
class Queue(LocalProcessSpawner):
    "A job that waits until there is a file, as in a queue."
    ticket = ""
    def get_state(self): return {"ticket": self.ticket} if self.ticket else {}
    def load_state(self, state): self.ticket = state.get("ticket", "")
    async def start(self):
        self.ticket = os.environ["TICKET"]
        open(self.ticket + ".waits", "w").close()
        while not os.path.exists(self.ticket):
            await asyncio.sleep(0.05)
        await super().start()
    async def poll(self):
        return None if os.path.exists(self.ticket + ".waits") else 1
    async def progress(self):
        yield {"message": "Pending in queue, third."}
    async def stop(self, now=False):
        os.unlink(self.ticket + ".waits")
"""


@pytest.fixture
def own_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module with classes of a site's own."""
    name = f"site_{os.getpid()}_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(BROKEN + OTHER + QUEUE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("TICKET", str(tmp_path / "ticket"))
    return name


def suite(store: Path) -> SpawnerContract:
    made = SpawnerContract()
    made.store = store
    return made


async def test_why_a_class_could_not_start_it_is_said(short_path: Path, own_class: str) -> None:
    spawner = a_spawner(short_path, spawner_class=f"{own_class}.Broken", spawner_config={})
    with pytest.raises(SpawnerError, match="could not start it: no such account: x"):
        await suite(short_path).start(spawner, suite(short_path).launch())


async def test_a_job_waits_runs_and_can_be_cancelled_by_another_server(
    short_path: Path, own_class: str, tmp_path: Path
) -> None:
    tests = suite(short_path)
    traits = {"spawner_class": f"{own_class}.Queue", "spawner_config": {}, "patience": 0.1}
    first, second = a_spawner(short_path, **traits), a_spawner(short_path, **traits)
    launch = tests.launch()
    handle = await tests.start(first, launch)
    assert handle["state"] == {"ticket": str(tmp_path / "ticket")}
    report = await tests.report(second, handle, Status.QUEUED)
    assert report.message == "Pending in queue, third."
    (tmp_path / "ticket").touch()
    report = await tests.report(second, handle, Status.ALIVE)
    await tests.end(second, handle, launch)
    (tmp_path / "ticket").unlink()

    launch = tests.launch()
    handle = await tests.start(first, launch)
    await tests.report(second, handle, Status.QUEUED)
    await second.stop(handle)
    assert not (tmp_path / "ticket.waits").exists(), "the class has cancelled it"
    await tests.report(second, handle, Status.ENDED)
    (tmp_path / "ticket").touch()  # a job that comes late all the same runs nothing
    while first._starting:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    await tests.gone(launch)


async def test_a_class_that_starts_something_else_is_found_out(
    short_path: Path, own_class: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jupyterhub, "SILENT", 0.5)
    home = {"home_dir_template": str(short_path / "home")}
    spawner = a_spawner(short_path, spawner_class=f"{own_class}.Other", spawner_config=home)
    tests = suite(short_path)
    launch = tests.launch()
    handle = await tests.start(spawner, launch)
    pid = handle["state"]["pid"]
    report = await tests.report(spawner, handle, Status.ENDED)
    assert report.reason == "no_supervisor"
    assert "has to run the command that it is given" in report.message
    await spawner.stop(handle)
    async with asyncio.timeout(20):
        while Path(f"/proc/{pid}").exists():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.filterwarnings(OLD)
def test_wrapped_classes_are_configured_as_ours_are(tmp_path: Path) -> None:
    """A class within another gets its traits from the configuration alone."""
    own = Config({"BatchSpawnerBase": {"exec_prefix": "sudo -E"}, "TorqueSpawner": {}})
    own.TorqueSpawner.exec_prefix = "sudo"
    profiles = [("Queue", "queue", "batchspawner.TorqueSpawner", {"req_queue": "q"})]
    spawner = a_spawner(
        tmp_path,
        spawner_class="wrapspawner.ProfilesSpawner",
        spawner_config={"profiles": profiles},
        config=own,
    )
    one = spawner._make({"session": "s", "options": {"profile": "queue"}, "state": {}})
    child = one.child_spawner
    assert (child.exec_prefix, child.batchspawner_singleuser_cmd) == ("", "")
    assert child.req_queue == "q"
    assert own.TorqueSpawner.exec_prefix == "sudo", "the server's own is left alone"

"""What an app needs, and which of the places have it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

import pytest

from jupyter_sessions.apps.app import App
from jupyter_sessions.apps.catalogue import Catalogue
from jupyter_sessions.elsewhere import Elsewhere
from jupyter_sessions.errors import AppUnavailable, Unreachable
from jupyter_sessions.hosts.local import LocalHost
from jupyter_sessions.offers import Offers
from jupyter_sessions.project_apps import ProjectApps
from jupyter_sessions.spawners.process import ProcessSpawner
from jupyter_sessions.trust import Trust


class OtherHost(LocalHost):
    """This machine under another name, with programs of its own; it may be away."""

    programs: frozenset[str] = frozenset()
    asked = 0
    gate: asyncio.Event | None = None
    away = False

    async def have(self, wanted: Sequence[tuple[str, str]]) -> list[bool]:
        self.asked += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.away:
            raise Unreachable("It is away.")
        return [name in self.programs for _, name in wanted]


def app(name: str, program: str) -> App:
    requires = [{"program": program, "install": f"Install {program}."}]
    return App.from_definition(
        {"name": name, "title": name, "command": ["{socket}"], "requires": requires}
    )


APPS = [app("everywhere", "sh"), app("far-only", "far-program"), app("nowhere", "no-program")]


@pytest.fixture
def far() -> OtherHost:
    host = OtherHost(name="far")
    host.programs = frozenset({"sh", "far-program"})
    return host


@pytest.fixture
def offers(far: OtherHost, tmp_path: Path) -> Offers:
    local, other = ProcessSpawner(name="local"), ProcessSpawner(name="other")
    local.host, other.host = LocalHost(name="local"), far
    catalogue = Catalogue(logging.getLogger(), [lambda: APPS])
    projects = ProjectApps(str(tmp_path), Trust(tmp_path / "data"))
    return Offers(catalogue, projects, {"local": local, "other": other}, "allow")


async def available(offers: Offers) -> dict[str, bool]:
    return {found["name"]: found["available"] for found in await offers.apps()}


async def test_an_app_is_available_if_any_place_has_what_it_needs(offers: Offers) -> None:
    assert await available(offers) == {"everywhere": True, "far-only": True, "nowhere": False}
    reasons = {found["name"]: found["unavailable_reason"] for found in await offers.apps()}
    assert reasons == {"everywhere": "", "far-only": "", "nowhere": "Install no-program."}


async def test_a_host_is_asked_once_for_all_apps(offers: Offers, far: OtherHost) -> None:
    for _ in range(3):
        await offers.apps()
    assert far.asked == 1


async def test_a_form_says_which_places_can_start_the_app(offers: Offers) -> None:
    places = {s["name"]: s for s in await offers.spawners(APPS[1])}
    assert not places["local"]["available"]
    assert places["local"]["unavailable_reason"] == "Install far-program."
    assert places["other"]["available"]
    assert all(s["available"] for s in await offers.spawners())


async def test_a_refusal_names_the_places_that_can(offers: Offers) -> None:
    with pytest.raises(AppUnavailable, match=r"Install far-program\. It can be started by: other"):
        await offers.check(APPS[1], offers.spawner("local"))
    with pytest.raises(AppUnavailable, match=r"Install no-program\.$"):
        await offers.check(APPS[2], offers.spawner("local"))
    await offers.check(APPS[1], offers.spawner("other"))


async def test_a_host_that_does_not_answer_is_not_waited_for(
    offers: Offers, far: OtherHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jupyter_sessions.elsewhere.PATIENCE", 0.05)
    far.gate = asyncio.Event()
    # What nobody has said is not offered as a tile, and not refused in a form either.
    assert await available(offers) == {"everywhere": True, "far-only": False, "nowhere": False}
    assert {s["name"]: s["available"] for s in await offers.spawners(APPS[1])}["other"]
    assert far.asked == 1
    far.gate.set()
    monkeypatch.setattr("jupyter_sessions.elsewhere.PATIENCE", 60)
    assert (await available(offers))["far-only"]
    assert far.asked == 1


async def test_what_was_known_of_a_host_that_went_away_stays_known(
    far: OtherHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = Elsewhere()
    await elsewhere.look([far], APPS)
    monkeypatch.setattr("jupyter_sessions.elsewhere.KNOWN_SECONDS", 0)
    far.away = True
    await elsewhere.look([far], APPS)
    assert far.asked == 2
    assert elsewhere.problem(APPS[1], far) == ""
    await elsewhere.close()


async def test_where_jobs_find_programs_of_their_own_nothing_is_looked_for(
    offers: Offers, far: OtherHost
) -> None:
    offers.spawner("other").check_requirements = False
    assert await available(offers) == {"everywhere": True, "far-only": True, "nowhere": True}
    await offers.check(APPS[2], offers.spawner("other"))
    assert far.asked == 0

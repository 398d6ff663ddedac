"""`places.py`: hosts and spawners come from configuration, and each mistake in it is named."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest

from jupyter_sessions import places
from jupyter_sessions.hosts.local import LocalHost
from jupyter_sessions.places import PlaceError, Wrong, build_hosts, build_spawners
from jupyter_sessions.spawners.process import ProcessSpawner


def test_local_is_there_without_configuration() -> None:
    hosts = build_hosts({}, None)
    spawners = build_spawners({}, hosts, None)
    assert list(hosts) == list(spawners) == ["local"]
    assert isinstance(hosts["local"], LocalHost)
    assert isinstance(spawners["local"], ProcessSpawner)
    assert spawners["local"].host is hosts["local"]
    assert (spawners["local"].name, hosts["local"].name) == ("local", "local")


def test_places_have_their_own_name_traits_and_host() -> None:
    hosts = build_hosts({"here": {"class": "local"}}, None)
    spec = {"slow": {"class": "process", "host": "here", "poll_interval": 9, "title": "Slow"}}
    slow = build_spawners(spec, hosts, None)["slow"]
    assert (slow.name, slow.title, slow.poll_interval) == ("slow", "Slow", 9)
    assert slow.host is hosts["here"]


def test_local_can_be_configured() -> None:
    spec = {"local": {"class": "process", "poll_interval": 3}}
    assert build_spawners(spec, build_hosts({}, None), None)["local"].poll_interval == 3


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"class": "slrum"}, "no class 'slrum'; did you mean 'slurm'\\? installed: .*process"),
        ({}, "no class None"),
        ({"class": ["process"]}, "no class"),
        ("process", "not a dict with a `class`"),
        (None, "not a dict with a `class`"),
        ({"class": "process", "host": "mars"}, "no host 'mars'; known: local"),
        ({"class": "process", "host": {}}, "no host {}"),
        ({"class": "process", "partition": "gpu"}, "ProcessSpawner has no trait 'partition'"),
        ({"class": "process", "name": "x"}, "no trait 'name'"),
        ({"class": "process", "titel": "x"}, "no trait 'titel'; did you mean 'title'"),
        ({"class": "slurm", "fixed": {"acount": "x"}}, "fixed\\['acount'\\] is none of .*account"),
        ({"class": "process", "poll_interval": "often"}, "poll_interval"),
        ({"class": "process", "poll_interval": 0}, "poll_interval"),
    ],
)
def test_a_wrong_spawner_is_named_with_what_is_wrong(spec: Any, says: str) -> None:
    with pytest.raises(PlaceError, match=says) as caught:
        build_spawners({"mine": spec}, build_hosts({}, None), None)
    assert str(caught.value).startswith("SessionManager.spawners['mine']: ")


def test_what_may_be_fixed_may_be_named_by_the_configuration_itself() -> None:
    own = {"licenses": {"type": "string", "argument": "--licenses={}"}}
    spec = {"class": "slurm", "fixed": {"licenses": "x", "account": "a"}, "directives": own}
    assert "mine" in build_spawners({"mine": spec}, build_hosts({}, None), None)


def test_what_is_wrong_is_kept_and_the_others_are_built() -> None:
    wrong = Wrong()
    hosts = build_hosts({"lab": {"class": "shh"}}, None, wrong)
    specs = {
        "on-it": {"class": "process", "host": "lab"},
        "misspelt": {"class": "slrum"},
        "fine": {"class": "process"},
    }
    assert [*build_spawners(specs, hosts, None, wrong)] == ["local", "fine"]
    assert "no class 'shh'; did you mean 'ssh'?" in wrong.hosts["lab"]
    assert wrong.spawners["on-it"] == wrong.hosts["lab"]
    assert "no class 'slrum'" in wrong.spawners["misspelt"]
    with pytest.raises(PlaceError, match="'local'"):
        build_spawners({"local": {"class": "slrum"}}, hosts, None, wrong)


@pytest.mark.parametrize("spec", [{"class": "telnet"}, {"class": "local", "x": 1}, 5])
def test_a_wrong_host_is_named(spec: Any) -> None:
    with pytest.raises(PlaceError, match=r"^SessionManager\.hosts\['mine'\]: "):
        build_hosts({"mine": spec}, None)


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("no_such_module:X", "cannot be loaded"),
        ("jupyter_sessions.hosts.local:Nobody", "cannot be loaded"),
        ("jupyter_sessions.hosts.local:LocalHost", "is not a Spawner"),
        ("os:getcwd", "is not a Spawner"),
    ],
)
def test_an_entry_point_that_is_no_spawner_is_named(
    monkeypatch: pytest.MonkeyPatch, target: str, says: str
) -> None:
    found = [EntryPoint("process", target, "jupyter_sessions.spawners")]
    hosts = build_hosts({}, None)
    monkeypatch.setattr(places, "entries", lambda group: found)
    with pytest.raises(PlaceError, match=says):
        build_spawners({}, hosts, None)

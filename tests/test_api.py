"""The REST API on a real Jupyter server: what each endpoint does when it is used well."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin

import pytest
from jsonschema import Draft202012Validator

from .conftest import Api
from .helpers import DOCUMENT, write_app
from .processes import marked

NAMES = ["Übung 1: 日本語", "<script>alert(1)</script>", "a'b\"c&d", "../../etc", "🧪"]


def is_a(kind: str, value: Any) -> None:
    """Fail unless `value` is as the schema `kind` of the OpenAPI document says."""
    schema = {"$ref": f"#/components/schemas/{kind}", "components": DOCUMENT["components"]}
    Draft202012Validator(schema).validate(value)


async def test_apps_are_listed_with_their_options_and_what_is_missing(
    api: Api, jp_config_dir: Path
) -> None:
    needs = [{"program": "no-such-program", "install": "Install it."}]
    write_app(jp_config_dir, "absent", command=["x"], requires=needs)
    write_app(jp_config_dir, "broken", command="not a list")
    write_app(jp_config_dir, "apart", command=["x"], open_in="browser")
    answer = await api("GET", "apps")
    assert answer.status == 200
    apps = {app["name"]: app for app in answer.json}
    for app in apps.values():
        is_a("App", app)
    assert apps["files"]["available"]
    assert "folder" in apps["files"]["options"]["properties"]
    assert apps["absent"]["unavailable_reason"] == "Install it."
    assert "command" in apps["broken"]["unavailable_reason"]
    icons = {name: (app["icon"], app["open_in"]) for name, app in apps.items()}
    assert icons["files"] == (True, "lab")
    assert icons["apart"] == (False, "browser")
    assert icons["absent"] == icons["broken"] == (False, "lab")


async def test_one_app_and_its_icon(api: Api) -> None:
    answer = await api("GET", "apps/files")
    is_a("App", answer.json)
    icon = await api("GET", "apps/files/icon")
    assert icon.headers["Content-Type"] == "image/svg+xml"
    assert b"<svg" in icon.body
    assert "default-src 'none'" in icon.headers["Content-Security-Policy"]


async def test_an_app_without_an_icon_has_none(api: Api) -> None:
    assert (await api("GET", "apps/echo/icon")).status == 404


async def test_spawners_are_listed(api: Api) -> None:
    (local,) = (await api("GET", "spawners")).json
    is_a("Spawner", local)
    assert (local["name"], local["available"]) == ("local", True)


async def test_the_document_is_served(api: Api) -> None:
    answer = await api("GET", "openapi.yaml")
    assert answer.headers["Content-Type"].startswith("application/yaml")
    assert answer.text.startswith("openapi: 3.1")


async def test_a_session_from_start_to_end(api: Api) -> None:
    created = await api("POST", "sessions", {"app": "echo", "name": "Mine", "timeout": 600})
    assert created.status == 201
    is_a("Session", created.json)
    session_id = created.json["id"]
    await api.until(session_id, lambda s: s.state == "running")
    shown = (await api("GET", f"sessions/{session_id}")).json
    is_a("Session", shown)
    assert (shown["name"], shown["state"], shown["title"]) == ("Mine", "running", "Echo")
    assert shown["url"] == f"{api.base_url}sessions/{session_id}/"
    assert {"open", "stop", "extend"} <= set(shown["actions"])
    assert datetime.fromisoformat(shown["expires"]) > datetime.fromisoformat(shown["started"])
    listed = (await api("GET", "sessions")).json
    assert [s["id"] for s in listed["sessions"]] == [session_id]
    stopped = await api("POST", f"sessions/{session_id}/stop")
    assert (stopped.status, stopped.json["target"]) == (202, "stopped")
    await api.until_ended(session_id)
    ended = (await api("GET", f"sessions/{session_id}")).json
    is_a("Session", ended)
    assert (ended["state"], ended["reason"], ended["exit_code"]) == ("stopped", "stopped", 0)
    await api.until_nothing_runs(session_id)


@pytest.mark.parametrize("name", NAMES)
async def test_any_printable_name_comes_back_as_it_was(api: Api, name: str) -> None:
    session = await api.start("echo", name=name, wait=False)
    answer = await api("GET", f"sessions/{session.id}")
    assert answer.json["name"] == name
    assert answer.headers["Content-Type"] == "application/json"
    assert "nosniff" in answer.headers["X-Content-Type-Options"]


async def test_options_and_folder_reach_the_app(api: Api, jp_root_dir: Path) -> None:
    (jp_root_dir / "sub").mkdir()
    session = await api.start("echo", options={"words": ["a b", "$HOME;"]}, cwd="sub")
    assert session.cwd == str(jp_root_dir / "sub")
    log = await api("GET", f"sessions/{session.id}/log")
    assert "echo is here a b $HOME;" in log.text


async def test_resources_reach_the_app_and_are_kept(api: Api) -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    usual = await api.start("echo")
    polite = await api.start("echo", resources={"priority": "low"})
    for session, priority, nice in ((usual, "normal", own), (polite, "low", own + 10)):
        shown = (await api("GET", f"sessions/{session.id}")).json
        assert shown["resources"] == {"priority": priority}
        assert session.attempt.handle is not None
        runner = session.attempt.handle["pid"]
        apps = set(marked(session.id)) - {runner}
        assert {os.getpriority(os.PRIO_PROCESS, pid) for pid in apps} == {nice}


async def test_a_session_for_a_file_begins_in_its_folder_and_opens_it(
    api: Api, jp_root_dir: Path
) -> None:
    file = jp_root_dir / "sub" / "a b&c?.txt"
    file.parent.mkdir()
    file.write_text("hello file")
    other = jp_root_dir / "other"
    other.mkdir()
    session = await api.start("files", file="sub/a b&c?.txt")
    assert (session.cwd, session.options["file"]) == (str(file.parent), str(file))
    assert session.options["folder"] == str(file.parent)
    url = (await api("GET", f"sessions/{session.id}")).json["url"]
    assert "?open=/" in url
    answer = await api.get(url)
    assert answer.headers["Location"].endswith("/a%20b%26c%3F.txt")
    page = await api.get(urljoin(url, answer.headers["Location"]))
    assert (page.status, page.text) == (200, "hello file")
    elsewhere = await api.start("files", file=str(file), cwd="other")
    assert elsewhere.options["folder"] == str(other)
    answer = await api.get((await api("GET", f"sessions/{elsewhere.id}")).json["url"])
    assert answer.status == 200  # the folder, as the file is not in it
    plain = await api.start("files", cwd="sub")
    assert (await api("GET", f"sessions/{plain.id}")).json["url"].endswith(f"{plain.id}/")


@pytest.mark.parametrize(
    ("wanted", "location"),
    [
        ("{root}/page.html", "./page.html"),
        ("{root}/sub/../page.html", "./page.html"),
        ("{root}/link/inner.txt", "./sub/inner.txt"),
        ("{root}/.hidden", ""),
        ("{root}/.git/x", ""),
        ("{root}/..", ""),
        ("{root}", ""),
        ("{root}/", ""),
        ("{root}-beside/x", ""),
        ("/etc/passwd", ""),
        ("page.html", ""),
        ("//evil.example/x", ""),
        ("%00", ""),
        ("%FF", ""),
    ],
)
async def test_files_leads_to_a_file_in_its_folder_and_nowhere_else(
    api: Api, jp_root_dir: Path, wanted: str, location: str
) -> None:
    (jp_root_dir / "sub").mkdir()
    (jp_root_dir / "link").symlink_to("sub")
    session = await api.start("files")
    root = quote(str(jp_root_dir))
    answer = await api.get(f"{session.prefix}?open={wanted.format(root=root)}")
    found = answer.headers.get("Location", "")
    assert found.removeprefix(session.prefix) == location.removeprefix("./") or found == location
    assert answer.status == (302 if location else 200)


async def test_the_revision_grows_with_every_change(api: Api) -> None:
    session = await api.start()
    before = (await api("GET", f"sessions/{session.id}")).json["revision"]
    after = (await api("PATCH", f"sessions/{session.id}", {"name": "Neu"})).json["revision"]
    assert after > before > 0


async def test_null_is_the_same_as_nothing(api: Api) -> None:
    names = ["name", "spawner", "options", "resources", "cwd", "file", "timeout"]
    fields = dict.fromkeys(names)
    session = await api.start("echo", **fields, wait=False)
    assert (session.name, session.spawner, session.timeout) == ("Echo", "local", None)


async def test_stopping_twice_is_harmless(api: Api) -> None:
    session = await api.start()
    for _ in range(2):
        assert (await api("POST", f"sessions/{session.id}/stop")).status == 202
    await api.until_ended(session.id)
    again = await api("POST", f"sessions/{session.id}/stop")
    assert (again.status, again.json["state"]) == (202, "stopped")


async def test_restart_keeps_id_and_url(api: Api) -> None:
    session = await api.start()
    before = (await api("GET", f"sessions/{session.id}")).json
    answer = await api("POST", f"sessions/{session.id}/restart")
    assert answer.status == 202
    await api.until(session.id, lambda s: s.attempt.number == 2 and s.state == "running")
    after = (await api("GET", f"sessions/{session.id}")).json
    assert [after[k] for k in ("id", "url", "cwd")] == [before[k] for k in ("id", "url", "cwd")]
    assert after["attempt"] == 2


async def test_an_ended_session_starts_again(api: Api) -> None:
    session = await api.start("echo", options={"exit": 0})
    assert session.ended
    await api("POST", f"sessions/{session.id}/restart")
    again = await api.until(session.id, lambda s: s.attempt.number == 2 and s.ended)
    assert again.past[0].number == 1


async def test_extend_adds_to_the_limit(api: Api) -> None:
    session = await api.start("echo", timeout=600)
    answer = await api("POST", f"sessions/{session.id}/extend", {"seconds": 60})
    assert (answer.status, answer.json["timeout"]) == (202, 660)


@pytest.mark.parametrize(
    ("seconds", "status"), [(400, 202), (400.5, 400), (1e9, 400), (10**400, 400)]
)
async def test_extend_goes_up_to_the_maximum_and_not_past_it(
    api: Api, seconds: float, status: int
) -> None:
    api.manager.max_timeout = 1000
    session = await api.start("echo", timeout=600, wait=False)
    answer = await api("POST", f"sessions/{session.id}/extend", {"seconds": seconds})
    assert answer.status == status
    if status == 400:
        assert answer.fields == ["seconds"]
        assert (await api.manager.session(session.id)).timeout == 600


async def test_a_session_without_a_limit_is_not_extended_beyond_its_job(api: Api) -> None:
    session = await api.start()
    ends = datetime.now(UTC) + timedelta(hours=1)
    await api.manager.ledger.change(session.id, lambda s: s.now(ends=ends, expires=ends))
    answer = await api("POST", f"sessions/{session.id}/extend", {"seconds": 60})
    assert (answer.status, answer.json["reason"]) == (409, "walltime")
    assert f"{ends:%Y-%m-%d %H:%M} UTC" in answer.text


async def test_what_has_no_limit_or_has_ended_is_not_extended(api: Api) -> None:
    session = await api.start()
    answer = await api("POST", f"sessions/{session.id}/extend", {"seconds": 60})
    assert (answer.status, answer.json["reason"]) == (409, "no_limit")
    over = await api.start("echo", options={"exit": 0}, timeout=60)
    answer = await api("POST", f"sessions/{over.id}/extend", {"seconds": 60})
    assert (answer.status, answer.json["reason"]) == (409, "ended")


async def test_patch_renames_and_limits(api: Api) -> None:
    session = await api.start()
    change = {"name": "  Neu ", "timeout": 90}
    answer = await api("PATCH", f"sessions/{session.id}", change)
    assert (answer.status, answer.json["name"], answer.json["timeout"]) == (200, "Neu", 90)
    assert answer.json["expires"] is not None
    endless = await api("PATCH", f"sessions/{session.id}", {"timeout": None})
    assert (endless.json["timeout"], endless.json["expires"]) == (None, None)
    assert (await api("PATCH", f"sessions/{session.id}", {})).json["name"] == "Neu"


async def test_delete_of_a_live_session_ends_and_forgets_it(api: Api) -> None:
    session = await api.start("echo", options={"children": True})
    assert len(marked(session.id)) >= 3
    answer = await api("DELETE", f"sessions/{session.id}")
    assert (answer.status, answer.body) == (204, b"")
    await api.until_nothing_runs(session.id)
    assert not api.manager.store.directory(session.id).exists()
    assert (await api("GET", f"sessions/{session.id}")).status == 404
    assert (await api("DELETE", f"sessions/{session.id}")).status == 404


async def test_an_app_that_exits_at_once_has_failed_within_two_seconds(api: Api) -> None:
    times = []
    for _ in range(3):  # others may be using this machine: the best of three counts
        session = await api.start("echo", options={"exit": 1})
        assert (session.state, session.attempt.exit_code) == ("failed", 1)
        assert session.attempt.ended is not None
        times.append((session.attempt.ended - session.created).total_seconds())
    assert min(times) < 2
    shown = (await api("GET", f"sessions/{session.id}")).json
    assert (shown["exit_code"], shown["reason"]) == (1, "exited")
    assert "code 1" in shown["message"]
    log = await api("GET", f"sessions/{session.id}/log?lines=3")
    assert "echo goes away" in log.text

"""Service directories of Parallel Works ACTIVATE as sessions, behind a real Jupyter server."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .helpers import kill_sessions
from .live import Home, LiveServer, eventually
from .processes import marked
from .rest import Rest

BASE = "/user/ada/"
SERVICES = Path(__file__).parent / "services"
NASTY = "$(touch {0})`touch {0}`'\"; touch {0} #\n${{IFS}}touch {0}\\ é"


class Services(Rest):
    """A Jupyter server whose configuration names the folder of services."""

    def __init__(self, server: LiveServer, home: Home) -> None:
        super().__init__(server)
        self.home = home

    def make(self, app: str, **options: Any) -> str:
        made: str = self.api("sessions", "POST", {"app": app, "options": options})["id"]
        return made

    def job(self, session_id: str) -> Path:
        """The job directory of a session's only attempt."""
        root = self.home.data / "jupyter_sessions" / "sessions" / session_id
        found: list[Path] = eventually(lambda: list(root.rglob("job/service.json")))
        return found[0].parent


@pytest.fixture(scope="module")
def everything() -> Iterator[Services]:
    folder = Path(tempfile.mkdtemp(prefix="js-"))
    home = Home.make(folder, folder / "data", folder / "config")
    home.config.mkdir()
    text = f"c.SessionManager.service_directories = [{str(SERVICES)!r}]\n"
    (home.config / "jupyter_server_config.py").write_text(text)
    # ... and one where apps of people are.
    shutil.copytree(
        SERVICES / "fileserver", home.config / "jupyter_sessions" / "apps" / "own-files"
    )
    try:
        with LiveServer.start(home, f"--ServerApp.base_url={BASE}") as server:
            yield Services(server, home)
    finally:
        kill_sessions(home.data)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def services(everything: Services) -> Iterator[Services]:
    yield everything
    everything.forget_all()


def edit(job: Path, **values: str) -> None:
    """Write into ``service.json`` as somebody with an editor would."""
    path = job / "service.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}, indent=4))


@pytest.mark.parametrize("app", ["fileserver", "own-files"])
def test_a_service_of_todays_form_runs_and_is_cancelled(
    services: Services, app: str, tmp_path: Path
) -> None:
    (tmp_path / "hello.txt").write_text("hello")
    made = services.make(app, fs_directory=str(tmp_path))
    session = services.until(made, "running")
    assert session["url"] == f"{BASE}sessions/{made}/?from=form"
    status, _, content = services.ask(f"{BASE}sessions/{made}/hello.txt")
    assert (status, content) == (200, b"hello")
    job = services.job(made)
    assert (job / "job.started").exists()
    assert job.stat().st_mode & 0o077 == 0
    assert (job / "inputs.sh").stat().st_mode & 0o077 == 0
    log = services.log(made)
    assert f"Prepared in {job}" in log  # the controller's script, and it ran first
    assert log.index("Prepared in") < log.index("Serving")
    services.stop(made)
    assert (tmp_path / "cancelled").read_text() == "cancelled\n"
    assert not marked(made)


def test_inputs_are_variables_and_never_scripts(services: Services, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    nasty = NASTY.format(trap)
    made = services.make("inputs", service_text=nasty, service_kernels=["julia", "r"])
    seen = services.seen(services.until(made, "running"), "a?b")
    environment = seen["environment"]
    assert seen["path"] == "/a?b"
    for where in (environment, seen["read"]):
        assert where["service_text"] == nasty
        assert where["service_kernels"] == "julia___r"
        assert where["service_install"] == "true"
        assert where["service_cores"] == "2"
        assert where["port"] == "7"
        assert where["basepath"] == f"{BASE}sessions/{made}".rstrip("/")
        assert where["service_port"] == where["servicePort"]
        assert f"/{where['FORWARDPATH']}/{where['openPort']}" == where["basepath"]
        assert "service_password" not in where  # nothing was given
    assert environment["PW_PARENT_JOB_DIR"] == str(services.job(made))
    assert not trap.exists()


def test_what_service_json_says_is_shown_while_it_runs(services: Services, tmp_path: Path) -> None:
    record = tmp_path / "record"
    made = services.make("stepwise", service_record=str(record))
    services.says(made, "Installing packages")
    assert services.session(made)["state"] == "starting"
    job = services.job(made)
    edit(job, JOB_STATUS="Waiting for a license")
    services.says(made, "Waiting for a license")
    (job / "service.json").write_text('{"JOB_STATUS": "Half')  # ... and then it is written on
    edit_whole = {"JOB_STATUS": "Almost there", "PORT": "", "SLUG": 'x/y?d="+now()'}
    (job / "service.json").write_text(json.dumps(edit_whole))
    services.says(made, "Almost there")
    edit(job, JOB_STATUS="RUNNING")
    session = services.until(made, "running")
    assert session["message"] == ""
    assert session["url"] == f"{BASE}sessions/{made}/x/y"
    edit(job, JOB_STATUS="failed", ERROR_MESSAGE='It broke: "disk" full')
    session = services.until(made, "failed")
    assert session["message"] == 'It broke: "disk" full'
    assert record.read_text() == "cancelled\n"
    assert not marked(made)


def test_a_controller_that_fails_says_why(services: Services) -> None:
    made = services.make("stepwise", service_trouble=True)
    session = services.until(made, "failed")
    assert session["message"] == 'The license server "lic1" is full: 7 of 7'


def test_stopping_while_it_prepares(services: Services, tmp_path: Path) -> None:
    made = services.make("stepwise", service_wait=str(tmp_path / "never"))
    services.says(made, "Preparing: controller-v3.sh runs.")
    services.stop(made)
    assert not marked(made)


def test_a_port_that_is_not_the_sessions_is_never_reached(services: Services) -> None:
    made = services.make("stepwise")
    services.says(made, "Installing packages")
    path = services.job(made) / "service.json"
    theirs = services.origin.rpartition(":")[2]  # Jupyter's own: this user's, but not the session's
    edit(path.parent, JOB_STATUS="r", PORT=theirs)
    eventually(lambda: f"Another process took port {theirs}" in services.log(made))
    # It is started once more, as with any port that was lost.
    eventually(lambda: "Installing" in path.read_text() and theirs not in path.read_text())
    edit(path.parent, JOB_STATUS="r")
    services.until(made, "running")
    assert b"service.json" in services.ask(f"{BASE}sessions/{made}/")[2]


@pytest.mark.parametrize("secure", [False, True])
def test_a_service_of_the_older_form_runs_and_is_killed(
    services: Services, tmp_path: Path, secure: bool
) -> None:
    record = tmp_path / "record"
    made = services.make("classic", service_record=str(record), service_secure=secure)
    session = services.until(made, "running")
    assert session["url"].startswith(f"{BASE}sessions/{made}/lab/tree/home/")
    assert "?" not in session["url"]
    assert services.seen(session, "x?y") == {"path": "/x?y", "tls": int(secure)}
    services.stop(made)
    assert record.read_text() == f"killed {made}-1\n"
    assert not marked(made)

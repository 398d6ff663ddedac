"""``jupyter sessions`` as people and scripts use it: arguments, output and an exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from typing import Any

import pytest

from jupyter_sessions.preferences import Preferences

from .live import PATIENCE, Commands, Home, LiveServer, eventually
from .processes import marked

ESCAPES = "a\x1b[31mred\x9b2J\rb"


def rename_behind_its_back(home: Home, session_id: str, name: str) -> None:
    """Give a session a name that no command would accept."""
    path = home.data / "jupyter_sessions" / "sessions" / session_id / "session.json"
    record = json.loads(path.read_text())
    path.with_name("new").write_text(json.dumps(record | {"name": name}))
    path.with_name("new").replace(path)


def corrupt(home: Home, session_id: str) -> None:
    path = home.data / "jupyter_sessions" / "sessions" / session_id / "session.json"
    path.write_text("{")


# What there is --------------------------------------------------------------------------------


def test_apps_and_spawners_are_listed_for_people_and_programs(cli: Commands) -> None:
    assert "files" in cli("apps").out
    assert "local" in cli("spawners").out
    assert {"files", "echo"} <= {app["name"] for app in cli.json("apps")}
    assert [s["name"] for s in cli.json("spawners")] == ["local"]


def test_no_sessions_is_said_with_what_to_do(cli: Commands) -> None:
    done = cli("list")
    assert done.out == ""
    assert "jupyter sessions apps" in done.err
    assert cli.json("list") == []


def test_help_version_and_usage(cli: Commands) -> None:
    assert "completion" in cli("--help").out
    assert cli("--version").out[0].isdecimal()
    assert "usage" in cli(code=2).err
    assert "invalid choice" in cli("explode", code=2).err


# Starting -------------------------------------------------------------------------------------


def test_start_prints_the_url_and_leaves_it_running(cli: Commands) -> None:
    done = cli("start", "echo", "--name", "Mine")
    session_id = done.out.strip().split("/")[-2]
    assert done.out == f"/sessions/{session_id}/\n"
    assert "jupyter sessions open" in done.err
    assert marked(session_id) != []
    assert cli.json("show", "Mine")["id"] == session_id


def test_an_app_with_an_open_port_is_started_with_a_word_of_warning(cli: Commands) -> None:
    done = cli("start", "port")
    assert "Port: It listens on a TCP port" in done.err
    assert "TCP port" not in cli("start", "port", "--SessionManager.open_ports=allow").err


def test_start_wait_tells_its_phases_and_returns_when_it_runs(cli: Commands) -> None:
    done = cli("start", "echo", "--wait", "-o", "delay=0.2")
    assert "starting" in done.err
    assert done.err.index("starting") < done.err.index("running")
    (session,) = cli.json("list")
    assert session["state"] == "running"


def test_options_are_read_as_the_app_says(cli: Commands) -> None:
    session = cli.start("echo", "-o", "delay=0", "-o", 'words=["x y"]', "-t", "1.5h", "-C", "/")
    assert session["options"]["words"] == ["x y"]
    assert (session["timeout"], session["cwd"]) == (5400, "/")
    assert "echo is here x y" in cli("logs", session["id"]).out


def test_resources_are_given_like_options_and_shown(cli: Commands) -> None:
    session = cli.start("echo", "-r", "priority=low")
    assert session["resources"] == {"priority": "low"}
    assert '{"priority": "low"}' in cli("show", session["id"]).out


def test_a_preset_is_what_a_start_begins_with(cli: Commands, home: Home) -> None:
    assert "No presets" in cli("presets", "echo").err
    choices = {
        "options": {"delay": 0.1, "words": ["a", "b"]},
        "resources": {"priority": "low"},
        "timeout": 600,
        "spawner": "local",
    }
    preferences = Preferences(home.data / "jupyter_sessions")
    preferences.save_preset("echo", "My own", choices)
    assert cli.json("presets", "echo") == {"My own": choices}
    shown = cli("presets", "echo").out
    assert "My own" in shown
    assert "-r priority=low -t 600" in shown
    session = cli.start("echo", "--preset", "My own")
    for part in ("resources", "timeout", "spawner"):
        assert session[part] == choices[part]
    assert session["options"] | {"delay": 0.1, "words": ["a", "b"]} == session["options"]
    typed = cli.start("echo", "--preset", "My own", "-o", "delay=0", "-t", "5m")
    assert (typed["options"]["delay"], typed["options"]["words"]) == (0, ["a", "b"])
    assert typed["timeout"] == 300
    preferences.save_preset("echo", "Stale", {"options": {"gone": 1}})
    assert "options.gone" in cli("start", "echo", "--preset", "Stale", code=2).err
    (home.data / "jupyter_sessions" / "preferences" / "echo.json").write_text("{")
    assert "cannot be read" in cli("presets", "echo", code=4).err
    cli("presets", "nope", code=3)


def test_an_app_that_fails_is_1_with_its_reason_and_last_lines(cli: Commands) -> None:
    done = cli("start", "echo", "--wait", "-o", "exit=3", code=1)
    assert "code 3" in done.err
    assert "echo goes away" in done.err
    with cli.popen("start", "echo", "--wait", "--json", "-o", "exit=3") as process:
        out, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, json.loads(out)["exit_code"]) == (1, 3)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ("nope", 3, "There is no app 'nope'"),
        ("fles", 3, "Did you mean 'files'?"),
        ("echo -s nope", 3, "there are: local"),
        ("echo -o nope=1", 2, "known are: "),
        ("echo -o delay", 2, "NAME=VALUE"),
        ("echo -o delay=soon", 2, "options.delay"),
        ("echo -o exit=1.5", 2, "options.exit"),
        ("echo -r priority=high", 2, "choose one of: normal, low"),
        ("echo -r priority", 2, "NAME=VALUE"),
        ("echo -r queue=x", 2, "resources.queue: there is no such option"),
        ("echo --preset nope", 3, "There is no preset 'nope'; there are: none"),
        ("echo -t 0", 2, "give a time such as"),
        ("echo -t soon", 2, "give a time such as"),
        ("echo -C /no/such", 2, "not a directory"),
        ("echo --SessionManager.scan_interval=x", 2, "scan_interval"),
    ],
)
def test_a_wrong_start_says_what_is_wrong(
    cli: Commands, arguments: str, code: int, says: str
) -> None:
    done = cli("start", *arguments.split(), code=code)
    assert says in done.err
    assert done.out == ""


def test_errors_are_json_where_that_is_asked_for(cli: Commands) -> None:
    error = json.loads(cli("start", "echo", "-o", "nope=1", "--json", code=2).err)
    assert [e["field"] for e in error["errors"]] == ["options.nope"]


def test_interrupting_the_wait_leaves_the_session_running(cli: Commands) -> None:
    with cli.popen("start", "echo", "--wait", "-o", "delay=600") as process:
        while "starting" not in (line := process.stderr.readline()):
            assert line, "it ended"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "go on" in err
    (session,) = cli.json("list")
    assert session["state"] == "starting"
    assert marked(session["id"]) != []


def test_a_store_that_cannot_be_used_is_5(cli: Commands, home: Home) -> None:
    (home.data / "jupyter_sessions").write_text("in the way")
    assert "move it away" in cli("start", "echo", code=5).err


# One session ----------------------------------------------------------------------------------


def test_a_session_is_found_by_id_beginning_or_name(cli: Commands) -> None:
    one, two = cli.start("echo", "-n", "One"), cli.start("echo", "-n", "Two")
    for wanted in (one["id"], one["id"][:8], "One"):
        assert cli.json("show", wanted)["id"] == one["id"]
    assert one["name"] in cli("show", "One").out
    cli("rename", "Two", "One")
    assert two["id"] in cli("show", "One", code=2).err
    for command in ("show", "logs", "stop", "restart", "open", "rm"):
        assert "no session 'nope'" in cli(command, "nope", code=3).err
    cli("show", "", code=3)


def test_stop_waits_and_twice_is_harmless(cli: Commands) -> None:
    session = cli.start()
    for _ in range(2):
        assert cli("stop", session["id"]).out == f"{session['id']} is stopped.\n"
    eventually(lambda: not marked(session["id"]))
    assert "restart" in cli("open", session["id"], code=4).err
    assert cli("list").out == ""
    assert session["id"] in cli("list", "--all").out


def test_stop_wants_to_know_which(cli: Commands) -> None:
    assert "Say which" in cli("stop", code=2).err
    assert cli.json("stop", "--all") == []
    ids = {cli.start()["id"], cli.start()["id"]}
    stopped = cli.json("stop", "--all")
    assert {s["id"] for s in stopped if s["state"] == "stopped"} == ids


def test_restart_keeps_id_and_url(cli: Commands) -> None:
    session = cli.start()
    again = cli.json("restart", session["id"], "--wait")
    assert (again["id"], again["url"]) == (session["id"], session["url"])
    assert (again["attempt"], again["state"]) == (2, "running")


def test_extend_and_rename(cli: Commands) -> None:
    session = cli.start("echo", "-t", "10m")
    (longer,) = cli.json("extend", session["id"], "1h")
    assert longer["timeout"] == 4200
    assert "ends at" in cli("extend", session["id"], "1m").out
    assert "'Neu'" in cli("rename", session["id"], "Neu").out
    assert "printable" in cli("rename", session["id"], "a\nb", code=2).err
    endless = cli.start()
    assert "no time limit" in cli("extend", endless["id"], "1h", code=4).err


def test_logs_shows_the_last_lines_and_follows_to_the_end(cli: Commands) -> None:
    session = cli.start()
    whole = cli("logs", session["id"]).out
    assert cli("logs", session["id"], "-n", "1").out == whole.splitlines(keepends=True)[-1]
    cli("logs", session["id"], "-n", "-1", code=2)
    with cli.popen("logs", "-f", session["id"]) as process:
        first = process.stdout.readline()
        cli("stop", session["id"])
        followed = first + process.stdout.read()
    assert process.returncode == 0
    assert followed == cli("logs", session["id"]).out


def test_a_reader_of_the_log_may_leave(cli: Commands) -> None:
    session = cli.start("echo", "-o", "words=" + json.dumps(["x" * 50_000, "y" * 50_000]))
    with cli.popen("logs", session["id"]) as process:
        process.stdout.close()
        assert process.wait(PATIENCE) == 0
        assert process.stderr.read() == ""


def test_rm_ends_and_forgets(cli: Commands) -> None:
    session = cli.start()
    assert "Say which" in cli("rm", code=2).err
    assert cli.json("rm", session["id"]) == [session["id"]]
    eventually(lambda: not marked(session["id"]))
    assert cli.json("list", "--all") == []
    assert cli.json("rm", "--ended") == []


def test_rm_ended_leaves_the_others(cli: Commands) -> None:
    live, ended = cli.start(), cli.start()
    cli("stop", ended["id"])
    assert cli.json("rm", "--ended") == [ended["id"]]
    assert [s["id"] for s in cli.json("list", "--all")] == [live["id"]]


def test_a_corrupt_session_is_named_and_can_be_removed(cli: Commands, home: Home) -> None:
    broken, other = cli.start(), cli.start()
    corrupt(home, broken["id"])
    done = cli("list")
    assert broken["id"] in done.err
    assert other["id"] in done.out
    assert "jupyter sessions rm" in cli("show", broken["id"], code=4).err
    assert cli("rm", broken["id"]).out == f"{broken['id']} is forgotten.\n"
    eventually(lambda: not marked(broken["id"]))


def test_what_is_printed_cannot_move_the_cursor(cli: Commands, home: Home) -> None:
    session = cli.start()
    rename_behind_its_back(home, session["id"], ESCAPES)
    other = cli.start()
    rename_behind_its_back(home, other["id"], ESCAPES)
    printed = [cli("list"), cli("show", session["id"]), cli("stop", session["id"])]
    printed += [cli("list", "--json"), cli("show", ESCAPES, code=0), cli("list", "-a")]
    for done in printed:
        assert not {c for c in done.out + done.err if not c.isprintable()} - {"\n"}
    assert cli.json("show", session["id"])["name"] == ESCAPES


# Opening --------------------------------------------------------------------------------------


def test_open_starts_a_server_and_its_url_answers(cli: Commands, home: Home) -> None:
    session = cli.start("files")
    done = cli("open", "--no-browser", session["id"])
    try:
        (info,) = home.servers()
        assert done.out == f"{info['url']}sessions/{session['id']}/\n"
        server: Any = LiveServer(info["url"], info["token"], None)  # type: ignore[arg-type]
        body = eventually(lambda: server.get(done.out.strip()))
        assert b"<html" in body.lower()
        assert cli.json("open", "--no-browser", session["id"]) == {"url": done.out.strip()}
        assert len(home.servers()) == 1
    finally:
        for info in home.servers():
            os.kill(info["pid"], signal.SIGTERM)
        eventually(lambda: not home.servers())


def test_open_says_where_to_look_when_the_server_does_not_start(cli: Commands, home: Home) -> None:
    (home.config / "jupyter_server_config.py").write_text("c.ServerApp.port = 'none'")
    session = cli.start()
    done = cli("open", "--no-browser", session["id"], code=5)
    assert "jupyter-sessions-server.log" in done.err


def test_with_a_server_running_urls_are_whole_and_it_takes_over(
    cli: Commands, live_server: LiveServer
) -> None:
    done = cli("start", "files", "--wait")
    assert done.out.startswith(f"{live_server.url}sessions/")
    assert b"<html" in live_server.get(done.out.strip()).lower()
    (session,) = cli.json("list")
    listed = json.loads(live_server.get("jupyter-sessions/v1/sessions"))
    assert [s["id"] for s in listed["sessions"]] == [session["id"]]
    cli("stop", session["id"])
    listed = json.loads(live_server.get("jupyter-sessions/v1/sessions"))
    assert listed["sessions"][0]["state"] == "stopped"


def test_the_time_that_list_takes(cli: Commands, home: Home) -> None:
    cli.start()
    begun = time.perf_counter()
    command = ["jupyter-sessions", "list"]
    with subprocess.Popen(command, env=home.environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert b"echo" in process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    print(f"list: {time.perf_counter() - begun:.2f} s, {usage.ru_utime:.2f} s of CPU")
    program = "import sys, jupyter_sessions.cli.commands; print(*sys.modules)"
    modules = subprocess.check_output(["python", "-c", program], env=home.environment, text=True)
    assert not {"jupyter_server", "zmq", "rfc3987_syntax.syntax_helpers"} & set(modules.split())


# Completion -----------------------------------------------------------------------------------


def completed(home: Home, line: str) -> list[str]:
    """What bash completes `line` to, through the shell code that we print ourselves."""
    script = """
        eval "$(jupyter-sessions completion bash 2>/dev/null)"
        COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9 COMP_KEY=9
        read -ra COMP_WORDS <<< "$1"; [[ $1 == *" " ]] && COMP_WORDS+=("")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        function=$(complete -p jupyter-sessions | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
        $function jupyter-sessions
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    output = subprocess.check_output(
        ["bash", "-c", script, "bash", line], env=home.environment, text=True
    )
    return [word.strip() for word in output.splitlines()]


def test_bash_completes_commands_apps_sessions_and_options(cli: Commands, home: Home) -> None:
    session = cli.start()
    assert completed(home, "jupyter-sessions sta") == ["start"]
    assert {"list", "open", "stop"} <= set(completed(home, "jupyter-sessions "))
    assert {"files", "echo"} <= set(completed(home, "jupyter-sessions start "))
    assert completed(home, "jupyter-sessions start ech") == ["echo"]
    assert completed(home, "jupyter-sessions start -s l") == ["local"]
    assert completed(home, "jupyter-sessions presets ech") == ["echo"]
    Preferences(home.data / "jupyter_sessions").save_preset("echo", "Big", {})
    assert completed(home, "jupyter-sessions start echo --preset B") == ["Big"]
    assert completed(home, f"jupyter-sessions stop {session['id'][:3]}") == [session["id"]]
    assert completed(home, "jupyter-sessions stop --al") == ["--all"]


def test_bash_completes_sessions_where_the_configuration_keeps_them(
    cli: Commands, home: Home
) -> None:
    home.config.mkdir(parents=True, exist_ok=True)
    path = home.path / "elsewhere"
    (home.config / "jupyter_server_config.py").write_text(
        f"c.SessionManager.data_dir = {str(path)!r}\n"
    )
    session = cli.start()
    assert (path / "sessions" / session["id"]).is_dir()
    assert completed(home, f"jupyter-sessions show {session['id'][:3]}") == [session["id"]]
    Preferences(path).save_preset("echo", "Big", {})
    assert completed(home, "jupyter-sessions start echo --preset B") == ["Big"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_code_is_printed_as_it_is(cli: Commands, shell: str) -> None:
    assert "jupyter-sessions" in cli("completion", shell).out


def test_a_spawner_that_is_configured_wrongly_is_told_of_and_the_others_work(
    cli: Commands, home: Home
) -> None:
    home.config.mkdir(parents=True, exist_ok=True)
    (home.config / "jupyter_server_config.py").write_text(
        'c.SessionManager.spawners = {"hpc": {"class": "slrum"}, "fine": {"class": "process"}}\n'
    )
    found = {s["name"]: s for s in cli.json("spawners")}
    assert [name for name, s in found.items() if s["available"]] == ["local", "fine"]
    assert "did you mean 'slurm'?" in found["hpc"]["unavailable_reason"]
    assert "did you mean 'slurm'?" in cli("start", "echo", "-s", "hpc", code=3).err
    assert cli.json("start", "echo", "-s", "fine", "--wait")["state"] == "running"

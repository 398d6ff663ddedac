"""Start RStudio Server for one user, on a Unix socket, below a path. Standard library only.

It is made to be one server for a machine, started by root: where it keeps its data, its key for
cookies and its database, and that it has one user who is logged in, all has to be said. Options
that a release does not know are an error to it, so it is asked for them first (``--help``).
"""

from __future__ import annotations

import argparse
import os
import pwd
import re
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

PLACES = ("/usr/lib/rstudio-server/bin", "/usr/lib/rstudio/bin")
"""Where its packages put rserver, which is not on PATH then."""

MACHINE = Path("/etc/rstudio/rsession.conf")
"""What the administrator says about sessions of R; ours would replace it as a whole."""

HELP_TIMEOUT = 30
"""Seconds for rserver to say what it knows: programs on a network file system start slowly."""

NEEDED = "www-socket"
"""Since release 2024.12. Without it, it would listen on a port, without a login."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Start RStudio Server on a Unix socket.")
    parser.add_argument("--socket", required=True)
    parser.add_argument("--root-path", required=True, help="the URL path below which it is seen")
    parser.add_argument("--directory", required=True, type=Path, help="private, for this start")
    parser.add_argument("--state", required=True, type=Path, help="private, kept over restarts")
    parser.add_argument("--folder", required=True, help="where R begins")
    parser.add_argument("--r", default="", help="the path of R")
    given = parser.parse_args()

    rserver = find("rserver")
    if rserver is None:
        sys.exit("rserver is not installed: it is neither on PATH nor in " + " or ".join(PLACES))
    if not Path(given.folder).expanduser().is_dir():
        sys.exit(f"{given.folder} is not a folder.")
    if given.r and shutil.which(given.r) is None:
        sys.exit(f"There is no program {given.r!r}.")
    known = options_of(rserver)
    if NEEDED not in known:
        sys.exit(
            f"{rserver} does not know --{NEEDED}: it is older than release 2024.12, and would "
            "listen on a port that others can reach, without a login. The package "
            "jupyter-rsession-proxy starts it that way."
        )
    user = pwd.getpwuid(os.geteuid()).pw_name
    wanted = wishes(given, user)
    argv = [rserver, *(f"--{name}={value}" for name, value in wanted.items() if name in known)]
    environment = os.environ | {
        # Without it, rserver asks for a login, whatever auth-none says.
        "USER": user,
        "RS_LOGGER_TYPE": "stderr",
        "RS_LOG_LEVEL": "WARN",
    }
    Path(given.socket).unlink(missing_ok=True)
    os.execve(rserver, argv, environment)  # noqa: S606


def wishes(given: argparse.Namespace, user: str) -> dict[str, str]:
    """The options that a session is to have, as far as its release knows them."""
    data = given.state / "rserver"
    data.mkdir(mode=0o700, exist_ok=True)
    key = given.directory / "secure-cookie-key"
    write_private(key, secrets.token_hex(32))
    database = given.directory / "database.conf"
    write_private(database, f"provider=sqlite\ndirectory={data}\n")
    session = given.directory / "rsession.conf"
    write_private(session, session_configuration(str(Path(given.folder).expanduser())))
    wanted = {
        "server-daemonize": "0",
        "server-user": user,
        "server-working-dir": str(given.directory),
        "server-data-dir": str(data),
        "server-pid-file": str(given.directory / "rserver.pid"),
        "secure-cookie-key-file": str(key),
        "database-config-file": str(database),
        "rsession-config-file": str(session),
        # The user has been asked by Jupyter already, and nobody else reaches the socket.
        "auth-none": "1",
        "auth-minimum-user-id": "0",
        "auth-timeout-minutes": "0",
        "auth-stay-signed-in-days": "365",
        "www-socket": given.socket,
        "www-root-path": given.root_path,
        "www-frame-origin": "same",  # in a tab of JupyterLab
        "www-verify-user-agent": "0",
    }
    if given.r:
        wanted["rsession-which-r"] = str(shutil.which(given.r))
    return wanted


def session_configuration(folder: str) -> str:
    """What R's own process is told: the machine's configuration, and where to begin."""
    key = "session-default-working-dir"
    try:
        lines = MACHINE.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        lines = []
    kept = [line for line in lines if line.partition("=")[0].strip() != key]
    return "\n".join([*kept, f"{key}={folder}", ""])


def options_of(rserver: str) -> set[str]:
    """The long options that ``rserver --help`` tells."""
    try:
        done = subprocess.run(
            [rserver, "--help"], capture_output=True, text=True, timeout=HELP_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        sys.exit(f"{rserver} --help does not answer: {problem}")
    found = set(re.findall(r"--([a-z][a-z0-9-]+)", done.stdout + done.stderr))
    if not found:
        sys.exit(f"{rserver} --help tells no options: {(done.stderr or done.stdout).strip()[:500]}")
    return found


def find(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path=os.pathsep.join(PLACES))


def write_private(path: Path, text: str) -> None:
    """Write a file that nobody else can read."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


if __name__ == "__main__":
    main()

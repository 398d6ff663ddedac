"""What an app and its hooks have for fields and for an environment."""

import os
import re
import sys
from typing import Any, Dict

from .archive import PROGRAM
from .errors import StartError
from .files import Json
from .processes import ATTEMPT, RUNNER, mark_of
from .templates import expand, to_bytes

STATUS_FILE = "SESSION_STATUS_FILE"
"""In the environment of the app: where it may tell of itself."""
SECRETS = re.compile(
    rb"(JUPYTERHUB_|JPY_|JUPYTER_SESSIONS_|JUPYTER_GATEWAY_|CONFIGPROXY_)"
    rb"|JUPYTER_(TOKEN|TOKEN_FILE|SERVER_URL|SERVER_ROOT)$"
)
"""Names of variables that are Jupyter's business and not an app's."""


def clean_environment() -> Dict[bytes, bytes]:
    """The environment of this process without what is Jupyter's own."""
    return {key: value for key, value in os.environb.items() if not SECRETS.match(key)}


def app_environment() -> Dict[bytes, bytes]:
    """What every app gets: a clean environment, and last on PATH what is installed beside Python.

    A Jupyter that is run by its full path has no environment activated, and its programs are
    still the ones that its user means.
    """
    env = clean_environment()
    path, beside = env.get(b"PATH", os.defpath.encode()), to_bytes(os.path.dirname(sys.executable))
    if beside not in path.split(b":"):
        env[b"PATH"] = path + b":" + beside
    return env


def base_fields(directory: str, launch: Json) -> Dict[str, Any]:
    """The fields of an attempt's templates; where its app listens is null in them."""
    fields: Dict[str, Any] = {"socket": None, "port": None, "fd": None, "runner": PROGRAM}
    fields.update(launch.get("fields") or {})
    for name in launch.get("secrets") or {}:
        fields[name + "_file"] = os.path.join(directory, "secret." + name)
    fields.update(
        session_dir=directory,
        status_file=os.path.join(directory, "status.json"),
        python=sys.executable,
    )
    return fields


def attempt_environment(directory: str, launch: Json, fields: Json) -> Dict[bytes, bytes]:
    """What the app of an attempt and its hooks have for an environment.

    Raises
    ------
    StartError
        If the launch's own part of it cannot be made.
    """
    env = app_environment()
    env[STATUS_FILE.encode()] = to_bytes(os.path.join(directory, "status.json"))
    env[b"SESSION_DIR"] = to_bytes(directory)
    for key, value in (launch.get("variables") or {}).items():
        env[to_bytes(key)] = to_bytes(value)
    fields = dict(fields, **(launch.get("secrets") or {}))
    for key, template in (launch.get("env") or {}).items():
        value = expand(template, fields) if template is not None else None
        env.pop(to_bytes(key), None)
        if isinstance(value, list):
            raise StartError(f"The environment variable {key} cannot be a list.")
        if value is not None:
            env[to_bytes(key)] = to_bytes(value)
    env.pop(RUNNER.encode(), None)
    env[ATTEMPT.encode()] = to_bytes(mark_of(launch))
    return env

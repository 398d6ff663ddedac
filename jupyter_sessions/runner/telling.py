"""Words to the runner of an attempt, and to its log."""

import contextlib
import os
import re

from .errors import RunnerError
from .files import Json, touch, write_json


def note(payload: Json) -> Json:
    """Add a line to the log of an attempt, as it is.

    Called by spawners for what people and scripts should read there: the URL of the app.

    Parameters
    ----------
    payload
        ``directory`` and ``line``.

    Raises
    ------
    OSError
        If the directory is missing or cannot be written.
    """
    path = os.path.join(str(payload["directory"]), "log")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(fd, "wb", 0) as log:
        log.write(str(payload["line"]).encode("utf-8", "replace") + b"\n")
    return {}


def ready(payload: Json) -> Json:
    """Tell the runner of an attempt that its app is in use now: the after hook runs, once.

    Called by spawners when the manager has seen that the app answers. Harmless twice.

    Parameters
    ----------
    payload
        ``directory``.

    Raises
    ------
    OSError
        If the directory is missing or cannot be written.
    """
    touch(os.path.join(str(payload["directory"]), "ready"))
    return {}


def limit(payload: Json) -> Json:
    """Change the time limit of an attempt; its runner sees it within a second or two.

    Parameters
    ----------
    payload
        ``directory`` and ``timeout``: seconds after the start, or None for no limit.

    Raises
    ------
    RunnerError
        If `timeout` is neither.
    OSError
        If the directory is missing or cannot be written.
    """
    timeout = payload["timeout"]
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, (int, float))):
        raise RunnerError("The time limit has to be a number of seconds, or null.")
    write_json(os.path.join(str(payload["directory"]), "limit.json"), {"timeout": timeout})
    return {"timeout": timeout}


def dial(payload: Json) -> Json:
    """Say where the gate of an attempt is to dial, or that it need not any more. Harmless twice.

    Called by servers that cannot dial the gate, when they open the way to it and close it.

    Parameters
    ----------
    payload
        ``directory``; ``name``, the server's; and ``addresses``: a list of host and port, or None.

    Raises
    ------
    RunnerError
        If `name` is not fit for one.
    OSError
        If the directory is missing or cannot be written.
    """
    if not re.match(r"[\w-]{1,64}\Z", str(payload["name"])):
        raise RunnerError("{!r} is not fit for the name of a server.".format(payload["name"]))
    path = os.path.join(str(payload["directory"]), "dial-{}.json".format(payload["name"]))
    if payload["addresses"] is None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    else:
        write_json(path, {"addresses": payload["addresses"]})
    return {}

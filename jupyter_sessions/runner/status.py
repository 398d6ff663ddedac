"""How attempts are, from their files."""

import contextlib
import os

from .files import Json, Lock, read_json
from .outcome import end
from .processes import is_alive, machine


def poll(payload: Json) -> Json:
    """How attempts are. Reads small files only; called every few seconds for all sessions.

    Parameters
    ----------
    payload
        ``directories``: a list of paths.

    Returns
    -------
    dict
        ``statuses``: for each directory a dict with ``status`` (*absent*: there is no runner yet;
        *starting*: the app does not listen yet; *alive*; *ended*; *unknown*: whether it lives
        cannot be seen from here, but what it wrote is told), ``address, started, deadline, pid,
        hostname, message``, ``told`` (what the app tells of itself, see `read_told`), ``ran``
        (whether a runner ever began), ``asked`` (whether it was asked to stop), ``job`` (see
        ``runner.json``) and ``exit``, the content of ``exit.json``, made up if nobody was left to
        write one (``reason`` is ``runner_lost`` or ``host_restarted``).
    """
    here = machine()
    return {"statuses": {path: status_of(path, here) for path in payload["directories"]}}


def status_of(directory: str, here: Json) -> Json:
    keys = "address started deadline pid exit hostname message told ran asked job"
    status: Json = dict.fromkeys(keys.split())
    try:
        status["status"] = _fillstatus_of(status, directory, here)
    except FileNotFoundError:
        status.update(status="absent", message="It was not started, or its files are gone.")
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"{type(error).__name__}: {error}"
        status.update(status="unknown", message=f"{directory} cannot be read: {what}.")
    return status


def _fillstatus_of(status: Json, directory: str, here: Json) -> str:
    names = set(os.listdir(directory))  # see `Supervisor._look` about NFS

    def read(name: str) -> Json:
        return read_json(os.path.join(directory, name))

    facts: Json = {}
    for name in ("connection.json", "started.json"):
        if name in names:
            facts = read(name)
            status.update((key, facts[key]) for key in ("started", "deadline", "pid"))
            break
    status["told"] = read("told.json") if "told.json" in names else {}
    if not names & {"runner.json", "exit.json"}:
        raise FileNotFoundError(directory)
    runner = read("runner.json") if "runner.json" in names else dict(here, pid=0, started=0)
    status["hostname"] = str(runner["hostname"])
    status.update(ran="runner.json" in names, asked="stop" in names, job=runner.get("job"))
    if is_alive(runner, here):
        if "exit.json" in names:
            return "alive"  # it has said all, and is gone a moment later
        status["address"] = facts.get("address")
        return "alive" if "address" in facts else "starting"
    # Once more from the disk: the runner may have written it since the directory was listed.
    with contextlib.suppress(FileNotFoundError):
        status["exit"] = read("exit.json")
        status["message"] = str(status["exit"]["message"])
        return "ended"
    if runner["hostname"] != here["hostname"]:
        status["address"] = facts.get("address")  # whoever shares its files can tell so much
        status["message"] = "It was started on {hostname} and cannot be seen from here.".format(
            **runner
        )
        return "unknown"
    reason, message = "runner_lost", "Its supervisor was killed, and with it perhaps the app."
    if any(runner[key] != here[key] for key in ("boot_id", "pid_ns")):
        if _locked(directory):
            status["address"] = facts.get("address")
            status["message"] = "It runs in another container or machine with this one's name."
            return "unknown"
        reason, message = "host_restarted", "Its host or container was restarted."
    status["exit"] = end(reason, message, None, [])
    status["message"] = message
    return "ended"


def usage(payload: Json) -> Json:
    """What attempts use, as their runners sampled it last. Reads one small file for each.

    Called by spawners for as long as somebody looks at a plot.

    Parameters
    ----------
    payload
        ``directories``: a list of paths.

    Returns
    -------
    dict
        ``usages``: for each directory the content of its ``usage.json``; left out if there is
        none that can be read.
    """
    usages: Json = {}
    for directory in payload["directories"]:
        with contextlib.suppress(OSError, ValueError):
            usages[directory] = read_json(os.path.join(str(directory), "usage.json"))
    return {"usages": usages}


def _locked(directory: str) -> bool:
    """Whether a runner somewhere holds the lock. Ask only if there is a ``runner.json``.

    Before that, our own short hold could be what sends the attempt's only runner away.
    """
    lock = Lock(directory)
    lock.release()
    return lock.held is False

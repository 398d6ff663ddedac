"""What Grid Engine's cluster queues offer: `qconf`'s answers, as choices of the form."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .choices import Choices

UNITS = {"k": 1000, "K": 1024, "m": 1000**2, "M": 1024**2, "g": 1000**3, "G": 1024**3}


def sections(told: bytes) -> list[dict[str, str]]:
    """The names and values of each object that ``qconf -s…`` shows: they are on a line each."""
    text = told.decode("utf-8", "replace").replace("\\\n", " ")
    blocks = [re.findall(r"^(\w+) +(\S.*?) *$", block, re.M) for block in text.split("\n\n")]
    return [dict(block) for block in blocks if block]


def read_lists(value: str) -> list[str]:
    """The names in ``smp,[@big=mpi smp]``, whichever hosts they are for."""
    return [name for name in re.findall(r"[\w.+-]+", _values(value)) if name != "NONE"]


def choices_of(
    queues: Sequence[Mapping[str, str]], environments: Sequence[str], first: str
) -> Choices:
    """What can be chosen, and how much of it in which queue.

    Parameters
    ----------
    queues
        As `sections` gives them.
    environments
        The parallel environments whose slots are on one node.
    first
        Which of them is chosen at first, if it is there.
    """
    named = {queue["qname"]: _limits(queue, environments) for queue in queues if "qname" in queue}
    if not named:
        return Choices()
    schemas: dict[str, Any] = {"queue": {"enum": list(named)}}
    for option in ("cpus", "memory", "hours"):
        bounds = [limits.get(option) for limits in named.values()]
        if known := [bound for bound in bounds if bound is not None]:
            schemas[option] = {"maximum": max(known)} if len(known) == len(bounds) else {}
    default = first if first in environments else next(iter(environments), "")
    schemas["parallel_environment"] = (
        {"enum": list(environments), "default": default} if environments else None
    )
    rules = [
        {
            "if": {"required": ["queue"], "properties": {"queue": {"const": name}}},
            "then": {"properties": {o: {"maximum": bound} for o, bound in limits.items()}},
        }
        for name, limits in named.items()
    ]
    return Choices({n: s for n, s in schemas.items() if s is None or s}, rules)


def _limits(queue: Mapping[str, str], environments: Sequence[str]) -> dict[str, float]:
    """What a job may have at the most on some host of a queue, by option."""
    parallel = set(read_lists(queue.get("pe_list", ""))) & set(environments)
    slots = max((int(n) for n in re.findall(r"\d+", _values(queue.get("slots", "")))), default=1)
    found: dict[str, float] = {"cpus": slots if parallel else 1}
    memory = [bytes_of(value) for value in _each(queue.get("h_vmem", ""))]
    if memory and all(memory):
        found["memory"] = max(memory) * found["cpus"] / 1024**3
    hours = [_hours(value) for value in _each(queue.get("h_rt", ""))]
    if hours and all(hours):
        found["hours"] = max(hours)
    return found


def _values(value: str) -> str:
    """A value with those of single hosts, ``8,[@big=64],[n1=4]``, without the hosts' names."""
    return re.sub(r"\[[^=\]]*=", " ", value).replace("]", " ")


def _each(value: str) -> list[str]:
    return re.findall(r"[^\s,]+", _values(value))


def bytes_of(text: str) -> float:
    """``4G``, ``80M`` or ``48.062MB`` in bytes; 0 for what is none, such as INFINITY."""
    found = re.fullmatch(r"([\d.]+)([kKmMgG]?)(?:B|Bs)?", text.strip())
    return float(found.group(1)) * UNITS.get(found.group(2), 1) if found else 0


def _hours(text: str) -> float:
    """``24:00:00`` or seconds, in hours; 0 for what is none, such as INFINITY."""
    if not re.fullmatch(r"\d+(:\d+){0,2}", text):
        return 0
    seconds = 0
    for part in text.split(":"):
        seconds = seconds * 60 + int(part)
    return seconds / 3600

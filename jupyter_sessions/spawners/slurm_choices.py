"""What Slurm offers, as choices of a form: partitions, accounts, QoS and their limits. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .choices import Choices


class Partition:
    """One partition: what all of its nodes together can give to a job on one of them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.default = self.up = False
        self.hours: float | None = None
        self.cpus = self.memory = self.gpus = 0
        self.gpu_types: set[str] = set()


def read_partitions(output: str) -> list[Partition]:
    """The partitions that sinfo tells of; several lines may be one's."""
    found: dict[str, Partition] = {}
    for line in output.splitlines():
        values = [value.strip() for value in line.split("|")]
        if len(values) != 7:
            continue
        name = values[0].removesuffix("*")
        partition = found.setdefault(name, Partition(name))
        partition.default |= values[0].endswith("*")
        partition.up |= values[1] == "up"
        partition.hours = _hours(values[2])
        partition.cpus = max(partition.cpus, _number(values[3]))
        partition.memory = max(partition.memory, _number(values[4]))
        for kind, count in re.findall(r"(?:^|,)gpu(?::([^:,(]+))?:(\d+)", values[5]):
            partition.gpus = max(partition.gpus, int(count))
            partition.gpu_types |= {kind} - {""}
    return list(found.values())


@dataclass(frozen=True, slots=True)
class Association:
    """What a user may do on behalf of an account: one line of sacctmgr's.

    Parameters
    ----------
    partition
        The only one that it is for; empty if it is for all.
    hours
        The longest job; None if it does not say.
    """

    account: str
    partition: str
    qos: tuple[str, ...]
    hours: float | None


@dataclass(frozen=True, slots=True)
class Accounting:
    """What accounting says of a user; nothing of it where there is none.

    Parameters
    ----------
    qos
        The longest job of each QoS, in hours; None if it does not say.
    account
        The one that counts if none is named.
    silent
        Whether it does not answer now: all else is what it said before, if anything.
    """

    associations: Sequence[Association] = ()
    qos: Mapping[str, float | None] = field(default_factory=dict)
    account: str = ""
    silent: bool = False

    def hours(self, associations: Sequence[Association], qos: str = "") -> float | None:
        """The longest job that one of them allows, by its own limit or by that of a QoS, which
        comes first; None if one has no limit.
        """
        longest = 0.0
        for association in associations:
            for name in [qos] if qos else association.qos or [""]:
                limit = self.qos.get(name)
                limit = association.hours if limit is None else limit
                if limit is None:
                    return None
                longest = max(longest, limit)
        return longest or None


def read_associations(output: str) -> list[Association]:
    """The lines of sacctmgr's ``Account,Partition,QOS,MaxWall``; others are not its own."""
    lines = [line.split("|") for line in output.splitlines()]
    return [
        Association(line[0], line[1], tuple(q for q in line[2].split(",") if q), _hours(line[3]))
        for line in lines
        if len(line) == 4 and line[0]
    ]


def read_qos(output: str) -> dict[str, float | None]:
    """The longest job of each QoS: sacctmgr's ``Name,MaxWall``."""
    lines = [line.split("|") for line in output.splitlines()]
    return {line[0]: _hours(line[1]) for line in lines if len(line) == 2 and line[0]}


def choices_of(
    partitions: Sequence[Partition], accounting: Accounting, allowed: Sequence[str] = ()
) -> Choices:
    """What can be chosen, and how much of it in which partition, account and QoS."""
    usable = [p for p in partitions if p.up and (not allowed or p.name in allowed)]
    if not usable:
        return Choices()
    first = next((p.name for p in usable if p.default), usable[0].name)
    kinds = sorted({kind for p in usable for kind in p.gpu_types})
    most_gpus = max(p.gpus for p in usable)
    accounts = sorted({a.account for a in accounting.associations})
    qos = sorted({q for a in accounting.associations for q in a.qos})
    schemas: dict[str, Any] = {
        "partition": {"enum": [p.name for p in usable], "default": first},
        "cpus": {"maximum": max(p.cpus for p in usable)},
        "memory": {"maximum": max(p.memory for p in usable) / 1024},
        "gpus": {"maximum": most_gpus} if most_gpus else None,
        "gpu_type": {"enum": kinds} if kinds else None,
        "account": {"enum": accounts} if accounts else {},
        "qos": {"enum": qos} if qos else {},
    }
    if accounting.account in accounts:
        schemas["account"]["description"] = f"Who pays. Empty for {accounting.account}."
    if accounting.silent:
        known = "these are as they were before" if accounts else "type a name"
        schemas["account"]["description"] = (
            f"Who pays. Slurm's accounting does not answer: {known}."
        )
    limits = [p.hours for p in usable]
    longest = [hours for hours in limits if hours is not None]
    bounds = [max(longest)] if len(longest) == len(limits) else []
    whole = accounting.hours(accounting.associations)
    if bounds := bounds + ([] if whole is None else [whole]):
        schemas["hours"] = {"maximum": min(bounds)}
    rules = [
        _rule(
            "partition",
            p.name,
            {
                "cpus": {"maximum": p.cpus},
                "memory": {"maximum": p.memory / 1024},
                "gpus": {"maximum": p.gpus},
                **({} if p.hours is None else {"hours": {"maximum": p.hours}}),
            },
        )
        for p in usable
    ]
    rules += _rules_of(accounting, accounts, qos, [p.name for p in usable])
    # What a rule makes of a default counts over those before: the shortest time has to be last.
    rules.sort(key=_length, reverse=True)
    return Choices({n: s for n, s in schemas.items() if s is None or s}, rules)


def _rules_of(
    accounting: Accounting, accounts: Sequence[str], qos: Sequence[str], partitions: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """What the choice of an account or a QoS leaves of the other choices."""
    for account in accounts:
        own = [a for a in accounting.associations if a.account == account]
        then: dict[str, Any] = {}
        if all(a.partition for a in own):
            bound = {a.partition for a in own}
            then["partition"] = {"enum": [p for p in partitions if p in bound]}
        if all(a.qos for a in own):
            then["qos"] = {"enum": sorted({q for a in own for q in a.qos})}
        if (hours := accounting.hours(own)) is not None:
            then["hours"] = {"maximum": hours}
        yield _rule("account", account, then)
    for name in qos:
        having = [a for a in accounting.associations if name in a.qos]
        if (hours := accounting.hours(having, name)) is not None:
            yield _rule("qos", name, {"hours": {"maximum": hours}})


def _rule(option: str, value: str, then: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of other options while one has a value."""
    chosen = {"required": [option], "properties": {option: {"const": value}}}
    return {
        "if": chosen,
        "then": {"properties": {n: s for n, s in then.items() if s.get("enum", s)}},
    }


def _length(rule: Mapping[str, Any]) -> float:
    hours = rule["then"]["properties"].get("hours", {})
    return float(hours.get("maximum", math.inf))


def _number(text: str) -> int:
    """`64`, or `64+` where nodes differ."""
    digits = re.match(r"\d+", text)
    return int(digits.group()) if digits else 0


def _hours(text: str) -> float | None:
    """A time limit of Slurm's, ``[DAYS-]HH:MM:SS`` or shorter, in hours; None if there is none."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+)(?::(\d+))?", text)
    if found is None:
        return None
    days, hours, minutes, seconds = (int(value or 0) for value in found.groups())
    if found.group(2) is not None and found.group(4) is None:  # MM:SS
        hours, minutes, seconds = 0, hours, minutes
    return days * 24 + hours + minutes / 60 + seconds / 3600

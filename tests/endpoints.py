"""Our REST URLs, as a server's own URL table has them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from tornado.web import Application

from .helpers import API

GROUP = re.compile(r"\(\?P<(\w+)>([^()]*)\)")
VALUES = {"session_id": ["nosuch"], "name": ["files"], "preset": ["mine"]}
PLACEHOLDERS = {"session_id": "{id}", "name": "{name}", "preset": "{preset}"}


@dataclass(frozen=True)
class Endpoint:
    """One URL: as the OpenAPI document writes it, as a path to ask for, and its methods."""

    template: str
    path: str
    methods: tuple[str, ...]


def endpoints(app: Application) -> Iterator[Endpoint]:
    """All of ours but the catch-all."""
    for rule in _rules(app.default_router):
        pattern = getattr(rule.matcher, "regex", re.compile("")).pattern.rstrip("$")
        _, ours, tail = pattern.replace(r"\-", "-").replace(r"\.", ".").partition(API)
        if not ours or tail == ".*":
            continue
        names = [name for name, _ in GROUP.findall(tail)]
        choices = [VALUES.get(name) or choice.split("|") for name, choice in GROUP.findall(tail)]
        for values in product(*choices):
            shown = [PLACEHOLDERS.get(n, v) for n, v in zip(names, values, strict=True)]
            methods = tuple(rule.target.methods())
            yield Endpoint(_filled(tail, shown), _filled(tail, values), methods)


def _filled(pattern: str, values: Any) -> str:
    remaining = iter(values)
    return GROUP.sub(lambda _: next(remaining), pattern)


def _rules(router: Any) -> Iterator[Any]:
    for rule in router.rules:
        if hasattr(rule.target, "rules"):
            yield from _rules(rule.target)
        else:
            yield rule

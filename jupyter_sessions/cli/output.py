"""What the command line prints: answers on standard output, everything else on standard error."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ..errors import SessionError


def say(message: str) -> None:
    """A word to the person, not part of the answer."""
    print(plain(message), file=sys.stderr)  # noqa: T201


def answer(text: str) -> None:
    """A line of the answer."""
    print(plain(text), flush=True)  # noqa: T201


def answer_json(value: Any) -> None:
    """The answer, for programs."""
    print(_json(value), flush=True)  # noqa: T201


def error(problem: SessionError, *, as_json: bool) -> None:
    """Why nothing was done."""
    if as_json:
        print(_json(problem.describe()), file=sys.stderr)  # noqa: T201
    else:
        say(f"jupyter sessions: {problem.message}")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Rows under a head, in columns; the last column is cut at the edge of a terminal."""
    all_rows = [list(head), *([plain(cell, lines=False) for cell in row] for row in rows)]
    widths = [max(len(row[n]) for row in all_rows) for n in range(len(head))]
    edge = shutil.get_terminal_size((200, 24)).columns if sys.stdout.isatty() else 10_000
    for row in all_rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        answer(line.rstrip()[:edge])


def plain(text: str, *, lines: bool = True) -> str:
    """`text` without characters that could move a terminal's cursor, but to a new line."""
    return "".join(c if c.isprintable() or (lines and c == "\n") else " " for c in text)


def facts(session: Mapping[str, Any]) -> None:
    """All about one session, a line each."""
    names = (
        "id name title state message reason exit_code url host spawner cwd created started ready"
        " ended timeout expires last_activity unreachable_since attempt"
    )
    shown = {n: session[n] for n in names.split() if session[n] not in (None, "")}
    for name in shown.keys() & MOMENTS:
        shown[name] = f"{clock(session[name])} ({since(session[name])} ago)"
    if session["expires"]:
        shown["expires"] = f"{clock(session['expires'])} (in {left(session['expires'])})"
    if session["timeout"]:
        shown["timeout"] = _span(timedelta(seconds=session["timeout"]))
    if session["links"]:
        shown["links"] = ", ".join(f"{link['title']}: {link['url']}" for link in session["links"])
    for name in ("options", "resources"):
        if session[name]:
            shown[name] = json.dumps(session[name], ensure_ascii=False)
    shown["actions"] = ", ".join(session["actions"])
    width = max(map(len, shown))
    for name, value in shown.items():
        answer(f"{name.ljust(width)}  {plain(str(value), lines=False)}")


MOMENTS = {"created", "started", "ready", "ended", "last_activity", "unreachable_since"}


def clock(moment: str) -> str:
    """`moment` as the person's own clock shows it."""
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def left(moment: str | None) -> str:
    """The time until `moment`, as people say it."""
    return "" if moment is None else _span(datetime.fromisoformat(moment) - datetime.now(UTC))


def since(moment: str | None) -> str:
    """The time since `moment`, as people say it."""
    return "" if moment is None else _span(datetime.now(UTC) - datetime.fromisoformat(moment))


def _span(delta: timedelta) -> str:
    seconds = max(0, round(delta.total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _json(value: Any) -> str:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    # JSON escapes control characters, but not all that a terminal may obey.
    return text if text == plain(text) else json.dumps(value, indent=2)

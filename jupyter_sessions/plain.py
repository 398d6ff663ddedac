"""Plain data from files that people write: what YAML knows and JSON does not is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

LONGEST = 100_000
"""Bytes that one option may have: Linux takes no argument of more than 128 KiB."""
LARGEST, DEEPEST = 20_000, 50
"""Values that one file may have, and how deep in it, YAML's aliases written out."""


class NotPlain(ValueError):
    """A file holds something other than plain data; the message names the field.

    Parameters
    ----------
    path
        Where that is in the data, if it was read.
    mark
        Where that is in the file, line and column from 1, if it could not be read.
    """

    def __init__(
        self, message: str, path: Sequence[str] = (), mark: tuple[int, int] | None = None
    ) -> None:
        super().__init__(message)
        self.path = tuple(path)
        self.mark = mark


def read_yaml(path: Path, limit: int) -> Any:
    """What the YAML file `path` holds, not yet checked (`check_plain`).

    Called for `app.yaml` and for a project's defaults, in a thread.

    Parameters
    ----------
    limit
        Bytes that it may have.

    Raises
    ------
    NotPlain
        If it is too long, or is no YAML: in words for people, on one line.
    OSError
        If it cannot be read.
    """
    with path.open("rb") as file:
        return parse_yaml(file.read(limit + 1), limit)


def parse_yaml(content: bytes, limit: int) -> Any:
    """What `content`, a YAML file's, says; see `read_yaml`."""
    if len(content) > limit:
        raise NotPlain(f"is larger than {limit} bytes")
    try:
        return yaml.safe_load(content.decode("utf-8"))
    except RecursionError:
        raise NotPlain("is nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        at = getattr(error, "problem_mark", None)
        mark = None if at is None else (at.line + 1, at.column + 1)
        raise NotPlain(" ".join(str(error).split()), mark=mark) from None
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        # What PyYAML raises for a value that only looks like a date, a number or a truth value.
        raise NotPlain(f"a value has the wrong form: {error}") from None


def check_plain(data: Any, whole: str) -> None:
    """Refuse what YAML knows and JSON does not: a session's record could not hold it.

    Parameters
    ----------
    whole
        What to call `data` itself: the name of its file.

    Raises
    ------
    NotPlain
    """
    todo: list[tuple[tuple[str, ...], Any]] = [((), data)]
    for _ in range(LARGEST):
        if not todo:
            return
        path, value = todo.pop()
        where = ".".join(path) or whole
        if len(path) > DEEPEST:
            raise NotPlain(f"{path[0]}: it is nested too deeply, or contains itself", path[:1])
        if isinstance(value, dict):
            for key, item in value.items():
                if not isinstance(key, str):  # `on:` and `1:` are no texts in YAML
                    raise NotPlain(f"{where}: put quotes around the key {key!r}", path)
                todo += [(path, key), ((*path, key), item)]
        elif isinstance(value, list):
            todo += [((*path, str(n)), item) for n, item in enumerate(value)]
        elif isinstance(value, str | float):
            if problem := unfit(value):
                raise NotPlain(f"{where}: {problem}", path)
        elif value is not None and not isinstance(value, bool | int):
            raise NotPlain(f"{where}: {value!r} is not plain data: put quotes around it", path)
    raise NotPlain(f"it has more than {LARGEST} values")


def as_text(value: Any) -> str:
    """`value` as an argument of a command; ValueError for a number that is not finite."""
    return value if isinstance(value, str) else json.dumps(value, allow_nan=False)


def unfit(value: Any) -> str:
    """Why `value` cannot be an argument of a command; empty if it can."""
    for text in value if isinstance(value, list) else [value]:
        try:
            encoded = as_text(text).encode()
        except UnicodeEncodeError:
            return "it has a character that is not valid Unicode"
        except ValueError:
            return "it is not a finite number"
        if b"\0" in encoded:
            return "it has a NUL character, which no command line can hold"
        if len(encoded) > LONGEST:
            return f"it is longer than {LONGEST} bytes"
    return ""

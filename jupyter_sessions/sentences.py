"""What is wrong with a value by its JSON Schema, as sentences for people, each on its field."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from jsonschema import ValidationError

from .errors import FieldError

KINDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
TESTS = ("const", "enum")
RANKS = {"const": 0, "enum": 1, "type": 2}
"""Which keyword speaks if a value does not fit several; all others come after these."""
SHOWN = 40
"""How many choices a sentence lists."""


def explain(errors: Iterable[ValidationError], prefix: str) -> list[FieldError]:
    """`errors` as one sentence per field: that which says most about what to give.

    Called by `options.OptionSchema`.

    Parameters
    ----------
    prefix
        What the validated object is called: ``options``, ``resources``.
    """
    found: dict[str, tuple[int, FieldError]] = {}
    for error in errors:
        rank = RANKS.get(str(error.validator), len(RANKS))
        for item in _explained(error, prefix):
            known = found.get(item.field)
            if known is None or rank < known[0]:
                found[item.field] = rank, item
    return [item for _, item in found.values()]


def closest(alternatives: Sequence[Sequence[ValidationError]]) -> int:
    """Which of several alternatives was meant, by the errors of each: the index of one of them.

    An alternative usually says what it is for by a `const` or an `enum`: one for which those fit
    comes before one with fewer errors.
    """

    def distance(n: int) -> tuple[int, int]:
        errors = alternatives[n]
        return (sum(error.validator in TESTS for error in errors), len(errors))

    return min(range(len(alternatives)), key=distance)


def shorten(message: str) -> str:
    """A message of jsonschema without most of the value that it quotes."""
    return message if len(message) <= 300 else f"{message[:150]} … {message[-140:]}"


def _explained(error: ValidationError, prefix: str) -> Iterator[FieldError]:
    path = ".".join([prefix, *(str(part) for part in error.absolute_path)])
    if error.validator == "required":
        # jsonschema has an error for each, none of which says for which: `explain` takes one.
        for name in _value(error):
            if name not in _instance(error):
                yield FieldError(f"{path}.{name}", "this is required")
    elif error.validator == "dependentRequired":
        for given, names in _value(error).items():
            for name in names if given in _instance(error) else ():
                if name not in _instance(error):
                    yield FieldError(f"{path}.{name}", f"this is required when {given} is given")
    elif error.validator in ("anyOf", "oneOf") and error.context:
        yield from _alternatives(error, prefix, path)
    elif error.validator == "oneOf":
        yield FieldError(path, "this fits more than one of the alternatives")
    elif error.validator == "not":
        yield from _forbidden(error, path)
    else:
        yield FieldError(path, shorten(_sentence(error)))


def _alternatives(error: ValidationError, prefix: str, path: str) -> Iterator[FieldError]:
    """An `anyOf` or `oneOf` of which nothing fits."""
    by_branch: dict[Any, list[ValidationError]] = {}
    for below in error.context or ():
        by_branch.setdefault(below.relative_schema_path[0], []).append(below)
    branches = list(by_branch.values())
    if not isinstance(_instance(error), dict):
        yield FieldError(path, "; or ".join(_words(branches)))
        return
    meant = branches[closest(branches)]
    tests = [below for below in meant if below.validator in TESTS]
    if not tests:
        for below in meant:
            yield from _explained(below, prefix)
        return
    where = list(tests[0].absolute_path)
    same = [e for branch in branches for e in branch if list(e.absolute_path) == where]
    choices = [c for e in same if e.validator in TESTS for c in _choices(e)]
    yield FieldError(".".join([prefix, *map(str, where)]), _choose(choices))


def _words(branches: Iterable[Iterable[ValidationError]]) -> list[str]:
    """What each alternative would take, for one value."""
    return list(dict.fromkeys(shorten(_sentence(e)) for branch in branches for e in branch))


def _forbidden(error: ValidationError, path: str) -> Iterator[FieldError]:
    """A `not`: most often names of which only one may be given."""
    names = _value(error).get("required") if isinstance(_value(error), dict) else ()
    if isinstance(_instance(error), dict) and names:
        together = " and ".join(names)
        word = "cannot be given together" if len(names) > 1 else "cannot be given here"
        yield FieldError(f"{path}.{names[-1]}", f"{together} {word}")
    else:
        yield FieldError(path, "this is not allowed")


def _choices(error: ValidationError) -> list[Any]:
    return [_value(error)] if error.validator == "const" else list(_value(error))


def _choose(choices: Sequence[Any]) -> str:
    texts = list(dict.fromkeys(_shown(choice) for choice in choices))
    if len(texts) == 1:
        return f"this has to be {texts[0]}"
    more = f" … ({len(texts)} in all)" if len(texts) > SHOWN else ""
    return f"choose one of: {', '.join(texts[:SHOWN])}{more}"


def _shown(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # as people write it
    return value if isinstance(value, str) and value else json.dumps(value)


def _type(error: ValidationError) -> str:
    kinds = _value(error)
    names = [kinds] if isinstance(kinds, str) else list(kinds)
    return "give " + " or ".join(KINDS.get(name, name) for name in names)


def _pattern(error: ValidationError) -> str:
    description = _schema(error).get("description")
    if isinstance(description, str) and description:
        return f"this does not have the right form. {description}"
    return f"this does not fit the pattern {_value(error)}"


def _length(error: ValidationError) -> str:
    if error.validator == "minLength" and _value(error) == 1:
        return "this must not be empty"
    amount = "at least" if error.validator == "minLength" else "at most"
    return f"give {amount} {_count(_value(error), 'character')}"


def _items(error: ValidationError) -> str:
    amount = "at least" if error.validator == "minItems" else "at most"
    return f"give {amount} {_count(_value(error), 'value')}"


def _count(number: Any, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _bounds(error: ValidationError) -> str:
    schema = _schema(error)
    if "minimum" in schema and "maximum" in schema:
        return f"give a number from {_shown(schema['minimum'])} to {_shown(schema['maximum'])}"
    words = {
        "minimum": "give {} or more",
        "maximum": "give {} or less",
        "exclusiveMinimum": "give more than {}",
        "exclusiveMaximum": "give less than {}",
    }
    return words[str(error.validator)].format(_shown(_value(error)))


def _value(error: ValidationError) -> Any:
    """What the keyword of the schema says."""
    return error.validator_value


def _instance(error: ValidationError) -> Any:
    return error.instance


def _schema(error: ValidationError) -> Mapping[str, Any]:
    return error.schema if isinstance(error.schema, Mapping) else {}


def _sentence(error: ValidationError) -> str:
    word = SENTENCES.get(str(error.validator))
    return error.message if word is None else word(error)


SENTENCES: Mapping[str, Callable[[ValidationError], str]] = {
    "type": _type,
    "enum": lambda error: _choose(_choices(error)),
    "const": lambda error: _choose(_choices(error)),
    "minimum": _bounds,
    "maximum": _bounds,
    "exclusiveMinimum": _bounds,
    "exclusiveMaximum": _bounds,
    "multipleOf": lambda error: f"give a multiple of {_shown(_value(error))}",
    "minLength": _length,
    "maxLength": _length,
    "pattern": _pattern,
    "minItems": _items,
    "maxItems": _items,
    "uniqueItems": lambda _: "give no value twice",
    "required": lambda error: f"give {', '.join(_value(error))}",
}
"""By the keyword of JSON Schema that a value does not fit."""

"""The form of a Parallel Works ACTIVATE workflow as an app's options: `Workflow`.

It is read from ``workflow.yaml`` (``on.execute.inputs``) or from the older ``workflow.xml``. What
says where to run is left out: a session has its spawner for that. A value that the platform works
out when it runs (``${{ … }}``) is none here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ..plain import NotPlain, read_yaml
from .app import OWN_FIELDS, TARGET_FIELDS, AppError
from .folders import LARGEST

ELSEWHERE = frozenset({"resource", "cluster", "scheduler", "slurm", "pbs", "pwrl_host", "host"})
"""Inputs and groups that say where to run."""
OURS = frozenset({"service_port", "servicePort", "basepath", "PATH"})
"""Variables that are set by the session, whatever a form has."""
KINDS: Mapping[str, Mapping[str, Any]] = {
    "string": {"type": "string"},
    "text": {"type": "string"},
    "hidden": {"type": "string", "x-hidden": True},
    "editor": {"type": "string"},
    "color-picker": {"type": "string"},
    "password": {"type": "string", "format": "password"},
    "number": {"type": "number"},
    "float": {"type": "number"},
    "slider": {"type": "number"},
    "integer": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "dropdown": {"type": "string"},
    "select": {"type": "string"},
    "multi-dropdown": {"type": "array", "uniqueItems": True},
}
"""The types of inputs that have a meaning here; all others name things of the platform."""
ALIAS = re.compile(
    r"^[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)=([\"']?)"
    r"\$\{\{[ \t]*inputs\.([\w.-]+)[ \t]*\}\}\2[ \t]*$",
    re.MULTILINE,
)
"""A line of a workflow's step that puts an input into ``inputs.sh`` under a name of its own."""
COMPARISON = re.compile(
    r"""(?P<not>!)?\s*inputs\.(?P<name>[\w.-]+)\s*(?:(?P<op>[!=]==?)\s*(?P<value>[^&|()!=]+))?
    |(?P<first>[^&|()!=]+?)\s*(?P<op2>[!=]==?)\s*inputs\.(?P<name2>[\w.-]+)""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Input:
    """One input: its option, the variables that scripts find it in, and what kind of value it is.

    Parameters
    ----------
    words
        What true and false are called, for a boolean that has words of its own.
    """

    option: str
    variables: tuple[str, ...]
    several: bool = False
    words: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Workflow:
    """What a workflow file says, as far as it matters here.

    Parameters
    ----------
    schema
        The JSON Schema of the options.
    slug
        Where the service is opened below its URL.
    https
        Whether the service speaks TLS.
    """

    schema: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[Input, ...] = ()
    slug: str = ""
    https: bool = False


def read_workflow(path: Path) -> Workflow:
    """What the workflow file `path`, YAML or XML, says. Called in a thread.

    Raises
    ------
    AppError, NotPlain
        If it is wrong; the message names the input.
    OSError
        If it cannot be read.
    """
    if path.suffix == ".xml":
        return _of_xml(path)
    data = read_yaml(path, LARGEST)
    if not isinstance(data, Mapping):
        raise NotPlain("is no workflow: there is nothing under `on`")
    form = _Form()
    # In YAML 1.1 a bare `on` is the word for true.
    trigger = data.get("on", data.get(True))
    inputs = _at(trigger, "execute", "inputs")
    if inputs is not None:
        _walk(inputs, (), form)
    for text in _steps(data, "run"):
        for name, _quote, path_ in ALIAS.findall(text):
            form.alias(path_, name)
    slugs = [s for w in _steps(data, "with") for s in (_at(w, "service", "slug"), _at(w, "slug"))]
    slug = next((s for s in slugs if isinstance(s, str) and "${" not in s), "")
    sessions = data.get("sessions")
    named = sessions.values() if isinstance(sessions, Mapping) else ()
    https = any(_at(session, "useTLS") is True for session in named)
    return form.workflow(slug, https=https)


def _at(data: Any, *names: str) -> Any:
    for name in names:
        data = data.get(name) if isinstance(data, Mapping) else None
    return data


def _steps(data: Mapping[Any, Any], key: str) -> Iterator[Any]:
    jobs = data.get("jobs")
    for job in jobs.values() if isinstance(jobs, Mapping) else ():
        steps = _at(job, "steps")
        for step in steps if isinstance(steps, list) else ():
            value = _at(step, key)
            if key != "run" or isinstance(value, str):
                yield value


# A form, as it is put together -------------------------------------------------------------------


class _Form:
    """Options and rules, gathered from either kind of file."""

    def __init__(self) -> None:
        self._properties: dict[str, Any] = {}
        self._types: dict[str, str] = {}
        self._required: list[str] = []
        self._rules: list[dict[str, Any]] = []
        self._inputs: dict[str, Input] = {}
        self._hidden: list[tuple[str, str, bool]] = []

    def add(
        self,
        path: tuple[str, ...],
        schema: dict[str, Any],
        *,
        needed: bool = False,
        hidden: str = "",
        words: tuple[str, str] | None = None,
    ) -> str:
        """Declare the input at `path`, which is hidden while the expression `hidden` holds."""
        variable = "_".join(re.sub(r"\W", "_", part) for part in path)
        if variable in OURS:
            return ""
        taken = TARGET_FIELDS | OWN_FIELDS
        option = f"input_{variable}" if variable in taken or variable[:1].isdigit() else variable
        several = schema.get("type") == "array"
        self._inputs[".".join(path)] = Input(option, (variable,), several, words)
        if needed and "default" not in schema and not schema.get("x-hidden"):
            if schema.get("type") == "string":
                schema.setdefault("minLength", 1)
            self._hidden.append((option, hidden, True))
        elif hidden:
            self._hidden.append((option, hidden, False))
        self._properties[option] = schema
        self._types[option] = schema["type"]
        return option

    def alias(self, path: str, variable: str) -> None:
        """Let scripts find an input under the name `variable` too."""
        known = self._inputs.get(path)
        if known is not None and variable not in {*OURS, *known.variables}:
            names = (*known.variables, variable)
            self._inputs[path] = Input(known.option, names, known.several, known.words)

    def only_while(self, condition: dict[str, Any], options: Iterable[str]) -> None:
        """Move `options` into a rule: they apply while `condition` holds."""
        moved = {name: self._properties.pop(name) for name in options if name in self._properties}
        if moved:
            self._rules.append({"if": condition, "then": {"properties": moved}})

    def workflow(self, slug: str = "", *, https: bool = False) -> Workflow:
        for option, hidden, needed in self._hidden:
            shown = self._shown(hidden) if hidden else None
            if shown is None:
                if needed and not hidden:
                    self._required.append(option)
                continue
            then: dict[str, Any] = {"properties": {option: self._properties.pop(option)}}
            if needed:
                then["required"] = [option]
            self._rules.append({"if": shown, "then": then})
        schema: dict[str, Any] = {"type": "object", "properties": self._properties}
        if self._required:
            schema["required"] = self._required
        if self._rules:
            schema["allOf"] = self._rules
        return Workflow(schema, tuple(self._inputs.values()), slug, https)

    def _shown(self, hidden: str) -> dict[str, Any] | None:
        """The condition under which what is `hidden` so shows; None if it is not understood.

        Comparisons of inputs with constants are, joined by ``||`` or by ``&&``.
        """
        both = "&&" in hidden
        parts = hidden.split("&&" if both else "||")
        tests = [self._test(part.strip()) for part in parts]
        known = [test for test in tests if test is not None]
        if len(known) < len(tests):
            return None
        negated = [{"not": test} if not wanted else test for test, wanted in known]
        if len(negated) == 1:
            return negated[0]
        return {"anyOf" if both else "allOf": negated}

    def _test(self, text: str) -> tuple[dict[str, Any], bool] | None:
        """A comparison as a condition, and whether it has to hold for the input to show."""
        match = COMPARISON.fullmatch(text)
        if match is None:
            return None
        name = match["name"] or match["name2"]
        known = self._inputs.get(name)
        if known is None or known.several:
            return None
        operator = match["op"] or match["op2"]
        value: Any = True
        if operator:
            value = self._constant((match["value"] or match["first"]).strip(), known.option)
        equal = (operator or "==").startswith("=") != bool(match["not"])
        test = {"properties": {known.option: {"const": value}}, "required": [known.option]}
        return test, not equal

    def _constant(self, text: str, option: str) -> Any:
        kind = self._types[option]
        plain = text.strip("'\"")
        if kind == "boolean" and plain in ("true", "false"):
            return plain == "true"
        if kind in ("number", "integer"):
            try:
                return float(plain) if "." in plain else int(plain)
            except ValueError:
                return plain
        return plain


def _choices(schema: dict[str, Any], pairs: list[tuple[str, str]]) -> None:
    """Let `schema` accept the values of `pairs` (value, label), and drop a default that is none."""
    values = [value for value, _ in pairs]
    offered = {"oneOf": [{"const": v, "title": label or v} for v, label in pairs]}
    if schema["type"] == "array":
        schema["items"] = {"type": "string", **offered}
        default = schema.get("default")
        if isinstance(default, list) and not set(default) <= set(values):
            del schema["default"]
    else:
        schema |= offered
        if schema.get("default") not in values:
            schema.pop("default", None)


def _expression(value: Any) -> str:
    """What stands between ``${{`` and ``}}``; empty if `value` is no expression."""
    match = (
        re.fullmatch(r"\s*\$\{\{(.*)\}\}\s*", value, re.DOTALL) if isinstance(value, str) else None
    )
    return match[1].strip() if match else ""


def _as_text(value: Any) -> str:
    return (
        value
        if isinstance(value, str)
        else str(value).lower()
        if value in (True, False)
        else str(value)
    )


# YAML -------------------------------------------------------------------------------------------


def _walk(items: Any, before: tuple[str, ...], form: _Form) -> None:
    where = ".".join(before)
    if not isinstance(items, Mapping):
        raise AppError(f"inputs.{where}: is not a mapping of inputs".replace(".:", ":"))
    for name, item in items.items():
        path = (*before, str(name))
        if not isinstance(item, Mapping):
            raise AppError(f"inputs.{'.'.join(path)}: is not an input")
        kind = item.get("type", "string")
        if name in ELSEWHERE:
            continue
        if kind == "group":
            _walk(item.get("items") or {}, path, form)
        elif kind in KINDS:
            _add(path, item, str(kind), form)


def _add(path: tuple[str, ...], item: Mapping[Any, Any], kind: str, form: _Form) -> None:
    schema: dict[str, Any] = {**KINDS[kind], "title": str(item.get("label") or _label(path[-1]))}
    if tooltip := item.get("tooltip") or item.get("help"):
        schema["description"] = " ".join(str(tooltip).split())
    for key, ours in (("min", "minimum"), ("max", "maximum")):
        if schema["type"] == "number" and _is_number(item.get(key)):
            schema[ours] = item[key]
    default = item.get("default")
    if default is not None and not _expression(default):
        if schema["type"] == "string":
            schema["default"] = _as_text(default)
        elif schema["type"] == "array":
            several = default if isinstance(default, list) else [default]
            schema["default"] = [_as_text(value) for value in several]
        elif isinstance(default, bool) == (schema["type"] == "boolean"):
            schema["default"] = default
    if "dropdown" in kind:
        options = item.get("options")
        if not isinstance(options, list):
            return  # the platform knows them, and nobody here does
        _choices(schema, [_pair(option) for option in options])
    hidden = item.get("hidden", False)
    expression = _expression(hidden) or _expression(item.get("ignore"))
    if hidden is True:
        schema["x-hidden"] = True
    elif expression == ".hidden":
        expression = ""
    optional = item.get("optional") is True
    form.add(path, schema, needed=not optional and schema["type"] != "array", hidden=expression)


def _label(name: str) -> str:
    """What to call an input that has no label: "notebook_dir" is "Notebook dir"."""
    return name.replace("_", " ").replace("-", " ").strip().capitalize()


def _pair(option: Any) -> tuple[str, str]:
    if isinstance(option, Mapping):
        value = option.get("value", option.get("label", ""))
        return _as_text(value), str(option.get("label") or "")
    return _as_text(option), ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# XML --------------------------------------------------------------------------------------------


def _of_xml(path: Path) -> Workflow:
    content = path.read_bytes()
    if len(content) > LARGEST:
        raise NotPlain(f"is larger than {LARGEST} bytes")
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise NotPlain("has a DOCTYPE, which no workflow needs")
    try:
        root = ElementTree.fromstring(content)  # noqa: S314 - small, and without entities
    except ElementTree.ParseError as error:
        line, column = error.position
        raise NotPlain(f"is no XML: {error}", mark=(line, column + 1)) from None
    form = _Form()
    if (inputs := root.find("inputs")) is not None:
        _xml(inputs, (), form)
    return form.workflow()


def _xml(element: ElementTree.Element, before: tuple[str, ...], form: _Form) -> list[str]:
    """Declare what is in `element`; the options that were."""
    found: list[str] = []
    for child in element:
        name = child.get("name", "")
        if child.tag == "section":
            if not any(p.get("type") == "computeResource" for p in child.iter("param")):
                found += _xml(child, (*before, name), form)
        elif child.tag == "conditional":
            found += _conditional(child, before, form)
        elif child.tag == "param" and (option := _param(child, before, form)):
            found.append(option)
    return found


def _conditional(element: ElementTree.Element, before: tuple[str, ...], form: _Form) -> list[str]:
    param = element.find("param")
    switch = _param(param, before, form) if param is not None else ""
    found = [switch] if switch else []
    for when in element.findall("when"):
        below = _xml(when, before, form)
        found += below
        if switch:
            value: Any = when.get("value", "")
            if param is not None and param.get("type") == "boolean":
                value = value == param.get("truevalue", "true")
            test = {"properties": {switch: {"const": value}}, "required": [switch]}
            form.only_while(test, below)
    return found


def _param(element: ElementTree.Element, before: tuple[str, ...], form: _Form) -> str:
    kind, name = element.get("type", "text"), element.get("name", "")
    if kind not in KINDS or not name:
        return ""
    schema: dict[str, Any] = {**KINDS[kind], "title": element.get("label") or _label(name)}
    if text := element.get("help"):
        schema["description"] = text
    value, words = element.get("value", ""), None
    if kind == "boolean":
        words = (element.get("truevalue", "true"), element.get("falsevalue", "false"))
        schema["default"] = (element.get("checked") or value).lower() == "true"
    elif kind == "select":
        options = element.findall("option")
        chosen = [o.get("value", "") for o in options if o.get("selected") == "true"]
        schema["default"] = chosen[0] if chosen else ""
        _choices(schema, [(o.get("value", ""), (o.text or "").strip()) for o in options])
    elif schema["type"] == "string":
        schema["default"] = value
    elif value:
        try:
            schema["default"] = int(value) if kind == "integer" else float(value)
        except ValueError:
            raise AppError(f"{name}: {value!r} is no number") from None
    return form.add((*before, name), schema, words=words)

"""Options and resources: what may be chosen, by a JSON Schema with rules, and what was chosen.

The schema of an app's options, or of a spawner's resources, describes one object. Besides
`properties` it may have rules: `if`/`then`/`else`, `allOf`, `anyOf`, `oneOf`, `dependentSchemas`,
`dependentRequired`. A property that such a subschema declares is an option that *applies* while
the subschema holds; then its default counts, and only then may it be given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from functools import cached_property
from typing import Any

from jsonschema import Draft202012Validator, SchemaError, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from .errors import FieldError, InvalidRequest
from .plain import as_text, unfit
from .sentences import closest, explain, shorten

Schema = Mapping[str, Any]
Conditional = Callable[[Schema], Iterable[Any]]
"""Gives the subschemas of a schema that hold under a condition, as far as somebody wants them."""


class SchemaProblem(ValueError):
    """A schema is wrong; the message names the field.

    Parameters
    ----------
    path
        Where that is, what the schema stands under first, as far as it is known.
    """

    def __init__(self, message: str, path: Iterable[str | int]) -> None:
        super().__init__(message)
        self.path = tuple(path)


class OptionSchema:
    """One object of options: what is declared, what applies, what is wrong.

    Parameters
    ----------
    schema
        A JSON Schema of an object. `additionalProperties` and `unevaluatedProperties` at its top
        are left out: what is declared nowhere is always refused.
    """

    def __init__(self, schema: Schema) -> None:
        whole = {"type": "object", "properties": {}, **schema}
        # With these a form would refuse what rules declare: they look no further than `properties`.
        for closed in ("additionalProperties", "unevaluatedProperties"):
            whole.pop(closed, None)
        self.schema: dict[str, Any] = whole
        # A registry of its own: nothing is fetched from anywhere.
        self._validator = Draft202012Validator(whole, registry=Registry())
        resource = DRAFT202012.create_resource(whole)
        self._resolver = Registry().with_resource("", resource).resolver()

    def check_schema(self, name: str) -> None:
        """Refuse a schema that would fail only when somebody starts something.

        Called once for each definition of an app.

        Parameters
        ----------
        name
            What the object is called: ``options``.

        Raises
        ------
        SchemaProblem
        """
        checker = Draft202012Validator.FORMAT_CHECKER  # for `pattern`
        try:
            Draft202012Validator.check_schema(self.schema, format_checker=checker)
        except SchemaError as problem:
            path = [name, *problem.absolute_path]
            where = ".".join(str(p) for p in path)
            sentence = f"{where}: not a JSON Schema: {shorten(problem.message)}"
            raise SchemaProblem(sentence, path) from None
        for ref in _refs(self.schema):
            try:
                self._resolver.lookup(ref)
            except Unresolvable:
                sentence = f"{name}: there is nothing at $ref {ref!r}"
                raise SchemaProblem(sentence, [name]) from None
        try:
            declared = list(self._declarations(_all))
        except RecursionError:
            raise SchemaProblem(f"{name}: its rules contain themselves", [name]) from None
        if unknown := self._tested() - {option for option, _ in declared}:
            raise SchemaProblem(
                f"{name}: a rule asks for {min(unknown)}, which is declared nowhere but in its"
                " `if`",
                [name],
            )
        for option, schema in declared:
            if schema.get("x-fixed") and not {"const", "default"} & schema.keys():
                sentence = f"{name}.{option}.x-fixed: say to what, by `default`"
                raise SchemaProblem(sentence, [name, "properties", option, "x-fixed"])
            if "default" in schema:
                for error in self._errors(schema["default"], schema):
                    sentence = f"{name}.{option}.default: {shorten(error.message)}"
                    raise SchemaProblem(sentence, [name, "properties", option, "default"])

    @cached_property
    def properties(self) -> dict[str, dict[str, Any]]:
        """All options by name, those of rules included; what several places say is put together."""
        found: dict[str, dict[str, Any]] = {}
        for name, schema in self._declarations(_all):
            known = found.setdefault(name, {})
            known |= {k: v for k, v in schema.items() if k not in known}
        return found

    def changed(self, changes: Mapping[str, Schema]) -> dict[str, Any]:
        """The schema with more keywords for some options, wherever those are declared.

        Called for administrators' changes, and for apps that extend others.

        Parameters
        ----------
        changes
            Keywords by option; they replace those that it has.

        Raises
        ------
        SchemaProblem
            If there is no such option.
        """
        if unknown := changes.keys() - self.properties.keys():
            known = ", ".join(sorted(self.properties)) or "none"
            sentence = f"there is no option {min(unknown)}; known are: {known}"
            raise SchemaProblem(shorten(sentence), [min(unknown)])
        copy = OptionSchema(deepcopy(self.schema))
        for part in copy._parts(copy.schema, _all):
            declared = part.get("properties", {})
            for name in changes.keys() & declared.keys():
                before = declared[name] if isinstance(declared[name], Mapping) else {}
                declared[name] = {**before, **changes[name]}
        return copy.schema

    def without_default(self, name: str) -> dict[str, Any]:
        """The schema without the default of the option `name`."""
        copy = OptionSchema(deepcopy(self.schema))
        for option, declared in copy._declarations(_all):
            if option == name and isinstance(declared, dict):
                declared.pop("default", None)
        return copy.schema

    def from_place(self, place: str) -> set[str]:
        """The options with ``x-default-from: <place>``: ``cwd`` or ``file``."""
        return {n for n, s in self.properties.items() if s.get("x-default-from") == place}

    def passwords(self) -> set[str]:
        """The options with ``format: password``: what is given for them is not remembered."""
        return {n for n, s in self.properties.items() if s.get("format") == "password"}

    def check(
        self, given: Any, prefix: str, places: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """The values to start with: `given` over the defaults that apply.

        Parameters
        ----------
        prefix
            What the object is called in errors.
        places
            See `look`.

        Raises
        ------
        InvalidRequest
            Naming each wrong value as ``<prefix>.<name>``.
        """
        values, errors = self.look(given, prefix, places)
        if errors:
            raise InvalidRequest(
                "; ".join(f"{e.field}: {e.message}" for e in errors), errors=errors
            )
        return values

    def look(
        self, given: Any, prefix: str, places: Mapping[str, str] | None = None
    ) -> tuple[dict[str, Any], list[FieldError]]:
        """`given` over the defaults that apply, and what is wrong with it.

        Called by `check`, and for a form, which drops what is wrong.

        Parameters
        ----------
        places
            The values of ``x-default-from`` by place; an option whose place has none has no
            default.
        """
        if not isinstance(given, dict):
            return {}, [FieldError(prefix, "give an object of names and values")]
        properties = self.properties
        values = self._filled(given, places or {}, properties)
        applying = {name for name, _ in self._declarations(self._holding(values))}
        errors = []
        for name in given:
            if name not in properties:
                known = ", ".join(sorted(properties)) or "none"
                sentence = f"there is no such option; known are: {known}"
                errors.append(FieldError(f"{prefix}.{name}", shorten(sentence)))
            elif name not in applying:
                sentence = "this does not apply here, with the other values as they are"
                errors.append(FieldError(f"{prefix}.{name}", sentence))
            elif properties[name].get("x-fixed") and given[name] != fixed_value(properties[name]):
                shown = as_text(fixed_value(properties[name]))
                sentence = f"this is fixed here: it is {shorten(shown)}"
                errors.append(FieldError(f"{prefix}.{name}", sentence))
        fixed = {error.field for error in errors}
        errors += [
            e for e in explain(self._validator.iter_errors(values), prefix) if e.field not in fixed
        ]
        errors += [
            FieldError(f"{prefix}.{name}", problem)
            for name, value in values.items()
            if (problem := unfit(value))
        ]
        return values, errors

    def _filled(
        self, given: Schema, places: Mapping[str, str], properties: Schema
    ) -> dict[str, Any]:
        """`given`, as far as it is declared, over the defaults of all that applies.

        A default may switch a rule, which brings further defaults: so again, until nothing new
        comes. Rules are first asked once the defaults without a condition are in place.
        """

        def defaults(conditional: Conditional) -> dict[str, Any]:
            found = {}
            for name, schema in self._declarations(conditional):
                if place := places.get(schema.get("x-default-from", "")):
                    found[name] = place
                elif "default" in schema:
                    found[name] = schema["default"]
            return found

        known = {name: value for name, value in given.items() if name in properties}
        values = defaults(_none) | known
        for _ in range(len(properties) + 1):  # or they switch each other off and on
            before, values = values, defaults(self._holding(values)) | known
            if values == before:
                break
        return values

    # Subschemas that speak of the same object -------------------------------------------------

    def _declarations(self, conditional: Conditional) -> Iterator[tuple[str, Schema]]:
        """What `properties` declare, outermost first: a later one is the more special one."""
        for schema in self._parts(self.schema, conditional):
            for name, declared in schema.get("properties", {}).items():
                yield name, declared if isinstance(declared, Mapping) else {}

    def _parts(self, schema: Any, conditional: Conditional, depth: int = 0) -> Iterator[Schema]:
        """`schema` and its subschemas for the same object: those without a condition, and those
        that `conditional` gives.
        """
        if not isinstance(schema, Mapping):
            return  # true or false
        if depth > 40:
            raise RecursionError
        yield schema
        below = [self._resolver.lookup(schema["$ref"]).contents] if "$ref" in schema else []
        below += [*schema.get("allOf", ()), *conditional(schema)]
        for part in below:
            yield from self._parts(part, conditional, depth + 1)

    def _holding(self, values: Mapping[str, Any]) -> Conditional:
        """Those subschemas that hold for `values`."""

        def holding(schema: Schema) -> Iterator[Any]:
            if "if" in schema:
                holds = not self._errors(values, schema["if"])
                yield schema.get("then" if holds else "else", True)
            for name, below in schema.get("dependentSchemas", {}).items():
                if name in values:
                    yield below
            for kind in ("anyOf", "oneOf"):
                if branches := schema.get(kind):
                    errors = [self._errors(values, branch) for branch in branches]
                    fit = [b for b, wrong in zip(branches, errors, strict=True) if not wrong]
                    # None fits: take that which is meant, so that its fields can be asked for.
                    yield from fit or [branches[closest(errors)]]

        return holding

    def _tested(self) -> set[str]:
        """The options that rules ask for in their `if`."""
        tested = set()
        for schema in self._parts(self.schema, _all):
            for part in self._parts(schema.get("if", True), _all):
                tested |= part.get("properties", {}).keys()
        return tested

    def _errors(self, value: Any, schema: Any) -> list[ValidationError]:
        return list(self._validator.descend(value, schema))


def fixed_value(schema: Schema) -> Any:
    """The only value that an option with ``x-fixed`` may have."""
    return schema.get("const", schema.get("default"))


def _all(schema: Schema) -> Iterator[Any]:
    """Every subschema, but not `if`: that only asks."""
    if "if" in schema:
        yield from (schema[key] for key in ("then", "else") if key in schema)
    yield from schema.get("dependentSchemas", {}).values()
    for kind in ("anyOf", "oneOf"):
        yield from schema.get(kind, ())


def _none(_schema: Schema) -> Iterable[Any]:
    return ()


def _refs(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(ref := schema.get("$ref"), str):
            yield ref
        for item in schema.values():
            yield from _refs(item)
    elif isinstance(schema, list):
        for item in schema:
            yield from _refs(item)

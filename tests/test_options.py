"""`options.py`: rules in a schema of options, their defaults, and sentences on the right field."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_sessions.apps.app import App, AppError
from jupyter_sessions.errors import FieldError, InvalidRequest
from jupyter_sessions.launching import fields
from jupyter_sessions.options import OptionSchema, SchemaProblem

from .core import APP, a_session

STRING = {"type": "string"}
NUMBER = {"type": "integer"}
MODE: dict[str, Any] = {"enum": ["plain", "gpu"], "default": "plain"}


def const(name: str, value: Any) -> dict[str, Any]:
    return {"properties": {name: {"const": value}}, "required": [name]}


IF: dict[str, Any] = {
    "properties": {"mode": MODE},
    "additionalProperties": False,
    "if": const("mode", "gpu"),
    "then": {
        "properties": {
            "gpus": {"type": "integer", "minimum": 1, "maximum": 4, "default": 1},
            "model": STRING,
        },
        "required": ["model"],
    },
    "else": {"properties": {"nice": {"type": "boolean", "default": True}}},
}
ONE: dict[str, Any] = {
    "properties": {"mode": MODE},
    "oneOf": [
        {"properties": {"mode": {"const": "plain"}}},
        {
            "properties": {"mode": {"const": "gpu"}, "gpus": {**NUMBER, "default": 2}},
            "required": ["mode", "gpus"],
        },
    ],
}
CHAIN: dict[str, Any] = {
    "properties": {"a": {"type": "boolean", "default": True}},
    "allOf": [
        {"if": const("c", True), "then": {"properties": {"d": {**NUMBER, "default": 4}}}},
        {
            "if": const("a", True),
            "then": {
                "properties": {"b": {"enum": ["x", "y"], "default": "x"}},
                "if": const("b", "x"),
                "then": {"properties": {"c": {"type": "boolean", "default": True}}},
            },
        },
    ],
}
DEPENDENT: dict[str, Any] = {
    "properties": {"user": STRING, "password": STRING, "proxy": STRING},
    "dependentRequired": {"user": ["password"]},
    "dependentSchemas": {
        "proxy": {"properties": {"port_": {**NUMBER, "default": 3128}, "proxy": {"minLength": 3}}}
    },
    "not": {"required": ["user", "proxy"]},
}
BOUND: dict[str, Any] = {
    "properties": {"size": {"enum": ["s", "l"], "default": "s"}, "n": {**NUMBER, "default": 1}},
    "if": const("size", "l"),
    "then": {"properties": {"n": {"maximum": 2, "default": 2}}},
}
REFERRED: dict[str, Any] = {
    "allOf": [{"$ref": "#/$defs/common"}],
    "$defs": {"common": {"properties": {"x": {**NUMBER, "default": 7}}}},
}

GOOD: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    # the schema, what is given, what it becomes
    (IF, {}, {"mode": "plain", "nice": True}),
    (IF, {"nice": False}, {"mode": "plain", "nice": False}),
    (IF, {"mode": "gpu", "model": "m"}, {"mode": "gpu", "gpus": 1, "model": "m"}),
    (IF, {"mode": "gpu", "model": "m", "gpus": 4}, {"mode": "gpu", "gpus": 4, "model": "m"}),
    (ONE, {}, {"mode": "plain"}),
    (ONE, {"mode": "gpu"}, {"mode": "gpu", "gpus": 2}),
    (CHAIN, {}, {"a": True, "b": "x", "c": True, "d": 4}),
    (CHAIN, {"b": "y"}, {"a": True, "b": "y"}),
    (CHAIN, {"c": False}, {"a": True, "b": "x", "c": False}),
    (CHAIN, {"a": False}, {"a": False}),
    (DEPENDENT, {}, {}),
    (DEPENDENT, {"user": "u", "password": "p"}, {"user": "u", "password": "p"}),
    (DEPENDENT, {"proxy": "abc"}, {"proxy": "abc", "port_": 3128}),
    (BOUND, {"n": 5}, {"size": "s", "n": 5}),
    (BOUND, {"size": "l"}, {"size": "l", "n": 2}),
    (REFERRED, {}, {"x": 7}),
]


@pytest.mark.parametrize(("schema", "given_", "values"), GOOD)
def test_rules_bring_options_and_their_defaults(
    schema: dict[str, Any], given_: dict[str, Any], values: dict[str, Any]
) -> None:
    options = OptionSchema(schema)
    options.check_schema("options")
    assert options.check(given_, "options") == values


ALONE = "this does not apply here, with the other values as they are"
BAD: list[tuple[dict[str, Any], dict[str, Any], dict[str, str]]] = [
    # the schema, what is given, the sentence by field
    (IF, {"mode": "gpu"}, {"model": "this is required"}),
    (IF, {"gpus": 2}, {"gpus": ALONE}),
    (IF, {"mode": "gpu", "model": "m", "nice": True}, {"nice": ALONE}),
    (IF, {"mode": "gpu", "model": "m", "gpus": 9}, {"gpus": "give a number from 1 to 4"}),
    (IF, {"zzz": 1}, {"zzz": "there is no such option; known are: gpus, mode, model, nice"}),
    (ONE, {"gpus": 2}, {"gpus": ALONE}),
    (ONE, {"mode": "gpu", "gpus": "x"}, {"gpus": "give a whole number"}),
    (CHAIN, {"b": "y", "c": True}, {"c": ALONE}),
    (CHAIN, {"a": False, "b": "x"}, {"b": ALONE}),
    (DEPENDENT, {"user": "u"}, {"password": "this is required when user is given"}),
    (DEPENDENT, {"port_": 1}, {"port_": ALONE}),
    (DEPENDENT, {"proxy": "ab"}, {"proxy": "give at least 3 characters"}),
    (
        DEPENDENT,
        {"user": "u", "password": "p", "proxy": "abc"},
        {"proxy": "user and proxy cannot be given together"},
    ),
    (BOUND, {"size": "l", "n": 3}, {"n": "give 2 or less"}),
    (
        {"oneOf": [const("m", "a"), const("m", "b"), {"properties": {"m": {"enum": ["c"]}}}]},
        {"m": "z"},
        {"m": "choose one of: a, b, c"},
    ),
    (
        {"oneOf": [{"required": ["x"]}, {"properties": {"x": NUMBER}}]},
        {"x": 1},
        {"": "this fits more than one of the alternatives"},
    ),
]


@pytest.mark.parametrize(("schema", "given_", "says"), BAD)
def test_what_rules_refuse_is_said_on_its_field(
    schema: dict[str, Any], given_: dict[str, Any], says: dict[str, str]
) -> None:
    options = OptionSchema(schema)
    options.check_schema("options")
    with pytest.raises(InvalidRequest) as caught:
        options.check(given_, "options")
    wanted = {FieldError(f"options.{n}".rstrip("."), sentence) for n, sentence in says.items()}
    assert set(caught.value.errors) == wanted
    assert len(caught.value.errors) == len(wanted)


SENTENCES: list[tuple[dict[str, Any], Any, str]] = [
    ({"type": "string"}, 5, "give text"),
    ({"type": ["integer", "null"]}, "x", "give a whole number or null"),
    ({"type": "boolean"}, "x", "give true or false"),
    ({"minLength": 2, "type": "string"}, 5, "give text"),
    ({"type": "string", "enum": ["a", "b"]}, 5, "choose one of: a, b"),
    ({"pattern": "^a", "minLength": 3}, "b", "this does not fit the pattern ^a"),
    ({"enum": ["a", 1, None]}, "x", "choose one of: a, 1, null"),
    ({"enum": list(range(50))}, "x", "0, 1, 2, "),
    ({"enum": list(range(50))}, "x", "39 … (50 in all)"),
    ({"const": "a"}, "x", "this has to be a"),
    ({"minimum": 2}, 1, "give 2 or more"),
    ({"maximum": 2}, 3, "give 2 or less"),
    ({"maximum": 4.0}, 5, "give 4 or less"),
    ({"exclusiveMinimum": 0}, 0, "give more than 0"),
    ({"exclusiveMaximum": 0}, 0, "give less than 0"),
    ({"minimum": 1, "maximum": 2.5}, 3, "give a number from 1 to 2.5"),
    ({"multipleOf": 4}, 3, "give a multiple of 4"),
    ({"minLength": 1}, "", "this must not be empty"),
    ({"minLength": 2}, "", "give at least 2 characters"),
    ({"maxLength": 1}, "ab", "give at most 1 character"),
    ({"pattern": "^a+$"}, "b", "this does not fit the pattern ^a+$"),
    (
        {"pattern": "^a+$", "description": "As in AAA."},
        "b",
        "this does not have the right form. As in AAA.",
    ),
    ({"minItems": 1}, [], "give at least 1 value"),
    ({"maxItems": 2}, [1, 2, 3], "give at most 2 values"),
    ({"uniqueItems": True}, [1, 1], "give no value twice"),
    (
        {"anyOf": [{"type": "integer"}, {"const": "auto"}]},
        "x",
        "give a whole number; or this has to be auto",
    ),
    ({"not": {"const": 1}}, 1, "this is not allowed"),
    ({"propertyNames": {"maxLength": 1}}, {"ab": 1}, "give at most 1 character"),
]


@pytest.mark.parametrize(("schema", "value", "says"), SENTENCES)
def test_what_is_wrong_is_said_in_words_for_people(
    schema: dict[str, Any], value: Any, says: str
) -> None:
    options = OptionSchema({"properties": {"x": schema}})
    options.check_schema("options")
    with pytest.raises(InvalidRequest) as caught:
        options.check({"x": value}, "resources")
    (error,) = caught.value.errors
    assert error.field == "resources.x"
    assert says in error.message


def test_within_a_list_or_an_object_the_place_is_named() -> None:
    inner = {"type": "object", "required": ["b"], "properties": {"b": NUMBER}}
    options = OptionSchema({"properties": {"a": {"type": "array", "items": inner}}})
    with pytest.raises(InvalidRequest) as caught:
        options.check({"a": [{"b": 1}, {}, {"b": "x"}]}, "options")
    assert [e.field for e in caught.value.errors] == ["options.a.1.b", "options.a.2.b"]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({**IF, "if": const("moed", "gpu")}, "options: a rule asks for moed, which is declared now"),
    ({**IF, "then": {"properties": {"a-b": STRING}}}, "options.then.properties: "),
    ({**IF, "then": {"properties": {"a": {"x-default-from": "pwd"}}}}, "options.then.properties.a"),
    ({**IF, "then": {"properties": {"a": {"type": "text"}}}}, "options.then.properties.a.type: "),
    ({"allOf": [{"properties": {"a": {**NUMBER, "default": "x"}}}]}, "options.a.default: "),
    ({"allOf": {}}, "options.allOf: "),
    ({"oneOf": [{"properties": {"port": NUMBER}}]}, "options: port is a name with another meaning"),
    ({"allOf": [{"$ref": "#/$defs/no"}]}, "options: there is nothing at $ref"),
    (
        {"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}},
        "options: its rules contain themselves",
    ),
    ({"properties": {"a": {"x-advanced": "yes"}}}, "options.properties.a.x-advanced: "),
]


@pytest.mark.parametrize(("options", "says"), WRONG)
def test_a_wrong_rule_is_named_when_the_app_is_read(options: dict[str, Any], says: str) -> None:
    with pytest.raises(AppError) as caught:
        App.from_definition({**APP, "options": options})
    assert str(caught.value).startswith(says)


def test_an_option_of_a_rule_is_a_field_and_null_where_it_does_not_apply() -> None:
    definition = {
        **APP,
        "command": ["demo", "{mode}", "{gpus}"],
        "options": IF,
        "open_path": "?model={model}",
    }
    app = App.from_definition(definition)
    plain = a_session(options=app.check_options({}, "/"))
    assert fields(plain, app) | {"mode": "plain", "gpus": None, "model": None} == fields(plain, app)
    assert app.url_path(fields(plain, app)) == ""
    fast = a_session(options=app.check_options({"mode": "gpu", "model": "a b"}, "/"))
    assert fields(fast, app) | {"mode": "gpu", "gpus": "1"} == fields(fast, app)
    assert app.url_path(fields(fast, app)) == "?model=a%20b"


def test_the_folder_and_the_file_of_a_launch_are_defaults_if_there_are_any() -> None:
    properties = {
        "folder": {**STRING, "x-default-from": "cwd"},
        "file": {**STRING, "x-default-from": "file"},
    }
    app = App.from_definition({**APP, "options": {"properties": properties}})
    assert app.check_options({}, "/w") == {"folder": "/w"}
    assert app.check_options({}, "/w", "/w/f") == {"folder": "/w", "file": "/w/f"}
    assert app.check_options({"file": "/g"}, "/w", "/w/f") == {"folder": "/w", "file": "/g"}
    assert app.choices.from_place("file") == {"file"}


def test_what_a_form_gets_does_not_forbid_what_rules_declare() -> None:
    assert "additionalProperties" not in OptionSchema(IF).schema
    assert IF["additionalProperties"] is False  # what the author wrote stays


def test_defaults_that_switch_each_other_come_to_an_end() -> None:
    schema = {
        "properties": {"b": NUMBER},
        "if": {"required": ["a"]},
        "then": {"properties": {"b": {"default": 1}}},
        "else": {"properties": {"a": {**NUMBER, "default": 1}}},
    }
    options = OptionSchema(schema)
    options.check_schema("options")
    values, _errors = options.look({}, "options")
    assert values.keys() <= {"a", "b"}


def test_a_schema_is_checked_by_itself() -> None:
    with pytest.raises(SchemaProblem, match="resources: there is nothing"):
        OptionSchema({"allOf": [{"$ref": "#/x"}]}).check_schema("resources")


ANY = st.none() | st.booleans() | st.integers(-1, 9) | st.sampled_from(["plain", "gpu", "x", "y"])
NAMES = ["mode", "gpus", "model", "nice", "a", "b", "c", "d", "user", "password", "proxy", "port_"]


@given(
    st.sampled_from([IF, ONE, CHAIN, DEPENDENT, BOUND, REFERRED]),
    st.dictionaries(st.sampled_from(NAMES), ANY, max_size=4),
)
def test_what_passes_once_passes_again_and_what_does_not_is_named(
    schema: dict[str, Any], given_: dict[str, Any]
) -> None:
    options = OptionSchema(schema)
    values, errors = options.look(given_, "options")
    if not errors:
        assert options.check(values, "options") == values
    for error in errors:
        name = error.field.partition(".")[2]
        assert name in {*given_, *options.properties, ""}
        assert error.message

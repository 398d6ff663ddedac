"""`validation.py`: every wrong field is named, with a sentence that says what to give."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_sessions.errors import InvalidRequest
from jupyter_sessions.validation import LONGEST_TIMEOUT, check_fields, check_name, check_timeout

ALLOWED: dict[str, Any] = {"name": str, "options": dict, "timeout": (int, float)}


@pytest.mark.parametrize(
    "request_", [{}, {"name": None}, {"name": "x", "options": {}, "timeout": 1}, {"timeout": 1.5}]
)
def test_known_fields_of_their_type_pass(request_: dict[str, Any]) -> None:
    assert check_fields(request_, ALLOWED) == request_


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (None, []),
        ([], []),
        ("x", []),
        ({"nmae": "x"}, ["nmae"]),
        ({"name": 1}, ["name"]),
        ({"timeout": True}, ["timeout"]),
        ({"timeout": "1", "options": [], "x": 1}, ["timeout", "options", "x"]),
    ],
)
def test_wrong_fields_are_all_named(request_: Any, fields: list[str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_fields(request_, ALLOWED)
    assert [e.field for e in caught.value.errors] == fields
    assert caught.value.describe()["message"]


@pytest.mark.parametrize(
    ("name", "kept"),
    [("a", "a"), (" a b ", "a b"), ("Übung 日本 🧪", "Übung 日本 🧪"), ("a" * 100,) * 2],
)
def test_a_name_is_one_short_line(name: str, kept: str) -> None:
    assert check_name(name) == kept


@pytest.mark.parametrize(
    "name", ["", "  ", "a" * 101, "a\nb", "a\0b", "a\x1b[31mb", "a\u202eb", "a\u2028b", "\ud800"]
)
def test_a_name_that_could_not_be_shown_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_name(name)
    assert [e.field for e in caught.value.errors] == ["name"]


@pytest.mark.parametrize(
    ("seconds", "maximum", "kept"),
    [(None, None, None), (1, None, 1.0), (0.5, 1, 0.5), (60, 60, 60.0), (LONGEST_TIMEOUT,) * 3],
)
def test_a_limit_within_the_maximum_passes(
    seconds: float | None, maximum: float | None, kept: float | None
) -> None:
    assert check_timeout("timeout", seconds, maximum) == kept


NO_LIMITS: list[float] = [0, -1, float("nan"), float("inf"), 1e300, 10**400, LONGEST_TIMEOUT + 1]


@pytest.mark.parametrize(
    ("seconds", "maximum", "says"),
    [*((s, None, "above 0") for s in NO_LIMITS), (None, 60, "at most 60 s"), (61, 60, "over the")],
)
def test_what_is_no_limit_is_refused(
    seconds: float | None, maximum: float | None, says: str
) -> None:
    with pytest.raises(InvalidRequest, match=says) as caught:
        check_timeout("timeout", seconds, maximum)
    assert [e.field for e in caught.value.errors] == ["timeout"]


@given(st.integers() | st.floats(), st.none() | st.floats(1, 1e6))
def test_any_number_passes_or_is_refused(seconds: float, maximum: float | None) -> None:
    try:
        kept = check_timeout("timeout", seconds, maximum)
    except InvalidRequest:
        return
    assert kept is not None
    assert 0 < kept <= (maximum or LONGEST_TIMEOUT)

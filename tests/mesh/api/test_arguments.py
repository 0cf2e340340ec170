from __future__ import annotations

from typing import Any

import pytest

from mesh.api.arguments import ITEMS_MAX, VALUE_DEPTH_MAX, Argument, check
from mesh.core.errors import UsageError

EVERY = (
    Argument("node", required=True),
    Argument("kind", choices=("task", "folder"), default="task"),
    Argument("limit", "int", least=1, most=10),
    Argument("timeout", "number", least=0, most=5),
    Argument("wait", "flag", default=False),
    Argument("after", "texts", default=()),
    Argument("set", "pairs", default=()),
)


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_defaults_stand_for_what_is_absent_or_null() -> None:
    found = check(EVERY, {"node": "x", "limit": None})
    assert found == {
        "node": "x",
        "kind": "task",
        "limit": None,
        "timeout": None,
        "wait": False,
        "after": (),
        "set": (),
        "session": None,
    }


def test_values_that_fit_are_taken() -> None:
    given = {
        "node": "x",
        "kind": "folder",
        "limit": 10,
        "timeout": 1.5,
        "wait": True,
        "after": ["a", "b"],
        "set": [["f", deep(VALUE_DEPTH_MAX)], ["g", None]],
        "session": "agent",
    }
    found = check(EVERY, given)
    assert found["after"] == ("a", "b") and found["set"][1] == ("g", None)
    assert found["session"] == "agent"


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ([], "JSON object"),
        ({}, "node is missing"),
        ({"node": 1}, "node is 1"),
        ({"node": "x" * 100_000}, "at most"),
        ({"node": "\ud800"}, "Unicode"),
        ({"node": "x", "nonsense": 1}, "nonsense"),
        ({"node": "x", "kind": "other"}, "task, folder"),
        ({"node": "x", "limit": 0}, "1 to 10"),
        ({"node": "x", "limit": 11}, "1 to 10"),
        ({"node": "x", "limit": 10**400}, "1 to 10"),
        ({"node": "x", "limit": 1.5}, "whole number"),
        ({"node": "x", "limit": True}, "number"),
        ({"node": "x", "timeout": float("nan")}, "number"),
        ({"node": "x", "timeout": 1e9}, "0 to 5"),
        ({"node": "x", "wait": 1}, "true or false"),
        ({"node": "x", "after": "a"}, "a list"),
        ({"node": "x", "after": [1]}, "a text"),
        ({"node": "x", "after": ["a"] * (ITEMS_MAX + 1)}, "at most"),
        ({"node": "x", "set": [["f"]]}, "[name, value]"),
        ({"node": "x", "set": [["f", deep(VALUE_DEPTH_MAX + 1)]]}, "deeper"),
    ],
)
def test_what_does_not_fit_is_named(given: object, named: str) -> None:
    with pytest.raises(UsageError) as caught:
        check(EVERY, given)
    assert named in f"{caught.value.message} {caught.value.hint}"
    assert caught.value.hint

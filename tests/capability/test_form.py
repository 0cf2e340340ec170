"""The checks that decoders are written with: at each bound, and one beyond it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from capability.errors import FormError
from capability.form import (
    array,
    ascending,
    binary,
    close_body,
    fixed,
    open_body,
    record,
    text,
    unsigned,
)
from capability.limits import BODY_BYTES_MAX, DEPTH_MAX, INT_MAX
from crdt.codec import Value, encode

Check = Callable[[Any], object]


def nested(depth: int) -> Value:
    value: Value = ()
    for _ in range(depth - 1):
        value = (value,)
    return value


GOOD: list[tuple[Check, Value]] = [
    (lambda v: record(v, 2, "what"), (1, 2)),
    (lambda v: array(v, "what", most=2), ()),
    (lambda v: array(v, "what", most=2), (1, 2)),
    (lambda v: array(v, "what", least=1, most=2), (1,)),
    (lambda v: unsigned(v, "what"), 0),
    (lambda v: unsigned(v, "what"), INT_MAX),
    (lambda v: unsigned(v, "what", least=3, most=5), 3),
    (lambda v: unsigned(v, "what", least=3, most=5), 5),
    (lambda v: fixed(v, 2, "what"), b"ab"),
    (lambda v: binary(v, "what", most=2), b""),
    (lambda v: binary(v, "what", most=2), b"ab"),
    (lambda v: text(v, "what", most=4), "abcd"),
    (lambda v: text(v, "what", most=4), "üü"),
    (lambda v: text(v, "what", most=4), ""),
]
BAD: list[tuple[Check, Any]] = [
    (lambda v: record(v, 2, "what"), (1,)),
    (lambda v: record(v, 2, "what"), (1, 2, 3)),
    (lambda v: record(v, 2, "what"), b"ab"),
    (lambda v: array(v, "what", most=2), (1, 2, 3)),
    (lambda v: array(v, "what", least=1, most=2), ()),
    (lambda v: array(v, "what", most=2), "ab"),
    (lambda v: unsigned(v, "what"), -1),
    (lambda v: unsigned(v, "what"), INT_MAX + 1),
    (lambda v: unsigned(v, "what"), True),
    (lambda v: unsigned(v, "what", least=3, most=5), 2),
    (lambda v: unsigned(v, "what", least=3, most=5), 6),
    (lambda v: fixed(v, 2, "what"), b"a"),
    (lambda v: fixed(v, 2, "what"), b"abc"),
    (lambda v: fixed(v, 2, "what"), "ab"),
    (lambda v: binary(v, "what", most=2), b"abc"),
    (lambda v: binary(v, "what", most=2), "a"),
    (lambda v: text(v, "what", most=4), "abcde"),
    (lambda v: text(v, "what", most=4), "üüa"),
    (lambda v: text(v, "what", most=4), b"a"),
]


@pytest.mark.parametrize(("check", "value"), GOOD)
def test_what_is_in_bounds_is_given_back(check: Check, value: Value) -> None:
    assert check(value) == value


@pytest.mark.parametrize(("check", "value"), BAD)
def test_what_is_out_of_them_is_refused_by_name(check: Check, value: Value) -> None:
    with pytest.raises(FormError, match=r"^what: expected"):
        check(value)


def test_rows_ascend_and_never_stand_still() -> None:
    for good in ([], [1], [1, 2, 9], [b"a", b"b"]):
        ascending(good, "what")  # type: ignore[type-var]
    for bad in ([1, 1], [2, 1], [1, 3, 2], [b"b", b"a"]):
        with pytest.raises(FormError, match=r"^what: rows"):
            ascending(bad, "what")  # type: ignore[type-var]


def test_a_body_is_opened_as_so_many_fields_or_as_items() -> None:
    assert open_body(encode((1, 2)), 2, "what") == (1, 2)
    assert open_body(encode((1, 2, 3)), None, "what") == (1, 2, 3)
    assert open_body(encode(()), None, "what") == ()
    assert open_body(encode(nested(DEPTH_MAX)), None, "what") == nested(DEPTH_MAX)
    for bad, count in (
        (encode((1, 2)), 3),
        (encode(5), None),
        (b"\xc1", 2),
        (encode(nested(DEPTH_MAX), depth_max=99)[:-1] + b"\x91\x90", None),
    ):
        with pytest.raises(FormError, match=r"^what: "):
            open_body(bad, count, "what")


def test_a_body_is_closed_up_to_its_greatest_size() -> None:
    fill = BODY_BYTES_MAX - len(encode((bytes(70_000),))) + 70_000
    body = close_body((bytes(fill),), "what")
    assert len(body) == BODY_BYTES_MAX
    assert open_body(body, 1, "what") == (bytes(fill),)
    with pytest.raises(FormError, match=r"^what: a body of"):
        close_body((bytes(fill + 1),), "what")
    with pytest.raises(FormError, match=r"^what: "):
        open_body(encode((bytes(fill + 1),)), 1, "what")
    with pytest.raises(FormError, match=r"^what: "):
        close_body((1.5,), "what")  # type: ignore[arg-type]

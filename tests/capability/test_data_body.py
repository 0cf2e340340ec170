from __future__ import annotations

import contextlib
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from capability import ops
from capability.data_body import Data, build_data, decode_data, encode_data, parse_op, parsed
from capability.errors import FormError
from capability.ids import TRASH, own_key, worknode_id
from capability.limits import CITES_MAX, INT_MAX, KILLS_MAX, OPS_MAX, VALUE_DEPTH_MAX
from capability.ops import Op
from capability.values import check_value
from crdt.codec import Value, encode
from tests.capability.strategies import any_op, anything, damaged, keys, values

NODE = b"n" * 16
REF = b"r" * 32
EMPTY = Data(b"", (REF,), 0, b"", (NODE,), ("a", "b"), ())


def parse(*fields: Value, before: int = 0) -> Op | None:
    """The op with these fields, after *before* others, in a body with small tables."""
    return parse_op(evolve(EMPTY, ops=(None,) * before + (fields,)), before)


bodies = st.builds(
    lambda listed, refs, frontier: build_data(
        listed, refs=tuple(refs), nheads=len(refs) // 2, frontier=frontier
    ),
    st.lists(any_op, max_size=5),
    st.lists(keys, max_size=3, unique=True),
    st.just(b"") | keys,
)


@given(bodies, st.lists(st.lists(anything, max_size=4).map(tuple), max_size=3))
def test_ops_that_were_parsed_for_all_readers_are_the_same(data: Data, odd: list[Value]) -> None:
    data = evolve(data, ops=(*data.ops, *odd))
    assert [parse_op(parsed(data), i) for i in range(len(data.ops))] == [
        parse_op(data, i) for i in range(len(data.ops))
    ]
    assert parsed(data) == data
    assert len(parsed(data).parsed or ()) == len(data.ops)


@given(st.lists(any_op, max_size=8))
def test_ops_are_read_as_they_were_written(listed: list[Op]) -> None:
    data = decode_data(encode_data(build_data(listed, session=NODE)))
    assert [parse_op(data, index) for index in range(len(listed))] == listed


@given(damaged(bodies.map(encode_data)))
def test_damaged_bodies_raise_nothing_but_form_errors(raw: bytes) -> None:
    with contextlib.suppress(FormError):
        data = decode_data(raw)
        assert encode_data(data) == raw
        for index in range(len(data.ops)):
            parse_op(data, index)


@given(anything)
def test_an_op_of_any_value_is_read_or_none(value: Value) -> None:
    assert parse_op(evolve(EMPTY, ops=(value,)), 0) is None


@given(st.integers(0, 20), st.lists(anything, max_size=8))
def test_an_op_of_any_fields_is_read_or_none(code: int, rest: list[Value]) -> None:
    parse(code, 0, 0, (), *rest)


@given(st.data())
def test_one_bad_op_strands_no_other(data: st.DataObject) -> None:
    listed = data.draw(st.lists(any_op, min_size=1, max_size=4))
    body = build_data(listed)
    at = data.draw(st.integers(0, len(listed)))
    spoiled = evolve(body, ops=(*body.ops[:at], (99, "later"), *body.ops[at:]))
    read = decode_data(encode_data(spoiled))
    found = [parse_op(read, index) for index in range(len(read.ops))]
    assert found[:at] + found[at + 1 :] == listed
    assert found[at] is None


@pytest.mark.parametrize(
    "change",
    [
        {"session": b"s"},
        {"refs": (b"r",)},
        {"refs": (REF, REF)},
        {"refs": ("r" * 32,)},
        {"nheads": 2},
        {"nheads": True},
        {"refs": tuple(bytes([at]) * 32 for at in range(20)), "nheads": 17},
        {"frontier": b"f"},
        {"nodes": (NODE, NODE)},
        {"nodes": (REF,)},
        {"names": ("a", "a")},
        {"names": ("ü" * 65,)},
        {"names": (b"a",)},
        {"ops": (None,) * (OPS_MAX + 1)},
        {"ops": None},
    ],
)
def test_a_table_out_of_bounds_is_not_written(change: dict[str, Any]) -> None:
    encode_data(EMPTY)
    with pytest.raises(FormError):
        encode_data(evolve(EMPTY, **change))


@pytest.mark.parametrize(
    "fields",
    [
        (),
        (3, 0, 0),
        (3, 0, 0, ()),
        (3, 0, 0, (), 0, 0, "v", None),
        (True, 0, 0, (), 0, 0, "v"),
        (0, 0, 0, (), 0, 0, "v"),
        (14, 0, 0, (), 0, 0, "v"),
        (3, -1, 0, (), 0, 0, "v"),
        (3, 0, 1, (), 0, 0, "v"),
        (3, 0, -1, (), 0, 0, "v"),
        (3, 0, 0, None, 0, 0, "v"),
        (3, 0, 0, (), 7, 0, "v"),
        (3, 0, 0, (), 0, 2, "v"),
        (3, 0, 0, (), 0, "a", "v"),
        (3, 0, 0, (), 0, 0, ("v",)),
        (7, 0, 0, (), 0, 0, True),
        (2, 0, 0, (), b"short", b""),
        (2, 0, 0, (), NODE, bytes(65)),
        (9, 0, 0, (), 0, 60),
        (11, 0, 0, (), 0, True, None),
        (11, 0, 0, (), 1, 1, None),
        (11, 0, 0, (), 1, True, ("v",)),
        (13, 0, 0, (), -1, None),
        (13, 0, 0, (), 0, ("v",)),
    ],
)
def test_a_malformed_op_is_none(fields: tuple[Value, ...]) -> None:
    assert parse(3, 0, 0, (), 0, 0, "v") is not None
    assert parse(*fields) is None


@pytest.mark.parametrize("dot", [(1, 0), (1, OPS_MAX - 1), (0, 1), (-1, 5), (-INT_MAX, 0)])
def test_a_dot_names_a_reference_or_an_own_op(dot: ops.WireDot) -> None:
    op = parse(3, 0, 0, (dot,), 0, 0, None, before=2)
    assert op is not None
    assert op.cites == (dot,)


@pytest.mark.parametrize(
    "dot",
    [(2, 0), (0, 2), (0, 3), (1, OPS_MAX), (1, -1), (1, True), (False, 1), (1,), (1, 0, 0), 1],
)
def test_a_dot_that_names_nothing_makes_the_op_malformed(dot: Value) -> None:
    assert parse(3, 0, 0, (dot,), 0, 0, None, before=2) is None


def test_dots_are_ascending_and_bounded() -> None:
    assert parse(3, 0, 0, ((1, 1), (1, 0)), 0, 0, None) is None
    assert parse(3, 0, 0, ((1, 1), (1, 1)), 0, 0, None) is None
    for most, wrap in (
        (CITES_MAX, lambda dots: (3, 0, 0, dots, 0, 0, None)),
        (KILLS_MAX, lambda dots: (6, 0, 0, (), 0, 0, dots)),
    ):
        dots = tuple((1, at) for at in range(most + 1))
        assert parse(*wrap(dots[:-1])) is not None
        assert parse(*wrap(dots)) is None


def create(*, key_class: int = 1, key: bytes = b"k", mode: int = 0, node: bytes = b"") -> Op | None:
    born = node or worknode_id(NODE, key_class, key)
    row = (1, 0, 0, (), NODE, key_class, key, 0, 1, mode, b"\x80")
    return parse_op(Data(b"", (), 0, b"", (born,), ("task",), (row,)), 0)


def test_a_create_names_the_hash_of_its_birth() -> None:
    made = create()
    assert made is not None
    assert made.payload == ops.Create(NODE, 1, b"k", "task", 1, 0, b"\x80")
    assert create(node=b"x" * 16) is None
    assert create(node=TRASH) is None


def test_a_key_of_class_own_is_author_and_nonce() -> None:
    assert create(key_class=0, key=own_key(b"a" * 32, b"n" * 16)) is not None
    assert create(key_class=0, key=b"a" * 47) is None
    assert create(key_class=2, key=b"k") is None


def test_a_mode_of_a_later_version_is_not_read() -> None:
    assert create(mode=1) is not None
    assert create(mode=2) is None


def test_every_op_is_loose_or_strict_but_an_event() -> None:
    assert ops.LOOSE | ops.STRICT | {ops.OP_EMIT} == set(range(1, 14))
    assert not ops.LOOSE & ops.STRICT


def test_a_body_of_too_many_bytes_is_not_written() -> None:
    row = (3, 0, 0, (), 0, 0, bytes(250_000))
    encode_data(evolve(EMPTY, ops=(row,)))
    with pytest.raises(FormError, match="a body of"):
        encode_data(evolve(EMPTY, ops=(row, row)))


@given(values)
def test_values_are_accepted_and_fit_a_body(value: Value) -> None:
    check_value(value)
    assert parse(3, 0, 0, (), 0, 0, value) is not None


@pytest.mark.parametrize(
    "value",
    [
        (),
        ("x",),
        (True,),
        (6,),
        (-1,),
        (0, ()),
        (1, ("a", 1), ("a", 2)),
        (1, ("b", 1), ("a", 2)),
        (1, ("a",)),
        (1, (1, 1)),
        (1, "a"),
        (2, b"short"),
        (2,),
        (2, bytes(16), None),
        (3, 1),
        (3, "9" * 65),
        (4, "now"),
        (4, True),
        (5, bytes(32), -1, "x"),
        (5, bytes(31), 1, "x"),
        (5, bytes(32), 1, "x" * 129),
        (5, bytes(32), 1),
    ],
)
def test_what_is_no_value_is_refused(value: Value) -> None:
    with pytest.raises(FormError):
        check_value(value)


@pytest.mark.parametrize("digits", ["0", "-1", "10", "0.5", "-0.05", "123456789.000001"])
def test_a_decimal_in_its_one_spelling_is_a_value(digits: str) -> None:
    check_value((3, digits))


@pytest.mark.parametrize(
    "digits",
    ["", "-", "-0", "+1", "01", "1.", "1.0", ".5", "1e3", "-0.0", "1\n", "٣", "1,5", "NaN"],
)
def test_a_decimal_in_another_spelling_is_refused(digits: str) -> None:
    with pytest.raises(FormError):
        check_value((3, digits))


def test_a_value_nests_as_deep_as_a_body_can_hold() -> None:
    value: Value = None
    for _ in range(VALUE_DEPTH_MAX):
        value = (0, value)
    check_value(value)
    encode_data(evolve(EMPTY, ops=((3, 0, 0, (), 0, 0, value),)))
    with pytest.raises(FormError, match="deeper"):
        check_value((0, value))
    pairs: Value = None
    for _ in range(VALUE_DEPTH_MAX // 2):
        pairs = (1, ("a", pairs))
    check_value(pairs)
    encode((((pairs,),),))
    for deeper in ((1, ("a", pairs)), (0, (0, pairs))):
        with pytest.raises(FormError, match="deeper"):
            check_value(deeper)

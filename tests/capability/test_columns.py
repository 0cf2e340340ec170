"""A body of plain register writes: by columns it is what it is op by op, and nothing else is."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capability.columns import registers
from capability.data_body import Data, decode_data, parse_op
from capability.errors import FormError
from capability.ops import OP_REGISTER, Op, Register
from crdt.codec import INT_MAX, INT_MIN, decode, encode
from crdt.errors import CodecError

NODES = tuple(bytes([i]) * 16 for i in range(3))
NAMES = ("status", "title")

scalars = st.none() | st.booleans() | st.integers(-INT_MAX, INT_MAX) | st.text() | st.binary()
odd = scalars | st.just(()) | st.just((0, 1)) | st.just((9,)) | st.tuples(st.tuples())
plain = st.tuples(
    st.just(OP_REGISTER),
    st.integers(0, INT_MAX),
    st.integers(0, 2),
    st.just(()),
    st.integers(0, 6),
    st.integers(0, 1),
    scalars,
)
numbers = st.integers(-2, 8)
other = st.tuples(numbers, numbers, numbers, odd, numbers, numbers, odd) | odd
rows = st.lists(plain, max_size=5) | st.lists(plain | other, max_size=5)


def body(ops: object) -> bytes:
    return encode((b"", (), 0, b"", NODES, NAMES, ops))


@given(rows)
def test_columns_say_what_each_op_says(ops: list[object]) -> None:
    data = decode_data(body(ops))
    assert data == Data(b"", (), 0, b"", NODES, NAMES, tuple(decode(encode(ops), size_max=9999)))
    if data.registers is None:
        return
    columns = data.registers
    assert sorted([*columns.indexes, *data.others()]) == list(range(len(ops)))
    for i, index in enumerate(columns.indexes):
        payload = Register(columns.spaces[i], NAMES[columns.names[i]], columns.values[i])
        node = NODES[columns.nodes[i]]
        assert parse_op(data, index) == Op(OP_REGISTER, columns.ages[i], node, (), payload)


@given(st.lists(plain, min_size=1, max_size=5))
def test_plain_registers_are_read_by_columns(ops: list[object]) -> None:
    found = registers(tuple(ops), nodes=3, names=2)
    assert found is not None and found.are_all


def test_a_body_comes_with_the_columns_of_its_plain_registers() -> None:
    good = (OP_REGISTER, 0, 0, (), 0, 0, "done")
    data = decode_data(body((good, good)))
    assert data.registers == registers(data.ops, nodes=3, names=2)
    assert data.registers is not None and data.others() == []


def test_the_extremes_of_every_kind_of_scalar_are_read_by_columns() -> None:
    extremes = (None, True, INT_MIN, INT_MAX, "", b"")
    ops = tuple((OP_REGISTER, INT_MAX, 2, (), 6, 1, value) for value in extremes)
    found = registers(ops, nodes=3, names=2)
    assert found is not None and found.values == extremes


def nested(depth: int) -> object:
    return [nested(depth - 1)] if depth else []


@pytest.mark.parametrize("odd", [1.5, 1 << 63, nested(13)])
def test_what_is_not_of_the_format_is_refused_beside_plain_registers(odd: object) -> None:
    """Nothing of a body is believed because some of it was proved by columns."""
    good = (OP_REGISTER, 0, 0, (), 0, 0, "done")
    strange = (99, 0, 0, (), odd)
    with pytest.raises(FormError):
        decode_data(msgpack.packb((b"", (), 0, b"", NODES, NAMES, (good, strange))))


@pytest.mark.parametrize(
    "change",
    [
        {0: True},
        {0: 4},
        {1: -1},
        {1: True},
        {2: 3},
        {3: ((0, 0),)},
        {3: b""},
        {4: 7},
        {5: 2},
        {6: 1.5},
        {6: (0, 1)},
        {6: INT_MAX + 1},
        {1: INT_MAX + 1},
    ],
)
def test_whatever_else_is_left_to_the_op(change: dict[int, object]) -> None:
    row = [OP_REGISTER, 0, 0, (), 0, 0, "done"]
    for at, value in change.items():
        row[at] = value
    good = (OP_REGISTER, 0, 0, (), 0, 0, "done")
    found = registers((good, tuple(row)), nodes=3, names=2)  # type: ignore[arg-type]
    assert found is None or (found.indexes == (0,) and not found.are_all)


def test_deep_nesting_is_refused_before_it_is_printed() -> None:
    nested = b"\x91" * 900 + b"\x90"
    with pytest.raises((FormError, CodecError)):
        decode_data(nested)
    with pytest.raises(FormError):
        decode_data(b"\x97" + nested + encode(())[:1] * 6)

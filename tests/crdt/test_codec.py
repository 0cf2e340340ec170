"""The byte form: total on values, and a refusal for every byte string that is not canonical."""

import enum
import tracemalloc
from typing import NamedTuple

import msgpack  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt import codec
from crdt.codec import (
    DEPTH_MAX,
    INT_MAX,
    INT_MIN,
    Value,
    _heads,
    _walk_headers,
    decode,
    encode,
    encode_bytes,
    first,
)
from crdt.errors import CodecError
from tests.crdt.strategies import BOUNDED, LONG, values

SIZE_MAX = 1 << 20


class Kind(enum.IntEnum):
    DATA = 16


class Pair(NamedTuple):
    data: bytes
    text: str


def nested(depth: int) -> Value:
    value: Value = None
    for _ in range(depth):
        value = (value,)
    return value


@LONG
@given(values)
def test_decode_inverts_encode(value: Value) -> None:
    data = encode(value)
    decoded = decode(data, size_max=SIZE_MAX)
    assert decoded == value
    assert encode(decoded) == data


@LONG
@given(st.binary(max_size=60) | st.lists(values, max_size=4).map(msgpack.packb))
def test_what_decodes_is_canonical(data: bytes) -> None:
    try:
        value = decode(data, size_max=SIZE_MAX)
    except CodecError:
        return
    assert encode(value) == data


@BOUNDED
@given(values, st.data())
def test_one_changed_byte_never_raises_anything_else(value: Value, draw: st.DataObject) -> None:
    data = bytearray(encode(value))
    data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    try:
        decoded = decode(bytes(data), size_max=SIZE_MAX)
    except CodecError:
        return
    assert encode(decoded) == bytes(data)


@BOUNDED
@given(values)
def test_every_truncation_is_refused(value: Value) -> None:
    data = encode(value)
    for end in range(len(data)):
        with pytest.raises(CodecError):
            decode(data[:end], size_max=SIZE_MAX)


def test_lists_and_tuples_encode_alike_and_decode_as_tuples() -> None:
    assert encode([1, [2, b"x"]]) == encode((1, (2, b"x")))
    assert decode(encode([1, [2]]), size_max=9) == (1, (2,))


@given(st.lists(values, min_size=1, max_size=4))
def test_the_first_item_comes_without_the_others(items: list[Value]) -> None:
    assert (first(encode(items)),) == decode(encode(items[:1]), size_max=SIZE_MAX)


@pytest.mark.parametrize("data", [b"", b"\x90", b"\x01", b"\x92", b"\x91\xc1"])
def test_what_has_no_first_item_is_refused(data: bytes) -> None:
    with pytest.raises(CodecError):
        first(data)


def test_what_stands_below_a_named_thing_is_looked_at_too() -> None:
    for wrapped in ((Kind.DATA, (1.5,)), (Pair(b"", ""), ((1.5,),))):
        with pytest.raises(CodecError):
            encode(wrapped)


def test_named_tuples_encode_as_tuples() -> None:
    # Bytes that look like an int out of range, in a level without any int.
    value = ((b"\xcf" + b"\xff" * 8, "\u00cf" * 9),)
    assert encode((Pair(*value[0]),)) == encode(value)


def test_enumerations_encode_as_their_int() -> None:
    assert encode((Kind.DATA,)) == encode((16,))


@pytest.mark.parametrize("value", [INT_MIN, INT_MAX, -1, 0, 127, 128, 2**32, -(2**31) - 1])
def test_ints_at_the_edges(value: int) -> None:
    assert decode(encode(value), size_max=9) == value


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        {},
        {1: 2},
        bytearray(b"x"),
        memoryview(b"x"),
        msgpack.ExtType(1, b""),
        msgpack.Timestamp(1),
        object(),
        {1, 2},
        "\ud800",
        2**63,
        2**64,
        -(2**63),
        -(2**64),
    ],
)
def test_other_values_are_refused_at_any_depth(value: object) -> None:
    for wrapped in (value, (0, [value])):
        with pytest.raises(CodecError):
            encode(wrapped)
    # A failed encoding leaves nothing behind.
    assert encode(1) == b"\x01"


def test_nesting_is_bounded_in_both_directions() -> None:
    deepest = encode(nested(DEPTH_MAX))
    assert decode(deepest, size_max=99) == nested(DEPTH_MAX)
    with pytest.raises(CodecError, match="deeper than 16"):
        encode(nested(DEPTH_MAX + 1))
    with pytest.raises(CodecError, match="deeper than 16"):
        decode(b"\x91" + deepest, size_max=99)
    with pytest.raises(CodecError, match="deeper than 2"):
        decode(encode(nested(3)), size_max=99, depth_max=2)
    assert decode(encode(nested(20), depth_max=20), size_max=99, depth_max=20) == nested(20)
    with pytest.raises(CodecError):
        encode(nested(2000))


def test_lists_nest_as_deep_as_tuples_and_a_large_int_not_at_all() -> None:
    value: list[object] = []
    for _ in range(2):
        value = [value]
    assert encode(value, depth_max=3) == b"\x91\x91\x90"
    with pytest.raises(CodecError, match="deeper than 2"):
        encode(value, depth_max=2)
    assert decode(encode(INT_MAX, depth_max=0), size_max=9, depth_max=0) == INT_MAX


def test_each_byte_that_could_be_the_header_of_a_long_array_is_counted() -> None:
    """Also the one after another: the first of two may be a number's last."""
    header = b"\xdc\x00\x05"

    def claimed(data: bytes) -> int:
        return next(slots for slots in range(99) if not codec._claims_beyond(data, slots))

    assert claimed(header + bytes(4)) == 5
    assert claimed(b"\xcc\xdc" + header + bytes(4)) == 5
    assert claimed(header * 2) == 10
    assert claimed(header + b"\xdd\x00\x00\x00\x07" + bytes(4)) == 12
    assert claimed(b"\xdc\x00\x06\x00\x00\x00") == 6
    assert claimed(b"\xdc\x00\x07\x00\x00\x00") == 0, "more than all bytes can hold"


def test_a_tuple_of_nothing_nests_too() -> None:
    with pytest.raises(CodecError, match="deeper than 0"):
        encode((), depth_max=0)
    assert encode(b"scalar", depth_max=0)
    assert encode((), depth_max=1)


@given(st.lists(st.binary(max_size=300), max_size=4))
def test_binaries_that_are_vouched_for_encode_alike(parts: list[bytes]) -> None:
    assert encode_bytes(*parts) == encode(tuple(parts))


def test_size_is_bounded() -> None:
    data = encode(b"x" * 10)
    assert decode(data, size_max=12) == b"x" * 10
    with pytest.raises(CodecError, match="12 bytes, at most 11"):
        decode(data, size_max=11)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc0\xc0",
        b"\xc1",
        b"\x80",
        b"\x81\x01\x02",
        b"\xde\x00\x00",
        b"\xcb" + bytes(8),
        b"\xca" + bytes(4),
        b"\xc7\x00\x05",
        b"\xc7\x00\xff",
        b"\xd4\x01\x00",
        b"\xd6\xff" + bytes(4),
        b"\xcf" + b"\xff" * 8,
        b"\xd3\x80" + bytes(7),
        b"\xa1\xff",
        b"\xa3\xed\xa0\x80",
        b"\xcc\x05",
        b"\xd0\x05",
        b"\xcd\x00\xff",
        b"\xd9\x01a",
        b"\xc5\x00\x01a",
        b"\xdc\x00\x01\xc0",
        b"\xdd\x00\x00\x00\x01\xc0",
        b"\xdc\xff\xff",
        b"\xdd\xff\xff\xff\xff",
    ],
)
def test_bytes_that_are_not_canonical_are_refused(data: bytes) -> None:
    for prefix in (b"", b"\x91"):
        with pytest.raises(CodecError):
            decode(prefix + data, size_max=SIZE_MAX)


@pytest.mark.parametrize(
    "data",
    [
        (b"\xdd" + (100_000).to_bytes(4, "big")) * 40_000,
        (b"\xdc\xff\xff") * 60_000,
        b"\x9f" * 100_000,
        (b"\xdd" + (60_000).to_bytes(4, "big")) * 15 + bytes(61_000),
        b"\x91" * 1023 + b"\xdd" + (60_000).to_bytes(4, "big") + bytes(59_000),
        (b"\x92\xc0" * 14) + b"\xdc\xff\xff" + bytes(70_000),
        b"\xdd\x00\x01\x00\x00" + b"\xdc\xff\xff" * 30_000 + b"\xc0" * 65_536,
        # Each claims as many elements as there are bytes; a length that looks like a header; a
        # length whose last byte is none.
        (b"\xdd" + (200_000).to_bytes(4, "big")) * 40_000,
        b"\xdd\x00\x00\xdd\xdd" * 40_000,
        b"\xdc\xff\x00" * 60_000,
    ],
)
def test_hostile_headers_cost_little_memory(data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(CodecError):
            decode(data, size_max=SIZE_MAX)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * len(data) + 300_000


@BOUNDED
@given(st.lists(values, min_size=1, max_size=5), st.binary(min_size=1, max_size=3))
def test_the_careful_path_agrees_with_the_fast_one(items: list[Value], salt: bytes) -> None:
    # Long strings full of 0xdd look like headers and force the walk over the headers.
    value = (tuple(items), salt + b"\xdd\x00\x00\x01\x00" * 200, tuple(range(300)))
    data = encode(value)
    assert decode(data, size_max=SIZE_MAX) == value


@LONG
@given(values)
def test_the_walk_over_the_headers_knows_every_value_and_where_it_ends(value: Value) -> None:
    data = encode((value, b"\xc4", "\u0100" * 40))
    _walk_headers(data, DEPTH_MAX)
    for size in range(len(data)):
        with pytest.raises(CodecError):
            _walk_headers(data[:size], DEPTH_MAX)


@pytest.mark.parametrize("item", [(1,) * 16, (1,) * 70_000, b"x" * 300, b"y" * 70_000, "z" * 40])
def test_the_walk_over_the_headers_reads_lengths_of_every_width(item: Value) -> None:
    data = encode((item, 2**40, -(2**40), item, "e" * 300, "e" * 70_000))
    _walk_headers(data, DEPTH_MAX)
    with pytest.raises(CodecError):
        _walk_headers(data[:-1], DEPTH_MAX)


def test_the_walk_over_the_headers_bounds_the_nesting_exactly() -> None:
    for depth in range(1, 20):
        data = encode((1, nested(depth - 1), 2), depth_max=20)
        _walk_headers(data, depth)
        with pytest.raises(CodecError, match=f"nested deeper than {depth - 1} at offset"):
            _walk_headers(data, depth - 1)


def head_of(value: Value) -> tuple[int, tuple[bool, int, int]]:
    """The first byte of a value's encoding, and what it says: see `crdt.codec._heads`."""
    data = encode(value)
    if not isinstance(value, (str, bytes, tuple)):
        return data[0], (False, 0, len(data) - 1)
    width = len(data) - 1 - len(value)
    return data[0], (isinstance(value, tuple), width, 0 if width else len(value))


def test_the_table_of_first_bytes_is_what_the_packer_writes() -> None:
    sizes = (*range(33), 300, 70_000)
    seen = [head_of(value) for value in (None, False, True)]
    seen += [head_of(sign * (1 << power)) for power in range(63) for sign in (1, -1)]
    seen += [head_of(number) for number in range(-40, 300)]
    seen += [head_of(of * size) for of in ("x", b"x", (0,)) for size in sizes]
    assert dict(seen) == _heads()
    assert set(seen) == set(dict(seen).items())


def test_the_walk_over_the_headers_refuses_what_the_format_has_not() -> None:
    # Maps, extensions, floats, and the byte that MessagePack never uses.
    foreign = {*range(0x80, 0x90), *range(0xC7, 0xCC), *range(0xD4, 0xD9), 0xC1, 0xDE, 0xDF}
    for head in range(256):
        data = bytes((0x92, head)) + bytes(40)
        if head in foreign:
            with pytest.raises(CodecError, match="no value of the format"):
                _walk_headers(data, DEPTH_MAX)
        else:
            _walk_headers(data, DEPTH_MAX)

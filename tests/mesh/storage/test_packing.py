"""Rows of many events and numbers read as what was put in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt.codec import Value, encode
from crdt.errors import CodecError
from mesh.core.events import Event
from mesh.storage.packing import (
    EVENTS_PER_ROW,
    pack_events,
    pack_numbers,
    unpack_events,
    unpack_numbers,
)

VALUES = st.sampled_from([1, True, 0, False, "a", b"", None, (1,), (True,), ("status",)])


@given(
    st.integers(1, 2**40),
    st.lists(st.tuples(st.integers(1, 3), st.sampled_from("ab"), VALUES), max_size=9),
    st.sampled_from([1, EVENTS_PER_ROW]),
)
def test_events_come_back(first: int, made: list[tuple[int, str, object]], times: int) -> None:
    events = [
        Event(first + i, hlc, kind, bytes([i % 7]) * 16, b"a" * 32, b"", data)
        for i, (hlc, kind, data) in enumerate(made * times)
    ]
    rows = pack_events(events)
    found = [event for start, _, data in rows for event in unpack_events(start, data)]
    assert found == events
    # 1 == True, so the types are compared too.
    assert [repr(event) for event in found] == [repr(event) for event in events]
    assert [last for _, last, _ in rows] == [
        e.cursor for e in events[EVENTS_PER_ROW - 1 :: EVENTS_PER_ROW]
    ] + ([events[-1].cursor] if len(events) % EVENTS_PER_ROW else [])


@given(st.lists(st.integers(2**40, 2**40 + 2**32 - 1), min_size=1, unique=True).map(sorted))
def test_numbers_come_back(numbers: list[int]) -> None:
    assert unpack_numbers(numbers[0], pack_numbers(numbers)) == numbers


ONE = ((1,), (1,))
NODES = (b"n" * 16,)


@pytest.mark.parametrize(
    "row",
    [
        7,
        None,
        (ONE, ONE),
        (ONE, ONE, NODES, ONE, ONE),
        (ONE, ONE, NODES, ONE, ONE, ONE, ONE),
        (((1,), (2,)), ONE, NODES, ONE, ONE, ONE),
        (ONE, ONE, NODES * 2, ONE, ONE, ONE),
        (((1,), (2**63 - 1,)), ONE, NODES, ONE, ONE, ONE),
        (((1,), ("a",)), ONE, NODES, ONE, ONE, ONE),
        (((1,),), ONE, NODES, ONE, ONE, ONE),
        (7, ONE, NODES, ONE, ONE, ONE),
    ],
    ids=repr,
)
def test_a_row_that_is_none_of_events_is_refused_by_its_first_cursor(row: Value) -> None:
    with pytest.raises(CodecError, match=r"^events from 41: "):
        unpack_events(41, encode(row))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
def test_a_part_of_a_number_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"{size} bytes are no numbers"):
        unpack_numbers(1, bytes(size))

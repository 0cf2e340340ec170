"""Rows of many events and numbers read as what was put in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

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

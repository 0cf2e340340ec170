"""What rests in bytes is what was put away, and only what is warm is changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt.tree import Move
from mesh.worknode import shelf
from mesh.worknode.cells import CounterCell, DotCell, RegisterCell
from mesh.worknode.record import (
    Creation,
    Worknode,
    is_created,
    is_moved,
    pack_record,
    unpack_creates,
    unpack_record,
)
from mesh.worknode.shelf import Shelf

numbers = st.integers(0, 2**63 - 1)
values = (
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.text() | st.just((0, (2, b"")))
)
registers = st.builds(RegisterCell, numbers, numbers, values)
dots = st.dictionaries(numbers, st.tuples(numbers, values), max_size=3)
dot_cells = st.builds(
    DotCell, dots, st.none() | st.sets(st.binary(min_size=34, max_size=34), min_size=1, max_size=2)
)
counters = st.builds(CounterCell, st.integers(-(2**90), 2**90), numbers)
keys = st.tuples(st.integers(0, 6), st.text(max_size=5))
cells = st.one_of(
    *(
        st.dictionaries(keys.map(lambda key, kind=kind: (*key, kind)), strategy, max_size=3)
        for kind, strategy in (
            (3, registers),
            (4, dot_cells),
            (5, dot_cells),
            (7, counters),
            (8, dot_cells),
        )
    )
)
ids = st.binary(min_size=16, max_size=16)
moves = st.lists(
    st.builds(Move, st.tuples(numbers, ids, numbers, ids, numbers), ids, ids, ids), max_size=2
)
records = st.builds(
    Worknode,
    st.dictionaries(
        numbers, st.builds(Creation, st.text(), numbers, numbers, ids, numbers), max_size=2
    ),
    cells,
    moves.map(lambda listed: {move.key: move for move in listed}),
    st.tuples(numbers, numbers),
)


@given(records)
def test_a_record_comes_back(record: Worknode) -> None:
    packed = pack_record(record)
    assert unpack_record(packed) == record
    assert unpack_creates(packed) == record.creates
    assert is_created(packed) == bool(record.creates)
    assert is_moved(packed) == bool(record.moves)


def node(i: int) -> bytes:
    return i.to_bytes(16, "big")


def filled(count: int) -> Shelf[Worknode]:
    made = Shelf(pack_record, unpack_record)
    for i in range(count):
        made[node(i)] = Worknode(updated=(i, i))
    return made


def test_the_oldest_rest_and_what_is_warmed_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "HOT_MAX", 2)
    held = filled(5)
    held.cool()
    assert [held.packed(node(i)) is not None for i in range(5)] == [True, True, True, False, False]
    warm = held.warm(node(0))
    assert warm is not None
    warm.updated = (9, 9)
    held.cool()
    held.cool()
    assert {at: record.updated for at, record in held.items()} == {
        node(i): (9, 9) if i == 0 else (i, i) for i in range(5)
    }
    assert len(held) == 5
    assert node(3) in held and node(7) not in held
    assert held.warm(node(7)) is None and held.get(node(7)) is None


def test_a_change_is_seen_by_who_read_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "HOT_MAX", 0)
    held = filled(1)
    held.cool()
    assert held[node(0)].updated == (0, 0)
    held[node(0)] = Worknode(updated=(1, 1))
    assert held[node(0)].updated == (1, 1)
    held.cool()
    assert held[node(0)].updated == (1, 1)

"""The algorithms, clause by clause: what is sent to whom, and what is kept."""

import pytest

from crdt.sets import GSet
from simulations.literature.replication import (
    ALGORITHMS,
    Ack,
    DeltaGroups,
    Deltas,
    Group,
    Matrix,
    Scuttlebutt,
    Whole,
)


def having(*values: str) -> GSet:
    state = GSet()
    for value in values:
        state = state.join(state.add(value))
    return state


def replica(*, back_propagation: bool = True, redundant: bool = True) -> DeltaGroups:
    """Node 0, between 1 and 2."""
    return DeltaGroups(0, (1, 2), GSet(), not back_propagation, not redundant)


def test_a_state_is_sent_whole_to_every_neighbour() -> None:
    one = ALGORITHMS["state"](0, (1, 2), GSet(), 3)
    one.update(having("a"))
    assert one.receive(1, Whole(having("b"))) == []
    whole = Whole(having("a", "b"))
    assert one.synchronize() == [(1, whole), (2, whole)]


def test_a_group_is_the_join_of_what_came_since() -> None:
    one = replica()
    one.update(having("a"))
    one.update(having("b"))
    group = Group(2, having("a", "b"))
    assert one.synchronize() == [(1, group), (2, group)]


def test_classic_delta_sends_a_group_back_to_its_origin() -> None:
    one = replica()
    assert one.receive(1, Group(7, having("a"))) == [(1, Ack(7))]
    group = Group(1, having("a"))
    assert one.synchronize() == [(1, group), (2, group)]


def test_bp_does_not() -> None:
    one = replica(back_propagation=False)
    one.receive(1, Group(7, having("a")))
    assert one.synchronize() == [(2, Group(1, having("a")))]


@pytest.mark.parametrize("redundant", [True, False])
def test_rr_keeps_only_what_was_new_of_a_group(*, redundant: bool) -> None:
    one = replica(redundant=redundant)
    one.update(having("a"))
    one.receive(1, Ack(1))
    one.receive(2, Ack(1))
    one.receive(1, Group(7, having("a", "b")))
    kept = having("a", "b") if redundant else having("b")
    assert one.synchronize() == [(1, Group(2, kept)), (2, Group(2, kept))]


@pytest.mark.parametrize("redundant", [True, False])
def test_a_group_without_news_is_acknowledged_and_dropped(*, redundant: bool) -> None:
    one = replica(redundant=redundant)
    one.receive(1, Group(7, having("a", "b")))
    assert one.receive(2, Group(9, having("b"))) == [(2, Ack(9))]
    assert list(one.buffer) == [0]


def test_a_group_is_sent_until_it_is_acknowledged() -> None:
    one = replica()
    one.update(having("a"))
    first = one.synchronize()
    one.receive(1, Ack(1))
    one.update(having("b"))
    assert one.synchronize() == [(1, Group(2, having("b"))), (2, Group(2, having("a", "b")))]
    assert first == [(1, Group(1, having("a"))), (2, Group(1, having("a")))]


def test_what_all_have_acknowledged_leaves_the_buffer() -> None:
    one = replica()
    one.update(having("a"))
    before = one.overhead()
    one.receive(1, Ack(1))
    assert one.overhead() == before
    one.receive(2, Ack(1))
    assert one.overhead() == before - 1
    assert one.synchronize() == []


def test_scuttlebutt_answers_with_what_the_asker_lacks() -> None:
    one = Scuttlebutt(0, (1,), GSet(), 2)
    assert one.synchronize() == []
    one.update(having("a"))
    one.update(having("b"))
    assert one.synchronize() == [(1, Matrix(((2, 0), (0, 0))))]
    answer = one.receive(1, Matrix(((0, 0), (1, 0))))
    assert answer == [(1, Deltas((((0, 2), having("b")),)))]


def test_scuttlebutt_forgets_what_everybody_is_known_to_have() -> None:
    one = Scuttlebutt(0, (1,), GSet(), 2)
    one.update(having("a"))
    one.receive(1, Deltas((((1, 1), having("b")),)))
    assert one.state == having("a", "b")
    one.receive(1, Matrix(((1, 0), (1, 1))))
    assert one.deltas == {}


def test_scuttlebutt_takes_a_delta_once() -> None:
    one = Scuttlebutt(0, (1, 2), GSet(), 3)
    deltas = Deltas((((2, 1), having("c")),))
    one.receive(1, deltas)
    one.receive(2, deltas)
    assert one.rows[0] == [0, 0, 1]

"""One law suite over all lattices, and every lattice against its naive definition."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt.codec import encode
from crdt.lattice import delta, join_all
from tests.crdt.lattices import LATTICES, Case, World
from tests.crdt.strategies import BOUNDED, REPLICAS, Act, histories

every_lattice = pytest.mark.parametrize("case", LATTICES, ids=lambda case: case.name)


@st.composite
def pools(draw: st.DrawFn, case: Case) -> list[Any]:
    """The states and deltas of one history, in a random order and never empty."""
    world = World.after(case, draw(histories(case.operations)))
    return draw(st.permutations(world.states + world.deltas))


@every_lattice
@BOUNDED
@given(data=st.data())
def test_join_is_a_least_upper_bound(case: Case, data: st.DataObject) -> None:
    pool = data.draw(pools(case))
    b, c = pool[0], pool[-1]
    # Many a for each b: one that has removed what b keeps is rare among single pairs.
    for a in pool:
        assert a.join(b).join(c) == a.join(b.join(c))
        assert a.join(b) == b.join(a)
        assert a.leq(b) == (a.join(b) == b)
        assert a.leq(a.join(b))
        assert not (a.leq(c) and b.leq(c)) or a.join(b).leq(c)
    assert b.join(b) == b
    assert b.join(case.bottom) == b
    assert b.bottom() == case.bottom
    assert case.bottom.leq(b)


@every_lattice
@BOUNDED
@given(data=st.data())
def test_parts_join_back_and_none_can_be_spared(case: Case, data: st.DataObject) -> None:
    state = data.draw(pools(case))[0]
    parts = list(state.decompose())
    assert join_all(parts, case.bottom) == state
    for index, part in enumerate(parts):
        assert not part.leq(case.bottom)
        assert list(part.decompose()) == [part]
        others = parts[:index] + parts[index + 1 :]
        assert join_all(others, case.bottom) != state
    assert list(case.bottom.decompose()) == []


@every_lattice
@BOUNDED
@given(data=st.data())
def test_delta_is_enough_and_no_part_of_it_can_be_spared(case: Case, data: st.DataObject) -> None:
    pool = data.draw(pools(case))
    b = pool[-1]
    for a in pool:
        least = delta(a, b)
        assert b.join(least) == a.join(b)
        assert least.leq(a)
        if hasattr(a, "delta_since"):
            assert a.delta_since(b) == least
    a = pool[0]
    least = delta(a, b)
    parts = list(least.decompose())
    for index in range(len(parts)):
        others = parts[:index] + parts[index + 1 :]
        assert b.join(join_all(others, case.bottom)) != a.join(b)


@every_lattice
@BOUNDED
@given(data=st.data())
def test_mutators_are_pure_and_return_deltas(case: Case, data: st.DataObject) -> None:
    world = World.after(case, data.draw(histories(case.operations)))
    state, other = world.states[0], world.states[1]
    before = copy.deepcopy(state)
    world.take(data.draw(st.builds(Act, st.just(0), case.operations, st.just(1))))
    change, mutated = world.deltas[-1], world.states[0]
    assert state == before
    assert state.leq(mutated)
    # The delta says no more than the mutated state, and all that the mutation added.
    assert change.leq(mutated)
    assert delta(mutated, state).leq(change)
    # Sent alone to whoever holds the old state, it does what the full state does.
    assert other.join(state).join(change) == other.join(mutated)
    assert mutated.join(change) == mutated


@every_lattice
@BOUNDED
@given(data=st.data())
def test_every_replica_reads_what_the_naive_definition_says(
    case: Case, data: st.DataObject
) -> None:
    world = World.after(case, data.draw(histories(case.operations)))
    for index in range(REPLICAS):
        assert encode(case.read(world.states[index])) == encode(world.expected(index))


@every_lattice
@BOUNDED
@given(data=st.data())
def test_replicas_with_the_same_deltas_are_equal(case: Case, data: st.DataObject) -> None:
    world = World.after(case, data.draw(histories(case.operations)))
    shuffled = data.draw(st.permutations(world.deltas))
    assert join_all(shuffled, case.bottom) == join_all(world.states, case.bottom)

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
def triples(draw: st.DrawFn, case: Case) -> tuple[Any, Any, Any]:
    """Three states of one history: of replicas at its end, or single deltas."""
    world = World.after(case, draw(histories(case.operations)))
    states = st.sampled_from(world.states + world.deltas)
    return draw(states), draw(states), draw(states)


@every_lattice
@BOUNDED
@given(data=st.data())
def test_join_is_a_least_upper_bound(case: Case, data: st.DataObject) -> None:
    a, b, c = data.draw(triples(case))
    assert a.join(b).join(c) == a.join(b.join(c))
    assert a.join(b) == b.join(a)
    assert a.join(a) == a
    assert a.join(case.bottom) == a
    assert a.bottom() == case.bottom
    assert a.leq(b) == (a.join(b) == b)
    assert a.leq(a.join(b))
    assert case.bottom.leq(a)
    if a.leq(c) and b.leq(c):
        assert a.join(b).leq(c)


@every_lattice
@BOUNDED
@given(data=st.data())
def test_parts_join_back_and_none_can_be_spared(case: Case, data: st.DataObject) -> None:
    state, _, _ = data.draw(triples(case))
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
    a, b, _ = data.draw(triples(case))
    least = delta(a, b)
    assert b.join(least) == a.join(b)
    assert least.leq(a)
    parts = list(least.decompose())
    for index in range(len(parts)):
        others = parts[:index] + parts[index + 1 :]
        assert b.join(join_all(others, case.bottom)) != a.join(b)
    if hasattr(a, "delta_since"):
        assert a.delta_since(b) == least


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

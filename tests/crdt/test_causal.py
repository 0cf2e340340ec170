"""A causal context against the plain set of its dots."""

from hypothesis import given
from hypothesis import strategies as st

from crdt.causal import CausalContext, Dot
from tests.crdt.strategies import LONG

dots = st.builds(Dot, st.sampled_from([b"x", b"y"]), st.integers(1, 6))
sets = st.frozensets(dots)


@LONG
@given(sets, sets, dots)
def test_a_context_is_a_set_of_dots(a: frozenset[Dot], b: frozenset[Dot], dot: Dot) -> None:
    one, two = CausalContext.of(a), CausalContext.of(b)
    assert list(one) == sorted(a)
    assert bool(one) == bool(a)
    assert (dot in one) == (dot in a)
    assert one.join(two) == CausalContext.of(a | b)
    assert one.leq(two) == (a <= b)
    assert one.difference(two) == sorted(a - b)
    assert (one == two) == (a == b)


@LONG
@given(sets)
def test_the_form_is_compact(members: frozenset[Dot]) -> None:
    context = CausalContext.of(members)
    assert all(context.vector.values())
    for dot in context.cloud:
        assert dot.counter > context.vector.get(dot.replica, 0) + 1


@LONG
@given(sets, st.sampled_from([b"x", b"y", b"z"]))
def test_the_next_dot_is_above_all_of_its_replica(members: frozenset[Dot], replica: bytes) -> None:
    following = CausalContext.of(members).next_dot(replica)
    mine = [dot.counter for dot in members if dot.replica == replica]
    assert following == Dot(replica, max(mine, default=0) + 1)


def test_a_late_dot_empties_the_cloud() -> None:
    ahead = CausalContext.of([Dot(b"x", 3), Dot(b"x", 2)])
    assert (ahead.vector, len(ahead.cloud)) == ({}, 2)
    full = ahead.join(CausalContext.of([Dot(b"x", 1)]))
    assert (full.vector, full.cloud) == ({b"x": 3}, frozenset())

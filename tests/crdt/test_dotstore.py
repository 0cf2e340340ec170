"""Dot stores against the sentence that defines them, over any stores and contexts."""

from hypothesis import given
from hypothesis import strategies as st

from crdt.causal import CausalContext, Dot
from crdt.dotstore import DotFun, DotMap, DotSet
from crdt.lattice import delta
from crdt.registers import MVRegister
from crdt.sets import AWSet
from tests.crdt.strategies import LONG

dots = st.builds(Dot, st.sampled_from([b"x", b"y"]), st.integers(1, 4))
sets = st.frozensets(dots)
cells = st.dictionaries(dots, st.sampled_from([b"\x01", b"\x02"]))


@LONG
@given(sets, sets, sets, sets)
def test_a_dot_covered_and_absent_was_removed(
    a: frozenset[Dot], seen_a: frozenset[Dot], b: frozenset[Dot], seen_b: frozenset[Dot]
) -> None:
    seen_a, seen_b = seen_a | a, seen_b | b
    context_a, context_b = CausalContext.of(seen_a), CausalContext.of(seen_b)
    joined = DotSet(a).join(DotSet(b), context_a, context_b)
    assert joined.members == (a & b) | (a - seen_b) | (b - seen_a)
    # The same under a key, and with keys on one side only.
    left, right = DotMap({b"k": DotSet(a)} if a else {}), DotMap({b"k": DotSet(b)} if b else {})
    assert left.join(right, context_a, context_b) == (
        DotMap({b"k": joined}) if joined else DotMap()
    )


@LONG
@given(sets, sets, sets, sets)
def test_order_and_delta_follow_from_join(
    a: frozenset[Dot], seen_a: frozenset[Dot], b: frozenset[Dot], seen_b: frozenset[Dot]
) -> None:
    one = AWSet(DotMap({b"k": DotSet(a)} if a else {}), CausalContext.of(seen_a | a))
    two = AWSet(DotMap({b"k": DotSet(b)} if b else {}), CausalContext.of(seen_b | b))
    assert one.leq(two) == (one.join(two) == two)
    assert one.delta_since(two) == delta(one, two)
    assert two.join(one.delta_since(two)) == one.join(two)


@LONG
@given(cells, sets, cells, sets)
def test_a_dot_given_twice_still_converges(
    a: dict[Dot, bytes], seen_a: frozenset[Dot], b: dict[Dot, bytes], seen_b: frozenset[Dot]
) -> None:
    # Only a faulty author writes two values under one dot; the laws hold for them too.
    one = MVRegister(DotFun(a), CausalContext.of(seen_a | a.keys()))
    two = MVRegister(DotFun(b), CausalContext.of(seen_b | b.keys()))
    joined = one.join(two)
    assert joined == two.join(one)
    assert one.join(joined) == joined
    assert one.leq(joined)
    assert one.leq(two) == (joined == two)


@LONG
@given(cells, sets)
def test_only_restricts(a: dict[Dot, bytes], kept: frozenset[Dot]) -> None:
    assert set(DotFun(a).only(kept).dots()) == a.keys() & kept
    assert set(DotSet(frozenset(a)).only(kept).dots()) == a.keys() & kept
    nested = DotMap({b"k": DotFun(a)} if a else {}).only(kept)
    assert set(nested.dots()) == a.keys() & kept
    assert all(nested.stores.values())

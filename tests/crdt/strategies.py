"""Generators shared by the tests of crdt/."""

from attrs import frozen
from hypothesis import settings
from hypothesis import strategies as st

from crdt.codec import INT_MAX, INT_MIN, Value

# Bounded so that the whole folder runs in well under half a minute on two cores. A profile that
# asks for few examples gets few.
_MOST = settings.default.max_examples
BOUNDED = settings(max_examples=min(80, _MOST), deadline=None)
LONG = settings(max_examples=min(300, 3 * _MOST), deadline=None)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(INT_MIN, INT_MAX),
    st.integers(-200, 70_000),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.binary(max_size=40),
)

values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=20).map(tuple), max_leaves=40)
"""Values that the codec accepts; nesting stays below its limit because leaves are few."""

few_values = st.sampled_from([None, False, True, 0, 1, -1, "", "a", b"", b"a", (1,), (True,)])
"""Values that Python takes for equal, or that look alike in another type."""


@frozen
class Act:
    """*replica* performs *operation*; its clock has moved on by *pause* before."""

    replica: int
    operation: tuple[Value, ...]
    pause: int


@frozen
class Meet:
    """*replica* joins the whole state of *other*."""

    replica: int
    other: int


@frozen
class Deliver:
    """*replica* joins the delta of some earlier act, alone and out of causal order."""

    replica: int
    choice: int


Step = Act | Meet | Deliver
REPLICAS = 3
_replicas = st.integers(0, REPLICAS - 1)


def histories(operations: st.SearchStrategy[tuple[Value, ...]]) -> st.SearchStrategy[list[Step]]:
    """Concurrent histories of three replicas that act, meet, and receive lone deltas."""
    step = st.one_of(
        st.builds(Act, _replicas, operations, st.integers(1, 3)),
        st.builds(Act, _replicas, operations, st.integers(1, 3)),
        st.builds(Meet, _replicas, _replicas),
        st.builds(Deliver, _replicas, st.integers(0, 100)),
    )
    return st.lists(step, max_size=14)

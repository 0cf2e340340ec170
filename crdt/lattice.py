"""
What every convergent type is: a join-semilattice with a bottom and join-irreducible parts.

A replica's state only ever grows: `state = state.join(delta)`. Mutators are pure and return such a
delta. Deltas joined are a delta-group, and joining one twice, late or in another order is the same
as once, so that a network may lose, repeat and reorder.

Source: Shapiro, Preguica, Baquero, Zawirski: Conflict-free Replicated Data Types, SSS 2011;
    Enes, Almeida, Baquero, Leitao: Efficient Synchronization of State-based CRDTs, ICDE 2019,
    join decompositions and optimal deltas, https://arxiv.org/abs/1803.02750.
"""

from typing import TYPE_CHECKING, Protocol, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Lattice", "delta", "join_all"]


class Lattice(Protocol):
    """The algebra that one law suite tests for every type in this package."""

    def bottom(self) -> Self:
        """The least state of this type: what a replica begins with."""

    def join(self, other: Self) -> Self:
        """The least state that holds all that both hold."""

    def leq(self, other: Self) -> bool:
        """Whether *other* holds all that this state holds: `self.join(other) == other`."""

    def decompose(self) -> "Iterable[Self]":
        """
        The join-irreducible parts, in a fixed order.

        Their join is this state, none of them is the join of others, and bottom has none.
        """


L = TypeVar("L", bound=Lattice)


def join_all(states: "Iterable[L]", bottom: L) -> L:
    """The join of *states*, *bottom* if there are none."""
    joined = bottom
    for state in states:
        joined = joined.join(state)
    return joined


def delta(a: L, b: L) -> L:
    """
    The least state that, joined to *b*, gives `a.join(b)`.

    Cost: O(parts of a) comparisons and joins, which is right for small states and is the
    definition that the `delta_since` of the larger types is tested against.
    """
    return join_all((part for part in a.decompose() if not part.leq(b)), a.bottom())

"""
Sets: one that only grows, and one from which what was seen can be removed.

Source: Almeida, Shoker, Baquero: Delta state replicated data types, JPDC 2018 (GSet,
    AWSet), https://arxiv.org/abs/1603.01529.
"""

from typing import TYPE_CHECKING

from attrs import field, frozen

from crdt.causal import CausalContext, Dot
from crdt.codec import Value, encode
from crdt.dotstore import CausalLattice, DotMap, DotSet
from crdt.encoded import sorted_values

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["AWSet", "GSet"]


@frozen
class GSet:
    """A set of values, held encoded, from which nothing is ever removed."""

    members: frozenset[bytes] = frozenset()

    def __contains__(self, value: Value) -> bool:
        return encode(value) in self.members

    def values(self) -> tuple[Value, ...]:
        """The values, in the order of their encodings."""
        return sorted_values(self.members)

    def add(self, value: Value) -> "GSet":
        """
        Put *value* in.

        The delta names it even if it is there already, so that it needs no other delta.
        """
        return GSet(frozenset((encode(value),)))

    def bottom(self) -> "GSet":
        """The empty set."""
        return GSet()

    def join(self, other: "GSet") -> "GSet":
        """The union."""
        return GSet(self.members | other.members)

    def leq(self, other: "GSet") -> bool:
        """Whether *other* is a superset."""
        return self.members <= other.members

    def decompose(self) -> "Iterator[GSet]":
        """One singleton for each value."""
        for member in sorted(self.members):
            yield GSet(frozenset((member,)))

    def delta_since(self, remote: "GSet") -> "GSet":
        """The values that *remote* lacks."""
        return GSet(self.members - remote.members)


@frozen
class AWSet(CausalLattice[DotMap[DotSet]]):
    """
    A set in which an add wins over a remove that did not see it.

    Each value lives by the dots of its adds; an add replaces those it saw, so that a value that is
    added again and again keeps one dot per concurrent adder.
    """

    store: DotMap[DotSet] = field(factory=DotMap)
    context: CausalContext = field(factory=CausalContext)

    def __contains__(self, value: Value) -> bool:
        return encode(value) in self.store.stores

    def values(self) -> tuple[Value, ...]:
        """The values, in the order of their encodings."""
        return sorted_values(self.store.stores)

    def add(self, *, replica: bytes, value: Value) -> "AWSet":
        """Put *value* in, surviving every remove that does not see this add."""
        key = encode(value)
        dot = self.context.next_dot(replica)
        return AWSet(
            DotMap({key: DotSet(frozenset((dot,)))}), CausalContext.of((dot, *self._seen(key)))
        )

    def remove(self, *, value: Value) -> "AWSet":
        """Take out every add of *value* seen here; bottom if it is not there."""
        return AWSet(DotMap(), CausalContext.of(self._seen(encode(value))))

    def clear(self) -> "AWSet":
        """Take out everything seen here."""
        return AWSet(DotMap(), CausalContext.of(self.store.dots()))

    def _seen(self, key: bytes) -> frozenset[Dot]:
        store = self.store.stores.get(key)
        return frozenset() if store is None else store.members

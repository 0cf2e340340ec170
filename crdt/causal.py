"""
Dots and causal contexts: names for events, and the set of those that a state has seen.

A context keeps the contiguous dots of a replica as one number and the others, which arrived ahead
of a gap, in a cloud. The form is canonical: equal sets of dots are equal contexts.

Source: Almeida, Shoker, Baquero: Delta state replicated data types, JPDC 2018, causal
    delta-CRDTs (causal context and its compression), https://arxiv.org/abs/1603.01529.
Differs: one sorted pass compacts; the authors' C++ repeats until nothing changes.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["CausalContext", "Dot"]


@frozen(order=True)
class Dot:
    """One event: the *counter*-th of *replica*, counted from 1."""

    replica: bytes
    counter: int


@frozen
class CausalContext:
    """A set of dots. Make one with `of`, `join` or `CausalContext()`; the fields are read-only."""

    vector: Mapping[bytes, int] = field(factory=dict)
    cloud: frozenset[Dot] = frozenset()

    @classmethod
    def of(cls, dots: "Iterable[Dot]") -> "CausalContext":
        """The context of exactly *dots*."""
        return _compacted({}, dots)

    def __contains__(self, dot: Dot) -> bool:
        return dot.counter <= self.vector.get(dot.replica, 0) or dot in self.cloud

    def __iter__(self) -> "Iterator[Dot]":
        """Every dot, ascending. Cost: O(events), not O(size of the context)."""
        return iter(self.difference(CausalContext()))

    def __bool__(self) -> bool:
        return bool(self.vector or self.cloud)

    def next_dot(self, replica: bytes) -> Dot:
        """The dot of the next event of *replica*, which must be the only one to ask for it."""
        seen = self.vector.get(replica, 0)
        ahead = (dot.counter for dot in self.cloud if dot.replica == replica)
        return Dot(replica, max(ahead, default=seen) + 1)

    def join(self, other: "CausalContext") -> "CausalContext":
        """The union. Cost: O(replicas + clouds)."""
        vector = dict(self.vector)
        for replica, counter in other.vector.items():
            if counter > vector.get(replica, 0):
                vector[replica] = counter
        return _compacted(vector, self.cloud | other.cloud)

    def leq(self, other: "CausalContext") -> bool:
        """Whether every dot here is in *other*. Cost: O(replicas + cloud)."""
        # A canonical context that holds 1 .. n has them in its vector, so clouds need no look.
        return all(
            counter <= other.vector.get(replica, 0) for replica, counter in self.vector.items()
        ) and all(dot in other for dot in self.cloud)

    def difference(self, other: "CausalContext") -> "list[Dot]":
        """The dots here that are not in *other*, ascending. Cost: O(their number + clouds)."""
        missing = [dot for dot in self.cloud if dot not in other]
        for replica, counter in self.vector.items():
            for number in range(other.vector.get(replica, 0) + 1, counter + 1):
                dot = Dot(replica, number)
                if dot not in other.cloud:
                    missing.append(dot)
        return sorted(missing)


def _compacted(vector: dict[bytes, int], dots: "Iterable[Dot]") -> CausalContext:
    # Ascending order makes one pass enough: a dot that closes a gap comes before those beyond it.
    cloud = []
    for dot in sorted(dots):
        seen = vector.get(dot.replica, 0)
        if dot.counter == seen + 1:
            vector[dot.replica] = dot.counter
        elif dot.counter > seen:
            cloud.append(dot)
    return CausalContext(vector, frozenset(cloud))

"""
Counters: a sum of signed increments that can be reset, and the classic pair of totals.

Source: Almeida, Shoker, Baquero: Delta state replicated data types, JPDC 2018 (PN counter),
    https://arxiv.org/abs/1603.01529; Shapiro et al., INRIA RR-7506, 2011,
    section 3.1.
Differs: `Counter` gives every increment its own dot, where the authors' C++ `ccounter` folds a
    replica's increments into its newest dot. Folding would let a reset that saw the old total
    remove nothing of the new one.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import field, frozen

from crdt.causal import CausalContext
from crdt.codec import encode
from crdt.dotstore import CausalLattice, DotFun
from crdt.encoded import decoded

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Counter", "PNCounter"]


@frozen
class Counter(CausalLattice[DotFun]):
    """The sum of the signed increments that no reset has seen. Memory: O(live increments)."""

    store: DotFun = field(factory=DotFun)
    context: CausalContext = field(factory=CausalContext)

    @property
    def value(self) -> int:
        """The sum."""
        total = 0
        for data in self.store.cells.values():
            amount = decoded(data)
            assert isinstance(amount, int), amount
            total += amount
        return total

    def increment(self, *, replica: bytes, amount: int) -> "Counter":
        """Add *amount*, which may be negative."""
        dot = self.context.next_dot(replica)
        return Counter(DotFun({dot: encode(amount)}), CausalContext.of((dot,)))

    def reset(self) -> "Counter":
        """Take back every increment seen here; concurrent ones still count."""
        return Counter(DotFun(), CausalContext.of(self.store.dots()))


@frozen
class PNCounter:
    """
    For each replica the sum of its increments and the sum of its decrements; both only grow.

    Memory: O(replicas that ever counted). It cannot be reset. No entry is (0, 0).
    """

    totals: Mapping[bytes, tuple[int, int]] = field(factory=dict)

    @property
    def value(self) -> int:
        """Increments less decrements, over all replicas."""
        return sum(up - down for up, down in self.totals.values())

    def increment(self, *, replica: bytes, amount: int) -> "PNCounter":
        """Add *amount*, which may be negative; bottom if it is 0."""
        up, down = self.totals.get(replica, (0, 0))
        if amount > 0:
            return PNCounter({replica: (up + amount, 0)})
        if amount < 0:
            return PNCounter({replica: (0, down - amount)})
        return PNCounter()

    def bottom(self) -> "PNCounter":
        """Nobody has counted."""
        return PNCounter()

    def join(self, other: "PNCounter") -> "PNCounter":
        """The greater total of each replica and sign."""
        totals = dict(self.totals)
        for replica, (up, down) in other.totals.items():
            my_up, my_down = totals.get(replica, (0, 0))
            totals[replica] = (max(up, my_up), max(down, my_down))
        return PNCounter(totals)

    def leq(self, other: "PNCounter") -> bool:
        """Whether no total is greater than that of *other*."""
        for replica, (up, down) in self.totals.items():
            their_up, their_down = other.totals.get(replica, (0, 0))
            if up > their_up or down > their_down:
                return False
        return True

    def decompose(self) -> "Iterator[PNCounter]":
        """One part for each replica and sign."""
        for replica, (up, down) in sorted(self.totals.items()):
            if up:
                yield PNCounter({replica: (up, 0)})
            if down:
                yield PNCounter({replica: (0, down)})

    def delta_since(self, remote: "PNCounter") -> "PNCounter":
        """The totals that are greater than those of *remote*. Cost: O(replicas)."""
        totals = {}
        for replica, (up, down) in self.totals.items():
            their_up, their_down = remote.totals.get(replica, (0, 0))
            if up > their_up or down > their_down:
                totals[replica] = (up if up > their_up else 0, down if down > their_down else 0)
        return PNCounter(totals)

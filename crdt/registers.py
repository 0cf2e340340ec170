"""
Registers: one that keeps the last write, and one that keeps every write not overwritten.

Source: Shapiro, Preguica, Baquero, Zawirski: A comprehensive study of Convergent and Commutative
    Replicated Data Types, INRIA RR-7506, 2011, section 3.2; the multi-value register with dots:
    Almeida, Shoker, Baquero, JPDC 2018, https://arxiv.org/abs/1603.01529.
Differs: no two writes of the last-writer-wins register are incomparable: stamp, then replica, then
    encoded value decide, so that even a replica that repeats a stamp cannot break convergence.
"""

from typing import TYPE_CHECKING

from attrs import field, frozen

from crdt.causal import CausalContext
from crdt.codec import Value, encode
from crdt.dotstore import CausalLattice, DotFun
from crdt.encoded import decoded, sorted_values

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LWWRegister", "MVRegister"]


@frozen(order=True)
class LWWRegister:
    """
    The write with the greatest (stamp, replica, encoded value). A chain: every state is a write.

    Stamp 0 is the register that was never written.
    """

    stamp: int = 0
    replica: bytes = b""
    encoded: bytes = b""

    @property
    def value(self) -> Value:
        """The last value written; None if there was none."""
        return decoded(self.encoded) if self.stamp else None

    def write(self, *, replica: bytes, stamp: int, value: Value) -> "LWWRegister":
        """The write of *value* at *stamp*; without effect on a register with a later one."""
        assert stamp > 0, stamp
        return LWWRegister(stamp, replica, encode(value))

    def bottom(self) -> "LWWRegister":
        """The register that was never written."""
        return LWWRegister()

    def join(self, other: "LWWRegister") -> "LWWRegister":
        """The later write."""
        # Stamps nearly always decide, at a tenth of the cost of comparing all three.
        if self.stamp != other.stamp:
            return self if self.stamp > other.stamp else other
        return max(self, other)

    def leq(self, other: "LWWRegister") -> bool:
        """Whether *other* is not earlier."""
        return self.stamp < other.stamp or (self.stamp == other.stamp and self <= other)

    def decompose(self) -> "Iterator[LWWRegister]":
        """Itself: in a chain every state but bottom is irreducible."""
        if self.stamp:
            yield self


@frozen
class MVRegister(CausalLattice[DotFun]):
    """All writes that no other write has seen: one in peace, several after concurrent writes."""

    store: DotFun = field(factory=DotFun)
    context: CausalContext = field(factory=CausalContext)

    def values(self) -> tuple[Value, ...]:
        """The values of the surviving writes, by encoding; equal ones once."""
        return sorted_values(self.store.cells.values())

    def write(self, *, replica: bytes, value: Value) -> "MVRegister":
        """Replace every value that is visible here."""
        dot = self.context.next_dot(replica)
        return MVRegister(DotFun({dot: encode(value)}), CausalContext.of((dot, *self.store.dots())))

    def clear(self) -> "MVRegister":
        """Remove every value that is visible here; concurrent writes survive."""
        return MVRegister(DotFun(), CausalContext.of(self.store.dots()))

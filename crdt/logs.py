"""
The append log: values in the order of their stamps, from which nothing is removed.

It is a grow-only set of uniquely named appends, read in a total order that respects causes because
stamps do (`crdt.hlc`). An append that arrives late takes its place in the middle.

Source: Shapiro, Preguica, Baquero, Zawirski: A comprehensive study of Convergent and Commutative
    Replicated Data Types, INRIA RR-7506, 2011, section 3.3.1 (grow-only set).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import field, frozen

from crdt.causal import Dot
from crdt.codec import Value, encode
from crdt.encoded import decoded

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["AppendLog"]


@frozen
class AppendLog:
    """Appends by dot: (stamp, encoded value)."""

    appends: Mapping[Dot, tuple[int, bytes]] = field(factory=dict)

    def values(self) -> tuple[Value, ...]:
        """The values by (stamp, replica, counter)."""
        ordered = sorted((stamp, dot, data) for dot, (stamp, data) in self.appends.items())
        return tuple(decoded(data) for _, _, data in ordered)

    def append(self, *, replica: bytes, stamp: int, value: Value) -> "AppendLog":
        """
        Put *value* where *stamp* says: last, if the stamp is fresh.

        Cost: O(appends), for the dot; appends of one replica with equal stamps keep their order.
        """
        mine = (dot.counter for dot in self.appends if dot.replica == replica)
        return AppendLog({Dot(replica, max(mine, default=0) + 1): (stamp, encode(value))})

    def bottom(self) -> "AppendLog":
        """The empty log."""
        return AppendLog()

    def join(self, other: "AppendLog") -> "AppendLog":
        """The union; the greater of two appends that a faulty author made under one dot."""
        appends = dict(self.appends)
        for dot, append in other.appends.items():
            appends[dot] = max(append, appends.get(dot, append))
        return AppendLog(appends)

    def leq(self, other: "AppendLog") -> bool:
        """Whether *other* has all appends."""
        return all(
            dot in other.appends and append <= other.appends[dot]
            for dot, append in self.appends.items()
        )

    def decompose(self) -> "Iterator[AppendLog]":
        """One part for each append."""
        for dot in sorted(self.appends):
            yield AppendLog({dot: self.appends[dot]})

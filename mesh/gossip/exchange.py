"""
The comparison of two frontiers row by row, and the roots two nodes remember as common.

The side that begins sends its rows in ascending parts: all of them, or those that moved since a
root both have confirmed. The other side walks through its own rows beside each part, and answers
with those in which it has something more; so both know what they lack after one round trip, and
neither keeps the other's list.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from attrs import define, frozen

from capability.frontier import FrontierRow
from capability.ids import digest
from mesh.core.ports import ReplicaPort
from mesh.gossip.limits import COMMON_ROOTS_MAX, ROWS_MAX
from mesh.gossip.messages import Rows
from mesh.gossip.ranges import LaneKey

_V = TypeVar("_V")
_DOMAIN_COMMON: Final = b"worknode-mesh/v1/common\0"


def key_of(row: FrontierRow) -> LaneKey:
    """Rows ascend by this."""
    return (row.lane, row.author)


def all_rows(replica: ReplicaPort) -> list[FrontierRow]:
    """Every row that is held, ascending by (lane, author)."""
    return [*replica.rows(0), *replica.rows(1)]


@frozen
class Difference:
    """What one lane's two rows say about each other."""

    #: The peer has entries above mine.
    want: bool
    #: I have something that the peer lacks or does not know: my row is worth sending.
    offer: bool
    #: I hold a fork proof that the peer lacks.
    proof: bool
    #: Same number, no proof, different heads: the copies part below, where nobody has looked yet.
    split: bool
    #: The same proof, and another branch beyond it: the peer holds one that I lack, or I one.
    branch: bool


def compare(mine: FrontierRow, theirs: FrontierRow) -> Difference:
    """Compare two rows of one lane."""
    same_seq = mine.seq == theirs.seq
    differ = same_seq and mine.seq > 0 and mine.head != theirs.head
    branch = bool(mine.proof) and mine.proof == theirs.proof and mine.head != theirs.head
    return Difference(
        want=theirs.seq > mine.seq and not branch,
        offer=mine.seq > theirs.seq or differ or branch or mine.proof != theirs.proof,
        proof=bool(mine.proof) and mine.proof != theirs.proof,
        branch=branch,
        # Different proofs travel first, and change the rows. Below the same proof the copies do not
        # differ, since its two entries name them.
        split=differ and not mine.proof and not theirs.proof,
    )


def parts_of(exchange: int, base: bytes, rows: Sequence[FrontierRow]) -> Iterator[Rows]:
    """*rows* as messages; at least one, so that "nothing" is said too."""
    for part, start in enumerate(range(0, max(len(rows), 1), ROWS_MAX)):
        chunk = tuple(rows[start : start + ROWS_MAX])
        yield Rows(exchange, base, part, start + ROWS_MAX >= len(rows), chunk)


@define
class Parts:
    """Checks that the parts of one list come in order and ascend."""

    exchange: int
    _next: int = 0
    _last: LaneKey = (-1, b"")

    def accept(self, rows: Rows) -> bool:
        """Whether *rows* is the next part."""
        if rows.exchange != self.exchange or rows.part != self._next:
            return False
        if rows.rows:
            if key_of(rows.rows[0]) <= self._last:
                return False
            self._last = key_of(rows.rows[-1])
        self._next += 1
        return True


@define
class Answer:
    """This side's walk through its own rows beside the parts of a peer's list."""

    parts: Parts
    #: My rows that may differ from the peer's: all, or those that moved since the base.
    mine: Sequence[FrontierRow]
    at: int = 0
    sent: int = 0

    def beside(self, rows: Rows, replica: ReplicaPort) -> list[FrontierRow]:
        """My rows up to the end of this part in which the peer lacks something, ascending."""
        theirs = {key_of(row): row for row in rows.rows}
        end = max(theirs, default=(-1, b""))
        offered = {}
        while self.at < len(self.mine) and (rows.last or key_of(self.mine[self.at]) <= end):
            row = self.mine[self.at]
            self.at += 1
            # What the peer does not list it holds as the base says, or not at all.
            if key_of(row) not in theirs:
                offered[key_of(row)] = row
        for key, their_row in theirs.items():
            # The row of now, not of when the exchange began.
            my_row = replica.row(key[1], key[0])
            if compare(my_row, their_row).offer:
                offered[key] = my_row
        return [offered[key] for key in sorted(offered)]

    def messages(self, rows: Rows, offered: Sequence[FrontierRow]) -> Iterator[Rows]:
        """The answer's next parts; the last part of the peer's list ends the answer too."""
        if not offered and not rows.last:
            return
        for message in parts_of(rows.exchange, rows.base, offered):
            last = message.last and rows.last
            yield Rows(rows.exchange, rows.base, self.sent, last, message.rows)
            self.sent += 1


class CommonRoots:
    """
    Which roots this node held when a peer confirmed the same ones, and at which version.

    Memory only: after a restart the first exchange sends all rows. A root is remembered when its
    version is durable, since all that a peer was told follows the commit that it depends on.
    """

    __slots__ = ("_by_peer", "_versions")

    def __init__(self) -> None:
        self._versions: dict[bytes, int] = {}
        self._by_peer: dict[bytes, bytes] = {}

    def remember(self, peer: bytes, roots: tuple[bytes, bytes], version: int) -> None:
        """*peer* holds *roots* too, as this node did at *version*."""
        base = digest(_DOMAIN_COMMON, roots[0] + roots[1])
        _put(self._versions, base, version)
        _put(self._by_peer, peer, base)

    def of_peer(self, peer: bytes) -> tuple[bytes, int] | None:
        """The last common root with *peer* and my version then, if both are still known."""
        base = self._by_peer.get(peer, b"")
        version = self._versions.get(base)
        return None if version is None else (base, version)

    def version(self, base: bytes) -> int | None:
        """My version when I held *base*, confirmed with whomever."""
        return self._versions.get(base)


def _put(table: dict[bytes, _V], key: bytes, value: _V) -> None:
    table.pop(key, None)
    table[key] = value
    if len(table) > COMMON_ROOTS_MAX:
        del table[next(iter(table))]

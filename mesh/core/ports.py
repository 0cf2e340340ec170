"""
What the machines see of each other and of the disk, so that floor 4 need not know its siblings.

`LogReader` is the durable log as the replica reads it; `ReplicaPort` is the replica as gossip
sees it. Both are synchronous and answer from memory or a local index.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from attrs import frozen

from capability.entry import Entry, SignedHeader
from capability.frontier import FrontierRow
from mesh.core.events import Event


@frozen
class StoredEntry:
    """An entry under its local number."""

    n: int
    entry: Entry


class LogReader(Protocol):
    """The committed log. Numbers ascend; every method reads only what is committed."""

    def last_n(self) -> int:
        """The greatest local number, 0 when the log is empty."""

    def entries(self, after: int = 0) -> Iterator[StoredEntry]:
        """All entries with a number above *after*, ascending."""

    def entry(self, n: int) -> Entry | None:
        """The entry under this number."""

    def entries_by_id(self, ids: Sequence[bytes]) -> list[StoredEntry]:
        """Those of *ids* that are held, in the given order."""

    def touching(self, node: bytes) -> list[int]:
        """Numbers of the entries whose fold touches *node*, ascending."""

    def pending(self) -> list[tuple[int, bytes]]:
        """LOCAL rows that wait: (slot, data), ascending."""

    def proofs(self) -> list[bytes]:
        """Encoded fork proofs."""

    def meta(self, key: str) -> bytes | None:
        """A named value of this home."""

    def peers(self) -> list[tuple[bytes, bytes]]:
        """What is remembered of peers: (node, data)."""

    def snapshot(self) -> tuple[int, bytes] | None:
        """This node's last own snapshot: (n, data)."""

    def last_cursor(self) -> int:
        """The greatest event cursor, 0 when there is none."""

    def events(self, after: int, limit: int) -> list[Event]:
        """Events after a cursor."""


class ReplicaPort(Protocol):
    """The replica as gossip sees it. "Version" is the local number of the last entry."""

    @property
    def mesh_id(self) -> bytes:
        """The hash of the genesis entry."""

    @property
    def version(self) -> int:
        """Grows with each entry or proof that is held."""

    def roots(self) -> tuple[bytes, bytes]:
        """Frontier roots of the authority and the data lanes."""

    def rows(self, lane: int) -> Sequence[FrontierRow]:
        """All frontier rows of one lane number, ascending by author."""

    def rows_since(self, version: int) -> Sequence[FrontierRow]:
        """Rows that moved after *version*, ascending by (lane, author)."""

    def row(self, author: bytes, lane: int) -> FrontierRow:
        """One row; seq 0 when nothing is held."""

    def read_range(
        self, author: bytes, lane: int, first: int, last: int, bytes_max: int
    ) -> Sequence[bytes]:
        """Encoded entries first..last on the frontier's branch, at least one, within the budget."""

    def header_at(self, author: bytes, lane: int, seq: int) -> SignedHeader | None:
        """The signed header at *seq* on the frontier's (or first held) branch."""

    def entries_by_id(self, ids: Sequence[bytes], bytes_max: int) -> Sequence[bytes]:
        """Encoded entries that are held, in the given order, within the budget."""

    def fork_proof(self, author: bytes, lane: int) -> tuple[SignedHeader, SignedHeader] | None:
        """The canonical proof that the lane is forked."""

    def end(self, author: bytes, lane: int) -> int | None:
        """The last number of a lane that takes no more, None while it goes on."""

    def holds(self, author: bytes, lane: int, seq: int, entry_id: bytes) -> bool:
        """Whether this very entry is held, on whatever branch; what precedes number 1 is."""

    def awaits(self, row: FrontierRow) -> bool:
        """Whether a row ends with a tip that a pin names and that is not held."""

    def expect(self, ids: Sequence[bytes]) -> None:
        """Take these entries although their lane is full: a pin stands behind them."""

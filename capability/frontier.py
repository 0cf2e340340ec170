"""
The frontier: what is held of every lane, and its root, an ordered Merkle tree of two levels.

Each lane number has a tree of its own: 256 buckets by the first byte of the author, in each the
encoded rows ascending by author. Equal roots mean equal rows. A changed row makes its bucket
dirty, and a root recomputes only dirty buckets: O(rows of the bucket) + 8 KiB of hashing.

Source: docs/formats-state.md §Frontier root.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

from attrs import frozen

from capability.entry import LANE_AUTHORITY, LANE_DATA
from capability.ids import DOMAIN_FRONTIER, DOMAIN_PROOF, digest
from capability.lane import LaneKey
from capability.ledger import Ledger
from crdt.codec import encode

__all__ = ["BUCKETS", "Frontier", "FrontierRow", "proof_digest", "row_of"]

BUCKETS: Final = 256
_EMPTY: Final = bytes(32)

#: The wire form of a row; the lane number is given once for all rows.
RowValue: TypeAlias = tuple[bytes, int, bytes, bytes]


@frozen
class FrontierRow:
    """
    What is required of a lane: up to *seq*, where the id is *head*; with its proof if it forked.

    A forked lane is covered up to the pinned tip, or else to the last entry before the fork.
    """

    author: bytes
    lane: int
    seq: int
    head: bytes
    proof: bytes

    def value(self) -> RowValue:
        """The wire form: [author, seq, head, proof]."""
        return (self.author, self.seq, self.head, self.proof)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is required; such a row is in no root."""
        return not self.seq and not self.proof


def proof_digest(proof: tuple[bytes, ...]) -> bytes:
    """The 32 bytes that stand for a fork proof (its two ids, ascending), or b"" for none."""
    if not proof:
        return b""
    assert len(proof) == 2, "a proof has two halves"
    assert proof[0] < proof[1], "a proof is ascending"
    return digest(DOMAIN_PROOF, proof[0] + proof[1])


def row_of(ledger: Ledger, author: bytes, lane: int) -> FrontierRow:
    """The row of one lane, with seq 0 and no proof if nothing of it is required. Cost: O(1)."""
    covered = ledger.covered(author, lane)
    if covered is None:
        return FrontierRow(author, lane, 0, ledger.mesh_id, b"")
    seq, head, proof = covered
    return FrontierRow(author, lane, seq, head, proof_digest(proof))


class _Tree:
    """The rows of one lane number."""

    __slots__ = ("_buckets", "_dirty", "_hashes", "_root")

    def __init__(self) -> None:
        self._buckets: list[dict[bytes, FrontierRow]] = [{} for _ in range(BUCKETS)]
        self._hashes = [_EMPTY] * BUCKETS
        self._dirty: set[int] = set()
        self._root = b""

    def put(self, row: FrontierRow) -> None:
        index = row.author[0]
        if row.is_empty:
            self._buckets[index].pop(row.author, None)
        else:
            self._buckets[index][row.author] = row
        self._dirty.add(index)
        self._root = b""

    def get(self, author: bytes) -> FrontierRow | None:
        return self._buckets[author[0]].get(author)

    def rows(self) -> Iterator[FrontierRow]:
        for bucket in self._buckets:
            for author in sorted(bucket):
                yield bucket[author]

    def bucket_hashes(self) -> tuple[bytes, ...]:
        for index in sorted(self._dirty):
            bucket = self._buckets[index]
            rows = b"".join(encode(bucket[author].value()) for author in sorted(bucket))
            self._hashes[index] = digest(DOMAIN_FRONTIER, rows) if bucket else _EMPTY
        self._dirty.clear()
        return tuple(self._hashes)

    def root(self) -> bytes:
        if not self._root:
            self._root = digest(DOMAIN_FRONTIER, b"".join(self.bucket_hashes()))
        return self._root


class Frontier:
    """
    All rows, their two roots, and which rows moved since when.

    `version` counts local changes; it means nothing to a peer.
    """

    __slots__ = ("_gone", "_moved", "_trees", "version")

    def __init__(self) -> None:
        self.version = 0
        self._trees = {LANE_AUTHORITY: _Tree(), LANE_DATA: _Tree()}
        # When each row last moved, ascending by that: a row that moves goes to the end.
        self._moved: dict[LaneKey, int] = {}
        # Rows that there were and are not any more: a peer that knew them must be told.
        self._gone: dict[LaneKey, FrontierRow] = {}

    def __len__(self) -> int:
        return len(self._moved) - len(self._gone)

    def update(self, row: FrontierRow) -> bool:
        """Put a row in place of the lane's former one; whether that changed anything. O(1)."""
        before = self.row(row.author, row.lane)
        if before == row or (before is None and row.is_empty):
            return False
        key = (row.author, row.lane)
        if row.is_empty:
            self._gone[key] = row
        else:
            self._gone.pop(key, None)
        self._trees[row.lane].put(row)
        self.version += 1
        self._moved.pop(key, None)
        self._moved[key] = self.version
        return True

    def row(self, author: bytes, lane: int) -> FrontierRow | None:
        """The row of one lane."""
        return self._trees[lane].get(author)

    def rows(self, lane: int) -> Iterator[FrontierRow]:
        """The rows of one lane number, ascending by author."""
        return self._trees[lane].rows()

    def rows_since(self, version: int) -> list[FrontierRow]:
        """
        The rows that moved after *version*, the last first; empty ones where there is none now.

        Cost: O(rows given).
        """
        found = []
        for (author, lane), moved in reversed(self._moved.items()):
            if moved <= version:
                break
            row = self.row(author, lane) or self._gone.get((author, lane))
            assert row is not None, "a row that moved is there, or was"
            found.append(row)
        return found

    def bucket_hashes(self, lane: int) -> tuple[bytes, ...]:
        """The 256 hashes under a root, to find where two frontiers differ."""
        return self._trees[lane].bucket_hashes()

    @property
    def auth_root(self) -> bytes:
        """The root over the authority lanes."""
        return self._trees[LANE_AUTHORITY].root()

    @property
    def data_root(self) -> bytes:
        """The root over the data lanes."""
        return self._trees[LANE_DATA].root()

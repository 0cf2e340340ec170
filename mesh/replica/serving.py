"""
What the replica shows its peers: frontier rows, ranges, headers and fork proofs.

`Serving` is the `ReplicaPort` that gossip works with. It never shows more than the required set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import define, field

from capability.entry import LANE_AUTHORITY, LANE_DATA, SignedHeader
from capability.frontier import Frontier, FrontierRow, row_of
from mesh.replica.held import Held

#: Entries that one read looks up, whatever a peer asks for; their bytes end it long before.
_ENTRIES_AT_ONCE_MAX: Final = 4_096


@define
class Serving:
    """Rows, kept in step with the ledger, and reads by (author, lane, seq)."""

    held: Held
    mesh_id: bytes
    frontier: Frontier = field(factory=Frontier)

    @property
    def version(self) -> int:
        """Grows whenever a row moves. It means nothing to a peer or after a restart."""
        return self.frontier.version

    def refresh(self) -> None:
        """Take over what the ledger says now of the lanes that may have moved."""
        if not self.held.moved:
            return
        for author, lane in sorted(self.held.moved):
            self.frontier.update(row_of(self.held.ledger, author, lane))
        self.held.moved.clear()

    def roots(self) -> tuple[bytes, bytes]:
        """Frontier roots of the authority and the data lanes."""
        return self.frontier.auth_root, self.frontier.data_root

    def rows(self, lane: int) -> Sequence[FrontierRow]:
        """All rows of one lane number, ascending by author."""
        return list(self.frontier.rows(lane))

    def rows_since(self, version: int) -> Sequence[FrontierRow]:
        """Rows that moved after *version*, ascending by (lane, author)."""
        moved = self.frontier.rows_since(version)
        return sorted(moved, key=lambda row: (row.lane, row.author))

    def row(self, author: bytes, lane: int) -> FrontierRow:
        """One row; seq 0 when nothing is held."""
        row = self.frontier.row(author, lane)
        return row or FrontierRow(author, lane, 0, self.mesh_id, b"")

    def own_heads(self, author: bytes) -> tuple[int, int]:
        """How far one author has written both lanes, required or not; 0 where nothing is held."""
        # Asked with every input, so without a loop.
        ledger = self.held.ledger
        authority, data = ledger.lane(author, LANE_AUTHORITY), ledger.lane(author, LANE_DATA)
        return (
            authority.height if authority is not None else 0,
            data.height if data is not None else 0,
        )

    def _id_at(self, author: bytes, lane: int, seq: int) -> bytes | None:
        """The id at *seq* on the branch that the row covers, else on the first held one."""
        return self._ids_at(author, lane, (seq,))[0]

    def _ids_at(self, author: bytes, lane: int, seqs: Sequence[int]) -> list[bytes | None]:
        held = self.held.ledger.lane(author, lane)
        if held is None:
            return [None] * len(seqs)
        # The branch is walked once, not for each of its entries that a peer asks for.
        path = self.held.ledger.pinned(author, lane)
        off_main = path.off_main if path is not None else ()
        branch = {held.branches[entry_id][0]: entry_id for entry_id in off_main}
        on_main = range(1, len(held) + 1)
        return [branch.get(seq) or (held.at(seq) if seq in on_main else None) for seq in seqs]

    def read_range(
        self, author: bytes, lane: int, first: int, last: int, bytes_max: int
    ) -> Sequence[bytes]:
        """Encoded entries first..last as far as the row covers them, within the budget."""
        found: list[bytes] = []
        size = 0
        first, last = max(first, 1), min(last, self.row(author, lane).seq)
        last = min(last, first + _ENTRIES_AT_ONCE_MAX - 1)
        for entry_id in self._ids_at(author, lane, range(first, last + 1)):
            if entry_id is None:
                break
            data = self.held.read(self.held.table.number[entry_id]).encode()
            if found and size + len(data) > bytes_max:
                break
            found.append(data)
            size += len(data)
        return found

    def header_at(self, author: bytes, lane: int, seq: int) -> SignedHeader | None:
        """The signed header at *seq*."""
        entry_id = self._id_at(author, lane, seq)
        return None if entry_id is None else self.signed_header(author, lane, entry_id)

    def signed_header(self, author: bytes, lane: int, entry_id: bytes) -> SignedHeader | None:
        """A held entry's header, or that of one half of a held proof."""
        n = self.held.table.number.get(entry_id)
        if n is not None:
            return self.held.read(n).signed_header
        held = self.held.ledger.lane(author, lane)
        return held.witness(entry_id) if held is not None else None

    def entries_by_id(self, ids: Sequence[bytes], bytes_max: int) -> Sequence[bytes]:
        """Encoded entries that are held, in the given order, within the budget."""
        found: list[bytes] = []
        size = 0
        for entry_id in ids:
            n = self.held.table.number.get(entry_id)
            if n is None:
                continue
            data = self.held.read(n).encode()
            if found and size + len(data) > bytes_max:
                break
            found.append(data)
            size += len(data)
        return found

    def fork_proof(self, author: bytes, lane: int) -> tuple[SignedHeader, SignedHeader] | None:
        """The canonical proof that the lane is forked."""
        held = self.held.ledger.lane(author, lane)
        if held is None or not held.proof:
            return None
        first, second = (self.signed_header(author, lane, half) for half in held.proof)
        assert first is not None and second is not None, "a proof has both headers"
        return first, second

    def chain_of(self, grant_id: bytes) -> tuple[bytes, ...]:
        """Encoded entries from the genesis through every link to this grant; empty if unknown."""
        chain: list[bytes] = []
        leaf = grant_id
        while leaf:
            n = self.held.table.number.get(leaf)
            if n is None:
                return ()
            entry = self.held.read(n)
            chain.append(entry.encode())
            leaf = entry.header.leaf
        genesis = self.held.table.number.get(self.mesh_id)
        if genesis is None:
            return ()
        return (self.held.read(genesis).encode(), *reversed(chain))

    def heads_of(self, author: bytes) -> tuple[SignedHeader | None, SignedHeader | None]:
        """What is held of the author's two lanes, by the author's own signed headers."""
        authority, data = (
            self.header_at(author, lane, self.row(author, lane).seq)
            for lane in (LANE_AUTHORITY, LANE_DATA)
        )
        return authority, data

    def end(self, author: bytes, lane: int) -> int | None:
        """The last number of a lane that takes no more, None while it goes on."""
        return self.held.ledger.end(author, lane)

    def holds(self, author: bytes, lane: int, seq: int, entry_id: bytes) -> bool:
        """Whether this very entry is held, on whatever branch; what precedes number 1 is."""
        if seq == 0:
            return entry_id == self.mesh_id
        held = self.held.ledger.lane(author, lane)
        return held is not None and held.holds(seq, entry_id)

    def awaits(self, row: FrontierRow) -> bool:
        """Whether a row ends with a tip that a pin names and that is not held."""
        return self.held.ledger.awaits(row.author, row.lane, row.seq, row.head)

    def expect(self, ids: Sequence[bytes]) -> None:
        """Take these entries although their lane is full: a pin stands behind them."""
        self.held.expect(ids)

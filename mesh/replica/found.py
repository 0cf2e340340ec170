"""
LOCAL rows that a node finds at its start: were they sealed already, or not?

In a home that was put back from a copy a row may wait whose entry spread long ago; sealed again, an
increment would count twice. Only a peer can tell: rows that were found wait until one has stated
its head of this node's log and the node holds that much, or until one holds the same as the node.
If the log has to come back first, the rows that it has sealed since are dropped. Rows written since
the start are this home's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import define, field

from capability.data_body import parse_op
from capability.entry import LANE_DATA, SignedHeader
from capability.errors import FormError
from capability.ids import session_id
from capability.ops import Append, Increment, Register
from crdt.codec import decode, encode
from crdt.errors import CodecError
from mesh.core.errors import StorageError
from mesh.core.inputs import Now
from mesh.core.ports import LogReader
from mesh.core.records import DeletePending, PutMeta, Record
from mesh.replica.held import Held
from mesh.replica.pending import PendingRows
from mesh.worknode.cells import COUNTER, LOG, REGISTER, CellKey

#: Rows up to this slot were found, and no peer has told yet.
META_FOUND: Final = "rows_found"
_SLOT_BYTES_MAX: Final = 16
_KINDS: Final = {Register: REGISTER, Increment: COUNTER, Append: LOG}

#: Session, Worknode, cell: what LOCAL writes coalesce by.
Place = tuple[bytes, bytes, CellKey]


def load_rows(reader: LogReader) -> PendingRows:
    """
    The rows on disk.

    Raises:
        StorageError: One cannot be read.
    """
    pending = PendingRows()
    try:
        pending.load(reader.pending())
    except (CodecError, FormError) as error:
        raise StorageError(
            f"a local write that waits cannot be read: {error}",
            hint="the log is damaged; run `mesh doctor`",
        ) from error
    return pending


@define
class FoundRows:
    """Holds back what was found until it is known what became of it."""

    held: Held
    author: bytes
    pending: PendingRows
    #: Not on disk yet.
    unsaved: list[Record] = field(factory=list)

    @classmethod
    def load(
        cls, reader: LogReader, held: Held, author: bytes, pending: PendingRows, now: Now
    ) -> FoundRows:
        """As the last run has left it; rows of a mesh with no other member wait for nobody."""
        found = cls(held, author, pending)
        if not pending.rows:
            return found
        kept = reader.meta(META_FOUND)
        if held.ledger.members() in ((), (author,)):
            pending.found_until = 0
        elif kept is None:
            pending.found_until = max(pending.rows)
            found.unsaved.append(PutMeta(META_FOUND, encode(pending.found_until)))
        else:
            pending.found_until = _slot(kept, else_=max(pending.rows))
        if max(pending.rows) > pending.found_until:
            pending.due_ms = now.mono_ms
        return found

    def heard(self, heads: Sequence[SignedHeader | None]) -> None:
        """A peer has stated heads of the own lanes, and all of that is held here."""
        lane = self.held.ledger.lane(self.author, LANE_DATA)
        # Of who knows nothing of a log that is not empty nothing can be learnt.
        if lane is None or len(lane) == 0 or heads[LANE_DATA] is not None:
            self.release()

    def release(self) -> None:
        """What was found is sealed next."""
        if self.pending.found_until:
            self.pending.found_until = 0
            self.unsaved.append(PutMeta(META_FOUND, b""))
            self.pending.due_ms = 0 if self.pending.rows else None

    def recovered(self) -> list[Record]:
        """The own log has come back whole: found rows that it has sealed are dropped."""
        until = self.pending.found_until
        sealed = self._sealed() if until else {}
        slots = []
        for slot, row in sorted(self.pending.rows.items()):
            node, cell = row.cell
            # A later write of the same session to the same cell has either coalesced with the row
            # or, by the rule of overlaid rows, sealed it first.
            if slot <= until and sealed.get((session_id(row.session), node, cell), 0) >= row.hlc:
                slots.append(slot)
        self.pending.drop(slots)
        self.release()
        records, self.unsaved = self.unsaved, []
        return [DeletePending(tuple(slots)), *records] if slots else records

    def _sealed(self) -> dict[Place, int]:
        """By place the latest stamp of an own operation in the log. Cost: O(own entries)."""
        found: dict[Place, int] = {}
        lane = self.held.ledger.lane(self.author, LANE_DATA)
        for seq in range(1, len(lane) + 1 if lane is not None else 1):
            assert lane is not None
            entry = self.held.read(self.held.table.number[lane.at(seq)])
            data = self.held.data_of(entry)
            for index in range(len(data.ops) if data is not None else 0):
                assert data is not None
                op = parse_op(data, index)
                kind = _KINDS.get(type(op.payload)) if op is not None else None
                if op is None or kind is None:
                    continue
                assert isinstance(op.payload, Register | Increment | Append)
                cell = (op.payload.ns, op.payload.name, kind)
                place = (data.session, op.node, cell)
                found[place] = max(found.get(place, 0), entry.header.hlc - op.age)
        return found


def _slot(data: bytes, *, else_: int) -> int:
    """The slot of a mark; if it cannot be read all rows are taken for found, which is safe."""
    try:
        slot = decode(data, size_max=_SLOT_BYTES_MAX)
    except CodecError:
        return else_
    return slot if isinstance(slot, int) else else_

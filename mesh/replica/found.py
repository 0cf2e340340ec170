"""
LOCAL rows that a node finds at its start: were they sealed already, or not?

In a home that was put back from a copy a row may wait whose entry spread long ago; sealed again, an
increment would count twice. Only a peer can tell: rows that were found wait until one has stated
its head of this node's log and the node holds that much, or until one holds the same as the node.
If the log has to come back first, the rows that it has sealed since are dropped. An operation on
their Worknode does not wait, and seals them before it: what became of them then is an entry that
nobody has, and that enters the log again without what the log had sealed already. Rows written
since the start are this home's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from attrs import define, evolve, field

from capability.data_body import Data, encode_data, parse_op
from capability.entry import LANE_DATA, Entry, SignedHeader
from capability.errors import FormError
from capability.ids import session_id
from capability.ops import Append, Increment, Op, Register
from crdt.codec import Value, decode, encode
from crdt.errors import CodecError
from mesh.core.errors import StorageError
from mesh.core.inputs import Now
from mesh.core.ports import LogReader
from mesh.core.records import DeletePending, PutMeta, Record
from mesh.replica.held import Held
from mesh.replica.pending import META_EARLY, PendingRows, Row
from mesh.replica.recovery import META_BLOCKED, META_RECOVER
from mesh.worknode.cells import COUNTER, LOG, REGISTER, CellKey

#: The latest stamp of a row at the last start that was no repair, until a peer has told.
META_FOUND: Final = "rows_found"
_STAMP_BYTES_MAX: Final = 16

#: Session, Worknode, cell: what LOCAL writes coalesce by.
Place = tuple[bytes, bytes, CellKey]


@define
class Sealed:
    """What the own log says of LOCAL writes: by place, and each by itself."""

    latest: dict[Place, int] = field(factory=dict)
    each: set[tuple[Place, int, bytes]] = field(factory=set)

    def add(self, place: Place, stamp: int, value: Value) -> None:
        self.latest[place] = max(self.latest.get(place, 0), stamp)
        self.each.add((place, stamp, encode(value)))

    def has(self, place: Place, stamp: int, value: Value, *, may_have_grown: bool) -> bool:
        """Whether this write, or what it grew to, was sealed."""
        # A later write of the same session to the same cell has either coalesced with this one or,
        # since a place is sealed in the order of its stamps, been sealed after it.
        if may_have_grown and place[2][2] != LOG:
            return self.latest.get(place, 0) >= stamp
        return (place, stamp, encode(value)) in self.each


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
    #: Up to this stamp a copy may have brought rows: the log may have them as what they grew to.
    #: What was written since, before a repair, is this home's own.
    old_until: int = 0
    #: Not on disk yet.
    unsaved: list[Record] = field(factory=list)
    #: What the log had sealed when it had come back whole; until then None.
    _sealed: Sealed | None = None

    @classmethod
    def load(
        cls, reader: LogReader, held: Held, author: bytes, pending: PendingRows, now: Now
    ) -> FoundRows:
        """As the last run has left it; rows of a mesh with no other member wait for nobody."""
        found = cls(held, author, pending)
        mark = reader.meta(META_EARLY)
        pending.early += _ids(mark or b"")
        if mark and not pending.early:
            found.unsaved.append(PutMeta(META_EARLY, b""))
        last = pending.last_hlc()
        kept = reader.meta(META_FOUND)
        if kept is not None:
            found.old_until = _stamp(kept, else_=last)
        if not pending.rows:
            if kept is not None and not pending.early:
                found.unsaved.append(PutMeta(META_FOUND, b""))
            return found
        if held.ledger.members() in ((), (author,)):
            pending.due_ms = now.mono_ms
            return found
        pending.found_until = max(pending.rows)
        if kept is None or not (reader.meta(META_BLOCKED) or reader.meta(META_RECOVER)):
            found.old_until = last
            found.unsaved.append(PutMeta(META_FOUND, encode(last)))
        return found

    def heard(self, heads: Sequence[SignedHeader | None]) -> None:
        """A peer has stated heads of the own lanes, and all of that is held here."""
        lane = self.held.ledger.lane(self.author, LANE_DATA)
        # Of who knows nothing of a log that is not empty nothing can be learnt.
        if lane is None or len(lane) == 0 or heads[LANE_DATA] is not None:
            self.release()

    @property
    def waits(self) -> bool:
        """Whether a peer's word would tell something."""
        return bool(self.pending.found_until or self.pending.early)

    def release(self) -> None:
        """What was found is sealed next, and what became of it is like all other entries."""
        if self.waits:
            self.pending.found_until = self.old_until = 0
            self.pending.early.clear()
            self.unsaved += [PutMeta(META_FOUND, b""), PutMeta(META_EARLY, b"")]
            self.pending.due_ms = 0 if self.pending.rows else None

    def came_back(self) -> None:
        """The own log is whole again: what stands in it now was sealed before."""
        self._sealed = Sealed()
        if not self.waits and not self.pending.rows:
            return
        # What became of a row is younger than the row; of early entries that is not known here.
        rows = () if self.pending.early else self.pending.rows.values()
        oldest = min((row.hlc for row in rows), default=0)
        lane = self.held.ledger.lane(self.author, LANE_DATA)
        for seq in range(len(lane) if lane is not None else 0, 0, -1):
            assert lane is not None
            if lane.facts(seq)[0] < oldest:
                break
            entry = self.held.read(self.held.table.number[lane.at(seq)])
            for _, place, stamp, value in _local_writes(entry, self.held.data_of(entry)):
                self._sealed.add(place, stamp, value)

    def without_sealed(self, entry: Entry) -> bytes:
        """The body of an own entry that was set aside, less what the log has sealed already."""
        data = self.held.data_of(entry) if entry.id in self.pending.early else None
        sealed = self._sealed
        if data is None or sealed is None:
            return entry.body
        writes = _local_writes(entry, data)
        gone = {
            at
            for at, place, stamp, value in writes
            if sealed.has(place, stamp, value, may_have_grown=stamp <= self.old_until)
        }
        if not gone:
            return entry.body
        # No operation of such an entry is one that others name, so their places may change.
        ops = tuple(op for at, op in enumerate(data.ops) if at not in gone)
        return encode_data(evolve(data, ops=ops, registers=None, parsed=None))

    def recovered(self) -> list[Record]:
        """What was set aside is in the log, too: found rows that were sealed before are dropped."""
        sealed, until = self._sealed or Sealed(), self.old_until
        slots = [
            slot
            for slot, row in sorted(self.pending.rows.items())
            if sealed.has(*_write_of(row), may_have_grown=row.hlc <= until)
        ]
        self.pending.drop(slots)
        self.release()
        self._sealed = None
        records, self.unsaved = self.unsaved, []
        return [DeletePending(tuple(slots)), *records] if slots else records


def _local_writes(entry: Entry, data: Data | None) -> Iterator[tuple[int, Place, int, Value]]:
    """(index, place, stamp, value) of the operations that LOCAL writes may become."""
    for index in range(len(data.ops) if data is not None else 0):
        assert data is not None
        op = parse_op(data, index)
        write = _write_in(op, data) if op is not None else None
        if op is not None and write is not None:
            yield index, write[0], entry.header.hlc - op.age, write[1]


def _write_in(op: Op, data: Data) -> tuple[Place, Value] | None:
    match op.payload:
        case Register(ns, name, value):
            kind = REGISTER
        case Append(ns, name, value):
            kind = LOG
        case Increment(ns, name, value):
            kind = COUNTER
        case _:
            return None
    return (data.session, op.node, (ns, name, kind)), value


def _write_of(row: Row) -> tuple[Place, int, Value]:
    op = row.operation(0)
    assert isinstance(op.payload, Register | Append | Increment), "a row is one of these"
    value = op.payload.amount if isinstance(op.payload, Increment) else op.payload.value
    return (session_id(row.session), *row.cell), row.hlc, value


def _ids(data: bytes) -> list[bytes]:
    """The entries of a mark; one that cannot be read names none, so that nothing is lost by it."""
    try:
        listed = decode(data, size_max=len(data)) if data else ()
    except CodecError:
        return []
    return [one for one in listed if isinstance(one, bytes)] if isinstance(listed, tuple) else []


def _stamp(data: bytes, *, else_: int) -> int:
    """The stamp of a mark; if it cannot be read any row may have come with a copy."""
    try:
        stamp = decode(data, size_max=_STAMP_BYTES_MAX)
    except CodecError:
        return else_
    return stamp if isinstance(stamp, int) else else_

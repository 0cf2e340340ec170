"""
LOCAL writes: durable as rows with their stamps, shared with nobody until they are sealed.

A row holds one register write, increment or append. A later write of the same session to the same
register replaces it, increments add up: ten progress reports a second cost one operation every
`FLUSH_INTERVAL_MS`. Reads overlay the rows; the state hash covers sealed entries only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import define, field, frozen

from capability import ops
from capability.errors import FormError
from capability.form import fixed, record, text, unsigned
from capability.ids import WORKNODE_BYTES
from capability.limits import NAME_BYTES_MAX
from capability.ops import Op
from crdt.codec import INT_MAX, Value, decode, encode
from mesh.core.limits import EARLY_ENTRIES_MAX, TEXT_BYTES_MAX
from mesh.core.records import DeletePending, PutMeta, Record
from mesh.core.writes import Append, Increment, SetRegister
from mesh.worknode.cells import COUNTER, LOG, REGISTER, CellKey

LocalWrite = SetRegister | Increment | Append

#: Ids of own entries that rows became before a peer told whether they had been sealed already.
META_EARLY: Final = "rows_early"

_ROW_BYTES_MAX = TEXT_BYTES_MAX + 1024


@frozen
class Row:
    """One waiting write, when it was made and by which session."""

    session: str
    hlc: int
    write: LocalWrite

    @property
    def cell(self) -> tuple[bytes, CellKey]:
        kind = {SetRegister: REGISTER, Increment: COUNTER, Append: LOG}[type(self.write)]
        return self.write.node, (self.write.ns, self.write.name, kind)

    @property
    def place(self) -> tuple[str, bytes, CellKey]:
        """What writes coalesce by."""
        return self.session, *self.cell

    def encode(self) -> bytes:
        """The bytes of the row on disk; of this node only."""
        write = self.write
        value: Value = write.amount if isinstance(write, Increment) else write.value
        kind = self.cell[1][2]
        return encode((self.session, self.hlc, kind, write.node, write.ns, write.name, value))

    def operation(self, age: int) -> Op:
        """The operation of an entry that is *age* younger than the row."""
        match self.write:
            case SetRegister(node=node, ns=ns, name=name, value=value):
                return Op(ops.OP_REGISTER, age, node, (), ops.Register(ns, name, value))
            case Increment(node=node, ns=ns, name=name, amount=amount):
                return Op(ops.OP_INCREMENT, age, node, (), ops.Increment(ns, name, amount))
            case Append(node=node, ns=ns, name=name, value=value):
                return Op(ops.OP_APPEND, age, node, (), ops.Append(ns, name, value))


def decode_row(data: bytes) -> Row:
    """Read a row of this node's own disk. Raises CodecError or FormError if it is damaged."""
    value = decode(data, size_max=_ROW_BYTES_MAX)
    session, hlc, kind, node, ns, name, held = record(value, 7, "pending row")
    place = (
        fixed(node, WORKNODE_BYTES, "pending node"),
        unsigned(ns, "pending ns", most=ops.NS_CONFIG),
        text(name, "pending name", most=NAME_BYTES_MAX),
    )
    write: LocalWrite
    if kind == COUNTER:
        if type(held) is not int:
            raise FormError(f"pending amount: {held!r:.80} is not an integer")
        write = Increment(*place, held)
    elif kind == LOG:
        write = Append(*place, held)
    elif kind == REGISTER:
        write = SetRegister(*place, held)
    else:
        raise FormError(f"pending kind: {kind!r:.80} names no write")
    return Row(
        text(session, "pending session", most=_ROW_BYTES_MAX), unsigned(hlc, "pending hlc"), write
    )


@define
class PendingRows:
    """All waiting rows by slot, in the order in which they will be sealed."""

    rows: dict[int, Row] = field(factory=dict)
    next_slot: int = 1
    #: When the oldest row is to be sealed, monotonic ms.
    due_ms: int | None = None
    #: Rows up to this slot wait for a peer's word (`mesh.replica.found`).
    found_until: int = 0
    #: What of these an operation sealed before that word: the entries, all of such rows, the
    #: first `EARLY_ENTRIES_MAX` of them.
    early: list[bytes] = field(factory=list)
    _by_node: dict[bytes, list[int]] = field(factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def load(self, stored: list[tuple[int, bytes]]) -> None:
        """Take over what is on disk."""
        for slot, data in stored:
            self._put(slot, decode_row(data))
            self.next_slot = slot + 1

    def add(self, row: Row) -> tuple[int, Row]:
        """Coalesce or append a row: the slot, and the row as it is to be stored there."""
        if not isinstance(row.write, Append):
            for slot in self._by_node.get(row.write.node, ()):
                old = self.rows[slot]
                if slot <= self.found_until:
                    # What was found may be dropped; what is written now may not.
                    continue
                if old.cell == row.cell and old.session == row.session:
                    if isinstance(row.write, Increment) and isinstance(old.write, Increment):
                        total = old.write.amount + row.write.amount
                        if abs(total) > INT_MAX:
                            continue
                        write = Increment(row.write.node, row.write.ns, row.write.name, total)
                        row = Row(row.session, row.hlc, write)
                    self.rows[slot] = row
                    return slot, row
        slot = self.next_slot
        self.next_slot += 1
        self._put(slot, row)
        return slot, row

    def _put(self, slot: int, row: Row) -> None:
        self.rows[slot] = row
        self._by_node.setdefault(row.write.node, []).append(slot)

    def of_node(self, node: bytes) -> list[Row]:
        """Rows that overlay *node*, oldest first."""
        return [self.rows[slot] for slot in self._by_node.get(node, ())]

    def touches(self, node: bytes) -> bool:
        """Whether a row waits for *node*."""
        return node in self._by_node

    def last_hlc(self) -> int:
        """The latest stamp of a row, 0 if none waits."""
        return max((row.hlc for row in self.rows.values()), default=0)

    def keep(self, slot: int, row: Row) -> None:
        """Put back what was drained and could not be sealed."""
        self._put(slot, row)

    def drain(self, *, whole: bool) -> list[tuple[int, Row]]:
        """
        Take the rows: those that were found first, then by session and slot.

        Found ones only if *whole*; else they stay, and with them what was written to their places
        since: of one place nothing is ever sealed before what is older.
        """
        until = self.found_until
        held = {row.place for slot, row in self.rows.items() if slot <= until and not whole}
        drained = [(slot, row) for slot, row in self.rows.items() if row.place not in held]
        self.drop([slot for slot, _ in drained])
        self.due_ms = None
        return sorted(drained, key=lambda item: (item[0] > until, item[1].session, item[0]))

    def sealed(self, entry_id: bytes, slots: Sequence[int]) -> list[Record]:
        """What is on disk with the entry that these rows became."""
        records: list[Record] = [DeletePending(tuple(slots))]
        if min(slots) <= self.found_until:
            assert max(slots) <= self.found_until, "what was found has an entry of its own"
            # What came with a copy was sealed first; later starts find what was written here.
            if len(self.early) < EARLY_ENTRIES_MAX:
                self.early.append(entry_id)
                records.append(PutMeta(META_EARLY, encode(tuple(self.early))))
        return records

    def drop(self, slots: list[int]) -> None:
        """Forget these rows."""
        for slot in slots:
            node = self.rows.pop(slot).write.node
            self._by_node[node].remove(slot)
            if not self._by_node[node]:
                del self._by_node[node]

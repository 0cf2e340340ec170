"""
P2: no write that was acknowledged is lost, on its author's disk or at rest anywhere; none doubled.

*Kept*: from its answer on, a write is on its author's disk, as an entry, or as a LOCAL row until
the very commit that puts the entry in its place. The disk is looked at with each answer, each seal
and each start. *Exact*: at rest every host shows every promised write, once, and nothing beside:
promised ≤ shown ≤ promised + unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from attrs import define, field

from capability import ops
from capability.entry import Entry
from crdt.codec import encode
from mesh.core.records import DeletePending, PutEntry, PutPending, Record
from mesh.core.writes import AddToSet, Append, Increment, SetRegister
from mesh.replica.pending import Row, decode_row
from mesh.replica.writer import Submitted
from mesh.worknode import reading
from mesh.worknode.cells import MULTI, SET
from simulations.checkers import births
from simulations.checkers.checker import Checker
from simulations.checkers.promises import Cell, Item, Promises

if TYPE_CHECKING:
    from mesh.core.effects import Reply
    from simulations.host import Host

#: What a row and the operation that it becomes have in common.
_Trace: TypeAlias = tuple[int, bytes, int, str, int, bytes]


@define(eq=False)
class Kept(Checker):
    """What is promised is on its author's disk at every moment that is looked at."""

    NAME: ClassVar[str] = "acknowledged"

    _promises: Promises = field(init=False)
    #: LOCAL rows on each host's disk, by slot.
    _rows: dict[int, dict[int, bytes]] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self._promises = Promises.of(self.world)

    def answered(self, host: Host, reply: Reply) -> None:
        done = reply.value
        if reply.error is not None or not isinstance(done, Submitted) or not host.is_honest:
            return
        self.checks += 1
        store = host.disk.store
        if done.entry:
            if not store.entries_by_id((done.entry,)):
                self.object(host, f"request {reply.request} was answered, its entry is not there")
        elif store.pending() != sorted(self._rows[host.number].items()):
            self.object(host, f"request {reply.request} was answered, its rows are not there")

    def recorded(self, host: Host, records: Sequence[Record]) -> None:
        rows = self._rows[host.number]
        sealed: list[bytes] = []
        entries: list[Entry] = []
        for record in records:
            match record:
                case PutPending(slot, data):
                    rows[slot] = data
                case DeletePending(slots):
                    sealed += [rows.pop(slot) for slot in slots if slot in rows]
                case PutEntry(entry=entry, own=True):
                    entries.append(entry)
        # Rows of a home that was put back may have been sealed before: then they are dropped.
        if sealed and host.is_honest and host.number not in self._promises.copies:
            self._sealed(host, sealed, entries)

    def _sealed(self, host: Host, rows: Iterable[bytes], entries: Iterable[Entry]) -> None:
        """Each row that is deleted is in an entry of the same commit, with its own stamp."""
        self.checks += 1
        waits = Counter(_of_row(decode_row(data)) for data in rows)
        made = Counter(
            _of_op(entry.header.hlc, op)
            for entry in entries
            for op in self.world.reading.operations(entry)
            if op is not None and isinstance(op.payload, _Loose)
        )
        if waits - made:
            self.object(host, f"rows were deleted and not sealed: {list(waits - made)[:3]}")

    def started(self, host: Host) -> None:
        store = host.disk.store
        rows = self._rows[host.number] = dict(store.pending())
        if not host.is_honest or host.number in self._promises.copies:
            return
        self.checks += 1
        book = self._promises.book(host)
        missing = len(book.entries) - len(store.entries_by_id(list(book.entries)))
        if missing:
            self.object(host, f"{missing} acknowledged entries are not on disk after a start")
        sums, appended = self._on_disk(host, rows.values())
        spare, extra = _unknown(self._promises, host.number)
        for cell in {*book.sums, *sums}:
            low, high = spare.get(cell, (0, 0))
            if not book.sums[cell] + low <= sums[cell] <= book.sums[cell] + high:
                what = f"{cell[2]} of {cell[0].hex()[:8]} got {sums[cell]} from here"
                self.object(host, f"{what}, acknowledged were {book.sums[cell]}")
        for item in {*book.appended, *appended}:
            if not 0 <= appended[item] - book.appended[item] <= extra[item]:
                what = f"{appended[item]} records {item[1]!r} on disk"
                self.object(host, f"{what}, acknowledged were {book.appended[item]}")

    def _on_disk(self, host: Host, rows: Iterable[bytes]) -> tuple[Counter[Cell], Counter[Item]]:
        sums: Counter[Cell] = Counter()
        appended: Counter[Item] = Counter()
        for stored in host.disk.store.entries():
            if stored.entry.header.author != host.signer.public:
                continue
            for op in self.world.reading.operations(stored.entry):
                if op is not None and isinstance(op.payload, ops.Increment):
                    sums[op.node, op.payload.ns, op.payload.name] += op.payload.amount
                elif op is not None and isinstance(op.payload, ops.Append):
                    cell = (op.node, op.payload.ns, op.payload.name)
                    appended[cell, encode(op.payload.value)] += 1
        for write in (decode_row(data).write for data in rows):
            cell = (write.node, write.ns, write.name)
            if isinstance(write, Increment):
                sums[cell] += write.amount
            elif isinstance(write, Append):
                appended[cell, encode(write.value)] += 1
        return sums, appended


_Loose = (ops.Register, ops.Increment, ops.Append)


def _of_row(row: Row) -> _Trace:
    return _of_op(row.hlc, row.operation(0))


def _of_op(hlc: int, op: ops.Op) -> _Trace:
    payload = op.payload
    assert isinstance(payload, _Loose), "a row is one of these"
    value = payload.amount if isinstance(payload, ops.Increment) else payload.value
    return (op.code, op.node, payload.ns, payload.name, hlc - op.age, encode(value))


def _unknown(
    promises: Promises, host: int | None = None
) -> tuple[dict[Cell, tuple[int, int]], Counter[Item]]:
    """By how much counters may differ, down and up, and which records may be there beside."""
    spare: dict[Cell, tuple[int, int]] = {}
    extra: Counter[Item] = Counter()
    for number, write in promises.unknown():
        if host is not None and number != host:
            continue
        if isinstance(write, Increment):
            cell = (write.node, write.ns, write.name)
            _widen(spare, cell, write.amount)
        elif isinstance(write, Append):
            extra[(write.node, write.ns, write.name), encode(write.value)] += 1
    return spare, extra


def _widen(spare: dict[Cell, tuple[int, int]], cell: Cell, amount: int) -> None:
    low, high = spare.get(cell, (0, 0))
    spare[cell] = (low + min(amount, 0), high + max(amount, 0))


@define(eq=False)
class Exact(Checker):
    """At rest every honest host shows what was promised, once, and nothing beside."""

    NAME: ClassVar[str] = "exactly once"

    _promises: Promises = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._promises = Promises.of(self.world)

    def quiesced(self) -> None:
        for host in self.world.honest:
            self._entries(host)
            self._counters(host)
            self._logs(host)
            self._registers(host)
            self._sets(host)

    def _entries(self, host: Host) -> None:
        replica = host.running.replica
        for writer, book in self._promises.books.items():
            if self._may_be_gone(writer):
                # Its log may have forked, or be ahead of all clocks: nobody waits for it.
                continue
            ids = list(book.entries)
            self.checks += len(ids)
            if len(host.disk.store.entries_by_id(ids)) != len(ids):
                self.object(host, "an acknowledged entry is not held")
            number, counts = replica.table.number, replica.table.counts
            if not all(counts(number[one]) for one in ids):
                self.object(host, "an acknowledged entry does not count")
            for node in () if writer in self._promises.copies else book.created:
                if not (replica.store.exists(node) or self._is_gone(host, node)):
                    self.object(host, "a Worknode that was created is not there")

    def _counters(self, host: Host) -> None:
        sums: Counter[Cell] = Counter()
        spare, _ = _unknown(self._promises)
        for number, book in self._promises.books.items():
            for cell, amount in book.sums.items():
                if self._may_be_gone(number) or self._waits(number):
                    _widen(spare, cell, book.taken[cell])
                    _widen(spare, cell, amount - book.taken[cell])
                else:
                    sums[cell] += amount
            for cell, (low, high) in book.gone.items():
                less, more = spare.get(cell, (0, 0))
                spare[cell] = (less + low, more + high)
        self.checks += len(sums)
        for cell in {*sums, *spare}:
            if self._is_gone(host, cell[0]):
                continue
            low, high = spare.get(cell, (0, 0))
            shown = reading.look(host.running.replica, cell[0]).total(*cell[1:])
            if not sums[cell] + low <= shown <= sums[cell] + high:
                what = f"{cell[2]} of {cell[0].hex()[:8]} shows {shown}"
                self.object(host, f"{what}, not {sums[cell]} (+{high}, {low})")

    def _may_be_gone(self, number: int) -> bool:
        """Whether all that this host has promised may be gone, with the log of one that forked."""
        return number in self._promises.copies and not self.world.hosts[number].is_honest

    def _waits(self, number: int) -> bool:
        """Whether a home that was repaired still waits for somebody before it writes."""
        host = self.world.hosts[number]
        return number in self._promises.copies and bool(host.running.replica.writer.blocked)

    def _is_gone(self, host: Host, node: bytes) -> bool:
        """
        Whether a Worknode is gone with the log of somebody who is nobody's measure.

        What others wrote to it is in their logs, and shows nowhere; what they created beneath it
        waits there for its birth (docs/decisions.md, 21).
        """
        exists = host.running.replica.store.exists
        if exists(node):
            return False
        books, copies = self._promises.books.items(), self._promises.copies
        born = births.parents(host)
        while not exists(node):
            if not any(node in book.created for number, book in books if number not in copies):
                return True
            if node not in born:
                return False
            node = born[node]
        return False

    def _logs(self, host: Host) -> None:
        wanted: Counter[Item] = Counter()
        _, extra = _unknown(self._promises)
        for number, book in self._promises.books.items():
            into = extra if self._may_be_gone(number) or self._waits(number) else wanted
            into.update(book.appended)
            extra.update(book.gone_appended)
        shown: Counter[Item] = Counter()
        for cell in {item[0] for item in (*wanted, *extra)}:
            found = reading.log(host.running.replica, *cell)
            shown.update((cell, encode(value)) for _, _, value in found)
        self.checks += len(wanted)
        for item in {*wanted, *shown}:
            if self._is_gone(host, item[0][0]):
                continue
            if not 0 <= shown[item] - wanted[item] <= extra[item]:
                what = f"record {item[1]!r} stands {shown[item]} times"
                self.object(host, f"{what}, was acknowledged {wanted[item]} times")

    def _registers(self, host: Host) -> None:
        late: dict[Cell, set[bytes]] = {}
        for _, write in self._promises.unknown():
            if isinstance(write, SetRegister):
                late.setdefault(_cell(write), set()).add(encode(write.value))
        for cell, (_, values) in self._promises.registers.items():
            if self._is_of_a_copy(cell) or self._is_gone(host, cell[0]):
                continue
            self.checks += 1
            shown = encode(reading.register(host.running.replica, *cell))
            if shown not in values and shown not in late.get(cell, ()):
                what = f"{cell[2]} of {cell[0].hex()[:8]} shows {shown!r}"
                self.object(host, f"{what}, the last write was {sorted(values)}")

    def _is_of_a_copy(self, cell: Cell) -> bool:
        """Whether a host wrote to it of whose last promises nobody may know any more."""
        return not self._promises.copies.isdisjoint(self._promises.writers.get(cell, ()))

    def _sets(self, host: Host) -> None:
        promises, replica = self._promises, host.running.replica
        for item in promises.added:
            cell, value = item
            if item in promises.removed or self._is_of_a_copy(cell):
                continue
            if self._is_gone(host, cell[0]):
                continue
            self.checks += 1
            live = {encode(one) for one in reading.members(replica, *cell, SET)}
            if value not in live:
                self.object(host, f"{value!r} was added to {cell[2]}, never removed, and is gone")
        for cell, written in promises.multi.items():
            self.checks += 1
            live = {encode(one) for one in reading.members(replica, *cell, MULTI)}
            if not live <= written:
                self.object(host, f"{cell[2]} shows {sorted(live - written)[:3]}: nobody wrote it")


def _cell(write: SetRegister | AddToSet) -> Cell:
    return (write.node, write.ns, write.name)

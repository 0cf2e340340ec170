"""
What local sessions were told: the record against which the checkers of writes hold the mesh.

A write that was answered without an error is promised, one that was answered with an error did not
happen, and one that was never answered may have. A LOCAL write has no entry when it is answered,
so promises are kept by what writes do: sums of counters, records of logs, stamps of registers.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeAlias

from attrs import define, field

from capability import ops
from crdt.codec import encode
from mesh.core.inputs import Submit
from mesh.core.writes import (
    AddToSet,
    Append,
    Create,
    Increment,
    Move,
    RemoveFromSet,
    SetMulti,
    SetRegister,
    Write,
)
from mesh.replica.pending import decode_row
from mesh.replica.recovery import META_KEPT, decode_kept
from mesh.replica.writer import Submitted
from simulations.watch import Watcher

if TYPE_CHECKING:
    from mesh.core.effects import Reply
    from simulations.host import Host
    from simulations.world import World

#: A field of a Worknode: (Worknode, namespace, name); the kind of write says the type.
Cell: TypeAlias = tuple[bytes, int, str]
#: A record of a log, or an element of a set, with its encoded value.
Item: TypeAlias = tuple[Cell, bytes]


@define
class Book:
    """What one host has promised its sessions."""

    #: Ids of entries, in the order of the answers.
    entries: dict[bytes, None] = field(factory=dict)
    created: dict[bytes, None] = field(factory=dict)
    sums: Counter[Cell] = field(factory=Counter)
    #: What of a sum was taken away: of a home that was put back either part may be gone alone.
    taken: Counter[Cell] = field(factory=Counter)
    appended: Counter[Item] = field(factory=Counter)
    #: What an older disk may have taken: by how much sums may differ, down and up, and records.
    gone: dict[Cell, tuple[int, int]] = field(factory=dict)
    gone_appended: Counter[Item] = field(factory=Counter)

    def add(self, write: Write | ops.Payload, node: bytes) -> None:
        """An increment or a record of a log."""
        match write:
            case Increment(ns=ns, name=name, amount=amount) | ops.Increment(ns, name, amount):
                self.sums[node, ns, name] += amount
                self.taken[node, ns, name] += min(amount, 0)
            case Append(ns=ns, name=name, value=value) | ops.Append(ns, name, value):
                self.appended[(node, ns, name), encode(value)] += 1
            case _:
                pass

    def keep_only(self, kept: Book) -> None:
        """What is not in *kept* may be gone. That has what nobody was told of, too."""
        for cell in {*self.sums, *kept.sums}:
            low, high = self.gone.get(cell, (0, 0))
            taken = self.taken[cell] - kept.taken[cell]
            given = self.sums[cell] - kept.sums[cell] - taken
            self.gone[cell] = (low + taken, high + given)
        self.gone_appended += self.appended - kept.appended
        self.sums, self.taken = kept.sums, kept.taken
        # Of what was never answered `Promises.unknown` speaks.
        self.appended &= kept.appended


@define(eq=False)
class Promises(Watcher):
    """Books of all hosts, and what is still open. One per world: see `of`."""

    world: World
    books: dict[int, Book] = field(factory=dict)
    #: The greatest promised stamp of a register, and the encoded values written at it.
    registers: dict[Cell, tuple[int, set[bytes]]] = field(factory=dict)
    #: Elements that were added, and those that somebody tried to remove.
    added: dict[Item, None] = field(factory=dict)
    removed: set[Item] = field(factory=set)
    multi: dict[Cell, set[bytes]] = field(factory=dict)
    #: Who asked for any write to a register or a set.
    writers: dict[Cell, set[int]] = field(factory=dict)
    #: Requests without an answer.
    open: dict[tuple[int, int], Submit] = field(factory=dict)
    #: Hosts on whose disk an older copy was put: what they told nobody may be gone.
    copies: set[int] = field(factory=set)

    @classmethod
    def of(cls, world: World) -> Promises:
        """The record of a world; whoever asks first has it made, and hears later than it does."""
        for watcher in world.watch.watchers:
            if isinstance(watcher, cls):
                return watcher
        made = cls(world)
        world.watch.add(made)
        return made

    def book(self, host: Host) -> Book:
        return self.books.setdefault(host.number, Book())

    def submitted(self, host: Host, request: Submit) -> None:
        self.open[host.number, request.request] = request
        for write in request.writes:
            if isinstance(write, SetRegister | AddToSet | RemoveFromSet):
                self.writers.setdefault(_cell(write), set()).add(host.number)
            if isinstance(write, RemoveFromSet):
                self.removed.add((_cell(write), encode(write.value)))
            elif isinstance(write, SetMulti):
                self.multi.setdefault(_cell(write), set()).add(encode(write.value))

    def answered(self, host: Host, reply: Reply) -> None:
        if not host.is_honest and reply.error is None:
            # Nobody is held to what such a host says; what it wrote may show all the same.
            return
        request = self.open.pop((host.number, reply.request), None)
        if request is None or reply.error is not None:
            return
        done = reply.value
        assert isinstance(done, Submitted), f"{done!r} is no answer to a submit"
        book = self.book(host)
        if done.entry:
            book.entries[done.entry] = None
        book.created.update(dict.fromkeys(done.created))
        for write in request.writes:
            self._promise(book, write, done)

    def _promise(self, book: Book, write: Write, done: Submitted) -> None:
        match write:
            case Increment() | Append():
                book.add(write, write.node)
            case SetRegister(value=value):
                cell = _cell(write)
                hlc, values = self.registers.get(cell, (-1, set()))
                if done.hlc > hlc:
                    self.registers[cell] = (done.hlc, {encode(value)})
                elif done.hlc == hlc:
                    values.add(encode(value))
            case AddToSet(value=value):
                self.added[_cell(write), encode(value)] = None
            case Create() | Move() | SetMulti() | RemoveFromSet():
                pass

    def unknown(self) -> list[tuple[int, Write]]:
        """(host, write) of all that was never answered."""
        return [
            (host, write) for (host, _), request in self.open.items() for write in request.writes
        ]

    def set_back(self, host: Host, *, is_less: bool = True) -> None:
        author, store = host.signer.public, host.disk.store
        others = {
            stored.entry.id: stored.entry
            for other in self.world.hosts
            if other is not host
            for stored in other.disk.store.entries()
            if stored.entry.header.author == author
        }
        own = {s.entry.id: s.entry for s in store.entries() if s.entry.header.author == author}
        book = self.book(host)
        book.entries = {one: None for one in book.entries if one in others or one in own}
        if not is_less:
            return
        # What an older disk has beside the others' may be theirs, said a second time.
        is_older = host.was_put_back or host.number in self.copies or not host.is_honest
        self.copies.add(host.number)
        kept = Book()
        if not is_older:
            own |= {entry.id: entry for entry in decode_kept(store.meta(META_KEPT) or encode(()))}
            others |= own
            for write in (decode_row(data).write for _, data in store.pending()):
                kept.add(write, write.node)
        for entry in others.values():
            for op in self.world.reading.operations(entry):
                if op is not None:
                    kept.add(op.payload, op.node)
        book.keep_only(kept)


def _cell(write: SetRegister | SetMulti | AddToSet | RemoveFromSet | Increment | Append) -> Cell:
    return (write.node, write.ns, write.name)


__all__ = ["Book", "Cell", "Item", "Promises"]

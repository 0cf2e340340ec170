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
            case Increment(amount=amount):
                book.sums[_cell(write)] += amount
                book.taken[_cell(write)] += min(amount, 0)
            case Append(value=value):
                book.appended[_cell(write), encode(value)] += 1
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

    def set_back(self, host: Host) -> None:
        self.copies.add(host.number)
        held: set[bytes] = set()
        for other in self.world.hosts:
            found = other.disk.store.entries_by_id(list(self.book(host).entries))
            held.update(stored.entry.id for stored in found)
        book = self.book(host)
        book.entries = {one: None for one in book.entries if one in held}


def _cell(write: SetRegister | SetMulti | AddToSet | RemoveFromSet | Increment | Append) -> Cell:
    return (write.node, write.ns, write.name)


__all__ = ["Book", "Cell", "Item", "Promises"]

"""
Reading cells as the doors show them: sealed state, overlaid with LOCAL rows that wait.

`Readable` is what a view needs of a replica; the replica itself stands a floor above.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from attrs import frozen

from capability.values import Value
from crdt.codec import encode
from mesh.core.writes import Append, Increment, SetRegister
from mesh.worknode.cells import (
    COUNTER,
    LOG,
    REGISTER,
    Cell,
    CellKey,
    CounterCell,
    Dot,
    DotCell,
    RegisterCell,
    dot_entry,
    dot_index,
)
from mesh.worknode.store import Store


class WaitingRow(Protocol):
    """One LOCAL write that is not sealed yet."""

    @property
    def hlc(self) -> int: ...
    @property
    def write(self) -> SetRegister | Increment | Append: ...
    @property
    def cell(self) -> tuple[bytes, CellKey]: ...


class Waiting(Protocol):
    """The LOCAL rows by Worknode."""

    def of_node(self, node: bytes) -> Sequence[WaitingRow]: ...


class Entries(Protocol):
    """Columns of the held entries by local number, and the numbers by id."""

    @property
    def authors(self) -> Sequence[bytes]: ...
    @property
    def hlcs(self) -> Sequence[int]: ...
    @property
    def number(self) -> dict[bytes, int]: ...


class Readable(Protocol):
    """A replica, as far as views read it."""

    @property
    def mesh_id(self) -> bytes: ...
    @property
    def author(self) -> bytes: ...
    @property
    def name(self) -> str: ...
    @property
    def store(self) -> Store: ...
    @property
    def table(self) -> Entries: ...
    @property
    def pending(self) -> Waiting: ...
    def label(self, author: bytes) -> str: ...


@frozen
class Sight:
    """One Worknode at one instant: what is folded of it, and the LOCAL rows that wait on top."""

    cells: Mapping[CellKey, Cell]
    rows: Sequence[WaitingRow]

    def cell_keys(self) -> list[CellKey]:
        """The cells that have something to show, with those that only LOCAL rows fill; sorted."""
        found = [key for key, cell in self.cells.items() if not cell.empty()]
        return sorted({*found, *(row.cell[1] for row in self.rows)} if self.rows else found)

    def register(self, ns: int, name: str) -> Value:
        """What a register shows; None when it is unset."""
        cell = self.cells.get((ns, name, REGISTER))
        stamp, value = -1, None
        if isinstance(cell, RegisterCell):
            if not self.rows:
                return cell.value
            stamp, value = cell.hlc, cell.value
        for row in self.rows:
            write = row.write
            if not isinstance(write, SetRegister) or (write.ns, write.name) != (ns, name):
                continue
            if row.hlc > stamp:
                stamp, value = row.hlc, write.value
        return value

    def members(self, ns: int, name: str, type_code: int) -> list[Value]:
        """The live values of a set or multi-value register, each once, by their encodings."""
        cell = self.cells.get((ns, name, type_code))
        return distinct(cell) if isinstance(cell, DotCell) else []

    def total(self, ns: int, name: str) -> int:
        """What a counter shows."""
        cell = self.cells.get((ns, name, COUNTER))
        waiting = (row.write for row in self.rows)
        return (cell.total if isinstance(cell, CounterCell) else 0) + sum(
            write.amount
            for write in waiting
            if isinstance(write, Increment) and (write.ns, write.name) == (ns, name)
        )


_NOTHING: Final[Mapping[CellKey, Cell]] = {}


def look(replica: Readable, node: bytes) -> Sight:
    """What is to be seen of *node* now; what is folded later shows in it or not."""
    record = replica.store.worknodes.get(node)
    cells = record.cells if record is not None else _NOTHING
    return Sight(cells, replica.pending.of_node(node))


def register(replica: Readable, node: bytes, ns: int, name: str) -> Value:
    """What a register shows; None when it is unset."""
    return look(replica, node).register(ns, name)


def members(replica: Readable, node: bytes, ns: int, name: str, type_code: int) -> list[Value]:
    """The live values of a set or multi-value register, each once, by their encodings."""
    return look(replica, node).members(ns, name, type_code)


def distinct(cell: DotCell) -> list[Value]:
    """The values of a cell's live dots, each once, by their encodings."""
    # Equal bytes are equal values; in Python True == 1.
    found = {encode(value): value for _, value in cell.dots.values()}
    return [found[key] for key in sorted(found)]


def log(replica: Readable, node: bytes, ns: int, name: str) -> list[tuple[int, bytes, Value]]:
    """(stamp, author, value) of a log's items, in the total order of their stamps."""
    store, authors = replica.store, replica.table.authors
    cell = store.cell(node, (ns, name, LOG))
    dots = cell.dots if isinstance(cell, DotCell) else {}

    def place(item: tuple[Dot, tuple[int, Value]]) -> tuple[int, tuple[bytes, int, bytes], int]:
        return item[1][0], store.order(dot_entry(item[0])), dot_index(item[0])

    found = [
        (hlc, authors[dot_entry(at)], value) for at, (hlc, value) in sorted(dots.items(), key=place)
    ]
    for row in replica.pending.of_node(node):
        write = row.write
        if isinstance(write, Append) and (write.ns, write.name) == (ns, name):
            found.append((row.hlc, replica.author, write.value))
    found.sort(key=lambda item: item[0])
    return found

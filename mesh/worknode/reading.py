"""
Reading cells as the doors show them: sealed state, overlaid with LOCAL rows that wait.

`Readable` is what a view needs of a replica; the replica itself stands a floor above.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from capability.values import Value
from crdt.codec import encode
from mesh.core.writes import Append, Increment, SetRegister
from mesh.worknode.cells import (
    COUNTER,
    LOG,
    REGISTER,
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


def register(replica: Readable, node: bytes, ns: int, name: str) -> Value:
    """What a register shows; None when it is unset."""
    cell = replica.store.cell(node, (ns, name, REGISTER))
    stamp, value = -1, None
    if isinstance(cell, RegisterCell):
        stamp, value = cell.hlc, cell.value
    for row in replica.pending.of_node(node):
        write = row.write
        if not isinstance(write, SetRegister) or (write.ns, write.name) != (ns, name):
            continue
        if row.hlc > stamp:
            stamp, value = row.hlc, write.value
    return value


def members(replica: Readable, node: bytes, ns: int, name: str, type_code: int) -> list[Value]:
    """The live values of a set or multi-value register, each once, by their encodings."""
    cell = replica.store.cell(node, (ns, name, type_code))
    return distinct(cell) if isinstance(cell, DotCell) else []


def distinct(cell: DotCell) -> list[Value]:
    """The values of a cell's live dots, each once, by their encodings."""
    # Equal bytes are equal values; in Python True == 1.
    found = {encode(value): value for _, value in cell.dots.values()}
    return [found[key] for key in sorted(found)]


def total(replica: Readable, node: bytes, ns: int, name: str) -> int:
    """What a counter shows."""
    cell = replica.store.cell(node, (ns, name, COUNTER))
    waiting = [row.write for row in replica.pending.of_node(node)]
    return (cell.total if isinstance(cell, CounterCell) else 0) + sum(
        write.amount
        for write in waiting
        if isinstance(write, Increment) and (write.ns, write.name) == (ns, name)
    )


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


def cells_of(replica: Readable, node: bytes) -> list[CellKey]:
    """The cells that have something to show, with those that only LOCAL rows fill; sorted."""
    record = replica.store.worknodes.get(node)
    found = {key for key, cell in record.cells.items() if not cell.empty()} if record else set()
    found.update(row.cell[1] for row in replica.pending.of_node(node))
    return sorted(found)

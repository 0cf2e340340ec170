"""
Cells: the compact form of the lattices, one value per (Worknode, namespace, name, type).

The general lattices of `crdt` are too large and slow to hold millions of fields, so a cell keeps
only what its type's read needs. `tests/mesh/worknode/test_equivalence.py` proves by properties that
a cell reads as the lattice does. Dots are local integers, `n << 16 | index`: *n* is the entry's
local number, *index* the operation in it.

A kill may arrive before the add that it kills, so a cell remembers the kills that have not met
their add (`dead`); they are no part of the state's meaning and not hashed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import define, field

from crdt.codec import Value

#: Cell types are the op codes that add to them (docs/formats.md §Operations).
REGISTER: Final = 3
MULTI: Final = 4
SET: Final = 5
COUNTER: Final = 7
LOG: Final = 8

CellKey = tuple[int, str, int]
Dot = int
DOT_INDEX_BITS: Final = 16
DOT_INDEX_MASK: Final = (1 << DOT_INDEX_BITS) - 1
#: (author, seq, entry id) of a local number: what breaks a tie of stamps.
Order = Callable[[int], tuple[bytes, int, bytes]]


def dot(n: int, index: int) -> Dot:
    """The local dot of operation *index* of entry *n*."""
    return n << DOT_INDEX_BITS | index


def dot_entry(value: Dot) -> int:
    """The local number of the entry that made this dot."""
    return value >> DOT_INDEX_BITS


def dot_index(value: Dot) -> int:
    """The operation's place in its entry."""
    return value & DOT_INDEX_MASK


def later(a: tuple[int, Dot], b: tuple[int, Dot], order: Order) -> bool:
    """Whether (stamp, dot) *a* comes after *b* in the total order (hlc, author, seq, id, index)."""
    if a[0] != b[0]:
        return a[0] > b[0]
    first, second = order(dot_entry(a[1])), order(dot_entry(b[1]))
    return (first, dot_index(a[1])) > (second, dot_index(b[1]))


@define
class RegisterCell:
    """Last writer wins: the greatest (stamp, dot) and its value."""

    hlc: int = -1
    dot: Dot = -1
    value: Value = None

    def put(self, hlc: int, at: Dot, value: Value, order: Order) -> bool:
        """Join one write; whether it stands now."""
        if self.hlc > hlc or (
            self.hlc == hlc and self.dot >= 0 and not later((hlc, at), (self.hlc, self.dot), order)
        ):
            return False
        self.hlc, self.dot, self.value = hlc, at, value
        return True

    def empty(self) -> bool:
        return self.dot < 0


@define
class DotCell:
    """Live dots with stamp and value: multi-value register, add-wins set and append log."""

    dots: dict[Dot, tuple[int, Value]] = field(factory=dict)
    dead: set[bytes] | None = None

    def add(self, hlc: int, at: Dot, value: Value, name: Callable[[Dot], bytes]) -> bool:
        """Join one add, unless a kill of it came first."""
        if self.dead:
            key = name(at)
            if key in self.dead:
                self.dead.discard(key)
                return False
        self.dots[at] = (hlc, value)
        return True

    def kill(self, at: Dot | None, key: bytes) -> bool:
        """Join one kill of the dot that is *at* here (None if unknown) and *key* everywhere."""
        if at is not None and self.dots.pop(at, None) is not None:
            return True
        if self.dead is None:
            self.dead = set()
        self.dead.add(key)
        return False

    def empty(self) -> bool:
        return not self.dots


@define
class CounterCell:
    """A total of signed increments, each folded once."""

    total: int = 0
    writes: int = 0

    def put(self, amount: int) -> bool:
        self.total += amount
        self.writes += 1
        return True

    def empty(self) -> bool:
        return self.writes == 0


Cell = RegisterCell | DotCell | CounterCell


def new_cell(kind: int) -> Cell:
    """The bottom of a cell type."""
    if kind == REGISTER:
        return RegisterCell()
    if kind == COUNTER:
        return CounterCell()
    return DotCell()

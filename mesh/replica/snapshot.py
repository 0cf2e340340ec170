"""
A node's own snapshot of its fold: what start-up reads instead of folding the whole log again.

It is never a peer's. It is labelled with the fold's version and with the verdicts on which it
rests; where those differ from what the ledger says now, the Worknodes concerned are folded again.
"""

from __future__ import annotations

from typing import Any, Final

from attrs import frozen

from capability.verdict import Verdict
from crdt.codec import Value, decode, encode
from crdt.errors import CodecError
from crdt.tree import Move
from mesh.replica.fold import data_of, touched_by
from mesh.replica.held import Held
from mesh.worknode.cells import Cell, CounterCell, DotCell, RegisterCell
from mesh.worknode.store import Birth, Creation, Worknode

#: Raised when the meaning of a folded operation or of this layout changes.
FOLD_VERSION: Final = 1
#: A field's value nests 13 deep and stands 8 deep in a snapshot.
_DEPTH_MAX: Final = 32
#: Moves are kept once, by Worknode: (key, parent, meta).
_MoveRow = tuple[Value, bytes, bytes]


def dump(held: Held, *, rules: int) -> bytes:
    """The whole fold as bytes. Cost: O(state)."""
    store = held.store
    births = tuple((node, b.parent, b.key_class, b.key) for node, b in store.births.items())
    worknodes = tuple((node, *_worknode(record)) for node, record in store.worknodes.items())
    waiting = tuple((node, tuple(ops)) for node, ops in sorted(held.fold.waiting.items()))
    verdicts = bytes(held.table.verdicts)
    parked = tuple(sorted(held.table.parked))
    value = (FOLD_VERSION, rules, verdicts, parked, births, worknodes, waiting)
    return encode(value, depth_max=_DEPTH_MAX)


def _worknode(record: Worknode) -> tuple[Value, ...]:
    creates = tuple(
        (at, c.kind, c.schema, c.mode, c.position, c.hlc) for at, c in record.creates.items()
    )
    cells = tuple((*key, _cell(cell)) for key, cell in record.cells.items())
    moves = tuple((item.key, item.parent, item.meta) for item in record.moves.values())
    return creates, cells, moves, record.updated


def _cell(cell: Cell) -> Value:
    match cell:
        case RegisterCell(hlc, at, value):
            return (hlc, at, value)
        case DotCell(dots, dead):
            rows = tuple((at, hlc, value) for at, (hlc, value) in dots.items())
            return (rows, tuple(sorted(dead)) if dead else ())
        case CounterCell(total, writes):
            return (str(total), writes)


@frozen
class Basis:
    """The verdicts on which a snapshot rests, by local number, and what was parked."""

    verdicts: bytes
    parked: frozenset[int]


def restore(held: Held, data: bytes, *, n: int, rules: int) -> Basis | None:
    """
    Put a snapshot that covers the log up to *n* into an empty store.

    Returns:
        What it rests on, for `settle` once the tail is folded. None, with nothing changed, if it is
        of another version or not readable; then everything is folded from the log.
    """
    try:
        value: Any = decode(data, size_max=len(data), depth_max=_DEPTH_MAX)
        version, labelled, verdicts, parked, births, worknodes, waiting = value
    except (CodecError, TypeError, ValueError):
        return None
    if version != FOLD_VERSION or labelled != rules or len(verdicts) != n + 1:
        return None
    store = held.store
    for node, parent, key_class, key in births:
        store.births[node] = Birth(parent, key_class, key)
    store.tree.births((node, birth.parent) for node, birth in store.births.items())
    moves: list[Move] = []
    for node, creates, cells, moved, updated in worknodes:
        record = Worknode(updated=tuple(updated))
        for at, kind, schema, mode, position, hlc in creates:
            record.creates[at] = Creation(kind, schema, mode, position, hlc)
        for ns, name, kind, content in cells:
            record.cells[ns, name, kind] = _read_cell(kind, content)
        for key, parent, meta in moved:
            item = Move(key, node, parent, meta)
            record.moves[key] = item
            moves.append(item)
        store.worknodes[node] = record
        store.dirty.add(node)
    store.tree.apply(moves)
    for node, ops in waiting:
        held.fold.waiting[node] = dict.fromkeys(ops)
    return Basis(bytes(verdicts), frozenset(parked))


def _read_cell(kind: int, content: Any) -> Cell:
    if kind == 3:
        return RegisterCell(*content)
    if kind == 7:
        return CounterCell(int(content[0]), content[1])
    rows, dead = content
    return DotCell({at: (hlc, value) for at, hlc, value in rows}, set(dead) or None)


def settle(held: Held, basis: Basis) -> None:
    """
    Fold again what rested on verdicts or parking that are different now.

    The tail must be folded before, since a Worknode is folded again from the whole log.
    """
    nodes: set[bytes] = set()
    for n in range(1, len(basis.verdicts)):
        was = basis.verdicts[n] == Verdict.COUNTS and n not in basis.parked
        if was != held.table.counts(n):
            nodes.update(touched_by(data_of(held.read(n))))
    if nodes:
        held.fold.fold_again(nodes)

"""What has been folded of one Worknode, as objects while it is worked on and as bytes at rest."""

from __future__ import annotations

from typing import Any, Final

from attrs import define, field, frozen

from crdt.codec import Value, encode, first, unpack
from crdt.tree import Move
from mesh.worknode.cells import Cell, CellKey, CounterCell, Dot, DotCell, RegisterCell

#: A field's value nests 13 deep and stands 4 deep in a record.
_DEPTH_MAX: Final = 24
#: First byte of a record at rest: what is asked of it without unpacking.
_CREATED: Final = 1
_MOVED: Final = 2


@frozen
class Creation:
    """One counted create."""

    kind: str
    schema: int
    mode: int
    position: bytes
    hlc: int


@define
class Worknode:
    """What has been folded of one Worknode; existence is a non-empty `creates`."""

    creates: dict[Dot, Creation] = field(factory=dict)
    cells: dict[CellKey, Cell] = field(factory=dict)
    moves: dict[tuple[object, ...], Move] = field(factory=dict)
    #: (hlc, n) of the latest counted operation.
    updated: tuple[int, int] = (0, 0)


def pack_record(record: Worknode) -> bytes:
    """The record as bytes of this program's own; see `FOLD_VERSION`."""
    creates = tuple(
        (at, c.kind, c.schema, c.mode, c.position, c.hlc) for at, c in record.creates.items()
    )
    cells = tuple((*key, *_cell(cell)) for key, cell in record.cells.items())
    moves = tuple((m.key, m.child, m.parent, m.meta) for m in record.moves.values())
    flags = _CREATED * bool(creates) | _MOVED * bool(moves)
    data = encode((creates, cells, moves, record.updated), depth_max=_DEPTH_MAX)
    return bytes((flags,)) + data


def _cell(cell: Cell) -> tuple[Value, ...]:
    match cell:
        case RegisterCell(hlc, at, value):
            return (hlc, at, value)
        case DotCell(dots, dead):
            rows = tuple((at, hlc, value) for at, (hlc, value) in dots.items())
            return (rows, tuple(sorted(dead)) if dead else ())
        case CounterCell(total, writes):
            return (str(total), writes)


def unpack_record(packed: bytes) -> Worknode:
    """What `pack_record` has packed. Raises CodecError, TypeError or ValueError if it has not."""
    fields: Any = unpack(packed[1:], size_max=len(packed), depth_max=_DEPTH_MAX)
    creates, cells, moves, updated = fields
    record = Worknode(updated=updated)
    for at, *creation in creates:
        record.creates[at] = Creation(*creation)
    for ns, name, kind, *content in cells:
        record.cells[ns, name, kind] = _read_cell(kind, content)
    for key, child, parent, meta in moves:
        record.moves[key] = Move(key, child, parent, meta)
    return record


def unpack_creates(packed: bytes) -> dict[Dot, Creation]:
    """The `creates` of a record at rest, for a tenth of what the whole record costs."""
    # They stand first.
    creates: Any = first(packed[1:])
    return {at: Creation(*creation) for at, *creation in creates}


def _read_cell(kind: int, content: Any) -> Cell:
    if kind == 3:
        return RegisterCell(*content)
    if kind == 7:
        return CounterCell(int(content[0]), content[1])
    rows, dead = content
    return DotCell({at: (hlc, value) for at, hlc, value in rows}, set(dead) or None)


def is_created(packed: bytes) -> bool:
    """Whether a record at rest has a counted create."""
    return bool(packed[0] & _CREATED)


def is_moved(packed: bytes) -> bool:
    """Whether a record at rest has moves."""
    return bool(packed[0] & _MOVED)

"""
Many events in one row, many numbers in one column: a row of SQLite costs more than what is in it.

An entry of a hundred operations makes a hundred events and touches a hundred Worknodes. A row for
each took half the time of taking it in; by columns and runs of equal items they take a twentieth.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby, repeat
from typing import Any, Final

from crdt.codec import Value, decode, encode
from crdt.errors import CodecError
from mesh.core.events import Event

#: Events in one row: what a page of a subscriber reads.
EVENTS_PER_ROW: Final = 256
#: A field's value nests 13 deep, and stands 4 deep in a row.
_DEPTH_MAX: Final = 24

EventRow = tuple[int, int, bytes]


def _runs(column: Iterable[Value]) -> Value:
    # By identity: in Python True == 1, and an entry's events share its very objects.
    values, counts = [], []
    for _, run in groupby(column, key=id):
        found = list(run)
        values.append(found[0])
        counts.append(len(found))
    return (tuple(values), tuple(counts))


def _spread(runs: Any) -> Iterator[Value]:
    return chain.from_iterable(map(repeat, *runs))


def pack_events(events: Sequence[Event]) -> list[EventRow]:
    """Rows (first cursor, last cursor, the rest) of events with ascending cursors."""
    rows = []
    for at in range(0, len(events), EVENTS_PER_ROW):
        chunk = events[at : at + EVENTS_PER_ROW]
        cursors, hlcs, types, nodes, *others = zip(*chunk, strict=True)
        packed = (_runs(hlcs), _runs(types), nodes, *map(_runs, others))
        data = encode(packed, depth_max=_DEPTH_MAX)
        rows.append((cursors[0], cursors[-1], data))
    return rows


def unpack_events(first: int, data: bytes) -> list[Event]:
    """
    The events of one row.

    Raises:
        CodecError: The bytes are not those of a row.
    """
    packed: Any = decode(data, size_max=len(data), depth_max=_DEPTH_MAX)
    try:
        hlcs, types, nodes, *others = packed
        columns = (_spread(hlcs), _spread(types), nodes, *map(_spread, others))
        return [Event(first + i, *fields) for i, fields in enumerate(zip(*columns, strict=True))]
    except (TypeError, ValueError) as error:
        raise CodecError(f"events from {first}: {error}") from error


def pack_numbers(numbers: Sequence[int]) -> bytes:
    """What follows the first of ascending *numbers*, as distances from it, four bytes each."""
    first = numbers[0]
    return struct.pack(f">{len(numbers) - 1}I", *(number - first for number in numbers[1:]))


def unpack_numbers(first: int, data: bytes) -> list[int]:
    """The ascending numbers of one row. Raises ValueError if they are damaged."""
    if len(data) % 4:
        raise ValueError(f"{len(data)} bytes are no numbers")
    return [first, *(first + step for step in struct.unpack(f">{len(data) // 4}I", data))]

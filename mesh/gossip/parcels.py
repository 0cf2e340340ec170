"""Entries as the push sees them: where each stands, and how many fit into one message."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from capability.entry import Entry
from mesh.gossip.limits import ENTRIES_MAX, PUSH_BYTES_MAX

#: author, lane, seq
Place: TypeAlias = tuple[bytes, int, int]


def place(entry: Entry) -> Place:
    return entry.header.author, entry.header.lane, entry.header.seq


def batches(items: Sequence[bytes]) -> Iterable[tuple[bytes, ...]]:
    """*items* in order, as much at a time as fits into one message."""
    batch: list[bytes] = []
    size = 0
    for item in items:
        # Five bytes of framing at most stand before each entry.
        cost = len(item) + 5
        if batch and (size + cost > PUSH_BYTES_MAX or len(batch) == ENTRIES_MAX):
            yield tuple(batch)
            batch, size = [], 0
        batch.append(item)
        size += cost
    if batch:
        yield tuple(batch)

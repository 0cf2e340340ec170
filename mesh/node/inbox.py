"""
What waits for the engine, bounded by number and by bytes.

A memory channel would bound the number alone, and a thousand messages of the largest size are a
gigabyte. Whoever puts into a full inbox waits its turn: the back-pressure on links and doors.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

import trio
from attrs import define, field

from mesh.core.inputs import Input, Received
from mesh.core.limits import INBOX_MAX

#: Bytes of peers' messages that wait for the engine, all links together. Guess: eight of the
#: largest, so that one busy link cannot starve another of room.
INBOX_BYTES_MAX: Final = 8 * 1024 * 1024


def _size(item: Input) -> int:
    return len(item.data) if isinstance(item, Received) else 0


@define(eq=False)
class Inbox:
    """First in, first out; many put, one takes."""

    items_max: int = INBOX_MAX
    bytes_max: int = INBOX_BYTES_MAX
    _items: deque[Input] = field(factory=deque)
    _bytes: int = 0
    _room: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot)
    _arrived: trio.Event = field(factory=trio.Event)

    def __len__(self) -> int:
        return len(self._items)

    @property
    def is_full(self) -> bool:
        """Whether the next `put` has to wait. One message may exceed the bytes, two may not."""
        return len(self._items) >= self.items_max or self._bytes >= self.bytes_max

    async def put(self, item: Input) -> None:
        """Add *item*, after waiting for room. If this is cancelled, *item* was not added."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while self.is_full:
            await self._room.park()
        self._items.append(item)
        self._bytes += _size(item)
        self._arrived.set()

    def put_back(self, items: Sequence[Input]) -> None:
        """Add *items* before all others, whatever the bound; the caller bounds their number."""
        self._items.extendleft(reversed(items))
        self._bytes += sum(map(_size, items))
        self._arrived.set()

    def push(self, item: Input) -> None:
        """Add *item* without waiting, above the bound: for what its sender says once per link."""
        self._items.append(item)
        self._bytes += _size(item)
        self._arrived.set()

    async def wait(self, until_s: float) -> None:
        """Return when something is there, or at *until_s* on trio's clock (may be infinite)."""
        if self._items:
            # Others run between two batches, however full the inbox is.
            await trio.lowlevel.checkpoint()
            return
        self._arrived = trio.Event()
        with trio.move_on_at(until_s):
            await self._arrived.wait()

    def pop(self) -> Input | None:
        """The oldest item, or None."""
        if not self._items:
            return None
        item = self._items.popleft()
        self._bytes -= _size(item)
        if not self.is_full:
            self._room.unpark()
        return item

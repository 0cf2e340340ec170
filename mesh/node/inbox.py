"""
What waits for the engine, bounded by number and by bytes.

A memory channel would bound the number alone, and a thousand messages of the largest size are a
gigabyte. Whoever puts into a full inbox waits its turn: the back-pressure on links and doors.

Each link has a queue of its own, and the doors have one together. They are served in turn, so that
a peer that floods is in its own way, and a local write waits for one of its messages and not for
all of them.
"""

from __future__ import annotations

from collections import OrderedDict, deque
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


def _source(item: Input) -> int | None:
    """The link that an item is of, None for everything else: the order matters within one alone."""
    link = getattr(item, "link", None)
    return link if isinstance(link, int) else None


@define(eq=False)
class Inbox:
    """Of each source first in, first out, and the sources in turn; many put, one takes."""

    items_max: int = INBOX_MAX
    bytes_max: int = INBOX_BYTES_MAX
    #: What waits, by source; the next to be served first. No queue is empty.
    _queues: OrderedDict[int | None, deque[Input]] = field(factory=OrderedDict)
    _count: int = 0
    _bytes: int = 0
    _room: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot)
    _arrived: trio.Event = field(factory=trio.Event)

    def __len__(self) -> int:
        return self._count

    @property
    def is_full(self) -> bool:
        """Whether the next `put` has to wait. One message may exceed the bytes, two may not."""
        return self._count >= self.items_max or self._bytes >= self.bytes_max

    async def put(self, item: Input) -> None:
        """Add *item*, after waiting for room. If this is cancelled, *item* was not added."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while self.is_full:
            await self._room.park()
        self.push(item)

    def put_back(self, items: Sequence[Input]) -> None:
        """Add *items* before all others, whatever the bound; the caller bounds their number."""
        for item in reversed(items):
            source = _source(item)
            self._queues.setdefault(source, deque()).appendleft(item)
            self._queues.move_to_end(source, last=False)
            self._count += 1
            self._bytes += _size(item)
        self._arrived.set()

    def push(self, item: Input) -> None:
        """Add *item* without waiting, above the bound: for what its sender says once per link."""
        self._queues.setdefault(_source(item), deque()).append(item)
        self._count += 1
        self._bytes += _size(item)
        self._arrived.set()

    async def wait(self, until_s: float) -> None:
        """Return when something is there, or at *until_s* on trio's clock (may be infinite)."""
        if self._count:
            # Others run between two batches, however full the inbox is.
            await trio.lowlevel.checkpoint()
            return
        self._arrived = trio.Event()
        with trio.move_on_at(until_s):
            await self._arrived.wait()

    def pop(self) -> Input | None:
        """The oldest item of the source whose turn it is, or None."""
        if not self._count:
            return None
        source, queue = next(iter(self._queues.items()))
        item = queue.popleft()
        if queue:
            self._queues.move_to_end(source)
        else:
            del self._queues[source]
        self._count -= 1
        self._bytes -= _size(item)
        if not self.is_full:
            self._room.unpark()
        return item

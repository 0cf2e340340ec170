"""
Subscribers: each sees every event after its cursor, once, in order, whatever its pace.

A subscriber holds a bounded buffer of what is new. When the buffer is full it is emptied, and the
subscriber goes on from the store, where every event stands that was ever announced; it returns to
the buffer when it has caught up. So nobody who is slow costs memory or makes anybody else wait.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

import trio
from attrs import define, field, frozen

from mesh.core.errors import BackPressure
from mesh.core.events import Event
from mesh.node.ports import EventReader

#: New events that one subscriber holds in memory.
BUFFER_EVENTS_MAX: Final = 1_024
#: Events that one read of the store fetches.
PAGE_EVENTS: Final = 256
#: Subscribers at once; each door keeps one task for each of its own.
SUBSCRIBERS_MAX: Final = 256


@frozen
class Reset:
    """
    Events are missing between the subscriber's cursor and what follows.

    They are no longer kept, or the cursor is of another home. Whoever builds something from events
    reads the state anew and goes on from *cursor*.
    """

    cursor: int


@define(eq=False)
class Subscription:
    """
    An asynchronous iterator of `Event` and `Reset`; ends never by itself.

    Attributes:
        cursor: Of the last event that was handed out; persist it to resume from here.
    """

    cursor: int
    _hub: Subscriptions = field(repr=False)
    _buffer: deque[Event] = field(factory=deque, repr=False)
    _page: deque[Event] = field(factory=deque, repr=False)
    _wake: trio.Event = field(factory=trio.Event, repr=False)

    def __aiter__(self) -> Subscription:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hear nothing more."""
        self._hub.forget(self)

    async def __anext__(self) -> Event | Reset:
        await trio.lowlevel.checkpoint()
        while True:
            self._wake = trio.Event()
            found = self._next()
            if found is not None:
                self.cursor = found.cursor
                return found
            await self._wake.wait()

    def offer(self, event: Event) -> None:
        """Take note of a new event; only `Subscriptions.publish` calls this."""
        if len(self._buffer) >= BUFFER_EVENTS_MAX:
            self._buffer.clear()
        self._buffer.append(event)
        self._wake.set()

    def _next(self) -> Event | Reset | None:
        if self.cursor > self._hub.last_cursor:
            # Numbers that this home has not given yet: the cursor is from before a restore.
            self._page.clear()
            return Reset(self._hub.last_cursor)
        for source in (self._page, self._buffer):
            while source and source[0].cursor <= self.cursor:
                source.popleft()
            if source and source[0].cursor == self.cursor + 1:
                return source.popleft()
        if self.cursor >= self._hub.last_cursor:
            return None
        self._page = deque(self._hub.read(self.cursor))
        if self._page and self._page[0].cursor == self.cursor + 1:
            return self._page.popleft()
        first = self._page[0].cursor if self._page else self._hub.last_cursor + 1
        return Reset(first - 1)


@define(eq=False)
class Subscriptions:
    """All subscribers of one node."""

    _reader: EventReader
    last_cursor: int = field(init=False)
    _all: weakref.WeakSet[Subscription] = field(factory=weakref.WeakSet, repr=False)

    def __attrs_post_init__(self) -> None:
        self.last_cursor = self._reader.last_cursor()

    def __len__(self) -> int:
        return len(self._all)

    def subscribe(self, after: int | None = None) -> Subscription:
        """
        Listen from now on, or from *after*, the cursor of the last event that was seen.

        Use it in a `with`, or close it: it takes one of `SUBSCRIBERS_MAX` places.

        Raises:
            BackPressure: All places are taken.
        """
        if len(self._all) >= SUBSCRIBERS_MAX:
            raise BackPressure(f"{SUBSCRIBERS_MAX} subscribers listen already")
        subscription = Subscription(self.last_cursor if after is None else after, self)
        self._all.add(subscription)
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """Give its place back."""
        self._all.discard(subscription)

    def publish(self, events: Sequence[Event]) -> None:
        """Announce events that are persisted already. Cost: O(events × subscribers)."""
        for event in events:
            self.last_cursor = max(self.last_cursor, event.cursor)
            for subscription in self._all:
                subscription.offer(event)

    def read(self, after: int) -> list[Event]:
        """A page from the store, without events that are on disk but not announced yet."""
        page = self._reader.events(after, PAGE_EVENTS)
        return [event for event in page if event.cursor <= self.last_cursor]

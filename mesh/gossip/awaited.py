"""
Entries that were announced and are not here yet: whom to ask for them, and when.

The paper keeps a timer for each message. Here it is one for each lane, since logs have no gaps: an
announcer says how far it has come, and is due when what it said first is still missing after
`GRAFT_MS`. One announcer of a lane is asked at a time: of those that are due one that has answered
before, then the one with the fewest hops. Who does not answer within `REGRAFT_MS` is struck out,
and when nobody is left the lane is repair's.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field, frozen

from mesh.gossip.limits import AWAITED_MAX, GRAFT_MS, GRAFTS_MAX, REGRAFT_MS
from mesh.gossip.tree import Lane


@define
class _Announcer:
    #: The first entry announced that is still missing, and since when it is.
    first: int
    since_ms: int
    #: The last one announced.
    last: int
    last_ms: int
    hops: int

    def moved(self, seq: int) -> None:
        """The lane is held up to *seq* by now."""
        if self.first <= seq:
            self.first, self.since_ms = self.last, self.last_ms


@define
class _Asked:
    link: int
    after: int
    since_ms: int


@define
class _Awaited:
    announcers: dict[int, _Announcer] = field(factory=dict)
    asked: _Asked | None = None

    @property
    def due_ms(self) -> int:
        if self.asked is not None:
            return self.asked.since_ms + REGRAFT_MS
        return min(item.since_ms for item in self.announcers.values()) + GRAFT_MS


@frozen
class Ask:
    """Graft this lane from this link."""

    link: int
    lane: Lane
    after: int
    #: Over how many links it will have come.
    hops: int


class Awaited:
    """The lanes that are awaited, of all links together."""

    __slots__ = ("_due_ms", "_lanes", "_of_link")

    def __init__(self) -> None:
        self._lanes: dict[Lane, _Awaited] = {}
        # Link → the lanes of which it is an announcer; at most AWAITED_MAX each.
        self._of_link: dict[int, set[Lane]] = {}
        # No lane is due before this; perhaps none then.
        self._due_ms: int | None = None

    def __len__(self) -> int:
        return len(self._lanes)

    @property
    def deadline(self) -> int | None:
        """When `due` is worth asking, in monotonic ms."""
        return self._due_ms

    def announced(
        self, link: int, lane: Lane, seq: int, hops: int, now_ms: int, *, at_once: bool
    ) -> None:
        """
        The peer of *link* has an entry that is missing here.

        Args:
            link: Whose peer it is.
            lane: Author and lane.
            seq: The entry's number.
            hops: Over how many links it would have come.
            now_ms: Monotonic.
            at_once: Nobody else is expected to push it.
        """
        lanes = self._of_link.setdefault(link, set())
        if lane not in lanes and len(lanes) >= AWAITED_MAX:
            return
        lanes.add(lane)
        awaited = self._lanes.setdefault(lane, _Awaited())
        since_ms = now_ms - GRAFT_MS if at_once else now_ms
        item = awaited.announcers.get(link)
        if item is None:
            awaited.announcers[link] = _Announcer(seq, since_ms, seq, now_ms, hops)
        elif seq > item.last:
            item.last, item.last_ms, item.hops = seq, now_ms, hops
        self._sooner(awaited.due_ms)

    def _sooner(self, due_ms: int) -> None:
        self._due_ms = due_ms if self._due_ms is None else min(self._due_ms, due_ms)

    def arrived(self, lane: Lane, seq: int) -> tuple[int, int] | None:
        """
        An entry is held now.

        Returns:
            (hops, link) of the nearest announcer of it, None if nobody announced it.
        """
        awaited = self._lanes.get(lane)
        if awaited is None:
            return None
        nearest = None
        for link, item in sorted(awaited.announcers.items()):
            if item.first <= seq <= item.last:
                nearest = min(nearest or (item.hops, link), (item.hops, link))
            item.moved(seq)
            if item.last <= seq:
                self._strike(lane, awaited, link)
        if awaited.asked is not None and awaited.asked.after < seq:
            awaited.asked = None
        self._end(lane, awaited)
        return nearest

    def closed(self, link: int) -> None:
        """The link is gone, and what it announced (the paper's NeighborDown)."""
        for lane in sorted(self._of_link.pop(link, ())):
            awaited = self._lanes[lane]
            awaited.announcers.pop(link)
            if awaited.asked is not None and awaited.asked.link == link:
                awaited.asked = None
            self._end(lane, awaited)

    def _strike(self, lane: Lane, awaited: _Awaited, link: int) -> None:
        del awaited.announcers[link]
        self._of_link[link].discard(lane)

    def _end(self, lane: Lane, awaited: _Awaited) -> None:
        if awaited.announcers:
            self._sooner(awaited.due_ms)
        else:
            del self._lanes[lane]
        if not self._lanes:
            self._due_ms = None

    def due(
        self, now_ms: int, held: Callable[[Lane], int], rank: Callable[[int], tuple[bool, int]]
    ) -> tuple[list[Ask], list[int]]:
        """
        Whom to ask now.

        Args:
            now_ms: Monotonic.
            held: The number up to which a lane is held.
            rank: Of the links that may be asked, the lowest is.

        Returns:
            At most GRAFTS_MAX lanes to ask for, and the links that did not answer.
        """
        asks: list[Ask] = []
        silent: list[int] = []
        for lane in sorted(lane for lane, item in self._lanes.items() if item.due_ms <= now_ms):
            if len(asks) == GRAFTS_MAX:
                break
            ask, failed = self._next(lane, held(lane), now_ms, rank)
            asks += [] if ask is None else [ask]
            silent += [] if failed is None else [failed]
        self._due_ms = min((item.due_ms for item in self._lanes.values()), default=None)
        return asks, silent

    def _next(
        self, lane: Lane, seq: int, now_ms: int, rank: Callable[[int], tuple[bool, int]]
    ) -> tuple[Ask | None, int | None]:
        awaited = self._lanes[lane]
        failed = None
        if awaited.asked is not None and awaited.asked.after >= seq:
            failed = awaited.asked.link
            if failed in awaited.announcers:
                self._strike(lane, awaited, failed)
        awaited.asked = None
        for link, item in sorted(awaited.announcers.items()):
            item.moved(seq)
            if item.last <= seq:
                self._strike(lane, awaited, link)
        # Where one did not answer the entry is overdue, whoever announced it.
        ready = [
            (rank(link), item.hops, link)
            for link, item in awaited.announcers.items()
            if failed is not None or item.since_ms + GRAFT_MS <= now_ms
        ]
        ask = None
        if ready:
            _, hops, link = min(ready)
            awaited.asked = _Asked(link, seq, now_ms)
            ask = Ask(link, lane, seq, hops)
        self._end(lane, awaited)
        return ask, failed

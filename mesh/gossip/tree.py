"""
What the push knows of one link: what its peer has, what it asked for, what it was asked for.

A link is eager or lazy for each author by itself, so that the eager links of one author form a tree
with him at its root. Which links those are each receiver chooses: it prunes whoever brings what it
has, and grafts whoever announced what it misses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

from attrs import define, field, frozen

from mesh.gossip.limits import (
    ANNOUNCED_MAX,
    HAVE_AUTHORS_MAX,
    HAVE_LINKS_MAX,
    HAVES_MAX,
    KNOWN_LANES_MAX,
    TREES_MAX,
)
from mesh.gossip.messages import Have, Held

K = TypeVar("K")
V = TypeVar("V")
#: (author, lane)
Lane = tuple[bytes, int]


def put(table: dict[K, V], key: K, value: V, most: int) -> None:
    """Set and make the newest; beyond *most* the oldest is forgotten."""
    table.pop(key, None)
    table[key] = value
    if len(table) > most:
        del table[next(iter(table))]


@frozen
class LinkPush:
    """One link for `status`: entries, but for the last three, which count messages' items."""

    link: int
    pushed: int
    #: Entries not pushed because the link was blocked; they are announced once it has drained.
    dropped: int
    #: Lanes announced to the peer.
    announced: int = 0
    #: Lanes asked of the peer because they did not come.
    grafted: int = 0
    #: Authors of whom the peer was asked to push no more.
    pruned: int = 0


@define
class Announcements:
    """What is to be announced on one link, and the numbers that authors have there."""

    #: Lane → (seq, hops), the oldest first; at most ANNOUNCED_MAX.
    waiting: dict[Lane, tuple[int, int]] = field(factory=dict)
    #: Author → number; at most HAVE_AUTHORS_MAX.
    _numbers: dict[bytes, int] = field(factory=dict)

    def add(self, lane: Lane, seq: int, hops: int) -> None:
        put(self.waiting, lane, (seq, hops), ANNOUNCED_MAX)

    def forget_numbers(self) -> None:
        """A message may have been lost, and with it the number of an author."""
        self._numbers.clear()

    def number(
        self, lanes: list[tuple[Lane, tuple[int, int]]]
    ) -> tuple[int, tuple[bytes, ...], tuple[Held, ...]]:
        """The fields of one message; at most HAVES_MAX lanes."""
        if len(self._numbers) + len(lanes) > HAVE_AUTHORS_MAX:
            # Not while numbers are given: the peer learns those of a message before its lanes.
            self._numbers.clear()
        first = len(self._numbers)
        for (author, _), _ in lanes:
            self._numbers.setdefault(author, len(self._numbers))
        authors = tuple(self._numbers)[first:]
        held = [Held(self._numbers[author], lane, *said) for (author, lane), said in lanes]
        held.sort(key=lambda item: (item.number, item.lane))
        return first if authors else 0, authors, tuple(held)


@define
class Link:
    """One link of the push."""

    peer: bytes = b""
    ready: bool = False
    blocked: bool = False
    #: (author, lane) → what the peer has at least, the last learnt last; ≤ KNOWN_LANES_MAX.
    known: dict[Lane, int] = field(factory=dict)
    #: Author → whether his entries are pushed to the peer; ≤ TREES_MAX.
    eager: dict[bytes, bool] = field(factory=dict)
    #: What holds for all other authors. (The paper: a new neighbour is eager.)
    eager_by_default: bool = True
    #: Authors that the peer was asked not to push; ≤ TREES_MAX.
    refused: dict[bytes, None] = field(factory=dict)
    #: Pushes of the peer in a row that relayed nothing new.
    barren: int = 0
    #: Grafts in a row that the peer has not answered.
    unanswered: int = 0
    announcements: Announcements = field(factory=Announcements)
    #: Number → author, as the peer has given them; ≤ HAVE_AUTHORS_MAX.
    numbered: dict[int, bytes] = field(factory=dict)
    pushed: int = 0
    dropped: int = 0
    announced: int = 0
    grafted: int = 0
    pruned: int = 0

    def learn(self, author: bytes, lane: int, seq: int) -> None:
        """The peer has the lane up to *seq* at least."""
        key = (author, lane)
        put(self.known, key, max(seq, self.known.get(key, 0)), KNOWN_LANES_MAX)

    def lacks(self, author: bytes, lane: int, seq: int) -> bool:
        """Whether the peer may lack the entry; of what it wrote itself it lacks nothing."""
        return author != self.peer and self.known.get((author, lane), 0) < seq

    def set_eager(self, author: bytes, *, to: bool) -> None:
        put(self.eager, author, to, TREES_MAX)

    def refuse(self, author: bytes) -> None:
        """The peer is asked not to push the author, and is not pushed him either."""
        put(self.refused, author, None, TREES_MAX)
        self.set_eager(author, to=False)
        self.pruned += 1

    def want(self, author: bytes) -> None:
        """The peer is asked to push the author, and is pushed him too."""
        self.refused.pop(author, None)
        self.set_eager(author, to=True)
        self.grafted += 1

    def status(self, link: int) -> LinkPush:
        return LinkPush(link, self.pushed, self.dropped, self.announced, self.grafted, self.pruned)


def haves(links: Mapping[int, Link], turn: int) -> Iterator[tuple[int, Have]]:
    """
    What is to be announced now, by link; nothing of it waits any more.

    Another link comes first in each *turn*, so that it is not always the same few that are told.
    """
    order = sorted(
        link for link, state in links.items() if state.announcements.waiting and not state.blocked
    )
    start = turn % len(order) if order else 0
    told: dict[Lane, int] = {}
    for link in order[start:] + order[:start]:
        state = links[link]
        waiting, state.announcements.waiting = state.announcements.waiting, {}
        # Who announced it meanwhile, or was pushed it, need not hear of it.
        news = [
            (lane, said)
            for lane, said in waiting.items()
            if told.get(lane, 0) < HAVE_LINKS_MAX and state.lacks(*lane, said[0])
        ]
        for lane, _ in news:
            told[lane] = told.get(lane, 0) + 1
        state.announced += len(news)
        for at in range(0, len(news), HAVES_MAX):
            yield link, Have(*state.announcements.number(news[at : at + HAVES_MAX]))

"""
Push: each newly held entry goes to every ready link whose peer is not known to have it.

A simple relay with suppression of duplicates, which is optimal where every pair is linked. What a
push misses (a full send buffer, a peer far behind) repair brings; nothing waits here.

What a peer has is a number per lane: logs have no gaps, so who shows or is sent an entry has, or
will ask for, those before it.

Differs: Plumtree's eager and lazy links are left out until a mesh exceeds 16 nodes; `Have` is
    reserved for them in `mesh.wire`, and this class is the only one that would change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from attrs import define, field, frozen

from mesh.core.effects import Effect, Send
from mesh.gossip.limits import ENTRIES_MAX, KNOWN_LANES_MAX, PUSH_BYTES_MAX
from mesh.gossip.messages import Message, Push

#: author, lane, seq, encoded entry
NewEntry: TypeAlias = tuple[bytes, int, int, bytes]


@frozen
class LinkPush:
    """One link for `status`."""

    link: int
    pushed: int
    #: Entries not pushed because the link was blocked; repair brings them.
    dropped: int


@define
class _Link:
    ready: bool = False
    blocked: bool = False
    pushed: int = 0
    dropped: int = 0
    #: (author, lane) → what the peer has at least, the last learnt last; ≤ KNOWN_LANES_MAX.
    known: dict[tuple[bytes, int], int] = field(factory=dict)

    def learn(self, author: bytes, lane: int, seq: int) -> None:
        key = (author, lane)
        seq = max(seq, self.known.pop(key, 0))
        self.known[key] = seq
        if len(self.known) > KNOWN_LANES_MAX:
            del self.known[next(iter(self.known))]


class Broadcast:
    """
    The push policy of this node.

    The engine calls `opened` and `closed` with the link, `ready` once the peer's statement of my
    head is accepted (nothing of one's own may leave before), `heard` for what a peer shows that it
    has (its rows, its pushes, also those that were known here), and `new_entries` for all that the
    replica newly holds.
    """

    __slots__ = ("_encode", "_links")

    def __init__(self, encode: Callable[[Message], bytes]) -> None:
        self._encode = encode
        self._links: dict[int, _Link] = {}

    def opened(self, link: int) -> None:
        self._links[link] = _Link()

    def ready(self, link: int) -> None:
        """From now on entries are pushed on *link*; one that was not opened is opened by this."""
        self._links.setdefault(link, _Link()).ready = True

    def closed(self, link: int) -> None:
        self._links.pop(link, None)

    def blocked(self, link: int) -> None:
        """The link's send buffer is full: its pushes are dropped until it drains."""
        if link in self._links:
            self._links[link].blocked = True

    def drained(self, link: int) -> None:
        if link in self._links:
            self._links[link].blocked = False

    def heard(self, link: int, shown: Iterable[tuple[bytes, int, int]]) -> None:
        """The peer has each (author, lane) up to seq."""
        state = self._links.get(link)
        if state is not None:
            for author, lane, seq in shown:
                state.learn(author, lane, seq)

    def new_entries(self, entries: Sequence[NewEntry], source: int | None) -> list[Effect]:
        """
        Push what the replica newly holds.

        Args:
            entries: In the order in which they were taken, so that each lane ascends.
            source: The link that brought them, None for one's own.
        """
        if source is not None:
            self.heard(source, [(author, lane, seq) for author, lane, seq, _ in entries])
        effects: list[Effect] = []
        # Most links lack the same entries, so that most messages are encoded once.
        encoded: dict[tuple[int, ...], list[bytes]] = {}
        for link in sorted(self._links):
            state = self._links[link]
            if not state.ready or link == source:
                continue
            lacks = tuple(i for i, entry in enumerate(entries) if _lacks(state, entry))
            if state.blocked:
                state.dropped += len(lacks)
                continue
            if lacks not in encoded:
                encoded[lacks] = [
                    self._encode(Push(batch)) for batch in _batches([entries[i][3] for i in lacks])
                ]
            effects += [Send(link, data) for data in encoded[lacks]]
            state.pushed += len(lacks)
            for i in lacks:
                state.learn(*entries[i][:3])
        return effects

    def status(self) -> tuple[LinkPush, ...]:
        """One line per link, ascending."""
        return tuple(
            LinkPush(link, self._links[link].pushed, self._links[link].dropped)
            for link in sorted(self._links)
        )


def _lacks(state: _Link, entry: NewEntry) -> bool:
    author, lane, seq, _ = entry
    return state.known.get((author, lane), 0) < seq


def _batches(items: Sequence[bytes]) -> Iterable[tuple[bytes, ...]]:
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

"""
Push: Plumtree. New entries go at once over the eager links, and are announced over the lazy ones.

The eager links of one author form a tree with him at its root, so that each node gets an entry
about once; announcements find the way where the tree is broken. What neither brings (a full send
buffer, a peer far behind) repair does; nothing rests on the push.

What a peer has is a number per lane: logs have no gaps, so who shows or is sent an entry has, or
will ask for, those before it. So an announcement says "up to here", and a graft "from here on",
which is answered from the log.

How the engine drives it; every method that may lead to something returns effects:

- `opened` and `closed` with the link, `ready` once the peer's statement of my head is accepted
  (nothing of one's own may leave before); `blocked` and `drained` follow its send buffer.
- `new_entries` for all that the replica newly holds; after a push also `pushed`, for what became of
  it. `heard` for what a peer shows that it has by other ways.
- `handle` for `Have`, `Graft` and `Prune`; `tick` at `deadline`. Own entries are marked as sent
  before they are given to `new_entries`, hence also before they are announced.

A peer that prunes all, never answers, or announces what it has not costs itself: it is announced
to, asked last, and asked once for each thing that it said, until it has left so many unanswered
that it is not heard any more.

Source: Leitão, Pereira, Rodrigues, "Epidemic Broadcast Trees", SRDS 2007, algorithms 1 to 3,
    https://asc.di.fct.unl.pt/~jleitao/pdf/srds07-leitao.pdf
Differs: one tree for each author, not one for all: with every node a source it has half the hops,
    and on a full mesh it is the star. A link that brings nothing is pruned for all authors to
    come. The author's own link is kept and the relay pruned. A graft is answered from the log, not
    from a cache. Where nobody is expected to push, an announcer is asked at once. See
    docs/decisions.md 16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from attrs import frozen

from capability.entry import Entry
from mesh.core.effects import Effect, Send
from mesh.core.inputs import Now
from mesh.core.ports import ReplicaPort
from mesh.gossip.awaited import Ask, Awaited
from mesh.gossip.limits import (
    BARREN_MAX,
    GRAFT_BYTES_MAX,
    GRAFTS_MAX,
    HAVE_DELAY_MS,
    HOPS_MAX,
    KNOWN_LANES_MAX,
    OPTIMIZE_HOPS_MIN,
    PRUNES_MAX,
    TREES_MAX,
    UNANSWERED_MAX,
)
from mesh.gossip.messages import Graft, Have, Message, Missed, Prune, Push
from mesh.gossip.parcels import Place, batches, place
from mesh.gossip.tree import Lane, Link, LinkPush, haves, put

__all__ = ["Broadcast", "LinkPush", "TreeMessage"]

TreeMessage: TypeAlias = Have | Graft | Prune


@frozen
class _Origin:
    """Whence an author's last entry was pushed here, and over how many links."""

    link: int
    hops: int


class Broadcast:
    """The push of this node."""

    __slots__ = (
        "_announce_ms",
        "_awaited",
        "_encode",
        "_links",
        "_node",
        "_origins",
        "_replica",
        "_turn",
    )

    def __init__(
        self, node: bytes, replica: ReplicaPort, encode: Callable[[Message], bytes]
    ) -> None:
        self._node = node
        self._replica = replica
        self._encode = encode
        # At most LINKS_MAX, which membership sees to.
        self._links: dict[int, Link] = {}
        # At most TREES_MAX.
        self._origins: dict[bytes, _Origin] = {}
        self._awaited = Awaited()
        # When announcements leave; None: there are none.
        self._announce_ms: int | None = None
        self._turn = 0

    # Links

    def opened(self, link: int) -> None:
        self._links[link] = Link()

    def ready(self, link: int, peer: bytes) -> None:
        """From now on *link* is a neighbour; one that was not opened is opened by this."""
        state = self._links.setdefault(link, Link())
        state.peer = peer
        state.ready = True

    def closed(self, link: int) -> None:
        self._links.pop(link, None)
        self._awaited.closed(link)

    def blocked(self, link: int) -> None:
        """The link's send buffer is full: what would be pushed is announced when it has drained."""
        if (state := self._links.get(link)) is not None:
            state.blocked = True
            state.announcements.forget_numbers()

    def drained(self, link: int, now: Now) -> None:
        if (state := self._links.get(link)) is not None:
            state.blocked = False
            if state.announcements.waiting:
                self._announce_soon(now)

    def heard(self, link: int, shown: Iterable[Place]) -> None:
        """The peer has each (author, lane) up to seq."""
        state = self._links.get(link)
        if state is not None:
            for author, lane, seq in shown:
                state.learn(author, lane, seq)

    # Entries

    def new_entries(
        self,
        entries: Sequence[Entry],
        source: int | None,
        now: Now,
        hops: int | None = None,
        brought: Sequence[Place] = (),
    ) -> list[Effect]:
        """
        Push and announce what the replica newly holds.

        Args:
            entries: In the order in which they were taken, so that each lane ascends.
            source: The link that brought them, None for one's own.
            now: Both clocks.
            hops: Of the push that brought them, None if it was none.
            brought: What *source* has of it; what had only waited here it is told of.
        """
        effects: list[Effect] = []
        places = [place(entry) for entry in entries]
        out = 0
        if source is not None:
            self.heard(source, brought)
            far = [self._hops_of(author) for author, _, _ in places] if hops is None else [hops + 1]
            out = min(max(far, default=0), HOPS_MAX)
            effects += self._arrived(places, source, hops)
        # Most links lack the same entries, so that most messages are encoded once.
        encoded: dict[tuple[int, ...], list[bytes]] = {(): []}
        for link in sorted(number for number, state in self._links.items() if state.ready):
            state = self._links[link]
            eager = tuple(self._split(link, places, source, out, now))
            if eager not in encoded:
                parts = batches([entries[i].encode() for i in eager])
                encoded[eager] = [self._encode(Push(part, out)) for part in parts]
            effects += [Send(link, data) for data in encoded[eager]]
            state.pushed += len(eager)
            for i in eager:
                state.learn(*places[i])
                state.set_eager(places[i][0], to=True)
        return effects

    def _split(
        self, link: int, places: Sequence[Place], source: int | None, hops: int, now: Now
    ) -> Iterable[int]:
        """Which are pushed on a link; what else its peer lacks, or the source, is announced."""
        state = self._links[link]
        for i, (author, lane, seq) in enumerate(places):
            if not state.lacks(author, lane, seq):
                continue
            # An author's own links are eager from the start, whatever holds for relays.
            is_eager = state.eager.get(author, source is None or state.eager_by_default)
            if is_eager and not state.blocked and link != source:
                yield i
                continue
            state.dropped += is_eager and state.blocked
            state.announcements.add((author, lane), seq, hops)
            if not state.blocked:
                self._announce_soon(now)

    def _hops_of(self, author: bytes) -> int:
        """Over how many links the author's entries have come when they leave here."""
        if author == self._node:
            return 0
        origin = self._origins.get(author)
        return 1 if origin is None else min(origin.hops + 1, HOPS_MAX)

    def _arrived(self, places: Sequence[Place], source: int, hops: int | None) -> list[Effect]:
        """No timer runs for what is here; a much nearer announcer takes the pusher's place."""
        nearer: dict[bytes, Ask] = {}
        for author, lane, seq in places:
            nearest = self._awaited.arrived((author, lane), seq)
            if hops is None:
                continue
            put(self._origins, author, _Origin(source, hops), TREES_MAX)
            if nearest is not None and hops - nearest[0] >= OPTIMIZE_HOPS_MIN:
                nearer[author] = Ask(nearest[1], (author, lane), seq, nearest[0])
        # Whoever left a question unanswered might lure the tree away only to let it starve.
        able = {link for link, state in self._links.items() if not state.unanswered} - {source}
        asks = [ask for _, ask in sorted(nearer.items()) if ask.link in able]
        effects = self._graft(asks[:GRAFTS_MAX])
        return effects + self._prune(source, [ask.lane[0] for ask in asks[:GRAFTS_MAX]])

    def pushed(
        self, link: int, hops: int, held: Sequence[Place], shown: Sequence[Place]
    ) -> list[Effect]:
        """
        What became of a push: who brings what is held already is pruned.

        Args:
            link: Where it came from.
            hops: Of the push.
            held: What is held now and was not before.
            shown: What was here before.
        """
        state = self._links.get(link)
        if state is None:
            return []
        self.heard(link, shown)
        news = {author for author, _, _ in held}
        relayed = news - {state.peer}
        # What a peer relays clears it; what it writes itself pays back one question at a time.
        state.unanswered = 0 if relayed else max(state.unanswered - bool(news), 0)
        rows = {(author, lane): self._replica.row(author, lane) for author, lane, _ in shown}
        # What waits here for others is no duplicate, and a forked lane is repair's.
        duplicates = {
            author
            for author, lane, seq in shown
            if seq <= rows[author, lane].seq and not rows[author, lane].proof
        } - news
        if relayed:
            state.barren = 0
        elif duplicates - {state.peer}:
            state.barren += 1
        effects: list[Effect] = []
        spare = []
        for author in sorted(duplicates):
            loser = self._loser(link, state.peer, author)
            if loser == link:
                spare.append(author)
                continue
            put(self._origins, author, _Origin(link, hops), TREES_MAX)
            if loser is not None:
                effects += self._prune(loser, [author])
        return effects + self._prune(link, spare, rest=state.barren >= BARREN_MAX)

    def _loser(self, link: int, peer: bytes, author: bytes) -> int | None:
        """Which of two links is pruned: *link* brought what another had brought before."""
        origin = self._origins.get(author)
        first = self._links.get(origin.link) if origin is not None else None
        if origin is None or first is None or origin.link == link or author in first.refused:
            # There is no other, or it was pruned already and had not heard of that.
            return None
        return origin.link if author == peer else link

    def _prune(self, link: int, authors: Sequence[bytes], *, rest: bool = False) -> list[Effect]:
        state = self._links.get(link)
        if state is None or not authors:
            return []
        for author in authors:
            state.refuse(author)
        if state.blocked:
            return []
        parts = (authors[i : i + PRUNES_MAX] for i in range(0, len(authors), PRUNES_MAX))
        return [Send(link, self._encode(Prune(tuple(part), rest))) for part in parts]

    def _graft(self, asks: Sequence[Ask]) -> list[Effect]:
        """Ask for what is missing, and from now on for what follows it; at most GRAFTS_MAX."""
        missed: dict[int, list[Missed]] = {}
        for ask in asks:
            author, lane = ask.lane
            missed.setdefault(ask.link, []).append(Missed(author, lane, ask.after))
            self._links[ask.link].want(author)
            put(self._origins, author, _Origin(ask.link, ask.hops), TREES_MAX)
        return [Send(link, self._encode(Graft(tuple(missed[link])))) for link in sorted(missed)]

    # Messages

    def handle(self, link: int, message: TreeMessage, now: Now) -> list[Effect]:
        """Take one message of the tree. One of a link that is not ready is void."""
        state = self._links.get(link)
        if state is None or not state.ready:
            return []
        match message:
            case Have():
                self._on_have(link, state, message, now)
                return []
            case Graft(missed):
                return self._on_graft(link, state, missed, now)
            case Prune(authors, rest):
                for author in authors:
                    state.set_eager(author, to=False)
                state.eager_by_default = state.eager_by_default and not rest
                return []

    def _on_have(self, link: int, state: Link, have: Have, now: Now) -> None:
        for number, author in enumerate(have.authors, have.first):
            state.numbered[number] = author
        for item in have.held:
            named = state.numbered.get(item.number)
            if named is None:
                # The message that gave the number was lost in a full send buffer.
                continue
            state.learn(named, item.lane, item.seq)
            row = self._replica.row(named, item.lane)
            is_missing = row.seq < item.seq and not row.proof
            if is_missing and state.unanswered < UNANSWERED_MAX:
                lane = (named, item.lane)
                alone = not state.unanswered and self._is_alone(link, named)
                self._awaited.announced(link, lane, item.seq, item.hops, now.mono_ms, at_once=alone)

    def _is_alone(self, link: int, author: bytes) -> bool:
        """Whether nobody else is expected to push the author."""
        origin = self._origins.get(author)
        if origin is None or origin.link == link or origin.link not in self._links:
            return True
        return author in self._links[origin.link].refused

    def _on_graft(self, link: int, state: Link, missed: Sequence[Missed], now: Now) -> list[Effect]:
        """Push what the peer misses, from the log; what exceeds the budget is announced."""
        effects: list[Effect] = []
        left = GRAFT_BYTES_MAX
        for item in missed:
            author, lane, after = item.author, item.lane, item.after
            state.set_eager(author, to=True)
            # What it was sent and does not have was lost on the way.
            put(state.known, (author, lane), after, KNOWN_LANES_MAX)
            seq = self._replica.row(author, lane).seq
            found: Sequence[bytes] = ()
            hops = self._hops_of(author)
            if after < seq and left > 0 and not state.blocked:
                found = self._replica.read_range(author, lane, after + 1, seq, left)
            effects += [Send(link, self._encode(Push(part, hops))) for part in batches(found)]
            left -= sum(map(len, found))
            state.pushed += len(found)
            state.learn(author, lane, after + len(found))
            if after + len(found) < seq:
                state.announcements.add((author, lane), seq, hops)
                self._announce_soon(now)
        return effects

    # Time

    @property
    def deadline(self) -> int | None:
        """When `tick` is due, in monotonic ms; None while nothing is under way."""
        dues = (self._announce_ms, self._awaited.deadline)
        return min([due for due in dues if due is not None], default=None)

    def _announce_soon(self, now: Now) -> None:
        if self._announce_ms is None:
            self._announce_ms = now.mono_ms + HAVE_DELAY_MS

    def tick(self, now: Now) -> list[Effect]:
        """Announce what waits to be, and ask for what was announced and does not come."""
        effects: list[Effect] = []
        if self._announce_ms is not None and self._announce_ms <= now.mono_ms:
            self._announce_ms = None
            self._turn += 1
            effects += [
                Send(link, self._encode(have)) for link, have in haves(self._links, self._turn)
            ]
        due_ms = self._awaited.deadline
        if due_ms is not None and due_ms <= now.mono_ms:
            asks, silent = self._awaited.due(now.mono_ms, self._held, self._rank)
            for link in silent:
                # Where the send buffer was full the question may not have left.
                self._links[link].unanswered += not self._links[link].blocked
            effects += self._graft(asks)
        return effects

    def _held(self, lane: Lane) -> int:
        return self._replica.row(*lane).seq

    def _rank(self, link: int) -> tuple[bool, int]:
        state = self._links[link]
        return state.blocked, state.unanswered

    def status(self) -> tuple[LinkPush, ...]:
        """One line per link, ascending."""
        return tuple(self._links[link].status(link) for link in sorted(self._links))

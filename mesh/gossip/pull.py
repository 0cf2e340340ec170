"""
Fetching from one peer what its rows promise: windows of ranges, and the search for forks.

One window is under way per link, and a lane on one link at a time. What a peer promised and did
not send is reported and asked of others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mesh.core.effects import Effect, Log, Send
from mesh.core.inputs import Now
from mesh.core.limits import REPAIR_INTERVAL_MS, WINDOW_BYTES
from mesh.core.ports import ReplicaPort
from mesh.gossip.bisect import Bisection, ForkFound, Fruitless
from mesh.gossip.messages import Entries, Get, GetHeaders, Headers, Message, Range
from mesh.gossip.ranges import InFlight, LaneKey
from mesh.gossip.serve import Question, answer
from mesh.gossip.session import Session, Window


class Pull:
    """The fetching half of reconciliation; it holds what is in flight on all links."""

    __slots__ = ("_encode", "_in_flight", "_replica")

    def __init__(self, replica: ReplicaPort, encode: Callable[[Message], bytes]) -> None:
        self._replica = replica
        self._encode = encode
        self._in_flight = InFlight()

    def _send(self, session: Session, message: Message) -> Effect:
        return Send(session.link, self._encode(message))

    # What the peer asks

    def serve(self, session: Session, question: Question, now: Now) -> list[Effect]:
        """Answer, or keep the question until the link drains."""
        if session.blocked:
            session.waiting[type(question)] = question
            return []
        # While the peer fetches, the roots differ for a reason that is known.
        session.exchange_ms = max(session.exchange_ms, now.mono_ms + REPAIR_INTERVAL_MS)
        session.served = session.busy
        return [self._send(session, answer(question, self._replica))]

    # What this node asks

    def more(self, session: Session, now: Now) -> list[Effect]:
        """The next questions, if the link is free for them."""
        if session.blocked:
            return []
        effects: list[Effect] = []
        while session.bisection is None and session.split:
            key = min(session.split)
            high = min(session.split.pop(key), self._held(key))
            if high > 0:
                session.bisection = Bisection(key, high)
                effects.append(self._ask_headers(session, session.bisection))
        if session.window is None and session.wants:
            effects += self._next_window(session, now)
        return effects

    def _held(self, key: LaneKey) -> int:
        return self._replica.row(key[1], key[0]).seq

    def _next_window(self, session: Session, now: Now) -> list[Effect]:
        ranges = self._choose(session, now)
        if not ranges and session.wants and not session.wants.free_ms:
            if not session.wants.next_pass():
                return [self._unkept(session, now)]
            ranges = self._choose(session, now)
        if not ranges:
            return []
        session.window = Window(session.number(), ranges, now.mono_ms)
        for item in ranges:
            self._in_flight.take((item.lane, item.author), session.link, now.mono_ms)
        return [self._send(session, Get(session.window.request, ranges, WINDOW_BYTES))]

    def _choose(self, session: Session, now: Now) -> tuple[Range, ...]:
        return session.wants.choose(
            self._held,
            lambda key: self._in_flight.free(key, session.link, now.mono_ms),
            self._in_flight.until,
        )

    def _unkept(self, session: Session, now: Now) -> Effect:
        lanes = len(session.wants)
        session.wants.clear()
        if session.gained:
            session.failures = 0
        session.distrust(now.mono_ms)
        return _warn(session, "repair.unkept", ("lanes", lanes), now)

    def settle(
        self, session: Session, message: Entries, seen: Sequence[tuple[bytes, int, int]]
    ) -> bool:
        """Take note of what a window moved; whether it was this link's window."""
        window = session.window
        if window is None or window.request != message.request:
            return False
        moved = [
            index
            for index, item in enumerate(window.ranges)
            if self._held((item.lane, item.author)) >= item.first
        ]
        moved += self._on_branches(session, window, moved, seen)
        # Where the budget has cut the answer, the ranges after the cut had no chance.
        reached = len(window.ranges) if message.done else max(moved, default=0) + 1
        for index, item in enumerate(window.ranges[:reached]):
            key = (item.lane, item.author)
            if index in moved:
                session.wants.moved(key)
                session.gained = session.gained or self._held(key) >= item.first
            else:
                session.wants.stall(key)
        self.release(session)
        return True

    def _on_branches(
        self,
        session: Session,
        window: Window,
        moved: Sequence[int],
        seen: Sequence[tuple[bytes, int, int]],
    ) -> list[int]:
        """
        Ranges of forked lanes that went on although no row did.

        A row covers a branch only when its pinned tip is held, many windows later perhaps.
        """
        found = []
        for index, item in enumerate(window.ranges):
            if index in moved or not self._replica.row(item.author, item.lane).proof:
                continue
            seqs = [s for author, lane, s in seen if (author, lane) == (item.author, item.lane)]
            seq = max(seqs, default=0)
            if item.first <= seq <= item.last:
                session.wants.reached((item.lane, item.author), seq)
                found.append(index)
        return found

    def release(self, session: Session) -> None:
        """The window is over: its lanes may be asked of others."""
        if session.window is not None:
            keys = [(item.lane, item.author) for item in session.window.ranges]
            self._in_flight.release(keys, session.link)
            session.window = None

    def give_up(self, session: Session, now: Now) -> Effect:
        """A repair that does not go on is dropped; the next one begins anew after a pause."""
        self.release(session)
        lanes = len(session.wants)
        session.reset()
        session.distrust(now.mono_ms)
        return _warn(session, "repair.timeout", ("lanes", lanes), now)

    # Forks

    def mismatch(self, session: Session, key: LaneKey, now: Now) -> None:
        """An entry of this lane does not follow mine: find where the copies part."""
        session.wants.drop(key)
        if now.mono_ms >= session.trust_ms:
            session.add_split(key, self._held(key))
            session.work(now.mono_ms)

    def _ask_headers(self, session: Session, search: Bisection) -> Effect:
        lane, author = search.key
        seqs = search.ask(session.number())
        return self._send(session, GetHeaders(search.request, author, lane, seqs))

    def on_headers(
        self, session: Session, message: Headers, now: Now
    ) -> tuple[list[Effect], ForkFound | None]:
        """Narrow the search; at its end there is a fork to verify, or a reason why not."""
        search = session.bisection
        if search is None or search.request != message.request:
            return [], None
        session.moved_ms = now.mono_ms
        lane, author = search.key
        found = search.answer(
            message.headers, lambda seq: self._replica.header_at(author, lane, seq)
        )
        match found:
            case None:
                return [self._ask_headers(session, search)], None
            case ForkFound():
                session.bisection = None
                return [], found
            case Fruitless(reason):
                session.bisection = None
                session.distrust(now.mono_ms)
                return [_warn(session, "repair.no_fork", ("reason", reason), now)], None


def _warn(session: Session, event: str, detail: tuple[str, object], now: Now) -> Log:
    pause = max(session.exchange_ms - now.mono_ms, 0)
    return Log("warning", event, (("peer", session.peer.hex()), detail, ("pause_ms", pause)))

"""
Fetching from one peer what its rows promise: ranges, pinned branches, and the search for forks.

One window is under way per link, and a lane on one link at a time. What a peer promised and did
not send is reported and asked of others.
"""

from __future__ import annotations

from collections.abc import Callable

from mesh.core.effects import Effect, Log, Send
from mesh.core.inputs import Now
from mesh.core.limits import REPAIR_INTERVAL_MS, WINDOW_BYTES
from mesh.core.ports import ReplicaPort
from mesh.gossip.bisect import Bisection, ForkFound, Fruitless
from mesh.gossip.branch import BranchFetch
from mesh.gossip.messages import Entries, Get, GetById, GetHeaders, Headers, Message, Range
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
        if session.branch is None and session.branches:
            effects.append(self._ask_headers(session, session.next_branch(now.mono_ms)))
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

    def settle(self, session: Session, message: Entries) -> bool:
        """Take note of what a window moved; whether it was this link's window."""
        window = session.window
        if window is None or window.request != message.request:
            return False
        moved = [
            index
            for index, item in enumerate(window.ranges)
            if self._held((item.lane, item.author)) >= item.first
        ]
        # Where the budget has cut the answer, the ranges after the cut had no chance.
        reached = len(window.ranges) if message.done else max(moved, default=0) + 1
        for index, item in enumerate(window.ranges[:reached]):
            key = (item.lane, item.author)
            if index in moved:
                session.wants.moved(key)
                session.gained = True
            else:
                session.wants.stall(key)
        self.release(session)
        return True

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

    def mismatch(self, session: Session, key: LaneKey, seq: int, now: Now) -> None:
        """The peer has another entry of this lane at *seq* than I: find where the copies part."""
        session.wants.drop(key)
        if now.mono_ms >= session.trust_ms and self._held(key) >= seq:
            session.add_split(key, seq)
            session.work(now.mono_ms)

    def proved(self, session: Session, key: LaneKey) -> None:
        """A proof is held now: from the fork on there is nothing to want but a pinned branch."""
        proof = self._replica.fork_proof(key[1], key[0])
        if proof is not None:
            session.wants.cap(key, proof[0].header.seq - 1)

    def _ask_headers(self, session: Session, search: Bisection | BranchFetch) -> Effect:
        lane, author = search.key
        seqs = search.ask(session.number())
        return self._send(session, GetHeaders(search.request, author, lane, seqs))

    def on_headers(
        self, session: Session, message: Headers, now: Now
    ) -> tuple[list[Effect], ForkFound | None]:
        """Narrow the search; at its end there is a fork to verify, or a reason why not."""
        branch = session.branch
        if branch is not None and branch.request == message.request:
            session.moved_ms = now.mono_ms
            return self._on_branch(session, branch, message, now), None
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

    # Pinned branches

    def _on_branch(
        self, session: Session, branch: BranchFetch, message: Headers, now: Now
    ) -> list[Effect]:
        lane, author = branch.key
        failed = branch.answer(
            message.headers, lambda seq, found: self._replica.holds(author, lane, seq, found)
        )
        if failed is not None:
            # Its row may have moved meanwhile, so it is asked again when rows are compared again.
            session.branch = None
            session.failed(now.mono_ms)
            return [_warn(session, "repair.no_branch", ("reason", failed.reason), now)]
        if not branch.is_whole and now.mono_ms >= branch.until_ms:
            # Whoever signs headers can make up more of them than anybody could walk down.
            session.branch = None
            session.walked_too_long(branch.key)
            session.failed(now.mono_ms)
            return [_warn(session, "repair.no_branch", ("reason", "it is too long"), now)]
        if not branch.is_whole:
            return [self._ask_headers(session, branch)]
        session.walks.pop(branch.key, None)
        return self._fetch_branch(session, branch, now)

    def _fetch_branch(self, session: Session, branch: BranchFetch, now: Now) -> list[Effect]:
        """Ask for what is still missing of a branch, lowest first."""
        lane, author = branch.key
        ids = branch.missing(lambda seq, found: self._replica.holds(author, lane, seq, found))
        if not ids:
            session.branch = None
            return []
        self._replica.expect(ids)
        session.fetch = Window(session.number(), (), now.mono_ms)
        return [self._send(session, GetById(session.fetch.request, ids))]

    def fetched(self, session: Session, message: Entries, now: Now) -> list[Effect] | None:
        """Entries of the branch have come; None if nobody asked for these."""
        if session.fetch is None or session.fetch.request != message.request:
            return None
        session.fetch = None
        branch = session.branch
        if branch is None:
            return []
        left = len(branch.ids)
        effects = self._fetch_branch(session, branch, now)
        if len(branch.ids) < left:
            session.gained = True
            session.moved_ms = now.mono_ms
            return effects
        session.branch = session.fetch = None
        session.failed(now.mono_ms)
        return [_warn(session, "repair.no_branch", ("reason", "entries are missing"), now)]


def _warn(session: Session, event: str, detail: tuple[str, object], now: Now) -> Log:
    pause = max(session.exchange_ms - now.mono_ms, 0)
    return Log("warning", event, (("peer", session.peer.hex()), detail, ("pause_ms", pause)))

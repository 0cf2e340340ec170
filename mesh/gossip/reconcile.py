"""
Anti-entropy: two nodes compare what they hold, and each asks for what it lacks.

On each ready link, at least every `REPAIR_INTERVAL_MS`: `Roots` → equal, done. Otherwise `Rows` of
this side → rows of the other side in which it has more → fork proofs, then ranges, authority
before data, in windows of `WINDOW_BYTES`, one under way per link. After that roots again, so that
"in sync" always means that digests were exchanged. The two sides are symmetric, an exchange that
both begin at once is simply answered twice.

How the engine drives it; every method returns effects or an `Outcome`:

- `link_ready` after the peer's hello is accepted, `link_closed` when the link goes.
- `handle(link, message, now)` for every message but hello, goodbye and push. `Outcome.entries` are
  to be given to the replica, and then, in the same step, `entries_done` is called, even if nothing
  was held. `Outcome.forks` are to be verified and given to the replica; then, in the same step,
  `forks_done` is called, even if they were refused. It tells all links.
- After a push: `gap` for an entry before which others are missing, `entries_done` for those whose
  predecessor is another one than mine, `proof_held` if the replica found a fork by itself.
- `moved` after a step in which a row of the frontier has moved.
- `blocked` and `drained` follow the link's send buffer.
- `tick` at `deadline`.

Hostile rows cost bounded questions: a peer that does not deliver what its rows promise is reported,
not asked again for a growing pause, and the same lanes are asked of other links.

Source: docs/formats-wire.md §Exchange.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import frozen

from capability.entry import SignedHeader
from capability.frontier import proof_digest
from mesh.core.effects import Effect, Send
from mesh.core.inputs import Now
from mesh.core.ports import ReplicaPort
from mesh.gossip.bisect import ForkFound
from mesh.gossip.comparison import Comparison
from mesh.gossip.messages import (
    Entries,
    ForkProof,
    Get,
    GetById,
    GetHeaders,
    Headers,
    Message,
    NeedFull,
    Push,
    Roots,
    RootsReply,
    Rows,
)
from mesh.gossip.pull import Pull
from mesh.gossip.ranges import LaneKey
from mesh.gossip.serve import fork_proof
from mesh.gossip.session import LinkSync, Session

__all__ = ["ForkFound", "LinkSync", "Outcome", "Reconcile"]


@frozen
class Outcome:
    """What a message leads to: effects, entries to ingest, and fork evidence to verify."""

    effects: list[Effect]
    entries: tuple[bytes, ...] = ()
    forks: tuple[ForkFound, ...] = ()


class Reconcile:
    """Repair with all ready links of this node."""

    __slots__ = (
        "_comparison",
        "_dues",
        "_encode",
        "_node",
        "_pull",
        "_replica",
        "_sessions",
        "_touched",
    )

    def __init__(
        self, node: bytes, replica: ReplicaPort, encode: Callable[[Message], bytes]
    ) -> None:
        self._node = node
        self._replica = replica
        self._encode = encode
        self._comparison = Comparison(replica, encode)
        self._pull = Pull(replica, encode)
        # At most LINKS_MAX, which membership sees to.
        self._sessions: dict[int, Session] = {}
        # When something is due on each link: asked for after every batch, of which most touch one
        # link or none.
        self._dues: dict[int, int] = {}
        self._touched: dict[int, None] = {}

    def _session(self, link: int) -> Session | None:
        """The state of a link, which may be another one when the caller is done."""
        self._touched[link] = None
        return self._sessions.get(link)

    # Links

    def link_ready(
        self, link: int, peer: bytes, auth_root: bytes, data_root: bytes, now: Now
    ) -> list[Effect]:
        """
        Begin with a peer whose hello was accepted; the roots are those of its hello.

        The lower key begins, so that one list of rows is sent and not two; the other side asks
        after a little more than `REPAIR_INTERVAL_MS` if it heard nothing.
        """
        parity = int(self._node > peer)
        session = Session(link, peer, parity)
        session.compare_later(now.mono_ms)
        self._sessions[link] = session
        self._touched[link] = None
        if parity:
            return []
        if (auth_root, data_root) == self._replica.roots():
            return self._comparison.ask(session, now)
        return self._comparison.begin(session, now)

    def link_closed(self, link: int, now: Now) -> list[Effect]:
        """Forget a link; lanes that it was asked for go to the others."""
        self._touched[link] = None
        session = self._sessions.pop(link, None)
        if session is None:
            return []
        self._pull.release(session)
        return self._go_on_elsewhere(link, now)

    def blocked(self, link: int) -> None:
        """The link's send buffer is full: no answers and no questions until it drains."""
        if (session := self._session(link)) is not None:
            session.blocked = True

    def drained(self, link: int, now: Now) -> list[Effect]:
        """The send buffer has room again."""
        session = self._session(link)
        if session is None:
            return []
        session.blocked = False
        waiting, session.waiting = session.waiting, {}
        effects: list[Effect] = []
        for question in waiting.values():
            effects += self._pull.serve(session, question, now)
        return effects + self._go_on(session, now)

    # Messages

    def handle(self, link: int, message: Message, now: Now) -> Outcome:
        """Take one message. One of a link that is not ready, or that nobody asked for, is void."""
        session = self._session(link)
        if session is None:
            return Outcome([])
        match message:
            case Entries(request, entries):
                known = session.window, session.fetch
                asked = any(window is not None and window.request == request for window in known)
                return Outcome([], entries=entries if asked else ())
            case Headers():
                effects, fork = self._pull.on_headers(session, message, now)
                if fork is not None:
                    # The repair goes on in `forks_done`, when it is known what this was worth.
                    return Outcome(effects, forks=(fork,))
                return Outcome(effects + self._go_on(session, now))
            case Rows():
                proofs, answer = self._comparison.on_rows(session, message, now)
                questions = self._pull.more(session, now) if session.busy else []
                effects = [*proofs, *questions, *answer]
                return Outcome(effects + self._go_on(session, now))
            case ForkProof(first, second):
                return self._on_fork_proof(session, first, second)
            case _:
                effects = self._compare_or_serve(session, message, now)
                return Outcome(effects + self._go_on(session, now))

    def _compare_or_serve(self, session: Session, message: Message, now: Now) -> list[Effect]:
        match message:
            case Roots():
                return self._comparison.on_roots(session, message, now)
            case RootsReply():
                return self._comparison.on_reply(session, message, now)
            case NeedFull(exchange):
                return self._comparison.on_need_full(session, exchange, now)
            case Get() | GetById() | GetHeaders():
                return self._pull.serve(session, message, now)
            case _:
                return []

    def _on_fork_proof(
        self, session: Session, first: SignedHeader, second: SignedHeader
    ) -> Outcome:
        header = first.header
        proof = proof_digest((first.id, second.id))
        session.knows_proof((header.lane, header.author), proof)
        if self._replica.row(header.author, header.lane).proof == proof:
            return Outcome([])
        return Outcome([], forks=(ForkFound(first, second),))

    def entries_done(
        self,
        link: int,
        message: Entries | Push,
        held: Sequence[tuple[bytes, int, int]],
        mismatches: Sequence[tuple[LaneKey, int]],
        now: Now,
    ) -> list[Effect]:
        """
        The replica has taken the entries of an answer or a push.

        Args:
            link: Where they came from.
            message: The answer or push itself.
            held: (author, lane, seq) of those that are held now and were not before.
            mismatches: ((lane, author), seq) where this node holds another entry than theirs.
            now: Both clocks.
        """
        session = self._session(link)
        if session is None:
            return []
        for key, seq in mismatches:
            self._pull.mismatch(session, key, seq, now)
        if isinstance(message, Push):
            return self._go_on(session, now)
        if held:
            session.gained = True
        settled = self._pull.settle(session, message)
        effects: list[Effect] = []
        if settled:
            session.moved_ms = now.mono_ms
        else:
            effects = self._pull.fetched(session, message, now) or []
        effects += self._go_on(session, now)
        return effects + self._go_on_elsewhere(link, now) if settled else effects

    def forks_done(
        self,
        link: int,
        held: Sequence[tuple[bytes, int]],
        now: Now,
        *,
        mismatches: Sequence[tuple[LaneKey, int]] = (),
    ) -> list[Effect]:
        """
        The forks of an `Outcome` were verified and given to the replica.

        Args:
            link: Where they came from.
            held: (author, lane) of those whose proof is held now and was not before.
            now: Both clocks.
            mismatches: ((lane, author), seq) where this node holds another entry than the one
                before a fork: the two copies part below.
        """
        effects: list[Effect] = []
        session = self._session(link)
        if session is not None:
            session.gained = session.gained or bool(session.busy and held)
            for key, seq in mismatches:
                self._pull.mismatch(session, key, seq, now)
        for author, lane in held:
            effects += self.proof_held(author, lane)
        return effects + (self._go_on(session, now) if session is not None else [])

    def gap(self, link: int, author: bytes, lane: int, seq: int, now: Now) -> list[Effect]:
        """A pushed entry at *seq* has to wait for earlier ones: ask its sender for them."""
        session = self._session(link)
        if session is None or now.mono_ms < session.trust_ms:
            return []
        if seq - 1 > self._replica.row(author, lane).seq:
            session.wants.add((lane, author), seq - 1)
            session.work(now.mono_ms)
        return self._go_on(session, now)

    def proof_held(self, author: bytes, lane: int) -> list[Effect]:
        """
        This node holds a new fork proof: tell every link whose peer does not have it.

        For proofs that did not come from an `Outcome`; for those `forks_done` does it.
        """
        effects: list[Effect] = []
        key = (lane, author)
        message = fork_proof(self._replica, key)
        if message is None:
            return []
        proof = proof_digest((message.first.id, message.second.id))
        data = self._encode(message)
        for link, session in self._all():
            self._pull.proved(session, key)
            if session.proofs.get(key) != proof:
                session.knows_proof(key, proof)
                effects.append(Send(link, data))
        return effects

    # Time

    @property
    def deadline(self) -> int | None:
        """When `tick` is due, in monotonic ms."""
        for link in self._touched:
            session = self._sessions.get(link)
            if session is None:
                self._dues.pop(link, None)
            else:
                self._dues[link] = session.deadline
        self._touched.clear()
        return min(self._dues.values(), default=None)

    def tick(self, now: Now) -> list[Effect]:
        """Compare where it is due, give up what does not go on."""
        effects: list[Effect] = []
        for link, session in self._all():
            if now.mono_ms < session.deadline:
                continue
            if not session.busy and session.asked is None:
                effects += self._comparison.ask(session, now)
            elif not session.busy:
                session.asked = None
                session.failed(now.mono_ms)
            elif not session.working or now.mono_ms < session.patience_ms:
                effects += self._go_on(session, now)
            else:
                effects.append(self._pull.give_up(session, now))
                effects += self._go_on_elsewhere(link, now)
        return effects

    def sync_now(self, now: Now) -> list[Effect]:
        """Compare with everyone now, whatever pause was being kept, and whatever was found."""
        effects: list[Effect] = []
        for _, session in self._all():
            session.exchange_ms = session.trust_ms = now.mono_ms
            # Whoever asks wants to know of now; the peer may hold more than it did then.
            session.equal_version = None
            if not session.busy:
                effects += self._comparison.ask(session, now)
        return effects

    def moved(self, now: Now) -> None:
        """A row has moved here: compare once it is quiet again."""
        for _, session in self._all():
            if not session.busy:
                session.has_moved(now.mono_ms)

    def equal_peers(self) -> list[bytes]:
        """Peers who were found to hold what this node holds, and nothing has moved here since."""
        return [sync.peer for sync in self.status() if sync.in_sync]

    def status(self) -> tuple[LinkSync, ...]:
        """One line per ready link, ascending."""
        version = self._replica.version
        return tuple(self._sessions[link].status(version) for link in sorted(self._sessions))

    def _all(self) -> list[tuple[int, Session]]:
        """Every link, ascending, with what may be changed of it."""
        self._touched.update(dict.fromkeys(self._sessions))
        return sorted(self._sessions.items())

    def _go_on(self, session: Session, now: Now) -> list[Effect]:
        effects = self._pull.more(session, now) if session.busy else []
        if session.busy and not session.working:
            effects += self._comparison.finish(session, now)
        return effects

    def _go_on_elsewhere(self, link: int, now: Now) -> list[Effect]:
        """Lanes that *link* was asked for are free again: others may be waiting for them."""
        effects: list[Effect] = []
        for other, session in self._all():
            if other != link and session.wants.free_ms:
                effects += self._go_on(session, now)
        return effects

"""
Comparing with one peer: roots, then rows. What is found to be missing becomes wants of the session.

An exchange that brings nothing is not begun again before a pause, so two nodes that cannot agree
(one holds back, or lies) compare roots at intervals and do no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from capability.frontier import FrontierRow
from mesh.core.effects import Effect, Send
from mesh.core.inputs import Now
from mesh.core.limits import REPAIR_INTERVAL_MS
from mesh.core.ports import ReplicaPort
from mesh.gossip.exchange import Answer, CommonRoots, Parts, all_rows, compare, key_of, parts_of
from mesh.gossip.messages import Message, NeedFull, Roots, RootsReply, Rows
from mesh.gossip.serve import fork_proof
from mesh.gossip.session import Asked, Session


class Comparison:
    """The comparing half of reconciliation; it holds what all links share about common roots."""

    __slots__ = ("_common", "_encode", "_replica")

    def __init__(self, replica: ReplicaPort, encode: Callable[[Message], bytes]) -> None:
        self._replica = replica
        self._encode = encode
        self._common = CommonRoots()

    def _send(self, session: Session, message: Message) -> Effect:
        return Send(session.link, self._encode(message))

    def ask(self, session: Session, now: Now) -> list[Effect]:
        """Ask whether the peer holds the same roots."""
        session.compare_later(now.mono_ms)
        if session.blocked:
            return []
        roots = self._replica.roots()
        nonce = session.number()
        session.asked = Asked(nonce, roots, self._replica.version, now.mono_ms)
        return [self._send(session, Roots(*roots, nonce))]

    def on_roots(self, session: Session, message: Roots, now: Now) -> list[Effect]:
        """Answer; if the roots are equal the peer need not be asked for a while."""
        if session.blocked:
            return []
        roots = self._replica.roots()
        equal = roots == (message.auth_root, message.data_root)
        session.compared_ms = now.wall_ms
        if equal:
            self._equal(session, roots, self._replica.version, now)
        else:
            session.equal_version = None
        return [self._send(session, RootsReply(*roots, message.nonce, equal))]

    def on_reply(self, session: Session, message: RootsReply, now: Now) -> list[Effect]:
        """The peer's roots; only they decide, not the flag that it sends along."""
        asked = session.asked
        if asked is None or asked.nonce != message.nonce:
            return []
        session.asked = None
        session.compared_ms = now.wall_ms
        roots = (message.auth_root, message.data_root)
        if roots == asked.roots:
            self._equal(session, roots, asked.version, now)
            return []
        if roots == self._replica.roots():
            # A push closed the gap after the question. The peer does not know that these roots
            # are common, so they are no base of an exchange.
            session.equal_version = self._replica.version
            return []
        session.equal_version = None
        if session.busy:
            return []
        if now.mono_ms < session.exchange_ms:
            session.compare_ms = session.exchange_ms
            return []
        return self.begin(session, now)

    def _equal(self, session: Session, roots: tuple[bytes, bytes], version: int, now: Now) -> None:
        self._common.remember(session.peer, roots, version)
        session.equal_version = version
        session.compare_later(now.mono_ms)
        session.failures = 0
        session.full = False

    def begin(self, session: Session, now: Now) -> list[Effect]:
        """Send my rows: those that moved since the last common root, or all of them."""
        if session.blocked:
            return []
        common = None if session.full else self._common.of_peer(session.peer)
        base, rows = b"", []
        if common is None:
            rows = all_rows(self._replica)
        else:
            base, version = common
            rows = list(self._replica.rows_since(version))
        session.mine = Parts(session.exchange_number())
        session.began = True
        session.work(now.mono_ms)
        return [self._send(session, part) for part in parts_of(session.mine.exchange, base, rows)]

    def on_need_full(self, session: Session, exchange: int, now: Now) -> list[Effect]:
        """The peer does not know the base of my exchange."""
        if session.mine is None or session.mine.exchange != exchange or session.full:
            return []
        session.full = True
        return self.begin(session, now)

    def on_rows(self, session: Session, rows: Rows, now: Now) -> tuple[list[Effect], list[Effect]]:
        """
        A part of the answer to my exchange, or of the peer's own.

        Returns:
            Fork proofs, and the parts of my answer. My questions belong between the two: so the
            peer knows that I am fetching when it has my whole answer.
        """
        if rows.exchange & 1 == session.parity:
            return self._on_answer(session, rows, now), []
        if rows.part == 0:
            session.answer = None
            if session.blocked:
                return [], []
            mine = self._rows_beside(rows.base)
            if mine is None:
                return [], [self._send(session, NeedFull(rows.exchange))]
            session.answer = Answer(Parts(rows.exchange), mine)
        walk = session.answer
        if walk is None or not walk.parts.accept(rows):
            session.answer = None
            return [], []
        session.work(now.mono_ms)
        offered = walk.beside(rows, self._replica)
        proofs = self._take(session, rows.rows, now)
        if rows.last:
            session.answer = None
        return proofs, [self._send(session, part) for part in walk.messages(rows, offered)]

    def _rows_beside(self, base: bytes) -> list[FrontierRow] | None:
        if not base:
            return all_rows(self._replica)
        version = self._common.version(base)
        return None if version is None else list(self._replica.rows_since(version))

    def _on_answer(self, session: Session, rows: Rows, now: Now) -> list[Effect]:
        if session.mine is None or not session.mine.accept(rows):
            return []
        session.work(now.mono_ms)
        if rows.last:
            session.mine = None
        return self._take(session, rows.rows, now)

    def _take(self, session: Session, rows: Iterable[FrontierRow], now: Now) -> list[Effect]:
        """Note what the peer has more of; send the fork proofs that it lacks."""
        effects: list[Effect] = []
        trusted = now.mono_ms >= session.trust_ms
        for theirs in rows:
            key = key_of(theirs)
            mine = self._replica.row(theirs.author, theirs.lane)
            difference = compare(mine, theirs)
            if theirs.proof:
                session.knows_proof(key, theirs.proof)
            if difference.proof and (proof := fork_proof(self._replica, key)) is not None:
                session.knows_proof(key, mine.proof)
                effects.append(self._send(session, proof))
            if difference.want and trusted and (seq := self._target(mine, theirs)) > mine.seq:
                session.wants.add(key, seq)
            if difference.split and trusted:
                session.add_split(key, mine.seq)
            if difference.branch and trusted and self._replica.awaits(theirs):
                session.add_branch(key, (theirs.seq, theirs.head))
        return effects

    def _target(self, mine: FrontierRow, theirs: FrontierRow) -> int:
        """How far the peer's copy of a lane is worth fetching."""
        if not mine.proof:
            end = self._replica.end(mine.author, mine.lane)
            return theirs.seq if end is None else min(theirs.seq, end)
        # From the fork on, the peer's copy will be void for it too, once it has my proof.
        proof = self._replica.fork_proof(mine.author, mine.lane)
        return theirs.seq if proof is None else min(theirs.seq, proof[0].header.seq - 1)

    def finish(self, session: Session, now: Now) -> list[Effect]:
        """A repair is over: ask at once whether it made us equal, so that "in sync" is prompt."""
        gained, began, served = session.gained, session.began, session.served
        session.busy = session.gained = session.began = session.served = False
        if gained:
            session.failures = 0
            return self.ask(session, now)
        if not began or served:
            # The peer began this, or fetches from me: it compares when it has what it lacks.
            session.compare_ms = max(session.compare_ms, now.mono_ms + REPAIR_INTERVAL_MS)
            return []
        # The peer had nothing for me and I had nothing for it. The next exchange waits, and it
        # sends all rows, in case the base was not what both believed.
        session.full = True
        session.exchange_ms = max(session.exchange_ms, now.mono_ms + REPAIR_INTERVAL_MS)
        return self.ask(session, now)

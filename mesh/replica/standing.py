"""
Under which grant a local write counts, and the grants of this node's own sessions.

A named session acts under a grant of its own, made when it first writes under some grant of the
node: the same rights, but for passing them on. Where none can be made the node's grant serves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Final

from attrs import define, field

from capability.authority import Authority, widens
from capability.bodies import MEMBER, SESSION, Grant
from capability.entry import KIND_GRANT, LANE_AUTHORITY, LANE_DATA, Header
from capability.ids import ZERO_ID
from capability.keys import SeedSigner
from capability.links import Act
from capability.ops import Op
from capability.permissions import READ
from capability.verdict import Verdict
from crdt.hlc import COUNTER_BITS, milliseconds
from mesh.core.errors import BackPressure, Denied
from mesh.core.inputs import Now
from mesh.replica.founding import META_JOIN_SEED
from mesh.replica.grants import may_issue, session_grant, session_of
from mesh.replica.held import Held
from mesh.replica.judge import judge
from mesh.worknode.store import Births

#: Why a node writes no more of a lane that has ended (docs/formats.md, rule 3): no peer takes it.
ENDED: Final = "this node's own log has ended: too many of its entries do not count"
FULL: Final = "this node has given as many grants and pins as it may"
#: Named sessions of one node; each costs one authority entry. A guess: an agent machine runs tens.
SESSIONS_MAX: Final = 1_024
#: Grants to this node of which one is shown whose chain is not too long. A guess.
MEMBERSHIPS_MAX: Final = 16


@define
class Standing:
    """What this node may do, looked at anew for every write."""

    held: Held
    author: bytes
    #: Of the first so many grants to this node those by the key of its own ticket, and those that
    #: it has made for its sessions.
    _seen: int = 0
    _joined: list[Act] = field(factory=list)
    _sessions: dict[bytes, list[Act]] = field(factory=dict)
    #: The grant to be shown, and the grants of which it was the best.
    _shown: bytes = b""
    _shown_of: tuple[tuple[bytes, Authority], ...] = ()
    _ticket: bytes = field(init=False)

    def __attrs_post_init__(self) -> None:
        seed = self.held.reader.meta(META_JOIN_SEED)
        self._ticket = SeedSigner(seed).public if seed else b""

    def tip(self, lane: int) -> tuple[int, bytes]:
        """The last (seq, id) of an own lane."""
        held = self.held.ledger.lane(self.author, lane)
        return held.tip if held is not None else (0, self.held.ledger.mesh_id)

    def has_forked(self, lane: int) -> bool:
        """Whether an own lane has forked, so that nothing more of it can count."""
        held = self.held.ledger.lane(self.author, lane)
        return held is not None and held.fork_seq is not None

    def why_ended(self, lane: int) -> str:
        """Why no peer takes more of an own lane, empty while they do. Cost: O(1)."""
        if lane == LANE_DATA:
            return ENDED if self.held.ledger.end(self.author, lane) is not None else ""
        return FULL if self.tip(lane)[0] >= self.held.ledger.authority_seq_max else ""

    def stamp_ms(self, now: Now) -> int:
        """The milliseconds of the stamp that an entry would have now."""
        return milliseconds(max(self.held.clock.last + 1, now.wall_ms << COUNTER_BITS))

    def candidates(self, session: bytes, now: Now) -> list[Authority]:
        """Grants that are in time: the session's own first, then those of the node."""
        return list(self._in_time(session, now))

    def _in_time(self, session: bytes, now: Now) -> Iterator[Authority]:
        root = self.held.ledger.authority(b"", self.author)
        stamp_ms = self.stamp_ms(now)
        own = _counted(self._of_session(session)) if session else ()
        for each in chain(own, () if root is None else (root,), self._of_node()):
            if each.nbf_ms <= stamp_ms < each.exp_ms:
                yield each

    def _of_node(self) -> Iterator[Authority]:
        """
        The grants to the node itself.

        Anybody may sign some, and a write must not go through them all. Its own come first, which
        no other one may put in another's hands: that of its ticket, then those held first. Whoever
        brings a newcomer its first entries may bring others before its own.
        """
        self._look_through()
        granted = self.held.ledger.grants_held(self.author)
        others = (act for act in granted if act.header.author != self._ticket)
        return (each for each in _counted(chain(self._joined, others)) if each.akind != SESSION)

    def _of_session(self, session: bytes) -> Sequence[Act]:
        """The grants that this node has made for one of its sessions."""
        self._look_through()
        return self._sessions.get(session, ())

    def _look_through(self) -> None:
        """Sort what has been granted to this node since the last look."""
        granted = self.held.ledger.grants_held(self.author)
        for act in granted[self._seen :]:
            by = act.header.author
            if by == self._ticket:
                self._joined.append(act)
            # Nobody else's session grant passes anything on.
            if by == self.author and act.grant is not None and act.grant.akind == SESSION:
                self._sessions.setdefault(session_of(act.grant), []).append(act)
        self._seen = len(granted)

    def membership(self) -> bytes:
        """
        The grant to show to whoever does not know this node, empty if there is none.

        Anybody may sign one to this key, with an end or for little: the one that lets it in for
        the longest is shown, and of equals its own. Cost: O(1) until others count.
        """
        counting = self.held.ledger.grants_to(self.author)
        if counting is not self._shown_of:
            found = (e for e in self._of_node() if e.akind == MEMBER and e.perms & READ)
            longest = max(found, key=lambda each: each.exp_ms, default=None)
            self._shown_of = counting
            self._shown = longest.leaf if longest is not None else b""
        return self._shown

    def memberships(self) -> list[bytes]:
        """Of its own and the first others those that let it in, for the longest first."""
        found = (e for e in self._of_node() if e.akind == MEMBER and e.perms & READ)
        first = sorted(islice(found, MEMBERSHIPS_MAX), key=lambda each: -each.exp_ms)
        return [each.leaf for each in first]

    def covering(
        self, draft: Sequence[Op], session: bytes, now: Now, *, births: Births, ahead: int = 0
    ) -> Authority:
        """
        The grant of this node under which all of *draft* counts, also *ahead* entries later.

        Raises:
            Denied: There is none; the message is the reason of the last one tried.
        """
        reason = "this node holds no grant that counts"
        for authority in self._in_time(session, now):
            found = self._first_refusal(draft, authority, session, births, ahead)
            if not found:
                return authority
            reason = found
        raise Denied(
            f"this would not count anywhere: {reason}",
            hint="ask a member who may delegate for a grant that covers it",
        )

    def _first_refusal(
        self,
        draft: Sequence[Op],
        authority: Authority,
        session: bytes,
        births: Births,
        ahead: int,
    ) -> str:
        # Of a bound on the seq what may come first is not known; all else is the same at each.
        seq = self.tip(LANE_DATA)[0] + 1 + ahead
        for op in draft:
            found = judge(
                op,
                authority=authority,
                author=self.author,
                session=session,
                seq=seq,
                births=births,
            )
            if found.verdict is not Verdict.COUNTS:
                return found.reason
        return ""

    def wanted_grant(self, under: Authority, session: bytes, name: str, now: Now) -> Grant | None:
        """
        The session grant to be issued before a session may act by *under*; None if none is.

        Raises:
            BackPressure: `SESSIONS_MAX` are in use.
        """
        if not session or under.akind == SESSION or not may_issue(under, 0):
            return None
        if self.has_forked(LANE_AUTHORITY) or self.why_ended(LANE_AUTHORITY):
            return None
        grant = session_grant(under, self.author, session, name)
        if not self.may_pass_on(under, grant, now):
            return None
        self._look_through()
        if sum(act.counts for acts in self._sessions.values() for act in acts) >= SESSIONS_MAX:
            raise BackPressure(f"this node has {SESSIONS_MAX} named sessions already")
        return grant

    def may_pass_on(self, under: Authority, grant: Grant, now: Now) -> bool:
        """Whether the next authority entry may carry this grant, by every link's caveats."""
        seq, prev = self.tip(LANE_AUTHORITY)
        hlc = self.stamp_ms(now) << COUNTER_BITS
        header = Header(
            self.author, LANE_AUTHORITY, seq + 1, prev, hlc, KIND_GRANT, under.leaf, 0, ZERO_ID
        )
        return widens(under, grant, header) is None


def _counted(granted: Iterable[Act]) -> Iterator[Authority]:
    """What the grants that count pass on, in their order."""
    return (act.passes for act in granted if act.counts and act.passes is not None)

"""
Under which grant a local write counts, and the grants of this node's own sessions.

A named session acts under a grant of its own, made when it first writes under some grant of the
node: the same rights, but for passing them on. Where none can be made the node's grant serves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

from attrs import define, field

from capability.authority import Authority, widens
from capability.bodies import MEMBER, SESSION, Grant
from capability.entry import KIND_GRANT, LANE_AUTHORITY, LANE_DATA, Header
from capability.ids import ZERO_ID
from capability.ops import Op
from capability.permissions import READ
from capability.verdict import Verdict
from crdt.hlc import COUNTER_BITS, milliseconds
from mesh.core.errors import BackPressure, Denied
from mesh.core.inputs import Now
from mesh.replica.grants import may_issue, session_grant, session_of
from mesh.replica.held import Held
from mesh.replica.judge import judge
from mesh.worknode.store import Births

#: Named sessions of one node; each costs one authority entry. A guess: an agent machine runs tens.
SESSIONS_MAX: Final = 1_024


@define
class Standing:
    """What this node may do, looked at anew for every write."""

    held: Held
    author: bytes
    #: What `_by_session` was made of, and what it said.
    _grants: tuple[tuple[bytes, Authority], ...] = ()
    _sorted: dict[bytes, list[Authority]] = field(factory=dict)

    def tip(self, lane: int) -> tuple[int, bytes]:
        """The last (seq, id) of an own lane."""
        held = self.held.ledger.lane(self.author, lane)
        return held.tip if held is not None else (0, self.held.ledger.mesh_id)

    def has_forked(self, lane: int) -> bool:
        """Whether an own lane has forked, so that nothing more of it can count."""
        held = self.held.ledger.lane(self.author, lane)
        return held is not None and held.fork_seq is not None

    def stamp_ms(self, now: Now) -> int:
        """The milliseconds of the stamp that an entry would have now."""
        return milliseconds(max(self.held.clock.last + 1, now.wall_ms << COUNTER_BITS))

    def candidates(self, session: bytes, now: Now) -> list[Authority]:
        """Grants that are in time: the session's own first, then those of the node."""
        return list(self._in_time(session, now))

    def _in_time(self, session: bytes, now: Now) -> Iterator[Authority]:
        root = self.held.ledger.authority(b"", self.author)
        found, stamp_ms = self._by_session(), self.stamp_ms(now)
        own = found.get(session, ()) if session else ()
        for each in chain(own, () if root is None else (root,), found.get(b"", ())):
            if each.nbf_ms <= stamp_ms < each.exp_ms:
                yield each

    def _by_session(self) -> dict[bytes, list[Authority]]:
        """The grants by the session that they are for; those of the node itself by none."""
        grants = self.held.ledger.grants_to(self.author)
        if grants is not self._grants:
            # Anybody may sign grants to this node, and a write must not go through them all. Those
            # held first come first: its own, which no later one may put in another's hands.
            self._grants, self._sorted = grants, {}
            number = self.held.table.number
            for _, each in sorted(grants, key=lambda pair: number[pair[0]]):
                session = session_of(each) if each.akind == SESSION else b""
                self._sorted.setdefault(session, []).append(each)
        return self._sorted

    def membership(self) -> bytes:
        """
        The grant to show to whoever does not know this node, empty if there is none.

        Anybody may sign one to this key, with an end or for little: the one that lets it in for
        the longest is shown, and of equals the one that was held first, its own.
        """
        number = self.held.table.number
        found = (
            (held.exp_ms, -number[grant_id], grant_id)
            for grant_id, held in self.held.ledger.grants_to(self.author)
            if held.akind == MEMBER and held.perms & READ
        )
        return max(found, default=(0, 0, b""))[2]

    def covering(
        self, draft: Sequence[Op], session: bytes, now: Now, *, births: Births
    ) -> Authority:
        """
        The grant of this node under which all of *draft* counts.

        Raises:
            Denied: There is none; the message is the reason of the last one tried.
        """
        reason = "this node holds no grant that counts"
        for authority in self._in_time(session, now):
            found = self._first_refusal(draft, authority, session, births)
            if not found:
                return authority
            reason = found
        raise Denied(
            f"this would not count anywhere: {reason}",
            hint="ask a member who may delegate for a grant that covers it",
        )

    def _first_refusal(
        self, draft: Sequence[Op], authority: Authority, session: bytes, births: Births
    ) -> str:
        seq = self.tip(LANE_DATA)[0] + 1
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
        if self.has_forked(LANE_AUTHORITY):
            return None
        grant = session_grant(under, self.author, session, name)
        if not self.may_pass_on(under, grant, now):
            return None
        sessions = sum(len(found) for named, found in self._by_session().items() if named)
        if sessions >= SESSIONS_MAX:
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

"""
What counts, given what is held: the steps of a verdict, and the caches of what they found.

The ledger keeps what is held and says when something of it has changed; it alone may change the
lanes, links and pins that it shares with this.

Source: docs/formats.md, rules 1, 3, 7 and 9.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from attrs import define, field

from capability.authority import Authority
from capability.bodies import MEMBER
from capability.ends import Ends
from capability.entry import LANE_AUTHORITY, LANE_DATA, Header
from capability.forks import Choice, Pins, any_binds, choose, lanes_named, levels
from capability.lane import Lane, LaneKey, Path
from capability.limits import CHAIN_DEPTH_MAX, VOID_SUFFIX_MAX
from capability.links import Act, Links, is_missing
from capability.permissions import READ
from capability.verdict import Reason, Verdict
from crdt.hlc import milliseconds

__all__ = ["Judging"]

_COUNTS = (Verdict.COUNTS, Reason.COUNTS)


@define(eq=False)
class Judging:
    """The judge of one ledger."""

    mesh_id: bytes
    links: Links
    pins: Pins = field(factory=Pins)
    lanes: dict[LaneKey, Lane] = field(factory=dict)
    #: Forked lanes: the branch that stands, by the rank of what asks; what ranks beyond it is not
    #: judged yet while something is judged anew.
    choices: dict[LaneKey, dict[int, Choice]] = field(factory=dict)
    #: Forked authority lanes, by rank: the fork and the branch by which its acts were last judged.
    stood: dict[LaneKey, dict[int, tuple[int, Choice]]] = field(factory=dict)
    ends: Ends = field(init=False)
    #: By audience: how many grants to it count.
    counting: dict[bytes, int] = field(factory=dict)
    #: By audience: these grants, as they were when last asked for.
    sorted_to: dict[bytes, tuple[tuple[bytes, Authority], ...]] = field(factory=dict)
    #: By audience: when the last of those that make a member ends, as it was when last asked for.
    until: dict[bytes, int] = field(factory=dict)
    #: Who is introduced now and was not when this was last taken, and the reverse.
    gained: set[bytes] = field(factory=set)
    lost: set[bytes] = field(factory=set)

    def __attrs_post_init__(self) -> None:
        self.ends = Ends(self._is_dead, VOID_SUFFIX_MAX)

    def introduced(self, author: bytes) -> bool:
        """Whether it is a root key, or a grant to it counts."""
        return author in self.counting or author in self.links.roots

    def taken(self) -> tuple[set[bytes], set[bytes]]:
        """Who is introduced now and was not at the last call, and the reverse."""
        found = self.gained, self.lost
        self.gained, self.lost = set(), set()
        return found

    def fork(self, key: LaneKey, lane: Lane) -> int | None:
        """Where the lane forks, unless it has ended before: then no one can be shown the fork."""
        if lane.fork_seq is None:
            return None
        end = self.end(key, lane)
        return lane.fork_seq if end is None or lane.fork_seq <= end else None

    def end(self, key: LaneKey, lane: Lane) -> int | None:
        """The last seq within the limit on the main chain, None while there is no end."""
        return self.ends.of(key[0], lane) if key[1] == LANE_DATA else None

    def _is_dead(self, author: bytes, hlc: int, leaf: bytes) -> bool:
        return isinstance(self.granted(author, hlc, leaf), tuple)

    def granted(self, author: bytes, hlc: int, leaf: bytes) -> Authority | tuple[Verdict, Reason]:
        """The authority that counts and under which something is made in time; else a verdict."""
        under = self.links.standing(author, leaf)
        if isinstance(under, Reason):
            return (Verdict.UNDECIDED if is_missing(under) else Verdict.VOID), under
        if leaf and not self.links.acts[leaf].counts:
            return Verdict.VOID, Reason.GRANT_VOID
        stamp_ms = milliseconds(hlc)
        if stamp_ms < under.nbf_ms:
            return Verdict.VOID, Reason.NOT_YET_VALID
        return (Verdict.VOID, Reason.EXPIRED) if stamp_ms >= under.exp_ms else under

    def judge(self, header: Header, entry_id: bytes, lane: Lane) -> tuple[Verdict, Reason]:
        """The verdict on a held entry of *lane* that is no grant or pin judged already."""
        if entry_id == self.mesh_id:
            return _COUNTS
        under = self.granted(header.author, header.hlc, header.leaf)
        if isinstance(under, tuple):
            return under
        if header.lane == LANE_AUTHORITY and (barred := under.bars_acts()) is not None:
            return Verdict.VOID, barred
        key = (header.author, header.lane)
        fork_seq = self.fork(key, lane)
        if fork_seq is not None and header.seq >= fork_seq:
            choice = self.choice(key, lane, under.rank)
            path = choice.path
            is_on = path is not None and lane.is_on(path, header.seq, entry_id)
            if not is_on or header.seq > choice.reach(under):
                return Verdict.VOID, Reason.FORKED
        elif (end := self.end(key, lane)) is not None and header.seq > end:
            return Verdict.VOID, Reason.LANE_ENDED
        return _COUNTS

    def choice(self, key: LaneKey, lane: Lane, rank: int = CHAIN_DEPTH_MAX) -> Choice:
        """The branch that stands, as far as pins and grants settle it that rank before *rank*."""
        memo = self.choices.setdefault(key, {})
        found = memo.get(rank)
        if found is None:
            held = self.links.held_by(key[0])
            grants = [passes for act, passes in held if act.counts and passes.rank <= rank]
            # The ranks beyond the last grant ask for one and the same.
            last = max((g.rank for g in grants), default=-1)
            found = memo.get(last)
            if found is None:
                fork_seq = self.fork(key, lane)
                assert fork_seq is not None
                rows = self.pins.counted(key, fork_seq)
                covers = partial(self._covers, key, lane)
                found = memo[last] = choose(lane, rows, grants, covers)
            memo[rank] = found
        return found

    def forget(self, keys: Iterable[LaneKey]) -> None:
        """What settles these forks may be another thing now."""
        for key in keys:
            self.choices.pop(key, None)

    def forget_beyond(self, key: LaneKey, rank: int) -> None:
        """
        What ranks beyond *rank* may settle this fork in another way now.

        Of an authority lane the choices up to *rank* stay, since they rest on lesser ranks alone:
        thousands of pins of one rank forget what lies beyond them thousands of times, and what
        they are judged by themselves is chosen once.
        """
        memo = self.choices.get(key)
        if memo is None:
            return
        if key[1] == LANE_DATA:
            # Whether a branch of data is within its limit rests on grants of every rank.
            del self.choices[key]
            return
        for at in [at for at in memo if at > rank]:
            del memo[at]

    def _covers(self, key: LaneKey, lane: Lane, path: Path) -> bool:
        return key[1] == LANE_AUTHORITY or self.ends.covers(key[0], lane, path)

    # How far lanes are required.

    def pinned(self, key: LaneKey) -> Path | None:
        """The branch of a forked lane that stands."""
        held = self.lanes.get(key)
        if held is None or self.fork(key, held) is None:
            return None
        return self.choice(key, held).path

    def covered(self, key: LaneKey) -> tuple[int, bytes, tuple[bytes, ...]] | None:
        """Seq, id and canonical proof up to which a lane is required, None if nothing of it is."""
        held = self.lanes.get(key)
        if held is None or held.is_empty or not self.introduced(key[0]):
            return None
        fork_seq = self.fork(key, held)
        if fork_seq is None:
            end = self.end(key, held)
            seq = len(held) if end is None else end
            return (seq, held.at(seq), ()) if seq else None
        path = self.choice(key, held).path
        if path is not None:
            return path.seq, path.id, held.proof
        return fork_seq - 1, held.at(fork_seq - 1), held.proof

    def requires(self, header: Header, entry_id: bytes) -> bool:
        """Whether a held entry is within what `covered` says."""
        key = (header.author, header.lane)
        held = self.lanes[key]
        if not self.introduced(header.author):
            return False
        fork_seq = self.fork(key, held)
        if fork_seq is not None and header.seq >= fork_seq:
            path = self.choice(key, held).path
            return path is not None and held.is_on(path, header.seq, entry_id)
        end = self.end(key, held)
        return end is None or header.seq <= end

    def ended(self, key: LaneKey) -> int | None:
        """The last seq of a lane that has ended; where a lane has forked before, it has no end."""
        held = self.lanes.get(key)
        return None if held is None or self.fork(key, held) is not None else self.end(key, held)

    def awaits(self, key: LaneKey, seq: int, tip: bytes) -> bool:
        """Whether this tip is not held, and a pin names it that would be heard."""
        held = self.lanes.get(key)
        if held is None or self.fork(key, held) is None or held.holds(seq, tip):
            return False
        at = (key, seq, tip)
        pins = [p for p in self.pins.naming(tip) if p.counts and at in lanes_named(p.pin)]
        # Anybody may claim a tip, and pin one: for neither are all grants gone through.
        if not any_binds(pins, self.links, key[0]):
            return False
        level = levels([passes for act, passes in self.links.held_by(key[0]) if act.counts])
        return any(level(pin) is not None for pin in pins)

    # Grants and pins.

    def grants_to(self, author: bytes) -> tuple[tuple[bytes, Authority], ...]:
        """The grants to *author* that count, by (rank, id). Cost: O(1) until there are others."""
        known = self.sorted_to.get(author)
        if known is None:
            found = [(act, held) for act, held in self.links.held_by(author) if act.counts]
            found.sort(key=lambda pair: (pair[0].rank, pair[0].id))
            known = tuple((act.id, held) for act, held in found)
            if known:
                # Of strangers, whose keys are free, nothing is remembered.
                self.sorted_to[author] = known
        return known

    def member_until(self, author: bytes) -> int:
        """The end, in ms, of what makes *author* a member for the longest, 0 if nothing does."""
        known = self.until.get(author)
        if known is None:
            grants = self.grants_to(author)
            ends = (held.exp_ms for _, held in grants if held.akind == MEMBER and held.perms & READ)
            known = max(ends, default=0)
            if grants:
                self.until[author] = known
        return known

    def judge_act(self, act: Act) -> bool:
        """Settle the verdict on a grant or pin; whether that is another one than before."""
        did, was = act.counts, act.verdict
        if act.flaw is not None:
            act.verdict, act.reason = Verdict.VOID, act.flaw
        else:
            lane = self.lanes[act.header.author, LANE_AUTHORITY]
            act.verdict, act.reason = self.judge(act.header, act.id, lane)
        if act.counts != did and act.passes is not None:
            self._count(act.passes.audience, 1 if act.counts else -1)
        return act.verdict is not was

    def _count(self, audience: bytes, more: int) -> None:
        """One grant more or less to *audience* counts."""
        was = self.introduced(audience)
        self.sorted_to.pop(audience, None)
        self.until.pop(audience, None)
        if not (count := self.counting.pop(audience, 0) + more):
            now = audience in self.links.roots
        else:
            self.counting[audience] = count
            now = True
        if was != now:
            gained, lost = (self.gained, self.lost) if now else (self.lost, self.gained)
            # What was lost and is there again, within one step, has not changed.
            if audience in lost:
                lost.discard(audience)
            else:
                gained.add(audience)

    def ranks_of(self, author: bytes) -> list[int]:
        """The ranks that acts of this author may have, ascending."""
        ranks = self.links.ranks(author)
        return sorted({0, *ranks}) if author in self.links.roots else sorted(ranks)

"""
Judging anew, after a fork is settled in another way: what rests on it, and nothing else.

Work goes by rank. What a fork settles at a rank, pins and grants of lesser rank have settled, and
what changes at a rank bears on greater ranks only: so each act is judged once, and whatever it
rests on has been judged before it.

Source: docs/formats.md, rule 9; that judging everything in the order of rank gives the same is a
property in tests/capability/test_anew.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush

from attrs import define, field

from capability.entry import LANE_AUTHORITY, LANE_DATA
from capability.forks import Choice, binds, lanes_named
from capability.judging import Judging
from capability.lane import Lane, LaneKey
from capability.links import Act

__all__ = ["Anew"]


@define
class Anew:
    """One such judgement; the ledger makes one when forks were touched and asks it once."""

    judging: Judging
    forked: Iterable[LaneKey]
    #: Grants of which the verdict is another one.
    leaves: set[bytes] = field(factory=set)
    #: Forks of which pins or grants have changed.
    touched: set[LaneKey] = field(factory=set)
    #: (rank, whether it is an act, its id or lane): forks of a rank come before its acts.
    _due: list[tuple[int, bool, bytes | LaneKey]] = field(factory=list)
    _known: set[tuple[int, bytes | LaneKey]] = field(factory=set)

    def run(self, keys: Iterable[LaneKey], acts: Iterable[Act]) -> None:
        """
        Judge what rests on these forks, and *acts*, which were judged before they were settled.

        Cost: O(acts beyond a fork that it settles anew + what rests on those).
        """
        for key in keys:
            self._touch(key, above=-1)
        for act in acts:
            self._push(act.rank, act.id)
        while self._due:
            rank, is_act, what = heappop(self._due)
            if not is_act:
                assert isinstance(what, tuple)
                for act in self._resettled(what, rank):
                    self._push(act.rank, act.id)
            else:
                assert isinstance(what, bytes)
                self._judge(self.judging.links.acts[what])

    def _push(self, rank: int, what: bytes | LaneKey) -> None:
        if (rank, what) not in self._known:
            self._known.add((rank, what))
            heappush(self._due, (rank, isinstance(what, bytes), what))

    def _touch(self, key: LaneKey, *, above: int) -> None:
        """Let a fork be settled anew for whatever ranks beyond *above*."""
        self.touched.add(key)
        self.judging.forget_beyond(key, above)
        if key[1] == LANE_AUTHORITY:
            for rank in self.judging.ranks_of(key[0]):
                if rank > above:
                    self._push(rank, key)

    def _judge(self, act: Act) -> None:
        did = act.counts
        if self.judging.judge_act(act) and act.grant is not None:
            self.leaves.add(act.id)
        if act.counts == did:
            return
        if act.passes is not None:
            for below in self.judging.links.made_by(act.id):
                self._push(below.rank, below.id)
            for lane in (LANE_AUTHORITY, LANE_DATA):
                self._touch_if_forked((act.passes.audience, lane), act.rank)
        for key, _, _ in lanes_named(act.pin):
            if key in self.forked and binds(act, self.judging.links, key[0]):
                self._touch(key, above=act.rank)

    def _touch_if_forked(self, key: LaneKey, rank: int) -> None:
        if key in self.forked:
            self._touch(key, above=rank)

    def _resettled(self, key: LaneKey, rank: int) -> Iterator[Act]:
        """The acts of this rank beyond the fork that may count now and did not, or the reverse."""
        judging = self.judging
        lane = judging.lanes[key]
        fork_seq = lane.fork_seq
        assert fork_seq is not None, "only forked lanes are touched"
        now = judging.choice(key, lane, rank)
        known = judging.stood.setdefault(key, {})
        was_seq, was = known.get(rank, (0, None))
        known[rank] = fork_seq, now
        if was is None or was_seq != fork_seq:
            ids: Iterable[bytes] = (entry_id for _, entry_id in lane.held_from(fork_seq))
        else:
            ids = self._between(key, lane, was, now, rank)
        for entry_id in ids:
            act = judging.links.acts.get(entry_id)
            if act is not None and act.rank == rank:
                yield act

    def _between(
        self, key: LaneKey, lane: Lane, was: Choice, now: Choice, rank: int
    ) -> Iterator[bytes]:
        """Ids on either path that only one of the two choices reaches. Cost: O(these + branch)."""
        assert lane.fork_seq is not None
        common = _common(lane, was, now, lane.fork_seq - 1)
        low, high = common, 0
        for _, passes in self.judging.links.held_by(key[0]):
            if passes.rank == rank:
                reaches = was.reach(passes), now.reach(passes)
                low, high = min(low, *reaches), max(high, *reaches)
        low = max(low, lane.fork_seq - 1)
        for path in (was.path, now.path):
            if path is not None:
                yield from lane.along(path, low + 1, high)


def _common(lane: Lane, was: Choice, now: Choice, below: int) -> int:
    """A seq up to which the two paths are one; *below* the fork they are in any case."""
    one, two = was.path, now.path
    if one is None or two is None:
        return below
    if one.seq > two.seq:
        one, two = two, one
    return one.seq if lane.is_on(two, one.seq, one.id) else below

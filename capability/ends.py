"""
Where a data lane ends: after `void_suffix_max` dead entries of its chain.

A dead entry is one whose grant is not held, is not to its author or does not count, or whose stamp
is outside the grant's time; scope and birth path never make one. Whether an entry is within the
limit is settled by the entries before it in its own chain and by what counts of the authority
lanes, which read no data lane: so it is the same wherever these are the same, and whatever came
first. When authority changes, an end may move either way.

Source: docs/formats.md, rule 3.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right, insort
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from attrs import define, field

from capability.lane import Lane, Path

__all__ = ["Ends", "IsDead"]

#: (author, hlc, leaf) of an entry → whether it is dead.
IsDead: TypeAlias = Callable[[bytes, int, bytes], bool]


@define
class _Tally:
    """The dead entries of a main chain, as far as it was looked at; no more than end it."""

    seen: int = 0
    dead: list[int] = field(factory=list)
    #: The dead by what they cite: grants of the author's, or anything.
    dead_by: dict[bytes, array[int]] = field(factory=dict)
    #: All others by what they cite: grants to the author that count. 4 bytes an entry.
    alive_by: dict[bytes, array[int]] = field(factory=dict)


@define
class Ends:
    """The ends of all data lanes, by author. Cost: each entry is looked at once."""

    is_dead: IsDead
    dead_max: int
    _tallies: dict[bytes, _Tally] = field(factory=dict)

    def of(self, author: bytes, lane: Lane) -> int | None:
        """The last seq of the main chain that is within the limit, None if it has not ended."""
        # Most lanes are looked at no further than this.
        if len(lane) < self.dead_max:
            return None
        dead = self._tally(author, lane).dead
        if len(dead) < self.dead_max:
            return None
        return dead[-1] if dead else 0

    def known(self, author: bytes) -> int | None:
        """The end as it was when last asked for."""
        tally = self._tallies.get(author)
        ended = tally is not None and tally.dead and len(tally.dead) >= self.dead_max
        return tally.dead[-1] if ended and tally is not None else None

    def settle(self, author: bytes, lane: Lane, leaves: Mapping[bytes, bool]) -> bool:
        """
        Look again at what rests on grants of which other things are known now.

        Anybody may grant something to a key that has written for years, a key may cite grants
        before they come, and whose own log has forked may void its grants one by one: what counts
        now makes dead entries live, what counts no more makes live ones dead, and no others are
        looked at. Cost: O(entries that cite these + dead ones); O(lane) where it ends elsewhere.

        Args:
            author: Of the lane, and whom these grants are to.
            lane: The data lane.
            leaves: Each of these grants, and whether it counts now.

        Returns:
            Whether the lane ends elsewhere now.
        """
        was = self.known(author)
        if (tally := self._tallies.get(author)) is not None:
            again: list[int] = []
            for leaf, counts in leaves.items():
                again += (tally.dead_by if counts else tally.alive_by).pop(leaf, ())
            self._look_again(author, lane, tally, again)
        return self.of(author, lane) != was

    def _look_again(self, author: bytes, lane: Lane, tally: _Tally, seqs: Sequence[int]) -> None:
        if not seqs:
            return
        again = set(seqs)
        tally.dead = [seq for seq in tally.dead if seq not in again]
        for seq in seqs:
            if self._look(author, lane, tally, seq):
                insort(tally.dead, seq)
            if len(tally.dead) > self.dead_max:
                # It ends before what was looked at, so this is to be found anew.
                del self._tallies[author]
                return

    def covers(self, author: bytes, lane: Lane, path: Path) -> bool:
        """Whether the tip of *path* is within the limit. Cost: O(its branch)."""
        if path.seq <= self.dead_max:
            return True
        tally = self._tally(author, lane)
        count = bisect_right(tally.dead, min(path.trunk, path.seq - 1))
        for entry_id in path.off_main:
            _, _, hlc, leaf = lane.branches[entry_id]
            count += entry_id != path.id and self.is_dead(author, hlc, leaf)
        return count < self.dead_max

    def _tally(self, author: bytes, lane: Lane) -> _Tally:
        tally = self._tallies.setdefault(author, _Tally())
        while tally.seen < len(lane) and len(tally.dead) < self.dead_max:
            tally.seen += 1
            if self._look(author, lane, tally, tally.seen):
                tally.dead.append(tally.seen)
        return tally

    def _look(self, author: bytes, lane: Lane, tally: _Tally, seq: int) -> bool:
        """Whether an entry is dead; what it cites is noted."""
        hlc, leaf = lane.facts(seq)
        is_dead = self.is_dead(author, hlc, leaf)
        cited = tally.dead_by if is_dead else tally.alive_by
        cited.setdefault(leaf, array("I")).append(seq)
        return is_dead

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

from bisect import bisect_right
from collections.abc import Callable
from collections.abc import Set as AbstractSet
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
    #: What the entries that were looked at cite: the grants of the author, and of dead ones any.
    leaves: set[bytes] = field(factory=set)


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

    def rests_on(self, author: bytes, leaves: AbstractSet[bytes]) -> bool:
        """Whether the end may be another one if other things are known of these grants."""
        tally = self._tallies.get(author)
        return tally is None or not tally.leaves.isdisjoint(leaves)

    def forget(self, author: bytes) -> None:
        """What grants to *author* say is another thing now."""
        self._tallies.pop(author, None)

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
            hlc, leaf = lane.facts(tally.seen)
            tally.leaves.add(leaf)
            if self.is_dead(author, hlc, leaf):
                tally.dead.append(tally.seen)
        return tally

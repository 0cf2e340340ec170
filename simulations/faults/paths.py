"""Partitions: which hosts do not reach which, for how long."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from attrs import frozen

from simulations.strike import SECOND_US, Strike

if TYPE_CHECKING:
    from simulations.world import World

#: How long a partition lasts, in seconds: from shorter than the links' patience to much longer.
FOR_S: Final = (0.5, 60.0)


def duration_us(random: Random) -> int:
    """Short ones are as likely as long ones: evenly over the logarithm."""
    low, high = FOR_S
    seconds: float = low * (high / low) ** random.random()
    return round(seconds * SECOND_US)


def between(one: tuple[int, ...], other: tuple[int, ...]) -> list[tuple[int, int]]:
    """All directions between two groups."""
    pairs = [(a, b) for a in one for b in other]
    return pairs + [(b, a) for a, b in pairs]


@frozen
class _Partition:
    """`strike.hosts` is one side, everybody else the other."""

    def begin(self, world: World, strike: Strike) -> None:
        world.cut(self._pairs(world, strike))

    def end(self, world: World, strike: Strike) -> None:
        world.mend(self._pairs(world, strike))

    def _pairs(self, world: World, strike: Strike) -> list[tuple[int, int]]:
        rest = tuple(n for n in range(len(world.hosts)) if n not in strike.hosts)
        return between(strike.hosts, rest)


@frozen
class Halves(_Partition):
    """Two sides of about the same size."""

    def draw(self, random: Random, hosts: int) -> Strike:
        side = tuple(sorted(random.sample(range(hosts), hosts // 2)))
        return Strike(0, duration_us(random), "", side)


@frozen
class Isolated(_Partition):
    """One host reaches nobody."""

    def draw(self, random: Random, hosts: int) -> Strike:
        return Strike(0, duration_us(random), "", (random.randrange(hosts),))

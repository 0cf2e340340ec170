"""Partitions: which hosts do not reach which, for how long."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from attrs import frozen

from simulations.faults.drawing import (
    Pairs,
    between,
    duration_us,
    evenly,
    links_anew,
    region_or,
    some,
)
from simulations.strike import Strike

if TYPE_CHECKING:
    from simulations.world import World

#: Turns of a flapping link, in seconds: some end before a silence is noticed, some after.
TURN_S: Final = (0.5, 30.0)
_REGIONS_DRAWN: Final = 1 << 16


@frozen
class _Partition:
    """Takes directions away at the beginning, and gives back the same ones at the end."""

    def begin(self, world: World, strike: Strike) -> None:
        pairs = self.pairs(world, strike)
        if links_anew(pairs, world):
            world.watch.befell(strike.kind)
        world.left[strike] = pairs
        world.network.weather.cut(pairs)
        world.network.paths_changed()

    def end(self, world: World, strike: Strike) -> None:
        world.mend(world.left.pop(strike, ()))

    def pairs(self, world: World, strike: Strike) -> Pairs:
        """By default `strike.hosts` is one side, everybody else the other."""
        rest = [number for number in range(len(world.hosts)) if number not in strike.hosts]
        return between(strike.hosts, rest)


@frozen
class Halves(_Partition):
    """Two sides of about the same size."""

    def draw(self, random: Random, hosts: int) -> Strike:
        return Strike(0, duration_us(random), "", some(random, hosts, hosts // 2))


@frozen
class Minority(_Partition):
    """Fewer than half lose the rest, and reach each other."""

    def draw(self, random: Random, hosts: int) -> Strike:
        count = random.randint(1, max(1, (hosts - 1) // 2))
        return Strike(0, duration_us(random), "", some(random, hosts, count))


@frozen
class Isolated(_Partition):
    """One host reaches nobody."""

    def draw(self, random: Random, hosts: int) -> Strike:
        return Strike(0, duration_us(random), "", some(random, hosts, 1))


@frozen
class Ring(_Partition):
    """Each reaches only its two neighbours, in the order of `strike.hosts`."""

    def draw(self, random: Random, hosts: int) -> Strike:
        return Strike(0, duration_us(random), "", some(random, hosts, hosts))

    def pairs(self, world: World, strike: Strike) -> Pairs:  # noqa: ARG002 - as declared
        ring = strike.hosts
        count = len(ring)
        kept = {(ring[at], ring[(at + 1) % count]) for at in range(count)}
        return [
            (one, two)
            for one in ring
            for two in ring
            if one != two and (one, two) not in kept and (two, one) not in kept
        ]


@frozen
class Bridge(_Partition):
    """Two halves that reach each other only by one host, the first of `strike.hosts`."""

    def draw(self, random: Random, hosts: int) -> Strike:
        return Strike(0, duration_us(random), "", some(random, hosts, hosts))

    def pairs(self, world: World, strike: Strike) -> Pairs:  # noqa: ARG002 - as declared
        rest = strike.hosts[1:]
        half = len(rest) // 2
        return between(rest[:half], rest[half:])


@frozen
class OneWay(_Partition):
    """One host hears nobody, or nobody hears it (`amount` 1)."""

    def draw(self, random: Random, hosts: int) -> Strike:
        return Strike(0, duration_us(random), "", some(random, hosts, 1), random.randrange(2))

    def pairs(self, world: World, strike: Strike) -> Pairs:
        pairs = super().pairs(world, strike)
        half = len(pairs) // 2
        return pairs[:half] if strike.amount else pairs[half:]


@frozen
class OneWayHalves(OneWay):
    """One half does not hear the other, which hears it."""

    def draw(self, random: Random, hosts: int) -> Strike:
        return Strike(0, duration_us(random), "", some(random, hosts, hosts // 2))


@frozen
class PairCut(_Partition):
    """Two hosts do not reach each other; everybody else reaches both."""

    def draw(self, random: Random, hosts: int) -> Strike:
        return Strike(0, duration_us(random), "", some(random, hosts, 2))

    def pairs(self, world: World, strike: Strike) -> Pairs:  # noqa: ARG002 - as declared
        return between(strike.hosts[:1], strike.hosts[1:])


@frozen
class RegionLoss(_Partition):
    """A region's network is gone, inside, too; a third of the hosts if there is one region."""

    def draw(self, random: Random, hosts: int) -> Strike:
        whom = some(random, hosts, hosts // 3)
        return Strike(0, duration_us(random), "", whom, random.randrange(_REGIONS_DRAWN))

    def pairs(self, world: World, strike: Strike) -> Pairs:
        lost = region_or(world, strike)
        return list(dict.fromkeys(between(lost, range(len(world.hosts)))))


@frozen
class Flapping:
    """The link of two hosts goes away and comes back, again and again, every `amount` ms."""

    def draw(self, random: Random, hosts: int) -> Strike:
        turn_ms = round(evenly(random, *TURN_S) * 1000)
        turns = random.randint(2, 8)
        return Strike(0, turns * turn_ms * 1000, "", some(random, hosts, 2), turn_ms)

    def begin(self, world: World, strike: Strike) -> None:
        world.left[strike] = ()
        self._turn(world, strike)

    def _turn(self, world: World, strike: Strike) -> None:
        cut = world.left.get(strike)
        if cut is None:
            return
        if cut:
            world.left[strike] = ()
            world.mend(cut)
        else:
            pairs = between(strike.hosts[:1], strike.hosts[1:])
            if links_anew(pairs, world):
                world.watch.befell(strike.kind)
            world.left[strike] = pairs
            world.network.weather.cut(pairs)
            world.network.paths_changed()
        world.after(strike.amount * 1000, self._turn, world, strike)

    def end(self, world: World, strike: Strike) -> None:
        world.mend(world.left.pop(strike, ()))

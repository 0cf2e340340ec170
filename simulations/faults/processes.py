"""What befalls processes: kill, and later a restart."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from attrs import frozen

from simulations.faults.paths import duration_us
from simulations.strike import Strike

if TYPE_CHECKING:
    from simulations.world import World


@frozen
class Kill:
    """`kill -9`; the process is started again when the strike is over."""

    def draw(self, random: Random, hosts: int) -> Strike:
        return Strike(0, duration_us(random), "", (random.randrange(hosts),))

    def begin(self, world: World, strike: Strike) -> None:
        for number in strike.hosts:
            host = world.hosts[number]
            if host.is_up:
                world.watch.befell("kill")
                host.die()

    def end(self, world: World, strike: Strike) -> None:
        for number in strike.hosts:
            host = world.hosts[number]
            if not host.is_up:
                host.start()

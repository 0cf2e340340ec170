"""The network as it is: slow, narrow, lossy; and as it should not be: without TCP's promises."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from attrs import frozen

from simulations.faults.drawing import between, duration_us, evenly, some
from simulations.strike import Strike

if TYPE_CHECKING:
    from simulations.world import World

#: Parts of a whole in which the amount of a rate is counted.
_PARTS: Final = 10_000
#: What a slow link adds one way, in µs: from a continent to a satellite with a queue before it.
SLOW_US: Final = (20_000, 3_000_000)
#: Packets that are lost, in parts of `_PARTS`. Source: at 30 % a TCP connection hardly goes on.
LOSS: Final = (10, 3_000)
#: Messages that meet a broken promise. A guess: rare enough that something still gets through.
BROKEN: Final = (10, 1_000)
#: Median of the latency with a heavy tail, in µs.
TAIL_US: Final = (500, 200_000)
#: Bytes a second: from a pager to a bad radio link. A message of 64 KiB still gets through within
#: what a link's writer waits (`mesh.node.link.STALL_S_MAX`, 10 s).
BANDWIDTH: Final = (8_000, 500_000)


@frozen
class Overlay:
    """Makes one condition of the whole network worse for a while; `amount` in parts of *parts*."""

    condition: str
    low: int
    high: int
    parts: int = 1

    def draw(self, random: Random, hosts: int) -> Strike:  # noqa: ARG002 - it strikes all
        amount = round(evenly(random, self.low, self.high))
        return Strike(0, duration_us(random), "", (), amount)

    def begin(self, world: World, strike: Strike) -> None:
        # The network counts each message that it befalls.
        value = strike.amount / self.parts
        world.left[strike] = value
        world.network.weather.worsen(self.condition, value)
        world.network.rates_changed()

    def end(self, world: World, strike: Strike) -> None:
        value = world.left.pop(strike, None)
        if value is not None:
            world.network.weather.better(self.condition, value)
            world.network.rates_changed()


@frozen
class SlowLink:
    """Messages between two hosts take `amount` µs longer."""

    def draw(self, random: Random, hosts: int) -> Strike:
        amount = round(evenly(random, *SLOW_US))
        return Strike(0, duration_us(random), "", some(random, hosts, 2), amount)

    def begin(self, world: World, strike: Strike) -> None:
        pairs = between(strike.hosts[:1], strike.hosts[1:])
        world.left[strike] = pairs
        world.network.weather.slow_down(pairs, strike.amount)

    def end(self, world: World, strike: Strike) -> None:
        world.network.weather.speed_up(world.left.pop(strike, ()), strike.amount)


LOSS_RATE: Final = Overlay("loss", *LOSS, _PARTS)
DROP: Final = Overlay("drop", *BROKEN, _PARTS)
DUPLICATE: Final = Overlay("duplicate", *BROKEN, _PARTS)
REORDER: Final = Overlay("reorder", *BROKEN, _PARTS)
FLIP: Final = Overlay("flip", *BROKEN, _PARTS)
HEAVY_TAIL: Final = Overlay("heavy_tail", *TAIL_US)
NARROW: Final = Overlay("bandwidth", *BANDWIDTH)

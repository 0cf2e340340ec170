"""What befalls clocks: they run fast or slow, are set wrong, or stand still; and back."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from attrs import frozen

from simulations.faults.drawing import duration_us, evenly, some
from simulations.strike import Strike

if TYPE_CHECKING:
    from simulations.world import World

#: How much a clock runs fast or slow, in millionths: from a bad crystal to a broken virtual one.
DRIFT_PPM: Final = (50, 100_000)
#: How far a clock is set wrong, in ms: below the bound for parking, to a wrong time zone.
STEP_MS: Final = (100, 3 * 3_600_000)


def _signed(random: Random, low: float, high: float) -> int:
    amount = round(evenly(random, low, high))
    return amount if random.random() < 0.5 else -amount


@frozen
class Drift:
    """Both clocks of a host run fast by `amount` millionths."""

    def draw(self, random: Random, hosts: int) -> Strike:
        amount = _signed(random, *DRIFT_PPM)
        return Strike(0, duration_us(random), "", some(random, hosts, 1), amount)

    def begin(self, world: World, strike: Strike) -> None:
        world.watch.befell(strike.kind)
        host = world.left[strike] = world.hosts[strike.hosts[0]]
        host.clock.drift(host.clock.drift_ppm + strike.amount, world.now_us)
        host.clock_changed()

    def end(self, world: World, strike: Strike) -> None:
        host = world.left.pop(strike, None)
        if host is not None:
            host.clock.drift(host.clock.drift_ppm - strike.amount, world.now_us)
            host.clock_changed()


@frozen
class Step:
    """Somebody sets a wall clock wrong by `amount` ms, and later right again."""

    def draw(self, random: Random, hosts: int) -> Strike:
        amount = _signed(random, *STEP_MS)
        return Strike(0, duration_us(random), "", some(random, hosts, 1), amount)

    def begin(self, world: World, strike: Strike) -> None:
        world.watch.befell(strike.kind)
        host = world.left[strike] = world.hosts[strike.hosts[0]]
        host.clock.step(strike.amount, world.now_us)
        host.clock_changed()

    def end(self, world: World, strike: Strike) -> None:
        host = world.left.pop(strike, None)
        if host is not None:
            host.clock.step(-strike.amount, world.now_us)
            host.clock_changed()


@frozen
class Freeze:
    """A wall clock stands still, and is then set right."""

    def draw(self, random: Random, hosts: int) -> Strike:
        return Strike(0, duration_us(random), "", some(random, hosts, 1))

    def begin(self, world: World, strike: Strike) -> None:
        host = world.hosts[strike.hosts[0]]
        if host.clock.is_frozen:
            return
        world.watch.befell(strike.kind)
        world.left[strike] = host
        host.clock.freeze(world.now_us)
        host.clock_changed()

    def end(self, world: World, strike: Strike) -> None:
        host = world.left.pop(strike, None)
        if host is not None:
            host.clock.thaw(world.now_us)
            host.clock.step(strike.for_us // 1000, world.now_us)
            host.clock_changed()

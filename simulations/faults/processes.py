"""What befalls processes and machines: stopped, killed, without power, one or many of them."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from attrs import frozen

from mesh.core.inputs import Seal
from simulations.faults.drawing import duration_us, evenly, region_or, running, some
from simulations.host import RESTART_US, Host
from simulations.strike import Strike

if TYPE_CHECKING:
    from simulations.world import World

#: How long a process is stopped, in seconds: a garbage collection, to a closed lid.
PAUSE_S: Final = (0.1, 300.0)
#: How long a process that dies again and again is up, in ms.
UP_MS: Final = (100, 10_000)
#: How long a host that leaves is given to seal what waits.
FAREWELL_US: Final = 500_000
_REGIONS_DRAWN: Final = 1 << 16


@frozen
class Pause:
    """SIGSTOP, and later SIGCONT."""

    def draw(self, random: Random, hosts: int) -> Strike:
        return Strike(0, duration_us(random, *PAUSE_S), "", some(random, hosts, 1))

    def begin(self, world: World, strike: Strike) -> None:
        for host in running(world, strike.hosts):
            world.watch.befell(strike.kind)
            world.left[strike] = (host, host.incarnation)
            host.pause()

    def end(self, world: World, strike: Strike) -> None:
        host, incarnation = world.left.pop(strike, (None, 0))
        if host is not None and host.incarnation == incarnation and host.is_paused:
            host.resume()


@frozen
class _Deaths:
    """Hosts die at the beginning; those that nobody has started since are started at the end."""

    is_power_loss: bool = False

    def begin(self, world: World, strike: Strike) -> None:
        dead: list[tuple[Host, int]] = []
        for number in self.whom(world, strike):
            host = world.hosts[number]
            if host.is_up:
                world.watch.befell(strike.kind)
                host.die(is_power_loss=self.is_power_loss)
                dead.append((host, host.incarnation))
        world.left[strike] = dead

    def end(self, world: World, strike: Strike) -> None:
        for host, incarnation in world.left.pop(strike, ()):
            host.restart(incarnation)

    def whom(self, world: World, strike: Strike) -> tuple[int, ...]:  # noqa: ARG002 - as declared
        """By default those that the strike names."""
        return strike.hosts


@frozen
class Kill(_Deaths):
    """`kill -9` of one process, or the power of one machine."""

    def draw(self, random: Random, hosts: int) -> Strike:
        return Strike(0, duration_us(random), "", some(random, hosts, 1))


@frozen
class CrashStorm(_Deaths):
    """Several die at one instant."""

    def draw(self, random: Random, hosts: int) -> Strike:
        count = random.randint(min(2, hosts), max(2, hosts - 1))
        return Strike(0, duration_us(random), "", some(random, hosts, count))


@frozen
class RegionPowerLoss(_Deaths):
    """All machines of a region lose their power; a third of all if there is one region."""

    def draw(self, random: Random, hosts: int) -> Strike:
        whom = some(random, hosts, hosts // 3)
        return Strike(0, duration_us(random), "", whom, random.randrange(_REGIONS_DRAWN))

    def whom(self, world: World, strike: Strike) -> tuple[int, ...]:
        return region_or(world, strike)


@frozen
class RestartLoop:
    """A process dies `amount` ms after each start."""

    def draw(self, random: Random, hosts: int) -> Strike:
        up_ms = round(evenly(random, *UP_MS))
        return Strike(0, duration_us(random, 5, 60), "", some(random, hosts, 1), up_ms)

    def begin(self, world: World, strike: Strike) -> None:
        world.left[strike] = True
        self._again(world, strike)

    def _again(self, world: World, strike: Strike) -> None:
        if strike not in world.left:
            return
        host = world.hosts[strike.hosts[0]]
        if host.is_up:
            world.watch.befell(strike.kind)
            host.die()
            world.after(RESTART_US, host.restart, host.incarnation)
        world.after(RESTART_US + strike.amount * 1000, self._again, world, strike)

    def end(self, world: World, strike: Strike) -> None:
        # Its last restart is under way or done.
        world.left.pop(strike, None)


@frozen
class Churn:
    """Many leave in good order, and come back together."""

    def draw(self, random: Random, hosts: int) -> Strike:
        count = random.randint(max(1, hosts // 3), max(1, hosts - 1))
        return Strike(0, duration_us(random, 2, 60), "", some(random, hosts, count))

    def begin(self, world: World, strike: Strike) -> None:
        world.left[strike] = []
        for host in running(world, strike.hosts):
            host.put(Seal(host.next_request()))
            world.after(FAREWELL_US, self._leave, world, strike, host, host.incarnation)

    def _leave(self, world: World, strike: Strike, host: Host, incarnation: int) -> None:
        if strike in world.left and host.incarnation == incarnation:
            world.watch.befell(strike.kind)
            host.die()
            world.left[strike].append((host, host.incarnation))

    def end(self, world: World, strike: Strike) -> None:
        for host, incarnation in world.left.pop(strike, ()):
            host.restart(incarnation)


KILL: Final = Kill()
POWER_LOSS: Final = Kill(is_power_loss=True)
CRASH_STORM: Final = CrashStorm()
REGION_POWER_LOSS: Final = RegionPowerLoss(is_power_loss=True)

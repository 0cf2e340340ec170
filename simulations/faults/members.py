"""Who belongs: members that come during the run, and one key that runs twice."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from attrs import frozen

from mesh.core.writes import Create
from simulations.faults.drawing import can_be_missed, duration_us, knows_its_log, running, some
from simulations.strike import SECOND_US, Strike
from simulations.world import ALL_PAIRS_MAX

if TYPE_CHECKING:
    from simulations.host import Host
    from simulations.world import World

#: Members that may come during one run.
LATE_MAX: Final = 8
#: How often the double of a home writes, in µs.
WRITE_US: Final = 2 * SECOND_US


@frozen
class Join:
    """A new member comes with a ticket of the first host."""

    def draw(self, random: Random, hosts: int) -> Strike:
        return Strike(0, 0, "", some(random, hosts, 1))

    def begin(self, world: World, strike: Strike) -> None:
        late = sum(host.name.startswith("late") for host in world.hosts)
        if late >= LATE_MAX or not all(map(knows_its_log, world.honest)):
            return
        for host in running(world, strike.hosts):
            if not host.is_honest:
                # Others may refuse it, and whoever came by it would have no other way.
                continue
            world.invite(
                f"late{strike.at_us}",
                by=host,
                region=host.region,
                is_open=len(world.hosts) < ALL_PAIRS_MAX,
                then=lambda _: world.watch.befell(strike.kind),
            )

    def end(self, world: World, strike: Strike) -> None:
        """It stays."""


@frozen
class Double:
    """A home is copied and runs on two machines, until somebody ends the second for good."""

    def draw(self, random: Random, hosts: int) -> Strike:
        return Strike(0, duration_us(random, 5, 60), "", some(random, hosts, 1))

    def begin(self, world: World, strike: Strike) -> None:
        for host in running(world, strike.hosts):
            if not host.is_honest or host.liar is not None or not can_be_missed(world, host):
                continue
            world.watch.befell(strike.kind)
            twin = world.left[strike] = world.double(host)
            self._write(world, strike, twin)

    def _write(self, world: World, strike: Strike, twin: Host) -> None:
        if strike not in world.left:
            return
        if twin.is_up:
            root = twin.running.replica.store.root
            world.submit(twin, Create(root, "task", nonce=world.random.randbytes(16)))
        world.after(WRITE_US, self._write, world, strike, twin)

    def end(self, world: World, strike: Strike) -> None:
        twin = world.left.pop(strike, None)
        if twin is not None:
            twin.die()
            twin.is_gone = True

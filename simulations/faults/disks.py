"""What befalls disks: full, slow, and a crash in the middle of a commit."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from attrs import frozen

from simulations.faults.drawing import duration_us, evenly, running, some
from simulations.host import CrashPoint
from simulations.strike import Strike

if TYPE_CHECKING:
    from simulations.world import World

#: What a slow disk adds to each commit, in µs: a busy spindle, to a controller that resets.
SLOW_US: Final = (20_000, 2_000_000)


@frozen
class Full:
    """No commit succeeds; what waits for one is refused."""

    def draw(self, random: Random, hosts: int) -> Strike:
        return Strike(0, duration_us(random), "", some(random, hosts, 1))

    def begin(self, world: World, strike: Strike) -> None:
        host = world.hosts[strike.hosts[0]]
        # The disk's host counts each commit that it refuses.
        host.disk.fillings += 1
        world.left[strike] = host

    def end(self, world: World, strike: Strike) -> None:
        host = world.left.pop(strike, None)
        if host is not None:
            host.disk.fillings = max(0, host.disk.fillings - 1)


@frozen
class Slow:
    """Each commit takes `amount` µs longer."""

    def draw(self, random: Random, hosts: int) -> Strike:
        amount = round(evenly(random, *SLOW_US))
        return Strike(0, duration_us(random), "", some(random, hosts, 1), amount)

    def begin(self, world: World, strike: Strike) -> None:
        disk = world.hosts[strike.hosts[0]].disk
        disk.slow_us += strike.amount
        world.left[strike] = disk

    def end(self, world: World, strike: Strike) -> None:
        disk = world.left.pop(strike, None)
        if disk is not None:
            disk.slow_us = max(0, disk.slow_us - strike.amount)


@frozen
class CrashInCommit:
    """
    The next commit of at least *records* records is the last thing that the process does.

    After it nobody is told anything. Whether the commit is there is what *keeps* says; a torn one
    is there whole or not at all, since that is what the database under it promises.
    """

    records: int
    keeps: bool | None

    def draw(self, random: Random, hosts: int) -> Strike:
        return Strike(0, 0, "", some(random, hosts, 1))

    def begin(self, world: World, strike: Strike) -> None:
        for host in running(world, strike.hosts):
            host.crash_point = CrashPoint(strike.kind, self.records, self.keeps)

    def end(self, world: World, strike: Strike) -> None:
        """The host's supervisor starts it again by itself."""


COMMIT_LOST: Final = CrashInCommit(1, keeps=False)
COMMIT_KEPT: Final = CrashInCommit(1, keeps=True)
TORN_COMMIT: Final = CrashInCommit(3, keeps=None)

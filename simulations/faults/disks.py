"""What befalls disks: full, slow, damaged, put back, and a crash in the middle of a commit."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Final

from attrs import frozen

from mesh.core.effects import Effect, Persist
from mesh.core.records import PutSnapshot
from simulations.faults.drawing import (
    can_be_missed,
    duration_us,
    evenly,
    knows_its_log,
    running,
    some,
)
from simulations.host import RESTART_US, CrashPoint
from simulations.strike import Strike

if TYPE_CHECKING:
    from simulations.host import Host
    from simulations.world import World

#: What a slow disk adds to each commit, in µs: a busy spindle, to a controller that resets.
SLOW_US: Final = (20_000, 2_000_000)
#: Entries that one damage takes away: a page or two of the log.
UNREADABLE_MAX: Final = 8
#: How old a back-up is when it is put back, in seconds.
BACKUP_S: Final = (1.0, 60.0)
#: How long it takes to put it there, in µs.
PUT_BACK_US: Final = 20_000_000
_DRAWN: Final = 1 << 32


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


@frozen
class Damage:
    """
    The power goes, and entries of the log are lost with it; `amount` chooses which.

    The host does not start before somebody has repaired it. The genesis stays: without it a home
    is beyond repair, and its owner has to join anew as somebody else. So it is with a home that was
    put back and has met nobody yet: what it wrote keeps its place, and needs a new key.
    """

    def draw(self, random: Random, hosts: int) -> Strike:
        return Strike(0, 0, "", some(random, hosts, 1), random.randrange(_DRAWN))

    def begin(self, world: World, strike: Strike) -> None:
        for host in running(world, strike.hosts):
            last = host.disk.store.last_n()
            if last < 2 or not (knows_its_log(host) and _may_lose(world, host)):
                continue
            world.watch.befell(strike.kind)
            host.has_to_learn = True
            host.die(is_power_loss=True)
            random = Random(strike.amount)
            first = random.randint(2, last)
            lost = range(first, min(last, first + random.randrange(UNREADABLE_MAX)) + 1)
            host.disk.unreadable |= frozenset(lost)
            world.doctor.call()

    def end(self, world: World, strike: Strike) -> None:
        """Whoever repairs it also starts it."""


@frozen
class Snapshot:
    """
    The host dies with a fresh snapshot of its own on disk, from which it starts again.

    A damaged one shows by its checksum, which the store checks: the host has none then.
    """

    is_damaged: bool

    def draw(self, random: Random, hosts: int) -> Strike:
        return Strike(0, 0, "", some(random, hosts, 1))

    def begin(self, world: World, strike: Strike) -> None:
        for host in running(world, strike.hosts):
            if host.is_committing:
                # A snapshot is written with all that it covers, or later.
                continue
            effects = host.running.replica.snapshot(least=1)
            host.die()
            for snapshot in _snapshots(effects):
                world.watch.befell(strike.kind)
                left = PutSnapshot(0, b"") if self.is_damaged else snapshot
                host.disk.store.commit((left,))
            world.after(RESTART_US, host.restart, host.incarnation)

    def end(self, world: World, strike: Strike) -> None:
        """Its supervisor starts it again."""


def _snapshots(effects: Sequence[Effect]) -> list[PutSnapshot]:
    written = [record for e in effects if isinstance(e, Persist) for record in e.records]
    return [record for record in written if isinstance(record, PutSnapshot)]


@frozen
class PutBack:
    """
    A back-up is made; when the strike is over the disk fails, and the back-up takes its place.

    A home that is put back learns from the first peer that it meets how far its log had gone. If
    that peer does not hold all of it, the log may fork, whatever a program does; so a host that is
    put back while some other lacks a part of its log is nobody's measure from then on.
    """

    def draw(self, random: Random, hosts: int) -> Strike:
        return Strike(0, duration_us(random, *BACKUP_S), "", some(random, hosts, 1))

    def begin(self, world: World, strike: Strike) -> None:
        for host in running(world, strike.hosts):
            world.left[strike] = (host, host.disk.copied())

    def end(self, world: World, strike: Strike) -> None:
        host, backup = world.left.pop(strike, (None, None))
        if host is None or host.disk.unreadable:
            return
        if host.disk.store.last_n() == backup.store.last_n() or not _may_lose(world, host):
            return
        if host.is_honest and not _has_spread(world, host):
            if not can_be_missed(world, host):
                return
            host.is_honest = False
        world.watch.befell(strike.kind)
        host.was_put_back = host.has_to_learn = True
        host.die(is_power_loss=True)
        host.disk.replace(backup.store)
        world.watch.set_back(host)
        world.doctor.call()
        world.after(PUT_BACK_US, host.restart, host.incarnation)


def _may_lose(world: World, host: Host) -> bool:
    """Whether no other, that was put back, may have to learn from this one how far its log went."""
    return all(knows_its_log(other) for other in world.honest if other is not host)


def _has_spread(world: World, host: Host) -> bool:
    """Whether all others hold all that it has written, and are themselves whole."""
    author = host.signer.public
    own = {s.entry.id for s in host.disk.store.entries() if s.entry.header.author == author}
    return all(
        other.is_honest
        and not other.disk.unreadable
        and len(other.disk.store.entries_by_id(tuple(own))) == len(own)
        for other in world.hosts
        if other is not host and not other.is_gone
    )


COMMIT_LOST: Final = CrashInCommit(1, keeps=False)
COMMIT_KEPT: Final = CrashInCommit(1, keeps=True)
TORN_COMMIT: Final = CrashInCommit(3, keeps=None)

"""What the kinds of faults share: how long, whom, and whose paths."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from random import Random
from typing import TYPE_CHECKING, Final

from simulations.overlay import are_connected
from simulations.strike import SECOND_US

if TYPE_CHECKING:
    from simulations.host import Host
    from simulations.strike import Strike
    from simulations.world import World

#: How long a fault lasts, in seconds: from shorter than the links' patience to much longer.
FOR_S: Final = (0.5, 60.0)

#: So many hosts at least stay honest: two, that can be compared.
HONEST_MIN: Final = 2

Pairs = list[tuple[int, int]]


def evenly(random: Random, low: float, high: float) -> float:
    """Between the two; the small is as likely as the large: evenly over the logarithm."""
    drawn: float = low * (high / low) ** random.random()
    return drawn


def duration_us(random: Random, low_s: float = FOR_S[0], high_s: float = FOR_S[1]) -> int:
    """How long, in µs."""
    return round(evenly(random, low_s, high_s) * SECOND_US)


def some(random: Random, hosts: int, count: int) -> tuple[int, ...]:
    """So many of the hosts, in a random order; all of them if there are no more."""
    return tuple(random.sample(range(hosts), min(hosts, max(1, count))))


def between(one: Collection[int], other: Collection[int]) -> Pairs:
    """All directions between two groups."""
    pairs = [(a, b) for a in one for b in other if a != b]
    return pairs + [(b, a) for a, b in pairs]


def region_or(world: World, strike: Strike) -> tuple[int, ...]:
    """
    The hosts of one region, which `amount` chooses; the strike's own where there is one region.

    A strike is drawn before the world is made, so it cannot name a region.
    """
    regions = sorted({host.region for host in world.hosts})
    if len(regions) < 2:
        return strike.hosts
    region = regions[strike.amount % len(regions)]
    return tuple(host.number for host in world.hosts if host.region == region)


def running(world: World, numbers: Iterable[int]) -> list[Host]:
    """Those of them whose process runs and is not stopped."""
    hosts = [world.hosts[number] for number in numbers]
    return [host for host in hosts if host.is_up and not host.is_paused]


def can_be_missed(world: World, host: Host) -> bool:
    """
    Whether the others can be compared when nobody measures by *host* any more.

    At least `HONEST_MIN` of them are honest, and linked with one another by honest ones: peers may
    refuse a host that is none, and whoever has no other way to the mesh is cut off with it.
    """
    honest = [one for one in world.honest if one is not host and not one.is_gone]
    return len(honest) >= HONEST_MIN and are_connected(honest)


def knows_its_log(host: Host) -> bool:
    """
    Whether a host, if it lost a part of its disk, has all that others hold of its log.

    Until then the others must stay as they are: what they lose of it nobody has. If it was put back
    it asks the first that it meets, and if that one has lost what it is asked for, or never had it,
    the log forks whatever a program does. Cost: O(entries).
    """
    if host.disk.unreadable:
        return False
    if host.has_to_learn:
        author, store = host.signer.public, host.disk.store
        others = (other.disk.store for other in host.world.hosts if other is not host)
        held = {
            s.entry.id for one in others for s in one.entries() if s.entry.header.author == author
        }
        host.has_to_learn = len(store.entries_by_id(tuple(held))) < len(held)
    return not host.has_to_learn


def links_anew(pairs: Iterable[tuple[int, int]], world: World) -> bool:
    """Whether one of these directions is whole, and both its ends are there to miss it."""
    hosts, weather = world.hosts, world.network.weather
    return any(
        hosts[one].is_up and hosts[two].is_up and weather.reaches(one, two) for one, two in pairs
    )

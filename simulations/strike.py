"""
Strikes: which fault happens when, to whom, how hard. A schedule of them is a plain value.

It is drawn from the seed before the run begins, so that it can be printed, shortened and run again
without the draws of the run itself changing.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Final, Protocol

from attrs import frozen

if TYPE_CHECKING:
    from simulations.world import World

SECOND_US: Final = 1_000_000
#: Strikes in one schedule: one in four virtual seconds at the default rate, for an hour.
STRIKES_MAX: Final = 1_000
#: Mean pause between two strikes, in seconds. A guess: some overlap, and there are calm times.
PAUSE_S: Final = 8.0


@frozen
class Strike:
    """
    One fault.

    Attributes:
        at_us: When it begins, in µs of the world's time after the members are linked.
        for_us: How long it lasts; 0 for one that is over at once.
        kind: Its name in `simulations.faults.FAULTS`.
        hosts: Whom it befalls, by number, in the order in which the kind reads them.
        amount: How hard; the kind says in which unit.
    """

    at_us: int
    for_us: int
    kind: str
    hosts: tuple[int, ...] = ()
    amount: int = 0

    def __str__(self) -> str:
        """One line for a person."""
        whom = ",".join(map(str, self.hosts)) or "all"
        span = f" for {self.for_us / SECOND_US:.1f} s" if self.for_us else ""
        size = f" ({self.amount})" if self.amount else ""
        return f"{self.at_us / SECOND_US:7.1f} s  {self.kind}{size} at {whom}{span}"


class Fault(Protocol):
    """One kind of fault. It has no state of its own but what `begin` leaves for `end`."""

    def draw(self, random: Random, hosts: int) -> Strike:
        """A strike of this kind for so many hosts; `at_us` is set by whoever asks."""

    def begin(self, world: World, strike: Strike) -> None:
        """Let it happen. It counts itself by `world.watch.befell` when it takes effect."""

    def end(self, world: World, strike: Strike) -> None:
        """It is over; called only if it lasts, and at the latest when the world is healed."""


def draw_schedule(
    random: Random, kinds: Sequence[tuple[str, Fault]], *, hosts: int, for_s: float
) -> tuple[Strike, ...]:
    """Strikes at random times in the first *for_s* seconds, ascending by time."""
    strikes: list[Strike] = []
    at_s = random.expovariate(1 / PAUSE_S)
    while kinds and at_s < for_s and len(strikes) < STRIKES_MAX:
        kind, fault = kinds[random.randrange(len(kinds))]
        drawn = fault.draw(random, hosts)
        at_us = round(at_s * SECOND_US)
        strikes.append(Strike(at_us, drawn.for_us, kind, drawn.hosts, drawn.amount))
        at_s += random.expovariate(1 / PAUSE_S)
    return tuple(strikes)

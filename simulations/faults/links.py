"""What befalls one connection: cut short, reset, or open at one end only."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from attrs import frozen

from simulations.faults.drawing import some
from simulations.pipe import End
from simulations.strike import Strike

if TYPE_CHECKING:
    from simulations.world import World

#: Messages that get through before a connection is cut short: within a hello's answer, or later.
MESSAGES_MAX: Final = 12


def _links(world: World, strike: Strike) -> list[End]:
    """The first host's end of its link to the second; of all its links if there is none."""
    ends = world.network.links(world.hosts[strike.hosts[0]])
    return [end for end in ends if end.peer.host in strike.hosts[1:]] or ends


@frozen
class _OnLinks:
    """Over at once; both hosts dial again."""

    def draw(self, random: Random, hosts: int) -> Strike:
        return Strike(0, 0, "", some(random, hosts, 2))

    def begin(self, world: World, strike: Strike) -> None:
        for end in _links(world, strike):
            if not end.is_closed and not end.peer.is_closed:
                self.befall(world, strike, end)

    def befall(self, world: World, strike: Strike, end: End) -> None:
        """Do it to one link."""
        raise NotImplementedError

    def end(self, world: World, strike: Strike) -> None:
        """Nothing is left of it."""


@frozen
class Reset(_OnLinks):
    """Somebody between the two ends the connection."""

    def befall(self, world: World, strike: Strike, end: End) -> None:
        world.watch.befell(strike.kind)
        world.network.reset(end)


@frozen
class HalfOpen(_OnLinks):
    """Only the first host hears that it is over."""

    def befall(self, world: World, strike: Strike, end: End) -> None:
        world.watch.befell(strike.kind)
        world.network.half_open(end)


@frozen
class Truncate(_OnLinks):
    """The connection breaks in the middle of a message, after `amount` more have got through."""

    def draw(self, random: Random, hosts: int) -> Strike:
        return Strike(0, 0, "", some(random, hosts, 2), random.randrange(MESSAGES_MAX))

    def befall(self, world: World, strike: Strike, end: End) -> None:  # noqa: ARG002 - as declared
        # The network counts it when there is something to cut.
        if end.doom is None:
            end.doom = strike.amount

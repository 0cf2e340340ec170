"""A member lies, in one of the ways of `simulations.lies`, until the strike is over."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from attrs import frozen

from simulations.byzantine import recruit
from simulations.faults.drawing import duration_us
from simulations.lies import KINDS
from simulations.strike import SECOND_US, Strike

if TYPE_CHECKING:
    from simulations.byzantine import Liar
    from simulations.world import World

#: Pause between two rounds of lies, in µs.
ROUND_US: Final = SECOND_US
#: How long a member lies, in seconds: long enough to have turned, and for a link or two.
LIES_S: Final = (10, 120)


@frozen
class Lie:
    """The host's process is replaced by one that lies; later by an honest one again."""

    kind: str

    def draw(self, random: Random, hosts: int) -> Strike:
        # The founder never lies.
        whom = random.randrange(1, hosts) if hosts > 1 else 0
        return Strike(0, duration_us(random, *LIES_S), "", (whom,))

    def begin(self, world: World, strike: Strike) -> None:
        liars = []
        for number in strike.hosts:
            liar = recruit(world, world.hosts[number])
            if liar is not None:
                liar.takes_up(self.kind)
                liars.append(liar)
        world.left[strike] = liars
        for liar in liars:
            self._round(world, strike, liar, is_begun=False)

    def _round(self, world: World, strike: Strike, liar: Liar, *, is_begun: bool) -> None:
        if liar not in world.left.get(strike, ()):
            return
        if liar.turn():
            kind = KINDS[self.kind]
            if kind.begin is not None and not is_begun:
                kind.begin(liar)
            is_begun = True
            before = liar.said
            if kind.act is not None:
                kind.act(liar)
            if liar.said > before:
                world.watch.befell(self.kind)
        world.after(ROUND_US, lambda: self._round(world, strike, liar, is_begun=is_begun))

    def end(self, world: World, strike: Strike) -> None:
        for liar in world.left.pop(strike, ()):
            liar.lays_down(self.kind)


LIES: Final = {kind: Lie(kind) for kind in KINDS}

"""
The state of the network: who reaches whom, how fast, and which promises it breaks.

Faults change it, and the network asks it. Everything is per direction, so that a partition may be
one-way. Rates are probabilities per message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from random import Random
from typing import Final

from attrs import define, field

from simulations.latency import MODELS, Latency
from simulations.pipe import RTO_US

#: Losses in a row of one message after which its connection is taken as dead.
LOSSES_MAX: Final = 8


@define(eq=False)
class Weather:
    """Conditions of all paths. Hosts are numbers."""

    latency: Latency = MODELS["lan"]
    #: Bytes a second of each direction of each connection; None for no bound.
    bandwidth: int | None = None
    #: Packets that are lost cost TCP a time-out; so many in a row that it gives up are a reset.
    loss: float = 0.0
    #: What no TCP does, but a broken middle box or a peer's own mistake: whole messages that come
    #: never, twice, or after the next one.
    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    #: A flipped bit under the channel's seal: the receiver closes the link.
    flip: float = 0.0
    #: Slower pairs: (source, target) → µs more, each way.
    slow: dict[tuple[int, int], int] = field(factory=dict)
    #: (source, target) → how many faults cut it.
    _cuts: Counter[tuple[int, int]] = field(factory=Counter)

    def reaches(self, source: int, target: int) -> bool:
        """Whether a packet from *source* arrives at *target*."""
        return not self._cuts or (source, target) not in self._cuts

    def cut(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Take these directions away; each `cut` is undone by one `mend`."""
        self._cuts.update(pairs)

    def mend(self, pairs: Iterable[tuple[int, int]]) -> None:
        for pair in pairs:
            self._cuts[pair] -= 1
            if self._cuts[pair] <= 0:
                del self._cuts[pair]

    def clear(self) -> None:
        """Fair weather: every path whole, every promise kept. Latency and bandwidth stay."""
        self._cuts.clear()
        self.slow.clear()
        self.loss = self.drop = self.duplicate = self.reorder = self.flip = 0.0

    def cuts(self) -> list[tuple[int, int]]:
        """Directions that are cut, ascending."""
        return sorted(self._cuts)

    def delay_us(self, source: tuple[int, str], target: tuple[int, str], random: Random) -> int:
        """How long one message takes, in µs; hosts are (number, region)."""
        delay = self.latency(source[1], target[1], random)
        if self.slow:
            delay += self.slow.get((source[0], target[0]), 0)
        if self.loss:
            losses = 0
            while losses < LOSSES_MAX and random.random() < self.loss:
                delay += RTO_US << losses
                losses += 1
        return delay

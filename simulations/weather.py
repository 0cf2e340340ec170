"""
The state of the network: who reaches whom, how fast, and which promises it breaks.

Faults change it, and the network asks it. Cuts are per direction, so that a partition may be
one-way. Rates are probabilities per message. Faults overlap: each adds what it does and takes it
away again, and the worst of what stands is what counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from random import Random
from typing import Final

from attrs import define, field

from simulations.latency import MODELS, HeavyTail, Latency
from simulations.pipe import RTO_US

#: Losses in a row of one message after which TCP's next try comes through, by 51 s.
LOSSES_MAX: Final = 8
#: What may be worse than fair, and how two faults that do it add up.
WORST: Final[dict[str, Callable[[list[float]], float]]] = {
    "bandwidth": min,
    "loss": max,
    "drop": max,
    "duplicate": max,
    "reorder": max,
    "flip": max,
    "heavy_tail": max,
}


def _nobody(_what: str) -> None:
    """Nobody counts."""


@define(eq=False)
class Weather:
    """Conditions of all paths. Hosts are numbers."""

    latency: Latency = MODELS["lan"]
    #: Told what took effect.
    befell: Callable[[str], None] = _nobody
    #: Bytes a second of each direction of each connection; None for no bound.
    bandwidth: float | None = None
    #: Packets that are lost cost TCP a time-out.
    loss: float = 0.0
    #: What no TCP does, but a broken middle box or a peer's own mistake: whole messages that come
    #: never, twice, or after the next one.
    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    #: A flipped bit under the channel's seal: the receiver closes the link.
    flip: float = 0.0
    #: Median of a latency with a heavy tail that comes on top, in µs.
    heavy_tail: float = 0.0
    #: Slower pairs: (source, target) → µs more.
    slow: Counter[tuple[int, int]] = field(factory=Counter)
    #: Grows whenever a direction may have been cut or given back.
    turns: int = 0
    #: (source, target) → how many faults cut it.
    _cuts: Counter[tuple[int, int]] = field(factory=Counter)
    #: Name → what faults ask for at the moment, and what it is without any.
    _asked: dict[str, list[float]] = field(factory=dict)
    _fair: dict[str, float | None] = field(factory=dict)

    def reaches(self, source: int, target: int) -> bool:
        """Whether a packet from *source* arrives at *target*."""
        return not self._cuts or (source, target) not in self._cuts

    def cut(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Take these directions away; each `cut` is undone by one `mend`."""
        self.turns += 1
        self._cuts.update(pairs)

    def mend(self, pairs: Iterable[tuple[int, int]]) -> None:
        self.turns += 1
        _take(self._cuts, dict.fromkeys(pairs, 1))

    def slow_down(self, pairs: Iterable[tuple[int, int]], by_us: int) -> None:
        """Messages of these directions take longer; undone by `speed_up`."""
        self.slow.update(dict.fromkeys(pairs, by_us))

    def speed_up(self, pairs: Iterable[tuple[int, int]], by_us: int) -> None:
        _take(self.slow, dict.fromkeys(pairs, by_us))

    def worsen(self, name: str, value: float) -> None:
        """One fault more asks for *value* of *name*, one of `WORST`."""
        self._fair.setdefault(name, getattr(self, name))
        self._asked.setdefault(name, []).append(value)
        setattr(self, name, WORST[name](self._asked[name]))

    def better(self, name: str, value: float) -> None:
        """It no longer asks; after `clear` this changes nothing."""
        asked = self._asked.get(name, [])
        if value in asked:
            asked.remove(value)
            setattr(self, name, WORST[name](asked) if asked else self._fair.pop(name))

    def clear(self) -> None:
        """Fair weather: every path whole, every promise kept. Latency and bandwidth as made."""
        self.turns += 1
        self._cuts.clear()
        self.slow.clear()
        for name, value in self._fair.items():
            setattr(self, name, value)
        self._asked.clear()
        self._fair.clear()
        self.loss = self.drop = self.duplicate = self.reorder = self.flip = 0.0

    def cuts(self) -> list[tuple[int, int]]:
        """Directions that are cut, ascending."""
        return sorted(self._cuts)

    def delay_us(self, source: tuple[int, str], target: tuple[int, str], random: Random) -> int:
        """How long one message takes, in µs; hosts are (number, region)."""
        delay = self.latency(source[1], target[1], random)
        if self.slow and (more := self.slow.get((source[0], target[0]))):
            self.befell("slow_link")
            delay += more
        if self.heavy_tail:
            self.befell("heavy_tail")
            delay += HeavyTail(int(self.heavy_tail))("", "", random)
        if self.loss:
            losses = 0
            while losses < LOSSES_MAX and random.random() < self.loss:
                delay += RTO_US << losses
                losses += 1
            if losses:
                self.befell("loss")
        return delay


def _take(counts: Counter[tuple[int, int]], less: dict[tuple[int, int], int]) -> None:
    for pair, count in less.items():
        counts[pair] -= count
        if counts[pair] <= 0:
            del counts[pair]

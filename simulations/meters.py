"""
Meters: what a report shows of one run, sampled as it goes. They watch and change nothing.

Samples are as many for a short run as for a long one, so that a picture never has more than it can
show.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from attrs import define, field

from mesh.core.effects import Effect
from mesh.core.errors import ProtocolViolation
from mesh.core.records import PutEntry, Record
from mesh.gossip.messages import Entries, Push
from simulations.watch import Watcher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mesh.core.inputs import Input
    from simulations.host import Host
    from simulations.pipe import End
    from simulations.world import World

#: Samples of one run: about one for each point of a picture's width.
SAMPLES_MAX: Final = 400
#: States of a host in `reach` that are no group.
DOWN: Final = -1
PAUSED: Final = -2
UP: Final = -3


@define
class Sample:
    """The world at one instant; lists are by host."""

    at_s: float
    #: Which hosts reach each other: the least number of those in one piece, or DOWN, PAUSED.
    reach: list[int]
    #: Distinct state hashes, and distinct frontiers, among hosts that are up.
    states: int
    frontiers: int
    #: Greatest depth of the queues since the last sample, over all hosts.
    queues: dict[str, int]


@define(eq=False)
class Meters(Watcher):
    """Samples a world from the moment it has hosts until it ends."""

    world: World
    every_us: int
    samples: list[Sample] = field(factory=list)
    #: Messages and bytes by kind of message.
    kinds: Counter[str] = field(factory=Counter)
    octets: Counter[str] = field(factory=Counter)
    #: Entries in pushes and answers, counted each time one is carried over a link.
    carried: int = 0
    #: Entries of others that came to a disk: each has to be carried once at least. (Members begin
    #: with a copy of what the founder has by then.)
    received: int = 0
    #: (time in s, kind) of each fault that took effect.
    faults: list[tuple[float, str]] = field(factory=list)
    marks: list[tuple[float, str]] = field(factory=list)
    high_water: dict[str, int] = field(factory=dict)
    _inbox: int = 0
    #: What `reach` last rested on, and what it was.
    _pieces: tuple[object, list[int]] = (None, [])
    _is_sampling: bool = False

    def started(self, host: Host) -> None:  # noqa: ARG002 - the first host starts the clock
        if not self._is_sampling:
            self._is_sampling = True
            self.world.after(0, self._sample)

    def stepped(self, host: Host, inputs: Sequence[Input], effects: Sequence[Effect]) -> None:
        del host, effects
        self._inbox = max(self._inbox, len(inputs))

    def sent(self, host: Host, end: End, data: bytes) -> None:
        del host, end
        try:
            message = self.world.reading.message(data, size_max=len(data))
        except ProtocolViolation:
            # Only a liar says what is no message.
            self.kinds["garbage"] += 1
            self.octets["garbage"] += len(data)
            return
        kind = type(message).__name__
        self.kinds[kind] += 1
        self.octets[kind] += len(data)
        if isinstance(message, Push | Entries):
            self.carried += len(message.entries)

    def recorded(self, host: Host, records: Sequence[Record]) -> None:
        del host
        self.received += sum(type(record) is PutEntry and not record.own for record in records)

    def befell(self, what: str) -> None:
        self.faults.append((self.world.now_s, what))

    def quiesced(self) -> None:
        self.marks.append((self.world.now_s, "at rest"))
        self._look()

    def _sample(self) -> None:
        self._look()
        self.world.after(self.every_us, self._sample)

    def _look(self) -> None:
        engines = [host.running for host in self.world.up]
        states = {engine.replica.state_hash() for engine in engines}
        frontiers = {engine.replica.port.roots() for engine in engines}
        queues = self._queues()
        for name, depth in queues.items():
            self.high_water[name] = max(depth, self.high_water.get(name, 0))
        self.samples.append(
            Sample(self.world.now_s, self._reach(), len(states), len(frontiers), queues)
        )
        self._inbox = 0

    def _queues(self) -> dict[str, int]:
        """The fullest of each kind over all hosts."""
        found = {"inputs in a batch": self._inbox, "bytes in a send buffer": 0}
        for host in self.world.up:
            counts = host.running.replica.counts()
            for name in ("deferred", "waiting", "parked", "undecided", "pending"):
                found[name] = max(counts[name], found.get(name, 0))
            for end in self.world.network.links(host):
                backlog = end.backlog
                found["bytes in a send buffer"] = max(backlog, found["bytes in a send buffer"])
        return found

    def _reach(self) -> list[int]:
        """Pieces of the network: hosts that reach each other both ways, directly or not."""
        states = tuple(
            PAUSED if host.is_paused else UP if host.is_up else DOWN for host in self.world.hosts
        )
        asked = self.world.network.weather.turns, states
        if asked != self._pieces[0]:
            self._pieces = asked, self._pieces_of(states)
        return self._pieces[1]

    def _pieces_of(self, states: Sequence[int]) -> list[int]:
        weather, piece = self.world.network.weather, list(states)
        rest = [number for number, state in enumerate(states) if state == UP]
        while rest:
            first, *rest = rest
            piece[first], edge = first, [first]
            while edge and rest:
                here = edge.pop()
                near = {n for n in rest if weather.reaches(here, n) and weather.reaches(n, here)}
                for there in near:
                    piece[there] = first
                edge += sorted(near)
                rest = [n for n in rest if n not in near]
        return piece

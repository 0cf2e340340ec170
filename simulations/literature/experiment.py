"""
One run: 15 nodes in virtual time, 100 events each, and what went over the links meanwhile.

How events, intervals and messages interleave:
- The go-ahead reaches all nodes at once, and every node performs its events one second apart from
  then on, at most `GO_MS_MAX` later than the others.
- A node's interval of one second began when the node was started, at any time before: the phases of
  the intervals are spread evenly over a second, and stay as they are.
- A link delivers in order, after `LATENCY_MS`.
- Two seconds after its last event, and every two seconds from then on, a node looks whether it has
  everybody's events. When all have seen that, the run ends; until then all go on synchronizing.

All of it is drawn from the seed: phases first, then, from other dice, latencies and keys, so that
every algorithm meets the same nodes.

Source: Enes et al., ICDE 2019, section V; `exp_simulation_runner.erl`, `exp_rsg.erl` and
    `ldb_shard.erl` of the authors' exp and ldb at https://github.com/vitorenesduarte.
"""

from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Final, TypeAlias

from attrs import define, field, frozen

from simulations.literature.measure import elements
from simulations.literature.replication import (
    ALGORITHMS,
    Message,
    Replica,
    Send,
    message_bytes,
    payload,
)
from simulations.literature.topology import Topology
from simulations.literature.workloads import EVENTS, Event, State, Workload

__all__ = ["INTERVAL_MS", "LATENCY_MS", "Figures", "run"]

INTERVAL_MS: Final = 1_000
CHECK_MS: Final = 2_000
GO_MS_MAX: Final = 20
LATENCY_MS: Final = (1, 5)
"""A guess: nodes of one data centre. Nothing measured here depends on it while it is short."""
RUN_MS_MAX: Final = 10 * EVENTS * INTERVAL_MS
"""A run that is not over then never will be."""


@frozen
class Figures:
    """What a run cost; elements and bytes are counted when they are sent."""

    payload: int
    #: Each event's elements to every other node once.
    minimum: int
    messages: int
    sent_bytes: int
    #: Elements that a node holds, state and overhead, right after it has synchronized, on average
    #: over nodes and intervals. The authors' timers, too, fire together, so that a buffer is seen
    #: at its fullest: before the acknowledgements of what was sent at that instant.
    memory: float
    duration_ms: int

    @property
    def ratio(self) -> float:
        """Payload as a multiple of the minimum."""
        return self.payload / self.minimum


@frozen
class _Write:
    node: int
    number: int


@frozen
class _Interval:
    node: int


@frozen
class _Check:
    node: int


@frozen
class _Arrival:
    sender: int
    receiver: int
    message: Message


_Due: TypeAlias = _Write | _Interval | _Check | _Arrival


@define
class _Run:
    workload: Workload
    replicas: list[Replica]
    latency: Random
    #: One for each node, so that its keys do not depend on the order in which nodes write.
    random: list[Random]
    now_ms: int = 0
    order: "count[int]" = field(factory=count)
    agenda: list[tuple[int, int, _Due]] = field(factory=list)
    last_ms: dict[tuple[int, int], int] = field(factory=dict)
    complete: State = field(init=False)
    waiting: set[int] = field(init=False)
    payload: int = 0
    minimum: int = 0
    messages: int = 0
    sent_bytes: int = 0
    samples: list[int] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.complete = self.workload.bottom
        self.waiting = set(range(len(self.replicas)))

    def at(self, due_ms: int, due: _Due) -> None:
        heappush(self.agenda, (due_ms, next(self.order), due))

    def until_done(self) -> None:
        while self.waiting:
            self.now_ms, _, due = heappop(self.agenda)
            assert self.now_ms < RUN_MS_MAX, f"nodes {sorted(self.waiting)} lack events"
            match due:
                case _Write(node, number):
                    self.write(node, number)
                case _Interval(node):
                    replica = self.replicas[node]
                    self.send(node, replica.synchronize())
                    self.samples.append(elements(replica.state) + replica.overhead())
                    self.at(self.now_ms + INTERVAL_MS, due)
                case _Arrival(sender, receiver, message):
                    self.send(receiver, self.replicas[receiver].receive(sender, message))
                case _Check(node):
                    self.check(node)

    def write(self, node: int, number: int) -> None:
        replica = self.replicas[node]
        delta = self.workload.mutate(replica.state, Event(node, number, self.random[node]))
        replica.update(delta)
        self.complete = self.complete.join(delta)
        self.minimum += elements(delta) * (len(self.replicas) - 1)
        if number < EVENTS:
            self.at(self.now_ms + INTERVAL_MS, _Write(node, number + 1))
        else:
            self.at(self.now_ms + CHECK_MS, _Check(node))

    def check(self, node: int) -> None:
        if self.replicas[node].state == self.complete:
            self.waiting.discard(node)
        else:
            self.at(self.now_ms + CHECK_MS, _Check(node))

    def send(self, sender: int, sends: list[Send]) -> None:
        # One message to several neighbours is measured once.
        distinct = {id(message): message for _, message in sends}
        sizes = {at: (payload(each), message_bytes(each)) for at, each in distinct.items()}
        for receiver, message in sends:
            elements_sent, bytes_sent = sizes[id(message)]
            self.messages += 1
            self.payload += elements_sent
            self.sent_bytes += bytes_sent
            link = (sender, receiver)
            due_ms = self.now_ms + self.latency.randint(*LATENCY_MS)
            self.last_ms[link] = due_ms = max(due_ms, self.last_ms.get(link, 0))
            self.at(due_ms, _Arrival(sender, receiver, message))


def run(workload: Workload, topology: Topology, algorithm: str, *, seed: int) -> Figures:
    """Perform one run of the experiment. Cost: seconds for gmap, less for the others."""
    nodes = len(topology)
    make = ALGORITHMS[algorithm]
    replicas = [make(node, topology[node], workload.bottom, nodes) for node in range(nodes)]
    phases = Random(f"{seed} phases")
    world = _Run(
        workload,
        replicas,
        Random(f"{seed} latency"),
        [Random(f"{seed} keys {node}") for node in range(nodes)],
    )
    for node in range(nodes):
        world.at(INTERVAL_MS + phases.randint(0, GO_MS_MAX), _Write(node, 1))
        world.at(phases.randrange(INTERVAL_MS), _Interval(node))
    world.until_done()
    return Figures(
        payload=world.payload,
        minimum=world.minimum,
        messages=world.messages,
        sent_bytes=world.sent_bytes,
        memory=sum(world.samples) / len(world.samples),
        duration_ms=world.now_ms,
    )

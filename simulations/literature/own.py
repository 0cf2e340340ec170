"""
Our own protocol at the same work: 15 hosts that run the real engine, on the same links.

Each event of a workload is one write of one host, durable and sealed at once into one signed entry,
on one Worknode that all share:
- `gset`: an element is added to an add-wins set;
- `gcounter`: a counter is incremented by 1;
- `gmapK`: the registers of the same keys as there are set, as one group.

An element is one op of a data entry. It is counted, as there, whenever it is sent: in a push or in
an answer of repair. Bytes are those of all messages, encoded, comparisons of roots included,
without the channel's framing, which is not counted there either. Measured is from the first event
until all hosts hold the same, which is asked every two seconds after the last event. What was said
before (links, members, the Worknode's creation) is not counted.

Churn: every `CHURN_PERIOD_S` one host, drawn from the seed, is killed (`kill -9`) and starts again
after `simulations.host.RESTART_US`; in 80 s that is one of 15, 5 % a minute. What it would have
written meanwhile is not written.
"""

from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Final

from attrs import define, field, frozen

from capability.data_body import decode_data
from capability.entry import KIND_DATA
from capability.keys import SIGNATURE_BYTES
from mesh.core.effects import Reply
from mesh.core.writes import AddToSet, Create, Increment, SetRegister, Write
from mesh.gossip.messages import Entries, Push
from mesh.replica.writer import Submitted
from simulations.host import RESTART_US, Host
from simulations.literature.experiment import CHECK_MS, GO_MS_MAX, INTERVAL_MS
from simulations.literature.topology import Topology, links
from simulations.literature.workloads import (
    EVENTS,
    Event,
    Workload,
    element_of,
    keys_of,
    percentage_of,
)
from simulations.watch import Watcher
from simulations.world import SECOND_US, World

if TYPE_CHECKING:
    from simulations.pipe import End

__all__ = ["CHURN_EVENTS", "CHURN_PERIOD_S", "OwnFigures", "run_own"]

CHURN_PERIOD_S: Final = 80
CHURN_EVENTS: Final = 200
"""Events of each host under churn, so that two hosts are killed."""
SETTLE_S: Final = 15.0
CONVERGE_S: Final = 600.0
_MS_US: Final = 1_000


@frozen
class OwnFigures:
    """What a run cost; see `simulations.literature.experiment.Figures`."""

    payload: int
    #: Each op that was sent at all, to every other host once.
    minimum: int
    messages: int
    sent_bytes: int
    #: Entries carried, the same one each time: so many signatures are among the bytes.
    entries: int
    restarts: int
    duration_ms: int
    #: By type of message: how many, and their bytes.
    kinds: dict[str, tuple[int, int]]

    @property
    def ratio(self) -> float:
        """Payload as a multiple of the minimum."""
        return self.payload / self.minimum

    @property
    def unsigned_bytes(self) -> int:
        """The bytes less those of the signatures; hashes, chains and grants stay."""
        return self.sent_bytes - SIGNATURE_BYTES * self.entries


@define(eq=False)
class _Meter(Watcher):
    """Counts what is sent, by elements and bytes."""

    world: World
    payload: int = 0
    entries: int = 0
    messages: Counter[str] = field(factory=Counter)
    octets: Counter[str] = field(factory=Counter)
    #: Ops of each distinct entry that was carried.
    ops: dict[bytes, int] = field(factory=dict)

    def sent(self, host: Host, end: "End", data: bytes) -> None:  # noqa: ARG002 - of every host
        message = self.world.reading.message(data, size_max=len(data))
        kind = type(message).__name__
        self.messages[kind] += 1
        self.octets[kind] += len(data)
        if isinstance(message, Push | Entries):
            for encoded in message.entries:
                self.entries += 1
                self.payload += self._ops(encoded)

    def _ops(self, encoded: bytes) -> int:
        entry = self.world.reading.entry(encoded)
        if entry.header.kind != KIND_DATA:
            return 0
        if entry.id not in self.ops:
            self.ops[entry.id] = len(decode_data(entry.body).ops)
        return self.ops[entry.id]


@define(eq=False)
class _Created(Watcher):
    """Waits for the Worknode that all will write to."""

    node: bytes = b""

    def answered(self, host: Host, reply: Reply) -> None:  # noqa: ARG002 - told of every host
        if isinstance(reply.value, Submitted) and reply.value.created:
            (self.node,) = reply.value.created


def writes_of(workload: Workload, event: Event, node: bytes) -> tuple[Write, ...]:
    """What a host writes to *node* where a replica of the literature's makes a delta."""
    percentage = percentage_of(workload.name)
    if percentage is not None:
        keys = keys_of(event, percentage)
        return tuple(SetRegister(node, 0, f"{key}", b"") for key in keys)
    if workload.name == "gset":
        return (AddToSet(node, 0, "elements", element_of(event)),)
    assert workload.name == "gcounter", workload.name
    return (Increment(node, 0, "count", 1),)


@define(eq=False)
class _Course:
    """The events and restarts of one run, put on the world's heap."""

    world: World
    workload: Workload
    node: bytes
    random: list[Random]
    restarts: int = 0

    def write(self, host: Host, number: int) -> None:
        event = Event(host.number, number, self.random[host.number])
        self.world.submit(host, *writes_of(self.workload, event, self.node))

    def kill(self, host: Host) -> None:
        self.restarts += 1
        host.die()
        self.world.after(RESTART_US, host.start)


def _agreed(world: World) -> bool:
    """All are up and hold the same."""
    if len(world.up) < len(world.hosts):
        return False
    first, *rest = (host.running.replica.port.roots() for host in world.hosts)
    return all(roots == first for roots in rest)


def _prepared(topology: Topology, seed: int) -> tuple[World, bytes]:
    """A world whose hosts are linked as given and hold one Worknode; its id."""
    world = World(seed)
    world.spawn(len(topology), edges=links(topology))
    world.run(until_s=world.now_s + SETTLE_S)
    created = _Created()
    world.watch.add(created)
    founder = world.hosts[0]
    root = founder.running.replica.store.root
    world.submit(founder, Create(root, "shared", nonce=bytes(16)))
    assert world.run_until(lambda: created.node != b"" and _agreed(world), within_s=CONVERGE_S)
    world.watch.remove(created)
    world.run(until_s=world.now_s + SETTLE_S)
    return world, created.node


def run_own(
    workload: Workload,
    topology: Topology,
    *,
    seed: int,
    events: int = EVENTS,
    is_churned: bool = False,
) -> OwnFigures:
    """
    Perform one run. Cost: ten seconds for a hundred events.

    Args:
        workload: What is written.
        topology: Who is linked with whom.
        seed: Of everything that is drawn.
        events: Writes of each host.
        is_churned: Hosts are killed meanwhile.
    """
    world, node = _prepared(topology, seed)
    course = _Course(
        world, workload, node, [Random(f"{seed} keys {at}") for at in range(len(topology))]
    )
    phases, victims = Random(f"{seed} phases"), Random(f"{seed} churn")
    meter = _Meter(world)
    world.watch.add(meter)
    begin_us = world.now_us
    for host in world.hosts:
        go_ms = INTERVAL_MS + phases.randint(0, GO_MS_MAX)
        for number in range(1, events + 1):
            due_ms = go_ms + (number - 1) * INTERVAL_MS
            world.at(begin_us + due_ms * _MS_US, course.write, host, number)
    if is_churned:
        for at_s in range(CHURN_PERIOD_S // 2, events, CHURN_PERIOD_S):
            victim = world.hosts[victims.randrange(len(world.hosts))]
            world.at(begin_us + at_s * SECOND_US, course.kill, victim)
    last_us = begin_us + (events * INTERVAL_MS + GO_MS_MAX) * _MS_US
    world.run(until_s=(last_us + CHECK_MS * _MS_US) / SECOND_US)
    assert world.run_until(lambda: _agreed(world), within_s=CONVERGE_S, step_s=CHECK_MS / 1_000)
    return OwnFigures(
        payload=meter.payload,
        minimum=sum(meter.ops.values()) * (len(topology) - 1),
        messages=meter.messages.total(),
        sent_bytes=meter.octets.total(),
        entries=meter.entries,
        restarts=course.restarts,
        duration_ms=(world.now_us - begin_us) // _MS_US,
        kinds={kind: (count, meter.octets[kind]) for kind, count in sorted(meter.messages.items())},
    )

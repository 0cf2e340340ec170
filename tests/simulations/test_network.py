"""What a network promises while nothing strikes it, and how each promise comes back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from attrs import define, field

from mesh.core.effects import Effect, Reply
from mesh.core.inputs import (
    Input,
    LinkClosed,
    OutboxDrained,
    OutboxFull,
    Received,
)
from mesh.core.limits import HEARTBEAT_MS, OUTBOX_BYTES_MAX, SILENCE_MS_MAX
from mesh.core.writes import Create, SetRegister
from mesh.greeting import NO_HELLO
from mesh.replica.writer import Submitted
from simulations.host import Host
from simulations.latency import HeavyTail, Latency
from simulations.network import FIRST_MESSAGE_US_MAX
from simulations.pipe import End
from simulations.run import is_settled
from simulations.watch import Watcher
from simulations.world import World

LOST = SILENCE_MS_MAX / 1000, (SILENCE_MS_MAX + HEARTBEAT_MS) / 1000


@define(eq=False)
class Record(Watcher):
    """What was sent and what came, per link of the receiver, and everything else by time."""

    world: World
    sent_on: dict[int, list[bytes]] = field(factory=lambda: defaultdict(list))
    came_on: dict[int, list[bytes]] = field(factory=lambda: defaultdict(list))
    told: list[tuple[float, int, Input]] = field(factory=list)
    created: list[bytes] = field(factory=list)

    def sent(self, host: Host, end: End, data: bytes) -> None:
        self.sent_on[end.peer.link].append(data)

    def stepped(self, host: Host, inputs: Sequence[Input], effects: Sequence[Effect]) -> None:
        for item in inputs:
            if isinstance(item, Received):
                self.came_on[item.link].append(item.data)
            else:
                self.told.append((self.world.now_s, host.number, item))

    def answered(self, host: Host, reply: Reply) -> None:
        if isinstance(reply.value, Submitted):
            self.created += reply.value.created

    def times(self, kind: type[Input]) -> list[float]:
        return [at_s for at_s, _, item in self.told if isinstance(item, kind)]


def pair(latency: Latency | None = None) -> tuple[World, Record]:
    """Two hosts in sync after ten seconds, and the id of one Worknode."""
    world = World(seed=4) if latency is None else World(seed=4, latency=latency)
    record = Record(world)
    world.watch.add(record)
    world.spawn(2)
    world.run(until_s=10)
    assert is_settled(world)
    root = world.hosts[0].running.replica.store.root
    world.submit(world.hosts[0], Create(root, "task", nonce=bytes(16)))
    world.run(until_s=12)
    record.told.clear()
    return world, record


def write(world: World, record: Record, number: int, value: object) -> None:
    assert world.submit(world.hosts[number], SetRegister(record.created[0], 0, "notes", value))


def test_messages_come_in_the_order_in_which_they_were_sent() -> None:
    world, record = pair(HeavyTail(50_000))
    for value in range(200):
        write(world, record, value % 2, value)
        world.run(until_s=world.now_s + 0.02)
    world.run(until_s=100)
    assert sum(map(len, record.came_on.values())) > 200
    assert {k: v for k, v in record.came_on.items() if v} == record.sent_on


def test_what_a_short_cut_has_stalled_comes_later_on_the_same_link() -> None:
    world, record = pair()
    links = [end.link for host in world.hosts for end in world.network.links(host)]
    world.cut([(0, 1), (1, 0)], during=(13, 15))
    world.run(until_s=14)
    write(world, record, 0, "late")
    world.run(until_s=14.9)
    assert not is_settled(world)
    world.run(until_s=16)
    assert is_settled(world)
    assert [end.link for host in world.hosts for end in world.network.links(host)] == links


def test_a_silent_peer_is_given_up_when_the_heart_beats_patience_is_over() -> None:
    world, record = pair()
    world.cut([(0, 1), (1, 0)], during=(13, 30))
    world.run(until_s=29)
    closed = record.times(LinkClosed)
    assert len(closed) == 2
    assert all(LOST[0] <= at_s - 13 <= LOST[1] for at_s in closed)
    world.run(until_s=45)
    assert is_settled(world)


def test_one_direction_is_enough_to_lose_a_link() -> None:
    world, record = pair()
    world.cut([(0, 1)], during=(13, 30))
    world.run(until_s=29)
    first, second = record.times(LinkClosed)
    assert LOST[0] <= first - 13 <= LOST[1]
    assert second - first < 0.1, "the way back is open: the other side is told"
    world.run(until_s=45)
    assert is_settled(world)


def test_a_full_send_buffer_refuses_and_repair_brings_the_rest() -> None:
    world, record = pair()
    world.network.weather.worsen("bandwidth", 50_000)
    for _ in range(OUTBOX_BYTES_MAX // 60_000 + 20):
        write(world, record, 0, "x" * 60_000)
    world.run(until_s=30)
    assert len(record.times(OutboxFull)) == 1, "once until it has drained"
    assert record.times(OutboxDrained) == []
    assert all(end.backlog <= OUTBOX_BYTES_MAX for end in world.network.links(world.hosts[0]))
    world.run(until_s=120)
    assert len(record.times(OutboxDrained)) == 1
    world.run(until_s=240)
    assert is_settled(world)
    assert world.watch.faults["bandwidth"] > 0


def test_a_faster_wire_is_faster_for_what_waits_already() -> None:
    world, record = pair()
    world.network.weather.worsen("bandwidth", 1_000)
    write(world, record, 0, "x" * 60_000)
    world.run(until_s=20)
    assert not is_settled(world)
    world.heal()
    world.run(until_s=22)
    assert is_settled(world)


def test_a_half_open_link_is_found_by_its_silence() -> None:
    world, record = pair()
    world.network.half_open(world.network.links(world.hosts[0])[0])
    assert [len(world.network.links(host)) for host in world.hosts] == [0, 1]
    world.run(until_s=25)
    assert record.times(LinkClosed)
    assert [len(world.network.links(host)) for host in world.hosts] == [1, 1]
    assert is_settled(world)


def test_a_link_that_is_cut_short_delivers_only_its_beginning() -> None:
    world, record = pair()
    end = world.network.links(world.hosts[0])[0]
    end.doom = 1
    before = len(record.came_on[end.peer.link])
    for value in range(5):
        write(world, record, 0, value)
        world.run(until_s=world.now_s + 0.001)
    world.run(until_s=13)
    assert end.is_closed
    assert len(record.came_on[end.peer.link]) == before + 1
    assert len(record.sent_on[end.peer.link]) > before + 1
    assert world.watch.faults["truncate"] == 1
    world.run(until_s=25)
    assert is_settled(world)


def test_a_link_that_was_to_be_cut_short_is_whole_after_the_heal() -> None:
    world, record = pair()
    end = world.network.links(world.hosts[0])[0]
    end.doom = 1
    world.heal()
    for value in range(5):
        write(world, record, 0, value)
        world.run(until_s=world.now_s + 1)
    assert not end.is_closed
    assert world.watch.faults["truncate"] == 0


def test_a_link_without_a_hello_is_closed() -> None:
    world, record = pair()
    world.network.weather.worsen("drop", 1.0)
    world.network.reset(world.network.links(world.hosts[0])[0])
    world.run(until_s=world.now_s + 2)
    opened_s = world.now_s
    world.run(until_s=opened_s + FIRST_MESSAGE_US_MAX / 1_000_000 + 1)
    # By the link, on which nothing came, or by the engine, which waits for a hello just as long.
    reasons = {item.reason for _, _, item in record.told if isinstance(item, LinkClosed)}
    assert reasons & {"no message came", NO_HELLO}
    world.heal()
    world.run(until_s=world.now_s + 30)
    assert is_settled(world)

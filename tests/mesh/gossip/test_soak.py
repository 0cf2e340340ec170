"""Disorder by seed: writes, lost pushes, forks, flapping links; then everybody is equal."""

from __future__ import annotations

import random

import pytest

from capability.entry import Entry
from mesh.core.effects import Send
from mesh.core.limits import REPAIR_INTERVAL_MS
from mesh.gossip.messages import Push
from mesh.wire import encode_message
from tests.mesh.gossip.world import FakeReplica, World, chain, name

PAIRS = (("a", "b"), ("b", "c"), ("a", "c"), ("c", "d"))


class Introducing(FakeReplica):
    """Takes an author's entries only when the author before it in the list is held."""

    def __init__(self, order: list[bytes], *lanes: list[Entry]) -> None:
        self.order = order
        self.waiting: list[Entry] = []
        super().__init__(*lanes)

    def take(self, entry: Entry) -> str:
        at = self.order.index(entry.header.author)
        if at and not self.row(self.order[at - 1], 0).seq:
            self.waiting.append(entry)
            return "waiting"
        outcome = super().take(entry)
        waiting, self.waiting = self.waiting, []
        for other in waiting:
            self.take(other)
        return outcome


@pytest.mark.parametrize("seed", range(4))
def test_authors_that_introduce_each_other_backwards_all_arrive(seed: int) -> None:
    # Worst case: every author is introduced by one that sorts behind it.
    order = [name(9 - i) for i in range(9)]
    lanes = [chain(author, 4, lane=lane, size=20_000) for author in order for lane in (0, 1)]
    world = World(seed=seed, a=Introducing(order), b=Introducing(order, *lanes))
    world.connect("a", "b")
    world.settle()
    assert world.in_sync()
    assert world.peers["a"].logs == []


class Disorder:
    """Random acts on a world of four nodes, each the only writer of its lanes until it forks."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.world = World(seed=seed, **{label: FakeReplica() for label in "abcd"})
        self.links: dict[tuple[str, str], int] = {}

    def act(self) -> None:
        match self.random.choice("wwwwwwfllsst"):
            case "w":
                self.write(self.random.choice("abcd"))
            case "f":
                self.fork()
            case "l":
                self.flap(self.random.choice(PAIRS))
            case "s":
                for _ in range(self.random.randint(1, 30)):
                    self.world.step()
            case "t":
                if self.links:
                    self.world.tick()

    def write(self, label: str) -> None:
        replica = self.world.peers[label].replica
        lane = self.random.randint(0, 1)
        held = replica.lanes.get((name(label), lane))
        if held is not None and held.proof is not None:
            return
        before = held.entries if held is not None else []
        size = self.random.choice((10, 10, 10, 40_000))
        entry = chain(name(label), 1, lane=lane, size=size, after=before)[-1]
        replica.take(entry)
        push = encode_message(Push((entry.encode(),)))
        for pair, link in self.links.items():
            # A third of the pushes is lost, as with a full buffer.
            if label in pair and self.random.random() < 0.66:
                self.world.execute(label, [Send(link, push)])

    def fork(self) -> None:
        """A node writes another entry where a lane of somebody else ends for it."""
        label, other = self.random.sample("abcd", 2)
        if self.random.random() < 0.8:
            return
        replica = self.world.peers[label].replica
        held = replica.lanes.get((name(other), 1))
        if held is not None and held.entries and held.proof is None:
            replica.take(chain(name(other), 1, after=held.entries, mark=label.encode())[-1])

    def flap(self, pair: tuple[str, str]) -> None:
        link = self.links.pop(pair, None)
        if link is None:
            self.links[pair] = self.world.connect(*pair)
            if self.random.random() < 0.5:
                self.world.push_on(self.links[pair])
        else:
            self.world.cut(link)


@pytest.mark.parametrize("seed", range(25))
def test_disorder_ends_in_order(seed: int) -> None:
    disorder = Disorder(seed)
    world = disorder.world
    for _ in range(300):
        disorder.act()
    for pair in PAIRS:
        if pair not in disorder.links:
            disorder.flap(pair)
    world.run_until(world.in_sync, for_ms=12 * REPAIR_INTERVAL_MS)
    start = len(world.sent)
    world.run(for_ms=10 * REPAIR_INTERVAL_MS)
    assert set(world.count(start)) == {"Roots", "RootsReply"}
    assert not any(line.busy for peer in world.peers.values() for line in peer.reconcile.status())


def test_repair_of_a_backlog_costs_little_more_than_the_backlog() -> None:
    lanes = [chain(name(i), 50, size=1_000) for i in range(30)]
    world = World(a=FakeReplica(), b=FakeReplica(*lanes))
    world.connect("a", "b")
    world.settle()
    payload = sum(len(entry.encode()) for entries in lanes for entry in entries)
    assert payload > 1_000_000
    assert world.bytes_of("a") + world.bytes_of("b") <= payload * 1.02


def linked(pairs: str, *, seed: int, **replicas: FakeReplica) -> World:
    world = World(seed=seed, **replicas)
    for pair in pairs.split():
        world.push_on(world.connect(pair[0], pair[1]))
    world.settle()
    return world


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("pairs", ["ab bc cd", "ab ac ad bc bd cd", "ab ac ad"])
def test_a_write_reaches_everybody_without_time_passing(pairs: str, seed: int) -> None:
    world = linked(pairs, seed=seed, **{label: FakeReplica() for label in "abcd"})
    start = len(world.sent)
    for entry in chain(name("a"), 20):
        world.write("a", entry)
    world.settle()
    assert world.equal()
    copies = sum(len(m.entries) for _, m, _ in world.sent[start:] if isinstance(m, Push))
    # Never back to where it came from, and at most once over each link in each direction.
    assert 20 * 3 <= copies <= 20 * (2 * len(pairs.split()) - 3)
    assert set(world.count(start)) <= {"Push", "Prune"}

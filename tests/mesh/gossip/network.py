"""
A network of pushing and repairing nodes in virtual time, and what a broadcast costs on it.

The paper's measures (§4): relative message redundancy, payloads sent less those needed over those
needed; and the last delivery hop, the longest way that an entry took.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Iterable, Sequence

from attrs import define

from capability.entry import Entry, decode_entry
from mesh.core.effects import Effect, Log, Send
from mesh.core.inputs import Now
from mesh.gossip.messages import Entries, Have, Message, Push
from mesh.wire import Unknown, decode_message
from tests.mesh.gossip.world import SIZE_MAX, WALL_MS, FakeReplica, Peer, chain, name

Edge = tuple[int, int]

#: Enes et al., ICDE 2019: their overlays of fifteen nodes.
TREE15: list[Edge] = [
    *((0, 1), (0, 8), (0, 13), (1, 6), (2, 5), (3, 10), (4, 5), (5, 6), (6, 10)),
    *((7, 13), (8, 9), (8, 14), (10, 12), (11, 13)),
]
MESH15: list[Edge] = [
    *((0, 1), (0, 4), (0, 11), (0, 14), (1, 2), (1, 5), (1, 12), (2, 3), (2, 6), (2, 13)),
    *((3, 4), (3, 7), (3, 14), (4, 5), (4, 8), (5, 6), (5, 9), (6, 7), (6, 10), (7, 8), (7, 11)),
    *((8, 9), (8, 12), (9, 10), (9, 13), (10, 11), (10, 14), (11, 12), (12, 13), (13, 14)),
]
FULL15: list[Edge] = [(a, b) for b in range(15) for a in range(b)]


def random_graph(nodes: int, degree: int, seed: int) -> list[Edge]:
    """A connected graph: a ring, and random links until the mean degree is reached."""
    dice = random.Random(seed)
    edges = {tuple(sorted((node, (node + 1) % nodes))) for node in range(nodes)}
    while len(edges) < nodes * degree // 2:
        edges.add(tuple(sorted(dice.sample(range(nodes), 2))))
    return sorted((a, b) for a, b in edges)


@define
class Costs:
    """What was sent, and how far it went."""

    #: Entries in pushes and in answers of repair.
    payloads: int = 0
    #: Entries that nodes held newly, other than their own.
    delivered: int = 0
    haves: int = 0
    have_bytes: int = 0
    have_messages: int = 0
    last_hop: int = 0

    @property
    def ratio(self) -> float:
        """Payloads sent over those needed: 1 + the relative message redundancy."""
        return self.payloads / self.delivered


class Network:
    """Nodes, links with latencies, and one clock. Everything is a function of the seed."""

    def __init__(self, nodes: int, edges: Iterable[Edge], *, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.now_ms = 0
        self.replicas = [FakeReplica() for _ in range(nodes)]
        self.peers = [Peer(str(node), self.replicas[node]) for node in range(nodes)]
        self.edges = list(edges)
        #: Link number → its two ends.
        self.links: dict[int, Edge] = {}
        self.down: set[int] = set()
        self.costs = Costs()
        self.sent: Counter[str] = Counter()
        self.arrived_ms: dict[tuple[int, bytes], int] = {}
        self._hops: dict[tuple[int, bytes], int] = {}
        self._logs: list[list[Entry]] = [[] for _ in range(nodes)]
        self._queue: list[tuple[int, int, int, int, bytes]] = []
        self._free_ms: dict[tuple[int, int], int] = {}
        self._latency_ms: dict[Edge, tuple[int, int]] = {}
        #: Node → when it is next to be told the time.
        self._due_ms: dict[int, tuple[int, int]] = {}
        self._count = 0
        self._link = 0
        for edge in self.edges:
            self.connect(*edge)

    @property
    def now(self) -> Now:
        return Now(self.now_ms, WALL_MS + self.now_ms)

    # -- links and nodes

    def connect(self, one: int, two: int) -> None:
        self._link += 1
        link = self._link
        self.links[link] = (one, two)
        base = self._latency_ms.setdefault((one, two), (self.random.randint(5, 15), 0))
        self._latency_ms[one, two] = base
        roots = [self.replicas[node].roots() for node in (one, two)]
        for node, other, theirs in ((one, two, roots[1]), (two, one, roots[0])):
            peer = self.peers[node]
            peer.broadcast.opened(link)
            peer.broadcast.ready(link, self.peers[other].key)
            effects = peer.reconcile.link_ready(link, self.peers[other].key, *theirs, self.now)
            self.execute(node, effects)

    def disconnect(self, link: int) -> None:
        for node in self.links.pop(link):
            self.peers[node].broadcast.closed(link)
            self.execute(node, self.peers[node].reconcile.link_closed(link, self.now))

    def fail(self, node: int) -> None:
        """The node is gone, and all its links; what it held is on its disk."""
        self.down.add(node)
        for link in [link for link, ends in self.links.items() if node in ends]:
            self.disconnect(link)

    def restart(self, node: int) -> None:
        """It remembers nothing but its log."""
        self.down.discard(node)
        self.peers[node] = Peer(str(node), self.replicas[node])
        for one, two in self.edges:
            if node in (one, two) and not {one, two} & self.down:
                self.connect(one, two)

    # -- messages

    def execute(self, node: int, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Log):
                self.peers[node].logs.append(effect)
                continue
            assert isinstance(effect, Send)
            if effect.link not in self.links or node in self.down:
                continue
            message = decode_message(effect.data, size_max=SIZE_MAX)
            assert not isinstance(message, Unknown)
            self._count_sent(message, len(effect.data))
            one, two = self.links[effect.link]
            target = two if node == one else one
            base = self._latency_ms[one, two][0]
            due = self.now_ms + base + self.random.randint(0, base // 4)
            due = max(due, self._free_ms.get((effect.link, target), 0))
            self._free_ms[effect.link, target] = due
            self._count += 1
            heapq.heappush(self._queue, (due, self._count, effect.link, target, effect.data))
        self._due_ms.pop(node, None)
        if (due_ms := self.peers[node].deadline) is not None and node not in self.down:
            self._due_ms[node] = (due_ms, node)

    def _count_sent(self, message: Message, size: int) -> None:
        self.sent[type(message).__name__] += 1
        if isinstance(message, Push | Entries):
            self.costs.payloads += len(message.entries)
        if isinstance(message, Have):
            self.costs.haves += len(message.held)
            self.costs.have_bytes += size
            self.costs.have_messages += 1

    def _deliver(self, link: int, target: int, data: bytes) -> None:
        if link not in self.links or target in self.down:
            return
        peer = self.peers[target]
        before = len(peer.held)
        effects = peer.receive(link, data, self.now)
        held = peer.held[before:]
        self.costs.delivered += len(held)
        message = decode_message(data, size_max=SIZE_MAX)
        one, two = self.links[link]
        source = one if target == two else two
        if isinstance(message, Push | Entries):
            for entry in map(decode_entry, message.entries):
                place = (entry.header.author, entry.header.lane, entry.header.seq)
                if place in held:
                    hop = self._hops.get((source, entry.id), 0) + 1
                    self._hops[target, entry.id] = hop
                    self.arrived_ms[target, entry.id] = self.now_ms
                    self.costs.last_hop = max(self.costs.last_hop, hop)
        self.execute(target, effects)

    # -- time

    def write(self, node: int, count: int = 1) -> list[Entry]:
        """Local writes, pushed as one flush."""
        assert node not in self.down
        log = self._logs[node]
        new = chain(name(str(node)), count, after=log)[len(log) :]
        log += new
        for entry in new:
            assert self.replicas[node].take(entry) == "held"
            self.arrived_ms[node, entry.id] = self.now_ms
        self.execute(node, self.peers[node].broadcast.new_entries(new, None, self.now))
        return new

    def run(self, for_ms: int) -> None:
        end = self.now_ms + for_ms
        while True:
            tick_ms, node = min(self._due_ms.values(), default=(end + 1, -1))
            next_ms = min(tick_ms, self._queue[0][0] if self._queue else end + 1)
            if next_ms > end:
                self.now_ms = end
                return
            self.now_ms = max(self.now_ms, next_ms)
            if self._queue and self._queue[0][0] <= self.now_ms:
                _, _, link, target, data = heapq.heappop(self._queue)
                self._deliver(link, target, data)
            else:
                self.execute(node, self.peers[node].tick(self.now))

    def measure(self) -> Costs:
        """What was counted since the last call."""
        self.costs, counted = Costs(), self.costs
        return counted

    def lacking(self, entries: Iterable[Entry]) -> int:
        """How many copies are missing on nodes that are up."""
        ups = [node for node in range(len(self.peers)) if node not in self.down]
        return sum((node, entry.id) not in self.arrived_ms for entry in entries for node in ups)

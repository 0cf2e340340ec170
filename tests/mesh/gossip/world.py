"""A tiny deterministic network of reconcilers over replicas that are nothing but dicts of lanes."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Sequence

from attrs import define, field

from capability.entry import Entry, decode_entry
from mesh.core.effects import Effect, Log, Send
from mesh.core.inputs import Now
from mesh.gossip.broadcast import Broadcast, TreeMessage
from mesh.gossip.messages import Entries, Message, Push, Rows
from mesh.gossip.reconcile import ForkFound, Outcome, Reconcile
from mesh.wire import Unknown, decode_message, encode_message
from tests.mesh.gossip.replicas import MESH, FakeReplica, FakeSigner, Lane, chain, name

__all__ = ["MESH", "FakeReplica", "FakeSigner", "Lane", "World", "chain", "name"]

SIZE_MAX = 1 << 20
WALL_MS = 1_000_000


class Peer:
    """One node as its engine would drive it."""

    def __init__(self, label: str, replica: FakeReplica) -> None:
        self.key = name(label)
        self.replica = replica
        self.reconcile = Reconcile(self.key, replica, encode_message)
        self.broadcast = Broadcast(self.key, replica, encode_message)
        self.logs: list[Log] = []
        self.held: list[tuple[bytes, int, int]] = []

    @property
    def deadline(self) -> int | None:
        dues = (self.reconcile.deadline, self.broadcast.deadline)
        return min((due for due in dues if due is not None), default=None)

    def tick(self, now: Now) -> list[Effect]:
        return self.broadcast.tick(now) + self.reconcile.tick(now)

    def receive(self, link: int, data: bytes, now: Now) -> list[Effect]:
        message = decode_message(data, size_max=SIZE_MAX)
        assert not isinstance(message, Unknown)
        if isinstance(message, TreeMessage):
            return self.broadcast.handle(link, message, now)
        outcome = (
            Outcome([], entries=message.entries)
            if isinstance(message, Push)
            else self.reconcile.handle(link, message, now)
        )
        if isinstance(message, Rows):
            shown = [(row.author, row.lane, row.seq) for row in message.rows]
            self.broadcast.heard(link, shown)
        effects = list(outcome.effects)
        forks = list(outcome.forks)
        if isinstance(message, Entries | Push):
            effects += self._ingest(link, message, outcome.entries, forks, now)
        headers = [fork.first.header for fork in forks if self.replica.add_proof(fork)]
        new = [(header.author, header.lane) for header in headers]
        parted = [place for fork in forks for place in self.replica.parted(fork)]
        settled, self.replica.settled = self.replica.settled, []
        for author, lane in settled:
            effects += self.reconcile.proof_held(author, lane)
        if forks:
            effects += self.reconcile.forks_done(link, new, now, mismatches=parted)
        return effects

    def _ingest(
        self,
        link: int,
        message: Entries | Push,
        entries: tuple[bytes, ...],
        forks: list[ForkFound],
        now: Now,
    ) -> list[Effect]:
        held, shown, mismatches, effects = [], [], [], []
        new: list[Entry] = []
        for data in entries:
            entry = decode_entry(data)
            header = entry.header
            match self.replica.take(entry):
                case "held":
                    held.append((header.author, header.lane, header.seq))
                    new.append(entry)
                case "known":
                    shown.append((header.author, header.lane, header.seq))
                case "mismatch":
                    mismatches.append(((header.lane, header.author), header.seq - 1))
                case "gap" if isinstance(message, Push):
                    effects += self.reconcile.gap(link, header.author, header.lane, header.seq, now)
                case "fork":
                    mine = self.replica.header_at(header.author, header.lane, header.seq)
                    assert mine is not None
                    pair = sorted((mine, entry.signed_header), key=lambda half: half.id)
                    forks.append(ForkFound(*pair))
        self.held += held
        hops = message.hops if isinstance(message, Push) else None
        effects = self.broadcast.new_entries(new, link, now, hops, held + shown) + effects
        if isinstance(message, Push):
            effects += self.broadcast.pushed(link, message.hops, held, shown)
        return effects + self.reconcile.entries_done(link, message, held, mismatches, now)


@define
class Wire:
    """One direction of a link."""

    target: str
    link: int
    queue: deque[bytes] = field(factory=deque)


class World:
    """Delivers one message at a time, from a queue that the seed chooses; then time passes."""

    def __init__(self, *, seed: int = 0, **replicas: FakeReplica) -> None:
        self.random = random.Random(seed)
        self.now_ms = 0
        self.peers = {label: Peer(label, replica) for label, replica in replicas.items()}
        self.wires: dict[tuple[str, int], Wire] = {}
        self.sent: list[tuple[str, Message, int]] = []
        self._link = 0
        self._spins = 0

    @property
    def now(self) -> Now:
        return Now(self.now_ms, WALL_MS + self.now_ms)

    def connect(self, one: str, two: str) -> int:
        """Both sides are ready at once, each with the other's roots."""
        self._link += 1
        self.wires[one, self._link] = Wire(two, self._link)
        self.wires[two, self._link] = Wire(one, self._link)
        first, second = self.peers[one], self.peers[two]
        roots = first.replica.roots(), second.replica.roots()
        link = self._link
        self.execute(one, first.reconcile.link_ready(link, second.key, *roots[1], self.now))
        self.execute(two, second.reconcile.link_ready(link, first.key, *roots[0], self.now))
        return link

    def push_on(self, link: int) -> None:
        """From now on new entries are pushed over this link, in both directions."""
        for label, number in sorted(self.wires):
            if number == link:
                self.peers[label].broadcast.ready(
                    link, self.peers[self.wires[label, number].target].key
                )

    def write(self, label: str, entry: Entry) -> None:
        """A local write: held, then pushed."""
        peer = self.peers[label]
        assert peer.replica.take(entry) == "held"
        self.execute(label, peer.broadcast.new_entries([entry], None, self.now))

    def cut(self, link: int) -> None:
        ends = [end for end in sorted(self.wires) if end[1] == link]
        for end in ends:
            del self.wires[end]
        for label, _ in ends:
            self.peers[label].broadcast.closed(link)
            self.execute(label, self.peers[label].reconcile.link_closed(link, self.now))

    def execute(self, label: str, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Log):
                self.peers[label].logs.append(effect)
                continue
            assert isinstance(effect, Send)
            message = decode_message(effect.data, size_max=SIZE_MAX)
            assert not isinstance(message, Unknown)
            self.sent.append((label, message, len(effect.data)))
            if (label, effect.link) in self.wires:
                self.wires[label, effect.link].queue.append(effect.data)

    def step(self) -> bool:
        """Deliver one message; False when none is under way."""
        full = [end for end in sorted(self.wires) if self.wires[end].queue]
        if not full:
            return False
        wire = self.wires[self.random.choice(full)]
        data = wire.queue.popleft()
        self.execute(wire.target, self.peers[wire.target].receive(wire.link, data, self.now))
        return True

    def settle(self, steps_max: int = 20_000) -> None:
        """Deliver until nothing is under way. No time passes."""
        for _ in range(steps_max):
            if not self.step():
                return
        raise AssertionError(f"still talking after {steps_max} messages")

    def tick(self) -> None:
        """Let time pass to the next deadline, and settle. A deadline may be now, but not again."""
        due = [peer.deadline for peer in self.peers.values()]
        later = min(at for at in due if at is not None)
        self._spins = self._spins + 1 if later <= self.now_ms else 0
        assert self._spins < len(self.wires) + 1, "a deadline in the past spins"
        self.now_ms = max(later, self.now_ms)
        for label, peer in self.peers.items():
            at = peer.deadline
            if at is not None and at <= self.now_ms:
                self.execute(label, peer.tick(self.now))
        self.settle()

    def run(self, *, for_ms: int) -> None:
        end = self.now_ms + for_ms
        self.settle()
        while min(p.deadline or end + 1 for p in self.peers.values()) <= end:
            self.tick()
        self.now_ms = end

    def run_until(self, done: Callable[[], bool], *, for_ms: int) -> None:
        end = self.now_ms + for_ms
        self.settle()
        while not done():
            assert self.now_ms < end, "not done in time"
            self.tick()

    def equal(self) -> bool:
        return len({peer.replica.roots() for peer in self.peers.values()}) == 1

    def in_sync(self) -> bool:
        lines = [line for peer in self.peers.values() for line in peer.reconcile.status()]
        return self.equal() and all(line.in_sync for line in lines)

    def count(self, start: int = 0) -> Counter[str]:
        return Counter(type(message).__name__ for _, message, _ in self.sent[start:])

    def bytes_of(self, label: str, start: int = 0) -> int:
        return sum(size for by, _, size in self.sent[start:] if by == label)

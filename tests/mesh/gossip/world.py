"""A tiny deterministic network of reconcilers over replicas that are nothing but dicts of lanes."""

from __future__ import annotations

import hashlib
import random
from collections import Counter, deque
from collections.abc import Callable, Sequence

from attrs import define, field

from capability.entry import KIND_DATA, KIND_GRANT, Entry, SignedHeader, decode_entry, make_entry
from capability.frontier import FrontierRow, proof_digest
from mesh.core.effects import Effect, Log, Send
from mesh.core.inputs import Now
from mesh.gossip.broadcast import Broadcast, TreeMessage
from mesh.gossip.messages import Entries, Message, Push, Rows
from mesh.gossip.reconcile import ForkFound, Outcome, Reconcile
from mesh.wire import Unknown, decode_message, encode_message

MESH = b"M" * 32
SIZE_MAX = 1 << 20
WALL_MS = 1_000_000
Proof = tuple[SignedHeader, SignedHeader]


def name(label: str | int) -> bytes:
    return str(label).encode().rjust(32, b"\0")


class FakeSigner:
    """Signs nothing: reconciliation never verifies, its engine does."""

    def __init__(self, public: bytes) -> None:
        self.public = public

    def sign(self, data: bytes) -> bytes:
        return hashlib.blake2b(data).digest()


def chain(
    author: bytes,
    length: int,
    *,
    lane: int = 1,
    size: int = 10,
    after: Sequence[Entry] = (),
    mark: bytes = b"x",
) -> list[Entry]:
    """*length* entries that follow *after*; another *mark* gives another branch."""
    made = list(after)
    for seq in range(len(made) + 1, len(made) + length + 1):
        made.append(
            make_entry(
                FakeSigner(author),
                mesh_id=MESH,
                lane=lane,
                seq=seq,
                prev=made[-1].id if made else MESH,
                hlc=seq,
                kind=KIND_DATA if lane else KIND_GRANT,
                leaf=b"",
                body=mark * size,
            )
        )
    return made


@define
class Lane:
    entries: list[Entry] = field(factory=list)
    proof: Proof | None = None


class FakeReplica:
    """Holds what chains. A fork truncates its lane, as the required set does."""

    mesh_id = MESH

    def __init__(self, *lanes: Sequence[Entry]) -> None:
        self.lanes: dict[tuple[bytes, int], Lane] = {}
        self.version = 0
        self.moved: dict[tuple[int, bytes], int] = {}
        for entries in lanes:
            for entry in entries:
                self.take(entry)

    def take(self, entry: Entry) -> str:
        """held, known, gap, mismatch or fork."""
        header = entry.header
        lane = self.lanes.setdefault((header.author, header.lane), Lane())
        if lane.proof is not None and header.seq >= lane.proof[0].header.seq:
            return "known"
        if header.seq <= len(lane.entries):
            mine = lane.entries[header.seq - 1]
            return "known" if mine.id == entry.id else "fork"
        if header.seq > len(lane.entries) + 1:
            return "gap"
        if header.prev != (lane.entries[-1].id if lane.entries else MESH):
            return "mismatch"
        lane.entries.append(entry)
        self._move(header.author, header.lane)
        return "held"

    def add_proof(self, fork: ForkFound) -> bool:
        """Whether the canonical proof is another one now."""
        header = fork.first.header
        lane = self.lanes.setdefault((header.author, header.lane), Lane())
        pool = {half.id: half for half in (fork.first, fork.second, *(lane.proof or ()))}
        least = min(half.header.seq for half in pool.values())
        same = sorted(i for i, half in pool.items() if half.header.seq == least)
        proof = (pool[same[0]], pool[same[1]])
        if lane.proof is not None and lane.proof[0].id == same[0] and lane.proof[1].id == same[1]:
            return False
        lane.proof = proof
        self._move(header.author, header.lane)
        return True

    def _move(self, author: bytes, lane: int) -> None:
        self.version += 1
        self.moved[lane, author] = self.version

    def roots(self) -> tuple[bytes, bytes]:
        both = (repr(list(self.rows(lane))).encode() for lane in (0, 1))
        first, second = (hashlib.sha256(text).digest() for text in both)
        return first, second

    def rows(self, lane: int) -> Sequence[FrontierRow]:
        return [self.row(author, lane) for author, number in sorted(self.lanes) if number == lane]

    def rows_since(self, version: int) -> Sequence[FrontierRow]:
        moved = sorted(key for key, at in self.moved.items() if at > version)
        return [self.row(author, lane) for lane, author in moved]

    def row(self, author: bytes, lane: int) -> FrontierRow:
        held = self.lanes.get((author, lane), Lane())
        seq, proof = len(held.entries), b""
        if held.proof is not None:
            seq = min(seq, held.proof[0].header.seq - 1)
            proof = proof_digest((held.proof[0].id, held.proof[1].id))
        return FrontierRow(author, lane, seq, held.entries[seq - 1].id if seq else MESH, proof)

    def read_range(
        self, author: bytes, lane: int, first: int, last: int, bytes_max: int
    ) -> Sequence[bytes]:
        found: list[bytes] = []
        for entry in self.lanes[author, lane].entries[first - 1 : last]:
            data = entry.encode()
            if found and sum(map(len, found)) + len(data) > bytes_max:
                break
            found.append(data)
        return found

    def header_at(self, author: bytes, lane: int, seq: int) -> SignedHeader | None:
        entries = self.lanes.get((author, lane), Lane()).entries
        return entries[seq - 1].signed_header if 0 < seq <= len(entries) else None

    def entries_by_id(self, ids: Sequence[bytes], bytes_max: int) -> Sequence[bytes]:
        held = {entry.id: entry for lane in self.lanes.values() for entry in lane.entries}
        return [held[i].encode() for i in ids if i in held]

    def fork_proof(self, author: bytes, lane: int) -> Proof | None:
        return self.lanes.get((author, lane), Lane()).proof


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
        return effects + (self.reconcile.forks_done(link, new, now) if forks else [])

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
                    mismatches.append((header.author, header.lane))
                case "gap" if isinstance(message, Push):
                    effects += self.reconcile.gap(link, header.author, header.lane, header.seq, now)
                case "fork":
                    mine = self.replica.header_at(header.author, header.lane, header.seq)
                    assert mine is not None
                    pair = sorted((mine, entry.signed_header), key=lambda half: half.id)
                    forks.append(ForkFound(*pair))
        self.held += held
        hops = message.hops if isinstance(message, Push) else None
        effects = self.broadcast.new_entries(new, link, now, hops=hops) + effects
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

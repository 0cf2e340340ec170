"""
A few engines over memory, entries brought to each in any order, and links that a schedule empties.

The classes are those of a node; only time and the network are made up. Buffers are as small as
`small_buffers` makes them, so that a handful of entries fills them.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from random import Random
from unittest import mock

from attrs import define, field

from capability.bodies import LIMIT_VOID_SUFFIX, Genesis
from capability.entry import KIND_GENESIS, LANE_AUTHORITY, Entry, SignedHeader, make_entry
from capability.ids import ZERO_ID
from capability.keys import SeedSigner
from capability.ledger import Ledger
from capability.verdict import Verdict
from crdt.hlc import pack
from mesh.core.effects import Connect, Disconnect, Effect, Send
from mesh.core.inputs import LinkClosed, LinkOpened, Now, Received, Tick
from mesh.core.records import PutEntry, PutMeta
from mesh.storage.memory import MemoryStore
from tests.mesh.replica.hand import root_hand
from tests.mesh.replica.oracle import Oracle
from tests.mesh.replica.world import TODAY_MS, Mesh, seed
from tests.mesh.swarm.host import Host

Proof = tuple[SignedHeader, SignedHeader]
#: What is brought together and in this order.
Piece = Sequence[Entry | Proof]
#: Chooses among the ends of links with something under way.
Schedule = Callable[[Sequence[tuple[str, int]]], int]

HOSTS = ("ann", "bob", "cec")
#: A peer that cannot be believed for a while is left alone for a minute at most, twice here.
QUIET_MS = 180_000


def founded(*, dead_max: int | None = None) -> Mesh:
    """A mesh whose root is no host, in which data lanes end after so many dead entries."""
    root = SeedSigner(seed("root"))
    limits = () if dead_max is None else ((LIMIT_VOID_SUFFIX, dead_max),)
    body = Genesis(
        name="town",
        nonce=bytes(16),
        roots=(root.public,),
        m=1,
        next_roots=bytes(32),
        recovery=bytes(32),
        rules=1,
        features=0,
        limits=limits,
    ).encode()
    genesis = make_entry(
        root,
        mesh_id=ZERO_ID,
        lane=LANE_AUTHORITY,
        seq=1,
        prev=ZERO_ID,
        hlc=pack(TODAY_MS, 0),
        kind=KIND_GENESIS,
        leaf=b"",
        body=body,
    )
    return Mesh(root, genesis)


def members(mesh: Mesh) -> list[Entry]:
    """The genesis, and the root's grants to all hosts."""
    root = root_hand(mesh)
    mesh.grants += [root.grant(SeedSigner(seed(name)).public) for name in HOSTS]
    return [mesh.genesis, *mesh.grants]


@contextmanager
def small_buffers(*, branch: int = 2, room: int = 2, proofs: int = 1) -> Iterator[None]:
    """Let every buffer that a peer can fill be full soon."""
    with (
        mock.patch("mesh.replica.loading.Ledger", partial(Ledger, branch_entries_max=branch)),
        mock.patch("mesh.replica.admission.DEFERRED_ENTRIES_MAX", room),
        mock.patch("mesh.replica.admission.WAITING_ENTRIES_MAX", room),
        mock.patch("capability.lane.PROOFS_WAITING_MAX", proofs),
    ):
        yield


def first(_ends: Sequence[tuple[str, int]]) -> int:
    return 0


def last(ends: Sequence[tuple[str, int]]) -> int:
    return len(ends) - 1


def by_seed(number: int) -> Schedule:
    random = Random(number)
    return lambda ends: random.randrange(len(ends))


@define
class Town:
    """Hosts that all hold *base*, and are apart until they `exchange`."""

    mesh: Mesh
    base: Sequence[Entry]
    names: Sequence[str] = HOSTS[:2]
    now_ms: int = 0
    hosts: dict[str, Host] = field(factory=dict)
    _queues: dict[tuple[str, int], deque[bytes]] = field(factory=dict)
    _far: dict[tuple[str, int], tuple[str, int]] = field(factory=dict)
    _links: int = 0
    #: Everything that was ever brought.
    entries: dict[bytes, Entry] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.entries = {entry.id: entry for entry in self.base}
        store = MemoryStore()
        store.commit(
            [PutMeta("mesh_id", self.mesh.id), PutEntry(1, self.mesh.genesis, (), own=True)]
        )
        for name in self.names:
            self._add(name, _copy_of(store))
        for name in self.names:
            self.bring(name, self.base[1:])

    def _add(self, name: str, store: MemoryStore) -> None:
        def clock() -> Now:
            return Now(self.now_ms, TODAY_MS + 1_000 + self.now_ms)

        host = Host(
            name, SeedSigner(seed(name)), store, clock, self._effect, self._unplug, Random(1)
        )
        self.hosts[name] = host
        host.start()

    def restart(self, name: str, *, with_snapshot: bool = False) -> None:
        """The process ends and begins again, its links with it."""
        host = self.hosts[name]
        if with_snapshot:
            host._finish(host.engine.replica.snapshot(least=1), ())
        self._unplug(host)
        host.current = None
        host.start()

    def copy(self) -> Town:
        """The same town once more, from its disks."""
        other = copy.copy(self)
        other.hosts, other._queues, other._far = {}, {}, {}
        other.entries = dict(self.entries)
        for name, host in self.hosts.items():
            other._add(name, _copy_of(host.store))
        return other

    def bring(self, name: str, piece: Piece) -> None:
        """Show these to one host, as a peer that is gone again would."""
        host = self.hosts[name]
        replica = host.engine.replica
        for item in piece:
            if isinstance(item, Entry):
                self.entries[item.id] = item
                _, effects, offence = replica.receive([item.encode()], host.now)
            else:
                _, effects, offence = replica.receive_proof(*item, host.now)
            assert not offence, offence
            host._finish(effects, ())

    # -- the network

    def _effect(self, host: Host, effect: Effect) -> None:
        match effect:
            case Send(link, data):
                far = self._far.get((host.name, link))
                if far is not None:
                    self._queues[far].append(data)
            case Disconnect(link, reason):
                raise AssertionError(f"{host.name} ends link {link}: {reason}")
            case Connect():
                pass

    def _unplug(self, host: Host) -> None:
        for end in [end for end in self._far if end[0] == host.name]:
            far = self._far.pop(end)
            self._far.pop(far)
            del self._queues[end], self._queues[far]
            self.hosts[far[0]].batch([LinkClosed(far[1], "it restarts")])

    def link(self, one: str, two: str) -> None:
        """A link between two hosts, over which both have said hello soon."""
        self._links += 2
        number = self._links
        ends = (one, number), (two, number + 1)
        for end, far in (ends, ends[::-1]):
            self._far[end] = far
            self._queues[end] = deque()
        for (name, at), far in (ends, ends[::-1]):
            peer = self.hosts[far[0]].signer.public
            self.hosts[name].batch([LinkOpened(at, peer, name == one, None, bytes(32))])

    def connect(self) -> None:
        """Link all in a line, where they are not linked already."""
        for one, two in zip(self.names, self.names[1:], strict=False):
            if not any(end[0] == one and far[0] == two for end, far in self._far.items()):
                self.link(one, two)

    def step(self, schedule: Schedule, steps: int) -> bool:
        """Deliver so many of the messages under way; whether none is left."""
        for _ in range(steps):
            ends = [end for end in sorted(self._queues) if self._queues[end]]
            if not ends:
                return True
            name, link = ends[schedule(ends)]
            data = self._queues[name, link].popleft()
            self.hosts[name].batch([Received(link, data)])
        return False

    def deliver(self, schedule: Schedule) -> None:
        """Deliver what is under way, one message at a time, until nothing is."""
        assert self.step(schedule, 20_000), "the links do not come to rest"

    def exchange(self, schedule: Schedule = first) -> None:
        """Let time pass until all agree and know it."""
        self.connect()
        end_ms = self.now_ms + QUIET_MS
        self.deliver(schedule)
        while not self.agree():
            assert self.now_ms < end_ms, self.describe()
            dues = [host.engine.deadline for host in self.hosts.values()]
            self.now_ms = max(min(due for due in dues if due is not None), self.now_ms + 1)
            for host in self.hosts.values():
                due = host.engine.deadline
                if due is not None and due <= self.now_ms:
                    host.batch([Tick()])
            self.deliver(schedule)

    # -- what must be equal

    def agree(self) -> bool:
        """Whether all links are in sync and all hosts are equal."""
        lines = [line for host in self.hosts.values() for line in host.engine.reconcile.status()]
        return all(line.in_sync and not line.busy for line in lines) and self.differ() == ""

    def differ(self) -> str:
        """In what the hosts differ, empty if in nothing that matters."""
        for what, show in SHOWN.items():
            if len({show(host) for host in self.hosts.values()}) > 1:
                return what
        return ""

    def follow_the_definitions(self) -> None:
        """Each says what follows from the entries and the proofs that it holds itself."""
        for host in self.hosts.values():
            replica = host.engine.replica
            entries = [self.entries[entry_id] for entry_id in replica.table.ids[1:]]
            proofs = [
                proof
                for author, lane in replica.held.ledger.lanes()
                if (proof := replica.port.fork_proof(author, lane)) is not None
            ]
            oracle = Oracle(self.mesh.id, entries, proofs, host.now.wall_ms)
            assert counted(host) == oracle.result.counted
            assert required(host) == oracle.result.required
            assert replica.state_hash() == oracle.state_hash()

    def describe(self) -> str:
        lines = [f"after {self.now_ms} ms they differ in {self.differ() or 'what they know'}"]
        for host in self.hosts.values():
            rows = [
                (row.author.hex()[:4], row.lane, row.seq, row.head.hex()[:4], row.proof.hex()[:4])
                for lane in (0, 1)
                for row in host.engine.replica.port.rows(lane)
            ]
            lines.append(f"{host.name} {host.engine.reconcile.status()} {rows}")
            lines += [f"    {line.event} {line.fields}" for line in host.logs[-4:]]
        return "\n".join(lines)


def required(host: Host) -> frozenset[bytes]:
    replica = host.engine.replica
    table, ledger = replica.table, replica.held.ledger
    found = (n for n in range(1, table.last + 1) if ledger.requires(table.header(n), table.ids[n]))
    return frozenset(table.ids[n] for n in found)


def counted(host: Host) -> frozenset[bytes]:
    table = host.engine.replica.table
    ids = range(1, table.last + 1)
    return frozenset(table.ids[n] for n in ids if table.verdicts[n] == Verdict.COUNTS)


SHOWN: dict[str, Callable[[Host], object]] = {
    "roots": lambda host: host.engine.replica.port.roots(),
    "required": required,
    "verdicts": counted,
    "state": lambda host: host.engine.replica.state_hash(),
}


def _copy_of(store: MemoryStore) -> MemoryStore:
    other = MemoryStore()
    for slot in MemoryStore.__slots__:
        value = getattr(store, slot)
        setattr(other, slot, copy.copy(value))
    other._touching = {node: list(found) for node, found in store._touching.items()}
    return other

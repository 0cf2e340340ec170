"""
Hosts, links and time. One seed decides latencies, the order of deliveries and what a cut loses.

`run` jumps from one due thing to the next. Links are made by the engines' own dialling: `meet`
only tells one host of another's address; `reaches` says which pairs the network lets through.
"""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from random import Random

from attrs import define, field

from capability.keys import SeedSigner
from mesh.core.effects import Connect, Disconnect, Effect, Send
from mesh.core.inputs import DialFailed, Found, Input, LinkClosed, LinkOpened, Now, Received, Tick
from mesh.storage.memory import MemoryStore
from mesh.wire import Unknown, decode_message
from tests.mesh.replica.world import TODAY_MS, Mesh, new_mesh, seed
from tests.mesh.swarm.homes import founded, invite, joining
from tests.mesh.swarm.host import Host

DIAL_MS = 1_000
LATENCY_MS = (1, 40)
#: Batches at one instant; more is a livelock.
SPINS_MAX = 5_000
BATCH_MAX = 4

End = tuple[str, int]


@define
class Pipe:
    """What is under way to one end of a link."""

    far: End
    queue: deque[tuple[int, Input]] = field(factory=deque)
    #: This side has closed it, and hears nothing but the end.
    closed: bool = False


class World:
    """A mesh of hosts under one clock."""

    def __init__(self, *, seed: int = 0, founder: str = "ann") -> None:
        self.random = Random(seed)
        self.now_ms = 0
        self.mesh: Mesh = new_mesh(founder)
        self.hosts: dict[str, Host] = {}
        self.pipes: dict[End, Pipe] = {}
        self.skew_ms: dict[str, int] = {}
        #: Pairs that may not talk.
        self.walls: set[frozenset[str]] = set()
        #: Messages sent, by type.
        self.sent: Counter[str] = Counter()
        self._timers: list[tuple[int, str, Input]] = []
        self._links = 0
        self.add(founder, founded(self.mesh))

    # -- hosts

    def add(self, name: str, store: MemoryStore, *, key: str = "") -> Host:
        """A host over *store*; with the key of another name it is that one's double."""

        def now() -> Now:
            return Now(self.now_ms, TODAY_MS + 1_000 + self.now_ms + self.skew_ms.get(name, 0))

        signer = SeedSigner(seed(key or name))
        random = Random(self.random.randrange(1 << 32))
        host = Host(name, signer, store, now, self._effect, self._unplug, random)
        self.hosts[name] = host
        host.start()
        return host

    def join(self, name: str, *, by: str, meets: bool = True) -> Host:
        """*name* becomes a member by a ticket of *by*."""
        inviter = self.hosts[by]
        store = joining(invite(inviter, word=name), name, inviter.now.wall_ms)
        host = self.add(name, store)
        if meets:
            self.meet(name, by)
        return host

    def meet(self, name: str, other: str) -> None:
        """*name* is told where *other* listens."""
        host = self.hosts[name]
        host.batch([Found(self.hosts[other].address, "test")])

    @property
    def up(self) -> list[Host]:
        return [host for host in self.hosts.values() if host.current is not None]

    # -- the network

    def partition(self, *groups: Iterable[str]) -> None:
        """Only hosts of one group reach each other."""
        side = {name: number for number, group in enumerate(groups) for name in group}
        names = sorted(self.hosts)
        self.walls = {
            frozenset((a, b)) for a in names for b in names if a < b and side[a] != side[b]
        }
        for end in sorted(self.pipes):
            if end in self.pipes and not self.reaches(end[0], self.pipes[end].far[0]):
                self.cut(end)

    def heal(self) -> None:
        self.walls = set()

    def reaches(self, one: str, two: str) -> bool:
        return frozenset((one, two)) not in self.walls

    def cut(self, end: End) -> None:
        """The connection breaks: of what is under way, each side may still get the beginning."""
        for at in (end, self.pipes[end].far):
            if (pipe := self.pipes.get(at)) is not None:
                self._lose(pipe)
                pipe.queue.append((self.now_ms, LinkClosed(at[1], "connection reset")))

    def _lose(self, pipe: Pipe) -> None:
        kept = self.random.randint(0, len(pipe.queue))
        while len(pipe.queue) > kept and not isinstance(pipe.queue[-1][1], LinkOpened):
            pipe.queue.pop()

    def links_of(self, name: str) -> list[End]:
        return sorted(end for end in self.pipes if end[0] == name)

    def _unplug(self, host: Host) -> None:
        for end in self.links_of(host.name):
            far = self.pipes.pop(end).far
            if (pipe := self.pipes.get(far)) is not None:
                self._lose(pipe)
                pipe.queue.append((self.now_ms, LinkClosed(far[1], "connection reset")))
        self._timers = [timer for timer in self._timers if timer[1] != host.name]

    def _effect(self, host: Host, effect: Effect) -> None:
        match effect:
            case Send(link, data):
                self._send((host.name, link), data)
            case Disconnect(link, reason):
                self._disconnect((host.name, link), reason)
            case Connect(address, node):
                due = self.now_ms + self._latency()
                if not self._answers(host, address, node):
                    self._timers.append((due, host.name, DialFailed(address, "no answer")))
                else:
                    self._open(host, self.hosts[address[0]], due)

    def _latency(self) -> int:
        return self.random.randint(*LATENCY_MS)

    def _answers(self, host: Host, address: tuple[str, int], node: bytes | None) -> bool:
        target = self.hosts.get(address[0])
        if target is None or target.current is None or not self.reaches(host.name, target.name):
            return False
        return node is None or node == target.signer.public

    def _open(self, dialler: Host, target: Host, due: int) -> None:
        self._links += 2
        out, into = (dialler.name, self._links), (target.name, self._links + 1)
        shared = hashlib.blake2b(b"%d" % self._links, digest_size=32).digest()
        opened = LinkOpened(out[1], target.signer.public, True, target.address, shared)
        accepted = LinkOpened(into[1], dialler.signer.public, False, None, shared)
        self.pipes[out] = Pipe(into, deque([(due, opened)]))
        self.pipes[into] = Pipe(out, deque([(due, accepted)]))

    def _send(self, end: End, data: bytes) -> None:
        message = decode_message(data, size_max=len(data))
        assert not isinstance(message, Unknown)
        self.sent[type(message).__name__] += 1
        pipe = self.pipes.get(end)
        far = None if pipe is None or pipe.closed else self.pipes.get(pipe.far)
        if pipe is not None and far is not None and not far.closed:
            self._queue(far, Received(pipe.far[1], data))

    def _queue(self, pipe: Pipe, item: Input) -> None:
        last = pipe.queue[-1][0] if pipe.queue else 0
        pipe.queue.append((max(last, self.now_ms + self._latency()), item))

    def _disconnect(self, end: End, reason: str) -> None:
        pipe = self.pipes.get(end)
        if pipe is None or pipe.closed:
            return
        pipe.closed = True
        pipe.queue.clear()
        pipe.queue.append((self.now_ms, LinkClosed(end[1], reason)))
        if (far := self.pipes.get(pipe.far)) is not None and not far.closed:
            self._queue(far, LinkClosed(pipe.far[1], reason))

    # -- time

    def _due_ms(self, host: Host) -> int | None:
        """When something is next to be done at a host."""
        dues = [self.pipes[end].queue[0][0] for end in self._waiting(host)]
        dues += [due for due, name, _ in self._timers if name == host.name]
        if (deadline := host.engine.deadline) is not None:
            dues.append(deadline)
        return min(dues, default=None)

    def _waiting(self, host: Host) -> list[End]:
        return [end for end in self.links_of(host.name) if self.pipes[end].queue]

    def _take(self, host: Host) -> Iterator[Input]:
        """Some of what is due at a host, as one batch."""
        deadline = host.engine.deadline
        if deadline is not None and deadline <= self.now_ms:
            yield Tick()
        for timer in [t for t in self._timers if t[1] == host.name and t[0] <= self.now_ms]:
            self._timers.remove(timer)
            yield timer[2]
        for _ in range(self.random.randint(1, BATCH_MAX)):
            ready = [e for e in self._waiting(host) if self.pipes[e].queue[0][0] <= self.now_ms]
            if not ready:
                return
            end = self.random.choice(ready)
            item = self.pipes[end].queue.popleft()[1]
            if isinstance(item, LinkClosed):
                del self.pipes[end]
            yield item

    def run(self, for_ms: int, *, until: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass; whether *until* came true. It is asked whenever the clock moves."""
        end, spins = self.now_ms + for_ms, 0
        while True:
            dues = [(due, host) for host in self.up if (due := self._due_ms(host)) is not None]
            next_ms = min((due for due, _ in dues), default=end + 1)
            if next_ms > self.now_ms:
                if until():
                    return True
                if next_ms > end:
                    self.now_ms = end
                    return False
                self.now_ms, spins = next_ms, 0
            spins += 1
            assert spins < SPINS_MAX, f"the world does not come to rest at {self.now_ms} ms"
            host = self.random.choice([host for due, host in dues if due <= self.now_ms])
            host.batch(list(self._take(host)))

    @contextmanager
    def counting(self) -> Iterator[Counter[str]]:
        """The messages sent meanwhile."""
        before, found = Counter(self.sent), Counter[str]()
        yield found
        found.update(self.sent - before)

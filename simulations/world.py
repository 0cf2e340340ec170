"""
The world: virtual time, one heap of what is to come, one seeded source of randomness, and hosts.

`run` takes the next thing from the heap and lets it happen; nothing else makes time pass. A run is
a function of the code and the seed: no wall clock, no global randomness, no order of hashes.

    world = World(seed=7)
    world.spawn(5)
    world.partition({0, 1}, {2, 3, 4}, during=(2.0, 30.0))
    world.run(until_s=60.0)
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Collection, Iterable, Sequence
from random import Random
from typing import Any, Final

from attrs import define, field

from capability.bodies import MEMBER
from capability.keys import SeedSigner
from capability.ticket import Ticket
from mesh.core.effects import Reply
from mesh.core.inputs import EVENTUAL, Input, Submit
from mesh.core.writes import Write
from mesh.storage.memory import MemoryStore
from simulations import homes
from simulations.disk import Disk, Store
from simulations.doctor import Doctor
from simulations.host import Host
from simulations.identity import SCHEMES, Reading, seed_of
from simulations.latency import MODELS, Latency
from simulations.network import Network
from simulations.overlay import full, sparse
from simulations.strike import Strike
from simulations.trace import Trace
from simulations.watch import Watch, Watcher
from simulations.weather import Weather

#: Things that may happen at one instant; more is a livelock, since each takes some time in life.
INSTANT_MAX: Final = 100_000
#: Above so many hosts not every pair is linked, as in the mesh itself.
ALL_PAIRS_MAX: Final = 16
#: Links that a host is given where not every pair is linked. Source: HyParView's active view for
#: 10,000 nodes is 5.
DEGREE: Final = 5
SECOND_US: Final = 1_000_000

Action = Callable[..., None]
Groups = Collection[int]


class Livelock(Exception):
    """Something happens again and again, and no time passes."""


@define(eq=False)
class World:
    """Hosts under one clock. Times are in seconds at the border, in µs inside."""

    seed: int
    latency: Latency = MODELS["lan"]
    signatures: str = "stand-in"
    make_store: Callable[[], Store] = MemoryStore
    now_us: int = 0
    hosts: list[Host] = field(factory=list)
    by_name: dict[str, Host] = field(factory=dict)
    trace: Trace = field(factory=Trace)
    watch: Watch = field(factory=Watch)
    #: Things that happened: each is a delivery, a timer, the end of a commit, a fault.
    happened: int = 0
    #: What the faults that last have left for their end.
    left: dict[Strike, Any] = field(factory=dict)
    random: Random = field(init=False)
    network: Network = field(init=False)
    reading: Reading = field(init=False)
    doctor: Doctor = field(init=False)
    _heap: list[tuple[int, int, Action, tuple[Any, ...]]] = field(factory=list)
    _numbers: itertools.count[int] = field(factory=itertools.count)

    def __attrs_post_init__(self) -> None:
        self.random = Random(self.seed)
        self.network = Network(self, Weather(self.latency, self.watch.befell))
        self.reading = Reading(SCHEMES[self.signatures]())
        self.doctor = Doctor(self)

    # -- time -----------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        """Virtual seconds since the beginning."""
        return self.now_us / SECOND_US

    def at(self, due_us: int, action: Action, *args: object) -> None:
        """Let *action* happen at *due_us*, after what is already to happen then."""
        heapq.heappush(self._heap, (due_us, next(self._numbers), action, args))

    def after(self, delay_us: int, action: Action, *args: object) -> None:
        """Let *action* happen *delay_us* from now."""
        self.at(self.now_us + delay_us, action, *args)

    def run(self, *, until_s: float) -> None:
        """
        Let time pass until *until_s*.

        Raises:
            Violation: A checker found a promise broken.
            Livelock: No time passes any more.
        """
        end_us, heap, instant = round(until_s * SECOND_US), self._heap, 0
        while heap and heap[0][0] <= end_us:
            due_us, _, action, args = heapq.heappop(heap)
            if due_us > self.now_us:
                self.now_us, instant = due_us, 0
            instant += 1
            if instant > INSTANT_MAX:
                raise Livelock(f"{INSTANT_MAX} things at {self.now_s} s, the last {action}")
            self.happened += 1
            action(*args)
        self.now_us = max(self.now_us, end_us)

    def run_until(self, goal: Callable[[], bool], *, within_s: float, step_s: float = 0.5) -> bool:
        """Let time pass until *goal*, which is asked every *step_s*; whether it came true."""
        end_s = self.now_s + within_s
        while not goal():
            if self.now_s >= end_s:
                return False
            self.run(until_s=min(end_s, self.now_s + step_s))
        return True

    def sleep(self, for_s: float) -> None:
        """
        All machines are suspended at one instant and go on together, *for_s* later by their walls.

        As on Linux the monotonic clocks do not notice, and connections stay. Cost: nothing.
        """
        for host in self.hosts:
            host.clock.step(round(for_s * 1000), self.now_us)
            host.clock_changed()

    # -- hosts ----------------------------------------------------------------------------------

    @property
    def up(self) -> list[Host]:
        """Hosts whose process runs, by number."""
        return [host for host in self.hosts if host.is_up]

    @property
    def honest(self) -> list[Host]:
        """Hosts that follow the protocol, by number; only these are ever compared."""
        return [host for host in self.hosts if host.is_honest]

    def spawn(
        self,
        count: int,
        *,
        regions: Sequence[str] = ("",),
        edges: Iterable[tuple[int, int]] | None = None,
    ) -> list[Host]:
        """
        The members of a new mesh: a founder, and hosts that it has admitted.

        Args:
            count: How many, at least one.
            regions: Given to them in turn.
            edges: Who is told of whom. By default every pair up to `ALL_PAIRS_MAX` hosts, and a
                random graph of degree `DEGREE` above. Given edges stay all the links there are.
        """
        assert not self.hosts, "a world has one mesh"
        is_open = edges is None and count <= ALL_PAIRS_MAX
        for number in range(count):
            self.add(f"n{number}", regions[number % len(regions)], is_open=is_open)
        founder = self.hosts[0]
        homes.found(founder.disk, founder.signer, founder.name, self.random.randbytes(16))
        founder.start()
        for host in self.hosts[1:]:
            founder.put(
                homes.admission(
                    founder,
                    host.signer.public,
                    founder.next_request(),
                    akind=MEMBER,
                    label=host.name,
                )
            )
        self.run(until_s=self.now_s + 1)
        for host in self.hosts[1:]:
            homes.copy_of(founder, host.disk, host.name)
            host.start()
        for one, two in _by_default(count, self.random) if edges is None else edges:
            self.hosts[one].find(self.hosts[two].address)
        return self.hosts

    def join(self, name: str, *, by: Host, region: str = "", is_open: bool = True) -> Host:
        """A new member by a ticket of *by*; it is told where *by* listens. Takes virtual time."""
        joined: list[Host] = []
        self.invite(name, by=by, region=region, is_open=is_open, then=joined.append)
        assert self.run_until(lambda: bool(joined), within_s=5.0), "no grant"
        return joined[0]

    def invite(
        self,
        name: str,
        *,
        by: Host,
        region: str = "",
        is_open: bool = True,
        then: Callable[[Host], object],
    ) -> None:
        """
        *by* is asked for a ticket; when it has it, a new member starts, and *then* is told of it.

        Nothing comes of it if *by* lies or refuses, or dies before it answers.
        """
        if by.liar is not None:
            return
        seed = seed_of(self.seed, f"ticket {name}")
        request = homes.invitation(by, SeedSigner(seed), by.next_request())

        def enter(ticket: Ticket) -> None:
            host = self.add(name, region, is_open=is_open)
            homes.enter(host, ticket)
            host.start()
            host.find(by.address)
            then(host)

        def granted(grant: bytes) -> None:
            self.after(0, enter, homes.ticket_of(by, grant, seed))

        self.watch.add(_Granted(self.watch, by, request.request, granted))
        by.put(request)

    def double(self, host: Host) -> Host:
        """A copy of a running home is started on another machine: one key that runs twice."""
        twin = self.add(f"{host.name}-twin-{len(self.hosts)}", host.region, of=host)
        host.is_honest = twin.is_honest = False
        # What it had told its sessions and nobody else may be lost with its log.
        self.watch.set_back(host)
        twin.start()
        for address in host.hints:
            twin.find(address)
        return twin

    def add(
        self,
        name: str,
        region: str = "",
        *,
        is_open: bool = True,
        seed: bytes | None = None,
        of: Host | None = None,
    ) -> Host:
        """A host that does not run; *seed* is of its key, or it is a copy *of* another's home."""
        signer = of.signer if of else self.reading.scheme.signer(seed or seed_of(self.seed, name))
        rng = Random(self.random.getrandbits(64))
        number = len(self.hosts)
        disk = of.disk.copied() if of else Disk(self.make_store())
        host = Host(self, number, name, region, signer, disk, rng, is_open=is_open)
        self.hosts.append(host)
        self.by_name[name] = host
        self.network.add_host()
        return host

    # -- what befalls it ------------------------------------------------------------------------

    def submit(
        self, host: Host, *writes: Write, level: str = EVENTUAL, session: str = ""
    ) -> int | None:
        """A local session writes; the number of its request, None if nobody serves it."""
        if not host.is_up or host.liar is not None:
            return None
        request = Submit(host.next_request(), writes, level, session)
        self.watch.submitted(host, request)
        host.put(request)
        return request.request

    def tell(self, host: Host, item: Input) -> None:
        """An input from outside the network."""
        host.put(item)

    def partition(self, *groups: Groups, during: tuple[float, float] | None = None) -> None:
        """
        Only hosts of one group reach each other; hosts of no group reach nobody.

        Args:
            groups: Host numbers.
            during: From when to when, in seconds of the world; by default from now on, to `heal`.
        """
        side = {number: at for at, group in enumerate(groups) for number in sorted(group)}
        numbers = range(len(self.hosts))
        pairs = [
            (one, two)
            for one in numbers
            for two in numbers
            if one != two and side.get(one, -1 - one) != side.get(two, -1 - two)
        ]
        self.cut(pairs, during=during)

    def cut(
        self, pairs: Collection[tuple[int, int]], *, during: tuple[float, float] | None = None
    ) -> None:
        """Take single directions away, (source, target), now or for a while."""
        if during is None:
            self._cut(pairs)
            return
        begin_s, end_s = during
        self.at(round(begin_s * SECOND_US), self._cut, pairs)
        self.at(round(end_s * SECOND_US), self.mend, pairs)

    def _cut(self, pairs: Collection[tuple[int, int]]) -> None:
        self.watch.befell("cut")
        self.network.weather.cut(pairs)
        self.network.paths_changed()

    def mend(self, pairs: Collection[tuple[int, int]]) -> None:
        """Give back what one `cut` took away."""
        self.network.weather.mend(pairs)
        self.network.paths_changed()

    def heal(self) -> None:
        """Every path whole, every promise of the network kept, and every host up again."""
        self.left.clear()
        self.network.weather.clear()
        self.network.spare()
        self.network.paths_changed()
        for host in self.hosts:
            if host.liar is not None:
                host.liar.stop()
            host.disk.mend()
            host.crash_point = None
            if host.is_paused:
                host.resume()
            if not host.is_up and not host.is_gone:
                host.start()
            host.clock.correct(self.now_us)
            host.clock_changed()


@define(eq=False)
class _Granted(Watcher):
    """Waits for the answer to one request."""

    watch: Watch
    inviter: Host
    request: int
    then: Callable[[bytes], None]

    def answered(self, host: Host, reply: Reply) -> None:
        if host is self.inviter and reply.request == self.request:
            self.watch.remove(self)
            if isinstance(reply.value, bytes):
                self.then(reply.value)

    def died(self, host: Host, *, survived: bool) -> None:  # noqa: ARG002 - as declared
        if host is self.inviter:
            self.watch.remove(self)


def _by_default(count: int, random: Random) -> Iterable[tuple[int, int]]:
    return full(count, random) if count <= ALL_PAIRS_MAX else sparse(count, random, degree=DEGREE)

"""A small engine, a small store and pairs of links: what the tests of the node are made of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio
import trio.testing
from attrs import define, field

from capability.keys import SeedSigner
from mesh.core.effects import Effect, Emit, Log, Persist, Reply, Send
from mesh.core.errors import Denied, ProtocolViolation, StorageError
from mesh.core.events import Event
from mesh.core.inputs import Address, Input, Now, Received, Seal, Submit, SyncNow, Tick
from mesh.core.records import PutEvents, PutMeta, Record
from mesh.node.driver import Driver
from mesh.node.handshake import ChannelKeys
from mesh.node.links import Links

MESH = bytes(range(32))


def signer(number: int) -> SeedSigner:
    return SeedSigner(bytes([number]) * 32)


def keys(number: int, mesh_id: bytes = MESH) -> ChannelKeys:
    return ChannelKeys.create(signer(number), mesh_id)


def event(cursor: int) -> Event:
    return Event(cursor, cursor << 16, "node.updated", b"n" * 16, b"a" * 32, b"", cursor)


@define(eq=False)
class FakeStore:
    """Commits to memory; `broken` makes the disk refuse."""

    metas: dict[str, bytes] = field(factory=dict)
    kept: list[Event] = field(factory=list)
    batches: list[tuple[Record, ...]] = field(factory=list)
    broken: Exception | None = None
    during: Callable[[], None] = lambda: None

    def commit(self, records: Sequence[Record]) -> None:
        self.during()
        if self.broken is not None:
            raise self.broken
        self.batches.append(tuple(records))
        for record in records:
            match record:
                case PutMeta(key, value):
                    self.metas[key] = value
                case PutEvents(events):
                    self.kept += events

    def backup_to(self, path: Path) -> None:
        raise NotImplementedError

    def last_cursor(self) -> int:
        return self.kept[-1].cursor if self.kept else 0

    def events(self, after: int, limit: int) -> list[Event]:
        return [e for e in self.kept if e.cursor > after][:limit]


@define(eq=False)
class EchoEngine:
    """
    Answers each request with its number, and each message with itself.

    What `Submit` writes is the count of all submits so far, so that a lost or doubled one shows.
    """

    store: FakeStore
    deadline: int | None = None
    count: int = 0
    handled: list[Input] = field(factory=list)
    ticks: list[int] = field(factory=list)
    commits: int = 0
    period_ms: int = 0

    @classmethod
    def load(cls, store: FakeStore) -> EchoEngine:
        return cls(store, count=int(store.metas.get("count", b"0")))

    def start(self, now: Now) -> list[Effect]:
        return [Log("info", "started")]

    def handle(self, input: Input, now: Now) -> list[Effect]:  # noqa: A002
        self.handled.append(input)
        match input:
            case Submit(request, level=level):
                return self._submit(request, level)
            case Received(_, b"bad"):
                raise ProtocolViolation("bad bytes")
            case Received(link, data):
                return [Send(link, data)]
            case SyncNow(request):
                return []
            case Seal(request):
                raise ZeroDivisionError("a mistake")
            case Tick():
                self.ticks.append(now.mono_ms)
                self.deadline = now.mono_ms + self.period_ms if self.period_ms else None
        return []

    def _submit(self, request: int, level: str) -> list[Effect]:
        if level == "denied":
            raise Denied("no")
        self.count += 1
        happened = event(self.store.last_cursor() + 1)
        return [
            Persist((PutMeta("count", b"%d" % self.count), PutEvents((happened,)))),
            Emit((happened,)),
            Reply(request, self.count),
        ]

    def flush(self, now: Now) -> list[Effect]:
        return [Log("debug", "flushed")]

    def committed(self) -> None:
        self.commits += 1


@define(eq=False)
class FakeLinks:
    """Writes down what the driver asks of the links."""

    is_paused: bool = False
    next_number: int = 1
    done: list[tuple[object, ...]] = field(factory=list)
    is_full: bool = False

    def connect(self, address: Address, node: bytes | None) -> None:
        self.done.append(("connect", address, node))

    def send(self, number: int, data: bytes) -> bool:
        self.done.append(("send", number, data))
        return not self.is_full

    def disconnect(self, number: int, reason: str) -> None:
        self.done.append(("disconnect", number, reason))

    def reset(self, reason: str) -> None:
        self.done.append(("reset", reason))


@define(eq=False)
class Bench:
    """A driver over the small engine."""

    driver: Driver[EchoEngine]
    store: FakeStore
    links: FakeLinks
    emitted: list[Event]
    lines: list[Log]

    async def submit(self, **fields: object) -> object:
        return await self.driver.request(lambda n: Submit(n, (), **fields))


async def inline(function: Callable[..., object], *args: object) -> object:
    await trio.lowlevel.checkpoint()
    return function(*args)


def bench(*, in_thread: bool = False) -> Bench:
    store, links = FakeStore(), FakeLinks()
    emitted: list[Event] = []
    lines: list[Log] = []
    driver = Driver(
        EchoEngine.load(store),
        load=lambda _now: EchoEngine.load(store),
        store=store,
        links=links,
        emit=emitted.extend,
        log=lines.append,
        in_thread=trio.to_thread.run_sync if in_thread else inline,
    )
    return Bench(driver, store, links, emitted, lines)


@asynccontextmanager
async def running(*, in_thread: bool = False) -> AsyncIterator[Bench]:
    made = bench(in_thread=in_thread)
    async with trio.open_nursery() as nursery:
        await nursery.start(made.driver.run)
        yield made
        nursery.cancel_scope.cancel()


@define(eq=False)
class End:
    """One node's links, with all inputs that they made."""

    links: Links
    inputs: list[Input] = field(factory=list)
    lines: list[Log] = field(factory=list)
    gate: trio.Event = field(factory=trio.Event)

    @classmethod
    def of(cls, number: int, mesh_id: bytes = MESH) -> End:
        end = cls.__new__(cls)
        end.__init__(Links(keys(number, mesh_id), end.put, end.note))
        end.gate.set()
        return end

    async def put(self, item: Input) -> None:
        await self.gate.wait()
        self.inputs.append(item)

    def note(self, line: Log) -> None:
        self.lines.append(line)

    def all(self, kind: type) -> list[Input]:
        return [i for i in self.inputs if isinstance(i, kind)]

    async def first(self, kind: type, number: int = 1) -> Input:
        with trio.fail_after(30):
            while len(self.all(kind)) < number:  # noqa: ASYNC110
                await trio.sleep(0.01)
        return self.all(kind)[number - 1]


DISK_FULL = StorageError("the disk is full")

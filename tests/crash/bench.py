"""
A driver over the real engine and a store in memory, with every effect watched as it happens.

Whatever leaves the node (a message, an answer, an event) is held against the disk at that instant.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import trio
import trio.testing
from attrs import define, field

from capability.entry import Entry, decode_entry
from capability.ids import root_worknode
from capability.keys import SeedSigner
from mesh.core.effects import Log, Reply
from mesh.core.events import Event
from mesh.core.inputs import Address, LinkOpened, Now, Received
from mesh.core.records import PutEntry, PutMeta, PutPending, Record
from mesh.engine import Engine, EngineConfig
from mesh.gossip.messages import Entries, Hello, Push
from mesh.node.driver import Driver
from mesh.node.requests import Requests
from mesh.replica.pending import decode_row
from mesh.replica.writer import Submitted
from mesh.storage.memory import MemoryStore
from mesh.wire import decode_message, encode_message
from tests.mesh.replica.world import TODAY_MS, Mesh, admit, new_mesh, seed

LINK = 1


class Slow(MemoryStore):
    """A store whose commits take a while, and which may refuse the next one."""

    __slots__ = ("is_committing", "stamps")

    def __init__(self) -> None:
        super().__init__()
        self.is_committing = False
        #: Of the LOCAL rows that were ever committed.
        self.stamps: set[int] = set()

    def commit(self, records: Sequence[Record]) -> None:
        super().commit(records)
        self.stamps |= {decode_row(r.data).hlc for r in records if isinstance(r, PutPending)}

    def holds(self, entry_id: bytes) -> bool:
        return bool(self.entries_by_id([entry_id]))


async def slowly(function: Callable[..., object], *args: object) -> object:
    """In the place of a worker thread: others run meanwhile."""
    store = getattr(function, "__self__", None)
    if not isinstance(store, Slow):
        await trio.lowlevel.checkpoint()
        return function(*args)
    store.is_committing = True
    await trio.sleep(0.01)
    store.is_committing = False
    return function(*args)


@define(eq=False)
class Watch:
    """Stands where links, doors and subscribers are; writes down what comes too early."""

    store: Slow
    author: bytes
    is_paused: bool = False
    next_number: int = 1
    early: list[str] = field(factory=list)
    seen: list[object] = field(factory=list)
    pushed: set[bytes] = field(factory=set)

    def _note(self, what: object, *, is_durable: bool) -> None:
        self.seen.append(what)
        if self.store.is_committing or not is_durable:
            self.early.append(repr(what)[:200])

    def connect(self, address: Address, node: bytes | None) -> None:
        self._note(("connect", address), is_durable=True)

    def disconnect(self, number: int, reason: str) -> None:
        self._note(("disconnect", number, reason), is_durable=True)

    def reset(self, reason: str) -> None:
        self.seen.append(("reset", reason))

    def send(self, number: int, data: bytes) -> bool:
        message = decode_message(data, size_max=len(data))
        is_durable = True
        if isinstance(message, Push | Entries):
            ids = {decode_entry(item).id for item in message.entries}
            self.pushed |= ids
            is_durable = all(self.store.holds(entry_id) for entry_id in ids)
        self._note(message, is_durable=is_durable)
        return True

    def emit(self, events: tuple[Event, ...]) -> None:
        self._note(events, is_durable=self.store.last_cursor() >= events[-1].cursor)

    def answered(self, reply: Reply) -> None:
        is_durable = True
        match reply.value:
            case Submitted(entry=entry) if entry:
                is_durable = self.store.holds(entry)
            case Submitted(hlc=hlc):
                is_durable = hlc in self.store.stamps
            case bytes(grant):
                is_durable = self.store.holds(grant)
        self._note(reply, is_durable=is_durable)


class Answers(Requests):
    """Requests whose answers are watched."""

    __slots__ = ("watch",)

    def answer(self, reply: Reply) -> None:
        if reply.error is None:
            self.watch.answered(reply)
        super().answer(reply)


@define(eq=False)
class Bench:
    """One node without sockets; `peer` is a member whose messages the test makes."""

    mesh: Mesh
    peer: SeedSigner
    store: Slow
    driver: Driver[Engine]
    watch: Watch

    @property
    def root(self) -> bytes:
        return root_worknode(self.mesh.id)

    async def link_up(self) -> None:
        """The peer's link opens, and it says hello."""
        put = self.driver.inbox.put
        await put(LinkOpened(LINK, self.peer.public, False, None, b"h" * 32))
        roots = self.driver.engine.replica.port.roots()
        hello = Hello(1, 1, 0, "test", 1, *roots, (None, None), (), "", TODAY_MS)
        await put(Received(LINK, encode_message(hello)))
        await self.settle()

    async def receive(self, *entries: Entry) -> None:
        message = Push(tuple(entry.encode() for entry in entries))
        await self.driver.inbox.put(Received(LINK, encode_message(message)))

    async def settle(self) -> None:
        """Return when all that waited is done."""
        await trio.sleep(1)

    def sent(self, kind: type) -> list[object]:
        return [item for item in self.watch.seen if isinstance(item, kind)]


def bench(kind: type[Driver[Engine]] = Driver) -> Bench:
    """A founder's node, not running yet."""
    mesh, peer = new_mesh(), SeedSigner(seed("peer"))
    grant = admit(mesh, peer.public)
    store = Slow()
    store.commit(
        [
            PutMeta("mesh_id", mesh.id),
            PutEntry(1, mesh.genesis, (), own=True),
            PutEntry(2, grant, (), own=True),
        ]
    )
    watch = Watch(store, mesh.root.public)
    lines: list[Log] = []

    def now() -> Now:
        mono_ms = int(trio.current_time() * 1000)
        return Now(mono_ms, TODAY_MS + 1_000 + mono_ms)

    def load(at: Now) -> Engine:
        rng, config = random.Random(7), EngineConfig("alpha")
        return Engine.load(store, signer=mesh.root, rng=rng, config=config, now=at)

    answers = Answers()
    answers.watch = watch
    driver = kind(
        load(Now(0, TODAY_MS + 1_000)),
        load=load,
        store=store,
        links=watch,
        emit=watch.emit,
        log=lines.append,
        clock=now,
        in_thread=slowly,
        requests=answers,
    )
    return Bench(mesh, peer, store, driver, watch)


@asynccontextmanager
async def running(kind: type[Driver[Engine]] = Driver) -> AsyncIterator[Bench]:
    made = bench(kind)
    async with trio.open_nursery() as nursery:
        await nursery.start(made.driver.run)
        yield made
        nursery.cancel_scope.cancel()

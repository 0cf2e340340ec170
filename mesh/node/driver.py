"""
The driver: the only place where a running node's effects are executed.

One batch: take what waits, let the engine decide, commit all records in one transaction in a
worker thread, then do the rest in the order of the list. Nobody sees an effect before the records
that it rests on are on disk; an effect that follows a failed commit never happens.

After a failed commit (or a mistake inside the engine, whose state then cannot be trusted) every
request of the batch gets the error, all links are closed, and the engine is built anew from disk.
When that happens again and again, writing fails at once with the same error, reads go on from what
is on disk, and the next attempt waits longer and longer.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from copy import copy
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar, assert_never

import trio
from attrs import define, field

from mesh.core.effects import Connect, Disconnect, Effect, Emit, Log, Persist, Reply, Send
from mesh.core.errors import DamagedRecord, MeshError, StorageError, Unavailable, Unknown
from mesh.core.events import Event
from mesh.core.inputs import (
    MDNS,
    Address,
    Found,
    Input,
    LinkClosed,
    Now,
    OutboxDrained,
    OutboxFull,
    Tick,
)
from mesh.core.limits import BATCH_INPUTS_MAX, TICK_MS_MIN
from mesh.core.records import PutSnapshot, Record
from mesh.node import step
from mesh.node.clock import Clock, system_now
from mesh.node.crashpoints import is_armed, reach
from mesh.node.inbox import Inbox
from mesh.node.ports import EnginePort, StorePort
from mesh.node.readers import Readers
from mesh.node.requests import REQUEST_S_MAX, Requests
from mesh.node.step import BatchFailed

#: A batch ends when the engine has worked this long, so that links and doors get their turn.
BATCH_MS_MAX: Final = 50
#: Wait before the engine is built again after a second failure in a row; doubles up to the other.
RECOVER_S_MIN: Final = 0.5
RECOVER_S_MAX: Final = 15.0
#: Addresses found, which a new engine is told again.
HINTS_MAX: Final = 256

E = TypeVar("E", bound=EnginePort)


class LinkTable(Protocol):
    """What the driver needs of the links."""

    is_paused: bool

    @property
    def next_number(self) -> int:
        """Links opened from now on have this number or a greater one."""

    def connect(self, address: Address, node: bytes | None) -> None: ...

    def send(self, number: int, data: bytes) -> bool: ...

    def disconnect(self, number: int, reason: str) -> None: ...

    def reset(self, reason: str) -> None: ...


class Recorder(Protocol):
    """Writes down what the engine is told and how it answers; see `mesh.node.recorder`."""

    def loaded(self, now: Now) -> None:
        """The engine was built from disk."""

    def told(self, now: Now, item: Input | None) -> None:
        """An input, or None for `start`."""

    def flushed(self, now: Now, effects: list[Effect]) -> None:
        """The end of a batch, with all its effects."""

    def committed(self, *, is_durable: bool) -> None:
        """How its commit ended."""


def _thread_of_its_own() -> Callable[..., Awaitable[Any]]:
    # The common limit may be used up by others that wait for the network; a commit must not be.
    return partial(trio.to_thread.run_sync, limiter=trio.CapacityLimiter(1))


@define(eq=False)
class Driver(Generic[E]):
    """
    Runs one engine.

    Attributes:
        engine: The current one, for reading only; it is replaced after a failed commit.
        failure: Why writing is refused now, None while all is well.
    """

    engine: E
    _load: Callable[[Now], E]
    _store: StorePort
    _links: LinkTable
    _emit: Callable[[tuple[Event, ...]], None]
    _log: Callable[[Log], None]
    _clock: Clock = system_now
    _recorder: Recorder | None = None
    # Replaced in tests on a virtual clock, which does not wait for threads.
    _in_thread: Callable[..., Awaitable[Any]] = field(factory=_thread_of_its_own)
    failure: MeshError | None = None
    inbox: Inbox = field(factory=Inbox)
    requests: Requests = field(factory=Requests)
    readers: Readers = field(factory=Readers)
    _hints: OrderedDict[Address, Found] = field(factory=OrderedDict)
    _first_link: int = 0
    _failures: int = 0
    _ticked_ms: int = 0
    #: Why the engine is to be built from the log alone.
    _doubt: MeshError | None = None
    #: Links of which the engine has been told that they are full; at most the open ones.
    _full: set[int] = field(factory=set)

    async def request(
        self, make: Callable[[int], Input], *, timeout_s: float = REQUEST_S_MAX
    ) -> object:
        """Ask the engine; see `Requests.ask` for what may be raised."""
        # The first rebuild takes a moment and is waited for; after that the answer is known.
        if self.failure is not None and self._failures > 1:
            raise copy(self.failure) from self.failure.__cause__
        return await self.requests.ask(self.inbox.put, make, timeout_s=timeout_s)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Start the engine, then serve batches until cancelled."""
        try:
            if self._recorder is not None:
                self._recorder.loaded(self._clock())
            await self._attempt(None)
            task_status.started()
            while True:
                if self.failure is not None:
                    await self._recover()
                    continue
                await self.inbox.wait(self._wait_until_s())
                if self._doubt is not None:
                    self._fail([], self._doubt)
                    continue
                await self._attempt(self._collect)
        finally:
            self.requests.stop()
            self.readers.turn_away(Unavailable("the node is stopping", hint="start it again"))

    def distrust(self, error: MeshError) -> None:
        """A reader found that the engine holds what cannot be read: build it anew, from the log."""
        if self.failure is None:
            self._doubt = error
            self.readers.hold()
            self.inbox.put_back(())

    def _wait_until_s(self) -> float:
        deadline = self.engine.deadline
        if deadline is None:
            return math.inf
        # One ms more, so that the truncated clock has surely reached the deadline.
        return (max(deadline, self._ticked_ms + TICK_MS_MIN) + 1) / 1000

    async def _attempt(self, collect: Callable[[list[Input]], list[Effect]] | None) -> None:
        """One batch; without *collect*, that of `start`."""
        taken: list[Input] = []
        try:
            effects = self._begin() if collect is None else collect(taken)
            if not effects and not taken and collect is not None:
                await self.readers.let_in()
                return
            await self._commit(effects)
        except BatchFailed as failed:
            self._fail(taken, failed.error)
            return
        self._execute_all(effects)
        reach("after_batch")
        await self.readers.let_in(is_answered=any(isinstance(each, Reply) for each in effects))

    def _begin(self) -> list[Effect]:
        self.readers.hold()
        now = self._clock()
        if self._recorder is not None:
            self._recorder.told(now, None)
        return self._flush(step.start(self.engine, now))

    def _collect(self, taken: list[Input]) -> list[Effect]:
        """Let the engine handle what waits, within the bounds of a batch."""
        effects: list[Effect] = []
        self.readers.hold()
        reach("before_engine")
        started_ms = self._clock().mono_ms
        deadline = self.engine.deadline
        if deadline is not None and started_ms >= max(deadline, self._ticked_ms + TICK_MS_MIN):
            self._ticked_ms = started_ms
            taken.append(Tick())
            effects += self._handle(taken[-1])
        while len(taken) < BATCH_INPUTS_MAX and (item := self.inbox.pop()) is not None:
            if self._is_stale(item) or not self.requests.taken(item):
                continue
            if isinstance(item, OutboxDrained | LinkClosed):
                self._full.discard(item.link)
            taken.append(item)
            if isinstance(item, Found):
                self._remember(item)
            effects += self._handle(item)
            if self._clock().mono_ms - started_ms >= BATCH_MS_MAX:
                break
        if taken:
            effects = self._flush(effects)
        reach("after_engine")
        return effects

    def _remember(self, found: Found) -> None:
        # The user's and the network's hints are not on disk, and nobody gives them twice.
        self._hints.pop(found.address, None)
        self._hints[found.address] = found
        if len(self._hints) > HINTS_MAX:
            # What a person or a ticket named outlasts what anybody can announce.
            announced = (each for each, hint in self._hints.items() if hint.source == MDNS)
            del self._hints[next(announced, next(iter(self._hints)))]

    def _is_stale(self, item: Input) -> bool:
        # Links from before the engine was rebuilt mean nothing to the new one.
        link = getattr(item, "link", None)
        return isinstance(link, int) and link < self._first_link

    def _handle(self, item: Input) -> list[Effect]:
        now = self._clock()
        if self._recorder is not None:
            self._recorder.told(now, item)
        return step.handle(self.engine, item, now)

    def _flush(self, effects: list[Effect]) -> list[Effect]:
        now = self._clock()
        effects = effects + step.flush(self.engine, now)
        if self._recorder is not None:
            self._recorder.flushed(now, effects)
        return effects

    async def _commit(self, effects: list[Effect]) -> None:
        records: list[Record] = []
        for effect in effects:
            if isinstance(effect, Persist):
                records += effect.records
        reach("before_commit")
        if is_armed:
            records = _Watched(records)
        if records:
            try:
                # Shielded: a transaction is not left between two minds when the node stops.
                with trio.CancelScope(shield=True):
                    await self._in_thread(self._store.commit, records)
            except Exception as error:
                if self._recorder is not None:
                    self._recorder.committed(is_durable=False)
                raise BatchFailed(step.storage_error(error)) from error
        reach("after_commit")
        if self._recorder is not None:
            self._recorder.committed(is_durable=True)
        try:
            self.engine.committed()
        except Exception as error:
            unknown = Unknown("it may be on disk, but the engine failed after that")
            raise BatchFailed(unknown) from error
        if records:
            self._failures = 0
        reach("after_committed")

    def _execute_all(self, effects: list[Effect]) -> None:
        for effect in effects:
            try:
                self._execute(effect)
            except Exception as error:  # noqa: BLE001 - the others of the batch are promised too
                self._note("driver.effect_failed", error, effect=type(effect).__name__)

    def _execute(self, effect: Effect) -> None:
        match effect:
            case Persist():
                pass
            case Send(link, data):
                reach("before_send")
                if not self._links.send(link, data):
                    self._say_full(link)
                reach("after_send")
            case Connect(address, node):
                self._links.connect(address, node)
            case Disconnect(link, reason):
                self._links.disconnect(link, reason)
            case Emit(events):
                reach("before_emit")
                self._emit(events)
                reach("after_emit")
            case Reply():
                reach("before_reply")
                self.requests.answer(effect)
                reach("after_reply")
            case Log():
                self._log(effect)
            case _:
                assert_never(effect)

    def _say_full(self, link: int) -> None:
        # Once until it has drained; a link that is gone says so by itself.
        if link not in self._full:
            self._full.add(link)
            self.inbox.push(OutboxFull(link))

    def _fail(self, taken: list[Input], error: MeshError) -> None:
        self._failures += 1
        self.failure = error
        if isinstance(error, DamagedRecord) or not isinstance(error, StorageError):
            # No refusal of the disk: what went wrong inside may have come from the snapshot.
            self._doubt = error
        for item in taken:
            self.requests.fail(item, error)
        # Taken in an earlier batch, whose records are on disk: nobody knows how far it came.
        self.requests.fail_handed_over(Unknown("the engine restarted before it answered"))
        self._links.is_paused = True
        self._links.reset("the node restarts its engine")
        self._note("driver.batch_failed", error, in_a_row=self._failures)

    async def _recover(self) -> None:
        """Build the engine anew at once, and let it start: now the first time, later each time."""
        is_loaded = await self._reload()
        if self._failures > 1:
            pause_s = RECOVER_S_MIN * 2 ** min(self._failures - 2, 10)
            if is_loaded:
                await self.readers.let_in()
            await self._refuse_for(min(pause_s, RECOVER_S_MAX))
        if not is_loaded:
            return
        self._first_link = self._links.next_number
        self._full.clear()
        self._ticked_ms = 0
        self.failure = None
        self._links.is_paused = False
        self.inbox.put_back(tuple(self._hints.values()))
        self._log(Log("info", "driver.rebuilt", (("after_failures", self._failures),)))
        await self._attempt(None)

    async def _reload(self) -> bool:
        # Before any pause: the old engine holds what never came to disk, and nobody may read it.
        now = self._clock()
        try:
            with trio.CancelScope(shield=True):
                if self._doubt is not None:
                    await self._in_thread(self._store.commit, [PutSnapshot(0, b"")])
                    self._doubt = None
                engine: E = await self._in_thread(self._load, now)
        except Exception as error:  # noqa: BLE001 - reads go on, it is tried again
            self._failures += 1
            self.failure = step.storage_error(error)
            self._note("driver.load_failed", self.failure, in_a_row=self._failures)
            # The old engine is all there is, and what it holds may never have come to disk.
            self.readers.turn_away(self.failure)
            return False
        self.engine = engine
        if self._recorder is not None:
            self._recorder.loaded(now)
        return True

    async def _refuse_for(self, pause_s: float) -> None:
        assert self.failure is not None
        until_s = trio.current_time() + pause_s
        while trio.current_time() < until_s:
            await self.inbox.wait(until_s)
            while (item := self.inbox.pop()) is not None:
                self.requests.fail(item, self.failure)
                if isinstance(item, Found):
                    self._remember(item)

    def _note(self, event: str, error: BaseException, **fields: object) -> None:
        cause = error.__cause__
        described = (("error", f"{type(error).__name__}: {error}"), ("cause", repr(cause or "")))
        self._log(Log("error", event, (*described, *fields.items())))


class _Watched(list[Record]):
    """Records that notice when the last of them is written: the place before COMMIT."""

    def __iter__(self) -> Iterator[Record]:
        yield from super().__iter__()
        reach("in_commit")

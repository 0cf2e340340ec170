"""
One host: the engine with its disk and clocks, driven as a node's driver drives it.

The same order of things: all inputs that wait are one batch, its records one commit, which takes
time; what stands after a `Persist` happens after that, or never, if the host dies or the disk
refuses. While a commit is under way inputs gather for the next batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Final, assert_never

from attrs import define, field, frozen

from capability.keys import Signer
from mesh.core.effects import Connect, Disconnect, Effect, Emit, Log, Persist, Reply, Send
from mesh.core.errors import MeshError, RemoteError, StorageError
from mesh.core.inputs import Address, Found, Input, Now, Submit, Tick
from mesh.core.limits import BATCH_INPUTS_MAX, TICK_MS_MIN
from mesh.core.records import Record
from mesh.engine import Engine, EngineConfig
from simulations.clock import HostClock
from simulations.disk import Disk

if TYPE_CHECKING:
    from simulations.byzantine import Liar
    from simulations.world import World

#: Every host listens here; the host's name is its address.
PORT: Final = 7420
#: Until a process that has died is up again, in µs: a supervisor's pause and the start itself.
RESTART_US: Final = 1_500_000
#: Log lines that a host keeps.
LINES_MAX: Final = 256
#: Wait before an engine is built again after a second failed commit in a row, in µs; doubles up to
#: the other. Source: `mesh.node.driver.RECOVER_S_MIN` and `RECOVER_S_MAX`.
RECOVER_US_MIN: Final = 500_000
RECOVER_US_MAX: Final = 15_000_000


@frozen
class CrashPoint:
    """The host dies in the middle of its next commit of at least so many records."""

    name: str
    records: int = 1
    #: Whether the commit is on disk then; None for either.
    keeps: bool | None = None


@define(eq=False)
class Host:
    """A node of the world. `engine` is None while its process is down."""

    world: World
    number: int
    name: str
    region: str
    signer: Signer
    disk: Disk
    rng: Random
    clock: HostClock = field(factory=HostClock)
    #: Tells its peers where it listens, so that they tell others. A silent host keeps the links
    #: that it was given.
    is_open: bool = True
    #: A liar's log and state are nobody's measure.
    is_honest: bool = True
    #: Who speaks in its place, or will before long. Its sessions are not served then.
    liar: Liar | None = None
    #: An older copy was put on its disk, and it may not know yet how far its log had gone.
    was_put_back: bool = False
    #: Others may hold entries of its log that it lacks; nobody else may have them.
    has_to_learn: bool = False
    #: It will never be started again.
    is_gone: bool = False
    engine: Engine | None = None
    #: Grows with each start; whatever was meant for an earlier one is void.
    incarnation: int = 0
    is_paused: bool = False
    #: The machine has no power: whoever dials it hears nothing.
    is_silent: bool = False
    inbox: deque[Input] = field(factory=deque)
    #: Addresses that it was told, as a configuration file would.
    hints: dict[Address, Found] = field(factory=dict)
    lines: deque[Log] = field(factory=lambda: deque(maxlen=LINES_MAX))
    failed_commits: int = 0
    crash_point: CrashPoint | None = None
    #: Failed commits since the last good one.
    _failures: int = 0
    #: A commit that ended while the process was stopped.
    _unseen: tuple[Sequence[Input], list[Effect]] | None = None
    _is_committing: bool = False
    _requests: int = 0
    _wake_us: int | None = None
    _has_rung: bool = False
    _ticked_ms: int = -TICK_MS_MIN

    # -- what others ask of it ------------------------------------------------------------------

    @property
    def is_up(self) -> bool:
        """The process runs (it may be paused)."""
        return self.engine is not None

    @property
    def is_committing(self) -> bool:
        """What its engine holds is not all on disk."""
        return self._is_committing

    @property
    def running(self) -> Engine:
        """The engine of a host that is up."""
        assert self.engine is not None, f"{self.name} is down"
        return self.engine

    @property
    def address(self) -> Address:
        return (self.name, PORT)

    @property
    def now(self) -> Now:
        """This host's clocks at this instant."""
        return self.clock.now(self.world.now_us)

    def next_request(self) -> int:
        self._requests += 1
        return self._requests

    def put(self, item: Input) -> None:
        """Something for the engine; lost if the process is down."""
        if self.engine is None:
            return
        self.inbox.append(item)
        self._go_on()

    def find(self, address: Address) -> None:
        """Tell it where another host listens; a restart remembers it."""
        self.hints[address] = found = Found(address, "configuration")
        self.put(found)

    # -- life -----------------------------------------------------------------------------------

    def start(self) -> None:
        """The process starts and reads its disk."""
        assert self.engine is None, f"{self.name} runs already"
        assert not self.is_gone, f"{self.name} is gone"
        self.is_silent = False
        if self.disk.unreadable:
            self.lines.append(Log("error", "the log is damaged; run `mesh doctor`"))
            return
        listen = (self.address,) if self.is_open else ()
        self.load(EngineConfig(self.name, region=self.region, listen=listen), self.now)
        self.world.watch.started(self)
        self._begin()

    def restart(self, incarnation: int) -> None:
        """Start, unless somebody else has since."""
        if self.incarnation == incarnation and self.engine is None and not self.is_gone:
            self.start()

    def load(self, config: EngineConfig, now: Now) -> None:
        """Build the engine from the disk; it has done nothing yet."""
        self.incarnation += 1
        self._is_committing = False
        self._wake_us, self._has_rung = None, False
        self._ticked_ms = -TICK_MS_MIN
        self.engine = Engine.load(
            self.disk.store,
            signer=self.signer,
            rng=self.rng,
            config=config,
            now=now,
            notary=self.world.reading.notary,
        )
        self.engine.decode = self.world.reading.message

    def _begin(self) -> None:
        self.inbox.extend(self.hints.values())
        effects = self.running.start(self.now)
        self._finish_batch((), effects + self.running.flush(self.now))
        self._go_on()

    def die(self, *, is_power_loss: bool = False, keeps: bool | None = None) -> None:
        """
        The process is killed, or the machine loses its power: then no peer is told.

        Args:
            is_power_loss: Of the machine.
            keeps: Whether the commit under way is on disk; by default either.
        """
        if self.engine is None:
            return
        survived = self.disk.crash(self.world.random, keeps=keeps)
        if survived:
            self.world.watch.recorded(self, survived)
        self.world.watch.died(self, survived=bool(survived))
        self.engine = None
        self._failures, self._unseen = 0, None
        self.incarnation += 1
        self._is_committing = False
        self.is_paused = False
        self.is_silent = is_power_loss
        self.inbox.clear()
        self.world.network.unplug(self, is_silent=is_power_loss)

    def pause(self) -> None:
        """The process is stopped; what comes for it waits."""
        self.is_paused = True
        self.world.network.look_at_silence(self)

    def resume(self) -> None:
        self.is_paused = False
        self.world.network.flow_again(self)
        if self._unseen is not None:
            unseen, self._unseen = self._unseen, None
            self._committed(self.incarnation, *unseen)
        self._go_on()

    # -- the step -------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Take what waits, batch by batch, until a commit has to be waited for."""
        while self.engine is not None and not self._is_committing and not self.is_paused:
            inputs = self._collect()
            if not inputs:
                self._set_alarm()
                return
            self._batch(inputs)

    def _collect(self) -> list[Input]:
        inputs: list[Input] = []
        # A deadline passes when its alarm has rung, and not otherwise.
        if self._has_rung:
            self._has_rung = False
            deadline, mono_ms = self.running.deadline, self.now.mono_ms
            if deadline is not None and mono_ms >= max(deadline, self._ticked_ms + TICK_MS_MIN):
                self._ticked_ms = mono_ms
                inputs.append(Tick())
        inbox = self.inbox
        while inbox and len(inputs) < BATCH_INPUTS_MAX:
            inputs.append(inbox.popleft())
        return inputs

    def _batch(self, inputs: Sequence[Input]) -> None:
        now = self.now
        self.world.trace.note(self.world.now_us, self.number, inputs)
        try:
            effects = self.step([(now, item) for item in inputs], now)
        except StorageError as error:
            self._fail(inputs, error)
            return
        self._finish_batch(inputs, effects)

    def step(self, told: Sequence[tuple[Now, Input]], last: Now) -> list[Effect]:
        """What the engine wants done after one batch; nothing of it has happened."""
        effects: list[Effect] = []
        engine = self.running
        for now, item in told:
            effects += _handle(engine, item, now)
        return effects + engine.flush(last)

    def _finish_batch(self, inputs: Sequence[Input], effects: list[Effect]) -> None:
        self.world.watch.stepped(self, inputs, effects)
        records: list[Record] = []
        for effect in effects:
            if type(effect) is Persist:
                records += effect.records
        if not records:
            self.running.committed()
            self._execute_all(effects)
            return
        self._is_committing = True
        if self.disk.slow_us:
            self.world.watch.befell("slow_disk")
        delay_us = self.disk.begin(records)
        self.world.after(delay_us, self._committed, self.incarnation, inputs, effects)
        point = self.crash_point
        if point is not None and len(records) >= point.records:
            self.crash_point = None
            self.world.after(delay_us // 2, self._crash, self.incarnation, point)

    def _crash(self, incarnation: int, point: CrashPoint) -> None:
        if incarnation == self.incarnation:
            self.world.watch.befell(point.name)
            self.die(keeps=point.keeps)
            self.world.after(RESTART_US, self.restart, self.incarnation)

    def _committed(self, incarnation: int, inputs: Sequence[Input], effects: list[Effect]) -> None:
        if incarnation != self.incarnation:
            return
        if self.is_paused:
            self._unseen = (inputs, effects)
            return
        self._is_committing = False
        try:
            records = self.disk.finish()
        except StorageError as error:
            self.world.watch.befell("disk_full")
            self._fail(inputs, error)
            return
        self._failures = 0
        self.running.committed()
        self.world.watch.recorded(self, records)
        self.world.watch.committed(self, effects)
        self._execute_all(effects)
        self._go_on()

    def clock_changed(self) -> None:
        """Somebody has set its clock: when the next deadline is due is to be found anew."""
        self._wake_us = None
        self._set_alarm()

    def _fail(self, inputs: Sequence[Input], error: MeshError) -> None:
        """None of the batch's effects happen; the engine is built anew, later each time."""
        self.failed_commits += 1
        self._failures += 1
        for item in inputs:
            if isinstance(item, Submit):
                self.world.watch.answered(self, Reply(item.request, error=error))
        self.inbox.clear()
        self.world.network.unplug(self, is_silent=False)
        self.engine = None
        if self._failures == 1:
            self.start()
            return
        self.incarnation += 1
        self._is_committing = False
        pause_us = min(RECOVER_US_MIN * 2 ** min(self._failures - 2, 10), RECOVER_US_MAX)
        self.world.after(pause_us, self.restart, self.incarnation)

    def _execute_all(self, effects: Sequence[Effect]) -> None:
        network = self.world.network
        for effect in effects:
            match effect:
                case Send(link, data):
                    said = data if self.liar is None else self.liar.outlet(link, data)
                    if said is not None:
                        network.send(self, link, said)
                case Persist():
                    pass
                case Emit(events):
                    self.world.watch.emitted(self, events)
                case Reply():
                    self.world.watch.answered(self, effect)
                case Connect(address, node):
                    network.dial(self, address, node)
                case Disconnect(link, reason):
                    network.disconnect(self, link, reason)
                case Log():
                    self.lines.append(effect)
                case _:
                    assert_never(effect)

    # -- time -----------------------------------------------------------------------------------

    def _set_alarm(self) -> None:
        if self._is_committing or self.engine is None:
            return
        deadline = self.engine.deadline
        if deadline is None:
            return
        due_ms = max(deadline, self._ticked_ms + TICK_MS_MIN)
        due_us = max(self.clock.true_us(due_ms), self.world.now_us)
        # An alarm that stands earlier looks again when it rings; so few are ever set.
        if self._wake_us is None or due_us < self._wake_us:
            self._wake_us = due_us
            self.world.at(due_us, self._ring, self.incarnation, due_us)

    def _ring(self, incarnation: int, due_us: int) -> None:
        if incarnation != self.incarnation or due_us != self._wake_us:
            return
        self._wake_us = None
        self._has_rung = True
        self._go_on()


def _handle(engine: Engine, item: Input, now: Now) -> list[Effect]:
    """As a node's driver: bad bytes close their link; any other exception is a mistake of ours."""
    try:
        return engine.handle(item, now)
    except RemoteError as error:
        link = getattr(item, "link", None)
        return [] if link is None else [Disconnect(link, error.code)]

"""One engine with its disk: batches, commits, crashes. The network takes its effects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from attrs import define, field

from capability.keys import SeedSigner
from mesh.core.effects import Connect, Disconnect, Effect, Emit, Log, Persist, Reply, Send
from mesh.core.errors import StorageError
from mesh.core.events import Event
from mesh.core.inputs import EVENTUAL, Input, Now, Submit
from mesh.core.writes import Write
from mesh.engine import Engine, EngineConfig
from mesh.replica.writer import Submitted
from mesh.storage.memory import MemoryStore


@define(eq=False)
class Host:
    """A node without its driver: the same order of things, and a disk that can refuse."""

    name: str
    signer: SeedSigner
    store: MemoryStore
    clock: Callable[[], Now]
    #: Takes `Send`, `Connect` and `Disconnect`.
    network: Callable[[Host, Effect], None]
    #: The links are gone: the process died, or its engine was built anew.
    unplug: Callable[[Host], None]
    random: Random
    current: Engine | None = None
    requests: int = 0
    replies: dict[int, Reply] = field(factory=dict)
    logs: list[Log] = field(factory=list)
    events: list[Event] = field(factory=list)
    #: Those of the last batch.
    effects: list[Effect] = field(factory=list)
    #: Ids of entries whose durability was acknowledged.
    acknowledged: list[bytes] = field(factory=list)
    #: Die in the next batch, when this many of its effects are done.
    dies_after: int | None = None
    #: Says where it listens, so that its peers tell others. Silent, a topology stays as it is laid.
    is_open: bool = False
    failed_commits: int = 0

    @property
    def now(self) -> Now:
        return self.clock()

    @property
    def engine(self) -> Engine:
        assert self.current is not None, f"{self.name} is down"
        return self.current

    @property
    def address(self) -> tuple[str, int]:
        return (self.name, 1)

    def start(self) -> None:
        """Build the engine from disk, and let it begin."""
        self.current = Engine.load(
            self.store,
            signer=self.signer,
            rng=self.random,
            config=EngineConfig(self.name, listen=(self.address,) if self.is_open else ()),
            now=self.now,
        )
        self._finish(self.engine.start(self.now), ())

    def die(self) -> None:
        """The process is killed: what is on disk stays."""
        self.current = None
        self.store.crash()
        self.unplug(self)

    def batch(self, inputs: Sequence[Input]) -> None:
        """What a driver does with the inputs that wait. Nothing may raise but the disk."""
        effects: list[Effect] = []
        for item in inputs:
            effects += self.engine.handle(item, self.now)
        self._finish(effects, inputs)

    def _finish(self, effects: list[Effect], inputs: Sequence[Input]) -> None:
        effects = self.effects = effects + self.engine.flush(self.now)
        records = [r for effect in effects if isinstance(effect, Persist) for r in effect.records]
        try:
            self.store.commit(records)
        except StorageError as error:
            self.failed_commits += 1
            for item in inputs:
                if (request := getattr(item, "request", None)) is not None:
                    self.replies[request] = Reply(request, error=error)
            self.unplug(self)
            self.start()
            return
        self.engine.committed()
        for at, effect in enumerate(effects):
            if at == self.dies_after:
                break
            self._execute(effect)
        if self.dies_after is not None:
            self.dies_after = None
            self.die()

    def _execute(self, effect: Effect) -> None:
        match effect:
            case Send() | Connect() | Disconnect():
                self.network(self, effect)
            case Reply(request, value):
                assert request not in self.replies, "answered twice"
                self.replies[request] = effect
                if isinstance(value, Submitted) and value.entry:
                    self.acknowledged.append(value.entry)
            case Emit(events):
                for event in events:
                    # A host that died before it told has left a gap, which is on disk.
                    assert not self.events or event.cursor > self.events[-1].cursor
                    self.events.append(event)
            case Log():
                self.logs.append(effect)

    def next_request(self) -> int:
        self.requests += 1
        return self.requests

    def ask(self, item: Input) -> Reply:
        """One request in a batch of its own; an absent answer is an error of indefinite outcome."""
        request = item.request  # type: ignore[union-attr]
        self.batch([item])
        return self.replies.get(request) or Reply(request, error=StorageError("no answer"))

    def write(self, *writes: Write, level: str = EVENTUAL, session: str = "") -> Reply:
        return self.ask(Submit(self.next_request(), writes, level, session))

    def status(self) -> dict[str, object]:
        return self.engine.status(self.now)

    def said(self, event: str) -> list[Log]:
        return [line for line in self.logs if line.event == event]

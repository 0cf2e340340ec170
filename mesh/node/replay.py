"""
Replaying a recording: the same inputs into an engine built from the same database.

The effects of each batch must have the digest that was recorded, and the state at the end the same
hash. The first batch that differs is named; what follows it would only repeat the difference.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from attrs import define, field, frozen

from mesh.core.effects import Effect, Persist
from mesh.core.errors import StorageError
from mesh.core.inputs import Input, Now
from mesh.core.records import Record
from mesh.node import step
from mesh.node.ports import EnginePort, StorePort
from mesh.node.recorder import DATABASE, INPUTS, VERSION, frames
from mesh.node.structure import digest


@frozen
class ReplayResult:
    """
    What a replay found.

    Attributes:
        mismatch: The first difference in words, None if there is none.
        state_hash: Of the replayed engine at the end.
        recorded_state_hash: Of the recorded one; empty if the recording ended by a crash.
    """

    batches: int
    inputs: int
    mismatch: str | None
    state_hash: bytes
    recorded_state_hash: bytes

    @property
    def is_equal(self) -> bool:
        """Whether the replay did the same, as far as the recording tells."""
        return self.mismatch is None


class ReplayStore(StorePort, Protocol):
    """A store over the copied database."""

    def close(self) -> None:
        """Let go of the file."""


S = TypeVar("S", bound=ReplayStore)


@define(eq=False)
class Replayer(Generic[S]):
    """Feeds one recording to engines made by *load*, which gets the store, seed, extra, now."""

    _store: S
    _load: Callable[[S, Any, Now], EnginePort]
    _state_hash: Callable[[Any], bytes]
    _extra: Any = None
    _engine: EnginePort | None = None
    _effects: list[Effect] = field(factory=list)
    _batches: int = 0
    _inputs: int = 0
    _recorded_hash: bytes = b""

    def run(self, recorded: Iterator[tuple[object, ...]]) -> ReplayResult:
        """Replay all frames, or up to the first difference."""
        mismatch = None
        for frame in recorded:
            mismatch = self._frame(frame)
            if mismatch is not None:
                break
        found = self._state_hash(self._engine) if self._engine is not None else b""
        if mismatch is None and self._recorded_hash not in (b"", found):
            mismatch = "the state at the end has another hash"
        return ReplayResult(self._batches, self._inputs, mismatch, found, self._recorded_hash)

    def _frame(self, frame: tuple[object, ...]) -> str | None:
        match frame:
            case ("record", version, seed, extra):
                if version != VERSION:
                    raise StorageError(f"a recording of version {version}, expected {VERSION}")
                self._extra = (seed, extra)
            case (str(kind), int(mono_ms), int(wall_ms), *rest):
                return self._at(kind, Now(mono_ms, wall_ms), rest)
            case ("commit", bool(is_durable)):
                self._commit(is_durable=is_durable)
            case ("end", bytes(state_hash)):
                self._recorded_hash = state_hash
            case ("full",):
                pass
            case _:
                raise _foreign(frame)
        return None

    def _at(self, kind: str, now: Now, rest: list[object]) -> str | None:
        match kind, rest:
            case "loaded", []:
                self._engine = self._load(self._store, self._extra, now)
                self._effects = []
            case "start", []:
                self._step(lambda e: step.start(e, now))
            case "input", [item]:
                self._inputs += 1
                self._step(lambda e: step.handle(e, _input(item), now))
            case "flush", [bytes(expected)]:
                self._batches += 1
                self._step(lambda e: step.flush(e, now))
                if digest(self._effects) != expected:
                    return f"batch {self._batches} (after input {self._inputs}) has other effects"
            case _:
                raise _foreign((kind, *rest))
        return None

    def _step(self, call: Callable[[EnginePort], list[Effect]]) -> None:
        if self._engine is None:
            raise StorageError("a recording that does not begin with a loaded engine")
        try:
            self._effects += call(self._engine)
        except step.BatchFailed:
            # In the recorded run it failed here too, and a new engine follows; if it did not,
            # the digest of this batch will differ.
            return

    def _commit(self, *, is_durable: bool) -> None:
        assert self._engine is not None
        records: list[Record] = []
        for effect in self._effects:
            if isinstance(effect, Persist):
                records += effect.records
        self._effects = []
        if is_durable:
            if records:
                self._store.commit(records)
            self._engine.committed()


def _foreign(frame: tuple[object, ...]) -> StorageError:
    return StorageError(f"a recording of another version: frame {str(frame)[:60]}")


def _input(item: object) -> Input:
    return item  # type: ignore[return-value]  # `restore` made it, of a known class


def replay_with(
    folder: Path,
    *,
    open_store: Callable[[Path], S],
    load: Callable[[S, Any, Now], EnginePort],
    state_hash: Callable[[Any], bytes],
) -> ReplayResult:
    """
    Replay the recording in *folder*, which is not changed.

    Raises:
        StorageError: It cannot be read, or is of another version.
    """
    with tempfile.TemporaryDirectory(prefix="mesh-replay-") as scratch:
        database = Path(scratch) / DATABASE
        try:
            shutil.copyfile(folder / DATABASE, database)
        except OSError as error:
            raise StorageError(f"{folder}: no recording: {error.strerror}") from error
        store = open_store(database)
        try:
            return Replayer(store, load, state_hash).run(frames(folder / INPUTS))
        finally:
            store.close()

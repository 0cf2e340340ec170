"""
A real node's recording, played to a host of the simulator.

What the node's engine was told is told to the host's, with the node's clocks; the effects of every
batch must have the digest that was recorded, and the state at the end the recorded hash. So the
simulator is held to the real thing: its hosts do with the same inputs what a node did.

The frames are those of `mesh.node.recorder`, a floor that simulations do not import; whoever
plays hands them in, with the digest that they were made with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from attrs import define, field

from mesh.core.effects import Effect, Persist
from mesh.core.inputs import Input, Now
from mesh.core.records import Record
from mesh.greeting import EngineConfig
from simulations.host import Host


@define(eq=False)
class Playback:
    """One recording on one host, whose disk holds what the node's held when it began."""

    host: Host
    digest: Callable[[list[Effect]], bytes]
    batches: int = 0
    inputs: int = 0
    #: The first difference in words; None if there is none.
    mismatch: str | None = None
    _config: EngineConfig = field(factory=lambda: EngineConfig(""))
    _told: list[tuple[Now, Input]] = field(factory=list)
    #: Effects of `start`, which come before those of its batch's end.
    _effects: list[Effect] = field(factory=list)

    def run(self, frames: Iterable[tuple[Any, ...]]) -> None:
        """Play all frames, or up to the first difference."""
        for frame in frames:
            self._frame(frame)
            if self.mismatch is not None:
                return

    def _frame(self, frame: tuple[Any, ...]) -> None:
        match frame:
            case ("record", int(), int(seed), fields):
                self.host.rng.seed(seed)
                self._config = EngineConfig(*fields)
            case ("loaded", mono_ms, wall_ms):
                self._told, self._effects = [], []
                self.host.load(self._config, Now(mono_ms, wall_ms))
            case ("start", mono_ms, wall_ms):
                self._effects = self.host.running.start(Now(mono_ms, wall_ms))
            case ("input", mono_ms, wall_ms, item):
                self.inputs += 1
                self._told.append((Now(mono_ms, wall_ms), item))
            case ("flush", mono_ms, wall_ms, bytes(expected)):
                self._flush(Now(mono_ms, wall_ms), expected)
            case ("commit", bool(is_durable)):
                self._commit(is_durable=is_durable)
            case ("end", bytes(expected)):
                if expected not in (b"", self.host.running.replica.state_hash()):
                    self.mismatch = "the state at the end has another hash"

    def _flush(self, last: Now, expected: bytes) -> None:
        self.batches += 1
        told, self._told = self._told, []
        self._effects += self.host.step(told, last)
        if self.digest(self._effects) != expected:
            self.mismatch = f"batch {self.batches} (after input {self.inputs}) has other effects"

    def _commit(self, *, is_durable: bool) -> None:
        effects, self._effects = self._effects, []
        if not is_durable:
            # The node built its engine anew, and the next frame says so.
            return
        records: list[Record] = []
        for effect in effects:
            if isinstance(effect, Persist):
                records += effect.records
        self.host.disk.begin(records)
        self.host.disk.finish()
        self.host.running.committed()

"""What the driver needs of the engine and of the store; tests put small ones in their place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from mesh.core.effects import Effect
from mesh.core.events import Event
from mesh.core.inputs import Input, Now
from mesh.core.records import Record


class EnginePort(Protocol):
    """The machine that decides; see `mesh.engine`."""

    def start(self, now: Now) -> list[Effect]:
        """What is to be done first, once after loading."""

    def handle(self, input: Input, now: Now) -> list[Effect]:  # noqa: A002 - the contract's word
        """One step."""

    def flush(self, now: Now) -> list[Effect]:
        """The end of a batch."""

    def committed(self) -> None:
        """All records of the batch are on disk."""

    @property
    def deadline(self) -> int | None:
        """When a `Tick` is wanted, in ms of the monotonic clock."""


class StorePort(Protocol):
    """The disk; see `mesh.storage`."""

    def commit(self, records: Sequence[Record]) -> None:
        """One transaction, durable on return. Called in a worker thread."""

    def backup_to(self, path: Path) -> None:
        """Copy what is committed to a new file."""


class EventReader(Protocol):
    """The persisted events, as subscribers read them."""

    def last_cursor(self) -> int:
        """The greatest cursor, 0 when there is none."""

    def events(self, after: int, limit: int) -> list[Event]:
        """At most *limit* kept events after a cursor, ascending."""

"""
A host's disk: a log in memory that keeps a database's promise, and the faults that test it.

A commit takes time and is atomic: the machine that dies while one is under way finds all of it or
nothing. What it has acknowledged is kept, unless an old copy is put in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final, Protocol

from attrs import define, field

from mesh.core.errors import StorageError
from mesh.core.ports import LogReader
from mesh.core.records import PutEntry, Record
from mesh.storage.memory import MemoryStore

#: One transaction with its fsync, in µs. Source: SQLite in WAL mode with `synchronous=FULL` took
#: 0.18 ms inline and 0.36 ms by a thread on the machine of docs/benchmarks.md.
COMMIT_US: Final = 360
#: Each entry more in one transaction, in µs. Source: the same measurement, 70 k entries a second.
ENTRY_US: Final = 14


class Store(LogReader, Protocol):
    """A log that can be written to: `MemoryStore`, or a real database where it may be slow."""

    def commit(self, records: Sequence[Record]) -> None:
        """All of *records* or nothing. Raises StorageError."""


@define(eq=False)
class Disk:
    """What survives its host. `slow_us` is added to each commit; a full one refuses them."""

    store: Store = field(factory=MemoryStore)
    slow_us: int = 0
    #: How many faults fill it.
    fillings: int = 0
    #: Numbers of entries that cannot be read; the home is not started before it is repaired.
    unreadable: frozenset[int] = frozenset()
    commits: int = 0
    #: Records of the commit under way, of which a crash keeps all or nothing.
    _under_way: Sequence[Record] = ()

    @property
    def is_full(self) -> bool:
        return self.fillings > 0

    def mend(self) -> None:
        """Room, and no waiting."""
        self.fillings = self.slow_us = 0

    def begin(self, records: Sequence[Record]) -> int:
        """A commit begins; how long it will take, in µs."""
        self._under_way = records
        entries = sum(type(record) is PutEntry for record in records)
        return COMMIT_US + ENTRY_US * entries + self.slow_us

    def finish(self) -> Sequence[Record]:
        """
        The commit under way is on disk; its records.

        Raises:
            StorageError: The disk is full; nothing of the commit is kept.
        """
        records, self._under_way = self._under_way, ()
        if self.is_full:
            raise StorageError("memory: cannot commit: the disk is full", hint="free space")
        self.commits += 1
        self.store.commit(records)
        return records

    def crash(self, random: Random, *, keeps: bool | None = None) -> Sequence[Record]:
        """
        The host dies: the commit under way is there whole, or not at all; its records if it is.

        Args:
            random: Decides if nobody else does.
            keeps: Whether it is there.
        """
        records, self._under_way = self._under_way, ()
        if not records or self.is_full:
            return ()
        if not (random.random() < 0.5 if keeps is None else keeps):
            return ()
        self.store.commit(records)
        return records

    def replace(self, store: Store) -> None:
        """Another log is on it from now on; its host is not running."""
        self.store, self._under_way = store, ()
        self.unreadable = frozenset()

    def copied(self) -> Disk:
        """
        A copy of all that is on it now: a back-up, or a cloned home. Cost: O(entries).

        Only of a store in memory; a world over files has no back-ups.
        """
        assert isinstance(self.store, MemoryStore)
        return Disk(self.store.copy())

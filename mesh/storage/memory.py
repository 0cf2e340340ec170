"""
The store that forgets when it is dropped: for tests and the simulator; no file, no SQLite.

It keeps the same promises as `SqliteStore`, and one test suite holds both of them to it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TypeVar, assert_never

from capability.entry import Entry
from mesh.core.errors import StorageError
from mesh.core.events import Event
from mesh.core.ports import StoredEntry
from mesh.core.records import (
    DeletePending,
    PutEntry,
    PutEvents,
    PutMeta,
    PutPeer,
    PutPending,
    PutProof,
    PutSnapshot,
    Record,
)
from mesh.storage.rules import events_kept_from

Key = TypeVar("Key", str, bytes)


class MemoryStore:
    """A log in memory; implements `mesh.core.ports.LogReader`."""

    __slots__ = (
        "_entries",
        "_events",
        "_failure",
        "_meta",
        "_numbers",
        "_peers",
        "_pending",
        "_proofs",
        "_snapshot",
        "_touching",
    )

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._numbers: dict[bytes, int] = {}
        self._touching: dict[bytes, list[int]] = {}
        self._pending: dict[int, bytes] = {}
        self._events: deque[Event] = deque()
        self._meta: dict[str, bytes] = {}
        self._peers: dict[bytes, bytes] = {}
        self._proofs: dict[tuple[bytes, int], bytes] = {}
        self._snapshot: tuple[int, bytes] | None = None
        self._failure: StorageError | None = None

    # ---- faults

    def fail_next_commit(self, error: StorageError | None = None) -> None:
        """Let the next commit raise *error* (disk full, by default) and apply nothing."""
        self._failure = error or StorageError(
            "memory: cannot commit: database or disk is full", hint="free space, then try again"
        )

    def crash(self) -> None:
        """The process died: what is committed stays; a failure that waited is forgotten."""
        self._failure = None

    def close(self) -> None:
        """Nothing to close; here so that both stores end alike."""

    def copy(self) -> MemoryStore:
        """Another store with the same content; what cannot change is shared. Cost: O(entries)."""
        twin = MemoryStore()
        twin._entries = list(self._entries)
        twin._numbers = dict(self._numbers)
        twin._touching = {node: list(numbers) for node, numbers in self._touching.items()}
        twin._pending = dict(self._pending)
        twin._events = deque(self._events)
        twin._meta = dict(self._meta)
        twin._peers = dict(self._peers)
        twin._proofs = dict(self._proofs)
        twin._snapshot = self._snapshot
        return twin

    # ---- writing

    def commit(self, records: Sequence[Record]) -> None:
        """
        Apply all of *records*, in their order, or nothing.

        Raises:
            StorageError: `fail_next_commit` was called.
        """
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        self._check(records)
        for record in records:
            self._apply(record)

    def _check(self, records: Sequence[Record]) -> None:
        """Assert whatever could go wrong while records are applied, so that all are, or none."""
        last_n = self.last_n()
        last_cursor = self.last_cursor()
        ids: set[bytes] = set()
        for record in records:
            if isinstance(record, PutEntry):
                assert record.n == last_n + 1, f"entry {record.n} after {last_n}"
                entry_id = record.entry.id
                assert entry_id not in self._numbers, f"entry {record.n} is held already"
                assert entry_id not in ids, f"entry {record.n} is put twice"
                ids.add(entry_id)
                last_n = record.n
            elif isinstance(record, PutEvents):
                for event in record.events:
                    assert event.cursor == last_cursor + 1, f"{event.cursor} after {last_cursor}"
                    last_cursor = event.cursor

    def _apply(self, record: Record) -> None:
        match record:
            case PutEntry():
                self._entries.append(record.entry)
                self._numbers[record.entry.id] = record.n
                for node in dict.fromkeys(record.touched):
                    self._touching.setdefault(node, []).append(record.n)
            case PutPending(slot, data):
                self._pending[slot] = data
            case DeletePending(slots):
                self._delete_pending(slots)
            case PutEvents(events):
                self._put_events(events)
            case PutMeta(key, value):
                _put_or_forget(self._meta, key, value)
            case PutPeer(node, data):
                _put_or_forget(self._peers, node, data)
            case PutProof(author, lane, data):
                self._proofs[author, lane] = data
            case PutSnapshot(n, data):
                self._snapshot = (n, data)
            case _:
                assert_never(record)

    def _delete_pending(self, slots: Sequence[int]) -> None:
        for slot in slots:
            self._pending.pop(slot, None)

    def _put_events(self, events: Sequence[Event]) -> None:
        self._events.extend(events)
        if not self._events:
            return
        first = self._events[0].cursor
        kept_from = events_kept_from(first, self._events[-1].cursor)
        if kept_from is not None:
            for _ in range(kept_from - first):
                self._events.popleft()

    # ---- reading

    def last_n(self) -> int:
        return len(self._entries)

    def entries(self, after: int = 0) -> Iterator[StoredEntry]:
        """All entries above *after*; those that are committed meanwhile come too."""
        while after < len(self._entries):
            after += 1
            yield StoredEntry(after, self._entries[after - 1])

    def entry(self, n: int) -> Entry | None:
        return self._entries[n - 1] if 1 <= n <= len(self._entries) else None

    def entries_by_id(self, ids: Sequence[bytes]) -> list[StoredEntry]:
        numbers = [self._numbers[key] for key in ids if key in self._numbers]
        return [StoredEntry(n, self._entries[n - 1]) for n in numbers]

    def touching(self, node: bytes) -> list[int]:
        return list(self._touching.get(node, ()))

    def pending(self) -> list[tuple[int, bytes]]:
        return sorted(self._pending.items())

    def proofs(self) -> list[bytes]:
        return [data for _, data in sorted(self._proofs.items())]

    def meta(self, key: str) -> bytes | None:
        return self._meta.get(key)

    def peers(self) -> list[tuple[bytes, bytes]]:
        return sorted(self._peers.items())

    def snapshot(self) -> tuple[int, bytes] | None:
        return self._snapshot

    def last_cursor(self) -> int:
        return self._events[-1].cursor if self._events else 0

    def events(self, after: int, limit: int) -> list[Event]:
        if not self._events:
            return []
        # Cursors ascend by one, so the place of an event follows from its cursor.
        start = max(0, after + 1 - self._events[0].cursor)
        return list(islice(self._events, start, start + limit))


def _put_or_forget(table: dict[Key, bytes], key: Key, value: bytes) -> None:
    if value:
        table[key] = value
    else:
        table.pop(key, None)

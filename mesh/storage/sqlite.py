"""
The durable store: one SQLite file in WAL mode, one connection that writes, one that reads.

`commit` is one transaction with `synchronous=FULL`: when it returns, the records survive kill -9
and loss of power. It is called from worker threads, one at a time. All reads come from one thread
and see only what is committed; none of them keeps a read transaction open between two calls, so
that checkpoints can always go through.

A failed commit leaves nothing behind. One case needs help: when the fsync inside COMMIT fails,
SQLite rolls back, but the frames already stand in the write-ahead log, valid, and a crash would
bring them back to life. So a row of no meaning (the *fence*) is committed over them at once.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Final, Self

from capability.entry import Entry, decode_header
from capability.errors import FormError
from capability.ids import body_hash, entry_id
from crdt.errors import CodecError
from mesh.core.errors import Conflict, StorageError
from mesh.core.events import Event
from mesh.core.ports import StoredEntry
from mesh.core.records import Record
from mesh.storage.packing import unpack_events, unpack_numbers
from mesh.storage.rules import snapshot_checksum
from mesh.storage.schema import damaged, open_reader, open_writer, storage_error
from mesh.storage.transaction import LAST_CURSOR, Transaction

#: Entries that one read of `entries` fetches; at 256 KiB for the largest, 16 MiB at worst.
ENTRIES_PAGE: Final = 64
#: Problems that `check` reports of one kind.
PROBLEMS_MAX: Final = 20

_ENTRY: Final = "SELECT n, id, header, sig, body FROM log"


class SqliteStore:
    """The committed log and its companions in one file; implements `mesh.core.ports.LogReader`."""

    __slots__ = ("_keys", "_lock", "_path", "_reader", "_writer")

    def __init__(self, path: Path) -> None:
        """
        Open *path*, create it, or bring it up to the current version. Cost: not that of the size.

        Raises:
            StorageError: It cannot be opened, is damaged, of another program, or newer.
        """
        self._path = path
        # Makes commits come one at a time, and `close` wait for the last of them.
        self._lock = Lock()
        # Small numbers of Worknodes, as committed; forgotten when a transaction is rolled back.
        self._keys: dict[bytes, int] = {}
        self._writer = open_writer(path)
        try:
            self._reader = open_reader(path)
        except StorageError:
            self._writer.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def path(self) -> Path:
        return self._path

    def close(self) -> None:
        """Fold the write-ahead log into the file and close. Waits for a running commit."""
        with self._lock:
            # The reader first: whoever closes last checkpoints, and that is the writer's to do.
            self._reader.close()
            # It fails if closed already or if the disk refuses; then what is committed stays in
            # the write-ahead log.
            with suppress(sqlite3.Error):
                self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._writer.close()

    # ---- writing

    def commit(self, records: Sequence[Record]) -> None:
        """
        Write all of *records*, in their order, or nothing. Durable when it returns.

        Raises:
            StorageError: The disk refused. Nothing is applied, and the store stays usable.
        """
        with self._lock:
            committing = False
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                Transaction(self._writer, self._keys).write(records)
                committing = True
                self._writer.execute("COMMIT")
            except sqlite3.IntegrityError as error:
                self._roll_back(fenced=False)
                raise AssertionError(f"a record breaks the order of the store: {error}") from error
            except sqlite3.ProgrammingError:
                # The store is closed: our own mistake too, not the disk's.
                raise
            except sqlite3.Error as error:
                certain = self._roll_back(fenced=committing)
                failure = storage_error(self._path, "commit", error)
                if not certain:
                    failure.message += " (a crash before the next commit may still bring it back)"
                    failure.args = (failure.message,)
                raise failure from error
            except BaseException:
                self._roll_back(fenced=False)
                raise

    def _roll_back(self, *, fenced: bool) -> bool:
        """Undo the open transaction; whether the failed one cannot come back after a crash."""
        self._keys.clear()
        try:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            if fenced:
                self._writer.execute(
                    "INSERT INTO fence VALUES (1, 1) ON CONFLICT DO UPDATE SET count = count + 1"
                )
        except sqlite3.Error:
            # What still is open ends here, or with the connection; a BEGIN would say so.
            with suppress(sqlite3.Error):
                self._writer.rollback()
            return not fenced
        return True

    def backup_to(self, path: Path) -> None:
        """
        Write a consistent copy of what is committed to the new file *path*, private to its owner.

        From any thread. Cost: reads and writes the whole file.

        Raises:
            Conflict: *path* exists.
            StorageError: One of the two files cannot be read or written; no copy is left behind.
        """
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            os.close(os.open(path, flags, 0o600))
        except FileExistsError as error:
            raise Conflict(f"{path} exists", hint="name a new file") from error
        except OSError as error:
            raise storage_error(path, "create the copy", error) from error
        try:
            # A reader of its own, so that the caller may be any thread.
            with closing(open_reader(self._path)) as source, closing(sqlite3.connect(path)) as copy:
                source.backup(copy)
        except StorageError:
            path.unlink(missing_ok=True)
            raise
        except sqlite3.Error as error:
            path.unlink(missing_ok=True)
            raise storage_error(path, f"copy {self._path}", error) from error

    # ---- reading

    def _rows(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        try:
            return self._reader.execute(statement, values).fetchall()
        except sqlite3.ProgrammingError:
            raise
        except sqlite3.Error as error:
            raise storage_error(self._path, "read", error) from error

    def _typed(
        self, types: tuple[type, ...], statement: str, *values: object
    ) -> list[tuple[Any, ...]]:
        """Rows whose columns are of *types*: in SQLite any column may hold anything, once hurt."""
        rows = self._rows(statement, *values)
        for row in rows:
            if tuple(map(type, row)) != types:
                raise damaged(self._path, f"a row cannot be read: {statement}")
        return rows

    def _number(self, statement: str) -> int:
        ((number,),) = self._typed((int,), statement)
        assert isinstance(number, int)
        return number

    def _stored(self, row: tuple[object, ...]) -> StoredEntry:
        """
        The entry in a row of the log, its hashes checked: SQLite has no checksums of its own.

        Cost: 6 µs for 440 bytes (`python -m tests.mesh.storage.bench_commit`).
        """
        n, key, header_bytes, signature, body = row
        assert isinstance(n, int), "what is an INTEGER PRIMARY KEY cannot be anything else"
        try:
            assert isinstance(key, bytes)
            assert isinstance(header_bytes, bytes)
            assert isinstance(signature, bytes)
            assert isinstance(body, bytes)
            header = decode_header(header_bytes)
            whole = entry_id(header_bytes) == key and body_hash(body) == header.body_hash
        except (AssertionError, FormError) as error:
            raise damaged(self._path, f"entry {n} cannot be read: {error}") from error
        if not whole:
            raise damaged(self._path, f"entry {n} is not the one that was written")
        return StoredEntry(n, Entry(key, header, header_bytes, signature, body))

    def last_n(self) -> int:
        return self._number("SELECT coalesce(max(n), 0) FROM log")

    def entries(self, after: int = 0) -> Iterator[StoredEntry]:
        """All entries above *after*; those that are committed meanwhile come too."""
        statement = _ENTRY + " WHERE n > ? ORDER BY n LIMIT ?"
        while rows := self._rows(statement, after, ENTRIES_PAGE):
            for row in rows:
                stored = self._stored(row)
                after = stored.n
                yield stored

    def entry(self, n: int) -> Entry | None:
        rows = self._rows(_ENTRY + " WHERE n = ?", n)
        return self._stored(rows[0]).entry if rows else None

    def entries_by_id(self, ids: Sequence[bytes]) -> list[StoredEntry]:
        statement = _ENTRY + " WHERE id = ?"
        return [self._stored(row) for key in ids for row in self._rows(statement, key)]

    def touching(self, node: bytes) -> list[int]:
        query = (
            "SELECT n, more FROM touch WHERE k = (SELECT k FROM worknode WHERE id = ?) ORDER BY n"
        )
        found: list[int] = []
        try:
            for first, more in self._typed((int, bytes), query, node):
                found += unpack_numbers(first, more)
        except ValueError as error:
            raise damaged(self._path, f"an index of {node.hex()[:8]}: {error}") from error
        return found

    def pending(self) -> list[tuple[int, bytes]]:
        statement = "SELECT slot, data FROM pending ORDER BY slot"
        return self._typed((int, bytes), statement)

    def proofs(self) -> list[bytes]:
        rows = self._typed((bytes,), "SELECT data FROM proof ORDER BY author, lane")
        return [row[0] for row in rows]

    def meta(self, key: str) -> bytes | None:
        rows = self._typed((bytes,), "SELECT value FROM meta WHERE key = ?", key)
        return rows[0][0] if rows else None

    def peers(self) -> list[tuple[bytes, bytes]]:
        return self._typed((bytes, bytes), "SELECT node, data FROM peer ORDER BY node")

    def snapshot(self) -> tuple[int, bytes] | None:
        """The last own snapshot; None also if its bytes are not those that were written."""
        rows = self._rows("SELECT n, checksum, data FROM snapshot")
        # A damaged page may show several.
        if len(rows) != 1:
            return None
        n, checksum, data = rows[0]
        if not isinstance(n, int) or not isinstance(data, bytes):
            return None
        return (n, data) if snapshot_checksum(n, data) == checksum else None

    def last_cursor(self) -> int:
        return self._number(LAST_CURSOR)

    def events(self, after: int, limit: int) -> list[Event]:
        found: list[Event] = []
        while len(found) < limit:
            # The row that holds the next cursor, or the first after it.
            rows = self._typed(
                (int, int, bytes),
                "SELECT first, last, data FROM events WHERE first > coalesce("
                "(SELECT max(first) FROM events WHERE first <= ?1 + 1), 0) - 1"
                " ORDER BY first LIMIT 2",
                after,
            )
            row = next((row for row in rows if row[1] > after), None)
            if row is None:
                break
            first, last, data = row
            try:
                found += (e for e in unpack_events(first, data) if e.cursor > after)
            except CodecError as error:
                raise damaged(self._path, f"events cannot be read: {error}") from error
            after = last
        return found[:limit]

    def check(self) -> list[str]:
        """
        What is wrong with the file, in words; empty if nothing is. For `mesh doctor`.

        Cost: reads the whole file and hashes every entry, about 10 s per million entries.
        """
        try:
            rows = self._rows(f"PRAGMA integrity_check({PROBLEMS_MAX})")
            problems = [str(row[0]) for row in rows if row[0] != "ok"]
            # Reading checks the hashes.
            for _ in self.entries():
                pass
            if self.last_n() != self._number("SELECT count(*) FROM log"):
                problems.append("numbers are missing in the log")
        except StorageError as error:
            return [error.message]
        return problems

"""How each kind of record is written, inside a transaction that somebody else opened and ends."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final, assert_never

from mesh.core.events import Event
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
from mesh.storage.packing import pack_events, pack_numbers, unpack_events
from mesh.storage.rules import events_kept_from, snapshot_checksum

#: Worknodes whose small numbers are remembered between commits. A guess: 5 MB.
KEYS_MAX: Final = 32_768
LAST_CURSOR: Final = "SELECT coalesce((SELECT last FROM events ORDER BY first DESC LIMIT 1), 0)"


class Transaction:
    """One commit under way."""

    __slots__ = ("_connection", "_entries", "_keys", "_last_cursor", "_last_n", "_touched")

    def __init__(self, connection: sqlite3.Connection, keys: dict[bytes, int]) -> None:
        """*keys* are small numbers of Worknodes; the owner forgets them if this is rolled back."""
        self._connection = connection
        if len(keys) > KEYS_MAX:
            keys.clear()
        self._keys = keys
        self._last_n = self._number("SELECT coalesce(max(n), 0) FROM log")
        self._last_cursor = self._number(LAST_CURSOR)
        # Numbers of the entries that touch a Worknode, by its small number.
        self._touched: dict[int, list[int]] = {}
        self._entries: list[tuple[object, ...]] = []

    def _number(self, statement: str) -> int:
        number = self._connection.execute(statement).fetchone()[0]
        assert isinstance(number, int)
        return number

    def write(self, records: Sequence[Record]) -> None:
        """Write *records* in their order; an exception leaves the transaction half done."""
        for record in records:
            self._write(record)
        self._write_entries()

    def _write_entries(self) -> None:
        self._connection.executemany(
            "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?)", self._entries
        )
        rows = [(k, ns[0], pack_numbers(ns)) for k, ns in self._touched.items()]
        self._connection.executemany("INSERT INTO touch VALUES (?, ?, ?)", rows)

    def _write(self, record: Record) -> None:
        execute = self._connection.execute
        match record:
            case PutEntry():
                self._put_entry(record)
            case PutPending(slot, data):
                execute("INSERT OR REPLACE INTO pending VALUES (?, ?)", (slot, data))
            case DeletePending(slots):
                gone = [(slot,) for slot in slots]
                self._connection.executemany("DELETE FROM pending WHERE slot = ?", gone)
            case PutEvents(events):
                self._put_events(events)
            case PutMeta():
                self._put_meta(record)
            case PutPeer():
                self._put_peer(record)
            case PutProof(author, lane, data):
                execute("INSERT OR REPLACE INTO proof VALUES (?, ?, ?)", (author, lane, data))
            case PutSnapshot(n, data):
                row = (n, snapshot_checksum(n, data), data)
                execute("INSERT OR REPLACE INTO snapshot VALUES (1, ?, ?, ?)", row)
            case _:
                assert_never(record)

    def _put_meta(self, record: PutMeta) -> None:
        if record.value:
            row = (record.key, record.value)
            self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", row)
        else:
            self._connection.execute("DELETE FROM meta WHERE key = ?", (record.key,))

    def _put_peer(self, record: PutPeer) -> None:
        if record.data:
            row = (record.node, record.data)
            self._connection.execute("INSERT OR REPLACE INTO peer VALUES (?, ?)", row)
        else:
            self._connection.execute("DELETE FROM peer WHERE node = ?", (record.node,))

    def _put_entry(self, record: PutEntry) -> None:
        assert record.n == self._last_n + 1, f"entry {record.n} after {self._last_n}"
        self._last_n = record.n
        entry = record.entry
        header = entry.header
        self._entries.append(
            (
                record.n,
                header.author,
                header.lane,
                header.seq,
                entry.id,
                entry.header_bytes,
                entry.signature,
                entry.body,
            )
        )
        keys, touched = self._keys, self._touched
        for node in dict.fromkeys(record.touched):
            key = keys.get(node) or self._key(node)
            numbers = touched.get(key)
            if numbers is None:
                touched[key] = [record.n]
            else:
                numbers.append(record.n)

    def _key(self, node: bytes) -> int:
        execute = self._connection.execute
        row = execute("SELECT k FROM worknode WHERE id = ?", (node,)).fetchone()
        if row is None:
            key = execute("INSERT INTO worknode (id) VALUES (?)", (node,)).lastrowid
        else:
            key = row[0]
        assert isinstance(key, int)
        self._keys[node] = key
        return key

    def _put_events(self, events: Sequence[Event]) -> None:
        if not events:
            return
        cursors = [event.cursor for event in events]
        first = self._last_cursor + 1
        expected = list(range(first, first + len(events)))
        assert cursors == expected, f"cursors {cursors} after {self._last_cursor}"
        self._last_cursor = cursors[-1]
        insert = "INSERT INTO events VALUES (?, ?, ?)"
        self._connection.executemany(insert, pack_events(events))
        first = self._number("SELECT min(first) FROM events")
        kept_from = events_kept_from(first, self._last_cursor)
        if kept_from is not None:
            # The row in which the first that is kept stands is written anew without the others.
            where = "FROM events WHERE first < ?"
            query = f"SELECT first, data {where} AND last >= ?"
            cut = self._connection.execute(query, (kept_from, kept_from)).fetchall()
            self._connection.execute(f"DELETE {where}", (kept_from,))
            for start, data in cut:
                kept = [e for e in unpack_events(start, data) if e.cursor >= kept_from]
                self._connection.executemany(insert, pack_events(kept))

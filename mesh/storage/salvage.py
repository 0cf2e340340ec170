"""
Reading what can be read of a damaged database, row by row. It works on a copy, which it changes.

Whatever comes out is only a candidate: entries are believed by hash and signature. Where SQLite
cannot find its way to a row any more, the row counts as unreadable.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from attrs import define, field

from capability.entry import KIND_GENESIS, Entry, decode_entry, decode_header, verify_entry
from capability.errors import CapabilityError, FormError
from capability.ids import body_hash, entry_id
from crdt.codec import decode
from crdt.errors import CodecError
from mesh.storage.wal import heal, wal_of

_PAGE: Final = 4096
#: No entry takes less; so a file of a given size can hold no more of them.
_ENTRY_BYTES_MIN: Final = 200
_CHAIN_BYTES_MAX: Final = 64 * 1024
#: What the disk or the machine says, not the file; but for a sector that cannot be read.
_REFUSALS: Final = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    }
)
_BAD_SECTORS: Final = frozenset(
    {sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS}
)
_META_KEYS: Final = (
    "mesh_id",
    "name",
    "mesh_name",
    "join_seed",
    "join_chain",
    "tickets_peers",
    "sent",
    "blocked",
    "recover",
    "kept",
    "rows_found",
    "rows_early",
    "stranded",
    "reissue",
    "reissued",
    "former",
)


@define
class Salvage:
    """What was readable."""

    entries: list[Entry] = field(factory=list)
    meta: dict[str, bytes] = field(factory=dict)
    pending: list[tuple[int, bytes]] = field(factory=list)
    peers: list[tuple[bytes, bytes]] = field(factory=list)
    proofs: list[tuple[bytes, int, bytes]] = field(factory=list)
    #: What subscribers may resume from, as rows: cursors are never given out twice.
    events: list[tuple[int, int, bytes]] = field(factory=list)
    unreadable: int = 0

    @staticmethod
    def is_signed(entry: Entry, mesh_id: bytes) -> bool:
        """Whether an entry is one of this mesh, and its author's."""
        try:
            verify_entry(entry, mesh_id)
        except CapabilityError:
            return False
        return True

    def signed(self, mesh_id: bytes) -> list[Entry]:
        """The entries that can be believed; the others count as unreadable."""
        good = [entry for entry in self.entries if self.is_signed(entry, mesh_id)]
        self.unreadable += len(self.entries) - len(good)
        return good

    def mesh_id(self) -> bytes | None:
        """Of the genesis that is held: its hash proves itself, a row of names does not."""
        named = self.meta.get("mesh_id")
        ids = [e.id for e in self.entries if e.header.kind == KIND_GENESIS]
        return named if named in ids else next(iter(ids), None)


def lay_events(path: Path, found: Salvage) -> None:
    """Put the events into the new database at *path*, under the cursors that they have."""
    with closing(_open(path)) as connection:
        connection.executemany("INSERT INTO events VALUES (?, ?, ?)", found.events)


def salvage(path: Path) -> Salvage:
    """Read the copy at *path*. Raises OSError and sqlite3.Error only for the disk under it."""
    if wal_of(path).exists():
        heal(path)
    found = Salvage()
    if not _has_tables(path):
        _lend_first_page(path)
    if path.exists() and _has_tables(path):
        with closing(_open(path)) as connection:
            _read(connection, path, found)
    return found


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    # A value that is no text any more must not end the reading.
    connection.text_factory = bytes
    return connection


def _has_tables(path: Path) -> bool:
    with closing(_open(path)) as connection:
        try:
            connection.execute("SELECT n, header FROM log LIMIT 0")
        except sqlite3.Error as error:
            _refuse_unread(error)
            return False
    return True


def _lend_first_page(path: Path) -> None:
    """Every database of one version has the same first page, but for its length."""
    from mesh.storage.sqlite import SqliteStore  # noqa: PLC0415 - it imports the schema in turn

    if not path.exists() or path.stat().st_size < _PAGE:
        return
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        fresh = Path(folder) / "mesh.db"
        SqliteStore(fresh).close()
        page = bytearray(fresh.read_bytes()[:_PAGE])
    page[28:32] = (path.stat().st_size // _PAGE).to_bytes(4, "big")
    page[32:40] = bytes(8)
    with path.open("r+b") as file:
        file.write(page)


def _read(connection: sqlite3.Connection, path: Path, found: Salvage) -> None:
    _read_log(connection, path, found)
    for key in _META_KEYS:
        for row in _rows(connection, found, "SELECT value FROM meta WHERE key = ?", key):
            if isinstance(row[0], bytes):
                found.meta[key] = row[0]
    _read_chain(found)
    for row in _rows(connection, found, "SELECT slot, data FROM pending ORDER BY slot"):
        found.pending.append(row)
    for row in _rows(connection, found, "SELECT node, data FROM peer"):
        found.peers.append(row)
    for row in _rows(connection, found, "SELECT author, lane, data FROM proof"):
        found.proofs.append(row)
    # Backwards: what cannot be read ends the list at its old end, not at its new one.
    for row in _rows(connection, found, "SELECT first, last, data FROM events ORDER BY first DESC"):
        found.events.append(row)


def _read_log(connection: sqlite3.Connection, path: Path, found: Salvage) -> None:
    size = path.stat().st_size + (wal_of(path).stat().st_size if wal_of(path).exists() else 0)
    seen: set[bytes] = set()
    query = "SELECT header, sig, body FROM log WHERE n = ?"
    last = 0
    failed: list[int] = []
    # One by one: a page that cannot be read must not hide those after it.
    for n in range(1, size // _ENTRY_BYTES_MIN + 2):
        try:
            row = connection.execute(query, (n,)).fetchone()
        except sqlite3.Error as error:
            _refuse_unread(error)
            failed.append(n)
            continue
        if row is None:
            continue
        last = n
        entry = _entry(row)
        if entry is None:
            found.unreadable += 1
        elif entry.id not in seen:
            seen.add(entry.id)
            found.entries.append(entry)
    # Behind the last number that was found nothing says that there was ever a row.
    found.unreadable += sum(1 for n in failed if n < last) or bool(failed)


def _read_chain(found: Salvage) -> None:
    """The ticket's chain is kept apart from the log, and begins with the genesis."""
    try:
        chain = decode(found.meta.get("join_chain", b""), size_max=_CHAIN_BYTES_MAX)
        items = chain if isinstance(chain, tuple) else ()
        entries = [decode_entry(item) for item in items if isinstance(item, bytes)]
    except (CapabilityError, CodecError):
        return
    held = {entry.id for entry in found.entries}
    found.entries += [entry for entry in entries if entry.id not in held]


def _entry(row: tuple[Any, ...]) -> Entry | None:
    header_bytes, signature, body = row
    if not all(isinstance(part, bytes) for part in row):
        return None
    try:
        header = decode_header(header_bytes)
    except FormError:
        return None
    if body_hash(body) != header.body_hash:
        return None
    return Entry(entry_id(header_bytes), header, header_bytes, signature, body)


def _rows(
    connection: sqlite3.Connection, found: Salvage, query: str, *values: object
) -> Iterator[tuple[Any, ...]]:
    try:
        yield from connection.execute(query, values)
    except sqlite3.Error as error:
        _refuse_unread(error)
        found.unreadable += 1


def _refuse_unread(error: sqlite3.Error) -> None:
    """
    Raise *error* unless it speaks of what stands in the file.

    SQLite writes to read (the index of a write-ahead log), so a disk without space refuses reads,
    too: what it refuses is whole, and a home without it would have lost it.
    """
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code & 0xFF in _REFUSALS and code not in _BAD_SECTORS:
        raise error


__all__ = ["Salvage", "lay_events", "salvage"]

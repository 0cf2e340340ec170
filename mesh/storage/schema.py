"""
The tables of one home's database, how they came to be, and how a connection to them is set up.

    log       n (this node's own number), author, lane, seq, id, header, sig, body; append-only
    worknode  k, id: a small number for each 16-byte Worknode id
    touch     k, n, more: which entries a Worknode's fold depends on: n, and those of the same
              commit after it
    pending   slot, data: LOCAL writes that wait to be sealed
    events    first, last, data: what subscribers may resume from, many in a row
    meta      key, value
    peer      node, data
    proof     author, lane, data: fork proofs
    snapshot  one row: n, checksum, data
    fence     one row, rewritten after a commit that failed (see `mesh.storage.sqlite`)

The log is keyed by an ascending integer, so a commit appends; with random ids as keys it would
rewrite a page per row. For the same reason `touch` holds small numbers instead of 16-byte ids, in
the order in which Worknodes were first seen: what is worked on together lies together. There is
no index by (author, lane, seq): nothing here reads by position, since the ledger keeps positions
in memory, and it would add 70 bytes to an entry; a migration can bring it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from crdt.codec import decode
from mesh.core.errors import StorageError
from mesh.core.events import Event
from mesh.storage.packing import EVENTS_PER_ROW, pack_events
from mesh.storage.wal import lost_commits

#: The way out of a damaged file.
DAMAGED_HINT: Final = "the file is damaged; stop the node and run `mesh doctor --repair`"

Migration = Callable[[sqlite3.Connection], None]

#: "wnm1" in the file's header: tells this database from any other program's.
APPLICATION_ID: Final = 0x776E6D31
#: Pages that one connection keeps in memory, in KiB (SQLite takes negative numbers as KiB).
CACHE_KIB: Final = 8 * 1024
#: The write-ahead log is cut back to this after a checkpoint, in bytes.
WAL_BYTES_KEPT_MAX: Final = 16 * 1024 * 1024
#: How long a statement waits for another process, in s. Only `mesh doctor` and backups are one.
BUSY_TIMEOUT_S: Final = 5.0

_TABLES: Final = (
    """
    CREATE TABLE log (
        n INTEGER PRIMARY KEY,
        author BLOB NOT NULL,
        lane INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        id BLOB NOT NULL UNIQUE,
        header BLOB NOT NULL,
        sig BLOB NOT NULL,
        body BLOB NOT NULL
    )
    """,
    "CREATE TABLE worknode (k INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE)",
    """
    CREATE TABLE touch (k INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (k, n)) WITHOUT ROWID
    """,
    "CREATE TABLE pending (slot INTEGER PRIMARY KEY, data BLOB NOT NULL)",
    """
    CREATE TABLE event (
        cursor INTEGER PRIMARY KEY,
        hlc INTEGER NOT NULL,
        type TEXT NOT NULL,
        node BLOB NOT NULL,
        actor BLOB NOT NULL,
        session BLOB NOT NULL,
        data BLOB NOT NULL
    )
    """,
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE peer (node BLOB PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID",
    """
    CREATE TABLE proof (
        author BLOB NOT NULL, lane INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (author, lane)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE snapshot (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        n INTEGER NOT NULL,
        checksum BLOB NOT NULL,
        data BLOB NOT NULL
    )
    """,
    "CREATE TABLE fence (one INTEGER PRIMARY KEY CHECK (one = 1), count INTEGER NOT NULL)",
)


def _create_tables(connection: sqlite3.Connection) -> None:
    for statement in _TABLES:
        connection.execute(statement)


def _pack_rows(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE touch ADD COLUMN more BLOB NOT NULL DEFAULT x''")
    connection.execute(
        "CREATE TABLE events (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, data BLOB NOT NULL)"
    )
    old = connection.execute(
        "SELECT cursor, hlc, type, node, actor, session, data FROM event ORDER BY cursor"
    )
    while page := old.fetchmany(EVENTS_PER_ROW):
        found = [Event._make((*row[:6], decode(row[6], size_max=len(row[6])))) for row in page]
        connection.executemany("INSERT INTO events VALUES (?, ?, ?)", pack_events(found))
    connection.execute("DROP TABLE event")


#: The step at index i leads from version i to version i + 1. Steps are never edited, only added.
MIGRATIONS: Final[tuple[Migration, ...]] = (_create_tables, _pack_rows)


def storage_error(path: Path, doing: str, error: sqlite3.Error | OSError) -> StorageError:
    """The error to raise for a failure of SQLite or of the system: file, cause, remedy."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    match code:
        case sqlite3.SQLITE_FULL:
            hint = f"free space on the disk that holds {path.parent}, then try again"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            hint = DAMAGED_HINT
        case sqlite3.SQLITE_IOERR:
            hint = "the disk refused; look at the system's log and its free space, then try again"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            hint = "another process holds the file; stop it, then try again"
        case _:
            hint = f"see that {path} and its folder exist and that you may write there"
    return StorageError(f"{path}: cannot {doing}: {error}", hint=hint)


def damaged(path: Path, what: str) -> StorageError:
    """The error to raise for bytes that SQLite took for good and that are not."""
    return StorageError(f"{path}: {what}", hint=DAMAGED_HINT)


def repair_mark(path: Path) -> Path:
    """The file that stands beside the database while a repair puts another in its place."""
    return path.with_name(path.name + ".repairing")


def _refuse_damaged_log(path: Path) -> None:
    try:
        lost = lost_commits(path)
    except OSError as error:
        raise storage_error(path, "read the write-ahead log", error) from error
    if lost:
        # Before SQLite opens it, which would throw away what stands behind the damage.
        raise damaged(path, f"the write-ahead log is damaged before {lost} committed transactions")


def _refuse_half_repaired(path: Path) -> None:
    if repair_mark(path).exists():
        raise StorageError(
            f"{path}: a repair was interrupted", hint="run `mesh doctor --repair` again"
        )


def _pragma(connection: sqlite3.Connection, name: str) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def _connect(path: Path) -> sqlite3.Connection:
    # Which thread may use a connection is `SqliteStore`'s affair: worker threads come and go.
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def open_writer(path: Path, migrations: Sequence[Migration] = MIGRATIONS) -> sqlite3.Connection:
    """
    The one connection that writes and checkpoints, on a database of the current version.

    Raises:
        StorageError: The file cannot be opened, is damaged, of another program, or newer.
    """
    _refuse_half_repaired(path)
    _refuse_damaged_log(path)
    try:
        # SQLite would create it with the umask's mode; its companions copy the mode of this file.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = _connect(path)
    except (OSError, sqlite3.Error) as error:
        raise storage_error(path, "open the database", error) from error
    try:
        _refuse_strangers(connection, path, len(migrations))
        if _pragma(connection, "journal_mode = WAL") != "wal":
            raise _no_shared_memory(path)  # noqa: TRY301 - the handler below closes
        # FULL syncs the write-ahead log before COMMIT returns. On macOS a plain fsync stays in
        # the drive's cache; the two other pragmas do nothing elsewhere.
        for pragma in ("synchronous = FULL", "fullfsync = ON", "checkpoint_fullfsync = ON"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_KEPT_MAX}")
        _upgrade(connection, migrations)
    except sqlite3.Error as error:
        connection.close()
        raise storage_error(path, "open the database", error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """
    A connection that sees what is committed and never writes, not even by a checkpoint.

    One checkpointer only: SQLite before 3.51.3 can lose pages when two connections checkpoint or
    write at the same instant. Source: https://sqlite.org/wal.html, "The WAL-Reset Bug".
    """
    try:
        connection = _connect(path)
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
    except sqlite3.Error as error:
        raise storage_error(path, "open the database", error) from error
    return connection


def _no_shared_memory(path: Path) -> StorageError:
    return StorageError(
        f"{path}: the file system has no shared memory for a write-ahead log",
        hint="put the home on a local disk: --home or MESH_HOME",
    )


def _refuse_strangers(connection: sqlite3.Connection, path: Path, newest: int) -> None:
    """Look before anything is changed: an empty file, or one of ours, and not from the future."""
    version = _pragma(connection, "user_version")
    application = _pragma(connection, "application_id")
    is_empty = _pragma(connection, "schema_version") == 0
    if not is_empty and application != APPLICATION_ID:
        raise StorageError(
            f"{path}: a database of another program (application id {application})",
            hint="move it away, or choose another --home",
        )
    assert isinstance(version, int)
    if version > newest:
        raise StorageError(
            f"{path}: written by a newer version (format {version}, this one reads {newest})",
            hint="upgrade worknode-mesh on this machine",
        )


def _upgrade(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> None:
    version = _pragma(connection, "user_version")
    assert isinstance(version, int)
    for number in range(version, len(migrations)):
        # The step and the number that says it was taken stand in one transaction.
        connection.execute("BEGIN IMMEDIATE")
        try:
            migrations[number](connection)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {number + 1}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

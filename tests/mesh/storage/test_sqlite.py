from __future__ import annotations

import resource
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mesh.core.errors import Conflict, StorageError
from mesh.core.records import PutEntry, PutMeta, PutSnapshot
from mesh.storage.sqlite import SqliteStore
from tests.mesh.storage.conformance import ONE_OF_EACH, StoreContract, an_entry, put, state


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mesh.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    with SqliteStore(path) as store:
        yield store


@pytest.fixture
def fail_next_commit(store: SqliteStore) -> Iterator[Callable[[], None]]:
    """Fill the database: no page may be added until the commit has failed."""

    def fail() -> None:
        (pages,) = store._writer.execute("PRAGMA page_count").fetchone()
        store._writer.execute(f"PRAGMA max_page_count = {pages}")
        roll_back = SqliteStore._roll_back

        def roll_back_and_free(self: SqliteStore, *, fenced: bool) -> bool:
            certain = roll_back(self, fenced=fenced)
            store._writer.execute("PRAGMA max_page_count = 1000000")
            return certain

        patch.setattr(SqliteStore, "_roll_back", roll_back_and_free)

    with pytest.MonkeyPatch.context() as patch:
        yield fail


class TestSqliteStore(StoreContract):
    pass


def test_everything_is_there_after_reopening(path: Path) -> None:
    with SqliteStore(path) as store:
        store.commit(ONE_OF_EACH)
        before = state(store)
    assert not path.with_name("mesh.db-wal").exists()
    with SqliteStore(path) as store:
        assert state(store) == before
        assert store.check() == []


def test_full_disk_names_the_file_and_the_remedy(
    store: SqliteStore, path: Path, fail_next_commit: Callable[[], None]
) -> None:
    fail_next_commit()
    with pytest.raises(StorageError) as caught:
        store.commit([PutEntry(1, an_entry(1, b"x" * 60_000), (), own=True)])
    assert caught.value.message == f"{path}: cannot commit: database or disk is full"
    assert caught.value.hint.startswith("free space")
    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)


@pytest.mark.parametrize("room", [0, 100, 5_000, 20_000])
def test_write_that_the_system_refuses_leaves_nothing(
    store: SqliteStore, path: Path, room: int
) -> None:
    store.commit(ONE_OF_EACH)
    before = state(store)
    log = path.with_name("mesh.db-wal")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Python ignores SIGXFSZ, so a write beyond the limit fails as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + room, hard))
    try:
        with pytest.raises(StorageError):
            store.commit([PutEntry(3, an_entry(3, b"x" * 60_000), (), own=True)])
        assert state(store) == before
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    store.commit([put(3)])
    store.close()
    with SqliteStore(path) as again:
        assert again.last_n() == 3
        assert again.check() == []


def test_failed_sync_is_fenced_off(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    # SQLite lets nobody inject a failing fsync from here; a commit hook that refuses is the same
    # to us: COMMIT fails. It refuses once, so that the fence goes through.
    refusals = [1, 0]
    connection = Hooked(store._writer, refusals)
    monkeypatch.setattr(store, "_writer", connection)
    with pytest.raises(StorageError) as caught:
        store.commit([PutMeta("a", b"1")])
    assert "may still" not in caught.value.message
    assert store.meta("a") is None
    assert connection.run("SELECT count FROM fence") == [(1,)]


def test_failed_fence_is_said(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_writer", Hooked(store._writer, [1, 1]))
    with pytest.raises(StorageError) as caught:
        store.commit([PutMeta("a", b"1")])
    assert "may still bring it back" in str(caught.value)
    store.commit([PutMeta("a", b"2")])
    assert store.meta("a") == b"2"


class Hooked:
    """A connection whose COMMIT, then fence, fail with an I/O error as long as told to."""

    def __init__(self, connection: sqlite3.Connection, refusals: list[int]) -> None:
        self._connection = connection
        self._refusals = refusals

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

    def run(self, statement: str) -> list[tuple[object, ...]]:
        return self._connection.execute(statement).fetchall()

    def execute(self, statement: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        if (
            (statement == "COMMIT" or "fence" in statement)
            and self._refusals
            and self._refusals.pop(0)
        ):
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            raise error
        return self._connection.execute(statement, values)


def test_read_only_database_is_a_storage_error(store: SqliteStore) -> None:
    store._writer.execute("PRAGMA query_only = ON")
    with pytest.raises(StorageError, match="cannot commit") as caught:
        store.commit([PutMeta("a", b"1")])
    assert "may write there" in caught.value.hint


@pytest.mark.parametrize("where", ["missing/mesh.db", "file/mesh.db", "folder"])
def test_place_that_cannot_be_written_is_a_storage_error(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match="cannot open") as caught:
        SqliteStore(tmp_path / where)
    assert str(tmp_path / where) in caught.value.message


def test_files_are_private_whatever_the_umask(store: SqliteStore, path: Path) -> None:
    store.commit([put(1)])
    for name in ("mesh.db", "mesh.db-wal", "mesh.db-shm"):
        assert stat.S_IMODE(path.with_name(name).stat().st_mode) == 0o600


def test_reader_sees_only_what_is_committed(store: SqliteStore) -> None:
    store.commit([put(1)])
    store._writer.execute("BEGIN IMMEDIATE")
    store._writer.execute("INSERT INTO meta VALUES ('a', x'01')")
    assert store.meta("a") is None
    store._writer.execute("COMMIT")
    assert store.meta("a") == b"\x01"


def test_commits_come_from_any_thread_while_others_read(store: SqliteStore) -> None:
    def commit_ten(start: int) -> None:
        for n in range(start, start + 10):
            store.commit([put(n, 1)])

    for start in (1, 11, 21):
        thread = threading.Thread(target=commit_ten, args=(start,))
        thread.start()
        while thread.is_alive():
            numbers = [stored.n for stored in store.entries()]
            assert numbers == list(range(1, len(numbers) + 1))
        thread.join()
    assert store.last_n() == 30


def test_reading_leaves_no_transaction_open(store: SqliteStore, path: Path) -> None:
    store.commit([put(n) for n in range(1, 200)])
    reading = store.entries()
    next(reading)
    store.commit([put(200)])
    (busy, left, moved) = store._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert (busy, left, moved) == (0, 0, 0)
    assert path.with_name("mesh.db-wal").stat().st_size == 0


def test_damaged_snapshot_reads_as_none(store: SqliteStore) -> None:
    store.commit([PutSnapshot(1, b"fold")])
    store._writer.execute("UPDATE snapshot SET data = x'00'")
    assert store.snapshot() is None
    store.commit([PutSnapshot(1, b"fold")])
    store._writer.execute("UPDATE snapshot SET n = 2")
    assert store.snapshot() is None


@pytest.mark.parametrize("column", ["body", "header", "id"])
def test_flipped_bit_in_an_entry_is_found(store: SqliteStore, path: Path, column: str) -> None:
    store.commit([put(1), put(2)])
    store._writer.execute(f"UPDATE log SET {column} = zeroblob(length({column})) WHERE n = 2")
    assert store.entry(1) == an_entry(1)
    with pytest.raises(StorageError, match="entry 2") as caught:
        list(store.entries())
    assert str(path) in caught.value.message
    assert "mesh doctor" in caught.value.hint
    assert len(store.check()) == 1


@pytest.mark.parametrize(
    ("statement", "read"),
    [
        ("INSERT INTO meta VALUES ('key', 7)", lambda store: store.meta("key")),
        ("INSERT INTO peer VALUES (x'01', 'text')", lambda store: store.peers()),
        ("INSERT INTO proof VALUES (x'01', 1, 0.5)", lambda store: store.proofs()),
        ("INSERT INTO pending VALUES (1, 'text')", lambda store: store.pending()),
        ("INSERT INTO events VALUES (1, 'text', x'')", lambda store: store.events(0, 9)),
        ("INSERT INTO events VALUES (1, 1, 'text')", lambda store: store.events(0, 9)),
    ],
)
def test_a_column_of_another_type_is_damage(
    store: SqliteStore, path: Path, statement: str, read: Callable[[SqliteStore], object]
) -> None:
    """A flipped bit in the head of a row makes a number or a text of a blob."""
    with closing(sqlite3.connect(path)) as other, other:
        other.execute(statement)
    with pytest.raises(StorageError, match="cannot be read") as caught:
        read(store)
    assert "mesh doctor" in caught.value.hint


def test_damaged_page_is_found_when_it_is_read(path: Path) -> None:
    with SqliteStore(path) as store:
        store.commit([put(n) for n in range(1, 500)])
        (page,) = store._writer.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'log'"
        ).fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xa5" * 4096)
    with SqliteStore(path) as store:
        with pytest.raises(StorageError, match="malformed") as caught:
            store.entry(300)
        assert "mesh doctor" in caught.value.hint
        assert str(path) in caught.value.message
        assert store.check()


def test_missing_number_is_found(store: SqliteStore) -> None:
    store.commit([put(1), put(2), put(3)])
    store._writer.execute("DELETE FROM log WHERE n = 2")
    assert store.check() == ["numbers are missing in the log"]


def test_backup_is_whole_private_and_never_overwrites(store: SqliteStore, tmp_path: Path) -> None:
    store.commit(ONE_OF_EACH)
    copy = tmp_path / "copy.db"
    store.backup_to(copy)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with SqliteStore(copy) as other:
        assert state(other) == state(store)
    with pytest.raises(Conflict):
        store.backup_to(copy)
    with pytest.raises(StorageError):
        store.backup_to(tmp_path / "missing" / "copy.db")


def test_close_twice_does_nothing_and_a_closed_store_says_so(store: SqliteStore) -> None:
    store.close()
    store.close()
    with pytest.raises(sqlite3.ProgrammingError):
        store.last_n()
    with pytest.raises(sqlite3.ProgrammingError):
        store.commit([put(1)])

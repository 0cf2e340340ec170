from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from crdt.codec import encode
from mesh.core.errors import StorageError
from mesh.core.events import Event
from mesh.storage.schema import APPLICATION_ID, MIGRATIONS, open_writer
from mesh.storage.sqlite import SqliteStore
from tests.mesh.storage.conformance import ONE_OF_EACH, state


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mesh.db"


@contextmanager
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def tables(path: Path) -> set[str]:
    with raw(path) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}


def add_column(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE peer ADD COLUMN seen INTEGER NOT NULL DEFAULT 0")
    connection.execute("UPDATE peer SET seen = 5")


def add_column_then_fail(connection: sqlite3.Connection) -> None:
    add_column(connection)
    raise sqlite3.OperationalError("database or disk is full")


def test_empty_file_becomes_the_current_version(path: Path) -> None:
    path.touch()
    SqliteStore(path).close()
    with raw(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)


def test_version_1_is_brought_to_version_2_with_its_rows(path: Path) -> None:
    with SqliteStore(path) as store:
        store.commit(ONE_OF_EACH)
    with closing(open_writer(path, (*MIGRATIONS, add_column))) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
        assert connection.execute("SELECT node, seen FROM peer").fetchall() == [(b"p" * 32, 5)]
        assert connection.execute("SELECT count(*) FROM log").fetchone() == (2,)


def test_events_in_rows_of_their_own_are_packed(path: Path) -> None:
    with closing(open_writer(path, MIGRATIONS[:1])) as connection:
        rows = [(i, i, "node.updated", b"n" * 16, b"a" * 32, b"", encode(("f", i))) for i in (4, 5)]
        connection.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        connection.execute("INSERT INTO worknode VALUES (1, ?)", (b"n" * 16,))
        connection.executemany("INSERT INTO touch VALUES (1, ?)", [(3,), (9,)])
    with SqliteStore(path) as store:
        assert store.events(4, 9) == [
            Event(5, 5, "node.updated", b"n" * 16, b"a" * 32, b"", ("f", 5))
        ]
        assert (store.last_cursor(), store.touching(b"n" * 16)) == (5, [3, 9])


def test_steps_are_taken_once(path: Path) -> None:
    for _ in range(2):
        open_writer(path, (*MIGRATIONS, add_column)).close()


def test_failed_step_leaves_the_old_version_whole(path: Path) -> None:
    with SqliteStore(path) as store:
        store.commit(ONE_OF_EACH)
        before = state(store)
    with pytest.raises(StorageError, match="disk is full"):
        open_writer(path, (*MIGRATIONS, add_column_then_fail))
    with SqliteStore(path) as store:
        assert state(store) == before


def test_newer_version_is_refused_and_left_alone(path: Path) -> None:
    open_writer(path, (*MIGRATIONS, add_column)).close()
    with pytest.raises(StorageError, match="newer version") as caught:
        SqliteStore(path)
    assert "upgrade" in caught.value.hint
    with raw(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)


def test_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    with raw(path) as connection:
        connection.execute("CREATE TABLE cookies (a)")
    data = path.read_bytes()
    with pytest.raises(StorageError, match="another program"):
        SqliteStore(path)
    assert path.read_bytes() == data
    assert tables(path) == {"cookies"}


def test_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(StorageError, match="not a database") as caught:
        SqliteStore(path)
    assert "mesh doctor" in caught.value.hint
    assert path.read_bytes() == b"not a database" * 100


def test_commits_are_synced_in_full(path: Path) -> None:
    with closing(open_writer(path)) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_lookups_use_an_index(path: Path) -> None:
    with closing(open_writer(path)) as connection:
        for statement in (
            "SELECT n FROM log WHERE id = x'00'",
            (
                "SELECT n, more FROM touch"
                " WHERE k = (SELECT k FROM worknode WHERE id = x'00') ORDER BY n"
            ),
            "SELECT * FROM events WHERE first > 5 ORDER BY first LIMIT 3",
        ):
            plan = connection.execute("EXPLAIN QUERY PLAN " + statement).fetchall()
            assert not any("SCAN" in step[3] or "TEMP B-TREE" in step[3] for step in plan), plan

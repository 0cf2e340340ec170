"""Databases that the machine, another process or damage keeps from working: words, and no loss."""

from __future__ import annotations

import os
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from mesh.core.errors import StorageError
from mesh.core.records import PutEvents, PutMeta
from mesh.storage import schema, sqlite, transaction
from mesh.storage.schema import repair_mark
from mesh.storage.sqlite import SqliteStore
from mesh.storage.wal import heal, lost_commits, wal_of
from tests.mesh.storage.conformance import ONE_OF_EACH, a_node, an_event, put, state
from tests.mesh.storage.users import bound_by_modes, closed, hand_over, open_folder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "mesh.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    path.parent.mkdir()
    with SqliteStore(path) as store:
        store.commit(ONE_OF_EACH)
        yield store


@contextmanager
def limited(what: int, most: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (soft, hard))


def files_open() -> int:
    """The number that the next file gets, so that no other fits below it."""
    handle = os.dup(2)
    os.close(handle)
    return handle


# ---- another process


def test_a_commit_while_another_process_writes_is_refused_and_can_be_repeated(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "BUSY_TIMEOUT_S", 0)
    path.parent.mkdir()
    with SqliteStore(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        store.commit(ONE_OF_EACH)
        before = state(store)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError) as caught:
            store.commit([PutMeta("b", b"2")])
        assert caught.value.message == f"{path}: cannot commit: database is locked"
        assert caught.value.hint == "another process holds the file; stop it, then try again"
        assert state(store) == before
        other.execute("ROLLBACK")
        store.commit([PutMeta("b", b"2")])
        assert store.meta("b") == b"2"


# ---- the machine


def test_a_store_that_gets_no_second_file_holds_none(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process may open no more files once the connection that writes has its own."""
    before = state(store)
    store.close()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_writer = schema.open_writer

    def open_then_no_more(path: Path) -> sqlite3.Connection:
        connection = open_writer(path)
        resource.setrlimit(resource.RLIMIT_NOFILE, (files_open(), hard))
        return connection

    monkeypatch.setattr(sqlite, "open_writer", open_then_no_more)
    used = files_open()
    try:
        with pytest.raises(StorageError) as caught:
            SqliteStore(path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        monkeypatch.undo()
    message = f"{path}: cannot open the database: unable to open database file"
    assert caught.value.message == message
    assert str(path) in caught.value.hint
    assert files_open() == used, "the connection that writes is closed"
    assert not wal_of(path).exists()
    with SqliteStore(path) as again:
        assert state(again) == before


def test_a_file_system_without_shared_memory_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.parent.mkdir()

    def connect(path: Path) -> sqlite3.Connection:
        # This way of SQLite to the disk locks by files, and can share no memory.
        return sqlite3.connect(
            f"file:{path}?vfs=unix-dotfile", uri=True, isolation_level=None, timeout=0
        )

    with monkeypatch.context() as patch:
        patch.setattr(schema, "_connect", connect)
        with pytest.raises(StorageError, match="has no shared memory") as caught:
            SqliteStore(path)
    assert str(path) in caught.value.message
    assert caught.value.hint == "put the home on a local disk: --home or MESH_HOME"
    assert [each.name for each in path.parent.iterdir()] == ["mesh.db"], "no lock is left"
    with SqliteStore(path) as store:
        store.commit(ONE_OF_EACH)


# ---- copies


@pytest.mark.parametrize("room", [0, 4096, 20_000])
def test_a_copy_that_the_disk_refuses_is_not_left_behind(
    store: SqliteStore, tmp_path: Path, path: Path, room: int
) -> None:
    before = state(store)
    copy = tmp_path / "copy.db"
    with limited(resource.RLIMIT_FSIZE, room), pytest.raises(StorageError) as caught:
        store.backup_to(copy)
    assert caught.value.message == f"{copy}: cannot copy {path}: disk I/O error"
    assert "free space" in caught.value.hint
    assert [each.name for each in tmp_path.iterdir()] == ["home"]
    assert state(store) == before
    store.backup_to(copy)
    with SqliteStore(copy) as other:
        assert state(other) == before


def test_no_copy_is_begun_of_a_database_that_is_gone(store: SqliteStore, tmp_path: Path) -> None:
    """The home was moved away under a running node."""
    (tmp_path / "home").rename(tmp_path / "moved")
    copy = tmp_path / "copy.db"
    with pytest.raises(StorageError, match="cannot open the database") as caught:
        store.backup_to(copy)
    assert str(tmp_path / "home" / "mesh.db") in caught.value.message
    assert not copy.exists()
    assert not (tmp_path / "home").exists()


# ---- damage


def test_events_that_cannot_be_read_are_named_and_hide_no_others(
    store: SqliteStore, path: Path
) -> None:
    store.commit([PutEvents((an_event(3),)), PutEvents((an_event(4),))])
    store._writer.execute("UPDATE events SET data = x'07' WHERE first = 3")
    with pytest.raises(StorageError) as caught:
        store.events(0, 9)
    assert caught.value.message.startswith(f"{path}: events cannot be read: events from 3: ")
    assert "mesh doctor --repair" in caught.value.hint
    assert store.events(0, 2) == [an_event(1), an_event(2)]
    assert store.events(3, 9) == [an_event(4)]
    store.commit([PutEvents((an_event(5),))])


def test_an_index_that_cannot_be_read_is_named_and_harms_no_other(
    store: SqliteStore, path: Path
) -> None:
    store._writer.execute(
        "UPDATE touch SET more = x'000001' WHERE k = (SELECT k FROM worknode WHERE id = ?)",
        (a_node(1),),
    )
    with pytest.raises(StorageError) as caught:
        store.touching(a_node(1))
    message = f"{path}: an index of {a_node(1).hex()[:8]}: 3 bytes are no numbers"
    assert caught.value.message == message
    assert "mesh doctor --repair" in caught.value.hint
    assert store.touching(a_node(2)) == [1, 2]


@pytest.mark.parametrize(
    "change", ["n = 'two'", "data = 'text'", "data = 7", "checksum = x'00'", "checksum = 7"]
)
def test_a_snapshot_of_other_types_is_none(store: SqliteStore, change: str) -> None:
    assert store.snapshot() == (2, b"fold")
    store._writer.execute(f"UPDATE snapshot SET {change}")
    assert store.snapshot() is None


# ---- the write-ahead log


def test_a_log_that_may_not_be_read_is_named_and_kept() -> None:
    with open_folder() as folder:
        path = folder / "home" / "mesh.db"
        path.parent.mkdir(mode=0o700)
        with SqliteStore(path) as store:
            store.commit(ONE_OF_EACH)
            before = state(store)
            saved = path.read_bytes(), wal_of(path).read_bytes()
        # As a process leaves them that was killed.
        path.write_bytes(saved[0])
        wal_of(path).write_bytes(saved[1])
        hand_over(path.parent)
        with closed(wal_of(path)), bound_by_modes(), pytest.raises(StorageError) as caught:
            SqliteStore(path)
        start = f"{path}: cannot read the write-ahead log: "
        assert caught.value.message.startswith(start)
        assert "Permission denied" in caught.value.message
        assert str(wal_of(path)) in caught.value.message
        assert "you may write there" in caught.value.hint
        assert (path.read_bytes(), wal_of(path).read_bytes()) == saved
        with bound_by_modes(), SqliteStore(path) as store:
            assert state(store) == before


@pytest.mark.parametrize("database", [None, b"", b"x" * 17, bytes(4096)])
def test_of_a_log_whose_page_size_nothing_tells_nothing_is_said(
    store: SqliteStore, path: Path, tmp_path: Path, database: bytes | None
) -> None:
    other = tmp_path / "other.db"
    data = b"?" + wal_of(path).read_bytes()[1:]
    wal_of(other).write_bytes(data)
    if database is not None:
        other.write_bytes(database)
    assert lost_commits(other) == 0
    heal(other)
    assert wal_of(other).read_bytes() == data


def test_a_repair_that_was_cut_off_is_to_be_ended_first(store: SqliteStore, path: Path) -> None:
    before = state(store)
    store.close()
    repair_mark(path).touch()
    with pytest.raises(StorageError, match="a repair was interrupted") as caught:
        SqliteStore(path)
    assert caught.value.hint == "run `mesh doctor --repair` again"
    repair_mark(path).unlink()
    with SqliteStore(path) as again:
        assert state(again) == before


# ---- bounds


def test_small_numbers_that_were_forgotten_are_found_again(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction, "KEYS_MAX", 2)
    for n in range(3, 7):
        store.commit([put(n, 1, n, n + 1)])
        assert len(store._keys) <= 2 + 3
    assert store.touching(a_node(1)) == [1, 3, 4, 5, 6]
    assert [store.touching(a_node(n)) for n in range(3, 8)] == [[3], [3, 4], [4, 5], [5, 6], [6]]
    assert store._writer.execute("SELECT count(*) FROM worknode").fetchone() == (7,)

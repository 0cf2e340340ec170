"""What is read of a damaged database: all that can be, each row by itself, and no more."""

from __future__ import annotations

import resource
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from capability.entry import KIND_GENESIS, Entry
from crdt.codec import encode
from mesh.core.errors import StorageError
from mesh.core.records import PutEvents, PutMeta, PutPeer, PutPending, PutProof
from mesh.storage.salvage import lay_events, salvage
from mesh.storage.sqlite import SqliteStore
from mesh.storage.wal import wal_of
from tests.mesh.replica.world import new_mesh
from tests.mesh.storage.conformance import MESH, an_entry, an_event, put

ENTRIES = [an_entry(n) for n in range(1, 9)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with eight entries and a row of some other tables."""
    path = tmp_path / "mesh.db"
    with SqliteStore(path) as store:
        store.commit([put(n, n) for n in range(1, 9)])
        store.commit([PutMeta("name", b"ann"), PutPeer(b"p" * 32, b"peer"), PutPending(3, b"row")])
        store.commit([PutProof(b"q" * 32, 1, b"proof")])
        store.commit([PutEvents((an_event(1), an_event(2))), PutEvents((an_event(3),))])
    return path


@pytest.fixture
def killed(path: Path, tmp_path: Path) -> Path:
    """What a process leaves that was killed after three more commits, not yet checkpointed."""
    copy = tmp_path / "killed" / "mesh.db"
    copy.parent.mkdir()
    with SqliteStore(path) as store:
        store.commit([PutMeta("mesh_name", b"acme")])
        store.commit([PutPending(4, b"another")])
        store.commit([PutPending(5, b"the last")])
        shutil.copy(path, copy)
        shutil.copy(wal_of(path), wal_of(copy))
    return copy


def change(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute(statement, values).rowcount != 0


def others(*lost: int) -> list[Entry]:
    return [entry for entry in ENTRIES if entry.header.seq not in lost]


def test_a_whole_database_is_read_whole(path: Path) -> None:
    found = salvage(path)
    assert found.entries == ENTRIES
    assert found.meta == {"name": b"ann"}
    assert found.peers == [(b"p" * 32, b"peer")]
    assert found.pending == [(3, b"row")]
    assert found.proofs == [(b"q" * 32, 1, b"proof")]
    assert found.unreadable == 0


def test_events_keep_their_cursors_in_the_new_database(path: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.db"
    SqliteStore(new).close()
    lay_events(new, salvage(path))
    with SqliteStore(new) as store:
        assert store.events(0, 9) == [an_event(1), an_event(2), an_event(3)]
        store.commit([PutEvents((an_event(4),))])


def test_commits_behind_a_damaged_frame_are_read(killed: Path) -> None:
    with wal_of(killed).open("r+b") as file:
        # The checksum of the first frame: SQLite would ignore it and all that follow.
        file.seek(32 + 20)
        file.write(bytes(4))
    data = wal_of(killed).read_bytes()
    with pytest.raises(StorageError, match="damaged before 2 committed transactions"):
        SqliteStore(killed)
    assert wal_of(killed).read_bytes() == data
    found = salvage(killed)
    assert found.meta == {"name": b"ann", "mesh_name": b"acme"}
    assert found.pending == [(3, b"row"), (4, b"another"), (5, b"the last")]
    assert (found.entries, found.unreadable) == (ENTRIES, 0)


def test_a_disk_that_refuses_reads_is_not_taken_for_damage(killed: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # There is room for the log, but not for its index, without which SQLite reads nothing.
    room = wal_of(killed).stat().st_size
    assert room < 32 * 1024
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
            salvage(killed)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    found = salvage(killed)
    assert found.pending == [(3, b"row"), (4, b"another"), (5, b"the last")]
    assert (found.entries, found.unreadable) == (ENTRIES, 0)


def test_nothing_is_read_where_nothing_is(tmp_path: Path) -> None:
    for size in (None, 0, 100):
        path = tmp_path / f"{size}.db"
        if size is not None:
            path.write_bytes(b"x" * size)
        found = salvage(path)
        assert (found.entries, found.meta, found.pending) == ([], {}, [])


def test_a_first_page_that_is_lost_is_lent(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(4096))
    found = salvage(path)
    assert found.entries == ENTRIES
    assert found.pending == [(3, b"row")]
    assert found.unreadable == 0
    assert sorted(each.name for each in path.parent.iterdir()) == ["mesh.db"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("body", b"another body"),
        ("body", 7),
        ("header", b"no header"),
        ("header", "text"),
        ("sig", 1.5),
    ],
)
def test_a_row_that_contradicts_itself_costs_itself(path: Path, column: str, value: Any) -> None:
    change(path, f"UPDATE log SET {column} = ? WHERE n = 4", value)
    found = salvage(path)
    assert found.entries == others(4)
    assert found.unreadable == 1


def test_a_signature_is_not_believed_before_it_is_looked_at(path: Path) -> None:
    change(path, "UPDATE log SET sig = ? WHERE n = 4", b"s" * 64)
    found = salvage(path)
    assert [entry.header.seq for entry in found.entries] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert found.signed(MESH) == others(4)
    assert found.unreadable == 1
    assert found.signed(b"o" * 32) == []


def test_gaps_between_numbers_hide_nothing_and_an_entry_comes_once(path: Path) -> None:
    change(path, "UPDATE log SET n = 20 WHERE n = 2")
    change(
        path,
        "UPDATE log SET (header, sig, body) = (SELECT header, sig, body FROM log"
        " WHERE n = 5) WHERE n = 6",
    )
    found = salvage(path)
    assert [entry.header.seq for entry in found.entries] == [1, 3, 4, 5, 7, 8, 2]
    assert found.unreadable == 0


def test_a_table_that_is_lost_costs_itself(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP TABLE peer")
    found = salvage(path)
    assert found.entries == ENTRIES
    assert found.pending == [(3, b"row")]
    assert (found.peers, found.unreadable) == ([], 1)


@pytest.mark.parametrize("n", [50, 100])
def test_a_page_that_is_lost_costs_its_own_rows(tmp_path: Path, n: int) -> None:
    path = tmp_path / "mesh.db"
    entries = [an_entry(n) for n in range(1, 101)]
    with SqliteStore(path) as store:
        store.commit([put(n) for n in range(1, 101)])
        store.commit([PutPending(3, b"row")])
    data = path.read_bytes()
    at = data.index(entries[n - 1].header_bytes) // 4096 * 4096
    page = data[at : at + 4096]
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xa5" * 4096)
    lost = [entry for entry in entries if entry.header_bytes in page]
    assert 1 < len(lost) < 20
    found = salvage(path)
    assert found.entries == [entry for entry in entries if entry not in lost]
    # Of those at the end nothing says how many there were.
    assert found.unreadable == (1 if entries[-1] in lost else len(lost))
    assert found.pending == [(3, b"row")]


def test_the_chain_of_a_ticket_gives_what_the_log_lacks(path: Path) -> None:
    genesis = new_mesh().genesis
    chain = encode(tuple(entry.encode() for entry in (genesis, ENTRIES[0])))
    with SqliteStore(path) as store:
        store.commit([PutMeta("join_chain", chain), PutMeta("mesh_id", b"another name" * 3)])
    found = salvage(path)
    assert found.entries == [*ENTRIES, genesis]
    # Its hash names the mesh; the row of the name does not.
    assert found.mesh_id() == genesis.id
    assert genesis.header.kind == KIND_GENESIS


@pytest.mark.parametrize("chain", [b"\xff", encode(7), encode((7, b"no entry")), b"x" * 70_000])
def test_a_chain_that_cannot_be_read_is_passed_over(path: Path, chain: bytes) -> None:
    with SqliteStore(path) as store:
        store.commit([PutMeta("join_chain", chain)])
    found = salvage(path)
    assert found.entries == ENTRIES
    assert found.mesh_id() is None

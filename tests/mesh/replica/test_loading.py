"""A start from a log with holes is refused in words; one from a snapshot that deceives is not."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from capability.verdict import Verdict
from crdt.codec import decode, encode
from crdt.hlc import pack
from mesh.core.effects import Persist
from mesh.core.errors import StorageError
from mesh.core.limits import SKEW_MS_MAX
from mesh.core.records import PutEntry, PutMeta, PutSnapshot
from mesh.replica import loading
from mesh.replica.held import Held
from mesh.replica.replica import Replica
from mesh.storage.memory import MemoryStore
from mesh.storage.sqlite import SqliteStore
from tests.mesh.replica.checks import situation
from tests.mesh.replica.hand import hand, inc, put
from tests.mesh.replica.stage import Stage
from tests.mesh.replica.world import TODAY_MS


def on_disk(stage: Stage, path: Path) -> int:
    """The stage's log as a database; how many entries it has."""
    with SqliteStore(path) as store:
        store.commit([PutMeta("mesh_id", stage.mesh.id)])
        for n, entry in enumerate(stage.node.log(), 1):
            store.commit([PutEntry(n, entry, (), own=False)])
        return store.last_n()


def load(stage: Stage, path: Path) -> Replica:
    with SqliteStore(path) as store:
        return Replica.load(store, signer=stage.node.signer, now=stage.node.now)


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute(statement).rowcount > 0


def test_a_home_without_a_mesh_says_how_to_get_one() -> None:
    stage = Stage()
    with pytest.raises(StorageError, match="holds no mesh yet") as caught:
        Replica.load(MemoryStore(), signer=stage.node.signer, now=stage.node.now)
    assert "`mesh init`" in caught.value.hint and "`mesh join`" in caught.value.hint


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        # Bob's first write: the second continues nothing.
        (3, "log entry 4 does not continue its lane: "),
        # Bob's last: the root's next grant, of another lane, stands where it did not.
        (5, "log number 6 stands at place 5"),
    ],
)
def test_a_row_that_is_missing_in_the_log_is_named(tmp_path: Path, lost: int, said: str) -> None:
    stage = Stage()
    for value in (1, 2):
        stage.node.receive([stage.bob.data(put(stage.task, "f", value))])
    stage.node.receive([stage.root.grant(hand(stage.mesh, "carol"))])
    path = tmp_path / "mesh.db"
    assert on_disk(stage, path) == 6
    whole = path.read_bytes()
    assert load(stage, path).state_hash() == stage.node.replica.state_hash()
    change(path, f"DELETE FROM log WHERE n = {lost}")
    with pytest.raises(StorageError) as caught:
        load(stage, path)
    assert caught.value.message.startswith(said)
    assert "mesh doctor" in caught.value.hint
    path.write_bytes(whole)
    assert load(stage, path).state_hash() == stage.node.replica.state_hash()


@pytest.mark.parametrize("cut", [1, 5])
def test_a_record_of_the_snapshot_that_only_the_tail_unpacks_is_not_used(cut: int) -> None:
    """It is put in packed, so nothing is noticed before something is folded into it."""
    stage = Stage()
    (persist,) = stage.node.replica.snapshot(least=1)
    assert isinstance(persist, Persist)
    (record,) = persist.records
    assert isinstance(record, PutSnapshot)
    value: Any = decode(record.data, size_max=len(record.data), depth_max=32)
    (page,) = value[5]
    listed: Any = decode(page, size_max=len(page), depth_max=2)
    rows = tuple(
        (node, leaf, packed[:-cut] if node == stage.task else packed)
        for node, leaf, packed in listed
    )
    assert rows != listed
    data = encode((*value[:5], (encode(rows),), *value[6:]), depth_max=32)
    stage.node.store.commit([PutSnapshot(record.n, data)])
    stage.node.receive([stage.bob.data(inc(stage.task, "n", 10), put(stage.task, "f", "new"))])
    before = situation(stage.node)
    stage.node.reload()
    assert situation(stage.node) == before


@pytest.mark.parametrize("is_kept", [True, False], ids=["snapshot", "log alone"])
def test_what_was_parked_before_a_restart_wakes_after_it(*, is_kept: bool) -> None:
    stage = Stage()
    ahead = TODAY_MS + 3 * SKEW_MS_MAX
    before = stage.node.replica.state_hash()
    parked = [stage.bob.data(inc(stage.task, "n", 1), hlc=pack(ahead + n, 0)) for n in range(3)]
    stage.node.receive(parked)
    if is_kept:
        stage.node.run(stage.node.replica.snapshot(least=1))
    stage.node.reload()
    held = stage.node.replica.held
    assert held.next_wake_ms() == ahead - SKEW_MS_MAX
    assert stage.node.replica.state_hash() == before
    assert held.wake_parked(ahead + 1 - SKEW_MS_MAX) == 2
    assert held.next_wake_ms() == ahead + 2 - SKEW_MS_MAX
    stage.node.tick(3 * SKEW_MS_MAX)
    stage.node.run(stage.node.replica.wake(stage.node.now))
    cell: Any = stage.node.replica.store.cell(stage.task, (0, "n", 7))
    assert (cell.total, cell.writes) == (3, 3)
    assert held.next_wake_ms() is None


@pytest.mark.parametrize("more", range(3))
def test_of_a_log_with_a_snapshot_only_the_tail_is_folded(
    more: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage()
    stage.node.receive([stage.bob.data(inc(stage.task, "n", 1))])
    last, fold_one = stage.node.replica.table.last, loading._fold_one
    folded: list[int] = []

    def folding(held: Held, n: int) -> None:
        folded.append(n)
        fold_one(held, n)

    monkeypatch.setattr(loading, "_fold_one", folding)
    stage.node.reload()
    assert folded == list(range(1, last + 1))
    assert set(stage.node.replica.table.verdicts[1:]) == {Verdict.COUNTS}
    stage.node.run(stage.node.replica.snapshot(least=1))
    stage.node.receive([stage.bob.data(inc(stage.task, "n", 10)) for _ in range(more)])
    folded.clear()
    before = situation(stage.node)
    stage.node.reload()
    assert folded == list(range(last + 1, last + 1 + more))
    assert situation(stage.node) == before

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from mesh.core.errors import StorageError
from mesh.core.records import (
    DeletePending,
    PutEvents,
    PutMeta,
    PutPeer,
    PutProof,
    PutSnapshot,
    Record,
)
from mesh.storage.memory import MemoryStore
from tests.mesh.storage.conformance import ONE_OF_EACH, StoreContract, an_event, put, state


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def fail_next_commit(store: MemoryStore) -> Callable[[], None]:
    return store.fail_next_commit


class TestMemoryStore(StoreContract):
    pass


def test_crash_keeps_what_is_committed_and_forgets_the_failure(store: MemoryStore) -> None:
    store.commit(ONE_OF_EACH)
    before = state(store)
    store.fail_next_commit()
    store.crash()
    assert state(store) == before
    store.commit([PutMeta("a", b"2")])
    assert store.meta("a") == b"2"


def test_failure_can_be_chosen(store: MemoryStore) -> None:
    failure = StorageError("I/O error")
    store.fail_next_commit(failure)
    with pytest.raises(StorageError) as caught:
        store.commit([])
    assert caught.value is failure


@pytest.mark.parametrize("changed", ["copy", "original"])
def test_a_copy_has_all_and_goes_its_own_way(store: MemoryStore, changed: str) -> None:
    """As a disk that is copied, and its copy run again: neither may reach into the other."""
    store.commit(ONE_OF_EACH)
    before = state(store)
    copy = store.copy()
    assert state(copy) == before
    mine, other = (copy, store) if changed == "copy" else (store, copy)
    changes: list[Record] = [
        put(3, 1, 2),
        DeletePending((7,)),
        PutEvents((an_event(3),)),
        PutMeta("a", b""),
        PutPeer(b"p" * 32, b""),
        PutProof(b"q" * 32, 1, b"another"),
        PutSnapshot(3, b"another"),
    ]
    mine.commit(changes)
    assert not any(now == then for now, then in zip(state(mine)[:4], before[:4], strict=True))
    assert state(other) == before
    other.commit(changes)
    assert state(other) == state(mine)


def test_a_copy_has_no_failure_that_waits(store: MemoryStore) -> None:
    store.fail_next_commit()
    copy = store.copy()
    copy.commit(ONE_OF_EACH)
    with pytest.raises(StorageError):
        store.commit(ONE_OF_EACH)


def test_memory_store_loads_no_database_and_no_event_loop() -> None:
    code = (
        "import sys, mesh.storage.memory;"
        "assert not {'sqlite3', 'trio', 'socket', 'mesh.storage.sqlite'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

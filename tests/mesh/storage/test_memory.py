from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from mesh.core.errors import StorageError
from mesh.core.records import PutMeta
from mesh.storage.memory import MemoryStore
from tests.mesh.storage.conformance import ONE_OF_EACH, StoreContract, state


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


def test_memory_store_loads_no_database_and_no_event_loop() -> None:
    code = (
        "import sys, mesh.storage.memory;"
        "assert not {'sqlite3', 'trio', 'socket', 'mesh.storage.sqlite'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

"""What every store promises; `test_memory.py` and `test_sqlite.py` run it on theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import pytest

from capability.entry import KIND_DATA, LANE_DATA, Entry, make_entry
from capability.keys import SeedSigner
from mesh.core import limits
from mesh.core.errors import StorageError
from mesh.core.events import Event
from mesh.core.ports import LogReader
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

MESH = b"m" * 32
ALICE = SeedSigner(b"a" * 32)


class Store(LogReader, Protocol):
    def commit(self, records: list[Record]) -> None: ...

    def close(self) -> None: ...


def an_entry(seq: int, body: bytes = b"") -> Entry:
    """An entry of its own for each *seq*; the chain does not matter to a store."""
    return make_entry(
        ALICE,
        mesh_id=MESH,
        lane=LANE_DATA,
        seq=seq,
        prev=bytes(32),
        hlc=seq << 16,
        kind=KIND_DATA,
        leaf=b"",
        body=body or b"body %d" % seq,
    )


def a_node(number: int) -> bytes:
    return number.to_bytes(16, "big")


def put(n: int, *touched: int) -> PutEntry:
    return PutEntry(n, an_entry(n), tuple(a_node(node) for node in touched), own=True)


def an_event(cursor: int) -> Event:
    data = ("title", cursor, None, (b"x", True))
    return Event(cursor, 2**63 - 1, "node.updated", a_node(1), ALICE.public, b"", data)


def state(store: LogReader) -> tuple[object, ...]:
    """All that a reader can see, for comparing before and after."""
    return (
        list(store.entries()),
        [store.touching(a_node(node)) for node in range(10)],
        store.pending(),
        store.proofs(),
        store.peers(),
        [store.meta(key) for key in ("a", "b")],
        store.snapshot(),
        store.events(0, 1_000_000),
    )


ONE_OF_EACH: list[Record] = [
    put(1, 1, 2),
    put(2, 2),
    PutPending(7, b"seven"),
    PutEvents((an_event(1), an_event(2))),
    PutMeta("a", b"1"),
    PutPeer(b"p" * 32, b"address"),
    PutProof(b"q" * 32, 1, b"proof"),
    PutSnapshot(2, b"fold"),
]


class StoreContract:
    """Subclasses give the fixtures `store` and `fail_next_commit`."""

    def test_empty_store_has_nothing(self, store: Store) -> None:
        assert store.last_n() == 0
        assert store.last_cursor() == 0
        assert store.entry(1) is None
        assert store.entry(0) is None
        assert store.meta("a") is None
        assert store.snapshot() is None
        assert state(store) == ([], [[]] * 10, [], [], [], [None, None], None, [])

    def test_one_batch_writes_every_kind_of_record(self, store: Store) -> None:
        store.commit(ONE_OF_EACH)
        assert store.last_n() == 2
        assert store.last_cursor() == 2
        assert store.pending() == [(7, b"seven")]
        assert store.meta("a") == b"1"
        assert store.peers() == [(b"p" * 32, b"address")]
        assert store.proofs() == [b"proof"]
        assert store.snapshot() == (2, b"fold")
        assert store.events(0, 10) == [an_event(1), an_event(2)]

    def test_entry_comes_back_byte_for_byte(self, store: Store) -> None:
        entry = an_entry(1, bytes(range(256)))
        store.commit([PutEntry(1, entry, (), own=False)])
        assert store.entry(1) == entry
        found = store.entry(1)
        assert found is not None
        assert found.encode() == entry.encode()

    def test_entries_ascend_and_begin_after_a_number(self, store: Store) -> None:
        store.commit([put(n) for n in range(1, 201)])
        assert [stored.n for stored in store.entries()] == list(range(1, 201))
        assert [stored.n for stored in store.entries(after=197)] == [198, 199, 200]
        assert list(store.entries(after=200)) == []

    def test_entries_see_what_is_committed_meanwhile(self, store: Store) -> None:
        store.commit([put(1)])
        reading = store.entries()
        assert next(reading).n == 1
        store.commit([put(2)])
        assert [stored.n for stored in reading] == [2]

    def test_entries_by_id_keep_the_order_and_skip_the_unknown(self, store: Store) -> None:
        store.commit([put(n) for n in range(1, 4)])
        ids = [an_entry(3).id, b"?" * 32, an_entry(1).id]
        assert [stored.n for stored in store.entries_by_id(ids)] == [3, 1]
        assert store.entries_by_id([]) == []

    def test_touching_lists_numbers_once_and_ascending(self, store: Store) -> None:
        store.commit([put(1, 5, 6, 5), put(2, 6)])
        store.commit([put(3, 6, 7)])
        assert store.touching(a_node(5)) == [1]
        assert store.touching(a_node(6)) == [1, 2, 3]
        assert store.touching(a_node(8)) == []

    def test_records_apply_in_their_order(self, store: Store) -> None:
        store.commit(
            [
                PutPending(1, b"old"),
                PutPending(1, b"new"),
                PutPending(2, b"x"),
                DeletePending((2, 9)),
                PutPending(3, b"y"),
                DeletePending((3,)),
                PutPending(3, b"z"),
                PutMeta("a", b"1"),
                PutMeta("a", b""),
            ]
        )
        assert store.pending() == [(1, b"new"), (3, b"z")]
        assert store.meta("a") is None

    def test_empty_value_forgets_meta_and_peer(self, store: Store) -> None:
        store.commit([PutMeta("a", b"1"), PutMeta("b", b"2"), PutPeer(b"p", b"1")])
        store.commit([PutMeta("a", b""), PutPeer(b"p", b""), PutMeta("none", b"")])
        assert (store.meta("a"), store.meta("b"), store.peers()) == (None, b"2", [])

    def test_lists_ascend_whatever_the_order_of_writing(self, store: Store) -> None:
        store.commit([PutPending(slot, b"") for slot in (30, 4, 200)])
        store.commit([PutPeer(node, b"1") for node in (b"c", b"a", b"b")])
        store.commit([PutProof(b"b", 1, b"3"), PutProof(b"b", 0, b"2"), PutProof(b"a", 1, b"1")])
        assert [slot for slot, _ in store.pending()] == [4, 30, 200]
        assert [node for node, _ in store.peers()] == [b"a", b"b", b"c"]
        assert store.proofs() == [b"1", b"2", b"3"]

    def test_later_proof_and_snapshot_replace_the_earlier(self, store: Store) -> None:
        store.commit([PutProof(b"a", 1, b"old"), PutSnapshot(1, b"old")])
        store.commit([PutProof(b"a", 1, b"new"), PutSnapshot(2, b"new")])
        assert store.proofs() == [b"new"]
        assert store.snapshot() == (2, b"new")

    def test_events_come_after_a_cursor_and_within_a_limit(self, store: Store) -> None:
        store.commit([PutEvents(()), PutEvents(tuple(an_event(c) for c in range(1, 11)))])
        assert [e.cursor for e in store.events(4, 3)] == [5, 6, 7]
        assert store.events(10, 3) == []
        assert store.events(0, 0) == []

    def test_events_are_trimmed_when_a_tenth_over_their_bound(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "EVENTS_KEPT_MAX", 20)
        store.commit([PutEvents(tuple(an_event(c) for c in range(1, 23)))])
        assert [e.cursor for e in store.events(0, 100)] == list(range(1, 23))
        store.commit([PutEvents((an_event(23),))])
        assert [e.cursor for e in store.events(0, 100)] == list(range(4, 24))
        assert [e.cursor for e in store.events(10, 2)] == [11, 12]
        assert store.last_cursor() == 23

    def test_failed_commit_applies_nothing_and_the_next_one_works(
        self, store: Store, fail_next_commit: Callable[[], None]
    ) -> None:
        store.commit(ONE_OF_EACH)
        before = state(store)
        fail_next_commit()
        big = PutEntry(3, an_entry(3, b"x" * 60_000), (a_node(1), a_node(9)), own=True)
        batch = [big, PutMeta("a", b""), DeletePending((7,)), PutEvents((an_event(3),))]
        with pytest.raises(StorageError) as caught:
            store.commit(batch)
        assert caught.value.hint
        assert "cannot commit" in caught.value.message
        assert state(store) == before
        store.commit(batch)
        assert store.last_n() == 3
        assert store.touching(a_node(9)) == [3]

    @pytest.mark.parametrize(
        "mistake",
        [
            [put(1), put(3)],
            [put(2)],
            [PutEvents((an_event(2),))],
            [PutEvents((an_event(1), an_event(3)))],
        ],
    )
    def test_wrong_number_is_our_own_mistake_and_applies_nothing(
        self, store: Store, mistake: list[Record]
    ) -> None:
        with pytest.raises(AssertionError):
            store.commit([PutMeta("a", b"1"), *mistake])
        assert state(store)[5:] == ([None, None], None, [])
        assert store.last_n() == 0
        store.commit([put(1)])

    def test_same_entry_twice_is_our_own_mistake_and_applies_nothing(self, store: Store) -> None:
        store.commit([put(1)])
        again = PutEntry(2, an_entry(1), (), own=False)
        twice = PutEntry(3, an_entry(2), (), own=False)
        for mistake in ([again], [put(2), twice]):
            with pytest.raises(AssertionError):
                store.commit([PutMeta("a", b"1"), *mistake])
        assert store.last_n() == 1
        assert store.meta("a") is None

    def test_empty_commit_changes_nothing(self, store: Store) -> None:
        store.commit([])
        assert store.last_n() == 0

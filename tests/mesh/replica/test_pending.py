"""LOCAL writes: shared with nobody until they are sealed, with the time at which they were made."""

from __future__ import annotations

import pytest

from capability.verdict import Verdict
from crdt.codec import INT_MAX, encode
from mesh.core.effects import Log, Persist, Reply
from mesh.core.errors import StorageError
from mesh.core.inputs import LOCAL
from mesh.core.limits import FLUSH_INTERVAL_MS, GROUP_BYTES_MAX
from mesh.core.records import DeletePending, PutMeta, PutPending, PutProof
from mesh.core.writes import AddToSet, Append, Create, Increment, SetRegister
from mesh.replica.pending import META_EARLY, PendingRows, Row, decode_row
from mesh.replica.writer import Submitted
from tests.mesh.replica.checks import observer
from tests.mesh.replica.desk import Desk, entries_of, field_of
from tests.mesh.replica.hand import hand, put
from tests.mesh.replica.world import node_of

NODE = b"n" * 16


def stamp_of(desk: Desk, name: str) -> int:
    cell = desk.node.replica.store.cell(desk.task, (0, name, 3))
    return cell.hlc  # type: ignore[union-attr]


def test_a_row_is_durable_before_its_reply_and_not_in_the_state_hash() -> None:
    desk = Desk()
    before = desk.node.replica.state_hash()
    effects = desk.submit(field_of(desk, "a"), level=LOCAL)
    assert [type(e) for e in effects] == [Persist, Reply]
    desk.node.run(effects)
    assert desk.node.replica.state_hash() == before
    assert [row.write for row in desk.node.replica.pending.of_node(desk.task)] == [
        field_of(desk, "a")
    ]
    assert desk.node.replica.pending.due_ms == desk.node.now.mono_ms + FLUSH_INTERVAL_MS
    desk.node.reload()
    assert desk.node.replica.counts()["pending"] == 1
    assert desk.node.replica.state_hash() == before


def test_rows_of_a_session_coalesce() -> None:
    desk = Desk()
    for at in range(3):
        desk.node.write(
            field_of(desk, "a", at),
            Increment(desk.task, 0, "n", 5),
            Append(desk.task, 0, "log", at),
            level=LOCAL,
            session="agent" if at == 2 else "",
        )
    rows = [(row.session, row.write) for row in desk.node.replica.pending.of_node(desk.task)]
    assert rows == [
        ("", field_of(desk, "a", 1)),
        ("", Increment(desk.task, 0, "n", 10)),
        ("", Append(desk.task, 0, "log", 0)),
        ("", Append(desk.task, 0, "log", 1)),
        ("agent", field_of(desk, "a", 2)),
        ("agent", Increment(desk.task, 0, "n", 5)),
        ("agent", Append(desk.task, 0, "log", 2)),
    ]
    before = list(desk.node.replica.pending.rows.values())
    desk.node.reload()
    assert list(desk.node.replica.pending.rows.values()) == before
    # Whether they were sealed before the restart only a peer can tell.
    desk.node.run(desk.node.replica.seal_pending(desk.node.now))
    assert list(desk.node.replica.pending.rows.values()) == before
    replica = desk.node.replica
    assert replica.check_heads((None, None)) == ""
    assert replica.pending.found_until, "who knows nothing of this log can tell nothing"
    assert replica.check_heads(replica.port.heads_of(replica.author)) == ""
    desk.node.run(desk.node.replica.seal_pending(desk.node.now))
    cell = desk.node.replica.store.cell(desk.task, (0, "n", 7))
    assert cell.total == 15  # type: ignore[union-attr]
    desk.agrees()


def test_increments_that_would_leave_the_range_do_not_coalesce() -> None:
    desk = Desk()
    big = (1 << 63) - 1
    for _ in range(2):
        desk.node.write(Increment(desk.task, 0, "n", big), level=LOCAL)
    desk.node.reload()
    desk.node.run(desk.node.replica.seal_pending(desk.node.now))
    desk.agrees()


def test_rows_coalesce_up_to_the_end_of_the_range_and_with_the_first_that_has_room() -> None:
    rows = PendingRows()
    for amount in (INT_MAX - 1, 1, 1, 1):
        rows.add(Row("", 1, Increment(NODE, 0, "n", amount)))
    amounts = [row.write.amount for row in rows.of_node(NODE) if isinstance(row.write, Increment)]
    assert amounts == [INT_MAX, 2]


def test_nothing_coalesces_with_what_was_found() -> None:
    rows = PendingRows(found_until=1)
    rows.load([(1, Row("", 1, Increment(NODE, 0, "n", 5)).encode())])
    slots = [rows.add(Row("", at, Increment(NODE, 0, "n", 1)))[0] for at in (2, 3)]
    assert slots == [2, 2]
    assert [row.hlc for row in rows.of_node(NODE)] == [1, 3]


def test_what_was_found_is_drained_first_and_each_part_by_session() -> None:
    def loaded(found_until: int) -> PendingRows:
        rows = PendingRows(found_until=found_until)
        for slot, session in enumerate("baba", start=1):
            rows.load([(slot, Row(session, slot, Append(NODE, 0, "log", slot)).encode())])
        return rows

    assert [slot for slot, _ in loaded(2).drain(whole=True)] == [2, 1, 4, 3]
    assert [slot for slot, _ in loaded(0).drain(whole=True)] == [2, 4, 1, 3]
    # Of a place nothing is sealed before what is older.
    assert loaded(2).drain(whole=False) == []


def test_the_entries_of_found_rows_are_remembered_with_them() -> None:
    rows = PendingRows(found_until=2)
    first, second = b"a" * 32, b"b" * 32
    assert rows.sealed(first, [1, 2]) == [
        DeletePending((1, 2)),
        PutMeta(META_EARLY, encode((first,))),
    ]
    assert rows.sealed(second, [2])[1:] == [PutMeta(META_EARLY, encode((first, second)))]
    assert rows.sealed(b"c" * 32, [3]) == [DeletePending((3,))]
    assert rows.early == [first, second]


def test_an_eventual_write_to_the_worknode_seals_its_rows_first_in_one_commit() -> None:
    desk = Desk()
    desk.node.write(field_of(desk, "a"), level=LOCAL)
    (row,) = desk.node.replica.pending.of_node(desk.task)
    desk.node.tick(5_000)
    effects = desk.submit(field_of(desk, "b")) + desk.node.replica.seal()
    (entry,) = entries_of(effects)
    persist = effects[0]
    assert isinstance(persist, Persist)
    assert [r for r in persist.records if isinstance(r, DeletePending)] == [DeletePending((1,))]
    desk.node.run(effects)
    assert desk.node.replica.counts()["pending"] == 0 and not desk.node.store.pending()
    # The row keeps the time at which it was made.
    assert stamp_of(desk, "a") == row.hlc < stamp_of(desk, "b") == entry.header.hlc
    desk.agrees()


def test_a_write_elsewhere_leaves_the_rows() -> None:
    desk = Desk()
    desk.node.write(field_of(desk, "a"), level=LOCAL)
    desk.node.write(SetRegister(desk.top, 0, "b", 1))
    assert desk.node.replica.counts()["pending"] == 1
    desk.node.write(Create(desk.task, "task", shared_key=b"below"))
    assert desk.node.replica.counts()["pending"] == 0


def test_a_local_submit_that_is_more_than_rows_seals_rows_too() -> None:
    desk = Desk()
    desk.node.write(field_of(desk, "a"), level=LOCAL)
    reply = desk.node.write(AddToSet(desk.task, 0, "s", 1), level=LOCAL)
    assert isinstance(reply, Submitted) and reply.entry
    assert desk.node.replica.counts()["pending"] == 0


def test_a_row_written_after_the_group_was_opened_goes_into_a_later_entry() -> None:
    # An operation is never younger than its entry: its age is unsigned.
    desk = Desk()
    effects = desk.submit(field_of(desk, "a", "first"))
    effects += desk.submit(field_of(desk, "a", "second"), level=LOCAL)
    effects += desk.submit(field_of(desk, "b"))
    effects += desk.node.replica.seal()
    desk.node.run(effects)
    assert desk.value("a") == "second"
    assert len(entries_of(effects)) == 2
    desk.agrees()


def test_an_older_row_loses_to_what_came_meanwhile() -> None:
    desk = Desk()
    desk.node.write(field_of(desk, "a", "row"), level=LOCAL)
    desk.node.tick(2_000)
    later = desk.root.data(put(desk.task, "a", "later"), hlc=desk.node.now.wall_ms << 16)
    desk.node.receive([later])
    desk.node.tick(2_000)
    desk.node.run(desk.node.replica.seal_pending(desk.node.now))
    assert desk.value("a") == "later"
    desk.agrees()


def test_rows_are_sealed_at_their_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.replica.writer.PENDING_ROWS_MAX", 3)
    desk = Desk()
    for at in range(3):
        desk.node.write(Append(desk.task, 0, "log", at), level=LOCAL)
    assert desk.node.replica.counts()["pending"] == 0 and desk.node.replica.pending.due_ms is None
    desk.agrees()


def found_row(desk: Desk) -> None:
    """A LOCAL write, found by a restart; whether it was sealed before only a peer can tell."""
    desk.node.write(Increment(desk.task, 0, "n", 1), level=LOCAL)
    desk.node.reload()
    assert desk.node.replica.pending.found_until


@pytest.mark.parametrize("by", ["bound", "write"])
def test_what_was_found_gets_an_entry_of_its_own_when_it_cannot_wait(
    by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk()
    found_row(desk)
    desk.node.write(field_of(desk, "a"), level=LOCAL)
    if by == "bound":
        monkeypatch.setattr("mesh.replica.writer.PENDING_ROWS_MAX", 3)
        # Something is open, and older than the row that fills the heap.
        effects = desk.submit(SetRegister(desk.top, 0, "b", 1))
        effects += desk.submit(field_of(desk, "c"), level=LOCAL) + desk.node.replica.seal()
    else:
        effects = desk.submit(field_of(desk, "b")) + desk.node.replica.seal()
    entries = entries_of(effects)
    assert len(entries) == (3 if by == "bound" else 2)
    desk.node.run(effects)
    assert desk.node.replica.counts()["pending"] == 0
    (early,) = desk.node.replica.pending.early
    assert early in {entry.id for entry in entries}
    assert desk.node.store.meta(META_EARLY) == encode((early,))
    desk.agrees()


def test_a_heap_of_small_rows_makes_entries_of_bounded_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk()
    for at in range(12):
        desk.node.write(Append(desk.task, 0, "log", "x" * 20_000 + str(at)), level=LOCAL)
    before = len(desk.node.log())
    desk.node.run(desk.node.replica.seal_pending(desk.node.now))
    made = desk.node.log()[before:]
    assert len(made) == 4
    assert max(len(entry.body) for entry in made) < GROUP_BYTES_MAX
    # As many operations as an entry takes are one entry.
    monkeypatch.setattr("mesh.replica.group.GROUP_OPS_MAX", 3)
    for at in range(3):
        desk.node.write(Append(desk.task, 0, "log", at), level=LOCAL)
    before = len(desk.node.log())
    desk.node.run(desk.node.replica.seal_pending(desk.node.now))
    assert len(desk.node.log()) == before + 1


def test_sealing_a_large_heap_makes_entries_of_bounded_size() -> None:
    desk = Desk()
    for at in range(12):
        desk.node.write(Append(desk.task, 0, "log", "x" * 60_000 + str(at)), level=LOCAL)
    desk.node.run(desk.node.replica.seal_pending(desk.node.now))
    assert desk.node.replica.counts()["pending"] == 0
    assert max(len(entry.body) for entry in desk.node.log()) < 140_000
    desk.agrees()


def test_what_can_no_longer_be_sealed_at_all_is_kept() -> None:
    desk = Desk()
    for name in ("a", "b"):
        desk.node.write(field_of(desk, name), level=LOCAL)
    # The root's authority lane forks below the grant, and with it goes every right of this node.
    first = desk.mesh.genesis
    twin = desk.root.twin()
    twin.tips[0] = (1, first.id, first.header.hlc)
    desk.node.receive([twin.grant(b"\1" * 32)])
    assert not desk.node.replica.held.ledger.grants_to(desk.bob.author)
    effects = desk.node.replica.seal_pending(desk.node.now)
    said = [(e.level, e.event, dict(e.fields)) for e in effects if isinstance(e, Log)]
    reason = "this would not count anywhere: this node holds no grant that counts"
    assert said == [
        ("warning", "write.will_not_count", {"field": name, "reason": reason}) for name in "ab"
    ]
    desk.node.run(effects)
    assert desk.node.replica.counts()["pending"] == 2
    desk.node.reload()
    assert desk.node.replica.counts()["pending"] == 2


def test_what_was_kept_is_sealed_when_this_node_has_a_right_again() -> None:
    desk = Desk()
    ann, cec = hand(desk.mesh, "ann"), hand(desk.mesh, "cec")
    node = node_of(desk.mesh, cec.signer, desk.node.log()[1:])
    node.receive([desk.root.grant(ann)])
    twin = ann.twin()
    node.receive([granted := ann.grant(cec)])
    node.write(field_of(desk, "a"), level=LOCAL)
    node.receive([twin.grant(b"\1" * 32)])
    node.run(node.replica.seal_pending(node.now))
    assert (node.replica.counts()["pending"], node.replica.pending.due_ms) == (1, None)
    node.receive([desk.root.pin(granted)])
    assert node.replica.pending.due_ms == node.now.mono_ms
    node.run(node.replica.seal_pending(node.now) + node.replica.seal())
    assert node.replica.counts()["pending"] == 0


@pytest.mark.parametrize("left_ms", [2 * FLUSH_INTERVAL_MS, 2 * FLUSH_INTERVAL_MS + 1])
def test_a_local_write_is_sealed_before_its_grant_ends(left_ms: int) -> None:
    desk = Desk()
    cec = hand(desk.mesh, "cec")
    node = node_of(desk.mesh, cec.signer, desk.node.log()[1:])
    node.receive([desk.root.grant(cec, exp_ms=node.now.wall_ms + left_ms)])
    node.write(field_of(desk, "a"), level=LOCAL)
    assert node.replica.counts()["pending"] == (left_ms > 2 * FLUSH_INTERVAL_MS)
    node.tick(left_ms)
    node.run(node.replica.seal_pending(node.now) + node.replica.seal())
    last = node.log()[-1]
    judged, _ = node.replica.held.ledger.judge(last.header, last.id)
    assert (judged is Verdict.COUNTS) == (left_ms == 2 * FLUSH_INTERVAL_MS)


def test_a_restart_never_repeats_a_stamp_though_the_wall_clock_stepped_back() -> None:
    desk = Desk()
    desk.node.write(field_of(desk, "a"))
    desk.node.write(field_of(desk, "b"), level=LOCAL)
    row = max(row.hlc for row in desk.node.replica.pending.rows.values())
    desk.node.tick(-3_600_000)
    desk.node.reload()
    assert desk.node.replica.counts()["parked"] == 0
    reply = desk.node.write(SetRegister(desk.top, 0, "c", 1))
    assert isinstance(reply, Submitted) and reply.hlc > row
    stamps = [e.header.hlc for e in desk.node.log() if e.header.author == desk.bob.author]
    assert stamps == sorted(set(stamps))
    other = observer(desk.mesh)
    other.receive(desk.node.log())
    assert other.replica.state_hash() == desk.node.replica.state_hash()


def test_rows_read_back_as_they_were_written() -> None:
    desk = Desk()
    for write in (
        field_of(desk, "a", "x"),
        Increment(desk.task, 1, "n", -3),
        Append(desk.task, 2, "log", (0, 1)),
    ):
        (persist, _) = desk.submit(write, level=LOCAL, session="agent")[-2:]
        assert isinstance(persist, Persist)
        (record,) = persist.records
        assert isinstance(record, PutPending)
        assert decode_row(record.data).write == write


@pytest.mark.parametrize(
    "data",
    [
        b"no row",
        encode((1, 1, 3, b"n" * 16, 0, "a", 1)),
        encode(("", -1, 3, b"n" * 16, 0, "a", 1)),
        encode(("", 1, 99, b"n" * 16, 0, "a", 1)),
        encode(("", 1, 3, b"n" * 15, 0, "a", 1)),
        encode(("", 1, 3, b"n" * 16, 7, "a", 1)),
        encode(("", 1, 7, b"n" * 16, 0, "a", "no amount")),
    ],
)
def test_a_damaged_row_is_named_at_the_start(data: bytes) -> None:
    desk = Desk()
    desk.node.store.commit([PutPending(1, data)])
    with pytest.raises(StorageError, match="a local write that waits cannot be read") as caught:
        desk.node.reload()
    assert "mesh doctor" in caught.value.hint


@pytest.mark.parametrize("data", [b"no proof", encode((b"", b"")), encode(((b"", b""),) * 2)])
def test_a_damaged_fork_proof_is_named_at_the_start(data: bytes) -> None:
    desk = Desk()
    desk.node.store.commit([PutProof(desk.bob.author, 1, data)])
    with pytest.raises(StorageError, match="a fork proof cannot be read") as caught:
        desk.node.reload()
    assert "mesh doctor" in caught.value.hint


def test_early_entries_are_remembered_up_to_their_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each start off line finds rows anew, so that there may be more of them than rows."""
    monkeypatch.setattr("mesh.replica.pending.EARLY_ENTRIES_MAX", 2)
    rows = PendingRows()
    ids = [bytes([number]) * 32 for number in range(4)]
    for slot, entry_id in enumerate(ids, start=1):
        rows.found_until = slot
        records = rows.sealed(entry_id, [slot])
        assert records[0] == DeletePending((slot,))
        assert len(records) == (2 if slot <= 2 else 1)
    assert rows.early == ids[:2]

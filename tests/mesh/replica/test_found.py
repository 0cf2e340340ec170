"""LOCAL rows that a start finds: which wait for a peer's word, and which were sealed before."""

from __future__ import annotations

from functools import partial

import pytest

from capability.entry import KIND_DATA, KIND_ENCRYPTED, Entry
from crdt.codec import encode
from mesh.core.errors import StorageError
from mesh.core.inputs import LOCAL, Now
from mesh.core.records import DeletePending, PutMeta, Record
from mesh.core.writes import Append, Increment, SetRegister, Write
from mesh.replica.found import META_FOUND, FoundRows, Sealed, load_rows
from mesh.replica.held import Held
from mesh.replica.pending import META_EARLY, LocalWrite, PendingRows, Row
from mesh.replica.recovery import META_BLOCKED, META_RECOVER
from mesh.worknode.cells import COUNTER, LOG, REGISTER
from tests.mesh.replica.desk import Desk, field_of
from tests.mesh.replica.hand import put
from tests.mesh.replica.world import node_of

SENT = (PutMeta(META_FOUND, b""), PutMeta(META_EARLY, b""))


def waiting(desk: Desk, *writes: Write) -> None:
    for write in writes:
        desk.node.run(desk.submit(write, level=LOCAL))


def load(desk: Desk, **meta: bytes) -> FoundRows:
    store = desk.node.store
    store.commit([PutMeta(key, value) for key, value in meta.items()])
    now = Now(desk.node.now.mono_ms + 77, desk.node.now.wall_ms)
    return FoundRows.load(store, desk.node.replica.held, desk.bob.author, load_rows(store), now)


def inc(desk: Desk, amount: int = 1, name: str = "n") -> Increment:
    return Increment(desk.task, 0, name, amount)


# What a start makes of what it finds.


def test_what_is_found_waits_and_that_is_remembered() -> None:
    desk = Desk()
    waiting(desk, inc(desk), inc(desk, name="m"))
    found = load(desk)
    assert found.pending.found_until == 2
    assert found.pending.due_ms is None
    assert found.waits
    last = found.pending.last_hlc()
    assert found.old_until == last > 0
    assert found.unsaved == [PutMeta(META_FOUND, encode(last))]


def test_a_later_start_finds_anew_what_may_have_come_with_a_copy() -> None:
    desk = Desk()
    waiting(desk, inc(desk), inc(desk, name="m"))
    first = load(desk).pending.rows[1].hlc
    found = load(desk, rows_found=encode(first))
    last = found.pending.last_hlc()
    assert (found.pending.found_until, found.pending.due_ms) == (2, None)
    assert (found.old_until, found.unsaved) == (last, [PutMeta(META_FOUND, encode(last))])


@pytest.mark.parametrize("key", [META_BLOCKED, META_RECOVER])
def test_what_was_written_before_a_repair_is_ones_own(key: str) -> None:
    desk = Desk()
    waiting(desk, inc(desk), inc(desk, name="m"))
    first = load(desk).pending.rows[1].hlc
    found = load(desk, rows_found=encode(first), **{key: b"1"})
    # All wait, but what was written since the last start cannot have grown elsewhere.
    assert (found.pending.found_until, found.pending.due_ms) == (2, None)
    assert (found.old_until, found.unsaved) == (first, [])


@pytest.mark.parametrize("mark", [b"\xc1", encode("no slot"), encode((1,)), encode(b"x" * 20)])
def test_a_mark_that_cannot_be_read_takes_all_for_found(mark: bytes) -> None:
    desk = Desk()
    waiting(desk, inc(desk), inc(desk, name="m"))
    found = load(desk, rows_found=mark)
    assert (found.pending.found_until, found.pending.due_ms) == (2, None)
    assert found.old_until == found.pending.last_hlc()


def test_where_nobody_else_is_a_member_nothing_waits() -> None:
    desk = Desk()
    waiting(desk, inc(desk))
    held = desk.node.replica.held
    alone = Desk()
    store, now = desk.node.store, desk.node.now
    root = alone.root.author
    lone = FoundRows.load(store, _founder(alone), root, load_rows(store), now)
    assert (lone.pending.found_until, lone.unsaved) == (0, [])
    assert lone.pending.due_ms == now.mono_ms
    assert FoundRows.load(store, held, root, load_rows(store), now).pending.found_until == 1


def _founder(desk: Desk) -> Held:
    return node_of(desk.mesh, desk.root.signer).replica.held


def test_a_start_that_finds_nothing_has_nothing_to_remember() -> None:
    desk = Desk()
    found = load(desk)
    assert (found.waits, found.unsaved, found.pending.due_ms) == (False, [], None)


def test_a_mark_of_rows_that_are_gone_goes_when_nothing_is_early() -> None:
    mark = encode(5)
    found = load(Desk(), rows_found=mark)
    assert found.unsaved == [PutMeta(META_FOUND, b"")]
    found = load(Desk(), rows_found=mark, rows_early=encode((b"a" * 32,)))
    assert (found.unsaved, found.old_until) == ([], 5)


def test_entries_of_found_rows_are_known_after_a_restart() -> None:
    desk = Desk()
    ids = (b"a" * 32, b"b" * 32)
    found = load(desk, rows_early=encode(ids))
    assert found.pending.early == list(ids)
    assert found.waits
    assert found.unsaved == []


@pytest.mark.parametrize("mark", [b"\xc1", encode(5), encode((1, "a"))])
def test_a_mark_of_early_entries_that_cannot_be_read_names_none(mark: bytes) -> None:
    found = load(Desk(), rows_early=mark)
    assert found.pending.early == []
    assert found.unsaved == [PutMeta(META_EARLY, b"")]


def test_what_is_readable_of_a_mark_is_read() -> None:
    found = load(Desk(), rows_early=encode((1, b"a" * 32)))
    assert found.pending.early == [b"a" * 32]


def test_a_row_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    monkeypatch.setattr(desk.node.store, "_pending", {1: b"\xc1"}, raising=False)
    with pytest.raises(StorageError, match="waits cannot be read") as caught:
        load_rows(desk.node.store)
    assert "doctor" in caught.value.hint


# Whose word lets them go.


def test_a_peer_that_states_a_head_of_ones_data_lets_rows_go() -> None:
    desk = Desk()
    waiting(desk, inc(desk))
    found = load(desk)
    before = (PutMeta(META_FOUND, encode(found.pending.last_hlc())),)
    head = desk.node.log()[-1].signed_header
    found.heard((head, None))
    assert found.waits, "the other lane tells nothing of data"
    found.heard((None, head))
    assert not found.waits
    assert (found.pending.found_until, found.pending.due_ms) == (0, 0)
    assert found.unsaved == [*before, *SENT]
    found.release()
    assert found.unsaved == [*before, *SENT], "once"


def test_a_head_tells_nothing_to_a_pen_that_is_stopped_or_a_home_that_recovers() -> None:
    desk = Desk()
    waiting(desk, inc(desk))
    desk.node.reload()
    replica, head = desk.node.replica, desk.node.log()[-1].signed_header
    replica.writer.blocked = "because"
    assert replica.check_heads([None, head]) == ""
    assert replica.found.waits
    replica.writer.blocked, replica.recovery.mode = "", b"all"
    assert replica.check_heads([None, head]) == ""
    assert replica.found.waits
    replica.recovery.mode = b""
    assert replica.check_heads([None, head]) == ""
    assert not replica.found.waits


def test_of_a_log_without_data_anybody_can_tell() -> None:
    desk = Desk()
    waiting(desk, inc(desk))
    found = load(desk)
    found.author = b"?" * 32
    found.heard((None, None))
    assert not found.waits


def test_what_was_released_is_due_if_there_is_any() -> None:
    found = load(Desk(), rows_early=encode((b"a" * 32,)))
    found.release()
    assert found.pending.due_ms is None
    assert (found.pending.early, found.waits) == ([], False)


# What was sealed before.


def row(desk: Desk, write: LocalWrite, hlc: int, session: str = "") -> tuple[int, Row]:
    return hlc, Row(session, hlc, write)


def recovering(desk: Desk, *rows: tuple[int, Row], found_until: int) -> FoundRows:
    """A home whose log has come back; rows by slot, each slot is its stamp."""
    pending = PendingRows()
    pending.load([(slot, row.encode()) for slot, row in rows])
    pending.found_until = found_until
    found = FoundRows(desk.node.replica.held, desk.bob.author, pending, found_until)
    found.came_back()
    return found


def dropped(records: list[Record]) -> tuple[int, ...]:
    first = records[0]
    return first.slots if isinstance(first, DeletePending) else ()


def stamp(desk: Desk, *writes: Write, session: str = "") -> int:
    """Write and seal; the stamp of the entry."""
    desk.node.write(*writes, session=session)
    return desk.node.log()[-1].header.hlc


def test_found_rows_that_were_sealed_since_are_dropped() -> None:
    desk = Desk()
    at = stamp(desk, inc(desk), Append(desk.task, 0, "log", "x"), field_of(desk, "f"))
    rows = [
        row(desk, inc(desk, 1), at - 5),  # it grew, and was sealed later
        row(desk, inc(desk, 1), at + 1),  # nothing as late was sealed
        row(desk, inc(desk, 1, "other"), at - 6),
        row(desk, Append(desk.task, 0, "log", "x"), at),
        row(desk, Append(desk.task, 0, "log", "x"), at - 7),  # said twice
        row(desk, Append(desk.task, 0, "log", "y"), at - 8),
        row(desk, SetRegister(desk.task, 0, "f", 9), at - 9),
        row(desk, inc(desk, 1), at - 10, "another session"),
    ]
    found = recovering(desk, *sorted(rows), found_until=at + 1)
    assert dropped(found.recovered()) == (at - 9, at - 5, at)
    assert sorted(found.pending.rows) == [at - 10, at - 8, at - 7, at - 6, at + 1]


def test_no_more_of_the_log_is_read_than_may_have_sealed_a_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The whole of it may be a million entries, and links wait for the engine."""
    desk = Desk()
    stamps = [stamp(desk, inc(desk)) for _ in range(5)]
    numbers: list[int] = []
    real = Held.read

    def read(self: Held, n: int) -> Entry:
        numbers.append(n)
        return real(self, n)

    monkeypatch.setattr(Held, "read", read)
    found = recovering(desk, row(desk, inc(desk), stamps[3]), found_until=stamps[3])
    hlcs = desk.node.replica.table.hlcs
    assert sorted(hlcs[n] for n in numbers) == stamps[3:]
    assert dropped(found.recovered()) == (stamps[3],)
    numbers.clear()
    pending = PendingRows(early=[b"a" * 32])
    FoundRows(desk.node.replica.held, desk.bob.author, pending).came_back()
    assert len(numbers) == len(stamps) + 1


def test_rows_written_since_are_dropped_only_if_they_are_in_the_log_themselves() -> None:
    desk = Desk()
    at = stamp(desk, inc(desk, 3))
    same, less = row(desk, inc(desk, 3), at), row(desk, inc(desk, 2), at - 1)
    found = recovering(desk, less, same, found_until=0)
    assert dropped(found.recovered()) == (at,)
    assert list(found.pending.rows) == [at - 1]


def test_nothing_to_drop_leaves_no_record_of_it() -> None:
    desk = Desk()
    found = recovering(desk, row(desk, inc(desk), 1 << 62), found_until=1 << 62)
    found.unsaved = []
    assert found.recovered() == list(SENT)
    assert found.unsaved == []
    assert found.pending.due_ms == 0


def test_of_a_log_that_has_not_come_back_nothing_is_dropped() -> None:
    desk = Desk()
    at = stamp(desk, inc(desk))
    found = recovering(desk, row(desk, inc(desk), at), found_until=at)
    found.recovered()
    found.pending.load([(at, row(desk, inc(desk), at)[1].encode())])
    assert dropped([*found.recovered(), PutMeta("", b"")]) == ()


def test_all_of_the_log_is_read_with_the_times_of_what_it_says() -> None:
    """From the first entry on, whatever stands between."""
    desk = Desk()
    first = desk.root.data(put(desk.task, "f", 1, age=3))
    broken = desk.root.write(KIND_DATA, b"\xc1")
    other = desk.root.write(KIND_ENCRYPTED, b"secret")
    last = desk.root.data(put(desk.task, "f", 2, age=1))
    desk.node.receive([first, broken, other, last])
    place = (b"", desk.task, (0, "f", REGISTER))
    found = FoundRows(desk.node.replica.held, desk.root.author, PendingRows(found_until=1))
    found.came_back()
    assert found._sealed == Sealed(
        {place: last.header.hlc - 1},
        {
            (place, first.header.hlc - 3, encode(1)),
            (place, last.header.hlc - 1, encode(2)),
        },
    )


def test_sealed_writes_are_known_by_place_and_by_themselves() -> None:
    sealed = Sealed()
    counter, log = ((b"", b"n" * 16, (0, "a", kind)) for kind in (COUNTER, LOG))
    other = (b"", b"n" * 16, (0, "a", REGISTER))
    for place in (counter, log):
        sealed.add(place, 5, 1)
        sealed.add(place, 3, 2)
    grown, same = (
        partial(sealed.has, may_have_grown=True),
        partial(sealed.has, may_have_grown=False),
    )
    assert grown(counter, 5, 9) and grown(counter, 1, 9)
    assert not grown(counter, 6, 1) and not grown(other, 1, 1)
    assert same(counter, 3, 2)
    assert not same(counter, 3, 1)
    assert grown(log, 3, 2) and not grown(log, 3, 1) and not grown(log, 4, 2)
    # Compared as bytes: in Python True == 1.
    assert not grown(log, 5, True)

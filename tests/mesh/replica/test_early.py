"""Entries that found rows became before anybody had spoken: what of them is said again."""

from __future__ import annotations

import pytest

from capability.data_body import decode_data, parse_op
from capability.entry import Entry
from capability.ids import session_id
from mesh.core.writes import Append, Increment, Write
from mesh.replica.found import FoundRows, Sealed
from mesh.replica.pending import PendingRows, Row
from mesh.worknode.cells import COUNTER
from tests.mesh.replica.desk import Desk, field_of


def inc(desk: Desk, amount: int = 1, name: str = "n") -> Increment:
    return Increment(desk.task, 0, name, amount)


def stamp(desk: Desk, *writes: Write, session: str = "") -> int:
    """Write and seal; the stamp of the entry."""
    desk.node.write(*writes, session=session)
    return desk.node.log()[-1].header.hlc


def early(desk: Desk, *writes: Write) -> Entry:
    """An own entry that nobody has: of the same stamp and session as what is sealed next."""
    desk.node.write(*writes)
    return desk.node.log()[-1]


def test_an_early_entry_is_said_again_without_what_the_log_had_sealed() -> None:
    desk = Desk()
    append = Append(desk.task, 0, "log", "x")
    entry = early(desk, inc(desk), field_of(desk, "f"), append, inc(desk, name="m"))
    held = desk.node.replica.held
    found = FoundRows(held, desk.bob.author, PendingRows(early=[entry.id]))
    assert found.without_sealed(entry) == entry.body, "the log has not come back"
    found.came_back()
    data = decode_data(found.without_sealed(entry))
    assert data.ops == ()
    assert found._sealed is not None
    place = (session_id(""), desk.task, (0, "n", COUNTER))
    found._sealed.each = {one for one in found._sealed.each if one[0] == place}
    found._sealed.latest = {place: entry.header.hlc}
    left = decode_data(found.without_sealed(entry))
    ops = [parse_op(left, at) for at in range(len(left.ops))]
    names = [getattr(op.payload, "name", "") for op in ops if op is not None]
    assert names == ["f", "log", "m"]


@pytest.mark.parametrize("later", [0, 1])
def test_of_an_early_entry_what_was_found_first_may_have_grown(later: int) -> None:
    desk = Desk()
    entry = early(desk, inc(desk))
    stamp = entry.header.hlc
    rows = PendingRows(early=[entry.id])
    found = FoundRows(desk.node.replica.held, desk.bob.author, rows, stamp - later)
    found.came_back()
    place = (session_id(""), desk.task, (0, "n", COUNTER))
    found._sealed = Sealed({place: stamp + 5})
    assert len(decode_data(found.without_sealed(entry)).ops) == later


def test_an_entry_of_other_writes_is_said_again_whole() -> None:
    desk = Desk()
    entry = early(desk, inc(desk))
    held = desk.node.replica.held
    found = FoundRows(held, desk.bob.author, PendingRows(early=[b"?" * 32]))
    found.came_back()
    assert found.without_sealed(entry) == entry.body
    found.pending.early.append(entry.id)
    found._sealed = Sealed()
    assert found.without_sealed(entry) == entry.body


def test_a_log_that_nobody_waits_for_is_not_read() -> None:
    desk = Desk()
    stamp(desk, inc(desk))
    found = FoundRows(desk.node.replica.held, desk.bob.author, PendingRows())
    found.came_back()
    assert found._sealed == Sealed()
    lost = FoundRows(desk.node.replica.held, b"?" * 32, PendingRows(found_until=1))
    lost.came_back()
    assert lost._sealed == Sealed()


def test_for_early_entries_all_of_the_log_is_read_however_young_the_rows() -> None:
    desk = Desk()
    entry = early(desk, inc(desk))
    pending = PendingRows(early=[entry.id])
    pending.load([(1, Row("", 1 << 62, inc(desk)).encode())])
    found = FoundRows(desk.node.replica.held, desk.bob.author, pending)
    found.came_back()
    assert found._sealed is not None
    assert found._sealed.latest == {(b"", desk.task, (0, "n", COUNTER)): entry.header.hlc}

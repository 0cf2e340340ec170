"""The open group and the table: what may join an entry, and how its operations name others."""

from __future__ import annotations

import pytest
from attrs import evolve

from capability.authority import root_authority
from capability.data_body import decode_data
from capability.entry import KIND_DATA, KIND_GRANT, LANE_AUTHORITY, LANE_DATA, Header
from capability.ids import ZERO_ID
from capability.limits import REFS_MAX
from capability.verdict import Verdict
from mesh.core.limits import GROUP_BYTES_MAX, GROUP_OPS_MAX
from mesh.replica.drafts import Facts
from mesh.replica.group import Group
from mesh.replica.table import EntryTable
from mesh.worknode.cells import dot
from tests.mesh.replica.hand import put
from tests.mesh.replica.stage import Stage

NODE = b"n" * 16
ROOT = root_authority(b"m" * 32)


def header(author: bytes, lane: int, seq: int, *, hlc: int = 5, leaf: bytes = b"") -> Header:
    kind = KIND_DATA if lane == LANE_DATA else KIND_GRANT
    return Header(author, lane, seq, ZERO_ID, hlc, kind, leaf, 0, ZERO_ID)


@pytest.fixture
def table() -> EntryTable:
    table = EntryTable()
    for number in range(1, 4):
        table.append(bytes([number]) * 32, header(b"a" * 32, LANE_DATA, number))
    return table


def group_of(table: EntryTable) -> Group:
    n = table.append(b"", header(b"a" * 32, LANE_DATA, 4))
    return Group(Facts(n, b"", b"a" * 32, 4, 9, b""), b"s" * 16, ROOT, table)


def test_a_group_takes_what_is_of_its_leaf_and_session_within_its_bounds(table: EntryTable) -> None:
    group = group_of(table)
    session = b"s" * 16
    assert group.fits(ROOT, session, GROUP_OPS_MAX, GROUP_BYTES_MAX)
    assert not group.fits(ROOT, session, GROUP_OPS_MAX + 1, 0)
    assert not group.fits(ROOT, session, 1, GROUP_BYTES_MAX + 1)
    assert not group.fits(ROOT, b"", 1, 1)
    assert not group.fits(evolve(ROOT, leaf=b"l" * 32), session, 1, 1)
    group.ops.append(put(NODE, "f", 1))
    group.size = 7
    assert group.fits(ROOT, session, GROUP_OPS_MAX - 1, GROUP_BYTES_MAX - 7)
    assert not group.fits(ROOT, session, GROUP_OPS_MAX, 1)
    assert not group.fits(ROOT, session, 1, GROUP_BYTES_MAX - 6)
    group.refs += [b""] * (REFS_MAX // 2 - 1)
    assert group.fits(ROOT, session, 1, 1)
    group.refs.append(b"")
    assert not group.fits(ROOT, session, 1, 1)


def test_dots_are_named_by_references_that_grow_as_they_are_needed(table: EntryTable) -> None:
    group = group_of(table)
    assert group.cite([]) == ()
    assert group.cite([dot(3, 1), dot(1, 2), dot(group.facts.n, 0)]) == ((0, 0), (1, 1), (2, 2))
    assert group.cite([dot(1, 7), dot(2, 0), dot(3, 0)]) == ((1, 0), (2, 7), (3, 0))
    assert group.refs == [b"\3" * 32, b"\1" * 32, b"\2" * 32]
    group.ops.append(put(NODE, "f", 1))
    body, touched = group.body()
    data = decode_data(body)
    assert (data.refs, data.session, touched) == (tuple(group.refs), b"s" * 16, (NODE,))
    assert len(data.ops) == 1


def test_the_table_has_of_an_entry_what_was_appended(table: EntryTable) -> None:
    grant = header(b"b" * 32, LANE_AUTHORITY, 8, hlc=6, leaf=b"l" * 32)
    n = table.append(b"i" * 32, grant)
    assert n == table.last == 4
    assert table.header_facts(n) == (b"b" * 32, LANE_AUTHORITY, 8, 6, b"l" * 32)
    assert table.header(n) == grant
    assert table.header(1) == header(b"a" * 32, LANE_DATA, 1)
    assert table.order(n) == (b"b" * 32, 8, b"i" * 32)
    assert table.number[b"i" * 32] == n
    assert list(table.by_leaf[b""]) == [1, 2, 3]
    assert list(table.by_leaf[b"l" * 32]) == [4]
    assert table.dot_id(dot(n, 258)) == b"i" * 32 + b"\1\2"
    assert EntryTable().last == 0


def test_what_counts_and_is_not_parked_is_folded(table: EntryTable) -> None:
    assert not table.counts(1)
    assert table.required[1] == 1
    table.verdicts[1] = Verdict.COUNTS
    assert table.counts(1)
    table.parked.add(1)
    assert not table.counts(1)


def test_an_open_entry_gets_its_name_once() -> None:
    entry = Stage().first
    table = EntryTable()
    n = table.append(b"", entry.header)
    assert table.number == {}
    table.name(n, entry)
    assert (table.ids[n], table.number) == (entry.id, {entry.id: n})
    with pytest.raises(AssertionError, match="named already"):
        table.name(n, entry)

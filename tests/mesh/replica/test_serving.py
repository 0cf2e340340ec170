"""What a replica shows its peers, read by read; nothing beyond what is required is shown."""

from __future__ import annotations

import pytest

from capability.entry import LANE_AUTHORITY, LANE_DATA, Entry, decode_entry
from capability.frontier import FrontierRow
from mesh.replica.serving import Serving
from tests.mesh.replica.hand import hand, put
from tests.mesh.replica.stage import Stage

ALL = 1 << 20


@pytest.fixture
def stage() -> Stage:
    return Stage()


def port(stage: Stage) -> Serving:
    return stage.node.replica.port


def write(stage: Stage, count: int) -> list[Entry]:
    entries = [stage.bob.data(put(stage.task, "f", at)) for at in range(count)]
    stage.node.receive(entries)
    return [stage.first, *entries]


def fork(stage: Stage) -> tuple[list[Entry], list[Entry]]:
    """Bob's log, which goes on in two ways after its first entry: the first is the main chain."""
    twin = stage.bob.twin()
    main = [stage.bob.data(put(stage.task, "f", at)) for at in range(3)]
    branch = [twin.data(put(stage.task, "g", at)) for at in range(2)]
    stage.node.receive([*main, *branch])
    return main, branch


def row(entry: Entry, proof: bytes = b"") -> FrontierRow:
    header = entry.header
    return FrontierRow(header.author, header.lane, header.seq, entry.id, proof)


# Rows.


def test_rows_are_told_by_lane_and_author(stage: Stage) -> None:
    grant = next(e for e in stage.node.log() if e.header.seq == 2)
    assert port(stage).rows(LANE_AUTHORITY) == [row(grant)]
    assert port(stage).rows(LANE_DATA) == [row(stage.first)]
    assert port(stage).row(stage.bob.author, LANE_DATA) == row(stage.first)
    nothing = FrontierRow(stage.bob.author, LANE_AUTHORITY, 0, stage.mesh.id, b"")
    assert port(stage).row(stage.bob.author, LANE_AUTHORITY) == nothing


def test_rows_that_moved_are_told_lanes_first(stage: Stage) -> None:
    since = port(stage).version
    carol, dave = hand(stage.mesh, "carol"), hand(stage.mesh, "dave")
    grants = [stage.root.grant(carol), stage.root.grant(dave)]
    data = [one.data(put(stage.task, "f", 1)) for one in (dave, carol)]
    stage.node.receive([*grants, *data])
    by_author = sorted(data, key=lambda entry: entry.header.author)
    assert port(stage).rows_since(since) == [row(grants[1]), *map(row, by_author)]
    assert port(stage).rows_since(port(stage).version) == []


def test_heads_are_as_far_as_anything_is_held(stage: Stage) -> None:
    fork(stage)
    assert port(stage).own_heads(stage.bob.author) == (0, 4)
    assert port(stage).own_heads(stage.root.author) == (2, 0)


# Entries.


def test_a_range_is_cut_to_what_is_required(stage: Stage) -> None:
    entries = write(stage, 4)
    author = stage.bob.author

    def read(first: int, last: int, bytes_max: int = ALL) -> list[Entry]:
        found = port(stage).read_range(author, LANE_DATA, first, last, bytes_max)
        return list(map(decode_entry, found))

    assert read(1, 5) == read(0, 99) == entries
    assert read(2, 3) == entries[1:3]
    assert read(5, 5) == entries[4:]
    assert read(6, 9) == read(4, 3) == []
    size = len(entries[0].encode()) + len(entries[1].encode())
    assert read(1, 5, size) == entries[:2]
    assert read(1, 5, size - 1) == entries[:1]
    # One is always given, else a large one could never be had.
    assert read(1, 5, 1) == entries[:1]
    assert port(stage).read_range(b"?" * 32, LANE_DATA, 1, 9, ALL) == []


def test_a_range_has_a_bound_of_its_own(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = write(stage, 4)
    monkeypatch.setattr("mesh.replica.serving._ENTRIES_AT_ONCE_MAX", 2)
    found = port(stage).read_range(stage.bob.author, LANE_DATA, 2, 5, ALL)
    assert found == [entry.encode() for entry in entries[1:3]]


def test_of_a_forked_lane_the_branch_that_stands_is_read(stage: Stage) -> None:
    main, branch = fork(stage)
    author = stage.bob.author
    first = stage.first.encode()
    assert port(stage).read_range(author, LANE_DATA, 1, 9, ALL) == [first]
    stage.node.receive([stage.root.pin(branch[1])])
    assert port(stage).read_range(author, LANE_DATA, 1, 9, ALL) == [
        first,
        *(entry.encode() for entry in branch),
    ]
    assert port(stage).header_at(author, LANE_DATA, 3) == branch[1].signed_header
    assert port(stage).header_at(author, LANE_DATA, 4) == main[2].signed_header
    assert port(stage).header_at(author, LANE_DATA, 5) is None
    assert port(stage).header_at(author, LANE_DATA, 0) is None
    assert port(stage).heads_of(author) == (None, branch[1].signed_header)


def test_entries_are_given_by_id_in_the_order_asked_for(stage: Stage) -> None:
    entries = write(stage, 3)
    ids = [entries[2].id, b"?" * 32, entries[0].id, entries[1].id]
    wanted = [entries[at].encode() for at in (2, 0, 1)]
    assert port(stage).entries_by_id(ids, ALL) == wanted
    size = len(wanted[0]) + len(wanted[1])
    assert port(stage).entries_by_id(ids, size) == wanted[:2]
    assert port(stage).entries_by_id(ids, size - 1) == wanted[:1]
    assert port(stage).entries_by_id(ids, 1) == wanted[:1]


# Forks.


def test_a_fork_is_proved_by_both_headers_held_or_not(stage: Stage) -> None:
    author = stage.bob.author
    assert port(stage).fork_proof(author, LANE_DATA) is None
    assert port(stage).fork_proof(b"?" * 32, LANE_DATA) is None
    halves = [stage.bob.twin().data(put(stage.task, "f", at)).signed_header for at in range(2)]
    halves.sort(key=lambda half: half.id)
    _, effects, _ = stage.node.replica.receive_proof(halves[0], halves[1], stage.node.now)
    stage.node.run(effects)
    assert port(stage).fork_proof(author, LANE_DATA) == tuple(halves)
    assert port(stage).signed_header(author, LANE_DATA, halves[1].id) == halves[1]
    assert port(stage).signed_header(author, LANE_DATA, b"?" * 32) is None
    assert port(stage).signed_header(b"?" * 32, LANE_DATA, b"?" * 32) is None


def test_whether_an_entry_is_held_is_asked_on_any_branch(stage: Stage) -> None:
    main, branch = fork(stage)
    author = stage.bob.author
    for entry in (stage.first, *main, *branch):
        assert port(stage).holds(author, LANE_DATA, entry.header.seq, entry.id)
        assert not port(stage).holds(author, LANE_DATA, entry.header.seq + 1, entry.id)
    assert port(stage).holds(author, LANE_DATA, 0, stage.mesh.id)
    assert not port(stage).holds(author, LANE_DATA, 0, stage.first.id)
    assert not port(stage).holds(b"?" * 32, LANE_DATA, 1, stage.first.id)


def test_a_pinned_tip_that_is_not_held_is_awaited_and_expected(stage: Stage) -> None:
    _, branch = fork(stage)
    twin = stage.bob.twin()
    twin.tips[LANE_DATA] = (3, branch[1].id, branch[1].header.hlc)
    tip = twin.data(put(stage.task, "g", "tip"))
    assert not port(stage).awaits(row(tip))
    stage.node.receive([stage.root.pin(tip)])
    assert port(stage).awaits(row(tip))
    assert not port(stage).awaits(row(branch[1]))
    port(stage).expect([tip.id])
    assert list(stage.node.replica.held.expected) == [tip.id]
    stage.node.receive([tip])
    assert not port(stage).awaits(row(tip))


# Chains.


def test_a_chain_leads_from_the_genesis_through_each_link(stage: Stage) -> None:
    carol = hand(stage.mesh, "carol")
    link = stage.bob.grant(carol)
    stage.node.receive([link])
    member = next(e for e in stage.node.log() if e.id == stage.bob.leaf)
    genesis = stage.mesh.genesis.encode()
    assert port(stage).chain_of(link.id) == (genesis, member.encode(), link.encode())
    assert port(stage).chain_of(member.id) == (genesis, member.encode())
    assert port(stage).chain_of(b"") == (genesis,)
    assert port(stage).chain_of(b"?" * 32) == ()


def test_a_lane_without_an_end_goes_on(stage: Stage) -> None:
    assert port(stage).end(stage.bob.author, LANE_DATA) is None

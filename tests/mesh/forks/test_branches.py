"""Pinned branches, from peers who may lie; authors whom a fork takes away for a while."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capability import permissions
from capability.entry import LANE_AUTHORITY, LANE_DATA, Entry, SignedHeader
from mesh.core.limits import EXPECTED_MAX
from mesh.gossip.bisect import Fruitless
from mesh.gossip.branch import BranchFetch
from mesh.gossip.limits import HEADERS_MAX
from tests.mesh.forks.scenes import one_forker
from tests.mesh.forks.town import HOSTS, Town, required
from tests.mesh.gossip.replicas import MESH, chain, name
from tests.mesh.replica.hand import hand, put

AUTHOR = name("author")


def nothing(seq: int, entry_id: bytes) -> bool:
    return seq == 0 and entry_id == MESH


def begun(entries: Sequence[Entry]) -> tuple[BranchFetch, list[SignedHeader | None]]:
    """A fetch of the whole chain, and what an honest peer says to its first question."""
    fetch = BranchFetch((LANE_DATA, AUTHOR), len(entries), entries[-1].id, until_ms=0)
    return fetch, [entries[seq - 1].signed_header for seq in fetch.ask(1)]


@pytest.mark.parametrize("longer", [0, 1])
def test_a_branch_of_one_question_and_of_one_header_more(longer: int) -> None:
    entries = chain(AUTHOR, HEADERS_MAX + longer)
    fetch, headers = begun(entries)
    assert fetch.answer(headers, nothing) is None
    assert fetch.is_whole is not bool(longer)
    if longer:
        assert fetch.ask(2) == (1,)
        assert fetch.answer([entries[0].signed_header], nothing) is None
        assert fetch.is_whole
    assert fetch.missing(nothing) == tuple(entry.id for entry in entries)


@pytest.mark.parametrize("lie", ["none", "fewer", "more", "of another branch", "shifted"])
def test_who_does_not_show_the_branch_is_not_believed(lie: str) -> None:
    entries = chain(AUTHOR, HEADERS_MAX)
    fetch, headers = begun(entries)
    other = chain(AUTHOR, HEADERS_MAX, mark=b"y")
    said: dict[str, list[SignedHeader | None]] = {
        "none": [None] * len(headers),
        "fewer": headers[1:],
        "more": [*headers, headers[-1]],
        "of another branch": [other[0].signed_header, *headers[1:]],
        "shifted": [*headers[1:], headers[0]],
    }
    assert isinstance(fetch.answer(said[lie], nothing), Fruitless)
    assert not fetch.is_whole


def test_a_branch_that_begins_nowhere_ends_the_search() -> None:
    fetch, headers = begun(chain(AUTHOR, HEADERS_MAX))
    failed = fetch.answer(headers, lambda *_: False)
    assert failed == Fruitless("a branch that begins nowhere")


@given(length=st.integers(1, 40), most=st.integers(1, 20))
def test_however_long_a_branch_is_few_ids_are_kept_and_all_come(length: int, most: int) -> None:
    entries = chain(AUTHOR, length)
    held = {(0, MESH)}

    def holds(*at: object) -> bool:
        return at in held

    with mock.patch("mesh.gossip.branch.BRANCH_IDS_MAX", most):
        for _ in range(-(-length // most)):
            fetch, headers = begun(entries)
            while not fetch.is_whole:
                assert fetch.answer(headers, holds) is None
                assert len(fetch.ids) <= most
                headers = [entries[seq - 1].signed_header for seq in fetch.ask(2)]
            ids = fetch.missing(holds)
            low = len(held)
            assert ids == tuple(entry.id for entry in entries[low - 1 : low - 1 + most])
            held.update((low + at, entry_id) for at, entry_id in enumerate(ids))
            assert fetch.missing(holds) == ()
    assert len(held) == length + 1


def test_a_long_pinned_branch_comes_in_parts() -> None:
    by = one_forker()
    left, right = by.branch("x", 9), by.branch("y", 3)
    town = Town(by.mesh, by.base)
    town.bring("ann", [*left, by.root.pin(left[-1])])
    town.bring("bob", right)
    with mock.patch("mesh.gossip.branch.BRANCH_IDS_MAX", 2):
        town.exchange()
    assert {entry.id for entry in left} <= required(town.hosts["bob"])
    town.follow_the_definitions()


@pytest.mark.parametrize("beyond", [0, 1])
def test_as_many_are_expected_as_the_bound_says(beyond: int) -> None:
    by = one_forker()
    held = Town(by.mesh, by.base).hosts["ann"].engine.replica.held
    ids = [number.to_bytes(32, "big") for number in range(EXPECTED_MAX + beyond)]
    held.expect(ids)
    assert list(held.expected) == ids[beyond:]
    held.expect(ids[beyond : beyond + 1])
    assert next(iter(held.expected)) == ids[beyond + 1]


def test_whom_a_fork_takes_away_is_served_by_id_and_comes_back() -> None:
    by = one_forker()
    gus = hand(by.mesh, "gus")
    twin = by.mal.twin()
    granted = [by.mal.grant(gus, perms=permissions.MEMBER)]
    said = [gus.data(put(by.node, "b", number)) for number in range(3)]
    rival = [twin.pin(by.base[0])]
    town = Town(by.mesh, by.base, HOSTS)
    town.bring("ann", [*granted, *said])
    town.bring("bob", granted)
    before = town.hosts["ann"].engine.replica.state_hash()
    town.bring("ann", rival)
    ann = town.hosts["ann"].engine.replica
    assert not ann.held.ledger.introduced(gus.author)
    assert ann.port.row(gus.author, LANE_DATA).seq == 0
    assert len(ann.port.entries_by_id([entry.id for entry in said], 1 << 20)) == len(said)
    town.exchange()
    assert town.hosts["cec"].engine.replica.port.row(gus.author, LANE_DATA).seq == 0
    town.restart("ann", with_snapshot=True)
    town.bring("cec", [by.root.pin(granted[0])])
    town.exchange()
    for host in town.hosts.values():
        assert {entry.id for entry in said} <= required(host)
        assert host.engine.replica.port.row(by.mal.author, LANE_AUTHORITY).head == granted[0].id
        assert host.engine.replica.state_hash() == before
    town.follow_the_definitions()


def test_what_waits_of_whom_a_proof_introduces_is_let_in() -> None:
    by = one_forker()
    ian, jan = hand(by.mesh, "ian"), hand(by.mesh, "jan")
    base = [*by.base, by.root.grant(ian), by.root.grant(jan)]
    # Both have granted something to Mal, who forks; each pins another branch.
    gus, leaves = hand(by.mesh, "gus"), [ian.grant(by.mal), jan.grant(by.mal)]
    twin, other = by.mal.twin(), by.mal.twin()
    twin.leaf, other.leaf = (leaf.id for leaf in leaves)
    left, right = twin.grant(hand(by.mesh, "hal")), other.grant(gus)
    rival = ian.twin().grant(hand(by.mesh, "kim"))
    theirs, stamp = jan.pin(right), ian.tips[LANE_AUTHORITY][2]
    tries = (ian.twin().pin(left, hlc=stamp + at) for at in count(1))
    # Of two that rank alike the one with the lesser id is heard.
    mine = next(pin for pin in tries if pin.id < theirs.id)
    town = Town(by.mesh, [*base, *leaves, left, right, mine, theirs])
    said = [gus.data(put(by.node, "b", number)) for number in range(2)]
    ann = town.hosts["ann"].engine.replica
    town.bring("ann", said[:1])
    assert not ann.held.ledger.introduced(gus.author)
    proof = (mine.signed_header, rival.signed_header)
    town.bring("ann", [proof])
    assert ann.held.ledger.introduced(gus.author)
    town.bring("bob", [proof, *said])
    town.exchange()
    assert {entry.id for entry in said} <= required(town.hosts["ann"])
    town.follow_the_definitions()

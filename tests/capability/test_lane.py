"""One lane: places, branches, paths, fork proofs that come before what they prove."""

from __future__ import annotations

from itertools import permutations

import pytest
from attrs import evolve

from capability.entry import Entry
from capability.lane import PROOFS_WAITING_MAX, Lane, Place
from tests.capability.story import Log, Mesh


@pytest.fixture
def mesh() -> Mesh:
    return Mesh()


def place(lane: Lane, entry: Entry) -> Place:
    return lane.place(entry.header, entry.id)


def fill(lane: Lane, *entries: Entry) -> Lane:
    for entry in entries:
        assert place(lane, entry) in (Place.NEXT, Place.BRANCH)
        lane.add(entry.header, entry.id)
    return lane


def chain(log: Log, text: str, count: int) -> list[Entry]:
    return [log.data(f"{text} {n}") for n in range(count)]


def test_entries_follow_one_another(mesh: Mesh) -> None:
    one, two, three = chain(mesh.log("ann"), "", 3)
    lane = fill(Lane(mesh.id), one)
    assert place(lane, one) is Place.HELD
    assert place(lane, two) is Place.NEXT
    assert place(lane, three) is Place.GAP
    fill(lane, two, three)
    assert lane.tip == (3, three.id)
    assert list(lane.held_from(2)) == [(2, two.id), (3, three.id)]
    assert lane.fork_seq is None
    assert lane.proof == ()


def test_what_precedes_a_lane_is_no_entry_of_it(mesh: Mesh) -> None:
    lane = fill(Lane(mesh.id), mesh.log("ann").data())
    assert lane.at(0) == mesh.id
    assert not lane.holds(0, mesh.id)
    assert lane.path(0, mesh.id) is None


def test_everything_held_is_told_from_the_first_entry_on(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    main, branch = chain(ann.twin(), "main", 2), chain(ann.twin(), "branch", 1)
    lane = fill(Lane(mesh.id), *main, *branch)
    everything = sorted((e.header.seq, e.id) for e in (*main, *branch))
    assert list(lane.held_from(0)) == list(lane.held_from(1)) == everything


def test_the_facts_of_an_entry_are_its_stamp_and_its_leaf(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    leaves = [b"one" * 8, b"two" * 8, b"one" * 8]
    entries = [ann.data(leaf=leaf.ljust(32)) for leaf in leaves]
    lane = fill(Lane(mesh.id), *entries)
    for seq, entry in enumerate(entries, start=1):
        assert lane.facts(seq) == (entry.header.hlc, entry.header.leaf)


def test_a_lane_lacks_what_is_beyond_its_longest_branch(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    lane = Lane(mesh.id)
    assert lane.lacks(1)
    fill(lane, *chain(ann.twin(), "short", 1), *chain(ann.twin(), "long", 2))
    assert not lane.lacks(2)
    assert lane.lacks(3)


def test_a_prev_that_is_not_held_where_something_else_is(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    one, _ = first = chain(ann.twin(), "first", 2)
    other = chain(ann.twin(), "other", 2)
    lane = fill(Lane(mesh.id), one)
    assert place(lane, other[1]) is Place.MISMATCH
    assert place(lane, other[0]) is Place.BRANCH
    assert place(fill(lane, other[0]), other[1]) is Place.BRANCH
    assert place(lane, first[1]) is Place.NEXT
    abroad = mesh.log("ann").data("abroad", prev=bytes(32))
    assert place(lane, abroad) is Place.MISMATCH


def test_the_height_is_that_of_the_longest_branch(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    short, long = chain(ann.twin(), "short", 1), chain(ann.twin(), "long", 3)
    lost = chain(ann.twin(), "lost", 4)
    for order in ([*short, *long], [*long, *short]):
        lane = fill(Lane(mesh.id), *order)
        assert place(lane, lost[3]) is Place.MISMATCH
        assert lane.height == 3


def test_what_is_not_later_than_its_prev_is_stale(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    one = ann.data(ms=500)
    lane = fill(Lane(mesh.id), one)
    twins = [ann.twin() for _ in range(3)]
    good, same, before = (t.data(ms=ms) for t, ms in zip(twins, (501, 500, 499), strict=True))
    assert [place(lane, e) for e in (good, same, before)] == [Place.NEXT, Place.STALE, Place.STALE]
    fill(lane, good)
    assert place(lane, same) is Place.STALE


def test_what_is_held_beyond_the_fork_and_off_the_branch_is_stray(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    main, branch = chain(ann.twin(), "main", 5), chain(ann.twin(), "branch", 3)
    lane = fill(Lane(mesh.id), *main)
    assert lane.stray(None) == 0
    fill(lane, *branch)
    assert lane.stray(None) == 8
    assert lane.stray(lane.path(4, main[3].id)) == 4
    assert lane.stray(lane.path(2, branch[1].id)) == 6


def test_fork_and_proof_do_not_depend_on_the_order(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    start = ann.data()
    branches = [chain(ann.twin(), text, 2) for text in "abc"]
    expected = tuple(sorted(branch[0].id for branch in branches)[:2])
    for order in permutations(branches):
        lane = fill(Lane(mesh.id), start, *(entry for branch in order for entry in branch))
        assert (lane.fork_seq, lane.proof) == (2, expected)
        assert sorted(lane.held_from(3)) == sorted((3, branch[1].id) for branch in branches)


def test_the_least_fork_is_the_one_that_matters(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    early = ann.twin()
    main = chain(ann, "main", 3)
    late = Log(mesh, ann.author, b"", {0: None, 1: main[1]}).data("late")
    lane = fill(Lane(mesh.id), *main, late)
    assert lane.fork_seq == 3
    first = early.data("early")
    fill(lane, first)
    assert lane.fork_seq == 1
    assert lane.proof == tuple(sorted((first.id, main[0].id)))


def test_paths_run_along_branches_into_the_main_chain(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    main = chain(ann, "main", 4)
    branch = chain(Log(mesh, ann.author, b"", {0: None, 1: main[1]}), "branch", 3)
    twig = Log(mesh, ann.author, b"", {0: None, 1: branch[0]}).data("twig")
    lane = fill(Lane(mesh.id), *main, *branch, twig)
    for tip, line in ((branch[2], [*main[:2], *branch]), (twig, [*main[:2], branch[0], twig])):
        path = lane.path(tip.header.seq, tip.id)
        assert path is not None
        on_it = [e for e in (*main, *branch, twig) if lane.is_on(path, e.header.seq, e.id)]
        assert on_it == line
        assert not lane.is_on(path, 0, mesh.id)
    assert lane.path(4, branch[0].id) is None
    assert lane.path(9, main[0].id) is None


def test_a_stretch_of_a_path_has_both_its_ends_and_nothing_beside(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    main = chain(ann, "main", 4)
    branch = chain(Log(mesh, ann.author, b"", {0: None, 1: main[1]}), "branch", 3)
    lane = fill(Lane(mesh.id), *main, *branch)
    path = lane.path(5, branch[2].id)
    assert path is not None
    line = [*main[:2], *branch]
    for first in range(7):
        for last in range(7):
            found = list(lane.along(path, first, last))
            assert len(found) == len(set(found))
            assert set(found) == {e.id for e in line if first <= e.header.seq <= last}


def test_a_proof_waits_for_its_prev(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    main = chain(ann, "main", 2)
    left, right = ann.twin().data("left"), ann.twin().data("right")
    lane = fill(Lane(mesh.id), main[0])
    assert not lane.add_proof(left.signed_header, right.signed_header)
    assert lane.fork_seq is None
    fill(lane, main[1])
    assert (lane.fork_seq, lane.proof) == (3, tuple(sorted((left.id, right.id))))


def test_a_third_branch_joins_the_proof_of_two_that_are_not_held(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    rivals = sorted((ann.twin().data(text) for text in "abcd"), key=lambda entry: entry.id)
    lane = Lane(mesh.id)
    assert lane.add_proof(rivals[2].signed_header, rivals[3].signed_header)
    fill(lane, rivals[1])
    assert lane.proof == (rivals[1].id, rivals[2].id)
    assert lane.witness(rivals[3].id) is None
    fill(lane, rivals[0])
    assert lane.proof == (rivals[0].id, rivals[1].id)
    assert lane.witness(rivals[2].id) is None


def test_a_proof_with_a_stale_half_proves_nothing(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    one = ann.data(ms=500)
    good, stale = ann.twin().data(ms=501), ann.twin().data(ms=500)
    lane = fill(Lane(mesh.id), one)
    assert not lane.add_proof(good.signed_header, stale.signed_header)
    assert lane.fork_seq is None


def test_waiting_proofs_are_bounded_and_the_earliest_stay(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    lane = Lane(mesh.id)
    main = chain(ann, "main", PROOFS_WAITING_MAX + 5)
    for entry in reversed(main[1:]):
        half = entry.signed_header
        other = evolve(half, id=bytes(32))
        assert not lane.add_proof(half, other)
    fill(lane, main[0])
    assert lane.fork_seq == 2


def test_a_proof_alone_is_no_stray_entry(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    lane = fill(Lane(mesh.id), ann.data())
    left, right = ann.twin().data("left"), ann.twin().data("right")
    assert lane.add_proof(left.signed_header, right.signed_header)
    assert lane.stray(None) == 0


def test_only_halves_of_the_proof_that_are_not_held_are_kept_for_it(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    rivals = sorted((ann.twin().data(text) for text in "abcd"), key=lambda entry: entry.id)
    halves = [entry.signed_header for entry in rivals]
    lane = fill(Lane(mesh.id), rivals[0])
    assert lane.add_proof(halves[0], halves[1])
    assert lane.add_proof(halves[2], halves[3])
    kept = [lane.witness(half.id) for half in halves]
    assert kept == [None, halves[1], None, None]


def test_nothing_but_the_genesis_begins_its_lane(mesh: Mesh) -> None:
    genesis = mesh.genesis
    lane = Lane.of_genesis(genesis.id, genesis.header.hlc)
    assert lane.tip == (1, genesis.id)
    assert lane.facts(1) == (genesis.header.hlc, b"")
    twin = Log(mesh, mesh.root.author)
    for prev in (mesh.id, bytes(32), b""):
        rival = twin.twin().pin(genesis, prev=prev or bytes(32))
        assert place(lane, rival) is Place.MISMATCH
    assert place(lane, mesh.root.pin(genesis)) is Place.NEXT

"""Where data lanes end: after so many dead entries, and never by what anybody received first."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capability.bodies import LIMIT_VOID_SUFFIX
from capability.ends import Ends
from capability.entry import LANE_DATA, Entry
from capability.ids import ZERO_ID
from capability.lane import Lane, Place
from capability.ledger import Change, Ledger
from capability.verdict import Reason, Verdict
from tests.capability.story import COUNTS, Log, Mesh, deliver, void

DEAD_MAX = 3
NOBODYS = b"\7" * 32


def mesh_of(dead_max: int = DEAD_MAX) -> Mesh:
    return Mesh(limits=((LIMIT_VOID_SUFFIX, dead_max),))


def covered(ledger: Ledger, log: Log) -> int:
    found = ledger.covered(log.author, 1)
    return 0 if found is None else found[0]


def test_a_lane_takes_as_many_dead_entries_as_the_limit_and_none_beyond() -> None:
    mesh = mesh_of()
    ann = mesh.log("ann")
    mesh.root.grant(ann)
    live = [ann.data() for _ in range(5)]
    dead = [ann.data(leaf=NOBODYS) for _ in range(DEAD_MAX)]
    beyond = ann.data()
    after = ann.data()
    ledger = Ledger(mesh.id)
    deliver(ledger, [e for e in mesh.entries if e not in (beyond, after)])
    assert covered(ledger, ann) == len(live) + DEAD_MAX
    assert ledger.end(ann.author, 1) == len(live) + DEAD_MAX
    assert ledger.requires(dead[-1].header, dead[-1].id)
    assert ledger.place(beyond.header, beyond.id) is Place.FULL
    assert ledger.place(after.header, after.id) is Place.FULL


def test_one_dead_entry_fewer_and_the_lane_goes_on() -> None:
    mesh = mesh_of()
    ann = mesh.log("ann")
    mesh.root.grant(ann)
    for _ in range(DEAD_MAX - 1):
        ann.data(leaf=NOBODYS)
    last = ann.data()
    ledger = mesh.ledger()
    assert ledger.end(ann.author, 1) is None
    assert ledger.judge(last.header, last.id) == COUNTS
    assert covered(ledger, ann) == DEAD_MAX


def test_what_makes_an_entry_dead() -> None:
    """Each alone, as often as the limit, ends a lane: by its grant or its time."""
    for kind in ("nobody's", "another's", "void", "late", "unlinked"):
        mesh = mesh_of()
        ann, ben, cec = mesh.log("ann"), mesh.log("ben"), mesh.log("cec")
        mesh.root.grant(ann)
        other = mesh.root.grant(ben)
        short = mesh.root.grant(ann.author, exp_ms=5_000)
        wide = ann.grant(ann.author, max_depth=9)
        # Its own link is nowhere.
        lost = cec.grant(ann.author, entry={"leaf": NOBODYS})
        leaf = {
            "nobody's": NOBODYS,
            "another's": other.id,
            "void": wide.id,
            "late": short.id,
            "unlinked": lost.id,
        }[kind]
        for number in range(DEAD_MAX):
            ann.data(leaf=leaf, ms=6_000 + number)
        last = ann.data(ms=7_000)
        ledger = mesh.ledger()
        assert ledger.end(ann.author, 1) == DEAD_MAX, kind
        assert ledger.place(last.header, last.id) is Place.FULL, kind


def test_where_no_dead_entry_is_allowed_a_lane_ends_before_its_first() -> None:
    mesh = mesh_of(0)
    ann = mesh.log("ann")
    mesh.root.grant(ann)
    entry = ann.data()
    ledger = mesh.ledger()
    assert ledger.end(ann.author, 1) == 0
    assert ledger.covered(ann.author, 1) is None
    assert ledger.judge(entry.header, entry.id) == void(Reason.LANE_ENDED)


def test_authority_lanes_end_by_no_verdict() -> None:
    mesh = mesh_of()
    ann = mesh.log("ann")
    mesh.root.grant(ann)
    for _ in range(3 * DEAD_MAX):
        ann.pin(mesh.genesis, leaf=NOBODYS)
    found = mesh.ledger().covered(ann.author, 0)
    assert found is not None and found[0] == 3 * DEAD_MAX


def _unmade(mesh: Mesh) -> tuple[Log, list[Entry], Entry, Entry]:
    """Ben by Ann and by the root, and the fork of Ann's that makes her grant void."""
    ann, ben = mesh.log("ann"), mesh.log("ben")
    mesh.root.grant(ann)
    twin = ann.twin()
    ann.grant(ben)
    also = mesh.root.grant(ben.author)
    written = [ben.data() for _ in range(DEAD_MAX + 3)]
    written += [ben.data(leaf=also.id) for _ in range(2)]
    rival = twin.pin(mesh.genesis)
    return ben, written, rival, mesh.root.pin(mesh.entries[2])


def test_an_end_that_comes_later_voids_what_stands_beyond_and_a_pin_brings_it_back() -> None:
    mesh = mesh_of()
    ben, written, rival, pin = _unmade(mesh)
    ledger = Ledger(mesh.id)
    deliver(ledger, [e for e in mesh.entries if e not in (rival, pin)])
    assert {ledger.judge(e.header, e.id) for e in written} == {COUNTS}
    (change,) = deliver(ledger, [rival])
    assert change.ended == ((ben.author, 1),)
    assert covered(ledger, ben) == DEAD_MAX
    last = written[-1]
    # Its own grant is good, but only some hold it: so it must not count with those.
    assert ledger.judge(last.header, last.id) == void(Reason.LANE_ENDED)
    assert not ledger.requires(last.header, last.id)
    (change,) = deliver(ledger, [pin])
    assert change.ended == ((ben.author, 1),)
    assert covered(ledger, ben) == len(written)
    assert {ledger.judge(e.header, e.id) for e in written} == {COUNTS}


def test_which_side_an_entry_is_on_does_not_depend_on_the_order() -> None:
    mesh = mesh_of()
    ben, written, rival, pin = _unmade(mesh)
    before = [e for e in mesh.entries if e not in (*written, rival, pin)]
    for with_pin in (False, True):
        parts = [before, written, [rival], [pin]] if with_pin else [before, written, [rival]]
        found = set()
        for order in permutations(parts):
            ledger = Ledger(mesh.id)
            for _ in range(len(parts)):
                deliver(ledger, [entry for part in order for entry in part])
            counted = [ledger.judge(e.header, e.id)[0] is Verdict.COUNTS for e in written]
            found.add((ledger.covered(ben.author, 1), tuple(counted)))
        assert len(found) == 1


def test_a_fork_beyond_the_end_is_shown_to_nobody() -> None:
    """Who holds no more than the lane could not even place its proof."""
    mesh = mesh_of()
    ann = mesh.log("ann")
    mesh.root.grant(ann)
    dead = [ann.data(leaf=NOBODYS) for _ in range(DEAD_MAX)]
    inner = Log(mesh, ann.author, ann.leaf, {0: None, 1: dead[0]})
    left, right = ann.twin().data("left"), ann.twin().data("right")
    ledger = mesh.ledger()
    change = ledger.add_proof(left.signed_header, right.signed_header)
    assert change is not None and change.lanes == ((ann.author, 1),)
    assert ledger.covered(ann.author, 1) == (DEAD_MAX, dead[-1].id, ())
    (change,) = deliver(ledger, [inner.data("inner")])
    assert change.forked == ((ann.author, 1),)
    found = ledger.covered(ann.author, 1)
    assert found is not None and found[:2] == (1, dead[0].id) and found[2]


def test_at_the_end_itself_a_lane_can_fork() -> None:
    """The dead entry that ends it has a rival that is not dead."""
    mesh = mesh_of()
    ann = mesh.log("ann")
    mesh.root.grant(ann)
    for _ in range(DEAD_MAX - 1):
        ann.data(leaf=NOBODYS)
    rival = ann.twin().data("rival")
    last = ann.data(leaf=NOBODYS)
    ledger = Ledger(mesh.id)
    deliver(ledger, [entry for entry in mesh.entries if entry is not rival])
    assert ledger.end(ann.author, 1) == DEAD_MAX
    deliver(ledger, [rival])
    assert ledger.end(ann.author, 1) is None
    assert ledger.judge(rival.header, rival.id) == void(Reason.FORKED)
    found = ledger.covered(ann.author, 1)
    assert found is not None and (found[0], found[2]) == (
        DEAD_MAX - 1,
        tuple(sorted((rival.id, last.id))),
    )


def test_of_branches_beyond_the_end_so_many_are_held() -> None:
    mesh = mesh_of()
    ann = mesh.log("ann")
    mesh.root.grant(ann)
    for _ in range(DEAD_MAX):
        ann.data(leaf=NOBODYS)
    ledger = Ledger(mesh.id, branch_entries_max=2)
    deliver(ledger, mesh.entries)
    asked_for, *branches, one_more = (ann.twin().data(str(n)) for n in range(4))
    assert ledger.place(asked_for.header, asked_for.id) is Place.FULL
    ledger.add(asked_for)
    for entry in branches:
        assert ledger.place(entry.header, entry.id) is Place.BRANCH
        ledger.add(entry)
    assert ledger.place(one_more.header, one_more.id) is Place.FULL


@pytest.mark.parametrize("is_main", [True, False])
def test_a_pinned_tip_beyond_the_limit_is_not_heard(is_main: bool) -> None:
    mesh = mesh_of()
    ann = mesh.log("ann")
    mesh.root.grant(ann)
    ann.data()
    left, right = ann.twin(), ann.twin()
    before = [] if is_main else [right.data("right")]
    within = [left.data(leaf=NOBODYS) for _ in range(DEAD_MAX)]
    beyond = left.data()
    if not before:
        right.data("right")
    ledger = mesh.ledger()
    first = within[0]
    deliver(ledger, [Log(mesh, ann.author, ann.leaf, dict(left.tips)).data()])
    deliver(ledger, [mesh.root.pin(beyond)])
    assert ledger.pinned(ann.author, 1) is None
    deliver(ledger, [mesh.root.pin(within[-1])])
    path = ledger.pinned(ann.author, 1)
    assert path is not None and path.id == within[-1].id
    assert ledger.judge(first.header, first.id)[0] is Verdict.UNDECIDED


def test_nothing_changes_without_dead_entries() -> None:
    mesh = mesh_of(1)
    ann = mesh.log("ann")
    mesh.root.grant(ann)
    assert deliver(mesh.ledger(), [ann.data() for _ in range(5)]) == [Change()] * 5
    assert ZERO_ID != NOBODYS


def test_an_end_is_looked_at_again_only_for_grants_that_entries_cite() -> None:
    """Anybody may grant something to a key that has written for years, again and again."""
    mesh = mesh_of()
    ann = mesh.log("ann")
    mesh.root.grant(ann)
    other = mesh.root.grant(ann.author)
    for leaf in (ann.leaf, NOBODYS, ann.leaf):
        ann.data(leaf=leaf)
    lane = mesh.ledger().lane(ann.author, LANE_DATA)
    assert lane is not None
    looked_at: list[bytes] = []
    dead = {NOBODYS}

    def is_dead(_author: bytes, _hlc: int, leaf: bytes) -> bool:
        looked_at.append(leaf)
        return leaf in dead

    def settle(**leaves: bool) -> tuple[bool, list[bytes]]:
        names = {"other": other.id, "live": ann.leaf, "late": NOBODYS}
        looked_at.clear()
        moved = ends.settle(ann.author, lane, {names[k]: counts for k, counts in leaves.items()})
        return moved, list(looked_at)

    ends = Ends(is_dead, 2)
    # Nobody has looked yet.
    assert settle(other=True) == (False, [ann.leaf, NOBODYS, ann.leaf])
    assert settle(other=True) == settle(other=False) == (False, [])
    # What live entries cite counts still, what dead ones cite counts not yet.
    assert settle(live=True, late=False) == (False, [])
    dead.clear()
    assert settle(late=True) == (False, [NOBODYS])
    assert settle(late=True) == (False, [])
    dead.add(ann.leaf)
    assert settle(live=False) == (True, [ann.leaf, ann.leaf])
    assert ends.of(ann.author, lane) == 3
    # Dead by its stamp, say: it stays where it was.
    assert settle(live=True) == (False, [ann.leaf, ann.leaf])
    assert ends.of(ann.author, lane) == 3
    dead.clear()
    assert settle(live=True) == (True, [ann.leaf, ann.leaf])
    assert ends.known(ann.author) is None


@given(st.data())
def test_an_end_that_is_kept_up_to_date_is_that_of_a_fresh_look(data: st.DataObject) -> None:
    """Whatever grants come to count, or count no more, in whatever order, while the log grows."""
    mesh = mesh_of()
    ann = mesh.log("ann")
    mesh.root.grant(ann)
    leaves = [bytes([number]) * 32 for number in range(4)]
    counting = {leaf: data.draw(st.booleans()) for leaf in leaves}
    # By its stamp, which no grant mends.
    late = data.draw(st.sets(st.integers(1, 12)))
    stamps: dict[int, int] = {}

    def is_dead(_author: bytes, hlc: int, leaf: bytes) -> bool:
        return not counting[leaf] or stamps[hlc] in late

    lane = Lane(mesh.id)
    kept = Ends(is_dead, DEAD_MAX)
    for _ in range(data.draw(st.integers(1, 12))):
        entry = ann.data(leaf=data.draw(st.sampled_from(leaves)))
        stamps[entry.header.hlc] = entry.header.seq
        lane.add(entry.header, entry.id)
        if data.draw(st.booleans()):
            kept.of(ann.author, lane)
        changed = data.draw(st.sets(st.sampled_from(leaves)))
        was = kept.known(ann.author)
        for leaf in changed:
            counting[leaf] = not counting[leaf]
        moved = kept.settle(ann.author, lane, {leaf: counting[leaf] for leaf in sorted(changed)})
        now = Ends(is_dead, DEAD_MAX).of(ann.author, lane)
        assert kept.of(ann.author, lane) == now
        assert moved == (was != now)


def test_an_end_that_rests_on_nothing_new_hides_no_other() -> None:
    """One late grant says something new of many authors at once."""
    mesh = mesh_of()
    chief, mid = mesh.log("chief"), mesh.log("mid")
    mesh.root.grant(chief)
    mesh.root.grant(mid.author)
    late = chief.grant(mid)
    one, two = sorted((mesh.log(name) for name in ("ann", "ben")), key=lambda log: log.author)
    mesh.root.grant(one)
    mid.grant(one.author)
    mid.grant(two)
    mesh.root.grant(two.author)
    for log in (one, two):
        for _ in range(DEAD_MAX):
            log.data()
    ledger = Ledger(mesh.id)
    deliver(ledger, [entry for entry in mesh.entries if entry is not late])
    assert (ledger.end(one.author, 1), ledger.end(two.author, 1)) == (None, DEAD_MAX)
    (change,) = deliver(ledger, [late])
    assert change.ended == ((two.author, LANE_DATA),)
    assert ledger.end(two.author, 1) is None

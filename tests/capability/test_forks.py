"""Who is known, and what counts where a lane has forked; one test per clause."""

from __future__ import annotations

import pytest
from attrs import evolve

from capability import bodies
from capability.bodies import JOIN
from capability.entry import KIND_REVOKE, Entry
from capability.errors import FormError
from capability.lane import Place
from capability.ledger import Change, Ledger
from capability.permissions import ALL, DELEGATE, REVOKE, WRITE
from capability.verdict import Reason
from tests.capability.story import COUNTS, Log, Mesh, deliver, judged, key, void


@pytest.fixture
def mesh() -> Mesh:
    return Mesh()


# Who is known.


def test_introduction_reports_everybody_once(mesh: Mesh) -> None:
    ann, ben = mesh.log("ann"), mesh.log("ben")
    mesh.root.grant(ann)
    ann.grant(ben)
    mesh.root.grant(ben.author)
    changes = deliver(Ledger(mesh.id), mesh.entries)
    assert [change.introduced for change in changes] == [
        (mesh.root.author,),
        (ann.author,),
        (ben.author,),
        (),
    ]


def test_members_and_grants_are_those_that_count(mesh: Mesh) -> None:
    ann, door = mesh.log("ann"), mesh.log("door")
    grant = mesh.root.grant(ann)
    mesh.root.grant(door, akind=JOIN)
    ann.grant(mesh.log("ben"), max_depth=9)
    ledger = mesh.ledger()
    assert ledger.members() == tuple(sorted((mesh.root.author, ann.author)))
    assert [grant_id for grant_id, _ in ledger.grants_to(ann.author)] == [grant.id]
    assert ledger.grants_to(key("ben")) == ()
    assert [act.id for act in ledger.grants_held(ann.author)] == [grant.id]
    assert [act.counts for act in ledger.grants_held(key("ben"))] == [False]
    assert ledger.authority(grant.id, door.author) is None
    assert ledger.introduced(door.author)
    assert not ledger.introduced(key("ben"))


def test_another_mesh_of_the_same_root_is_foreign_and_no_fork(mesh: Mesh) -> None:
    other = Mesh("other")
    ledger = mesh.ledger()
    assert ledger.place(other.genesis.header, other.genesis.id) is Place.FOREIGN
    assert ledger.add_proof(mesh.genesis.signed_header, other.genesis.signed_header) is None
    entry = other.root.data()
    assert ledger.place(entry.header, entry.id) is Place.MISMATCH
    assert judged(mesh, mesh.genesis) == COUNTS


@pytest.mark.parametrize("change", [{"seq": 2}, {"prev": b"\1" * 32}])
def test_a_genesis_stands_where_nothing_precedes_it(
    mesh: Mesh, change: dict[str, int | bytes]
) -> None:
    ledger = Ledger(mesh.id)
    assert ledger.place(mesh.genesis.header, mesh.id) is Place.NEXT
    elsewhere = evolve(mesh.genesis.header, **change)
    assert ledger.place(elsewhere, mesh.id) is Place.FOREIGN


def test_a_malformed_genesis_changes_nothing() -> None:
    mesh = Mesh()
    log = Log(mesh, mesh.root.author)
    mesh.id = bytes(32)
    bad = log.write(0, b"\x90", prev=bytes(32))
    ledger = Ledger(bad.id)
    with pytest.raises(FormError):
        ledger.add(bad)
    assert ledger.place(bad.header, bad.id) is Place.NEXT


def test_a_lane_of_authority_ends_where_the_genesis_says() -> None:
    mesh = Mesh(limits=((bodies.LIMIT_AUTHORITY_SEQ, 2),))
    mesh.root.write(KIND_REVOKE, b"")
    beyond = mesh.root.write(KIND_REVOKE, b"")
    assert mesh.ledger().place(beyond.header, beyond.id) is Place.FULL


# Forks and pins.


def forked(mesh: Mesh, log: Log, branches: int = 2) -> list[Entry]:
    twins = [log.twin() for _ in range(branches)]
    return [twin.data(str(index)) for index, twin in enumerate(twins)]


def test_a_fork_voids_everything_from_its_seq_on(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    mesh.root.grant(ann)
    before = ann.data()
    rivals = forked(mesh, ann, 3)
    assert judged(mesh, before) == COUNTS
    assert {judged(mesh, entry) for entry in rivals} == {void(Reason.FORKED)}


def test_a_pin_selects_a_branch_and_others_extend_it_or_are_skipped(mesh: Mesh) -> None:
    mid, ann = mesh.log("mid"), mesh.log("ann")
    mesh.root.grant(mid)
    mid.grant(ann)
    left, right = ann.twin(), ann.twin()
    lefts = [left.data(f"left {n}") for n in range(3)]
    rights = [right.data(f"right {n}") for n in range(4)]
    ledger = mesh.ledger()

    def counting() -> list[Entry]:
        return [e for e in lefts + rights if ledger.judge(e.header, e.id) == COUNTS]

    where = (ann.author, 1)
    assert deliver(ledger, [mid.pin(lefts[2])]) == [Change(lanes=(where,))]
    assert counting() == lefts
    # The lesser rank is heard first, however late it comes.
    assert deliver(ledger, [mesh.root.pin(rights[0])]) == [Change(lanes=(where,))]
    assert counting() == rights[:1]
    deliver(ledger, [mid.pin(rights[2]), mesh.root.pin(rights[1])])
    assert counting() == rights[:3]


def test_a_pin_of_less_than_stands_hides_none_that_comes_after(mesh: Mesh) -> None:
    mid, ann = mesh.log("mid"), mesh.log("ann")
    mesh.root.grant(mid)
    mid.grant(ann)
    left = ann.twin()
    lefts = [left.data(str(n)) for n in range(4)]
    ann.data("right")
    # Of one rank they come by id: some of the lesser ones after the greater.
    for _ in range(8):
        mesh.root.pin(lefts[0])
    mesh.root.pin(lefts[2])
    mid.pin(lefts[3])
    assert {judged(mesh, entry) for entry in lefts} == {COUNTS}


def test_a_third_branch_that_changes_the_proof_is_told(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    mesh.root.grant(ann)
    rivals = sorted(forked(mesh, ann, 3), key=lambda entry: entry.id)
    ledger = Ledger(mesh.id)
    deliver(ledger, mesh.entries[:2])
    deliver(ledger, rivals[1:])
    assert deliver(ledger, rivals[:1]) == [Change(lanes=((ann.author, 1),))]


def test_a_pin_before_the_fork_says_nothing(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    mesh.root.grant(ann)
    mesh.root.pin(ann.data())
    (left, _) = forked(mesh, ann)
    assert judged(mesh, left) == void(Reason.FORKED)


def test_a_pin_waits_for_its_tip(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    mesh.root.grant(ann)
    left, right = forked(mesh, ann)
    tip = Log(mesh, ann.author, ann.leaf, {0: None, 1: right}).data("tip")
    mesh.root.pin(tip)
    ledger = Ledger(mesh.id)
    deliver(ledger, [entry for entry in mesh.entries if entry is not tip])
    assert ledger.judge(right.header, right.id) == void(Reason.FORKED)
    (change,) = deliver(ledger, [tip])
    assert change.lanes == ((ann.author, 1),)
    assert ledger.judge(right.header, right.id) == COUNTS
    assert ledger.judge(left.header, left.id) == void(Reason.FORKED)


def test_peers_cannot_pin_each_other(mesh: Mesh) -> None:
    ann, ben = mesh.log("ann"), mesh.log("ben")
    mesh.root.grant(ann)
    mesh.root.grant(ben)
    anns, bens = forked(mesh, ann), forked(mesh, ben)
    ann.pin(bens[0])
    ben.pin(anns[0])
    ann.pin(anns[0])
    for entry in anns + bens:
        assert judged(mesh, entry) == void(Reason.FORKED)


def test_an_ancestor_may_pin_and_a_stranger_needs_revoke_over_the_scope(mesh: Mesh) -> None:
    docs, code = mesh.scope("docs"), mesh.scope("code")
    inviter, ann = mesh.log("inviter"), mesh.log("ann")
    warden, clerk, elsewhere = (mesh.log(name) for name in ("warden", "clerk", "elsewhere"))
    mesh.root.grant(inviter, perms=DELEGATE | WRITE)
    mesh.root.grant(clerk, perms=ALL & ~REVOKE)
    mesh.root.grant(elsewhere, scopes=(code,))
    mesh.root.grant(warden, scopes=(docs,), perms=REVOKE)
    inviter.grant(ann, scopes=(mesh.scope("docs", "api"),), perms=WRITE)
    left, right = forked(mesh, ann)
    clerk.pin(left)
    elsewhere.pin(left)
    assert judged(mesh, left) == void(Reason.FORKED)
    by_ancestor, by_warden = mesh.ledger(), mesh.ledger()
    deliver(by_ancestor, [inviter.pin(left)])
    deliver(by_warden, [warden.pin(right)])
    assert by_ancestor.judge(left.header, left.id) == COUNTS
    assert by_warden.judge(right.header, right.id) == COUNTS


def test_a_void_pin_has_no_effect(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    mesh.root.grant(ann, exp_ms=5_000)
    ben = mesh.log("ben")
    ann.grant(ben, exp_ms=4_000)
    left, _ = forked(mesh, ben)
    ann.pin(left, ms=6_000)
    assert judged(mesh, left) == void(Reason.FORKED)


def test_a_fork_of_authority_takes_its_grants_along(mesh: Mesh) -> None:
    ann, ben = mesh.log("ann"), mesh.log("ben")
    mesh.root.grant(ann)
    twin = ann.twin()
    grant = ann.grant(ben)
    entry = ben.data()
    ledger = mesh.ledger()
    (change,) = deliver(ledger, [twin.pin(mesh.genesis)])
    where = (ann.author, 0)
    assert change == Change(
        leaves=(grant.id,), lanes=(where,), forked=(where,), dropped=(ben.author,)
    )
    assert not ledger.introduced(ben.author)
    assert ledger.judge(entry.header, entry.id) == void(Reason.GRANT_VOID)
    (change,) = deliver(ledger, [mesh.root.pin(grant)])
    assert change == Change(leaves=(grant.id,), lanes=(where,), introduced=(ben.author,))
    assert ledger.judge(entry.header, entry.id) == COUNTS


def test_a_proof_forks_without_either_entry(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    mesh.root.grant(ann)
    before = ann.data()
    ledger = mesh.ledger()
    left, right = forked(mesh, ann)
    change = ledger.add_proof(right.signed_header, left.signed_header)
    assert change == Change(lanes=((ann.author, 1),), forked=((ann.author, 1),))
    assert ledger.add_proof(left.signed_header, right.signed_header) == Change()
    assert ledger.judge(before.header, before.id) == COUNTS
    deliver(ledger, [left])
    assert ledger.judge(left.header, left.id) == void(Reason.FORKED)
    lane = ledger.lane(ann.author, 1)
    assert lane is not None
    assert lane.witness(right.id) == right.signed_header
    assert lane.witness(left.id) is None


def test_what_no_pin_binds_does_not_count_on_the_branch_that_stands(mesh: Mesh) -> None:
    """At the very first seq, too, where a lane may fork."""
    mid, ann = mesh.log("mid"), mesh.log("ann")
    mesh.root.grant(mid)
    below = mid.grant(ann)
    above = mesh.root.grant(ann.author)
    left, right = ann.twin(), ann.twin()
    bare, bound = left.data(leaf=above.id), left.data(leaf=below.id)
    right.data("right")
    mid.pin(bound)
    ledger = mesh.ledger()
    assert ledger.judge(bound.header, bound.id) == COUNTS
    assert ledger.judge(bare.header, bare.id) == void(Reason.FORKED)


def test_of_a_forked_lane_what_stands_is_required(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    mesh.root.grant(ann)
    before = ann.data()
    left, right = forked(mesh, ann)
    ledger = mesh.ledger()

    def required() -> list[Entry]:
        return [e for e in (before, left, right) if ledger.requires(e.header, e.id)]

    assert required() == [before]
    deliver(ledger, [mesh.root.pin(right)])
    assert required() == [before, right]


def test_nothing_is_required_of_whoever_is_introduced_no_more(mesh: Mesh) -> None:
    ann, ben = mesh.log("ann"), mesh.log("ben")
    mesh.root.grant(ann)
    twin = ann.twin()
    ann.grant(ben)
    entry = ben.data()
    ledger = mesh.ledger()
    assert ledger.requires(entry.header, entry.id)
    assert ledger.covered(ben.author, 1) == (1, entry.id, ())
    deliver(ledger, [twin.pin(mesh.genesis)])
    assert not ledger.requires(entry.header, entry.id)
    assert ledger.covered(ben.author, 1) is None


def test_a_tip_is_awaited_that_a_pin_names_and_nobody_has_brought(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    mesh.root.grant(ann)
    twin = ann.twin()
    main = [ann.data(f"main {n}") for n in range(2)]
    tip = [twin.data(f"twin {n}") for n in range(3)][-1]
    mesh.root.pin(tip)
    ledger = Ledger(mesh.id)
    assert not ledger.awaits(ann.author, 1, 3, tip.id)
    deliver(ledger, [e for e in mesh.entries if e.header.author != ann.author])
    deliver(ledger, main)
    # While no fork is known the lane just goes on.
    assert not ledger.awaits(ann.author, 1, 3, tip.id)
    first = next(e for e in mesh.entries if e.body == b"twin 0")
    deliver(ledger, [first])
    assert ledger.awaits(ann.author, 1, 3, tip.id)
    assert not ledger.awaits(ann.author, 1, 2, tip.id)
    assert not ledger.awaits(ann.author, 0, 3, tip.id)
    assert not ledger.awaits(ann.author, 1, 3, main[1].id)
    deliver(ledger, mesh.entries)
    assert not ledger.awaits(ann.author, 1, 3, tip.id)


def test_a_tip_is_not_awaited_for_a_pin_that_would_not_be_heard(mesh: Mesh) -> None:
    ann, ben, late = mesh.log("ann"), mesh.log("ben"), mesh.log("late")
    mesh.root.grant(ann)
    mesh.root.grant(ben, perms=ALL & ~REVOKE)
    mesh.root.grant(late, exp_ms=5_000)
    late.grant(ann.author, exp_ms=5_000)
    left, _ = forked(mesh, ann)
    tip = Log(mesh, ann.author, ann.leaf, {0: None, 1: left}).data("tip")
    ben.pin(tip)
    late.pin(tip, ms=6_000)
    ledger = Ledger(mesh.id)
    deliver(ledger, [entry for entry in mesh.entries if entry is not tip])
    assert not ledger.awaits(ann.author, 1, 2, tip.id)
    deliver(ledger, [mesh.root.pin(tip)])
    assert ledger.awaits(ann.author, 1, 2, tip.id)


def test_what_is_no_proof_is_refused(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    mesh.root.grant(ann)
    one, two = ann.data(), ann.data()
    ledger = mesh.ledger()
    for pair in ((one, one), (one, two)):
        with pytest.raises(FormError):
            ledger.add_proof(pair[0].signed_header, pair[1].signed_header)
    stranger = mesh.log("stranger")
    left, right = forked(mesh, stranger)
    assert ledger.add_proof(left.signed_header, right.signed_header) is None


def test_a_forked_lane_takes_so_many_entries_off_the_branch_that_stands(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    mesh.root.grant(ann)
    ledger = Ledger(mesh.id, branch_entries_max=3)
    twin = ann.twin()
    main = [ann.data(f"main {n}") for n in range(2)]
    branch = [twin.data(f"branch {n}") for n in range(4)]
    deliver(ledger, [*mesh.entries[:2], *main, branch[0]])
    assert ledger.place(branch[1].header, branch[1].id) is Place.FULL
    deliver(ledger, [mesh.root.pin(main[-1])])
    deliver(ledger, branch)
    held = [ledger.place(entry.header, entry.id) for entry in branch]
    assert held == [Place.HELD] * 3 + [Place.FULL]
    after = ann.data("after")
    assert ledger.place(after.header, after.id) is Place.FULL

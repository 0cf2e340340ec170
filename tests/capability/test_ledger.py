"""The ledger, one test per clause; `test_histories` compares it with the definitions as a whole."""

from __future__ import annotations

import pytest

from capability import bodies
from capability.bodies import JOIN, SESSION
from capability.entry import KIND_REVOKE, LANE_AUTHORITY, LANE_DATA
from capability.ids import root_worknode, session_id
from capability.lane import Place
from capability.ledger import Change, Ledger
from capability.limits import CHAIN_DEPTH_MAX, NEVER_MS
from capability.permissions import ALL, COMMENT, DELEGATE, MEMBER, READ, WRITE
from capability.verdict import Reason, Verdict
from tests.capability.story import COUNTS, Mesh, deliver, judged, key, void


@pytest.fixture
def mesh() -> Mesh:
    return Mesh()


# Chains.


def test_a_root_counts_without_a_chain(mesh: Mesh) -> None:
    assert judged(mesh, mesh.genesis) == COUNTS
    assert judged(mesh, mesh.root.data()) == COUNTS


def test_a_member_counts_by_its_chain(mesh: Mesh) -> None:
    ann, ben = mesh.log("ann"), mesh.log("ben")
    first = mesh.root.grant(ann)
    second = ann.grant(ben)
    assert judged(mesh, ben.data()) == COUNTS
    authority = mesh.ledger().authority(second.id, ben.author)
    assert authority is not None
    assert (authority.rank, authority.chain) == (2, (first.id, second.id))
    assert authority.scopes == (root_worknode(mesh.id),)


def test_signed_without_a_chain_is_not_even_placed(mesh: Mesh) -> None:
    entry = mesh.log("stranger").data()
    assert mesh.ledger().place(entry.header, entry.id) is Place.UNINTRODUCED


def test_a_member_without_a_leaf_is_no_root(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    mesh.root.grant(ann)
    assert judged(mesh, ann.data(leaf=b"")) == void(Reason.NOT_A_ROOT)


def test_one_root_of_several_needed_does_not_count() -> None:
    mesh = Mesh(roots=("root", "other"), m=2)
    ann = mesh.log("ann")
    grant = mesh.root.grant(ann)
    assert judged(mesh, grant) == void(Reason.NEEDS_QUORUM)
    assert mesh.ledger().authority(b"", mesh.root.author) is None


def test_a_leaf_that_is_not_held_leaves_undecided(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    mesh.root.grant(ann)
    waits = ann.data(leaf=key("no grant"))
    assert judged(mesh, waits) == (Verdict.UNDECIDED, Reason.NO_SUCH_GRANT)


def test_a_broken_chain_leaves_undecided_until_it_is_mended(mesh: Mesh) -> None:
    ann, ben, eve = (mesh.log(name) for name in ("ann", "ben", "eve"))
    mesh.root.grant(ann)
    mesh.root.grant(eve)
    missing = eve.grant(ann.author)
    link = ann.grant(ben, entry={"leaf": missing.id})
    mesh.root.grant(ben.author)
    entry = ben.data()
    ledger = Ledger(mesh.id)
    deliver(ledger, [e for e in mesh.entries if e is not missing])
    assert ledger.judge(entry.header, entry.id) == (Verdict.UNDECIDED, Reason.LINK_MISSING)
    (change,) = deliver(ledger, [missing])
    assert change.leaves == tuple(sorted((missing.id, link.id)))
    assert ledger.judge(entry.header, entry.id) == COUNTS


def test_another_ones_grant_is_of_no_use(mesh: Mesh) -> None:
    ann, ben = mesh.log("ann"), mesh.log("ben")
    mesh.root.grant(ann)
    mesh.root.grant(ben)
    assert judged(mesh, ann.data(leaf=ben.leaf)) == void(Reason.NOT_THE_AUDIENCE)


def test_the_audience_is_looked_at_even_where_the_chain_has_a_gap(mesh: Mesh) -> None:
    ann, ben = mesh.log("ann"), mesh.log("ben")
    mesh.root.grant(ann)
    eve = mesh.log("eve")
    mesh.root.grant(eve)
    gap = eve.grant(ben.author, entry={"leaf": key("missing")})
    wrong = ann.grant(ben.author, entry={"leaf": gap.id})
    mesh.root.grant(ben.author)
    late = Ledger(mesh.id)
    deliver(late, [entry for entry in mesh.entries if entry is not gap])
    assert late.judge(wrong.header, wrong.id) == (Verdict.UNDECIDED, Reason.NO_SUCH_GRANT)
    deliver(late, [gap])
    assert late.judge(wrong.header, wrong.id) == void(Reason.NOT_THE_AUDIENCE)
    assert judged(mesh, wrong) == void(Reason.NOT_THE_AUDIENCE)


def test_malformed_acts_are_held_and_void(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    mesh.root.grant(ann)
    for kind in (1, 3):
        assert judged(mesh, ann.write(kind, b"\x91\x00")) == void(Reason.MALFORMED)
    assert judged(mesh, ann.data()) == COUNTS


def test_reserved_kinds_are_judged_and_change_nothing(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    grant = mesh.root.grant(ann)
    before = ann.data()
    ledger = mesh.ledger()
    revoke = mesh.root.write(KIND_REVOKE, grant.id)
    assert deliver(ledger, [revoke]) == [Change()]
    assert ledger.judge(revoke.header, revoke.id) == COUNTS
    assert ledger.judge(before.header, before.id) == COUNTS


def test_without_a_leaf_only_a_root_has_authority(mesh: Mesh) -> None:
    ledger = mesh.ledger()
    root = ledger.authority(b"", mesh.root.author)
    assert root is not None and (root.rank, root.leaf) == (0, b"")
    assert ledger.authority(b"", key("stranger")) is None


def test_a_held_grant_is_told_whether_or_not_it_counts(mesh: Mesh) -> None:
    ann, ben = mesh.log("ann"), mesh.log("ben")
    good = mesh.root.grant(ann, label="good")
    wide = ann.grant(ben, max_depth=9, label="wide")
    pin = mesh.root.pin(good)
    ledger = mesh.ledger()
    found = [ledger.grant(entry.id) for entry in (good, wide)]
    assert [grant and grant.label for grant in found] == ["good", "wide"]
    assert ledger.grant(pin.id) is None
    assert ledger.grant(key("not held")) is None


def test_grants_are_told_by_rank_and_then_by_id(mesh: Mesh) -> None:
    ann, ben = mesh.log("ann"), mesh.log("ben")
    mesh.root.grant(ann)
    lesser = [ann.grant(ben, label=str(n)) for n in range(4)]
    greater = [mesh.root.grant(ben, label=str(n)) for n in range(4)]
    by_id = [sorted(entry.id for entry in entries) for entries in (greater, lesser)]
    told = [grant_id for grant_id, _ in mesh.ledger().grants_to(ben.author)]
    assert told == [*by_id[0], *by_id[1]]


def test_a_lane_is_told_once_something_of_it_is_held(mesh: Mesh) -> None:
    ann, root = mesh.log("ann"), mesh.root.author
    mesh.root.grant(ann)
    ledger = mesh.ledger()
    assert ledger.lanes() == ((root, LANE_AUTHORITY),)
    ann.data()
    left, right = (ann.twin().data(text).signed_header for text in ("left", "right"))
    assert ledger.add_proof(left, right) is None
    assert ledger.lanes() == ((root, LANE_AUTHORITY),)
    deliver(ledger, [mesh.root.data(), *mesh.entries])
    keys = ((ann.author, LANE_DATA), (root, LANE_AUTHORITY), (root, LANE_DATA))
    assert ledger.lanes() == tuple(sorted(keys))


# Attenuation.


@pytest.mark.parametrize(
    ("given", "wanted", "reason"),
    [
        ({"perms": DELEGATE | READ}, {"perms": READ | WRITE}, Reason.WIDER_PERMS),
        ({"perms": ALL & ~DELEGATE}, {"perms": READ}, Reason.NO_DELEGATE),
        ({"nbf_ms": 5}, {"nbf_ms": 4}, Reason.WIDER_TIME),
        ({"exp_ms": NEVER_MS - 1}, {"nbf_ms": 5}, Reason.WIDER_TIME),
        ({"max_depth": 3}, {"max_depth": 4}, Reason.WIDER_DEPTH),
        ({"max_depth": 1}, {"max_depth": 1}, Reason.TOO_DEEP),
        ({"caveats": ((7, 1),)}, {}, Reason.CAVEAT_DEPTH),
        ({}, {"caveats": ((7, 1),)}, Reason.CAVEAT_DEPTH),
        ({"caveats": ((1, ()),)}, {}, Reason.CAVEAT_GLOBS),
        ({"caveats": ((3, 8),)}, {}, Reason.CAVEAT_COMPLEXITY),
        ({"caveats": ((99, None),)}, {}, Reason.CAVEAT_UNKNOWN),
        ({"caveats": ((9, READ),)}, {"perms": READ | WRITE}, Reason.CAVEAT_CHILD_PERMS),
        ({"caveats": ((4, 1),)}, {}, Reason.CAVEAT_OPS),
        ({"caveats": ((9, b""),)}, {"perms": 0}, Reason.CAVEAT_CHILD_PERMS),
        ({"caveats": ((10, 1),)}, {}, Reason.CAVEAT_GRANTS),
        ({"caveats": ((7, 8), (10, 1))}, {}, Reason.CAVEAT_GRANTS),
        ({"caveats": ((11, 1_004),)}, {}, Reason.CAVEAT_ISSUE_BEFORE),
    ],
)
def test_a_child_wider_than_its_parent_is_void(
    mesh: Mesh, given: dict[str, object], wanted: dict[str, object], reason: Reason
) -> None:
    ann, ben = mesh.log("ann"), mesh.log("ben")
    mesh.root.grant(ann, **given)
    ann.write(KIND_REVOKE, b"")
    grant = ann.grant(ben, **wanted)
    mesh.root.grant(ben.author)
    assert judged(mesh, grant) == void(reason)
    assert judged(mesh, ben.data()) == void(Reason.GRANT_VOID)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"perms": DELEGATE | READ}, {"perms": READ}),
        ({"nbf_ms": 5, "exp_ms": 9_000}, {"nbf_ms": 5, "exp_ms": 9_000}),
        ({"max_depth": 2}, {"max_depth": 2}),
        ({"caveats": ((7, 2),)}, {"caveats": ((7, 2),)}),
        ({"caveats": ((9, READ),)}, {"perms": READ}),
        ({"caveats": ((9, 0),)}, {"perms": 0}),
        ({"caveats": ((10, 2),)}, {}),
        ({"caveats": ((11, 1_005),)}, {}),
    ],
)
def test_a_child_at_its_limits_counts(
    mesh: Mesh, given: dict[str, object], wanted: dict[str, object]
) -> None:
    ann, ben = mesh.log("ann"), mesh.log("ben")
    mesh.root.grant(ann, **given)
    ann.write(KIND_REVOKE, b"")
    least = {"max_depth": 1, "perms": 0, "nbf_ms": 5, "exp_ms": 9_000}
    grant = ann.grant(ben, entry={"ms": 1_004}, **(least | wanted))
    assert judged(mesh, grant) == COUNTS


def test_a_scope_is_reached_by_its_steps_or_refused(mesh: Mesh) -> None:
    ann, ben = mesh.log("ann"), mesh.log("ben")
    above = mesh.scope("docs")
    mesh.root.grant(ann, scopes=(above,))
    assert judged(mesh, ann.grant(ben, scopes=(mesh.scope("api", under=above.id),))) == COUNTS
    assert judged(mesh, ann.grant(ben, scopes=(mesh.scope(under=above.id),))) == COUNTS
    for scope in (mesh.scope("docs"), mesh.scope(), mesh.scope("api", parent=1, under=above.id)):
        grant = ann.grant(ben, scopes=(scope,))
        assert judged(mesh, grant) == void(Reason.WIDER_SCOPE)


def test_the_chain_is_eight_links_long_at_most(mesh: Mesh) -> None:
    above = mesh.root
    for depth in range(1, CHAIN_DEPTH_MAX + 1):
        below = mesh.log(f"depth {depth}")
        assert judged(mesh, above.grant(below)) == COUNTS
        above = below
    assert judged(mesh, above.data()) == COUNTS
    assert judged(mesh, above.grant(mesh.log("beyond"))) == void(Reason.TOO_DEEP)


def test_a_mesh_may_set_a_shorter_chain() -> None:
    mesh = Mesh(limits=((bodies.LIMIT_CHAIN_DEPTH, 1),))
    ann = mesh.log("ann")
    mesh.root.grant(ann, max_depth=1)
    assert judged(mesh, ann.grant(mesh.log("ben"), max_depth=1)) == void(Reason.TOO_DEEP)
    assert judged(mesh, mesh.root.grant(mesh.log("cec"), max_depth=2)) == void(Reason.WIDER_DEPTH)


def test_time_is_judged_by_the_entrys_own_stamp(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    mesh.root.grant(ann, nbf_ms=2_000, exp_ms=3_000)
    expected = {
        1_999: void(Reason.NOT_YET_VALID),
        2_000: COUNTS,
        2_999: COUNTS,
        3_000: void(Reason.EXPIRED),
    }
    assert {ms: judged(mesh, ann.data(ms=ms)) for ms in expected} == expected


def test_direct_caveats_bind_the_next_link_only(mesh: Mesh) -> None:
    door, ann, ben = (mesh.log(name) for name in ("door", "ann", "ben"))
    mesh.root.grant(door, akind=JOIN, caveats=((10, 1), (11, 1_004)))
    assert judged(mesh, door.grant(ann)) == COUNTS
    ann.write(KIND_REVOKE, b"")
    assert judged(mesh, ann.grant(ben)) == COUNTS
    late = door.grant(mesh.log("late"))
    assert judged(mesh, late) == void(Reason.CAVEAT_GRANTS)


def test_a_session_grant_is_to_oneself_and_names_the_session(mesh: Mesh) -> None:
    ann, ben = mesh.log("ann"), mesh.log("ben")
    mesh.root.grant(ann)
    named = {"akind": SESSION, "caveats": ((8, session_id("s")),)}
    session = ann.grant(ann.author, **named)
    assert judged(mesh, session) == COUNTS
    assert judged(mesh, ann.grant(ben, **named)) == void(Reason.SESSION_NOT_SELF)
    assert judged(mesh, ann.grant(ann.author, akind=SESSION)) == void(Reason.SESSION_UNNAMED)
    barred = ann.pin(mesh.genesis, leaf=session.id)
    assert judged(mesh, barred) == void(Reason.CAVEAT_SESSION)


def test_caveats_deny_ops(mesh: Mesh) -> None:
    ann, ben = mesh.log("ann"), mesh.log("ben")
    mesh.root.grant(ann, caveats=((4, (1, 3)), (5, ("title",)), (6, 10)))
    ann.grant(ben, caveats=((4, (3,)),))
    authority = mesh.ledger().authority(ben.leaf, ben.author)
    assert authority is not None

    def denied(op_code: int = 3, field: str | None = "title", seq: int = 10) -> Reason | None:
        return authority.denies(op_code=op_code, field=field, session=b"", seq=seq)

    assert denied() is None
    assert denied(field=None) is None
    assert denied(op_code=1) is Reason.CAVEAT_OPS
    assert denied(field="status") is Reason.CAVEAT_FIELDS
    assert denied(seq=11) is Reason.CAVEAT_SEQ


@pytest.mark.parametrize(
    "caveat",
    [(1, ()), (2, ()), (3, 1), (4, 3), (5, (1,)), (6, None), (7, True), (8, b""), (9, ()), (99, 1)],
)
def test_caveats_that_are_malformed_or_unknown_deny(mesh: Mesh, caveat: tuple[int, object]) -> None:
    ann = mesh.log("ann")
    mesh.root.grant(ann, caveats=(caveat,))
    authority = mesh.ledger().authority(ann.leaf, ann.author)
    assert authority is not None
    assert authority.denies(op_code=3, field=None, session=b"", seq=1)


def test_a_session_caveat_wants_its_session(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    mesh.root.grant(ann, caveats=((8, session_id("s")),))
    authority = mesh.ledger().authority(ann.leaf, ann.author)
    assert authority is not None
    sessions = {
        session_id("s"): None,
        session_id("t"): Reason.CAVEAT_SESSION,
        b"": Reason.CAVEAT_SESSION,
    }
    for session, reason in sessions.items():
        assert authority.denies(op_code=3, field=None, session=session, seq=1) is reason


def test_a_member_is_one_until_the_last_of_its_grants_ends() -> None:
    mesh = Mesh()
    ann, ben = mesh.log("ann"), mesh.log("ben")
    mesh.root.grant(ann)
    ledger = mesh.ledger()
    assert ledger.member_until(ben.author) == 0
    for what, until in (
        ({"exp_ms": 5_000_000}, 5_000_000),
        ({"exp_ms": 4_000_000}, 5_000_000),
        ({"exp_ms": 7_000_000, "perms": COMMENT}, 5_000_000),
        ({"exp_ms": 7_000_000, "akind": JOIN, "caveats": ((9, MEMBER), (10, 1))}, 5_000_000),
        ({"exp_ms": 6_000_000}, 6_000_000),
    ):
        deliver(ledger, [mesh.root.grant(ben, **what)])
        assert ledger.member_until(ben.author) == ledger.member_until(ben.author) == until
    twin = ann.twin()
    deliver(ledger, [ann.grant(ben)])
    assert ledger.member_until(ben.author) == NEVER_MS
    # What let it in for ever counts no more.
    deliver(ledger, [twin.grant(mesh.log("carol"))])
    assert ledger.member_until(ben.author) == 6_000_000
    assert ledger.member_until(mesh.log("carol").author) == 0

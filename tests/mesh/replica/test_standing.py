"""Under which grant this node writes: in time, covering, a session's own before the node's."""

from __future__ import annotations

import pytest

from capability import permissions
from capability.authority import Authority
from capability.bodies import (
    CAVEAT_CHILD_PERMS,
    CAVEAT_GRANTS,
    CAVEAT_ISSUE_BEFORE,
    CAVEAT_SEQ,
    CAVEAT_SESSION,
    JOIN,
    SESSION,
)
from capability.entry import LANE_AUTHORITY, LANE_DATA
from capability.ids import session_id
from capability.links import Act
from capability.ops import Op
from capability.verdict import Verdict
from mesh.core.errors import BackPressure, Denied
from mesh.core.inputs import Now
from mesh.core.records import PutMeta
from mesh.greeting import read_chain
from mesh.replica.grants import session_grant
from mesh.replica.standing import Standing
from tests.mesh.replica.desk import Desk, field_of
from tests.mesh.replica.hand import hand, put
from tests.mesh.replica.world import TODAY_MS, node_of, seed


@pytest.fixture
def desk() -> Desk:
    return Desk()


def standing(desk: Desk) -> Standing:
    return desk.node.replica.writer.standing


def leaves(found: list[Authority]) -> list[bytes]:
    return [authority.leaf for authority in found]


def test_the_tip_is_the_end_of_each_own_lane(desk: Desk) -> None:
    own = desk.node.log()[-1]
    assert standing(desk).tip(LANE_DATA) == (own.header.seq, own.id)
    assert standing(desk).tip(LANE_AUTHORITY) == (0, desk.mesh.id)


def test_the_next_stamp_is_later_than_the_last_and_not_before_the_wall(desk: Desk) -> None:
    last_ms = desk.node.replica.held.clock.last >> 16
    assert standing(desk).stamp_ms(Now(0, last_ms + 7)) == last_ms + 7
    assert standing(desk).stamp_ms(Now(0, last_ms - 7)) == last_ms
    # A counter that is full makes it a millisecond later.
    for counter, ms in ((0xFFFE, last_ms), (0xFFFF, last_ms + 1)):
        desk.node.replica.held.clock.last = last_ms << 16 | counter
        assert standing(desk).stamp_ms(Now(0, 0)) == ms


def test_grants_are_candidates_from_their_first_millisecond_to_before_their_last(
    desk: Desk,
) -> None:
    now = desk.node.now
    at = standing(desk).stamp_ms(now)
    bob = desk.bob.author
    times = {"early": (at + 1, at + 9), "now": (at, at + 1), "late": (at - 9, at)}
    made = {
        name: desk.root.grant(bob, nbf_ms=nbf, exp_ms=exp) for name, (nbf, exp) in times.items()
    }
    desk.node.receive(list(made.values()))
    found = leaves(standing(desk).candidates(b"", now))
    assert sorted(found) == sorted([desk.bob.leaf, made["now"].id])


def test_a_root_acts_by_itself_first(desk: Desk) -> None:
    root = node_of(desk.mesh, desk.root.signer, [])
    grant = desk.root.grant(desk.root.author)
    root.receive([desk.node.log()[1], grant])
    found = Standing(root.replica.held, desk.root.author).candidates(b"", root.now)
    assert leaves(found) == [b"", grant.id]
    assert Standing(root.replica.held, b"?" * 32).candidates(b"", root.now) == []


def test_a_session_acts_by_its_own_grant_first_and_by_no_other_ones(desk: Desk) -> None:
    for name in ("one", "two"):
        desk.node.write(field_of(desk, name), session=name)
    found = standing(desk).candidates(session_id("one"), desk.node.now)
    assert [authority.akind == SESSION for authority in found] == [True, False]
    assert found[0].caveats == ((8, session_id("one")),)
    assert leaves(standing(desk).candidates(b"", desk.node.now)) == [desk.bob.leaf]
    assert len(standing(desk).candidates(session_id("new"), desk.node.now)) == 1


def test_the_first_that_covers_all_of_a_draft_is_taken(desk: Desk) -> None:
    admin = desk.root.grant(desk.bob.author, perms=permissions.ALL)
    desk.node.receive([admin])
    births = desk.node.replica.store.judging_births()
    plain, config = put(desk.task, "f", 1), put(desk.task, "x", 1, ns=6)

    def covering(*draft: Op) -> bytes:
        return standing(desk).covering(draft, b"", desk.node.now, births=births).leaf

    assert covering(config) == covering(plain, config) == admin.id
    assert covering(plain) == leaves(standing(desk).candidates(b"", desk.node.now))[0]
    with pytest.raises(Denied, match="birth path unknown"):
        covering(plain, put(b"?" * 16, "f", 1))
    standing(desk).author = b"?" * 32
    with pytest.raises(Denied, match="holds no grant that counts") as caught:
        covering(plain)
    assert caught.value.hint


def test_a_draft_is_judged_at_the_seq_that_it_will_have(desk: Desk) -> None:
    bob = desk.bob.author
    seq = standing(desk).tip(LANE_DATA)[0] + 1
    perms = permissions.ALL
    beyond = desk.root.grant(bob, perms=perms, caveats=((CAVEAT_SEQ, seq - 1),))
    within = desk.root.grant(bob, perms=perms, caveats=((CAVEAT_SEQ, seq),))
    desk.node.receive([beyond])
    births = desk.node.replica.store.judging_births()
    draft = [put(desk.task, "x", 1, ns=6)]
    with pytest.raises(Denied):
        standing(desk).covering(draft, b"", desk.node.now, births=births)
    desk.node.receive([within])
    found = standing(desk).covering(draft, b"", desk.node.now, births=births)
    assert found.leaf == within.id
    # Not if another entry is to be sealed before it.
    with pytest.raises(Denied):
        standing(desk).covering(draft, b"", desk.node.now, births=births, ahead=1)


def test_a_session_is_granted_what_it_lacks_and_may_have(desk: Desk) -> None:
    now, session = desk.node.now, session_id("agent")
    (under,) = standing(desk).candidates(b"", now)
    wanted = standing(desk).wanted_grant(under, session, "agent", now)
    assert wanted == session_grant(under, desk.bob.author, session, "agent")
    assert standing(desk).wanted_grant(under, b"", "", now) is None
    desk.node.write(field_of(desk, "a"), session="agent")
    own = standing(desk).candidates(session, now)[0]
    assert standing(desk).wanted_grant(own, session, "agent", now) is None
    # The pen of a forked authority log makes no more of them.
    twins = [desk.bob.twin().pin(entry).signed_header for entry in desk.node.log()[:2]]
    assert standing(desk).wanted_grant(under, session_id("b"), "b", now) is not None
    desk.node.replica.receive_proof(twins[0], twins[1], now)
    assert standing(desk).has_forked(LANE_AUTHORITY)
    assert not standing(desk).has_forked(LANE_DATA)
    assert standing(desk).wanted_grant(under, session_id("b"), "b", now) is None


def test_a_grant_that_may_not_be_passed_on_makes_no_session(desk: Desk) -> None:
    now, bob = desk.node.now, desk.bob.author
    at = standing(desk).stamp_ms(now)
    bare = permissions.ALL & ~permissions.DELEGATE
    for caveats, perms, may in (
        ((), bare, False),
        # A session need not read to be granted what its node may.
        ((), permissions.WRITE | permissions.DELEGATE, True),
        (((CAVEAT_CHILD_PERMS, permissions.READ),), permissions.ALL, False),
        (((CAVEAT_ISSUE_BEFORE, at),), permissions.ALL, False),
        (((CAVEAT_ISSUE_BEFORE, at + 1),), permissions.ALL, True),
        # It would be the first entry of this node's authority lane.
        (((CAVEAT_GRANTS, 0),), permissions.ALL, False),
        (((CAVEAT_GRANTS, 1),), permissions.ALL, True),
    ):
        entry = desk.root.grant(bob, perms=perms, caveats=caveats)
        desk.node.receive([entry])
        under = desk.node.replica.held.ledger.authority(entry.id, bob)
        assert under is not None
        made = standing(desk).wanted_grant(under, session_id("s"), "s", now)
        assert (made is not None) is may, (caveats, perms)


def test_sessions_up_to_the_bound_are_granted(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.replica.standing.SESSIONS_MAX", 2)
    now = desk.node.now
    (under,) = standing(desk).candidates(b"", now)
    for name in ("one", "two"):
        assert standing(desk).wanted_grant(under, session_id(name), name, now) is not None
        desk.node.write(field_of(desk, name), session=name)
    with pytest.raises(BackPressure, match="2 named sessions"):
        standing(desk).wanted_grant(under, session_id("three"), "three", now)


def test_a_write_does_not_go_through_what_anybody_signs_to_this_node(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, 10,000 grants made each write take 67 ms, later each write after one more of them."""
    mal = hand(desk.mesh, "mal")
    desk.node.receive([desk.root.grant(mal)])
    twin, signed = mal.twin(), [mal.grant(desk.bob) for _ in range(30)]
    caveats = ((CAVEAT_SESSION, session_id("0")),)
    forged = [mal.grant(desk.bob, akind=SESSION, caveats=caveats) for _ in range(9)]
    looked_at: list[bytes] = []
    real = Act.counts

    def counts(self: Act) -> bool:
        looked_at.append(self.id)
        return bool(real.__get__(self))

    desk.node.receive([*signed, *forged][:-5])
    signed += forged
    for number in range(5):
        desk.node.receive([signed[number - 5]])
        with monkeypatch.context() as patch:
            patch.setattr(Act, "counts", property(counts))
            effects = desk.submit(field_of(desk, "f", number), session=f"{number % 2}")
        desk.node.run(effects + desk.node.replica.seal())
    assert looked_at
    assert not {grant.id for grant in signed}.intersection(looked_at)
    found = standing(desk).candidates(b"", desk.node.now)
    assert leaves(found) == [desk.bob.leaf, *(grant.id for grant in signed[:30])]
    desk.node.receive([twin.grant(hand(desk.mesh, "guest"))])
    assert leaves(standing(desk).candidates(b"", desk.node.now)) == [desk.bob.leaf]


def test_a_stranger_is_shown_the_grant_that_lets_this_node_in_for_the_longest(desk: Desk) -> None:
    """Else anybody could have it refused, by a grant of little or with an end that comes first."""
    newcomer = node_of(desk.mesh, hand(desk.mesh, "new").signer).replica
    little = [desk.root.grant(desk.bob.author, perms=permissions.COMMENT) for _ in range(3)]
    brief = [desk.root.grant(desk.bob.author, exp_ms=TODAY_MS) for _ in range(3)]
    joins = [desk.root.grant(desk.bob.author, akind=JOIN)]
    desk.node.receive([*little, *brief, *joins, *(desk.root.grant(desk.bob) for _ in range(3))])
    assert standing(desk).membership() == desk.bob.leaf
    chain = desk.node.replica.own_chain()
    evidence = read_chain(chain, newcomer, desk.bob.author)
    assert evidence.member is not None and evidence.member.id == desk.bob.leaf


def test_what_lets_nobody_in_is_not_shown_however_long_it_holds(desk: Desk) -> None:
    carol = hand(desk.mesh, "carol")
    own = desk.root.grant(carol, exp_ms=TODAY_MS + 10**9)
    little = desk.root.grant(carol.author, perms=permissions.COMMENT)
    join = desk.root.grant(carol.author, akind=JOIN)
    desk.node.receive([own, little, join])
    hers = Standing(desk.node.replica.held, carol.author)
    assert (hers.membership(), hers.memberships()) == (own.id, [own.id])


def test_of_those_held_first_what_lets_in_for_the_longest_comes_first(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.replica.standing.MEMBERSHIPS_MAX", 2)
    carol = hand(desk.mesh, "carol")
    made = [desk.root.grant(carol.author, exp_ms=TODAY_MS + 10**9 + at) for at in (2, 3, 9)]
    desk.node.receive(made)
    hers = Standing(desk.node.replica.held, carol.author)
    assert hers.memberships() == [made[1].id, made[0].id]
    assert hers.membership() == made[2].id


def test_a_caller_does_not_make_this_node_go_through_its_grants(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody may call, and 2,000 grants to this node made each call take a millisecond."""
    own = standing(desk)
    assert own.membership() == desk.bob.leaf
    with monkeypatch.context() as patch:
        patch.setattr(Standing, "_of_node", lambda _: pytest.fail("they are looked at again"))
        assert own.membership() == desk.bob.leaf
    mal, carol = hand(desk.mesh, "mal"), hand(desk.mesh, "carol")
    desk.node.receive([desk.root.grant(mal)])
    twin, only = mal.twin(), mal.grant(carol)
    hers = Standing(desk.node.replica.held, carol.author)
    assert hers.membership() == b""
    desk.node.receive([only])
    assert hers.membership() == only.id
    desk.node.receive([twin.grant(hand(desk.mesh, "guest"))])
    assert hers.membership() == b""
    own_again = desk.root.grant(carol.author)
    desk.node.receive([own_again])
    assert hers.membership() == own_again.id


def test_who_holds_no_grant_shows_none(desk: Desk) -> None:
    assert Standing(desk.node.replica.held, b"?" * 32).membership() == b""


def test_a_grant_by_somebody_else_does_not_make_writes_rest_on_him(desk: Desk) -> None:
    """Else who ranks above its inviter could void what a node writes, by forking his own log."""
    ann, mal, cec = (hand(desk.mesh, name) for name in ("ann", "mal", "cec"))
    node = node_of(desk.mesh, cec.signer, desk.node.log()[1:])
    node.receive([desk.root.grant(mal), desk.bob.grant(ann), ann.grant(cec)])
    twin = mal.twin()
    node.receive([mal.grant(cec)])
    ranks = [held.rank for _, held in node.replica.held.ledger.grants_to(cec.author)]
    assert ranks == [2, 3]
    node.write(field_of(desk, "f", 7))
    last = node.log()[-1]
    assert last.header.leaf == cec.leaf
    node.receive([twin.grant(hand(desk.mesh, "guest"))])
    assert node.replica.held.ledger.judge(last.header, last.id)[0] is Verdict.COUNTS


def test_a_later_grant_by_somebody_else_does_not_rename_a_member(desk: Desk) -> None:
    mal, cec = hand(desk.mesh, "mal"), hand(desk.mesh, "cec")
    desk.node.receive([desk.root.grant(mal), desk.bob.grant(cec, label="cec")])
    by_mal = [mal.grant(cec, label=f"a thief {number}") for number in range(4)]
    desk.node.receive(by_mal)
    assert min(by_mal, key=lambda entry: entry.id).id < cec.leaf
    assert desk.node.replica.label(cec.author) == "cec"
    assert desk.node.replica.label(b"?" * 32) == ""


def test_a_newcomer_writes_by_its_ticket_whatever_it_was_brought_before_that(desk: Desk) -> None:
    """Else its first peer could bring a grant of his own first, and void what it writes later."""
    mal, door, cec = (hand(desk.mesh, name) for name in ("mal", "door", "cec"))
    before = [desk.root.grant(mal), mal.grant(cec)]
    cec.leaf = b""
    joining = [desk.bob.grant(door, akind=JOIN), door.grant(cec)]
    node = node_of(desk.mesh, cec.signer)
    node.store.commit([PutMeta("join_seed", seed("door"))])
    node.reload()
    node.receive([*desk.node.log()[1:], *before])
    node.write(field_of(desk, "f", 1))
    assert node.log()[-1].header.leaf == before[-1].id
    node.receive(joining)
    node.write(field_of(desk, "f", 2))
    own = node.replica.writer.standing
    assert node.log()[-1].header.leaf == own.membership() == cec.leaf
    assert leaves(own.candidates(b"", node.now)) == [cec.leaf, before[-1].id]

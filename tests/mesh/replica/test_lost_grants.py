"""What a session wrote, and nobody has, when its grant was on the part of the disk that is lost."""

from __future__ import annotations

import pytest

from capability.bodies import CAVEAT_SESSION, SESSION
from capability.entry import Entry
from capability.ids import session_id
from capability.keys import SeedSigner
from capability.permissions import COMMENT, MEMBER, READ
from capability.verdict import Verdict
from crdt.codec import encode
from mesh.core.records import PutEntry, PutMeta
from mesh.replica.rebuilding import Rebuilt, Remains, rebuild
from mesh.replica.recovery import META_KEPT, WAIT_FOR_ONE, Recovery, encode_kept
from tests.mesh.replica.desk import Desk, field_of
from tests.mesh.replica.hand import Hand, create, hand, put
from tests.mesh.replica.stage import Stage

LOST = b"\7" * 32


# It is set aside.


def made_of(stage: Stage, sent: tuple[int, int], *more: Entry) -> Rebuilt:
    found = Remains(
        mesh_id=stage.mesh.id,
        entries=[*stage.node.log(), *more],
        meta={"sent": encode(sent)},
        pending=(),
        peers=(),
        proofs=(),
        unreadable=1,
        is_damaged=True,
    )
    author = stage.bob.author
    return rebuild(found, author=author, mode=WAIT_FOR_ONE, is_signed=lambda entry: True)


def kept_by(result: Rebuilt) -> bytes | None:
    metas = {r.key: r.value for r in result.records if isinstance(r, PutMeta)}
    return metas.get(META_KEPT)


def logged(result: Rebuilt) -> set[bytes]:
    return {r.entry.id for r in result.records if isinstance(r, PutEntry)}


def test_own_data_is_set_aside_from_the_first_on_whose_grant_is_lost() -> None:
    stage = Stage()
    before = stage.bob.data(put(stage.task, "f", 0))
    by_it = stage.bob.data(put(stage.task, "f", 1), leaf=LOST)
    after = stage.bob.data(put(stage.task, "f", 2))
    act = stage.bob.pin(stage.first, leaf=LOST)
    others = [stage.root.data(put(stage.task, "f", at), leaf=LOST) for at in range(3)]
    result = made_of(stage, (0, 1), before, by_it, after, act, *others)
    assert kept_by(result) == encode_kept([by_it, after])
    stays = (*stage.node.log(), before, act, *others)
    assert logged(result) == {entry.id for entry in stays}


def test_what_has_left_stays_in_its_place_whatever_its_grant() -> None:
    stage = Stage()
    by_it = stage.bob.data(put(stage.task, "f", 1), leaf=LOST)
    after = stage.bob.data(put(stage.task, "f", 2))
    result = made_of(stage, (0, 2), by_it, after)
    assert kept_by(result) is None
    assert {by_it.id, after.id} <= logged(result)


# It is said again.


def said_again(desk: Desk, signer: SeedSigner, kept: Entry) -> Entry:
    """What becomes of an own entry that was set aside."""
    recovery = Recovery(desk.node.replica.held, signer.public, WAIT_FOR_ONE, (kept,))
    _, (made,) = recovery.finish(signer, desk.mesh.id, lambda entry: entry.body)
    return made


def bobs_hand(desk: Desk) -> Hand:
    """Bob's, after what his node has written."""
    last = desk.node.log()[-1]
    mine = Hand(desk.bob.signer, desk.mesh, desk.bob.leaf)
    mine.tips[last.header.lane] = (last.header.seq, last.id, last.header.hlc)
    return mine


def test_it_is_signed_under_the_grant_of_the_node_and_of_no_other_session() -> None:
    desk = Desk()
    mine = bobs_hand(desk)
    caveats = ((CAVEAT_SESSION, session_id("other")),)
    desk.node.receive([mine.grant(mine.author, akind=SESSION, caveats=caveats)])
    made = said_again(desk, desk.bob.signer, mine.data(put(desk.task, "f", 1), leaf=LOST))
    assert made.header.leaf == desk.bob.leaf
    assert desk.value("f") == 1


def test_of_several_grants_it_is_one_under_which_it_counts() -> None:
    desk = Desk()
    mine = bobs_hand(desk)
    # Anybody may sign one to this key that allows next to nothing, and it may come first.
    desk.node.receive([desk.root.grant(desk.bob.author, perms=READ) for _ in range(3)])
    (_, first), *_ = desk.node.replica.held.ledger.grants_to(desk.bob.author)
    assert first.perms == READ
    data = mine.data(create(desk.task, own=(mine.author, 1)), put(desk.task, "f", 1), leaf=LOST)
    made = said_again(desk, desk.bob.signer, data)
    assert made.header.leaf == desk.bob.leaf
    assert desk.value("f") == 1


def test_a_roots_sessions_need_no_grant_of_its_node() -> None:
    desk = Desk()
    made = said_again(desk, desk.root.signer, desk.root.data(put(desk.task, "f", 1), leaf=LOST))
    assert made.header.leaf == b""
    judged, _ = desk.node.replica.held.ledger.judge(made.header, made.id)
    assert judged is Verdict.COUNTS


def test_acts_and_who_holds_no_other_grant_keep_the_one_they_name() -> None:
    desk = Desk()
    act = bobs_hand(desk).pin(desk.node.log()[0], leaf=LOST)
    assert said_again(desk, desk.bob.signer, act) == act
    carol = hand(desk.mesh, "carol")
    data = carol.data(put(desk.task, "f", 1), leaf=LOST)
    assert said_again(desk, carol.signer, data) == data


def test_what_a_root_says_by_itself_it_says_by_itself_again() -> None:
    desk = Desk()
    desk.node.receive([desk.root.grant(desk.root.author)])
    kept = desk.root.data(put(desk.task, "f", 1))
    assert kept.header.leaf == b""
    assert said_again(desk, desk.root.signer, kept) == kept


def test_what_is_signed_anew_rests_on_a_grant_that_is_in_time_by_then() -> None:
    desk = Desk()
    brief = desk.root.grant(desk.bob.author, exp_ms=desk.node.now.wall_ms + 1_000)
    mine = bobs_hand(desk)
    desk.node.receive([brief])
    kept = mine.data(put(desk.task, "f", 1), leaf=brief.id)
    desk.node.tick(2_000)
    # What its peers hold of the log in its place.
    desk.node.write(field_of(desk, "g", 2))
    made = said_again(desk, desk.bob.signer, kept)
    assert made.header.leaf == desk.bob.leaf
    assert desk.value("f") == 1


def test_what_is_as_it_was_keeps_a_grant_that_has_ended_since() -> None:
    desk = Desk()
    brief = desk.root.grant(desk.bob.author, exp_ms=desk.node.now.wall_ms + 1_000)
    kept = bobs_hand(desk).data(put(desk.task, "f", 1), leaf=brief.id)
    desk.node.receive([brief])
    desk.node.tick(2_000)
    desk.node.replica.held.clock.tick(desk.node.now.wall_ms)
    assert said_again(desk, desk.bob.signer, kept) == kept
    assert desk.value("f") == 1


@pytest.mark.parametrize(
    ("nbf", "exp", "serves"), [(1, 9, False), (0, 1, True), (-9, 1, True), (-9, 0, False)]
)
def test_a_grant_serves_from_its_first_millisecond_to_before_its_last(
    nbf: int, exp: int, serves: bool
) -> None:
    desk = Desk()
    mine = bobs_hand(desk)
    desk.node.tick(5_000)
    at = desk.node.now.wall_ms
    brief = desk.root.grant(desk.bob.author, nbf_ms=at + nbf, exp_ms=at + exp)
    desk.node.receive([brief])
    kept = mine.data(put(desk.task, "f", 1), leaf=brief.id)
    desk.node.write(field_of(desk, "g", 2))
    made = said_again(desk, desk.bob.signer, kept)
    assert made.header.hlc >> 16 == at
    assert made.header.leaf == (brief.id if serves else desk.bob.leaf)


def test_a_grant_that_covers_all_of_it_with_what_it_creates_is_looked_for() -> None:
    desk = Desk()
    carol = hand(desk.mesh, "carol")
    first, second = (
        desk.root.grant(carol.author, perms=perms) for perms in (READ | COMMENT, MEMBER)
    )
    desk.node.receive([first, second])
    born = create(desk.top, own=(carol.author, 1))
    said = carol.data(born, put(born.node, "f", 1), leaf=LOST)
    assert said_again(desk, carol.signer, said).header.leaf == second.id
    # Where none covers it, it is the first: it shows as void.
    void = carol.data(put(desk.task, "x", 1, ns=6), leaf=LOST)
    assert said_again(desk, carol.signer, void).header.leaf == first.id

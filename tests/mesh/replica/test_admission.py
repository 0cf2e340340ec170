"""What becomes of what a peer sends, as the sender's link is told of it."""

from __future__ import annotations

import pytest
from attrs import evolve

from capability.entry import LANE_AUTHORITY, LANE_DATA, Entry
from capability.keys import SeedSigner
from mesh.core.limits import REFUSALS_KEPT_MAX
from mesh.core.records import PutEntry
from mesh.replica.admission import Admission, BadEntry, Outcome, Refusal
from tests.mesh.replica.desk import Desk
from tests.mesh.replica.hand import Hand, hand, put
from tests.mesh.replica.stage import Stage
from tests.mesh.replica.world import new_mesh, node_of, seed


@pytest.fixture
def stage() -> Stage:
    return Stage()


def door(stage: Stage) -> Admission:
    return stage.node.replica.admission


def receive(stage: Stage, *entries: Entry) -> Outcome:
    batch = [entry.encode() for entry in entries]
    return door(stage).receive(batch, wall_ms=stage.node.now.wall_ms)


def data(stage: Stage, by: Hand | None = None, **where: object) -> Entry:
    return (by or stage.bob).data(put(stage.task, "f", 1), **where)  # type: ignore[arg-type]


def place(entry: Entry) -> tuple[bytes, int, int]:
    return entry.header.author, entry.header.lane, entry.header.seq


def test_what_continues_its_lane_is_held_and_recorded(stage: Stage) -> None:
    entries = [data(stage), data(stage)]
    last = stage.node.replica.table.last
    outcome = receive(stage, *entries)
    assert outcome.held == entries
    assert outcome.records == [
        PutEntry(last + at, entry, (stage.task,), own=False)
        for at, entry in enumerate(entries, start=1)
    ]
    brought = [place(entry) for entry in entries]
    assert outcome == Outcome(held=entries, records=outcome.records, brought=brought)


def test_what_is_known_is_only_shown(stage: Stage) -> None:
    carol = hand(stage.mesh, "carol")
    early = data(stage, carol)
    data(stage)
    behind = data(stage)
    receive(stage, early, behind)
    outcome = receive(stage, stage.first, behind, early)
    assert outcome == Outcome(
        shown=[place(stage.first), place(behind), place(early)], unknown={carol.author}
    )


def test_behind_a_gap_it_waits_until_the_gap_is_filled(stage: Stage) -> None:
    one, two, three = (data(stage) for _ in range(3))
    outcome = receive(stage, three, two)
    brought = [place(three), place(two)]
    assert outcome == Outcome(gaps={(stage.bob.author, LANE_DATA)}, brought=brought)
    # In the order of arrival: none is looked at again before the gap is filled.
    assert list(door(stage).deferred.entries) == [three.id, two.id]
    outcome = receive(stage, one)
    # Who brought the first has the others only if others have them from him.
    assert (outcome.held, outcome.brought) == ([one, two, three], [place(one)])
    assert len(door(stage).deferred) == 0


def test_of_a_stranger_it_waits_until_somebody_lets_him_in(stage: Stage) -> None:
    carol = hand(stage.mesh, "carol")
    grant = stage.root.grant(carol)
    first, second = data(stage, carol), data(stage, carol)
    pin = carol.pin(stage.first)
    outcome = receive(stage, second, first, pin)
    brought = [place(second), place(first), place(pin)]
    assert outcome == Outcome(unknown={carol.author}, brought=brought)
    outcome = receive(stage, grant)
    assert outcome.held == [grant, pin, first, second]
    assert outcome.introduced == [carol.author]
    assert len(door(stage).waiting) == 0
    assert stage.node.replica.held.newcomers == []


def test_what_stands_where_its_prev_should_is_told(stage: Stage) -> None:
    twin = stage.bob.twin()
    receive(stage, data(stage), data(stage))
    twin.data(put(stage.task, "g", 1))
    elsewhere = twin.data(put(stage.task, "g", 2))
    outcome = receive(stage, elsewhere)
    assert outcome == Outcome(mismatches={(stage.bob.author, LANE_DATA): elsewhere.header.seq - 1})
    assert elsewhere.id not in stage.node.replica.table.number


def test_a_fork_that_is_known_is_not_looked_for_above_it(stage: Stage) -> None:
    key = (stage.bob.author, LANE_DATA)
    early, twin, third = stage.bob.twin(), stage.bob.twin(), stage.bob.twin()
    main = [data(stage) for _ in range(3)]
    outcome = receive(stage, *main, twin.data(put(stage.task, "g", 1)))
    assert (outcome.forked, outcome.settled) == ([key], {key})
    third.data(put(stage.task, "h", 1))
    above = third.data(put(stage.task, "h", 2))
    assert receive(stage, above).mismatches == {}
    early.tips[LANE_DATA] = (0, stage.mesh.id, stage.first.header.hlc)
    early.data(put(stage.task, "k", 1))
    below = early.data(put(stage.task, "k", 2))
    assert receive(stage, below).mismatches == {key: 1}


def test_what_is_refused_for_good_is_told_why(stage: Stage) -> None:
    stale = data(stage, hlc=stage.first.header.hlc)
    outcome = receive(stage, stale)
    refusal = Refusal(*place(stale), "stamp not after the one before it")
    assert outcome == Outcome(refused=[refusal])
    assert door(stage).refusals == [refusal]
    with pytest.raises(BadEntry, match="another mesh"):
        receive(stage, new_mesh("other").genesis)


def test_refusals_are_kept_up_to_their_bound(stage: Stage) -> None:
    for number in range(REFUSALS_KEPT_MAX + 2):
        door(stage).refuse(stage.first, str(number), Outcome())
    kept = [refusal.reason for refusal in door(stage).refusals]
    assert kept == [str(number) for number in range(2, REFUSALS_KEPT_MAX + 2)]


def test_what_is_expected_is_taken_however_full_its_lane_is(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage.node.replica.held.ledger, "_branch_entries_max", 1)
    twins = [stage.bob.twin() for _ in range(3)]
    receive(stage, data(stage))
    branch = [twin.data(put(stage.task, "g", at)) for at, twin in enumerate(twins)]
    outcome = receive(stage, *branch[:2])
    assert [refusal.reason for refusal in outcome.refused] == ["lane is full"]
    stage.node.replica.held.expect([branch[2].id])
    assert receive(stage, branch[2]).held == [branch[2]]


def test_before_what_is_bad_all_is_held_and_nothing_after(stage: Stage) -> None:
    good, after = data(stage), data(stage)
    forged = evolve(after, signature=bytes(64))
    with pytest.raises(BadEntry) as caught:
        receive(stage, good, forged, after)
    assert caught.value.outcome.held == [good]
    assert caught.value.code == "bad_entry"
    assert after.id not in stage.node.replica.table.number


# One's own log.


def test_nobody_else_may_write_in_ones_own_log() -> None:
    desk = Desk()
    replica = desk.node.replica
    mine = Hand(desk.bob.signer, desk.mesh, desk.bob.leaf)
    own = desk.node.log()[-1]
    other = mine.data(put(desk.task, "f", 1))
    beyond = mine.data(put(desk.task, "f", 2))
    for entry in (other, beyond):
        outcome = replica.admission.receive([entry.encode()], wall_ms=desk.node.now.wall_ms)
        assert outcome.own_branch
        reason = "another branch of this node's own log"
        assert outcome.refused == [Refusal(*place(entry), reason)]
        assert outcome.held == [] and outcome.mismatches == {}
    mine.tips[LANE_DATA] = (own.header.seq, own.id, own.header.hlc)
    more = mine.data(put(desk.task, "f", 3))
    outcome = replica.admission.receive([more.encode()], wall_ms=desk.node.now.wall_ms)
    assert outcome.own_branch and outcome.held == [more]
    outcome = replica.admission.receive([own.encode()], wall_ms=desk.node.now.wall_ms)
    assert not outcome.own_branch
    twin = Hand(desk.root.signer, desk.mesh, b"").data(put(desk.task, "f", 4))
    outcome = replica.admission.receive([twin.encode()], wall_ms=desk.node.now.wall_ms)
    assert not outcome.own_branch


def test_what_waits_behind_a_branch_of_ones_own_log_is_not_looked_at_for_it() -> None:
    desk = Desk()
    admission, mine = desk.node.replica.admission, Hand(desk.bob.signer, desk.mesh, desk.bob.leaf)
    _, second, third, fourth = (mine.data(put(desk.task, "f", at)) for at in range(4))
    for entry in (third, fourth, second):
        outcome = admission.receive([entry.encode()], wall_ms=desk.node.now.wall_ms)
        assert outcome.own_branch
    assert [place(second)[2]] == [refusal.seq for refusal in outcome.refused]
    assert list(admission.deferred.entries) == [third.id, fourth.id]


# Proofs.


def test_a_proof_says_what_it_has_changed(stage: Stage) -> None:
    key = (stage.bob.author, LANE_DATA)
    first, second = (data(stage, stage.bob.twin(), session=bytes([at]) * 16) for at in (1, 2))
    halves = (first.signed_header, second.signed_header)
    outcome = door(stage).receive_proof(*halves)
    assert outcome == Outcome(forked=[key], settled={key})
    assert door(stage).receive_proof(*halves) == Outcome()
    assert key in stage.node.replica.held.moved


def test_a_proof_that_waits_above_another_entry_shows_an_earlier_fork(stage: Stage) -> None:
    key = (stage.bob.author, LANE_DATA)
    twin, far = stage.bob.twin(), stage.bob.twin()
    receive(stage, data(stage), data(stage))
    twin.data(put(stage.task, "g", 1))
    pair = [twin.twin().data(put(stage.task, "g", at)).signed_header for at in (2, 3)]
    outcome = door(stage).receive_proof(pair[0], pair[1])
    assert outcome == Outcome(mismatches={key: 2})
    for _ in range(4):
        far.data(put(stage.task, "h", 1))
    pair = [far.twin().data(put(stage.task, "h", at)).signed_header for at in (2, 3)]
    assert door(stage).receive_proof(pair[0], pair[1]) == Outcome()


def test_a_proof_that_proves_nothing_closes_the_link(stage: Stage) -> None:
    first, second = (data(stage, stage.bob.twin(), session=bytes([at]) * 16) for at in (1, 2))
    good, other = first.signed_header, second.signed_header
    for one, two in (
        (good, good),
        (good, stage.first.signed_header),
        (evolve(good, signature=bytes(64)), other),
        (good, evolve(other, signature=bytes(64))),
    ):
        with pytest.raises(BadEntry) as caught:
            door(stage).receive_proof(one, two)
        assert caught.value.outcome == Outcome()
    assert stage.node.replica.forked() == []


def test_a_proof_of_a_stranger_is_of_no_use_yet(stage: Stage) -> None:
    carol = hand(stage.mesh, "carol")
    halves = [data(stage, carol.twin(), session=bytes([at]) * 16).signed_header for at in (1, 2)]
    assert door(stage).receive_proof(halves[0], halves[1]) == Outcome()
    observer = node_of(stage.mesh, SeedSigner(seed("other")))
    assert observer.replica.forked() == []
    assert stage.node.replica.port.row(carol.author, LANE_AUTHORITY).seq == 0

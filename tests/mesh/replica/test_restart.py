"""A restart from the log, or from a snapshot and the tail, changes nothing for anybody."""

from __future__ import annotations

import pytest

from capability.entry import LANE_DATA, Entry
from capability.verdict import Reason, Verdict
from crdt.codec import decode, encode
from crdt.hlc import pack
from mesh.core.effects import Emit
from mesh.core.limits import SKEW_MS_MAX
from mesh.core.records import PutMeta, PutSnapshot
from mesh.replica import snapshot
from mesh.replica.recovery import META_BLOCKED, META_RECOVER, PARTED, WAIT_FOR_ONE
from tests.mesh.replica.checks import situation
from tests.mesh.replica.desk import Desk
from tests.mesh.replica.hand import Hand, hand, inc, put
from tests.mesh.replica.stage import Stage


def carol_of(stage: Stage) -> tuple[Hand, Entry]:
    carol = hand(stage.mesh, "carol")
    return carol, stage.root.grant(carol)


def test_the_tail_after_a_snapshot_is_folded_once() -> None:
    # A verdict that the tail changes makes Worknodes be folded again, from the whole log.
    stage = Stage()
    carol, grant = carol_of(stage)
    stage.node.receive([grant])
    second = stage.root.grant(carol)
    undecided = carol.data(inc(stage.task, "n", 1), leaf=second.id)
    stage.node.receive([undecided])
    stage.node.run(stage.node.replica.snapshot(least=1))
    stage.node.receive([second, stage.bob.data(inc(stage.task, "n", 10))])
    before = situation(stage.node)
    stage.node.reload()
    assert situation(stage.node) == before
    cell = stage.node.replica.store.cell(stage.task, (0, "n", 7))
    assert (cell.total, cell.writes) == (11, 2)  # type: ignore[union-attr]


def test_what_came_before_a_restart_is_not_told_again_and_what_comes_after_is() -> None:
    stage = Stage()
    stage.node.receive([stage.bob.data(inc(stage.task, "n", 1))])
    stage.node.reload()
    assert stage.node.replica.finish() == []
    entry = stage.bob.data(inc(stage.task, "n", 10))
    _, effects, _ = stage.node.replica.receive([entry.encode()], stage.node.now)
    told = [event for effect in effects if isinstance(effect, Emit) for event in effect.events]
    assert [(event.type, event.node) for event in told] == [("node.updated", stage.task)]


def test_a_proof_whose_entries_are_not_held_survives() -> None:
    stage = Stage()
    first, second = (stage.bob.twin().data(put(stage.task, "f", at)) for at in (1, 2))
    stage.node.receive([stage.bob.data(put(stage.task, "f", 3))])
    _, effects, _ = stage.node.replica.receive_proof(
        first.signed_header, second.signed_header, stage.node.now
    )
    stage.node.run(effects)
    before = situation(stage.node)
    assert stage.node.replica.forked() == [(stage.bob.author, 1)]
    stage.node.reload()
    assert situation(stage.node) == before


def test_a_proof_that_waited_for_its_prev_survives() -> None:
    stage = Stage()
    between = stage.bob.data(put(stage.task, "f", 0))
    first, second = (stage.bob.twin().data(put(stage.task, "f", at)) for at in (1, 2))
    replica = stage.node.replica
    _, effects, _ = replica.receive_proof(first.signed_header, second.signed_header, stage.node.now)
    assert effects == []
    stage.node.receive([between])
    before = situation(stage.node)
    assert replica.forked() == [(stage.bob.author, 1)]
    stage.node.reload()
    assert situation(stage.node) == before


def test_a_lesser_proof_of_the_same_fork_survives() -> None:
    stage = Stage()
    halves = sorted(
        (stage.bob.twin().data(put(stage.task, "f", at)).signed_header for at in range(4)),
        key=lambda half: half.id,
    )
    for pair in ((2, 3), (0, 1)):
        _, effects, _ = stage.node.replica.receive_proof(
            halves[pair[0]], halves[pair[1]], stage.node.now
        )
        stage.node.run(effects)
    before = situation(stage.node)
    stage.node.reload()
    assert situation(stage.node) == before


def test_what_was_folded_is_parked_after_the_clock_stepped_back() -> None:
    stage = Stage()
    far = pack(stage.node.now.wall_ms + 2 * SKEW_MS_MAX, 0)
    before = stage.node.replica.state_hash()
    stage.node.receive([stage.bob.data(inc(stage.task, "n", 1), hlc=far)])
    stage.node.tick(2 * SKEW_MS_MAX)
    stage.node.run(stage.node.replica.wake(stage.node.now))
    after = stage.node.replica.state_hash()
    assert after != before
    stage.node.run(stage.node.replica.snapshot(least=1))
    stage.node.tick(-2 * SKEW_MS_MAX)
    stage.node.reload()
    assert stage.node.replica.state_hash() == before
    stage.node.tick(2 * SKEW_MS_MAX)
    stage.node.run(stage.node.replica.wake(stage.node.now))
    assert stage.node.replica.state_hash() == after


@pytest.mark.parametrize("damage", ["version", "rules", "bytes", "ahead", "births", "worknodes"])
def test_a_snapshot_that_does_not_fit_is_not_used(damage: str) -> None:
    stage = Stage()
    before = situation(stage.node)
    (persist,) = stage.node.replica.snapshot(least=1)
    (record,) = persist.records  # type: ignore[union-attr]
    assert isinstance(record, PutSnapshot)
    value = decode(record.data, size_max=len(record.data), depth_max=32)
    assert isinstance(value, tuple)
    n, data = record.n, record.data
    match damage:
        case "version":
            data = encode((snapshot.FOLD_VERSION + 1, *value[1:]), depth_max=32)
        case "rules":
            data = encode((value[0], 99, *value[2:]), depth_max=32)
        case "bytes":
            data = data[:-1]
        case "births":
            data = encode((*value[:4], (encode(((b"n" * 16, b"p" * 16),)),), *value[5:]))
        case "worknodes":
            # The births are in the store by then.
            data = encode((*value[:5], (encode(((1, 2, 3),)),), *value[6:]))
        case _:
            n += 1
    stage.node.store.commit([PutSnapshot(n, data)])
    stage.node.reload()
    assert situation(stage.node) == before


def test_a_home_that_ran_twice_stays_stopped_whoever_holds_less_of_its_log() -> None:
    desk = Desk()
    node, head = desk.node, desk.node.log()[-1].signed_header
    marks = (PutMeta(META_BLOCKED, PARTED.encode()), PutMeta(META_RECOVER, WAIT_FOR_ONE))
    node.store.commit(marks)
    node.reload()
    assert node.replica.check_heads([None, head], desk.root.author) == ""
    node.run(node.replica.finish())
    assert node.replica.writer.blocked == PARTED


def test_a_fork_proof_outlasts_a_restart_while_its_author_is_not_introduced() -> None:
    """Else the two branches' author would write on when the grant to it counts again."""
    desk = Desk()
    ann, cec = hand(desk.mesh, "ann"), hand(desk.mesh, "cec")
    desk.node.receive([desk.root.grant(ann)])
    twin = ann.twin()
    desk.node.receive([granted := ann.grant(cec)])
    first, second = (cec.twin().data(put(desk.task, "f", at)) for at in (1, 2))
    desk.node.receive([first])
    _, effects, _ = desk.node.replica.receive_proof(
        first.signed_header, second.signed_header, desk.node.now
    )
    desk.node.run(effects)
    desk.node.receive([twin.grant(b"\1" * 32)])
    assert not desk.node.replica.held.ledger.introduced(cec.author)
    desk.node.reload()
    desk.node.receive([desk.root.pin(granted)])
    ledger = desk.node.replica.held.ledger
    assert ledger.introduced(cec.author)
    assert (cec.author, LANE_DATA) in desk.node.replica.forked()
    assert ledger.judge(first.header, first.id) == (Verdict.VOID, Reason.FORKED)
    before = desk.node.replica.frontier_hash()
    desk.node.reload()
    assert desk.node.replica.frontier_hash() == before

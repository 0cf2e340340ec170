"""A start from a snapshot, when what was folded in it rests on verdicts that are others now."""

from __future__ import annotations

from capability.entry import Entry
from crdt.hlc import pack
from mesh.core.limits import SKEW_MS_MAX
from mesh.worknode.cells import REGISTER, RegisterCell
from tests.mesh.replica.checks import observer, situation
from tests.mesh.replica.hand import create, hand, put
from tests.mesh.replica.stage import Stage
from tests.mesh.replica.world import Node


def value_of(node: Node, worknode: bytes) -> object:
    cell = node.replica.store.cell(worknode, (0, "f", REGISTER))
    return cell.value if isinstance(cell, RegisterCell) else None


def settled(stage: Stage, worknode: bytes, *more: Entry) -> tuple[object, object]:
    """The value at a snapshot, and after a start from it and what came since."""
    node = stage.node
    node.run(node.replica.snapshot(least=1))
    before = value_of(node, worknode)
    node.receive(more)
    running = situation(node)
    node.reload()
    assert situation(node) == running
    other = observer(stage.mesh)
    other.receive(node.log()[1:])
    assert other.replica.state_hash() == node.replica.state_hash()
    return before, value_of(node, worknode)


def born(stage: Stage) -> bytes:
    """A Worknode that no counted entry touches, and that all know."""
    op = create(stage.top, shared=b"lone")
    stage.node.receive([stage.root.data(op, leaf=b"\7" * 32)])
    return op.node


def test_what_counts_no_more_is_gone() -> None:
    stage = Stage()
    lone = born(stage)
    twin = stage.bob.twin()
    stage.node.receive([stage.bob.data(put(lone, "f", 1))])
    assert settled(stage, lone, twin.data(put(stage.task, "g", 1))) == (1, None)


def test_what_counts_only_now_is_there() -> None:
    stage = Stage()
    lone = born(stage)
    twin = stage.bob.twin()
    mine = stage.bob.data(put(lone, "f", 1))
    stage.node.receive([mine, twin.data(put(stage.task, "g", 1))])
    assert settled(stage, lone, stage.root.pin(mine)) == (None, 1)


def test_what_nobody_else_touches_is_there_once_it_counts() -> None:
    stage = Stage()
    op = create(stage.top, shared=b"new")
    twin = stage.bob.twin()
    mine = stage.bob.data(op, put(op.node, "f", 1))
    stage.node.receive([mine, twin.data(put(stage.task, "g", 1))])
    assert settled(stage, op.node, stage.root.pin(mine)) == (None, 1)


def test_what_is_parked_no_more_is_there() -> None:
    stage = Stage()
    lone = born(stage)
    far = pack(stage.node.now.wall_ms + 2 * SKEW_MS_MAX, 0)
    stage.node.receive([stage.bob.data(put(lone, "f", 1), hlc=far)])
    stage.node.run(stage.node.replica.snapshot(least=1))
    assert value_of(stage.node, lone) is None
    stage.node.tick(2 * SKEW_MS_MAX)
    stage.node.reload()
    assert value_of(stage.node, lone) == 1


def test_a_birth_that_is_required_only_now_lets_count_what_waited_for_it() -> None:
    stage = Stage()
    carol = hand(stage.mesh, "carol")
    op = create(stage.top, shared=b"new")
    twin = stage.bob.twin()
    mine = stage.bob.data(op)
    grant = stage.root.grant(carol)
    waits = carol.data(put(op.node, "f", 1))
    stage.node.receive([mine, twin.data(put(stage.task, "g", 1)), grant, waits])
    assert settled(stage, op.node, stage.root.pin(mine)) == (None, 1)


def test_what_rests_on_a_birth_that_is_required_no_more_waits_again() -> None:
    stage = Stage()
    carol = hand(stage.mesh, "carol")
    op = create(stage.top, shared=b"new")
    twin = stage.bob.twin()
    grant = stage.root.grant(carol)
    stage.node.receive([stage.bob.data(op), grant, carol.data(put(op.node, "f", 1))])
    assert settled(stage, op.node, twin.data(put(stage.task, "g", 1))) == (1, None)

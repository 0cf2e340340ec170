"""A start from a snapshot, when what was folded in it rests on verdicts that are others now."""

from __future__ import annotations

import pytest

from capability.entry import Entry
from crdt.codec import Value, decode, encode
from crdt.hlc import Clock, pack
from mesh.core.limits import SKEW_MS_MAX
from mesh.replica import snapshot
from mesh.replica.held import Held
from mesh.replica.snapshot import FOLD_VERSION, Basis, Unreadable
from mesh.worknode.cells import REGISTER, RegisterCell
from mesh.worknode.store import Store
from tests.mesh.replica.checks import observer, situation
from tests.mesh.replica.hand import create, hand, move, put
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


# By itself: what is in it, and what is not taken for one.

RULES = 7


def eventful() -> Stage:
    """A stage with something of each kind that a snapshot has."""
    stage = Stage()
    carol = hand(stage.mesh, "carol")
    below, unborn = create(stage.task, shared=b"below"), create(stage.top, shared=b"unborn")
    stage.node.receive(
        [
            stage.root.grant(carol),
            stage.bob.data(below, move(below.node, stage.top, b"\x40")),
            stage.bob.data(put(unborn.node, "f", 1), put(unborn.node, "g", 1)),
            stage.bob.data(put(stage.task, "f", 1), hlc=pack(stage.node.now.wall_ms * 2, 0)),
            carol.twin().data(put(stage.task, "f", 1)),
            carol.data(put(stage.task, "f", 2)),
        ]
    )
    return stage


def empty(stage: Stage) -> Held:
    """The log of *stage*, of which nothing is folded."""
    held = stage.node.replica.held
    store = Store(stage.top, held.table.order, held.table.dot_id)
    return Held(held.ledger, held.table, store, Clock(), held.reader, held.author)


def changed(data: bytes, at: int, value: Value) -> bytes:
    """The snapshot with another *value* in one place."""
    parts = decode(data, size_max=len(data))
    assert isinstance(parts, tuple)
    return encode((*parts[:at], value, *parts[at + 1 :]))


@pytest.mark.parametrize("page", [1, 3, 512])
def test_all_of_a_fold_comes_back(page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "_PAGE_ROWS", page)
    stage = eventful()
    held, found = stage.node.replica.held, empty(stage)
    table, births = held.table, held.store.births
    data = snapshot.dump(held, rules=RULES)
    basis = snapshot.restore(found, data, n=table.last, rules=RULES)
    parts = decode(data, size_max=len(data))
    assert isinstance(parts, tuple) and isinstance(parts[4], tuple)
    assert len(parts[4]) == -(-len(births) // page)
    assert basis == Basis(bytes(table.verdicts), bytes(table.required), frozenset(table.parked))
    assert 0 in basis.required[1:] and len(basis.parked) == 1
    assert len(births) == 2 and found.store.births == births
    assert dict(found.store.worknodes) == dict(held.store.worknodes)
    assert [found.store.parent(node) for node in births] == [stage.top] * 2
    assert list(map(len, held.fold.waiting.values())) == [2]
    assert found.fold.waiting == held.fold.waiting
    assert found.hash.leaves == held.hash.leaves
    found.hash.update(found.store)
    assert found.hash.value(1) == stage.node.replica.state_hash()


def test_what_is_of_another_version_or_length_is_not_touched() -> None:
    stage = eventful()
    held, found = stage.node.replica.held, empty(stage)
    last, good = held.table.last, snapshot.dump(held, rules=RULES)
    verdicts, required = bytes(held.table.verdicts), bytes(held.table.required)
    for data, n in (
        (changed(good, 0, FOLD_VERSION + 1), last),
        (changed(good, 1, RULES + 1), last),
        (changed(good, 2, (verdicts, required[1:])), last),
        (changed(good, 2, (verdicts[1:], required)), last),
        (good, last + 1),
        (good, last - 1),
        (good[:-1], last),
        (encode(7), last),
    ):
        assert snapshot.restore(found, data, n=n, rules=RULES) is None
    assert (found.store.births, dict(found.store.worknodes), found.fold.waiting) == ({}, {}, {})
    assert snapshot.restore(found, good, n=last, rules=RULES) is not None


@pytest.mark.parametrize("at", range(3, 7))
def test_what_says_to_be_of_this_version_and_is_not_is_told(at: int) -> None:
    stage = eventful()
    held = stage.node.replica.held
    bad = changed(snapshot.dump(held, rules=RULES), at, 7)
    with pytest.raises(Unreadable, match="TypeError: "):
        snapshot.restore(empty(stage), bad, n=held.table.last, rules=RULES)

"""The fold: whose entries a distance names, where a log has forked."""

from __future__ import annotations

import pytest

from capability.bodies import Scope
from capability.entry import LANE_DATA, Entry
from capability.ids import CLASS_SHARED
from capability.ops import OP_REGISTER, Op, Register
from mesh.replica import fold as module
from mesh.replica.judge import Judgement, judge
from mesh.worknode.cells import REGISTER, SET, DotCell, RegisterCell
from tests.mesh.replica.checks import observer
from tests.mesh.replica.hand import add, create, hand, inc, put, rem
from tests.mesh.replica.stage import Stage
from tests.mesh.replica.world import Node


def items(node: Node, task: bytes) -> list[object]:
    cell = node.replica.store.cell(task, (0, "s", SET))
    assert isinstance(cell, DotCell)
    return [value for _, value in cell.dots.values()]


@pytest.mark.parametrize("back", [1, 2, 3, 4])
@pytest.mark.parametrize("is_main", [False, True])
def test_an_own_entry_is_counted_back_to_along_the_branch(back: int, is_main: bool) -> None:
    """Whether the branch that stands is the main chain of a node or not."""
    stage = Stage()
    before = stage.bob.data(add(stage.task, "s", "before"))
    twin = stage.bob.twin()
    other = [stage.bob.data(add(stage.task, "s", f"other {n}")) for n in range(4)]
    branch = [twin.data(add(stage.task, "s", f"branch {n}")) for n in range(2)]
    # The first entry of all has its add behind a create and a field.
    branch.append(twin.data(rem(stage.task, "s", [(-back, 2 if back == 4 else 0)])))
    pin = stage.root.pin(branch[-1])
    node = observer(stage.mesh)
    node.receive(stage.node.log()[1:])
    main, side = (branch, other) if is_main else (other, branch)
    node.receive([before, *main, *side, pin])
    lane = node.replica.held.ledger.lane(stage.bob.author, LANE_DATA)
    assert lane is not None and lane.tip == tip_of(main[-1])
    named = ["a", "before", "branch 0", "branch 1"]
    del named[-back]
    assert items(node, stage.task) == named


def test_what_is_folded_again_is_told_to_nobody() -> None:
    stage = Stage()
    fold = stage.node.replica.held.fold
    before = stage.node.replica.state_hash()
    assert fold.drafts == []
    fold.fold_again([stage.task])
    assert fold.drafts == []
    assert not fold.is_quiet
    assert stage.node.replica.state_hash() == before


def test_what_waits_goes_up_its_path_without_being_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A member could let thousands wait, and show the path to them from below."""
    stage = Stage()
    births = [create(stage.top, shared=b"0")]
    for at in range(1, 4):
        births.append(create(births[-1].node, shared=b"%d" % at))
    stage.node.receive([stage.bob.data(put(births[-1].node, "f", at)) for at in range(3)])
    fold = stage.node.replica.held.fold

    def judged(*_: object, **__: object) -> None:
        raise AssertionError("judged")

    with monkeypatch.context() as patch:
        patch.setattr(module, "judge", judged)
        for at in (3, 2, 1):
            stage.node.receive([stage.root.data(births[at], leaf=b"\7" * 32)])
            assert {node: len(ops) for node, ops in fold.waiting.items()} == {
                births[at - 1].node: 3
            }
    stage.node.receive([stage.root.data(births[0])])
    assert fold.waiting == {}
    assert fold.undecided == 0


@pytest.mark.parametrize("before", [False, True])
def test_what_waits_counts_once_its_scope_is_reached(*, before: bool) -> None:
    """However much of the path beyond that is unknown, and whether or not others wait by then."""
    stage = Stage()
    high = create(stage.top, shared=b"high")
    scope = create(high.node, shared=b"scope")
    low, other = create(scope.node, shared=b"low"), create(high.node, shared=b"other")
    carol = hand(stage.mesh, "carol")
    steps = ((CLASS_SHARED, b"high"), (CLASS_SHARED, b"scope"))
    grant = stage.root.grant(carol, scopes=(Scope(0, steps, scope.node),))
    stage.node.receive([grant])
    fold = stage.node.replica.held.fold
    if before:
        stage.node.receive([stage.bob.data(put(other.node, "f", 1))])
        stage.node.receive([stage.root.data(other, leaf=b"\7" * 32)])
        assert list(fold.waiting) == [high.node]
    stage.node.receive([carol.data(put(low.node, "f", 1))])
    assert low.node in fold.waiting
    stage.node.receive([stage.root.data(low, leaf=b"\7" * 32)])
    assert fold.undecided == before
    cell = stage.node.replica.store.cell(low.node, (0, "f", REGISTER))
    assert isinstance(cell, RegisterCell) and cell.value == 1


def test_bodies_are_kept_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BODIES_MAX", 2)
    stage = Stage()
    fold = stage.node.replica.held.fold
    for n in (1, 2, 3, 3):
        entry = stage.node.log()[n - 1]
        assert fold._body(n, entry) == fold.data_of(entry)
    assert list(fold._bodies) == [2, 3]


def test_what_was_allowed_is_not_judged_again(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    # The Worknode of the stage is remembered, too.
    monkeypatch.setattr(module, "_ALLOWED_MAX", 3)
    made = [create(stage.top, shared=b"%d" % at) for at in range(3)]
    stage.node.receive([stage.root.data(*made)])
    one, two, three = (op.node for op in made)
    judged: list[bytes] = []

    def judging(op: Op, **what: object) -> Judgement:
        judged.append(op.node)
        return judge(op, **what)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "judge", judging)
    for node in (one, one, two, one, three, three):
        stage.node.receive([stage.bob.data(inc(node, "n", 1))])
    # When more than that were remembered it began anew.
    assert judged == [one, two, three, three]
    assert not stage.refused


def test_permissions_are_remembered_of_so_many_grants(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    monkeypatch.setattr(module, "_ALLOWED_GRANTS_MAX", 2)
    allowed = stage.node.replica.held.fold._allowed
    assert list(allowed) == [(stage.bob.leaf, stage.bob.author)]
    stage.node.receive([stage.root.data(inc(stage.task, "n", 1))])
    assert len(allowed) == 2
    carol = hand(stage.mesh, "carol")
    stage.node.receive([stage.root.grant(carol), carol.data(inc(stage.task, "n", 1))])
    assert list(allowed) == [(carol.leaf, carol.author)]


def test_before_the_first_entry_there_is_none_to_cite() -> None:
    stage = Stage()
    for back in (1, 2, 3):
        cited = Op(OP_REGISTER, 0, stage.task, ((-back, 5),), Register(0, "f", back))
        entry = stage.bob.twin().data(cited)
        assert entry.header.seq == 2
        node = observer(stage.mesh)
        node.receive([*stage.node.log()[1:], entry])
        refused = {} if back == 1 else {"cites an entry before the first": 1}
        assert node.replica.held.fold.refused == refused


def test_no_operation_is_older_than_time() -> None:
    stage = Stage()
    hlc = stage.first.header.hlc + 1
    for age in (hlc, hlc + 1):
        node = observer(stage.mesh)
        entry = stage.bob.twin().data(inc(stage.task, "n", 1, age=age), hlc=hlc)
        node.receive([*stage.node.log()[1:], entry])
        refused = {} if age == hlc else {"operation older than time": 1}
        assert node.replica.held.fold.refused == refused


def tip_of(entry: Entry) -> tuple[int, bytes]:
    return entry.header.seq, entry.id

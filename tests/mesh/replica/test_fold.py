"""The fold: whose entries a distance names, where a log has forked."""

from __future__ import annotations

import pytest

from capability.entry import LANE_DATA, Entry
from mesh.worknode.cells import SET, DotCell
from tests.mesh.replica.checks import observer
from tests.mesh.replica.hand import add, rem
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


def tip_of(entry: Entry) -> tuple[int, bytes]:
    return entry.header.seq, entry.id

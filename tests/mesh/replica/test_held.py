"""What is held, while a commit is under way in another thread."""

from __future__ import annotations

from capability.bodies import LIMIT_VOID_SUFFIX
from capability.entry import LANE_DATA
from capability.ids import root_worknode
from capability.ops import NS_PLAIN
from mesh.core.effects import Persist
from mesh.core.inputs import EVENTUAL, Submit
from mesh.core.writes import SetRegister
from tests.mesh.replica.checks import observer, situation
from tests.mesh.replica.hand import hand, put
from tests.mesh.replica.stage import Stage
from tests.mesh.replica.world import new_mesh, node_of


def test_an_entry_touches_once_whatever_has_come_of_its_commit() -> None:
    mesh = new_mesh()
    desk = node_of(mesh, mesh.root)
    root = root_worknode(mesh.id)
    desk.write(SetRegister(root, NS_PLAIN, "notes", "before"))
    before = desk.replica.held.touching(root)
    assert len(before) == 1

    write = SetRegister(root, NS_PLAIN, "notes", "now")
    effects = desk.replica.submit(Submit(99, (write,), EVENTUAL, ""), desk.now)
    effects += desk.replica.seal()
    uncommitted = desk.replica.held.touching(root)
    assert uncommitted == [*before, before[-1] + 1]
    # The transaction has ended, and the engine has not been told yet: readers come in between.
    desk.store.commit([r for e in effects if isinstance(e, Persist) for r in e.records])
    assert desk.replica.held.touching(root) == uncommitted
    desk.replica.held.committed()
    assert desk.replica.held.touching(root) == uncommitted


def test_a_lane_that_ends_elsewhere_has_another_row() -> None:
    """Though its author has not been dropped, and nothing of the lane itself has come."""
    stage = Stage(new_mesh("short", limits=((LIMIT_VOID_SUFFIX, 3),)))
    carol = hand(stage.mesh, "carol")
    twin = stage.bob.twin()
    grants = [stage.root.grant(carol), stage.bob.grant(carol.author)]
    own = carol.data(put(stage.task, "f", 0))
    others = [carol.data(put(stage.task, "f", at), leaf=grants[1].id) for at in range(1, 6)]
    stage.node.receive([*grants, own, *others])
    port = stage.node.replica.port
    assert port.row(carol.author, LANE_DATA).seq == 6
    # What passed it on has forked, so the second grant counts no more, nor what rests on it.
    stage.node.receive([twin.pin(stage.first)])
    assert port.row(carol.author, LANE_DATA).seq == 4
    before = situation(stage.node)
    stage.node.reload()
    assert situation(stage.node) == before
    other = observer(stage.mesh)
    other.receive([e for e in stage.node.log()[1:] if e not in others[3:]])
    assert other.replica.port.roots() == stage.node.replica.port.roots()

"""What is held, while a commit is under way in another thread."""

from __future__ import annotations

from capability.ids import root_worknode
from capability.ops import NS_PLAIN
from mesh.core.effects import Persist
from mesh.core.inputs import EVENTUAL, Submit
from mesh.core.writes import SetRegister
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

"""A member's node over a memory store, ready to be written on."""

from __future__ import annotations

from attrs import define, field

from capability.entry import Entry
from capability.ids import root_worknode
from mesh.core.effects import Effect, Persist
from mesh.core.inputs import EVENTUAL, Submit
from mesh.core.records import PutEntry
from mesh.core.writes import Create, SetRegister, Write
from mesh.replica.writer import Submitted
from tests.mesh.replica.checks import observer
from tests.mesh.replica.hand import Hand, hand, root_hand
from tests.mesh.replica.oracle import shown
from tests.mesh.replica.world import Mesh, Node, new_mesh, node_of


@define
class Desk:
    """Bob's node in a mesh where he is a member, with one task."""

    mesh: Mesh = field(factory=new_mesh)
    root: Hand = field(init=False)
    bob: Hand = field(init=False)
    node: Node = field(init=False)
    task: bytes = field(init=False)
    requests: int = 100

    def __attrs_post_init__(self) -> None:
        self.root = root_hand(self.mesh)
        self.bob = hand(self.mesh, "bob")
        self.node = node_of(self.mesh, self.bob.signer, [self.root.grant(self.bob)])
        reply = self.node.write(Create(self.top, "task", shared_key=b"task"))
        assert isinstance(reply, Submitted)
        (self.task,) = reply.created

    @property
    def top(self) -> bytes:
        return root_worknode(self.mesh.id)

    def submit(self, *writes: Write, level: str = EVENTUAL, session: str = "") -> list[Effect]:
        self.requests += 1
        request = Submit(self.requests, writes, level, session)
        return self.node.replica.submit(request, self.node.now)

    def value(self, name: str, kind: int = 3) -> object:
        cell = self.node.replica.store.cell(self.task, (0, name, kind))
        return cell.value  # type: ignore[union-attr]

    def agrees(self) -> None:
        """A node that gets this one's log, and this one after a restart, are of the same state."""
        other = observer(self.mesh)
        other.receive(self.node.log())
        assert shown(other.replica) == shown(self.node.replica)
        assert other.replica.state_hash() == self.node.replica.state_hash()
        self.node.reload()
        assert other.replica.state_hash() == self.node.replica.state_hash()


def entries_of(effects: list[Effect]) -> list[Entry]:
    records = [r for e in effects if isinstance(e, Persist) for r in e.records]
    return [r.entry for r in records if isinstance(r, PutEntry)]


def field_of(desk: Desk, name: str, value: int | str = 1) -> SetRegister:
    return SetRegister(desk.task, 0, name, value)

"""A mesh with one member's Worknode, and an observer to whom bad things are brought."""

from __future__ import annotations

from attrs import define, field

from capability.entry import Entry
from capability.ids import root_worknode
from tests.mesh.replica.checks import observer
from tests.mesh.replica.hand import Hand, add, create, hand, put, root_hand
from tests.mesh.replica.world import Mesh, Node, new_mesh


@define
class Stage:
    """A mesh in which Bob is a member and has one Worknode with a field and a set."""

    mesh: Mesh = field(factory=new_mesh)
    root: Hand = field(init=False)
    bob: Hand = field(init=False)
    node: Node = field(init=False)
    task: bytes = field(init=False)
    first: Entry = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.root = root_hand(self.mesh)
        self.bob = hand(self.mesh, "bob")
        self.node = observer(self.mesh)
        born = create(self.top, own=(self.bob.author, 1))
        self.task = born.node
        grant = self.root.grant(self.bob)
        self.first = self.bob.data(born, put(self.task, "f", "good"), add(self.task, "s", "a"))
        self.node.receive([grant, self.first])

    @property
    def top(self) -> bytes:
        return root_worknode(self.mesh.id)

    @property
    def refused(self) -> dict[str, int]:
        return self.node.replica.held.fold.refused

    def stays(self, *entries: Entry, reason: str = "") -> None:
        """They come in, the state is as before, the reason is counted; so also after a restart."""
        before = self.node.replica.state_hash()
        self.node.receive(entries)
        assert self.node.replica.state_hash() == before
        if reason:
            assert reason in self.refused
        self.node.reload()
        assert self.node.replica.state_hash() == before

    def offends(self, data: bytes) -> None:
        """The sender is to be cut off, and nothing of it is kept."""
        replica = self.node.replica
        before = replica.state_hash(), replica.counts()
        _, effects, offence = replica.receive([data], self.node.now)
        assert offence and effects == []
        assert (replica.state_hash(), replica.counts()) == before

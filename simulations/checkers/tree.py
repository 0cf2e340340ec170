"""
The tree has no cycle, and every Worknode stands in one place, at every state that is looked at.

After a step that brought moves a sample of the moved Worknodes is followed up to the root or the
trash. At rest the whole tree is: the children of all parents are those who name them as parent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from attrs import define

from capability.ids import TRASH
from capability.ops import OP_MOVE
from mesh.core.records import PutEntry, Record
from simulations.checkers.checker import Checker

if TYPE_CHECKING:
    from simulations.host import Host

#: One in so many moves is followed at once: looking makes the store redo what it would put off.
SAMPLE_ONE_IN: Final = 7


@define(eq=False)
class Tree(Checker):
    """Follows Worknodes upwards."""

    NAME: ClassVar[str] = "tree"

    _moves: int = 0

    def recorded(self, host: Host, records: Sequence[Record]) -> None:
        if not host.is_honest or not host.is_up:
            return
        operations = self.world.reading.operations
        for record in records:
            if type(record) is PutEntry:
                for op in operations(record.entry):
                    if op is not None and op.code == OP_MOVE:
                        self._moves += 1
                        if self._moves % SAMPLE_ONE_IN == 0:
                            self._follow(host, op.node, {})

    def quiesced(self) -> None:
        for host in self.world.honest:
            store = host.running.replica.store
            done: dict[bytes, None] = {}
            for node in store.births:
                self._follow(host, node, done)
                self.checks += 1
                parent = store.tree.parent(node)
                assert parent is not None, "what was born has a parent"
                if node not in store.tree.family(parent):
                    self.object(host, f"{node.hex()[:8]} is no child of its parent")
            parents = {store.tree.parent(node) for node in store.births}
            children = sum(len(store.tree.family(one)) for one in parents if one is not None)
            self.checks += 1
            if children != len(store.births):
                self.object(host, f"{len(store.births)} Worknodes stand in {children} places")

    def _follow(self, host: Host, node: bytes, done: dict[bytes, None]) -> None:
        """Walk up to the root, the trash, or the birth that is not known yet."""
        self.checks += 1
        store = host.running.replica.store
        path: dict[bytes, None] = {}
        at: bytes | None = node
        while at is not None and at not in done and at not in (store.root, TRASH):
            if at in path:
                self.object(host, f"{node.hex()[:8]} is above itself")
            path[at] = None
            at = store.tree.parent(at)
        done.update(path)

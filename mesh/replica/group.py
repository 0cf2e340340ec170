"""
The open group: local writes that will become one signed entry.

A group is a maximal run of writes with the same leaf and session. Its operations are folded as
they come, under a provisional local number, so that the next write sees them; sealing gives the
entry its id. Between opening and sealing nothing else is folded.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from capability.authority import Authority
from capability.data_body import build_data, encode_data
from capability.limits import REFS_MAX
from capability.ops import Op, WireDot
from crdt import tree
from mesh.core.limits import GROUP_BYTES_MAX, GROUP_OPS_MAX
from mesh.replica.drafts import EventDrafts, Facts
from mesh.replica.fold import Context
from mesh.replica.table import EntryTable
from mesh.worknode.cells import Dot, dot_entry, dot_index


@define
class Group:
    """Operations of one coming entry, already folded."""

    facts: Facts
    session: bytes
    authority: Authority
    table: EntryTable
    ops: list[Op] = field(factory=list)
    refs: list[bytes] = field(factory=list)
    moves: list[tuple[tree.Move, int, Dot]] = field(factory=list)
    #: (request, created ids) to answer once the entry is durable.
    replies: list[tuple[int, tuple[bytes, ...]]] = field(factory=list)
    sealed_slots: list[int] = field(factory=list)
    size: int = 0
    events: EventDrafts = field(init=False)
    context: Context = field(init=False)
    _ref_at: dict[bytes, int] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.events = EventDrafts(self.facts, self.session)
        self.context = Context(self.facts, self.session, self.refs, self.authority, [], self.events)

    def fits(self, authority: Authority, session: bytes, writes: int, size: int) -> bool:
        """Whether more writes of this leaf and session may join the group."""
        return (
            authority.leaf == self.authority.leaf
            and session == self.session
            and len(self.ops) + writes <= GROUP_OPS_MAX
            and self.size + size <= GROUP_BYTES_MAX
            and len(self.refs) < REFS_MAX // 2
        )

    def cite(self, dots: Sequence[Dot]) -> tuple[WireDot, ...]:
        """Local dots as wire dots of this entry, ascending; its references grow as needed."""
        return tuple(sorted((self._reference(dot_entry(at)), dot_index(at)) for at in dots))

    def _reference(self, n: int) -> int:
        if n == self.facts.n:
            return 0
        entry_id = self.table.ids[n]
        at = self._ref_at.get(entry_id)
        if at is None:
            self.refs.append(entry_id)
            at = self._ref_at[entry_id] = len(self.refs)
        return at

    def body(self) -> tuple[bytes, tuple[bytes, ...]]:
        """The encoded body and the Worknodes that it touches."""
        data = build_data(self.ops, session=self.session, refs=tuple(self.refs))
        return encode_data(data), data.nodes

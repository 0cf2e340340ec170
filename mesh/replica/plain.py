"""
The hot path of the fold: an entry's plain register writes, judged and joined as a whole.

All operations of an entry share author, leaf, session and seq, so what `judge` asks of each is
asked once per field and once per Worknode. Only where every answer is yes do they go this way;
otherwise nothing is done, and each is looked at by itself, as all other operations always are.
A test shows that both ways give the same state, events and refusals.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from attrs import define, field

from capability.authority import Authority
from capability.data_body import Data
from capability.ops import NS_SELF, OP_REGISTER
from mesh.replica.drafts import Facts
from mesh.replica.judge import NAMESPACE_PERMS
from mesh.worknode.store import Births, Store

#: Worknodes that are remembered to lie in the scope of a grant, of all grants together: anybody may
#: sign as many of these as he likes. A guess: 15 MB at most.
_COVERED_MAX = 131_072
_NOTHING: Final = frozenset[bytes]()


@define
class Coverage:
    """
    Worknodes known to lie in the scopes of a grant.

    Births and the bytes of a grant never change, so a yes stands for ever; a no is not remembered.
    """

    _covered: dict[bytes, set[bytes]] = field(factory=dict)
    _count: int = 0

    def covers(self, authority: Authority, nodes: tuple[bytes, ...], births: Births) -> bool:
        """Whether all of *nodes* are known to lie in scope. Cost: O(nodes), new ones O(depth)."""
        known = self._covered.get(authority.leaf, _NOTHING)
        if known.issuperset(nodes):
            return True
        stop = frozenset(authority.scopes)
        found = [node for node in nodes if node not in known]
        if not all(births.missing_ancestor(node, stop)[0] for node in found):
            return False
        if self._count + len(found) > _COVERED_MAX:
            self._covered.clear()
            self._count = 0
        self._covered.setdefault(authority.leaf, set()).update(found)
        self._count += len(found)
        return True


def fields_count(
    authority: Authority, fields: Iterable[tuple[int, str]], *, session: bytes, seq: int
) -> bool:
    """Whether a write to each (namespace, name) is permitted to others than a Worknode's owner."""
    for ns, name in fields:
        # The namespace SELF is the owner's alone, whatever else is granted.
        if ns == NS_SELF or not authority.perms & NAMESPACE_PERMS[ns]:
            return False
        denied = authority.denies(op_code=OP_REGISTER, field=name, session=session, seq=seq)
        if denied is not None:
            return False
    return True


@define
class PlainFold:
    """Folds entries of plain register writes of which every one counts."""

    store: Store
    coverage: Coverage = field(factory=Coverage)

    def fold(
        self, facts: Facts, data: Data, authority: Authority, births: Births
    ) -> Iterator[tuple[bytes, str]] | None:
        """
        Join the plain register writes of an entry that counts.

        Returns:
            The fields written, as (Worknode, name); None, with nothing changed, if it has none or
            one of them may not count. Cost: 1 µs per operation.
        """
        columns = data.registers
        if columns is None or max(columns.ages) > facts.hlc:
            return None
        fields = {
            (ns, data.names[at]) for ns, at in zip(columns.spaces, columns.names, strict=True)
        }
        if not fields_count(authority, fields, session=data.session, seq=facts.seq):
            return None
        if not self.coverage.covers(authority, data.nodes, births):
            return None
        self.store.put_all(facts.n, facts.hlc, data.nodes, data.names, columns)
        nodes = map(data.nodes.__getitem__, columns.nodes)
        return zip(nodes, map(data.names.__getitem__, columns.names), strict=True)

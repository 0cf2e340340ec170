"""
The state hash: what two replicas compare to know that they hold the same state.

    leaf(node) = BLAKE2b-256(domain ‖ encode([id, creates, place, cells]))   if it is not empty
    state      = BLAKE2b-256(domain ‖ rules ‖ sum of all leaves mod 2**256)

It is additive, so that a change costs one leaf, and lazy, so that a burst of writes costs one. It
finds bugs; no decision about security rests on it, since sums of hashes can be forged.

Source: docs/formats-state.md §State hash.
"""

from __future__ import annotations

from attrs import define, field

from capability.ids import DOMAIN_STATE, digest
from crdt.codec import INT_MAX, Value, encode
from mesh.worknode.cells import CounterCell, DotCell, RegisterCell
from mesh.worknode.store import Store, Worknode

_MODULUS = 1 << 256
#: A field's value nests 13 deep and stands 5 deep in a leaf.
_DEPTH_MAX = 24


def _cells(store: Store, record: Worknode) -> Value:
    rows: list[Value] = []
    for key in sorted(record.cells):
        cell = record.cells[key]
        if cell.empty():
            continue
        content: Value
        match cell:
            case RegisterCell(hlc, at, value):
                content = (store.dot_id(at), hlc, value)
            case DotCell(dots):
                content = tuple(
                    sorted((store.dot_id(at), hlc, value) for at, (hlc, value) in dots.items())
                    if len(dots) > 1
                    else [(store.dot_id(at), hlc, value) for at, (hlc, value) in dots.items()]
                )
            case CounterCell(total, writes):
                # A sum may leave the range of the codec's integers: then it is text.
                content = (total if abs(total) <= INT_MAX else str(total), writes)
        rows.append((*key, content))
    return tuple(rows)


def leaf(store: Store, node: bytes) -> bytes | None:
    """The hash of one Worknode; None when nothing of it is in the state."""
    record = store.worknodes.get(node)
    if record is None:
        return None
    creates: Value = tuple(
        sorted(
            (store.dot_id(at), c.kind, c.schema, c.mode, c.position, c.hlc)
            for at, c in record.creates.items()
        )
    )
    cells = _cells(store, record)
    moved = store.tree.position(node)
    place: Value = None if moved is None else (store.tree.parent(node), moved)
    if not creates and not cells and place is None:
        return None
    return digest(DOMAIN_STATE, encode((node, creates, place, cells), depth_max=_DEPTH_MAX))


@define
class StateHash:
    """The running sum over leaves."""

    total: int = 0
    leaves: dict[bytes, bytes] = field(factory=dict)

    def update(self, store: Store) -> None:
        """Hash what was touched since the last call. Cost: O(touched Worknodes)."""
        tree = store.tree  # brought up to date by this, which may make more of them dirty
        assert tree is not None
        for node in store.dirty:
            old = self.leaves.pop(node, None)
            if old is not None:
                self.total -= int.from_bytes(old, "big")
            new = leaf(store, node)
            if new is not None:
                self.leaves[node] = new
                self.total += int.from_bytes(new, "big")
        store.dirty.clear()
        self.total %= _MODULUS

    def start(self, total: int) -> None:
        """Take over the sum of `leaves`, which a snapshot has given."""
        self.total = total % _MODULUS

    def value(self, rules: int) -> bytes:
        """The state hash, labelled with the rules version."""
        return digest(DOMAIN_STATE, encode(rules) + self.total.to_bytes(32, "big"))

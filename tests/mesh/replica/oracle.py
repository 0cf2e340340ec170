"""
The state by its definitions: a SET of entries and fork proofs in, the whole state out, no order.

Slow and plain on purpose, and written without the fold that it judges: it shares the decoders with
it and takes the verdicts on entries from their own oracle.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from attrs import define, field

from capability import ops, permissions
from capability.data_body import Data, decode_data, parse_op
from capability.entry import KIND_DATA, Entry
from capability.errors import FormError
from capability.ids import TRASH, root_worknode
from capability.ops import Op, WireDot
from capability.verdict import Verdict
from crdt.codec import Value, encode
from mesh.replica.replica import Replica
from mesh.worknode.cells import CounterCell, DotCell, RegisterCell
from tests.capability.oracle import Proof, Result, evaluate, grant_of

SKEW_MS = 60_000
#: A Worknode in canonical form: creates, place, cells.
Shape = tuple[Value, Value, Value]
#: What orders operations: (hlc, author, seq, entry id, index).
Key = tuple[int, bytes, int, bytes, int]
NS_BITS = {0: "WRITE", 1: "WRITE", 2: "COMMENT", 3: "PLAN", 4: "APPROVE", 5: "OWN", 6: "ADMIN"}


@define
class _Node:
    creates: list[tuple[Value, ...]] = field(factory=list)
    place: Value = None
    cells: dict[tuple[int, str, int], list[tuple[Value, ...]]] = field(factory=dict)
    kills: set[tuple[tuple[int, str, int], bytes]] = field(factory=set)


class Oracle:
    """Everything that follows from a set of entries at a wall time."""

    def __init__(
        self, mesh_id: bytes, entries: Iterable[Entry], proofs: Iterable[Proof], wall_ms: int
    ) -> None:
        given = {entry.id: entry for entry in entries}
        self.mesh_id, self.wall_ms = mesh_id, wall_ms
        self.root = root_worknode(mesh_id)
        self.result: Result = evaluate(mesh_id, given.values(), proofs)
        self.entries = {i: given[i] for i in self.result.held}
        self.bodies = {i: _body(entry) for i, entry in self.entries.items()}
        self.births: dict[bytes, ops.Create] = {}
        for entry_id, body in self.bodies.items():
            for op in _ops(body) if entry_id in self.result.required else ():
                if op is not None and isinstance(op.payload, ops.Create):
                    self.births[op.node] = op.payload
        self.nodes: dict[bytes, _Node] = {}
        self.undecided = 0
        self._fold()

    def parked(self, entry: Entry) -> bool:
        header = entry.header
        return header.lane == 1 and header.hlc >> 16 > self.wall_ms + SKEW_MS

    def _fold(self) -> None:
        moves: list[tuple[Key, Op]] = []
        for entry_id, body in self.bodies.items():
            entry = self.entries[entry_id]
            counts = self.result.verdicts[entry_id] is Verdict.COUNTS
            if body is None or not counts or self.parked(entry):
                continue
            for index, op in enumerate(_ops(body)):
                if op is None or not self.may(entry, body, op):
                    continue
                header = entry.header
                key = (header.hlc - op.age, header.author, header.seq, entry_id, index)
                if isinstance(op.payload, ops.Move):
                    moves.append((key, op))
                else:
                    self._join(entry, body, op, key)
        place = {node: (birth.parent, None) for node, birth in self.births.items()}
        for _, op in sorted(moves, key=lambda item: item[0]):
            assert isinstance(op.payload, ops.Move)
            here: bytes | None = op.payload.parent
            while here is not None and here != op.node:
                here = place.get(here, (None, None))[0]  # type: ignore[assignment]
            if here is None:
                place[op.node] = (op.payload.parent, op.payload.pos)  # type: ignore[assignment]
                self.node(op.node).place = place[op.node]

    def node(self, node: bytes) -> _Node:
        return self.nodes.setdefault(node, _Node())

    def _join(
        self, entry: Entry, body: Data, op: Op, key: tuple[int, bytes, int, bytes, int]
    ) -> None:
        at = _dot(entry.id, key[4])
        node, payload = self.node(op.node), op.payload
        if isinstance(payload, ops.Create):
            shown = (payload.kind, payload.schema, payload.mode, payload.pos)
            node.creates.append((at, *shown, key[0]))
            return
        assert not isinstance(payload, ops.Move | ops.Reserved | ops.EmitEvent)
        cell = (payload.ns, payload.name, ops.OP_ADD if op.code == ops.OP_REMOVE else op.code)
        for dot in getattr(payload, "kills", ()):
            target = self.named(entry, body, dot)
            assert target is not None
            node.kills.add((cell, target))
        value = getattr(payload, "value", getattr(payload, "amount", None))
        if op.code != ops.OP_REMOVE:
            node.cells.setdefault(cell, []).append((key, at, value))

    def named(self, entry: Entry, body: Data, dot: WireDot) -> bytes | None:
        """The dot's name, None if it names a seq below 1."""
        r, index = dot
        if r > 0:
            return _dot(body.refs[r - 1], index)
        here = entry
        for _ in range(-r):
            if here.header.seq == 1:
                return None
            here = self.entries[here.header.prev]
        return _dot(here.id, index)

    # -- who may ----------------------------------------------------------------------------------

    def may(self, entry: Entry, body: Data, op: Op) -> bool:
        """Whether a well-formed op of a counted entry counts."""
        strict = op.code in (1, 2, 9, 10, 11, 13)
        dots = (*op.cites, *getattr(op.payload, "kills", ()))
        if isinstance(op.payload, ops.Reserved | ops.EmitEvent) or (strict and op.age):
            return False
        if op.age > entry.header.hlc or any(-r >= entry.header.seq for r, _ in dots):
            return False
        perms, scopes, caveats = self.authority(entry)
        for key, value in caveats:
            name = getattr(op.payload, "name", None)
            seen = {4: op.code, 5: name, 8: body.session}
            if key == 6:
                good = entry.header.seq <= value  # type: ignore[operator]
            elif key == 7:
                good = True
            elif key == 8:
                good = value == body.session
            else:
                assert key in (4, 5) and isinstance(value, tuple)
                good = seen[key] is None or seen[key] in value
            if not good:
                return False
        return self.permitted(entry.header.author, op, perms, scopes)

    def authority(self, entry: Entry) -> tuple[int, set[bytes], list[tuple[int, Value]]]:
        if not entry.header.leaf:
            return permissions.ALL, {self.root}, []
        leaf = grant_of(self.entries[entry.header.leaf])
        assert leaf is not None
        caveats: list[tuple[int, Value]] = []
        here = entry.header.leaf
        while here:
            grant = grant_of(self.entries[here])
            assert grant is not None
            caveats += [pair for pair in grant.caveats if pair[0] not in (9, 10, 11)]
            here = self.entries[here].header.leaf
        return leaf.perms, {scope.id for scope in leaf.scopes}, caveats

    def permitted(self, author: bytes, op: Op, perms: int, scopes: set[bytes]) -> bool:
        def has(name: str) -> bool:
            return bool(perms & permissions.parse(name))

        match op.payload:
            case ops.Create(parent=parent, key_class=key_class, key=key):
                own = key_class == 0 and key[:32] == author
                return has("CREATE" if own else "WRITE") and self.under(parent, scopes)
            case ops.Move(parent=parent) if parent == TRASH:
                return op.node != self.root and has("ARCHIVE") and self.under(op.node, scopes)
            case ops.Move(parent=parent):
                both = [self.under(op.node, scopes), self.under(parent, scopes)]
                return op.node != self.root and has("WRITE") and all(both)
            case payload:
                ns: int = payload.ns  # type: ignore[union-attr]
        birth = self.births.get(op.node)
        own = birth is not None and birth.key_class == 0 and birth.key[:32] == author
        by_owning = ns in (0, 1, 2, 5) and own and has("OWN")
        by_right = ns != 5 and has(NS_BITS[ns])
        return (by_owning or by_right) and self.under(op.node, scopes)

    def under(self, node: bytes, scopes: set[bytes]) -> bool:
        while node not in scopes:
            if node not in self.births:
                return False
            node = self.births[node].parent
        return True

    # -- what stands ------------------------------------------------------------------------------

    def state(self) -> dict[bytes, Shape]:
        """Each Worknode that is not empty, in the order and form of the state hash."""
        found = {}
        for node_id, node in self.nodes.items():
            cells = []
            for cell, adds in sorted(node.cells.items()):
                live = [a for a in adds if (cell, a[1]) not in node.kills]
                if cell[2] == ops.OP_REGISTER:
                    key, at, value = max(adds)
                    cells.append((*cell, (at, key[0], value)))  # type: ignore[index]
                elif cell[2] == ops.OP_INCREMENT:
                    total = sum(a[2] for a in adds)  # type: ignore[misc]
                    cells.append((*cell, (_total(total), len(adds))))
                elif live:
                    rows = sorted((a[1], a[0][0], a[2]) for a in live)
                    cells.append((*cell, tuple(rows)))
            shape = (tuple(sorted(node.creates)), node.place, tuple(cells))
            if any(shape):
                found[node_id] = shape
        return found

    def state_hash(self) -> bytes:
        domain = b"worknode-mesh/v1/state\0"
        total = 0
        for node, (creates, place, cells) in self.state().items():
            leaf = hashlib.blake2b(domain + encode((node, creates, place, cells)), digest_size=32)
            total += int.from_bytes(leaf.digest(), "big")
        data = domain + encode(1) + (total % 2**256).to_bytes(32, "big")
        return hashlib.blake2b(data, digest_size=32).digest()


def _body(entry: Entry) -> Data | None:
    if entry.header.kind != KIND_DATA:
        return None
    try:
        return decode_data(entry.body)
    except FormError:
        return None


def _ops(body: Data | None) -> list[Op | None]:
    return [] if body is None else [parse_op(body, index) for index in range(len(body.ops))]


def _total(total: int) -> Value:
    return total if abs(total) < 2**63 else str(total)


def _dot(entry_id: bytes, index: int) -> bytes:
    return entry_id + index.to_bytes(2, "big")


def shown(replica: Replica) -> dict[bytes, Shape]:
    """A replica's state in the oracle's form."""
    store = replica.store
    found = {}
    for node, record in store.worknodes.items():
        creates = sorted(
            (store.dot_id(at), c.kind, c.schema, c.mode, c.position, c.hlc)
            for at, c in record.creates.items()
        )
        cells: list[Value] = []
        for key, cell in sorted(record.cells.items()):
            match cell:
                case RegisterCell(hlc, at, value):
                    cells.append((*key, (store.dot_id(at), hlc, value)))
                case CounterCell(total, writes):
                    cells.append((*key, (_total(total), writes)))
                case DotCell(dots) if dots:
                    rows = [(store.dot_id(at), hlc, value) for at, (hlc, value) in dots.items()]
                    cells.append((*key, tuple(sorted(rows, key=lambda row: row[0]))))
        position = store.tree.position(node)
        place = None if position is None else (store.parent(node), position)
        shape: Shape = (tuple(creates), place, tuple(cells))
        if any(shape):
            found[node] = shape
    return found

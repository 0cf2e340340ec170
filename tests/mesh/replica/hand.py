"""Hands that write signed entries by themselves, honest or not, past every check of the replica."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, evolve, field

from capability import ops, permissions
from capability.bodies import MEMBER, Grant, Pin, PinRow, Scope
from capability.data_body import build_data, encode_data
from capability.entry import (
    KIND_DATA,
    KIND_GRANT,
    KIND_PIN,
    LANE_AUTHORITY,
    LANE_DATA,
    Entry,
    make_entry,
)
from capability.form import Value
from capability.ids import CLASS_OWN, CLASS_SHARED, own_key, root_worknode, worknode_id
from capability.keys import SeedSigner
from capability.limits import NEVER_MS
from capability.ops import Op, WireDot
from crdt.hlc import pack
from tests.mesh.replica.world import TODAY_MS, Mesh, seed

Tip = tuple[int, bytes, int]


@define
class Hand:
    """One author at the ends of its lanes; `twin` goes on from the same place and so forks."""

    signer: SeedSigner
    mesh: Mesh
    leaf: bytes = b""
    tips: dict[int, Tip] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if not self.tips:
            start = (0, self.mesh.id, pack(TODAY_MS, 0))
            self.tips = {LANE_AUTHORITY: start, LANE_DATA: start}

    @property
    def author(self) -> bytes:
        return self.signer.public

    def twin(self) -> Hand:
        return evolve(self, tips=dict(self.tips))

    def write(
        self,
        kind: int,
        body: bytes,
        *,
        leaf: bytes | None = None,
        hlc: int | None = None,
        skip: int = 0,
        prev: bytes | None = None,
        mesh_id: bytes | None = None,
    ) -> Entry:
        """The next entry of its lane; *skip* leaves a gap, *prev* names something else."""
        lane = LANE_DATA if kind >= KIND_DATA else LANE_AUTHORITY
        seq, last, stamp = self.tips[lane]
        entry = make_entry(
            self.signer,
            mesh_id=self.mesh.id if mesh_id is None else mesh_id,
            lane=lane,
            seq=seq + 1 + skip,
            prev=last if prev is None else prev,
            hlc=stamp + 1 if hlc is None else hlc,
            kind=kind,
            leaf=self.leaf if leaf is None else leaf,
            body=body,
        )
        self.tips[lane] = (entry.header.seq, entry.id, entry.header.hlc)
        return entry

    def data(
        self, *listed: Op, session: bytes = b"", refs: Sequence[bytes] = (), **where: object
    ) -> Entry:
        body = encode_data(build_data(listed, session=session, refs=tuple(refs)))
        return self.write(KIND_DATA, body, **where)  # type: ignore[arg-type]

    def grant(
        self, to: Hand | bytes, *, entry: dict[str, object] | None = None, **what: object
    ) -> Entry:
        """Pass on a member's rights at the root, but for what *what* says otherwise."""
        fields: dict[str, object] = {
            "audience": to.author if isinstance(to, Hand) else to,
            "akind": MEMBER,
            "scopes": (Scope(0, (), root_worknode(self.mesh.id)),),
            "perms": permissions.MEMBER,
            "max_depth": 8,
            "nbf_ms": 0,
            "exp_ms": NEVER_MS,
            "caveats": (),
            "label": "",
        }
        body = Grant(**(fields | what)).encode()  # type: ignore[arg-type]
        made = self.write(KIND_GRANT, body, **(entry or {}))  # type: ignore[arg-type]
        if isinstance(to, Hand) and not to.leaf:
            to.leaf = made.id
        return made

    def pin(self, tip: Entry, **where: object) -> Entry:
        at = (tip.header.seq, tip.id)
        auth, data = (None, at) if tip.header.lane == LANE_DATA else (at, None)
        body = Pin((PinRow(tip.header.author, auth, data),), 0).encode()
        return self.write(KIND_PIN, body, **where)  # type: ignore[arg-type]


def root_hand(mesh: Mesh) -> Hand:
    """The root's hand, after its genesis and grants."""
    last = mesh.grants[-1] if mesh.grants else mesh.genesis
    at = (last.header.seq, last.id, last.header.hlc)
    start = (0, mesh.id, pack(TODAY_MS, 0))
    return Hand(mesh.root, mesh, b"", {LANE_AUTHORITY: at, LANE_DATA: start})


def hand(mesh: Mesh, name: str) -> Hand:
    """A hand that holds no grant yet."""
    return Hand(SeedSigner(seed(name)), mesh)


def create(
    parent: bytes,
    *,
    shared: bytes | None = None,
    own: tuple[bytes, int] | None = None,
    kind: str = "task",
    age: int = 0,
    pos: bytes = b"",
) -> Op:
    """A create by a shared key, or by an (author, number)'s own."""
    if shared is not None:
        key_class, key = CLASS_SHARED, shared
    else:
        assert own is not None
        key_class, key = CLASS_OWN, own_key(own[0], own[1].to_bytes(16, "big"))
    node = worknode_id(parent, key_class, key)
    payload = ops.Create(parent, key_class, key, kind, 1, ops.MODE_AP, pos)
    return Op(ops.OP_CREATE, age, node, (), payload)


def move(node: bytes, parent: bytes, pos: bytes = b"", age: int = 0) -> Op:
    return Op(ops.OP_MOVE, age, node, (), ops.Move(parent, pos))


def put(node: bytes, name: str, value: Value, *, ns: int = 0, age: int = 0) -> Op:
    return Op(ops.OP_REGISTER, age, node, (), ops.Register(ns, name, value))


def add(node: bytes, name: str, value: Value, kills: Sequence[WireDot] = (), age: int = 0) -> Op:
    return Op(ops.OP_ADD, age, node, (), ops.SetAdd(0, name, value, tuple(sorted(kills))))


def rem(node: bytes, name: str, kills: Sequence[WireDot], age: int = 0) -> Op:
    return Op(ops.OP_REMOVE, age, node, (), ops.SetRemove(0, name, tuple(sorted(kills))))


def multi(node: bytes, name: str, value: Value, kills: Sequence[WireDot] = (), age: int = 0) -> Op:
    payload = ops.MultiValue(0, name, value, tuple(sorted(kills)))
    return Op(ops.OP_MULTI_VALUE, age, node, (), payload)


def inc(node: bytes, name: str, amount: int, age: int = 0) -> Op:
    return Op(ops.OP_INCREMENT, age, node, (), ops.Increment(0, name, amount))


def append(node: bytes, name: str, value: Value, age: int = 0) -> Op:
    return Op(ops.OP_APPEND, age, node, (), ops.Append(0, name, value))

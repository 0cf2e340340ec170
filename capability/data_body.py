"""
The body of a data entry: tables of references, Worknodes and names, and the ops that index them.

`decode_data` checks the tables. Each op is looked at by itself (`parse_op`): one that is
malformed or of a later version is held without effect and strands no other.

Source: docs/formats.md §Data body, §Operations.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, cast

from attrs import evolve, field, frozen

from capability import ops
from capability.columns import Registers, registers
from capability.errors import FormError
from capability.form import Value, array, binary, close_body, fixed, record, text, unsigned
from capability.ids import (
    CLASS_OWN,
    CLASS_SHARED,
    ID_BYTES,
    NONCE_BYTES,
    WORKNODE_BYTES,
    worknode_id,
)
from capability.keys import PUBLIC_BYTES
from capability.limits import (
    BODY_BYTES_MAX,
    CITES_MAX,
    DEPTH_MAX,
    HEADS_MAX,
    INT_MAX,
    KEY_BYTES_MAX,
    KILLS_MAX,
    NAME_BYTES_MAX,
    NAMES_MAX,
    NODES_MAX,
    OPS_MAX,
    POSITION_BYTES_MAX,
    REFS_MAX,
)
from capability.ops import (
    MODE_CONSENSUS,
    NS_CONFIG,
    Append,
    Create,
    EmitEvent,
    Increment,
    Move,
    MultiValue,
    Op,
    Payload,
    Register,
    Reserved,
    SetAdd,
    SetRemove,
    WireDot,
)
from capability.values import check_value
from crdt.codec import check, unpack
from crdt.errors import CodecError

_HEAD: Final = 4
_OPS_AT: Final = 6


@frozen
class Data:
    """
    The tables of a data body and its *ops* as they came.

    The first *nheads* of *refs* are heads that the author has seen: evidence, no citation.
    *session* is empty for the author's default session; *frontier* is empty or the author's
    frontier root at sealing.
    """

    session: bytes
    refs: tuple[bytes, ...]
    nheads: int
    frontier: bytes
    nodes: tuple[bytes, ...]
    names: tuple[str, ...]
    ops: tuple[Value, ...]
    #: Those of the ops that are plain register writes, by columns.
    registers: Registers | None = field(default=None, eq=False, repr=False)
    #: What `parse_op` says of each op, where one body is read by many; see `parsed`.
    parsed: tuple[Op | None, ...] | None = field(default=None, eq=False, repr=False)

    def others(self) -> list[int]:
        """The indexes of all ops but `registers`."""
        if self.registers is None:
            return list(range(len(self.ops)))
        plain = frozenset(self.registers.indexes)
        return [] if self.registers.are_all else [i for i in range(len(self.ops)) if i not in plain]


def decode_data(body: bytes) -> Data:
    """
    Read the body of kind 16, all but its ops. Cost: that of decoding msgpack.

    Raises:
        FormError: Not canonical, or a table is out of form or bounds; the entry has no effect.
    """
    try:
        value = unpack(body, size_max=BODY_BYTES_MAX, depth_max=DEPTH_MAX)
        columns = _columns(value)
        # Before anything is said of a part: hostile nesting is not to be printed.
        proved = columns is not None and columns.are_all
        rest = cast("tuple[Value, ...]", value)[:_OPS_AT] if proved else value
        check(rest, body, depth_max=DEPTH_MAX)
    except CodecError as error:
        raise FormError(f"data: {error}") from error
    return _data(record(value, 7, "data"), columns)


def _columns(value: Value) -> Registers | None:
    if not isinstance(value, tuple) or len(value) != 7:
        return None
    *_, nodes, names, listed = value
    if not (isinstance(nodes, tuple) and isinstance(names, tuple) and isinstance(listed, tuple)):
        return None
    return registers(listed, nodes=len(nodes), names=len(names))


def encode_data(data: Data) -> bytes:
    """The canonical body. Raises FormError if a table or the whole is out of its bounds."""
    value = (
        data.session,
        data.refs,
        data.nheads,
        data.frontier,
        data.nodes,
        data.names,
        data.ops,
    )
    _data(value)
    return close_body(value, "data")


def _data(value: tuple[Value, ...], columns: Registers | None = None) -> Data:
    session, refs, nheads, frontier, nodes, names, listed = value
    if session != b"":
        fixed(session, WORKNODE_BYTES, "data session")
    if frontier != b"":
        fixed(frontier, ID_BYTES, "data frontier")
    table = _ids(refs, ID_BYTES, REFS_MAX, "data refs")
    return Data(
        session=cast(bytes, session),
        refs=table,
        nheads=unsigned(nheads, "data nheads", most=min(HEADS_MAX, len(table))),
        frontier=cast(bytes, frontier),
        nodes=_ids(nodes, WORKNODE_BYTES, NODES_MAX, "data nodes"),
        names=_names(names),
        ops=array(listed, "data ops", most=OPS_MAX),
        registers=columns,
    )


def _ids(value: Value, size: int, most: int, what: str) -> tuple[bytes, ...]:
    # By sets of types and sizes, not item by item: this runs for every entry of a full replay.
    table = array(value, what, most=most)
    if not table:
        return ()
    if set(map(type, table)) != {bytes} or set(map(len, cast("tuple[bytes]", table))) != {size}:
        raise FormError(f"{what}: expected items of {size} bytes each")
    if len(set(table)) != len(table):
        raise FormError(f"{what}: an item stands twice")
    return cast("tuple[bytes, ...]", table)


def _names(value: Value) -> tuple[str, ...]:
    table = array(value, "data names", most=NAMES_MAX)
    names = tuple(text(name, "data name", most=NAME_BYTES_MAX) for name in table)
    if len(set(names)) != len(names):
        raise FormError("data names: an item stands twice")
    return names


def parse_op(data: Data, index: int) -> Op | None:
    """
    The op number *index* of *data*, or None if it is malformed or of a later version.

    Checks everything that needs no other entry: codes, tables, bounds, values, dots that name
    this entry, and that a create's node is the hash of its birth. Whether `age` and own entries
    named by negative dots lie before the entry is the caller's, who has the header.
    """
    if data.parsed is not None:
        return data.parsed[index]
    fields = data.ops[index]
    if not isinstance(fields, tuple) or len(fields) < _HEAD:
        return None
    code = fields[0]
    if type(code) is not int:
        return None
    if len(fields) - _HEAD != _FIELDS.get(code):
        return None
    try:
        node = data.nodes[unsigned(fields[2], "op node", most=len(data.nodes) - 1)]
        return Op(
            code=code,
            age=unsigned(fields[1], "op age"),
            node=node,
            cites=_dots(fields[3], data, index, CITES_MAX),
            payload=_payload(code, fields[_HEAD:], data, index=index, node=node),
        )
    except FormError:
        return None


def parsed(data: Data) -> Data:
    """The same body with all its ops parsed: three times the memory, for whoever reads it often."""
    return evolve(data, parsed=tuple(parse_op(data, index) for index in range(len(data.ops))))


def _dots(value: Value, data: Data, index: int, most: int) -> tuple[WireDot, ...]:
    dots = array(value, "dots", most=most)
    refs = len(data.refs)
    before: WireDot | None = None
    for dot in dots:
        if not isinstance(dot, tuple) or len(dot) != 2:
            raise FormError("dot: expected [r, index]")
        r, op = dot
        if type(r) is not int or not -INT_MAX <= r <= refs:
            raise FormError(f"dot: {r!r:.80} names no reference")
        # An op of this very entry can only name an earlier one.
        if type(op) is not int or not 0 <= op < (index if r == 0 else OPS_MAX):
            raise FormError(f"dot: index {op!r:.80} names no op")
        if before is not None and not before < (r, op):
            raise FormError("dots: not strictly ascending")
        before = (r, op)
    return cast("tuple[WireDot, ...]", dots)


def _name(value: Value, data: Data) -> str:
    return data.names[unsigned(value, "op name", most=len(data.names) - 1)]


def _value(value: Value) -> Value:
    check_value(value)
    return value


def _create(rest: tuple[Value, ...], data: Data, node: bytes) -> Create:
    create = Create(
        parent=fixed(rest[0], WORKNODE_BYTES, "create parent"),
        key_class=unsigned(rest[1], "create class", most=CLASS_SHARED),
        key=binary(rest[2], "create key", most=KEY_BYTES_MAX),
        kind=_name(rest[3], data),
        schema=unsigned(rest[4], "create schema"),
        mode=unsigned(rest[5], "create mode", most=MODE_CONSENSUS),
        pos=binary(rest[6], "create pos", most=POSITION_BYTES_MAX),
    )
    if create.key_class == CLASS_OWN and len(create.key) != PUBLIC_BYTES + NONCE_BYTES:
        raise FormError("create: a key of class own is author ‖ nonce")
    if worknode_id(create.parent, create.key_class, create.key) != node:
        raise FormError("create: the node is not the hash of its birth")
    return create


def _move(rest: tuple[Value, ...]) -> Move:
    return Move(
        fixed(rest[0], WORKNODE_BYTES, "move parent"),
        binary(rest[1], "move pos", most=POSITION_BYTES_MAX),
    )


def _integer(value: Value) -> int:
    if type(value) is not int:
        raise FormError(f"op: {value!r:.80} is not an integer")
    return value


def _of_cell(code: int, rest: tuple[Value, ...], data: Data, index: int) -> Payload:
    ns = unsigned(rest[0], "op ns", most=NS_CONFIG)
    name = _name(rest[1], data)
    match code:
        case ops.OP_REGISTER:
            return Register(ns, name, _value(rest[2]))
        case ops.OP_MULTI_VALUE:
            return MultiValue(ns, name, _value(rest[2]), _dots(rest[3], data, index, KILLS_MAX))
        case ops.OP_ADD:
            return SetAdd(ns, name, _value(rest[2]), _dots(rest[3], data, index, KILLS_MAX))
        case ops.OP_REMOVE:
            return SetRemove(ns, name, _dots(rest[2], data, index, KILLS_MAX))
        case ops.OP_INCREMENT:
            return Increment(ns, name, _integer(rest[2]))
        case _:
            return Append(ns, name, _value(rest[2]))


def _reserved(code: int, rest: tuple[Value, ...], data: Data, index: int) -> Reserved:
    match code:
        case ops.OP_CLAIM:
            unsigned(rest[0], "claim attempt", least=1)
            unsigned(rest[1], "claim lease_ms")
        case ops.OP_RELEASE:
            _dots(rest[0], data, index, KILLS_MAX)
        case ops.OP_RESULT:
            unsigned(rest[0], "result attempt", least=1)
            if type(rest[1]) is not bool:
                raise FormError("result: ok is not a bool")
            check_value(rest[2])
        case _:
            unsigned(rest[0], "attest verdict")
            check_value(rest[1])
    return Reserved(code, rest)


def _payload(code: int, rest: tuple[Value, ...], data: Data, *, index: int, node: bytes) -> Payload:
    match code:
        case ops.OP_CREATE:
            return _create(rest, data, node)
        case ops.OP_MOVE:
            return _move(rest)
        case ops.OP_EMIT:
            return EmitEvent(_name(rest[0], data), _value(rest[1]))
        case ops.OP_CLAIM | ops.OP_RELEASE | ops.OP_RESULT | ops.OP_ATTEST:
            return _reserved(code, rest, data, index)
        case _:
            return _of_cell(code, rest, data, index)


#: Code → number of fields after the cites. A code that is not here is of a later version.
_FIELDS: Final = {
    ops.OP_CREATE: 7,
    ops.OP_MOVE: 2,
    ops.OP_REGISTER: 3,
    ops.OP_MULTI_VALUE: 4,
    ops.OP_ADD: 4,
    ops.OP_REMOVE: 3,
    ops.OP_INCREMENT: 3,
    ops.OP_APPEND: 3,
    ops.OP_CLAIM: 2,
    ops.OP_RELEASE: 1,
    ops.OP_RESULT: 3,
    ops.OP_EMIT: 2,
    ops.OP_ATTEST: 2,
}


def build_data(
    listed: Iterable[Op],
    *,
    session: bytes = b"",
    refs: tuple[bytes, ...] = (),
    nheads: int = 0,
    frontier: bytes = b"",
) -> Data:
    """
    The body that says the ops *listed*, in their order: the inverse of `parse_op`.

    The tables of nodes and names are sorted. Dots must already index *refs*, ascending.
    """
    listed = tuple(listed)
    nodes = tuple(sorted({op.node for op in listed}))
    names = tuple(sorted({name for op in listed if (name := _name_of(op.payload)) is not None}))
    node_at = {node: at for at, node in enumerate(nodes)}
    name_at = {name: at for at, name in enumerate(names)}
    rows = tuple(
        (op.code, op.age, node_at[op.node], op.cites, *_fields(op.payload, name_at))
        for op in listed
    )
    return Data(session, refs, nheads, frontier, nodes, names, rows)


def _name_of(payload: Payload) -> str | None:
    match payload:
        case Create(kind=name) | EmitEvent(type=name):
            return name
        case Move() | Reserved():
            return None
        case _:
            return payload.name


def _fields(payload: Payload, name_at: dict[str, int]) -> tuple[Value, ...]:
    match payload:
        case Create():
            birth = (payload.parent, payload.key_class, payload.key, name_at[payload.kind])
            return (*birth, payload.schema, payload.mode, payload.pos)
        case Move():
            return (payload.parent, payload.pos)
        case Register() | Append():
            return (payload.ns, name_at[payload.name], payload.value)
        case MultiValue() | SetAdd():
            return (payload.ns, name_at[payload.name], payload.value, payload.kills)
        case SetRemove():
            return (payload.ns, name_at[payload.name], payload.kills)
        case Increment():
            return (payload.ns, name_at[payload.name], payload.amount)
        case EmitEvent():
            return (name_at[payload.type], payload.value)
        case Reserved():
            return payload.fields

"""Strategies for signed bodies, and the ways in which bytes from outside go wrong."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from capability import ops
from capability.bodies import Genesis, Grant, Pin, PinRow, Scope
from capability.ids import own_key, worknode_id
from capability.limits import INT_MAX, NEVER_MS
from capability.ops import Op
from crdt.codec import decode, encode

keys = st.binary(min_size=32, max_size=32)
nodes = st.binary(min_size=16, max_size=16)
unsigned = st.integers(0, INT_MAX)
signed = st.integers(-INT_MAX, INT_MAX)
instants = st.integers(0, NEVER_MS)
# Four bytes of UTF-8 at most for each character: 16 of them fit every bound of 64.
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=16)


def rows_by(key: Any, items: Any, most: int = 6) -> Any:
    """Tuples of items, strictly ascending by *key*."""
    return st.lists(items, max_size=most, unique_by=key).map(
        lambda listed: tuple(sorted(listed, key=key))
    )


plain = st.none() | st.booleans() | signed | words | st.binary(max_size=20)
#: Anything that the codec can write, whatever it means.
anything: Any = st.recursive(plain, lambda inner: st.lists(inner, max_size=4).map(tuple))

values: Any = st.recursive(
    plain
    | nodes.map(lambda node: (2, node))
    | st.sampled_from(["0", "-1", "3.14", "-0.5", "1000"]).map(lambda text: (3, text))
    | signed.map(lambda ms: (4, ms))
    | st.tuples(st.just(5), keys, unsigned, words),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: (0, *items))
        | rows_by(lambda pair: pair[0], st.tuples(words, inner), 3).map(lambda pairs: (1, *pairs))
    ),
    max_leaves=6,
)

genesises = st.builds(
    Genesis,
    name=words,
    nonce=nodes,
    roots=st.lists(keys, min_size=1, max_size=4, unique=True).map(
        lambda roots: tuple(sorted(roots))
    ),
    m=st.just(1),
    next_roots=keys,
    recovery=keys,
    rules=unsigned,
    features=unsigned,
    limits=rows_by(lambda pair: pair[0], st.tuples(unsigned, unsigned)),
)

scopes = st.builds(
    Scope,
    parent_scope=st.integers(0, 63),
    steps=st.lists(st.tuples(st.integers(0, 1), st.binary(max_size=64)), max_size=3).map(tuple),
    id=nodes,
)

grants = st.builds(
    Grant,
    audience=keys,
    akind=st.integers(0, 2),
    scopes=rows_by(lambda scope: scope.id, scopes).filter(bool),
    perms=unsigned,
    max_depth=unsigned,
    nbf_ms=instants,
    exp_ms=instants,
    caveats=rows_by(lambda pair: pair[0], st.tuples(unsigned, anything)),
    label=words,
)

tips = st.none() | st.tuples(st.integers(1, INT_MAX), keys)
rows = rows_by(lambda row: row.author, st.builds(PinRow, keys, tips, tips))
pins = st.builds(Pin, rows, unsigned)

#: Dots that need no table: own entries before this one.
dots = rows_by(lambda dot: dot, st.tuples(st.integers(-INT_MAX, -1), st.integers(0, 4095)), 4)
namespaces = st.integers(0, 6)

payloads: Any = st.one_of(
    st.builds(ops.Move, nodes, st.binary(max_size=64)),
    st.builds(ops.Register, namespaces, words, values),
    st.builds(ops.MultiValue, namespaces, words, values, dots),
    st.builds(ops.SetAdd, namespaces, words, values, dots),
    st.builds(ops.SetRemove, namespaces, words, dots),
    st.builds(ops.Increment, namespaces, words, signed),
    st.builds(ops.Append, namespaces, words, values),
    st.builds(ops.EmitEvent, words, values),
    st.builds(ops.Reserved, st.just(9), st.tuples(st.integers(1, 9), unsigned)),
    st.builds(ops.Reserved, st.just(10), st.tuples(dots)),
    st.builds(ops.Reserved, st.just(11), st.tuples(st.integers(1, 9), st.booleans(), values)),
    st.builds(ops.Reserved, st.just(13), st.tuples(unsigned, values)),
)

_CODES = {
    ops.Move: 2,
    ops.Register: 3,
    ops.MultiValue: 4,
    ops.SetAdd: 5,
    ops.SetRemove: 6,
    ops.Increment: 7,
    ops.Append: 8,
    ops.EmitEvent: 12,
}


def _op(payload: Any, age: int, node: bytes, cites: Any) -> Op:
    code = payload.code if isinstance(payload, ops.Reserved) else _CODES[type(payload)]
    return Op(code, age, node, cites, payload)


@st.composite
def creates(draw: Any) -> Op:
    parent, key_class = draw(nodes), draw(st.integers(0, 1))
    key = own_key(draw(keys), draw(nodes)) if key_class == 0 else draw(st.binary(max_size=64))
    birth = ops.Create(
        parent, key_class, key, draw(words), draw(unsigned), draw(st.integers(0, 1)), draw(nodes)
    )
    return Op(1, draw(unsigned), worknode_id(parent, key_class, key), draw(dots), birth)


any_op: Any = creates() | st.builds(_op, payloads, unsigned, nodes, dots)


def damaged(valid: Any) -> Any:
    """Bytes near *valid* ones: some changed, cut off or put in; and some that never were near."""

    @st.composite
    def damage(draw: Any) -> bytes:
        data = bytearray(draw(valid))
        for _ in range(draw(st.integers(1, 3))):
            at = draw(st.integers(0, max(0, len(data) - 1)))
            new = draw(st.binary(max_size=3))
            data[at : at + draw(st.integers(0, 3))] = new
        return bytes(data)

    @st.composite
    def replace(draw: Any) -> bytes:
        return encode(_replaced(decode(draw(valid), size_max=1 << 20), draw))

    return damage() | replace() | st.binary(max_size=200) | anything.map(encode)


def _replaced(value: Any, draw: Any) -> Any:
    """*value* with one part, at any depth, taken for something else: good msgpack, bad meaning."""
    if not isinstance(value, tuple) or not value or draw(st.integers(0, 9)) == 0:
        return draw(plain)
    at = draw(st.integers(0, len(value) - 1))
    return (*value[:at], _replaced(value[at], draw), *value[at + 1 :])

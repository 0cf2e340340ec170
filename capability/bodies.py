"""
Bodies of the authority entries that are issued: genesis, grant and pin.

Each `decode_x` takes the body's bytes and raises FormError only; each `encode` refuses, with the
same error, what no decoder would read back. Rows and pairs are strictly ascending, so that one
meaning has one encoding. Bodies that nothing issues yet are in `capability.reserved`.

Source: docs/formats.md §Authority bodies.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from attrs import frozen

from capability.form import (
    Value,
    array,
    ascending,
    binary,
    close_body,
    fixed,
    open_body,
    record,
    text,
    unsigned,
)
from capability.ids import CLASS_SHARED, ID_BYTES, NONCE_BYTES, WORKNODE_BYTES, worknode_id
from capability.keys import PUBLIC_BYTES
from capability.limits import (
    CAVEATS_MAX,
    GENESIS_LIMITS_MAX,
    KEY_BYTES_MAX,
    LABEL_BYTES_MAX,
    NEVER_MS,
    PIN_ROWS_MAX,
    ROOTS_MAX,
    SCOPES_MAX,
    STEPS_MAX,
)

GENESIS_FORMAT: Final = 1

#: Kinds of audience: a member's own key, a ticket's bearer key, a key for one session.
MEMBER: Final = 0
JOIN: Final = 1
SESSION: Final = 2

#: Caveats. A key that is not among these denies: what a link means must be known to all.
CAVEAT_GLOBS: Final = 1
CAVEAT_PHASES: Final = 2
CAVEAT_COMPLEXITY: Final = 3
CAVEAT_OPS: Final = 4
CAVEAT_FIELDS: Final = 5
CAVEAT_SEQ: Final = 6
CAVEAT_DEPTH: Final = 7
CAVEAT_SESSION: Final = 8
CAVEAT_CHILD_PERMS: Final = 9
CAVEAT_GRANTS: Final = 10
CAVEAT_ISSUE_BEFORE: Final = 11

#: Keys of a genesis' limits; one that is absent has the value of `capability.limits`.
LIMIT_AUTHORITY_SEQ: Final = 1
LIMIT_VOID_SUFFIX: Final = 2
LIMIT_CHAIN_DEPTH: Final = 3

#: A seq with the id of the entry that stands there.
Tip: TypeAlias = tuple[int, bytes]


@frozen
class Genesis:
    """
    The first entry of a mesh; its id is the mesh id.

    `m` of the `roots` sign together what has rank 0. `next_roots` and `recovery` commit to keys
    that are kept offline, and are zero where there are none.
    """

    name: str
    nonce: bytes
    roots: tuple[bytes, ...]
    m: int
    next_roots: bytes
    recovery: bytes
    rules: int
    features: int
    limits: tuple[tuple[int, int], ...]

    def encode(self) -> bytes:
        """The canonical body. Raises FormError if a field is out of its bounds."""
        value = (
            GENESIS_FORMAT,
            self.name,
            self.nonce,
            self.roots,
            self.m,
            self.next_roots,
            self.recovery,
            self.rules,
            self.features,
            self.limits,
        )
        _genesis(value)
        return close_body(value, "genesis")

    def limit(self, key: int, default: int) -> int:
        """What this mesh has set for a limit, else *default*."""
        return next((value for known, value in self.limits if known == key), default)


def _genesis(value: tuple[Value, ...]) -> Genesis:
    unsigned(value[0], "genesis fmt", least=GENESIS_FORMAT, most=GENESIS_FORMAT)
    roots = read_roots(value[3], value[4], "genesis")
    limits = tuple(
        (unsigned(pair[0], "genesis limit"), unsigned(pair[1], "genesis limit"))
        for pair in (
            record(item, 2, "genesis limit")
            for item in array(value[9], "genesis limits", most=GENESIS_LIMITS_MAX)
        )
    )
    ascending((key for key, _ in limits), "genesis limits")
    return Genesis(
        name=text(value[1], "genesis name", most=LABEL_BYTES_MAX),
        nonce=fixed(value[2], NONCE_BYTES, "genesis nonce"),
        roots=roots,
        m=unsigned(value[4], "genesis m"),
        next_roots=fixed(value[5], ID_BYTES, "genesis next_roots"),
        recovery=fixed(value[6], ID_BYTES, "genesis recovery"),
        rules=unsigned(value[7], "genesis rules"),
        features=unsigned(value[8], "genesis features"),
        limits=limits,
    )


def decode_genesis(body: bytes) -> Genesis:
    """Read the body of kind 0."""
    return _genesis(open_body(body, 10, "genesis"))


def read_roots(value: Value, m: Value, what: str) -> tuple[bytes, ...]:
    """Root keys, strictly ascending, of which *m* must sign."""
    keys = array(value, f"{what} roots", least=1, most=ROOTS_MAX)
    roots = tuple(fixed(key, PUBLIC_BYTES, f"{what} root") for key in keys)
    ascending(roots, f"{what} roots")
    unsigned(m, f"{what} m", least=1, most=len(roots))
    return roots


@frozen
class Scope:
    """
    One subtree that a grant covers: the Worknode *id* and whatever is born under it.

    *steps* are the birth keys (class, key) that lead from the parent link's scope number
    *parent_scope* to *id*, so that attenuation needs no data lane. A root's one scope, number 0,
    is the root Worknode.
    """

    parent_scope: int
    steps: tuple[tuple[int, bytes], ...]
    id: bytes

    def reached_from(self, start: bytes) -> bool:
        """Whether *steps* lead from the Worknode *start* to *id*."""
        here = start
        for key_class, key in self.steps:
            here = worknode_id(here, key_class, key)
        return here == self.id

    def value(self) -> tuple[Value, ...]:
        """The wire form: [parent_scope, [[class, key]…], id]."""
        return (self.parent_scope, self.steps, self.id)


def _scope(value: Value) -> Scope:
    parent_scope, steps, target = record(value, 3, "grant scope")
    pairs = [record(step, 2, "scope step") for step in array(steps, "scope steps", most=STEPS_MAX)]
    return Scope(
        parent_scope=unsigned(parent_scope, "scope parent_scope", most=SCOPES_MAX - 1),
        steps=tuple(
            (
                unsigned(pair[0], "step class", most=CLASS_SHARED),
                binary(pair[1], "step key", most=KEY_BYTES_MAX),
            )
            for pair in pairs
        ),
        id=fixed(target, WORKNODE_BYTES, "scope id"),
    )


@frozen
class Grant:
    """
    A link: what the entry's author passes on to *audience*, at most what it has itself.

    The scopes are strictly ascending by id. The parent link is the entry's own leaf.
    *caveats* narrow; each must hold for an op, and an unknown one denies.
    """

    audience: bytes
    akind: int
    scopes: tuple[Scope, ...]
    perms: int
    max_depth: int
    nbf_ms: int
    exp_ms: int
    caveats: tuple[tuple[int, Value], ...]
    label: str

    def encode(self) -> bytes:
        """The canonical body. Raises FormError if a field is out of its bounds."""
        value = (
            self.audience,
            self.akind,
            tuple(scope.value() for scope in self.scopes),
            self.perms,
            self.max_depth,
            self.nbf_ms,
            self.exp_ms,
            self.caveats,
            self.label,
        )
        _grant(value)
        return close_body(value, "grant")

    def caveat(self, key: int) -> Value:
        """The value of one caveat, None if the link does not carry it."""
        return next((value for known, value in self.caveats if known == key), None)


def _grant(value: tuple[Value, ...]) -> Grant:
    scopes = tuple(
        _scope(scope) for scope in array(value[2], "grant scopes", least=1, most=SCOPES_MAX)
    )
    ascending((scope.id for scope in scopes), "grant scopes")
    pairs = [
        record(pair, 2, "grant caveat")
        for pair in array(value[7], "grant caveats", most=CAVEATS_MAX)
    ]
    caveats = tuple((unsigned(key, "caveat key"), caveat) for key, caveat in pairs)
    ascending((key for key, _ in caveats), "grant caveats")
    return Grant(
        audience=fixed(value[0], PUBLIC_BYTES, "grant audience"),
        akind=unsigned(value[1], "grant akind", most=SESSION),
        scopes=scopes,
        perms=unsigned(value[3], "grant perms"),
        max_depth=unsigned(value[4], "grant max_depth"),
        nbf_ms=unsigned(value[5], "grant nbf_ms", most=NEVER_MS),
        exp_ms=unsigned(value[6], "grant exp_ms", most=NEVER_MS),
        caveats=caveats,
        label=text(value[8], "grant label", most=LABEL_BYTES_MAX),
    )


def decode_grant(body: bytes) -> Grant:
    """Read the body of kind 1. Unknown caveat keys and permission bits are kept, not refused."""
    return _grant(open_body(body, 9, "grant"))


@frozen
class PinRow:
    """
    What an authority has seen of one author: the tip of each lane, None for no statement.

    In a revocation or seal None means a cut at 0.
    """

    author: bytes
    auth: Tip | None
    data: Tip | None

    def value(self) -> tuple[Value, ...]:
        """The wire form: [author, auth, data]."""
        return (self.author, self.auth, self.data)


def read_rows(value: Value, what: str) -> tuple[PinRow, ...]:
    """The rows of a pin or a cut, strictly ascending by author."""
    rows = tuple(_row(row, what) for row in array(value, f"{what} rows", most=PIN_ROWS_MAX))
    ascending((row.author for row in rows), f"{what} rows")
    return rows


def _row(value: Value, what: str) -> PinRow:
    author, auth, data = record(value, 3, f"{what} row")
    return PinRow(fixed(author, PUBLIC_BYTES, f"{what} author"), _tip(auth, what), _tip(data, what))


def _tip(value: Value, what: str) -> Tip | None:
    if value is None:
        return None
    seq, tip = record(value, 2, f"{what} tip")
    return unsigned(seq, f"{what} tip seq", least=1), fixed(tip, ID_BYTES, f"{what} tip id")


@frozen
class Pin:
    """What the issuer has seen of its rows' authors; it settles forks at or before those tips."""

    rows: tuple[PinRow, ...]
    flags: int

    def encode(self) -> bytes:
        """The canonical body. Raises FormError if a row is out of order or bounds."""
        value = (tuple(row.value() for row in self.rows), self.flags)
        _pin(value)
        return close_body(value, "pin")


def _pin(value: tuple[Value, ...]) -> Pin:
    return Pin(read_rows(value[0], "pin"), unsigned(value[1], "pin flags"))


def decode_pin(body: bytes) -> Pin:
    """Read the body of kind 3."""
    return _pin(open_body(body, 2, "pin"))

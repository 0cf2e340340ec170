from __future__ import annotations

import contextlib
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from capability import reserved
from capability.bodies import (
    CAVEAT_GRANTS,
    GENESIS_FORMAT,
    LIMIT_VOID_SUFFIX,
    MEMBER,
    Genesis,
    Grant,
    Pin,
    PinRow,
    Scope,
    decode_genesis,
    decode_grant,
    decode_pin,
)
from capability.errors import FormError
from capability.ids import worknode_id
from capability.limits import BODY_BYTES_MAX, NEVER_MS, PIN_ROWS_MAX, ROOTS_MAX, SCOPES_MAX
from crdt.codec import decode, encode
from tests.capability.strategies import (
    damaged,
    genesises,
    grants,
    keys,
    pins,
    rows,
    rows_by,
    unsigned,
    words,
)

KEY = b"k" * 32
GENESIS = Genesis("m", bytes(16), (KEY,), 1, bytes(32), bytes(32), 1, 0, ((LIMIT_VOID_SUFFIX, 9),))
GRANT = Grant(
    KEY, MEMBER, (Scope(0, (), bytes(16)),), 7, 8, 0, NEVER_MS, ((CAVEAT_GRANTS, 1),), "x"
)

cuts = st.builds(reserved.Cut, keys, rows_by(lambda pin: pin, keys), rows, unsigned, words)
adopts = rows_by(
    lambda row: (row.author, row.first_seq),
    st.builds(
        lambda author, first, more, tip: reserved.Adoption(author, first, first + more, tip),
        keys,
        st.integers(1, 99),
        st.integers(0, 99),
        keys,
    ),
).map(reserved.Adopt)
rotates = st.builds(reserved.Rotate, keys.map(lambda key: (key,)), st.just(1), keys, rows)
quorums = st.builds(
    reserved.Quorum,
    st.integers(0, 9),
    st.binary(max_size=40),
    rows_by(lambda pair: pair[0], st.tuples(keys, st.just(bytes(64)))).filter(bool),
)
checkpoints = st.builds(reserved.Checkpoint, rows, keys, unsigned)

CODECS: dict[str, tuple[Any, Any]] = {
    "genesis": (genesises, decode_genesis),
    "grant": (grants, decode_grant),
    "pin": (pins, decode_pin),
    "cut": (cuts, reserved.decode_cut),
    "adopt": (adopts, reserved.decode_adopt),
    "rotate": (rotates, reserved.decode_rotate),
    "rules": (st.builds(reserved.Rules, unsigned), reserved.decode_rules),
    "quorum": (quorums, reserved.decode_quorum),
    "checkpoint": (checkpoints, reserved.decode_checkpoint),
}
bodies = pytest.mark.parametrize("name", CODECS)


@bodies
@given(data=st.data())
def test_a_body_is_read_as_it_was_written(name: str, data: st.DataObject) -> None:
    made, decode = CODECS[name]
    body = data.draw(made)
    assert decode(body.encode()) == body


@bodies
@given(data=st.data())
def test_damaged_bodies_raise_nothing_but_form_errors(name: str, data: st.DataObject) -> None:
    made, decode = CODECS[name]
    raw = data.draw(damaged(made.map(lambda body: body.encode())))
    with contextlib.suppress(FormError):
        # What is read at all has one encoding.
        assert decode(raw).encode() == raw


@bodies
@given(data=st.data())
def test_a_body_with_a_field_more_or_less_is_refused(name: str, data: st.DataObject) -> None:
    made, decode = CODECS[name]
    body = data.draw(made).encode()
    for changed in (b"\xc0", b"\x90", body + b"\x00", body[:-1]):
        if (name, changed) != ("adopt", b"\x90"):
            with pytest.raises(FormError):
                decode(changed)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "x" * 65},
        {"nonce": bytes(15)},
        {"roots": ()},
        {"roots": (KEY, KEY)},
        {"roots": (b"z" * 32, KEY)},
        {"roots": tuple(bytes([at]) * 32 for at in range(ROOTS_MAX + 1))},
        {"m": 0},
        {"m": 2},
        {"next_roots": b""},
        {"rules": -1},
        {"limits": ((2, 1), (1, 1))},
        {"limits": tuple((at, 0) for at in range(65))},
    ],
)
def test_a_genesis_out_of_bounds_is_not_written(change: dict[str, Any]) -> None:
    GENESIS.encode()
    with pytest.raises(FormError, match=r"^genesis"):
        evolve(GENESIS, **change).encode()


@pytest.mark.parametrize("other", [GENESIS_FORMAT - 1, GENESIS_FORMAT + 1])
def test_a_genesis_of_another_format_is_not_read(other: int) -> None:
    fields = decode(GENESIS.encode(), size_max=BODY_BYTES_MAX)
    assert isinstance(fields, tuple) and fields[0] == GENESIS_FORMAT
    with pytest.raises(FormError, match="genesis fmt"):
        decode_genesis(encode((other, *fields[1:])))


@pytest.mark.parametrize(
    "change",
    [
        {"audience": KEY[1:]},
        {"akind": 3},
        {"scopes": ()},
        {"scopes": (Scope(0, (), b"b" * 16), Scope(0, (), b"a" * 16))},
        {"scopes": (Scope(0, (), b"a" * 16), Scope(1, (), b"a" * 16))},
        {"scopes": (Scope(SCOPES_MAX, (), bytes(16)),)},
        {"scopes": (Scope(0, ((2, b""),), bytes(16)),)},
        {"scopes": (Scope(0, ((1, bytes(65)),), bytes(16)),)},
        {"scopes": (Scope(0, ((1, b""),) * 65, bytes(16)),)},
        {"perms": -1},
        {"exp_ms": NEVER_MS + 1},
        {"caveats": ((2, None), (1, None))},
        {"caveats": tuple((at, None) for at in range(17))},
        {"label": "ü" * 33},
    ],
)
def test_a_grant_out_of_bounds_is_not_written(change: dict[str, Any]) -> None:
    GRANT.encode()
    with pytest.raises(FormError):
        evolve(GRANT, **change).encode()


def test_a_grant_with_unknown_caveats_and_permissions_is_read() -> None:
    grant = evolve(GRANT, perms=1 << 40, caveats=((10, "no number"), (99, (1, (b"?",)))))
    assert decode_grant(grant.encode()) == grant
    assert grant.caveat(99) == (1, (b"?",))
    assert grant.caveat(98) is None


def test_a_body_of_too_many_bytes_is_not_written() -> None:
    with pytest.raises(FormError, match="a body of"):
        evolve(GRANT, caveats=((99, bytes(BODY_BYTES_MAX)),)).encode()


def test_a_caveat_that_nests_too_deeply_is_not_written() -> None:
    deep: Any = None
    for _ in range(14):
        deep = (deep,)
    with pytest.raises(FormError, match="nested deeper"):
        evolve(GRANT, caveats=((99, deep),)).encode()


def test_the_longest_pin_fits_a_body() -> None:
    tip = ((1 << 62), KEY)
    full = Pin(tuple(PinRow(at.to_bytes(32, "big"), tip, tip) for at in range(PIN_ROWS_MAX)), 0)
    assert decode_pin(full.encode()) == full
    with pytest.raises(FormError, match="items"):
        evolve(full, rows=(*full.rows, PinRow(b"\xff" * 32, None, None))).encode()


def test_a_pin_names_each_author_once_and_no_seq_zero() -> None:
    row = PinRow(KEY, None, None)
    for bad in ((row, row), (PinRow(KEY, (0, KEY), None),), (PinRow(KEY, None, (1, b"")),)):
        with pytest.raises(FormError, match=r"^pin"):
            Pin(bad, 0).encode()


def test_a_scope_is_reached_by_its_birth_keys() -> None:
    start = b"s" * 16
    target = worknode_id(worknode_id(start, 1, b"a"), 0, bytes(48))
    assert Scope(0, ((1, b"a"), (0, bytes(48))), target).reached_from(start)
    assert not Scope(0, ((1, b"a"),), target).reached_from(start)
    assert Scope(0, (), start).reached_from(start)


def test_a_limit_that_the_genesis_does_not_set_has_the_default() -> None:
    assert GENESIS.limit(LIMIT_VOID_SUFFIX, 5) == 9
    assert GENESIS.limit(77, 5) == 5


def test_only_reserved_kinds_have_a_reserved_body() -> None:
    assert reserved.decode_reserved(7, encode((3,))) == reserved.Rules(3)
    for kind in (0, 1, 3, 10, 16):
        with pytest.raises(FormError, match="no reserved body"):
            reserved.decode_reserved(kind, encode((3,)))


def test_an_adopted_range_begins_with_an_entry() -> None:
    with pytest.raises(FormError, match="adopt from"):
        reserved.Adopt((reserved.Adoption(KEY, 0, 4, KEY),)).encode()


def test_a_quorum_has_a_signature_and_an_act_of_a_known_kind() -> None:
    signed = ((KEY, bytes(64)),)
    assert reserved.decode_quorum(reserved.Quorum(9, b"", signed).encode()).inner_kind == 9
    for kind, signatures in ((9, ()), (10, signed)):
        with pytest.raises(FormError, match="quorum"):
            reserved.Quorum(kind, b"", signatures).encode()


def test_an_adopted_range_does_not_run_backwards() -> None:
    with pytest.raises(FormError, match="adopt to"):
        reserved.Adopt((reserved.Adoption(KEY, 5, 4, KEY),)).encode()

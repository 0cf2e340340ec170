"""Bodies that are as large as they may be: whoever signs one is understood by all."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from capability import permissions
from capability.bodies import (
    MEMBER,
    SESSION,
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
from capability.ids import CLASS_SHARED, WORKNODE_BYTES
from capability.limits import (
    CAVEATS_MAX,
    GENESIS_LIMITS_MAX,
    INT_MAX,
    KEY_BYTES_MAX,
    LABEL_BYTES_MAX,
    NEVER_MS,
    PIN_ROWS_MAX,
    ROOTS_MAX,
    SCOPES_MAX,
    STEPS_MAX,
)


def scopes(count: int) -> tuple[Scope, ...]:
    ids = (at.to_bytes(WORKNODE_BYTES, "big") for at in range(count))
    return tuple(Scope(0, (), worknode) for worknode in ids)


def steps(count: int, size: int = 1) -> tuple[Scope, ...]:
    return (Scope(0, ((CLASS_SHARED, bytes(size)),) * count, bytes(WORKNODE_BYTES)),)


GRANT = Grant(
    audience=bytes(32),
    akind=MEMBER,
    scopes=scopes(1),
    perms=permissions.MEMBER,
    max_depth=1,
    nbf_ms=0,
    exp_ms=NEVER_MS,
    caveats=(),
    label="",
)


@pytest.mark.parametrize(
    ("largest", "too_large"),
    [
        (
            {"caveats": tuple((at, None) for at in range(CAVEATS_MAX))},
            {"caveats": tuple((at, None) for at in range(CAVEATS_MAX + 1))},
        ),
        ({"scopes": scopes(SCOPES_MAX)}, {"scopes": scopes(SCOPES_MAX + 1)}),
        ({"scopes": steps(STEPS_MAX)}, {"scopes": steps(STEPS_MAX + 1)}),
        ({"scopes": steps(1, KEY_BYTES_MAX)}, {"scopes": steps(1, KEY_BYTES_MAX + 1)}),
    ],
)
def test_the_largest_grant_is_read_and_a_larger_one_is_not_made(
    largest: dict[str, object], too_large: dict[str, object]
) -> None:
    grant = evolve(GRANT, **largest)
    assert decode_grant(grant.encode()) == grant
    with pytest.raises(FormError):
        evolve(GRANT, **too_large).encode()


def test_the_largest_genesis_is_read_and_a_larger_one_is_not_made() -> None:
    genesis = Genesis(
        name="ü" * (LABEL_BYTES_MAX // 2),
        nonce=bytes(16),
        roots=tuple(bytes([at]) * 32 for at in range(ROOTS_MAX)),
        m=ROOTS_MAX,
        next_roots=bytes(32),
        recovery=bytes(32),
        rules=INT_MAX,
        features=INT_MAX,
        limits=tuple((at, INT_MAX) for at in range(GENESIS_LIMITS_MAX)),
    )
    assert decode_genesis(genesis.encode()) == genesis
    for change in (
        {"name": genesis.name + "x"},
        {"roots": (*genesis.roots, b"\xff" * 32)},
        {"m": ROOTS_MAX + 1},
        {"limits": (*genesis.limits, (99, 0))},
        {"features": -1},
        {"features": INT_MAX + 1},
        {"limits": ((-1, 0),)},
        {"limits": ((0, -1),)},
        {"recovery": bytes(31)},
    ):
        with pytest.raises(FormError):
            evolve(genesis, **change).encode()


def test_a_grant_at_the_end_of_every_range_is_read() -> None:
    scope = Scope(SCOPES_MAX - 1, ((CLASS_SHARED, b""), (0, b"")), bytes(WORKNODE_BYTES))
    grant = evolve(
        GRANT,
        akind=SESSION,
        scopes=(scope,),
        perms=INT_MAX,
        max_depth=INT_MAX,
        nbf_ms=NEVER_MS,
        caveats=((INT_MAX, (1,)),),
        label="x" * LABEL_BYTES_MAX,
    )
    assert decode_grant(grant.encode()) == grant
    for change in (
        {"nbf_ms": NEVER_MS + 1},
        {"nbf_ms": -1},
        {"exp_ms": -1},
        {"max_depth": -1},
        {"label": "x" * (LABEL_BYTES_MAX + 1)},
        {"caveats": ((-1, None),)},
        {"scopes": (evolve(scope, parent_scope=-1),)},
        {"scopes": (evolve(scope, id=bytes(15)),)},
    ):
        with pytest.raises(FormError):
            evolve(grant, **change).encode()


@pytest.mark.parametrize("tip", [(0, bytes(32)), (1, bytes(31)), (1,), (1, bytes(32), 0)])
def test_a_pin_names_entries_by_seq_and_id(tip: Any) -> None:
    key = bytes(32)
    good = Pin((PinRow(key, (1, key), None), PinRow(b"\1" * 32, None, (INT_MAX, key))), INT_MAX)
    assert decode_pin(good.encode()) == good
    for row in (PinRow(key, tip, None), PinRow(key, None, tip), PinRow(key[1:], None, None)):
        with pytest.raises(FormError, match="pin"):
            Pin((row,), 0).encode()
    with pytest.raises(FormError, match="pin"):
        Pin((), -1).encode()


def test_the_largest_pin_is_read_and_a_larger_one_is_not_made() -> None:
    tip = (1, bytes(32))
    rows = tuple(PinRow(at.to_bytes(32, "big"), tip, tip) for at in range(PIN_ROWS_MAX + 1))
    pin = Pin(rows[:-1], 0)
    assert decode_pin(pin.encode()) == pin
    with pytest.raises(FormError):
        Pin(rows, 0).encode()

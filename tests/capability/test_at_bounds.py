"""Bodies that are as large as they may be: whoever signs one is understood by all."""

from __future__ import annotations

import pytest
from attrs import evolve

from capability import permissions
from capability.bodies import MEMBER, Grant, Pin, PinRow, Scope, decode_grant, decode_pin
from capability.errors import FormError
from capability.ids import CLASS_SHARED, WORKNODE_BYTES
from capability.limits import (
    CAVEATS_MAX,
    KEY_BYTES_MAX,
    NEVER_MS,
    PIN_ROWS_MAX,
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


def test_the_largest_pin_is_read_and_a_larger_one_is_not_made() -> None:
    tip = (1, bytes(32))
    rows = tuple(PinRow(at.to_bytes(32, "big"), tip, tip) for at in range(PIN_ROWS_MAX + 1))
    pin = Pin(rows[:-1], 0)
    assert decode_pin(pin.encode()) == pin
    with pytest.raises(FormError):
        Pin(rows, 0).encode()

"""
Bodies of authority entries that nothing issues yet: read for their form, kept, without effect.

They are frozen now so that a later version, which does issue them, needs no new format and finds
them in the logs of nodes that never understood them.

Source: docs/formats.md §Authority bodies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from attrs import frozen

from capability.bodies import PinRow, read_roots, read_rows
from capability.entry import (
    KIND_ADOPT,
    KIND_CHECKPOINT,
    KIND_QUORUM,
    KIND_REVOKE,
    KIND_ROTATE,
    KIND_RULES,
    KIND_SEAL,
)
from capability.errors import FormError
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
from capability.ids import ID_BYTES
from capability.keys import PUBLIC_BYTES, SIGNATURE_BYTES
from capability.limits import (
    ADOPTS_MAX,
    BASE_PINS_MAX,
    BODY_BYTES_MAX,
    REASON_BYTES_MAX,
    ROOTS_MAX,
)

__all__ = [
    "Adopt",
    "Adoption",
    "Checkpoint",
    "Cut",
    "Quorum",
    "ReservedBody",
    "Rotate",
    "Rules",
    "decode_adopt",
    "decode_checkpoint",
    "decode_cut",
    "decode_quorum",
    "decode_reserved",
    "decode_rotate",
    "decode_rules",
]


@frozen
class Cut:
    """
    A revocation or a seal, by the entry's kind: what counts of *target*'s acts, and nothing after.

    *rows* stand beside those of the pins *base_pins*; an author that neither names is cut at 0.
    """

    target: bytes
    base_pins: tuple[bytes, ...]
    rows: tuple[PinRow, ...]
    reason: int
    text: str

    def encode(self) -> bytes:
        rows = tuple(row.value() for row in self.rows)
        value = (self.target, self.base_pins, rows, self.reason, self.text)
        _cut(value)
        return close_body(value, "cut")


def _cut(value: tuple[Value, ...]) -> Cut:
    base_pins = tuple(
        fixed(pin, ID_BYTES, "cut base pin")
        for pin in array(value[1], "cut base_pins", most=BASE_PINS_MAX)
    )
    ascending(base_pins, "cut base_pins")
    return Cut(
        target=fixed(value[0], ID_BYTES, "cut target"),
        base_pins=base_pins,
        rows=read_rows(value[2], "cut"),
        reason=unsigned(value[3], "cut reason"),
        text=text(value[4], "cut text", most=REASON_BYTES_MAX),
    )


def decode_cut(body: bytes) -> Cut:
    """Read the body of kind 2 (revoke) or 4 (seal)."""
    return _cut(open_body(body, 5, "cut"))


@frozen
class Adoption:
    """Entries first_seq to last_seq of *author*'s data lane, on the branch that *tip* ends."""

    author: bytes
    first_seq: int
    last_seq: int
    tip: bytes


@frozen
class Adopt:
    """Ranges whose ops the adopter's own chain authorises anew; ascending by (author, first)."""

    ranges: tuple[Adoption, ...]

    def encode(self) -> bytes:
        value = tuple((row.author, row.first_seq, row.last_seq, row.tip) for row in self.ranges)
        _adopt(value)
        return close_body(value, "adopt")


def _adopt(value: Value) -> Adopt:
    ranges: list[Adoption] = []
    for item in array(value, "adopt ranges", most=ADOPTS_MAX):
        author, first, last, tip = record(item, 4, "adopt range")
        first_seq = unsigned(first, "adopt from", least=1)
        ranges.append(
            Adoption(
                fixed(author, PUBLIC_BYTES, "adopt author"),
                first_seq,
                unsigned(last, "adopt to", least=first_seq),
                fixed(tip, ID_BYTES, "adopt tip"),
            )
        )
    ascending(((row.author, row.first_seq) for row in ranges), "adopt ranges")
    return Adopt(tuple(ranges))


def decode_adopt(body: bytes) -> Adopt:
    """Read the body of kind 5."""
    return _adopt(open_body(body, None, "adopt"))


@frozen
class Rotate:
    """New root keys, revealed by the key that the genesis or the last rotation committed to."""

    roots: tuple[bytes, ...]
    m: int
    next_roots: bytes
    rows: tuple[PinRow, ...]

    def encode(self) -> bytes:
        rows = tuple(row.value() for row in self.rows)
        value = (self.roots, self.m, self.next_roots, rows)
        _rotate(value)
        return close_body(value, "rotate")


def _rotate(value: tuple[Value, ...]) -> Rotate:
    return Rotate(
        roots=read_roots(value[0], value[1], "rotate"),
        m=unsigned(value[1], "rotate m"),
        next_roots=fixed(value[2], ID_BYTES, "rotate next_roots"),
        rows=read_rows(value[3], "rotate"),
    )


def decode_rotate(body: bytes) -> Rotate:
    """Read the body of kind 6."""
    return _rotate(open_body(body, 4, "rotate"))


@frozen
class Rules:
    """The rules version from here on; a node that does not know it stops folding."""

    version: int

    def encode(self) -> bytes:
        return close_body((unsigned(self.version, "rules version"),), "rules")


def decode_rules(body: bytes) -> Rules:
    """Read the body of kind 7."""
    return Rules(unsigned(open_body(body, 1, "rules")[0], "rules version"))


@frozen
class Quorum:
    """An authority act that several roots sign; with m > 1 it alone has rank 0."""

    inner_kind: int
    inner_body: bytes
    signatures: tuple[tuple[bytes, bytes], ...]

    def encode(self) -> bytes:
        value = (self.inner_kind, self.inner_body, self.signatures)
        _quorum(value)
        return close_body(value, "quorum")


def _quorum(value: tuple[Value, ...]) -> Quorum:
    pairs = [
        record(pair, 2, "quorum signature")
        for pair in array(value[2], "quorum signatures", least=1, most=ROOTS_MAX)
    ]
    signatures = tuple(
        (
            fixed(key, PUBLIC_BYTES, "quorum key"),
            fixed(signature, SIGNATURE_BYTES, "quorum signature"),
        )
        for key, signature in pairs
    )
    ascending((key for key, _ in signatures), "quorum signatures")
    return Quorum(
        inner_kind=unsigned(value[0], "quorum inner_kind", most=KIND_CHECKPOINT),
        inner_body=binary(value[1], "quorum inner_body", most=BODY_BYTES_MAX),
        signatures=signatures,
    )


def decode_quorum(body: bytes) -> Quorum:
    """Read the body of kind 8; the inner body is not looked into."""
    return _quorum(open_body(body, 3, "quorum"))


@frozen
class Checkpoint:
    """A state that the issuer vouches for at the tips *rows*, folded by version *fold*."""

    rows: tuple[PinRow, ...]
    state_hash: bytes
    fold: int

    def encode(self) -> bytes:
        value = (tuple(row.value() for row in self.rows), self.state_hash, self.fold)
        _checkpoint(value)
        return close_body(value, "checkpoint")


def _checkpoint(value: tuple[Value, ...]) -> Checkpoint:
    return Checkpoint(
        rows=read_rows(value[0], "checkpoint"),
        state_hash=fixed(value[1], ID_BYTES, "checkpoint state_hash"),
        fold=unsigned(value[2], "checkpoint fold"),
    )


def decode_checkpoint(body: bytes) -> Checkpoint:
    """Read the body of kind 9."""
    return _checkpoint(open_body(body, 3, "checkpoint"))


ReservedBody: TypeAlias = Cut | Adopt | Rotate | Rules | Quorum | Checkpoint


def decode_reserved(kind: int, body: bytes) -> ReservedBody:
    """Read a body of any of the kinds of this module. Raises FormError for another kind, too."""
    decode = _DECODERS.get(kind)
    if decode is None:
        raise FormError(f"kind {kind} has no reserved body")
    return decode(body)


_DECODERS: Final[dict[int, Callable[[bytes], ReservedBody]]] = {
    KIND_REVOKE: decode_cut,
    KIND_SEAL: decode_cut,
    KIND_ADOPT: decode_adopt,
    KIND_ROTATE: decode_rotate,
    KIND_RULES: decode_rules,
    KIND_QUORUM: decode_quorum,
    KIND_CHECKPOINT: decode_checkpoint,
}

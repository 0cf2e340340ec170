from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capability.entry import (
    KIND_DATA,
    KIND_GENESIS,
    KIND_GRANT,
    LANE_AUTHORITY,
    LANE_DATA,
    Entry,
    decode_entry,
    decode_header,
    decode_signed_header,
    make_entry,
    verify_entry,
)
from capability.errors import FormError, SignatureRefused
from capability.ids import ZERO_ID, body_hash, entry_id
from capability.keys import SeedSigner
from capability.limits import AUTHORITY_SEQ_MAX, BODY_BYTES_MAX, INT_MAX
from crdt.codec import Value, encode
from tests.capability.strategies import anything, damaged, keys, unsigned

SIGNER = SeedSigner(b"a" * 32)
MESH = b"m" * 32


def entry_with(
    *, kind: int = KIND_DATA, body: bytes = b"body", seq: int = 2, mesh: bytes = MESH
) -> Entry:
    return make_entry(
        SIGNER,
        mesh_id=mesh,
        lane=LANE_DATA if kind >= KIND_DATA else LANE_AUTHORITY,
        seq=seq,
        prev=b"p" * 32,
        hlc=7,
        kind=kind,
        leaf=b"l" * 32,
        body=body,
    )


def genesis_entry(body: bytes = b"g", signer: SeedSigner = SIGNER) -> Entry:
    return make_entry(
        signer,
        mesh_id=MESH,
        lane=0,
        seq=1,
        prev=ZERO_ID,
        hlc=7,
        kind=KIND_GENESIS,
        leaf=b"",
        body=body,
    )


entries = st.builds(
    lambda seq, prev, hlc, kind, leaf, body: make_entry(
        SIGNER,
        mesh_id=MESH,
        lane=int(kind >= KIND_DATA),
        seq=seq,
        prev=prev,
        hlc=hlc,
        kind=kind,
        leaf=leaf,
        body=body,
    ),
    st.integers(1, AUTHORITY_SEQ_MAX),
    keys,
    unsigned,
    st.integers(1, 40),
    st.just(b"") | keys,
    st.binary(max_size=100),
)


@given(entries)
def test_an_entry_is_read_as_it_was_written(entry: Entry) -> None:
    again = decode_entry(entry.encode())
    assert again == entry
    assert again.header.encode() == entry.header_bytes
    assert decode_signed_header(entry.signed_header.value()) == entry.signed_header
    verify_entry(again, MESH)
    verify_entry(again.signed_header, MESH)


def test_every_single_bit_matters() -> None:
    entry = entry_with()
    data = entry.encode()
    for at in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        with contextlib.suppress(FormError, SignatureRefused):
            other = decode_entry(bytes(flipped))
            verify_entry(other, MESH)
            pytest.fail(f"bit {at} can be flipped without notice")


@given(damaged(entries.map(Entry.encode)))
def test_damaged_entries_raise_nothing_but_form_errors(data: bytes) -> None:
    with contextlib.suppress(FormError):
        decode_entry(data)


@given(damaged(entries.map(lambda entry: entry.header_bytes)))
def test_damaged_headers_raise_nothing_but_form_errors(data: bytes) -> None:
    with contextlib.suppress(FormError):
        decode_header(data)


@given(anything)
def test_a_signed_header_of_any_value_raises_nothing_but_form_errors(value: Value) -> None:
    with contextlib.suppress(FormError):
        decode_signed_header(value)


GOOD = (1, b"a" * 32, 1, 3, b"p" * 32, 7, 16, b"", 4, b"h" * 32)


def test_a_lane_that_there_is_not_is_refused() -> None:
    """The kind alone would not tell: a grant belongs in any lane but that of data."""
    for lane in (2, INT_MAX):
        with pytest.raises(FormError, match="lane"):
            decode_header(encode((*GOOD[:2], lane, *GOOD[3:6], KIND_GRANT, *GOOD[7:])))


@pytest.mark.parametrize(
    ("index", "value"),
    [
        (0, 2),
        (0, True),
        (1, b"a" * 31),
        (2, 2),
        (3, 0),
        (3, True),
        (4, b"p" * 33),
        (5, -1),
        (6, -1),
        (6, 3),
        (7, b"l"),
        (7, ""),
        (8, BODY_BYTES_MAX + 1),
        (9, None),
    ],
)
def test_a_header_with_one_bad_field_is_refused(index: int, value: Value) -> None:
    decode_header(encode(GOOD))
    with pytest.raises(FormError, match=r"^header: "):
        decode_header(encode((*GOOD[:index], value, *GOOD[index + 1 :])))


def test_a_header_with_another_number_of_fields_is_refused() -> None:
    for value in (GOOD[:9], (*GOOD, 0), 5):
        with pytest.raises(FormError, match="10 fields"):
            decode_header(encode(value))


def test_the_greatest_numbers_are_read() -> None:
    assert decode_header(encode((*GOOD[:3], INT_MAX, *GOOD[4:]))).seq == INT_MAX


def test_the_authority_lane_ends() -> None:
    entry_with(kind=KIND_GRANT, seq=AUTHORITY_SEQ_MAX)
    with pytest.raises(FormError, match="authority seq"):
        entry_with(kind=KIND_GRANT, seq=AUTHORITY_SEQ_MAX + 1)


def test_a_body_that_was_not_signed_is_refused() -> None:
    entry = entry_with()
    for body in (b"bodx", b"bod", b""):
        with pytest.raises(FormError, match="not the one that was signed"):
            decode_entry(encode((entry.header_bytes, entry.signature, body)))


def test_a_body_of_the_greatest_size_fits() -> None:
    entry = entry_with(body=bytes(BODY_BYTES_MAX))
    assert decode_entry(entry.encode()) == entry
    with pytest.raises(FormError):
        entry_with(body=bytes(BODY_BYTES_MAX + 1))


def test_a_signature_is_refused_in_another_mesh() -> None:
    with pytest.raises(SignatureRefused):
        verify_entry(entry_with(), b"x" * 32)


def test_the_id_does_not_cover_the_signature() -> None:
    entry = entry_with()
    assert entry.id == entry_id(entry.header_bytes)
    other = decode_entry(encode((entry.header_bytes, bytes(64), entry.body)))
    assert other.id == entry.id
    with pytest.raises(SignatureRefused):
        verify_entry(other, MESH)


def test_a_genesis_is_accepted_in_its_own_mesh_only() -> None:
    first, second = genesis_entry(b"one"), genesis_entry(b"two")
    verify_entry(first, first.id)
    verify_entry(second.signed_header, second.id)
    # Same author, lane, seq and prev: without the refusal a proof that the root had forked.
    with pytest.raises(SignatureRefused, match="another mesh"):
        verify_entry(second, first.id)
    with pytest.raises(SignatureRefused, match="another mesh"):
        verify_entry(second.signed_header, first.id)


@pytest.mark.parametrize(
    ("seq", "prev", "leaf"), [(2, ZERO_ID, b""), (1, MESH, b""), (1, ZERO_ID, MESH)]
)
def test_a_genesis_stands_at_the_beginning_and_cites_nothing(
    seq: int, prev: bytes, leaf: bytes
) -> None:
    header = (1, SIGNER.public, 0, seq, prev, 7, KIND_GENESIS, leaf, 0, body_hash(b""))
    with pytest.raises(FormError, match="genesis"):
        decode_header(encode(header))

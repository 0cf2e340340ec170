"""
The entry: one signed link of one author's hash chain, and how its bytes are made and read.

    entry   [header bin, sig b64, body bin]
    header  [v, author, lane, seq, prev, hlc, kind, leaf, body_len, body_hash]

Only the header is signed, so a fork is proved by two headers. The id is the hash of the header
without the signature: a signer can make many signatures over one header, and these are not forks.

Source: docs/formats.md §Entry.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from capability.errors import FormError, SignatureRefused
from capability.form import Value, binary, fixed, record, unsigned
from capability.ids import DOMAIN_ENTRY, ID_BYTES, ZERO_ID, body_hash, entry_id
from capability.keys import PUBLIC_BYTES, SIGNATURE_BYTES, Signer, Verify, verify
from capability.limits import (
    AUTHORITY_SEQ_MAX,
    BODY_BYTES_MAX,
    ENTRY_BYTES_MAX,
    HEADER_BYTES_MAX,
)
from crdt.codec import decode, encode, encode_bytes, unpack
from crdt.errors import CodecError

FORMAT_VERSION: Final = 1

LANE_AUTHORITY: Final = 0
LANE_DATA: Final = 1

KIND_GENESIS: Final = 0
KIND_GRANT: Final = 1
KIND_REVOKE: Final = 2
KIND_PIN: Final = 3
KIND_SEAL: Final = 4
KIND_ADOPT: Final = 5
KIND_ROTATE: Final = 6
KIND_RULES: Final = 7
KIND_QUORUM: Final = 8
KIND_CHECKPOINT: Final = 9
KIND_DATA: Final = 16
KIND_ENCRYPTED: Final = 17
KIND_CERTIFIED: Final = 18
#: Kinds below this one belong in the authority lane, the others in the data lane.
KIND_FIRST_DATA: Final = 16


@frozen
class Header:
    """What an author signs. `leaf` is empty for a root key, else the id of the grant it acts by."""

    author: bytes
    lane: int
    seq: int
    prev: bytes
    hlc: int
    kind: int
    leaf: bytes
    body_len: int
    body_hash: bytes

    def encode(self) -> bytes:
        """The canonical bytes that are hashed and signed."""
        return encode(
            (
                FORMAT_VERSION,
                self.author,
                self.lane,
                self.seq,
                self.prev,
                self.hlc,
                self.kind,
                self.leaf,
                self.body_len,
                self.body_hash,
            )
        )


@frozen
class SignedHeader:
    """A header with its signature: evidence of a head, or one half of a fork proof."""

    id: bytes
    header: Header
    header_bytes: bytes
    signature: bytes

    def value(self) -> tuple[bytes, bytes]:
        """The wire form: [header, sig]."""
        return (self.header_bytes, self.signature)


@frozen
class Entry:
    """A whole entry. It keeps the bytes that were signed, so they are never made anew."""

    id: bytes
    header: Header
    header_bytes: bytes
    signature: bytes
    body: bytes

    @property
    def signed_header(self) -> SignedHeader:
        return SignedHeader(self.id, self.header, self.header_bytes, self.signature)

    def encode(self) -> bytes:
        """The wire form: [header, sig, body]."""
        return encode_bytes(self.header_bytes, self.signature, self.body)


def decode_header(data: bytes) -> Header:
    """
    Read a header and check everything about it that needs nothing else.

    Raises:
        FormError: Not canonical, a field of the wrong type or size, a kind in the wrong lane.
    """
    try:
        value = decode(data, size_max=HEADER_BYTES_MAX, depth_max=1)
    except CodecError as error:
        raise FormError(f"header: {error}") from error
    if not isinstance(value, tuple) or len(value) != 10:
        raise FormError("header: expected an array of 10 fields")
    version, author, lane, seq, prev, hlc, kind, leaf, body_len, hashed = value
    if version != FORMAT_VERSION or type(version) is not int:
        raise FormError(f"header: version {version!r}, this node reads {FORMAT_VERSION}")
    header = Header(
        author=fixed(author, PUBLIC_BYTES, "header: author"),
        lane=unsigned(lane, "header: lane", most=LANE_DATA),
        seq=unsigned(seq, "header: seq", least=1),
        prev=fixed(prev, ID_BYTES, "header: prev"),
        hlc=unsigned(hlc, "header: hlc"),
        kind=unsigned(kind, "header: kind"),
        leaf=b"" if leaf == b"" else fixed(leaf, ID_BYTES, "header: leaf"),
        body_len=unsigned(body_len, "header: body_len", most=BODY_BYTES_MAX),
        body_hash=fixed(hashed, ID_BYTES, "header: body_hash"),
    )
    if (header.kind >= KIND_FIRST_DATA) != (header.lane == LANE_DATA):
        raise FormError(f"header: kind {header.kind} does not belong in lane {header.lane}")
    if header.kind == KIND_GENESIS and (seq != 1 or prev != ZERO_ID or leaf != b""):
        raise FormError("header: a genesis has seq 1, and neither prev nor leaf")
    if header.lane == LANE_AUTHORITY and header.seq > AUTHORITY_SEQ_MAX:
        raise FormError(f"header: authority seq {header.seq} exceeds {AUTHORITY_SEQ_MAX}")
    return header


def _split(data: bytes) -> tuple[bytes, bytes, bytes]:
    try:
        value = unpack(data, size_max=ENTRY_BYTES_MAX, depth_max=1)
    except CodecError as error:
        raise FormError(f"entry: {error}") from error
    # In place of the codec's `check`, which would look at everything once more.
    if not isinstance(value, tuple) or set(map(type, value)) != {bytes}:
        raise FormError("entry: expected an array of binaries")
    header, signature, body = record(value, 3, "entry")
    return (
        binary(header, "entry: header", most=HEADER_BYTES_MAX),
        fixed(signature, SIGNATURE_BYTES, "entry: signature"),
        binary(body, "entry: body", most=BODY_BYTES_MAX),
    )


def decode_entry(data: bytes) -> Entry:
    """
    Read an entry: form, sizes, body hash. The signature is `verify_entry`'s, since it costs most.

    Raises:
        FormError: The bytes are not an entry; the sender's link deserves to be closed.
    """
    header_bytes, signature, body = _split(data)
    header = decode_header(header_bytes)
    if header.body_len != len(body) or header.body_hash != body_hash(body):
        raise FormError(f"entry: the body of {len(body)} bytes is not the one that was signed")
    return Entry(entry_id(header_bytes), header, header_bytes, signature, body)


def decode_signed_header(value: Value) -> SignedHeader:
    """Read [header, sig] (already taken out of msgpack). Raises FormError; does not verify."""
    first, second = record(value, 2, "signed header")
    header_bytes = binary(first, "signed header: header", most=HEADER_BYTES_MAX)
    signature = fixed(second, SIGNATURE_BYTES, "signed header: signature")
    header = decode_header(header_bytes)
    return SignedHeader(entry_id(header_bytes), header, header_bytes, signature)


def signing_mesh(header: Header, mesh_id: bytes) -> bytes:
    """The mesh id under a signature; a genesis cannot name the hash of itself."""
    return ZERO_ID if header.kind == KIND_GENESIS else mesh_id


def verify_entry(entry: Entry | SignedHeader, mesh_id: bytes, *, by: Verify = verify) -> None:
    """
    Raise SignatureRefused unless the author signed this header in this mesh. Cost: 55 µs.

    A genesis is accepted in the one mesh that its id names. Its signature covers no mesh id, so
    without this test a key that founded two meshes could be shown to have forked in each.
    """
    if entry.header.kind == KIND_GENESIS and entry.id != mesh_id:
        raise SignatureRefused(f"genesis {entry.id.hex()[:8]} is of another mesh")
    signed = DOMAIN_ENTRY + signing_mesh(entry.header, mesh_id) + entry.header_bytes
    if not by(entry.header.author, signed, entry.signature):
        raise SignatureRefused(
            f"entry {entry.id.hex()[:8]} of {entry.header.author.hex()[:8]} is not signed by its "
            "author in this mesh"
        )


def make_entry(
    signer: Signer,
    *,
    mesh_id: bytes,
    lane: int,
    seq: int,
    prev: bytes,
    hlc: int,
    kind: int,
    leaf: bytes,
    body: bytes,
) -> Entry:
    """Sign a new entry. The caller owns the chain: *seq*, *prev* and a fresh *hlc* are its duty."""
    header = Header(signer.public, lane, seq, prev, hlc, kind, leaf, len(body), body_hash(body))
    header_bytes = header.encode()
    decode_header(header_bytes)
    signature = signer.sign(DOMAIN_ENTRY + signing_mesh(header, mesh_id) + header_bytes)
    return Entry(entry_id(header_bytes), header, header_bytes, signature, body)

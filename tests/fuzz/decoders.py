"""Decoders that are functions: bytes in, a value or the one named error out."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Final

from capability import bodies, reserved
from capability.data_body import (
    Data,
    build_data,
    decode_data,
    encode_data,
    parse_op,
)
from capability.entry import (
    KIND_GENESIS,
    KIND_GRANT,
    KIND_PIN,
    decode_entry,
    decode_header,
    decode_signed_header,
    verify_entry,
)
from capability.errors import FormError, SignatureRefused, TicketError
from capability.ids import DOMAIN_TICKET, digest
from capability.keys import SeedSigner
from capability.limits import ENTRY_BYTES_MAX
from capability.ops import LOOSE, OP_REGISTER, STRICT, Op
from capability.ticket import TICKET_PREFIX, decode_ticket, verify_ticket
from crdt import codec
from crdt.errors import CodecError
from mesh.core.errors import ProtocolViolation
from mesh.core.limits import MESSAGE_BYTES_MAX
from mesh.gossip.targets import decode_target
from mesh.replica.pending import decode_row
from mesh.wire import Unknown, decode_message, encode_message
from tests.fuzz.mending import Mender, mended
from tests.fuzz.target import KIB, ROOT, Broken, Target

_VECTORS: Final = ROOT / "tests" / "vectors"
#: The first byte of an entry or a ticket says whether its chain is signed again.
_AS_IT_IS, _SIGNED = b"\0", b"\1"


def equal(found: object, expected: object, what: str) -> None:
    if found != expected:
        raise Broken(f"{what}: {found!r:.200} is not {expected!r:.200}")


def _load(name: str) -> Any:
    return json.loads((_VECTORS / f"{name}.json").read_text(encoding="utf-8"))


def _hex(vector: Any, key: str) -> bytes:
    return bytes.fromhex(vector[key]["hex"])


def _vectors() -> list[Any]:
    return _load("authority") + _load("data")


# -- codec


def _codec(data: bytes) -> None:
    for size_max, depth_max in ((len(data), 16), (1 << 20, 3)):
        with suppress(CodecError):
            value = codec.decode(data, size_max=size_max, depth_max=depth_max)
            equal(codec.encode(value, depth_max=depth_max), data, "encoded again")


def _codec_seeds() -> Iterator[bytes]:
    yield from (_hex(vector, "body") for vector in _vectors())
    yield codec.encode((None, True, False, 0, -1, 2**40, -(2**40), "ä", b"\0", (), ((),) * 20))
    # What looks like headers of long arrays: in a binary, and in earnest.
    yield codec.encode((b"\xdd\0\0\1\0" * 80, (b"\xdc\1\0" * 90,)))
    yield b"\xdd\0\0\1\0" * 80
    yield b"\xdc\1\0" * 100
    yield codec.encode(((1,) * 20,) * 40)
    yield codec.encode(("x" * 300, b"y" * 300, (1,) * 300, 2**63 - 1, -(2**63) + 1))


# -- entries


def _entry(data: bytes) -> None:
    data = mended(data[1:], _MENDER) if data[:1] == _SIGNED else data[1:]
    with suppress(FormError, SignatureRefused):
        entry = decode_entry(data)
        equal(entry.encode(), data, "an entry encoded again")
        equal(entry.header.encode(), entry.header_bytes, "a header encoded again")
        verify_entry(entry, _MENDER.mesh_id)


def _entry_seeds() -> Iterator[bytes]:
    for vector in _vectors():
        yield _AS_IT_IS + _hex(vector, "entry")
    yield _SIGNED + _hex(_vectors()[1], "entry")


def _header(data: bytes) -> None:
    with suppress(FormError):
        equal(decode_header(data).encode(), data, "a header encoded again")
    with suppress(CodecError, FormError):
        value = codec.decode(data, size_max=ENTRY_BYTES_MAX)
        equal(codec.encode(decode_signed_header(value).value()), data, "a signed header")


def _header_seeds() -> Iterator[bytes]:
    for vector in _vectors():
        yield _hex(vector, "header")
        yield codec.encode((_hex(vector, "header"), _hex(vector, "signature")))


def _signers() -> list[SeedSigner]:
    return [SeedSigner(seed) for seed in sorted({_hex(v, "seed") for v in _vectors()})]


_MENDER: Final = Mender(_hex(_vectors()[0], "id"), _signers())


# -- bodies

_AUTHORITY: Final[dict[int, Callable[[bytes], Any]]] = {
    KIND_GENESIS: bodies.decode_genesis,
    KIND_GRANT: bodies.decode_grant,
    KIND_PIN: bodies.decode_pin,
}


def _body(data: bytes) -> None:
    """The kind, then the body."""
    if not data:
        return
    kind, body = data[0] % 12, data[1:]
    decode = _AUTHORITY.get(kind)
    with suppress(FormError):
        found = decode(body) if decode else reserved.decode_reserved(kind, body)
        equal(found.encode(), body, f"a body of kind {kind} encoded again")


def _body_seeds() -> Iterator[bytes]:
    for vector in _load("authority") + _load("reserved"):
        yield bytes((vector["kind"],)) + _hex(vector, "body")


def _data(body: bytes) -> None:
    try:
        data = decode_data(body)
    except FormError:
        return
    equal(encode_data(data), body, "a data body encoded again")
    parsed = [parse_op(data, index) for index in range(len(data.ops))]
    if data.registers is not None:
        _check_columns(data, parsed)
    good = [op for op in parsed if op is not None]
    if any(op.code not in LOOSE | STRICT and op.code > 13 for op in good):
        raise Broken("an op of a later version was read")
    with suppress(FormError):
        # What is read can be written: the same ops come back, the tables sorted.
        again = build_data(good, refs=data.refs)
        found = [parse_op(again, index) for index in range(len(good))]
        if len(good) == len(parsed):
            equal(found, good, "ops written again")


def _check_columns(data: Data, parsed: list[Op | None]) -> None:
    """The two readers of register writes accept the same rows, and read the same."""
    columns = data.registers
    assert columns is not None
    if columns.are_all != (len(columns.indexes) == len(parsed)):
        raise Broken(f"{len(columns.indexes)} of {len(parsed)} ops are said to be all")
    for at, index in enumerate(columns.indexes):
        op = parsed[index]
        if op is None:
            raise Broken(f"op {index} is in the columns, and malformed by itself")
        payload: Any = op.payload
        one = (op.code, op.age, op.node, payload.ns, payload.name, payload.value)
        two = (
            OP_REGISTER,
            columns.ages[at],
            data.nodes[columns.nodes[at]],
            columns.spaces[at],
            data.names[columns.names[at]],
            columns.values[at],
        )
        equal(two, one, f"op {index} by columns")


def _data_seeds() -> Iterator[bytes]:
    yield from (_hex(vector, "body") for vector in _load("data"))


# -- tickets


def _ticket(data: bytes) -> None:
    """A text, or behind a 1 the inside of a ticket whose chain is signed and check digits right."""
    if data[:1] == _SIGNED:
        inside = mended(data[1:], Mender(b"", _signers()))
        whole = inside + digest(DOMAIN_TICKET, inside, 4)
        text = TICKET_PREFIX + base64.b32encode(whole).decode().rstrip("=").lower()
    else:
        text = data[1:].decode(errors="surrogateescape")
    try:
        ticket = decode_ticket(text)
        equal(ticket.encode(), "".join(text.split()).lower(), "a ticket encoded again")
        verify_ticket(ticket)
    except (TicketError, SignatureRefused):
        pass


def _ticket_seeds() -> Iterator[bytes]:
    text = _load("ticket")["text"]
    yield _AS_IT_IS + text.encode()
    letters = text[len(TICKET_PREFIX) :].upper()
    whole = base64.b32decode(letters + "=" * (-len(letters) % 8))
    yield _SIGNED + whole[:-4]


# -- wire


def _wire(data: bytes) -> None:
    try:
        message = decode_message(data, size_max=MESSAGE_BYTES_MAX)
    except ProtocolViolation:
        return
    if not isinstance(message, Unknown):
        equal(encode_message(message), data, "a message encoded again")


def _wire_seeds() -> Iterable[bytes]:
    yield from map(bytes.fromhex, _load("wire")["messages"].values())
    yield codec.encode((18, "later"))


# -- what this node remembers


def _peer(data: bytes) -> None:
    target = decode_target(b"n" * 32, data, 1)
    if target is not None:
        target.view()
        again = decode_target(b"n" * 32, target.encode(), 1)
        equal(again, target, "a remembered peer encoded again")


def _peer_seeds() -> Iterator[bytes]:
    yield codec.encode((1, "ann", 1_795_132_800_000, (("10.0.0.7", 7000, 5), ("::1", 1, 0))))
    yield codec.encode((1, "", 0, ()))


def _row(data: bytes) -> None:
    with suppress(CodecError, FormError):
        row = decode_row(data)
        equal(row.encode(), data, "a row encoded again")


def _row_seeds() -> Iterator[bytes]:
    for kind, value in ((3, "text"), (7, -5), (8, (0, ("a", 1)))):
        yield codec.encode(("session", 1 << 50, kind, b"n" * 16, 1, "notes", value))


TARGETS: Final = (
    Target("codec", _codec, _codec_seeds),
    Target("entry", _entry, _entry_seeds, prefix=1),
    Target("header", _header, _header_seeds),
    Target("body", _body, _body_seeds, prefix=1),
    Target("data", _data, _data_seeds),
    Target("ticket", _ticket, _ticket_seeds, memory=(512 * KIB, 200), prefix=1),
    Target("wire", _wire, _wire_seeds),
    Target("peer", _peer, _peer_seeds),
    Target("row", _row, _row_seeds),
)
